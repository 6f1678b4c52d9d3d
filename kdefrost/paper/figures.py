"""The paper's figures, each as the paper lays it out, drawn from results."""

from collections.abc import Callable

from matplotlib.figure import Figure as Drawing

from kdefrost.paper.panels import (
    colour_of,
    draw_images,
    draw_profile,
    draw_similarity,
    draw_sizes,
    mark_downsampling,
    name_axes,
    say_missing,
    shades,
    title_of,
)
from kdefrost.paper.results import FigureResults

_NOT_RUN = "not run: network or\npatches are missing"
_IMBALANCE = "information_imbalance_xy"


def draw(results: FigureResults) -> Drawing:
    """Draws a figure of the paper.

    Args:
        results: What it is drawn from.

    Returns:
        The Matplotlib figure.
    """
    return _DRAWINGS[results.figure.number](results)


def figure_1(results: FigureResults) -> Drawing:
    """Four transfers, each a profile above images of its source and its target."""
    drawing = _drawing(8.4, 7.0)
    panels = drawing.add_gridspec(2, 2)
    for panel, letter, (transfer, profile) in zip(panels, "abcd", _panels(results), strict=True):
        grid = panel.subgridspec(2, 2, height_ratios=(4, 1))
        ax = drawing.add_subplot(grid[0, :])
        ax.set_title(f"({letter}) {_arrow(transfer)}", fontsize=10)
        if profile is None:
            say_missing(ax, _NOT_RUN)
        else:
            (size,) = profile.per_class
            draw_profile(ax, profile, size, shades(1, "Blues")[0], profile.size_text(size))
            name_axes(ax, profile)
            ax.legend(fontsize=7, frameon=False)
        for column, name in enumerate((transfer.source, transfer.target)):
            _draw_samples(drawing.add_subplot(grid[1, column]), results, name)
    return drawing


def figure_3(results: FigureResults) -> Drawing:
    """Profiles at growing sizes, one transfer above the other."""
    return _draw_all_sizes(results, rows=2, columns=1, colours=("Reds", "Greens"))


def figure_4(results: FigureResults) -> Drawing:
    """Profiles from three clones side by side, each with an image of its clone."""
    drawing = _drawing(9.6, 3.2)
    axes = drawing.subplots(1, len(results.profiles), sharey=True)
    for ax, (transfer, profile) in zip(axes, _panels(results), strict=True):
        (size,) = profile.per_class
        draw_profile(ax, profile, size, colour_of(transfer.source))
        name_axes(ax, profile)
        ax.set_title(f"{_arrow(transfer)}, {profile.size_text(size)}", fontsize=10)
        # Beside the panel's lines, whichever way they run.
        ax.margins(y=0.35)
        draw_images(ax.inset_axes([0.03, 0.02, 0.28, 0.3]), results.samples[transfer.source][:1], "")
    for ax in axes[1:]:
        ax.set_ylabel("")
    return drawing


def figure_5(results: FigureResults) -> Drawing:
    """Accuracy and distance of the first layer against the strength of springs."""
    accuracy, _ = results.compliance.plot()
    springs = results.figure.springs
    accuracy.set_title(f"{title_of(springs.target)}, held near {title_of(springs.source)}", fontsize=10)
    return accuracy.figure


def figure_6(results: FigureResults) -> Drawing:
    """Information Imbalance above the profiles, on one axis of depth."""
    drawing = _drawing(5.6, 6.2)
    top, bottom = drawing.subplots(2, 1, sharex=True)
    for source, similarity in results.similarities.items():
        draw_similarity(top, similarity, _IMBALANCE, colour_of(source), title_of(source))
    for transfer, profile in _panels(results):
        (size,) = profile.per_class
        draw_profile(bottom, profile, size, colour_of(transfer.source), title_of(transfer.source))
        mark_downsampling(bottom, profile)
        name_axes(bottom, profile)
    mark_downsampling(top, next(iter(results.similarities.values())))
    top.set(ylabel="Information Imbalance", xlabel="")
    top.legend(fontsize=8, frameon=False)
    return drawing


def figure_7(results: FigureResults) -> Drawing:
    """Profiles at growing sizes from ever better clones, in four panels."""
    return _draw_all_sizes(results, rows=2, columns=2, colours=("RdPu", "Oranges", "Blues", "Greens"))


def figure_8(results: FigureResults) -> Drawing:
    """Information Imbalance of clones, lighter for better ones."""
    drawing = _drawing(5.6, 3.6)
    ax = drawing.subplots()
    colours = shades(len(results.similarities), "viridis")
    for (source, similarity), colour in zip(results.similarities.items(), colours, strict=True):
        draw_similarity(ax, similarity, _IMBALANCE, colour, title_of(source))
    mark_downsampling(ax, similarity)
    ax.set_ylabel("Information Imbalance")
    ax.legend(fontsize=8, frameon=False)
    return drawing


def figure_9(results: FigureResults) -> Drawing:
    """Three other measures, a panel each."""
    drawing = _drawing(10.0, 3.2)
    measures = {
        "cka": "linear CKA",
        "neighbor_spearman_xy": "Spearman, 100 neighbours",
        "neighborhood_overlap": "overlap, 30 neighbours",
    }
    axes = drawing.subplots(1, len(measures))
    for ax, (number, label) in zip(axes, measures.items(), strict=True):
        for source, similarity in results.similarities.items():
            draw_similarity(ax, similarity, number, colour_of(source), title_of(source))
        mark_downsampling(ax, similarity)
        ax.set_ylabel(label)
    axes[-1].legend(fontsize=8, frameon=False)
    return drawing


_DRAWINGS: dict[int, Callable[[FigureResults], Drawing]] = {
    1: figure_1,
    3: figure_3,
    4: figure_4,
    5: figure_5,
    6: figure_6,
    7: figure_7,
    8: figure_8,
    9: figure_9,
}


def _draw_all_sizes(results: FigureResults, rows: int, columns: int, colours: tuple[str, ...]) -> Drawing:
    drawing = _drawing(4.8 * columns, 3.1 * rows)
    axes = drawing.subplots(rows, columns).ravel()
    for ax, shade, (transfer, profile) in zip(axes, colours, _panels(results), strict=True):
        ax.set_title(_arrow(transfer), fontsize=10)
        if profile is None:
            say_missing(ax, _NOT_RUN)
        else:
            draw_sizes(ax, profile, shade)
    return drawing


def _draw_samples(ax, results: FigureResults, name: str):
    if name in results.samples:
        draw_images(ax, results.samples[name], title_of(name))
    else:
        ax.text(0.5, 0.5, title_of(name), ha="center", va="center", color="0.4", fontsize=8)
        ax.axis("off")


def _panels(results: FigureResults) -> list[tuple]:
    return list(zip(results.figure.transfers, results.profiles, strict=True))


def _arrow(transfer) -> str:
    return f"{title_of(transfer.source)} → {title_of(transfer.target)}"


def _drawing(width: float, height: float) -> Drawing:
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained")
