"""Figures of the scores of several sources, drawn from results."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from kdefrost.drawing import label_places, looks, shorten
from kdefrost.ranking.result import SourceRanking
from kdefrost.transferability.names import ACCURACIES, LABELS


def plot(result: SourceRanking, axes: np.ndarray | Sequence[Axes] | Axes | None = None) -> np.ndarray:
    """Draws each score of each source at its best cut, a panel per score, because their units differ.

    Error bars are standard errors over draws (see `SourceRanking.ranking`). Sources stand in their given order.

    Args:
        result: The result.
        axes: Matplotlib axes, one for each score; by default those of a new figure, beside each other.

    Returns:
        Array `(scores,)` of the axes.

    Raises:
        ValueError: If the axes are not as many as the scores.
    """
    names = result.names
    if axes is None:
        from matplotlib import pyplot

        size = len(names) * (0.3 * len(result.results) + 1.3), 3.2
        axes = pyplot.subplots(1, len(names), figsize=size, layout="constrained", squeeze=False)[1]
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != len(names):
        raise ValueError(f"`axes` must be {len(names)}, one for each score. Received: {len(axes)}")
    for ax, name in zip(axes, names, strict=True):
        _draw(ax, result, name)
    return axes


def _draw(ax, result: SourceRanking, name: str):
    unit = 100 if name in ACCURACIES else 1
    ranked = {each.source: each for each in result.ranking(name)}
    for place, (source, (colour, marker)) in enumerate(zip(result.results, looks(len(result.results)), strict=True)):
        if source in ranked:
            score, error = unit * ranked[source].score, np.nan_to_num(unit * ranked[source].error)
            ax.errorbar(place, score, error, color=colour, marker=marker, capsize=2, label=source)
    label_places(ax, [shorten(source) for source in result.results], "source")
    ax.set_xlim(-0.5, len(result.results) - 0.5)
    ax.set_ylabel(f"{LABELS[name]}{' (%)' if name in ACCURACIES else ''}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)
