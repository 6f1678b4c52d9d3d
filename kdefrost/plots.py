"""Figures, drawn from results."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from kdefrost.comparison import Comparison
from kdefrost.cuts import Cut
from kdefrost.profile import DefrostProfile
from kdefrost.tables import in_percent, label_of

# One hue from light to dark: readable in grey and with any colour vision.
_COLOURS = "YlGnBu"
# Sources, of which one is not more of another, differ in hue too, still from light to dark, and in their markers.
_SOURCES = "viridis"
_MARKERS = "osD^vPX"
_BEST = {"markersize": 9, "markeredgecolor": "black", "zorder": 5}
# Letters of a layer's or a class's name that a tick has room for.
_LONGEST = 22
# Letters of a class's name that fit above its column, and the inches that a column and a letter take.
_UPRIGHT = 11
_COLUMN, _LETTER = 0.66, 0.06


def plot_profile(profile: DefrostProfile, ax=None, metric: str | None = None):
    """Draws a metric against the cut, one line per training set size, darker for larger.

    Error bars are standard errors over seeds. A star marks the best cut of each size, as
    the profile chose it.

    Args:
        profile: A `DefrostProfile` with at least one trial.
        ax: Matplotlib axes; by default those of a new figure.
        metric: Name of the metric, by default the objective's.

    Returns:
        The axes.
    """
    if ax is None:
        from matplotlib import pyplot

        width = max(5.0, 0.42 * len(profile.cuts) + 3.2)
        ax = pyplot.subplots(figsize=(width, 3.8), layout="constrained")[1]
    sizes = profile.per_class
    # Evenly spaced: cuts that are chosen by cost may be neighbours among all, and their names would overlap.
    positions = np.arange(len(profile.cuts))
    on, metric = profile.reported_on, metric or profile.objective.name
    unit = 100 if in_percent(metric) else 1
    for shade, size in zip(np.linspace(1.0, 0.4, len(sizes))[::-1], sizes, strict=True):
        colour = matplotlib.colormaps[_COLOURS](shade)
        mean, error = unit * profile.mean(size, on, metric), unit * profile.standard_error(size, on, metric)
        draw_line(ax, positions, mean, error, color=colour, marker="o", markersize=3.5, label=str(size))
        best = profile.cuts.index(profile.best_cut(size))
        ax.plot(positions[best], mean[best], "*", color=colour, markersize=13, markeredgecolor="black", zorder=5)
    _label(ax, profile, metric)
    return ax


def compare_profiles(profiles: Mapping[str, DefrostProfile], axes=None):
    """Draws profiles of several sources on one target: a panel per training set size, a line per source.

    Error bars are standard errors over seeds. The large filled marker of a line is its best
    cut, as the profile chose it. The dashed line is training from scratch, which is the same
    whatever the source: below it, a transfer does harm.

    Args:
        profiles: The profiles by the names of their sources, best from the crudest to the
            closest to the target: later ones are darker. They may differ in nothing but the
            source; see `kdefrost.Comparison`.
        axes: Matplotlib axes, one for each size; by default those of a new figure, side by
            side with one axis of scores.

    Returns:
        Array `(sizes,)` of the axes.

    Raises:
        ValueError: If the profiles cannot be compared, or the axes are not as many as the
            sizes.

    Example:

    >>> axes = compare_profiles({"isogm": crude, "gm": close})
    >>> axes[0].figure.savefig("compare.svg")
    """
    comparison = Comparison(dict(profiles))
    sizes = comparison.per_class
    if axes is None:
        from matplotlib import pyplot

        width = max(2.4, 0.3 * len(comparison.cuts) + 0.6) * len(sizes) + 1.8
        # Slanted names take their height from the panels.
        height = 2.9 + 0.06 * max(len(_tick(cut)) for cut in comparison.cuts)
        axes = pyplot.subplots(1, len(sizes), sharey=True, figsize=(width, height), layout="constrained")[1]
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != len(sizes):
        raise ValueError(f"`axes` must be {len(sizes)}, one for each size ({sizes}). Received: {len(axes)}")
    for ax, size in zip(axes, sizes, strict=True):
        _draw_sources(ax, comparison, size)
        _label_cuts(ax, comparison.cuts)
        ax.set_title(f"{size} {_counted(comparison.common)}", fontsize=10)
    axes[0].set_ylabel(_score_label(comparison.common, comparison.common.objective.name))
    _name_sources(axes[-1], comparison)
    return axes


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
    >>> plot_clones(rows, data.classes)
    """
    height, width = _check_rows(rows, classes)
    gap, slanted = max(1, height // 16), max(map(len, classes)) > _UPRIGHT
    if ax is None:
        from matplotlib import pyplot

        beside, above = (_LETTER * min(_LONGEST, max(map(len, names))) for names in (rows, classes))
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


def save_figure(figure, path: str | os.PathLike):
    """Writes a figure, in the format that the path ends with, so that it is there whole or not at all."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    figure.savefig(beside, format=path.suffix[1:], dpi=200)
    beside.replace(path)


def draw_line(ax, positions: np.ndarray, mean: np.ndarray, error: np.ndarray, **style):
    """A line through what was tried, with error bars where there are errors."""
    tried = np.isfinite(mean)
    error = np.nan_to_num(error[tried])
    ax.errorbar(positions[tried], mean[tried], yerr=error, capsize=2, linewidth=1.5, **style)


def _draw_sources(ax, comparison: Comparison, size: int):
    """The lines of all sources at one size, over the scores of training from scratch."""
    unit = 100 if in_percent(comparison.common.objective.name) else 1
    scratch = unit * comparison.scratch(size)
    if np.isfinite(scratch):
        ax.axhline(scratch, color="0.45", linewidth=1, linestyle="--", zorder=1)
    places = {cut.index: place for place, cut in enumerate(comparison.cuts)}
    for (name, profile), (colour, marker) in zip(
        comparison.profiles.items(), looks(len(comparison.profiles)), strict=True
    ):
        positions = np.array([places[cut.index] for cut in profile.cuts])
        on = profile.reported_on
        mean, error = unit * profile.mean(size, on), unit * profile.standard_error(size, on)
        style = {"color": colour, "marker": marker, "markersize": 4, "markerfacecolor": "white"}
        draw_line(ax, positions, mean, error, **style, label=name)
        if profile.is_scored(size):
            best = profile.cuts.index(profile.best_cut(size))
            ax.plot(positions[best], mean[best], marker, color=colour, **_BEST)


def looks(count: int) -> list[tuple]:
    """A colour and a marker for each of some sources, darker for later ones."""
    shades = np.linspace(0.0, 0.8, count)[::-1]
    return list(zip(matplotlib.colormaps[_SOURCES](shades), itertools.cycle(_MARKERS), strict=False))


def _name_sources(ax, comparison: Comparison):
    """The legend of a comparison, beside its last panel."""
    handles, labels = ax.get_legend_handles_labels()
    best = Line2D([], [], marker="o", color="0.6", linestyle="none", **_BEST)
    handles, labels = [*handles, best], [*labels, f"best cut\n(by {comparison.common.chosen_on})"]
    if comparison.cuts[0].index == 0:
        handles.append(Line2D([], [], color="0.45", linewidth=1, linestyle="--"))
        labels.append("scratch (cut 0)")
    place_legend(ax, handles, labels, "source")


def place_legend(ax, handles, labels, title: str):
    """A legend beside the axes, where no data are."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(handles, labels, title=title, fontsize=8, title_fontsize=8, frameon=False, **place)


def _score_label(profile: DefrostProfile, metric: str) -> str:
    unit = " (%)" if in_percent(metric) else ""
    lower = " (lower is better)" if (metric, "min") == (profile.objective.name, profile.objective.direction) else ""
    return f"{profile.reported_on} {label_of(metric)}{unit}{lower}"


def _counted(profile: DefrostProfile) -> str:
    """What sizes are numbers of."""
    return "images per class" if profile.has_classes else "training images"


def _label_cuts(ax, cuts: Sequence[Cut]):
    """Names the cuts below the axes, and takes away the frame."""
    label_places(ax, [_tick(cut) for cut in cuts], "frozen up to layer (cut)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)


def label_places(ax, names: Sequence[str], axis: str):
    """Names places 0, 1, … below the axes, slanted."""
    ax.set_xticks(range(len(names)), names)
    ax.tick_params(axis="x", labelrotation=45, labelsize=8)
    for tick in ax.get_xticklabels():
        tick.set(horizontalalignment="right", rotation_mode="anchor")
    ax.set_xlabel(axis)


def _label(ax, profile: DefrostProfile, metric: str):
    _label_cuts(ax, profile.cuts)
    ax.set_ylabel(_score_label(profile, metric))
    handles, labels = ax.get_legend_handles_labels()
    star = Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=11, linestyle="none")
    labels = [*labels[::-1], f"best cut\n(by {profile.chosen_on})"]
    place_legend(ax, [*handles[::-1], star], labels, _counted(profile))


def _tick(cut: Cut) -> str:
    if cut.frozen_layers == 0:
        return f"{cut.index} (scratch)"
    name = shorten(cut.name)
    return f"{name} {cut.index} (vanilla)" if cut.frozen_layers == cut.layers - 1 else f"{name} {cut.index}"


def shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
