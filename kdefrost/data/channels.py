"""Mean and deviation of the channels of images, and the layer that standardises by them."""

import keras
import numpy as np

from kdefrost.data.finite import check_finite
from kdefrost.data.image_files import ImageFiles

# Numbers that are taken to float64 at a time.
_BLOCK = 2**22


def channel_statistics(images: np.ndarray | ImageFiles) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, over all pixels of all images.

    The deviation of a channel that does not vary is given as 1, so that standardising by it
    only centres. Images are read in blocks, never all at a time.

    Args:
        images: `(images, height, width, channels)`.

    Returns:
        `(mean, deviation)`, float32 arrays `(channels,)`.

    Raises:
        ValueError: If there are none, or they are not finite numbers.

    Example:

    >>> mean, deviation = kdefrost.channel_statistics(data.train.images)
    """
    shape = getattr(images, "shape", ())
    if len(shape) != 4 or 0 in shape or images.dtype.kind not in "biufV":
        given = f"shape {tuple(shape)} of {images.dtype}" if shape else type(images).__name__
        raise ValueError(
            f"`images` must be an array (images, height, width, channels) of numbers, at least one. Received: {given}"
        )
    channels = shape[-1]
    rows = max(1, _BLOCK // int(np.prod(images.shape[1:])))
    # Numbers relative to a pixel are small: their squares do not cancel, and are 0 where all are equal.
    origin = images[0].reshape(-1, channels)[0].astype(np.float64)
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(images), rows):
        block = images[start : start + rows]
        check_finite("images", block, start)
        pixels = block - origin
        total += pixels.sum(axis=0).sum(axis=(0, 1))
        squares += np.square(pixels).sum(axis=0).sum(axis=(0, 1))
    count = np.prod(images.shape[:-1], dtype=np.float64)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0)).astype(np.float32)
    return (origin + mean).astype(np.float32), np.where(deviation > 0, deviation, np.float32(1))


def standardization(
    images: np.ndarray | ImageFiles, invert: bool = False, axis: int = -1
) -> keras.layers.Normalization:
    """A layer that gives images mean 0 and deviation 1 in each channel, in float32.

    Args:
        images: Images `(images, height, width, channels)` whose mean and deviation are taken.
        invert: Whether the layer takes images that are so and undoes it.
        axis: The axis of the channels, where images in memory have it elsewhere.

    Returns:
        A `keras.layers.Normalization`.
    """
    mean, deviation = channel_statistics(images if axis == -1 else np.moveaxis(images, axis, -1))
    return keras.layers.Normalization(
        axis,
        mean=mean.tolist(),
        variance=np.square(deviation).tolist(),
        invert=invert,
        dtype="float32",
        name="restore" if invert else "standardize",
    )
