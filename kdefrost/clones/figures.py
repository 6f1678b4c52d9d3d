"""Figures of clones."""

from collections.abc import Mapping, Sequence

import numpy as np

from kdefrost.drawing import LONGEST, shorten

# Letters of a class's name that fit above its column, and the inches that a column and a letter take.
_UPRIGHT = 11
_COLUMN, _LETTER = 0.66, 0.06


def plot_clones(rows: Mapping[str, np.ndarray], classes: Sequence[str], ax=None):
    """Draws a picture of each class from each of several sets, a row per set and a column per class.

    All are drawn in the range of pixels, from 0 to 255; only here are the clones' numbers
    rounded and clipped to it. Images of one channel are grey.

    Args:
        rows: By the set's name, from top to bottom, one image of each class, `(classes,
            height, width, channels)` with 1 or 3 channels.
        classes: Names of the classes, from left to right.
        ax: Matplotlib axes; by default those of a new figure.

    Returns:
        The axes, which hold one image: all rows and columns, with white between them.

    Raises:
        ValueError: If there is no row, or one has not such an image for each class.

    Example:

    >>> first = [data.test.labels.tolist().index(label) for label in range(len(data.classes))]
    >>> rows = {part.name: part.test.images[first] for part in (data, clone)}
    >>> ax = plot_clones(rows, data.classes)
    """
    height, width = _check_rows(rows, classes)
    gap, slanted = max(1, height // 16), max(map(len, classes)) > _UPRIGHT
    if ax is None:
        from matplotlib import pyplot

        beside, above = (_LETTER * min(LONGEST, max(map(len, names))) for names in (rows, classes))
        above = above if slanted else 0.0
        size = _COLUMN * len(classes) + beside + above + 0.2, _COLUMN * len(rows) * height / width + above + 0.3
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    # "none" leaves the pixels as they are, also in a vector format.
    ax.imshow(_mosaic(list(rows.values()), gap), interpolation="none")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=8, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.set_yticks(_centres(len(rows), height, gap), [shorten(name) for name in rows])
    ax.set_xticks(_centres(len(classes), width, gap), [shorten(name) for name in classes])
    if slanted:
        for tick in ax.get_xticklabels():
            tick.set(rotation=45, horizontalalignment="left", rotation_mode="anchor")
    return ax


def _check_rows(rows: Mapping[str, np.ndarray], classes: Sequence[str]) -> tuple[int, int]:
    """Height and width of the images, if all are alike."""
    shapes = {name: np.shape(images) for name, images in rows.items()}
    expected = next(iter(shapes.values()), ())
    alike = len(set(shapes.values())) == 1 and len(expected) == 4
    if not alike or expected[0] != len(classes) or expected[-1] not in (1, 3):
        raise ValueError(
            f"`rows` must have one image for each of the {len(classes)} `classes` in every row, of shape "
            f"({len(classes)}, height, width, 1 or 3). Received: {shapes}"
        )
    return expected[1:3]


def _centres(count: int, side: int, gap: int) -> np.ndarray:
    """Where the middles of so many images lie, in pixels."""
    return np.arange(count) * (side + gap) + (side - 1) / 2


def _mosaic(rows: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """One image `(height, width, 3)` of rows of images, with `gap` white pixels between them."""
    pixels = np.rint(np.clip(np.stack(rows), 0, 255)).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
    pixels = np.pad(pixels, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    count, columns, height, width, _ = pixels.shape
    whole = pixels.transpose(0, 2, 1, 3, 4).reshape(count * height, columns * width, 3)
    return whole[:-gap, :-gap]
