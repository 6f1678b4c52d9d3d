"""Figures of scores without training, drawn from results."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from kdefrost.drawing import draw_line, label_places, shorten
from kdefrost.transferability.names import ACCURACIES, LABELS
from kdefrost.transferability.result import Transferability

_COLOUR = "#2c7fb8"


def plot(result: Transferability, axes: np.ndarray | Sequence[Axes] | Axes | None = None) -> np.ndarray:
    """Draws each score against the cut, a panel per score, because their units differ.

    Error bars are standard errors over seeds. A star marks the highest.

    Args:
        result: The result.
        axes: Matplotlib axes, one for each score; by default those of a new figure, up to four beside each other.

    Returns:
        Array `(scores,)` of the axes.

    Raises:
        ValueError: If the axes are not as many as the scores.
    """
    names = result.names
    if axes is None:
        axes = _new_axes(len(names), len(result.cuts))
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != len(names):
        raise ValueError(f"`axes` must be {len(names)}, one for each score. Received: {len(axes)}")
    for ax, name in zip(axes, names, strict=True):
        _draw(ax, result, name)
    return axes


def _new_axes(count: int, cuts: int) -> np.ndarray:
    from matplotlib import pyplot

    columns = min(4, count)
    rows = -(-count // columns)
    size = (columns * (0.24 * cuts + 1.4), 3.4 * rows)
    axes = np.ravel(pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)[1])
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def _draw(ax, result: Transferability, name: str):
    unit = 100 if name in ACCURACIES else 1
    places, mean, best = np.arange(len(result.cuts)), unit * result.mean(name), result.best_cut(name)
    draw_line(ax, places, mean, unit * result.standard_error(name), color=_COLOUR, marker="o", markersize=3.5)
    if best is not None:
        at = result.cuts.index(best)
        ax.plot(at, mean[at], "*", color=_COLOUR, markersize=13, markeredgecolor="black", zorder=5, clip_on=False)
    label_places(ax, [f"{shorten(cut.name)} {cut.index}" for cut in result.cuts], "after layer (cut)")
    ax.set_ylabel(f"{LABELS[name]}{' (%)' if name in ACCURACIES else ''}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)
