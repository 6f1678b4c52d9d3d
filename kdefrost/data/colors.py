"""Color modes: how many channels images have, and images of one mode in another."""

import numpy as np

# Per color mode, PIL's name of it and the number of channels.
COLOR_MODES = {"rgb": ("RGB", 3), "grayscale": ("L", 1)}


def check_color_mode(color_mode: str):
    """Refuses what is no color mode.

    Args:
        color_mode: What is to be one.

    Raises:
        ValueError: If it is none.
    """
    if color_mode not in COLOR_MODES:
        modes = " or ".join(repr(mode) for mode in COLOR_MODES)
        raise ValueError(f"`color_mode` must be {modes}. Received: color_mode={color_mode!r}")


def mode_of(channels: int | None) -> str | None:
    """The color mode of so many channels; `None` where there is none."""
    return next((mode for mode, (_, count) in COLOR_MODES.items() if count == channels), None)


def in_colors(images: np.ndarray, color_mode: str | None) -> np.ndarray:
    """Images of one color mode in another, as PIL converts them.

    Args:
        images: uint8 images `(images, height, width, channels)`.
        color_mode: The other; `None` leaves them as they are.

    Returns:
        The images, likewise.

    Raises:
        ValueError: If they are of neither mode.
    """
    channels = images.shape[-1]
    if color_mode is None or color_mode == mode_of(channels):
        return images
    if mode_of(channels) is None:
        raise ValueError(
            f"`color_mode` must be None for images of {channels} channels, which are neither grey nor red, green and "
            f"blue. Received: color_mode={color_mode!r}"
        )
    if color_mode == "rgb":
        return np.repeat(images[..., :1], 3, axis=-1)
    # The luma of ITU-R 601-2 in fixed-point numbers.
    red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).astype(np.uint8)[..., None]


def color_advice(given: tuple, taken: tuple) -> str:
    """What to do about images in other colours than a model takes; empty for all else.

    Args:
        given: Shape of an image, `(height, width, channels)`.
        taken: Shape that the model takes.

    Returns:
        The end of a sentence.
    """
    if len(given) != 3 or len(taken) != 3 or given[2] == taken[2]:
        return ""
    if mode_of(given[2]) is None or mode_of(taken[2]) is None:
        return ""
    return f'; load them by load_data(color_mode="{mode_of(taken[2])}")'
