"""Clones: synthetic stand-ins for a data set, from the crudest to the closest.

A clone has the labels of its original and images that share some of the original's
statistics, class by class, so that a network trained on it differs from one trained on the
original by the input distribution alone.
"""

import dataclasses

import numpy as np

from kdefrost.data import Examples, ImageData

# So many samples are made at a time, to bound memory.
_BLOCK = 1000


def make_clone(
    name: str,
    data: ImageData,
    seed: int = 0,
    per_class: int | None = None,
    test_per_class: int | None = None,
) -> ImageData:
    """Makes a synthetic stand-in for a data set.

    Per class, a Gaussian is fitted to the training images. `isogm` is isotropic: the
    class mean and one variance, the mean of the pixels' variances. `gm` has the class mean
    and the full covariance (divided by the number of images). Train and test are samples of
    the same Gaussians, floats, neither clipped nor rounded.

    Args:
        name: One of `CLONES`.
        data: The original.
        seed: Seed of the samples.
        per_class: Number of training samples per class; by default as the original has.
        test_per_class: Number of test samples per class; by default as the original has.

    Returns:
        An `ImageData` with float32 images. Where the numbers are the original's, so are
        the labels, in their order.

    Raises:
        ValueError: If there is no such clone, a class has no image, or a number is not
            positive.

    Example:

    >>> digits = kdefrost.load_data("digits")
    >>> kdefrost.make_clone("gm", digits, per_class=100).train.images.shape
    (1000, 8, 8, 1)
    """
    if name not in CLONES:
        raise ValueError(f"There is no clone {name!r}: it must be one of {', '.join(CLONES)}.")
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    if not counts.all():
        raise ValueError(f"Class {data.classes[int(counts.argmin())]!r} of {data.name!r} has no training image.")
    labels = [
        _labels(data.train.labels, per_class, "per_class", len(data.classes)),
        _labels(data.test.labels, test_per_class, "test_per_class", len(data.classes)),
    ]
    images = [np.empty((len(wanted), *data.image_shape), np.float32) for wanted in labels]
    for label in range(len(data.classes)):
        members = data.train.images[np.flatnonzero(data.train.labels == label)]
        mean, root = CLONES[name](members.reshape(len(members), -1).astype(np.float64))
        for part in range(2):
            rng = np.random.default_rng((seed, label, part))
            rows = np.flatnonzero(labels[part] == label)
            for block in np.array_split(rows, -(-len(rows) // _BLOCK) or 1):
                samples = _sample(mean, root, len(block), rng)
                images[part][block] = samples.reshape(len(block), *data.image_shape)
    train, test = (Examples(x, y) for x, y in zip(images, labels, strict=True))
    return dataclasses.replace(data, name=f"{name}-{data.name}", train=train, test=test, groups=None)


def _labels(originals: np.ndarray, per_class: int | None, argument: str, classes: int) -> np.ndarray:
    if per_class is None:
        return originals
    if per_class < 1:
        raise ValueError(f"`{argument}` must be at least 1. Received: {argument}={per_class}")
    return np.tile(np.arange(classes), per_class)


def _isotropic(images: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean `(pixels,)` and standard deviation of an isotropic Gaussian."""
    return images.mean(axis=0), float(np.sqrt(images.var(axis=0).mean()))


def _full(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(pixels,)` and a matrix `(rank, pixels)` whose Gram matrix is the covariance.

    With the centred images as rows of X, `n` of them, the covariance is XᵀX / n, so X / √n
    is such a matrix as it stands, of whatever rank. With more images than pixels, its
    triangular factor from X = QR is smaller and has the same Gram matrix. The covariance
    itself is never formed, which would square its condition number.
    """
    mean = images.mean(axis=0)
    centred = images - mean
    n, pixels = centred.shape
    root = np.linalg.qr(centred, mode="r") if n > pixels else centred
    return mean, root / np.sqrt(n)


def _sample(mean: np.ndarray, root: float | np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Samples `(count, pixels)` of the Gaussian with that mean and covariance rootᵀ root."""
    if isinstance(root, float):
        return mean + root * rng.standard_normal((count, len(mean)))
    return mean + rng.standard_normal((count, len(root))) @ root


CLONES = {"isogm": _isotropic, "gm": _full}
