"""Figures of the similarity of networks, drawn from results."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kdefrost.cutting.cut import Cut
from kdefrost.drawing import draw_line, label_places, looks, place_legend, shorten
from kdefrost.similarity.representations import MEASURES
from kdefrost.similarity.result import LABELS, LayerwiseSimilarity
from kdefrost.statistics import mean_over_seeds

# What is drawn of each measure: solid, and dashed where it has a way back.
_DRAWN = {**MEASURES, "cka": ("cka",)}
# What the legend of the sources is called: they are those of the first networks.
_X = "X trained on"


def plot(result: LayerwiseSimilarity, axes: np.ndarray | Sequence[Axes] | Axes | None = None) -> np.ndarray | Axes:
    """Draws all measures against the layer, or CKA (else the first number) between all layers.

    Args:
        result: The result.
        axes: Matplotlib axes, one for each measure, or one.

    Returns:
        The axes.
    """
    if result.is_matrix:
        return plot_similarity_matrix(result, "cka" if "cka" in result.names else result.names[0], axes)
    return plot_layerwise({"": result}, axes=axes)


def plot_layerwise(results: Mapping[str, LayerwiseSimilarity], measures: Sequence[str] | None = None, axes=None):
    """Draws measures of similarity against the layer: a panel per measure, a line per source.

    Error bars are standard errors over pairs of networks. Of a measure with a direction the
    solid line is from the first network of a pair to the second, the dashed one back.

    Args:
        results: Results by the names of their sources, best from the crudest to the closest: later
            ones are darker. All of the same layers, each compared with its counterpart.
        measures: Names of measures, as in `kdefrost.similarity.MEASURES`; by default all that the
            results have.
        axes: Matplotlib axes, one for each measure; by default those of a new figure, side by
            side.

    Returns:
        Array `(measures,)` of the axes.

    Raises:
        ValueError: If there is nothing to draw, the results differ in their layers or lack a
            measure, or the axes are not as many as the measures.

    Example:

    >>> axes = plot_layerwise({"isogm": crude, "gm": close}, ["cka", "neighborhood_overlap"])
    >>> axes[0].figure.savefig("similarity.svg")
    """
    layers, names = _common(results)
    if measures is None:
        measures = [measure for measure, drawn in _DRAWN.items() if drawn[0] in names]
    missing = [measure for measure in measures if measure not in _DRAWN or _DRAWN[measure][0] not in names]
    if missing or not measures:
        raise ValueError(f"`measures` must be measured in all `results`. Received: {measures!r}; there are {names}")
    if axes is None:
        from matplotlib import pyplot

        width = (0.3 * len(layers) + 1.1) * len(measures) + 1.7
        height = 2.9 + 0.06 * max(len(name) for name in layers)
        axes = pyplot.subplots(1, len(measures), figsize=(width, height), layout="constrained")[1]
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != len(measures):
        raise ValueError(f"`axes` must be {len(measures)}, one for each measure. Received: {len(axes)}")
    for ax, measure in zip(axes, measures, strict=True):
        _draw_measure(ax, results, _DRAWN[measure])
        _frame(ax, layers)
    directed = any(len(_DRAWN[measure]) > 1 for measure in measures)
    _name_sources(axes[-1], results, directed)
    return axes


def plot_imbalance_plane(results: Mapping[str, LayerwiseSimilarity], ax=None):
    """Draws the imbalance plane: that from the first network to the second against that back.

    A point is a layer, in the order of the line from its ring, the first layer, on. Near the
    origin two layers tell the same, near (1, 1) nothing of each other; above the diagonal the
    first network's tells more than the second's (Glielmo et al., 2022, PNAS Nexus 1(2), pgac039).

    Args:
        results: As for `plot_layerwise`.
        ax: Matplotlib axes; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the results were not measured so, or differ in their layers.
    """
    forth, back = _DRAWN["information_imbalance"]
    _, names = _common(results)
    if forth not in names:
        raise ValueError(f"`results` must have the information imbalance. Received: {', '.join(names)}")
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(5.0, 3.8), layout="constrained")[1]
    numbers = np.concatenate([result.mean(number) for result in results.values() for number in (forth, back)])
    far = 1.08 * max(numbers[np.isfinite(numbers)], default=1)
    ax.plot([0, far], [0, far], color="0.7", linewidth=1, zorder=1)
    for (name, result), (colour, marker) in zip(results.items(), looks(len(results)), strict=True):
        (x, x_error), (y, y_error) = (_numbers(result, number) for number in (forth, back))
        style = {"color": colour, "marker": marker, "markersize": 4, "markerfacecolor": "white"}
        ax.errorbar(x, y, xerr=x_error, yerr=y_error, capsize=2, linewidth=1.2, label=name, **style)
        first = np.flatnonzero(np.isfinite(x + y))[:1]
        ax.plot(x[first], y[first], "o", color=colour, markersize=9, markerfacecolor="none")
    ax.set(xlabel=LABELS[forth], ylabel=LABELS[back], xlim=(0, far), ylim=(0, far), aspect="equal")
    ax.spines[["top", "right"]].set_visible(False)
    ring = Line2D([], [], marker="o", color="0.4", linestyle="none", markersize=9, markerfacecolor="none")
    handles, labels = ax.get_legend_handles_labels()
    place_legend(ax, [*handles, ring], [*labels, "first layer"], _X)
    return ax


def plot_similarity_matrix(result: LayerwiseSimilarity, name: str = "cka", ax=None):
    """Draws a number between all layers of one network and all of another, the mean over pairs.

    X is the first network, Y the second.

    Args:
        result: A result in which all layers were compared with all.
        name: Name of the number.
        ax: Matplotlib axes; by default those of a new figure.

    Returns:
        The axes, which hold one image, blank where there is no number.

    Raises:
        ValueError: If there is no such number.
    """
    numbers = result.matrix(name)
    matrix = mean_over_seeds(numbers.reshape(len(numbers), -1)).reshape(numbers.shape[1:])
    if ax is None:
        from matplotlib import pyplot

        size = 0.34 * np.array(matrix.shape[::-1]) + (2.6, 1.6)
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    image = ax.imshow(matrix, origin="lower", cmap="viridis", vmin=min([0.0, *matrix[np.isfinite(matrix)]]), vmax=1)
    ax.figure.colorbar(image, ax=ax, label=LABELS[name], shrink=0.8)
    label_places(ax, _layer_names(result.layers_b), "layer of Y (cut)")
    ax.set_yticks(range(len(result.layers_a)), _layer_names(result.layers_a), fontsize=8)
    ax.set_ylabel("layer of X (cut)")
    return ax


def _common(results: Mapping[str, LayerwiseSimilarity]) -> tuple[list[str], list[str]]:
    """The names of the layers, and those of the numbers that all results have."""
    if not results:
        raise ValueError("`results` must hold one or more results by name. Received: none")
    first = next(iter(results.values()))
    for name, result in results.items():
        shapes = [[(cut.index, cut.shape_text) for cut in each.layers_a] for each in (first, result)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`results` must be of the same layers. Received: {shapes[0]} of {next(iter(results))!r} and "
                f"{shapes[1]} of {name!r}"
            )
    names = [name for name in LABELS if all(name in result.names for result in results.values())]
    return _layer_names(first.layers_a), names


def _layer_names(cuts: Sequence[Cut]) -> list[str]:
    return [f"{shorten(cut.name)} {cut.index}" for cut in cuts]


def _numbers(result: LayerwiseSimilarity, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Means of the layers and their errors, zero where there is one pair."""
    return result.mean(name), np.nan_to_num(result.standard_error(name))


def _draw_measure(ax, results: Mapping[str, LayerwiseSimilarity], names: Sequence[str]):
    for (source, result), (colour, marker) in zip(results.items(), looks(len(results)), strict=True):
        style = {"color": colour, "marker": marker, "markersize": 4, "markerfacecolor": "white"}
        for name, line in zip(names, ("-", "--"), strict=False):
            mean, error = _numbers(result, name)
            label = source if line == "-" else "_way back"
            draw_line(ax, np.arange(len(mean)), mean, error, linestyle=line, label=label, **style)
    ax.set_ylabel(LABELS[names[0]].removesuffix(" X→Y"))


def _frame(ax, layers: Sequence[str]):
    label_places(ax, layers, "layer (cut)")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)


def _name_sources(ax, results: Mapping[str, LayerwiseSimilarity], directed: bool):
    handles, labels = ax.get_legend_handles_labels()
    if directed:
        handles += [Line2D([], [], color="0.4", linestyle=line) for line in ("-", "--")]
        labels += ["X→Y", "Y→X"]
    place_legend(ax, handles, labels, _X)
