"""Figures, drawn from results."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kdefrost.cutting.cut import Cut
from kdefrost.drawing import COLOURS, draw_line, label_places, looks, place_legend, shorten
from kdefrost.profile import words
from kdefrost.profile.comparison import Comparison
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.sizes import size_text
from kdefrost.tables import in_percent, label_of
from kdefrost.transferability.names import LABELS
from kdefrost.transferability.result import Transferability

# Dark enough to be read in small letters.
_WARNING, _MOST_WARNINGS = "#a03000", 5
_BEST = {"markersize": 9, "markeredgecolor": "black", "zorder": 5}


def plot_profile(
    profile: DefrostProfile,
    ax: Axes | Sequence[Axes] | None = None,
    metric: str | None = None,
    scores: Mapping[int | None, Transferability] | None = None,
) -> Axes:
    """Draws a metric against the cut, one line per training set size, darker for larger.

    Error bars are standard errors over seeds or folds. A star marks the best cut of each size, as
    the profile chose it. Of a search only what was tried is marked; the dashed line is the curve that this suggests,
    within two standard deviations. Above it stands what deserves a word (`DefrostProfile.warnings`), in a few.

    Args:
        profile: A `DefrostProfile` with at least one trial.
        ax: Matplotlib axes, with `scores` two of them, of which the second is theirs; by default those of a new figure.
        metric: Name of the metric, by default the objective's.
        scores: Scores without training of the same cuts by size; where there are some, those of the largest size are
            drawn below, each from its lowest to its highest.

    Returns:
        The axes of the metric.

    Raises:
        ValueError: If the axes are not one, or with scores not two.
    """
    below = None
    if ax is not None:
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != (2 if scores else 1):
            expected = "two axes, the second for `scores`" if scores else "one axes"
            raise ValueError(f"`ax` must be {expected}. Received: {len(given)}")
        ax, below = given if scores else (given[0], None)
    else:
        from matplotlib import pyplot

        width = width_for(profile.cuts)
        # Words above the axes take no height from these.
        height = (5.6 if scores else 3.8) + 0.14 * len(_words(profile))
        panels = {"nrows": 2, "sharex": True, "height_ratios": (3, 1.6)} if scores else {}
        drawn = pyplot.subplots(figsize=(width, height), layout="constrained", **panels)[1]
        ax, below = drawn if scores else (drawn, None)
    sizes = profile.per_class
    # Evenly spaced: cuts that are chosen by cost may be neighbours among all, and their names would overlap.
    positions = np.arange(len(profile.cuts))
    on, metric = profile.reported_on, metric or profile.objective.name
    unit = 100 if in_percent(metric) else 1
    for shade, size in zip(np.linspace(1.0, 0.4, len(sizes))[::-1], sizes, strict=True):
        colour = matplotlib.colormaps[COLOURS](shade)
        mean, error = unit * profile.mean(size, on, metric), unit * profile.standard_error(size, on, metric)
        look = {"color": colour, "marker": "o", "markersize": 3.5, "label": _size_label(profile, size)}
        if profile.searched and metric == profile.objective.name:
            if profile.is_scored(size, on):
                _draw_curve(ax, positions, [unit * part for part in profile.curve(size, on)], colour)
            # The curve joins what was tried.
            look |= {"linestyle": "none", "markersize": 5}
        draw_line(ax, positions, mean, error, **look)
        if profile.is_scored(size):
            best = profile.cuts.index(profile.best_cut(size))
            ax.plot(positions[best], mean[best], "*", color=colour, markersize=13, markeredgecolor="black", zorder=5)
    _label(ax, profile, metric)
    if lines := _words(profile):
        # Above the axes, where no data are.
        ax.set_title("\n".join(lines), loc="left", fontsize=7.5, color=_WARNING)
    if below is not None:
        _draw_scores(below, profile, scores)
        ax.set_xlabel("")
        ax.tick_params(axis="x", labelbottom=False)
    return ax


def width_for(cuts: Sequence[Cut]) -> float:
    """How wide the figure of a profile is, in inches, for all names of its cuts."""
    return max(5.0, 0.42 * len(cuts) + 3.2)


def _draw_scores(ax, profile: DefrostProfile, scores: Mapping[int | None, Transferability]):
    """Scores without training against the cut, each from its lowest to its highest, because their units differ."""
    size = max(scores, key=lambda size: np.inf if size is None else size)
    names = scores[size].names
    for name, (colour, marker) in zip(names, looks(len(names)), strict=True):
        mean = scores[size].mean(name)
        low, high = np.nanmin(mean), np.nanmax(mean)
        scaled = (mean - low) / (high - low) if high > low else np.where(np.isnan(mean), np.nan, 0.5)
        ax.plot(scaled, color=colour, marker=marker, markersize=3, linewidth=1, label=LABELS[name])
    _label_cuts(ax, profile.cuts, words.nothing_frozen([profile]))
    ax.set_ylabel("score, scaled")
    place_legend(ax, *ax.get_legend_handles_labels(), f"without training, {size_text(profile, size)}")


def _draw_curve(ax, positions: np.ndarray, curve: tuple[np.ndarray, np.ndarray], colour):
    """The curve that the scores of a search suggest, in a band of two standard deviations."""
    mean, deviation = curve
    ax.plot(positions, mean, color=colour, linewidth=1, linestyle="--", zorder=1.5)
    ax.fill_between(positions, mean - 2 * deviation, mean + 2 * deviation, color=colour, alpha=0.15, linewidth=0)


def compare_profiles(
    profiles: Mapping[str, DefrostProfile], axes: np.ndarray | Sequence[Axes] | Axes | None = None
) -> np.ndarray:
    """Draws profiles of several sources on one target: a panel per training set size, a line per source.

    Error bars are standard errors over seeds or folds. The large filled marker of a line is its best
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
    return plot_comparison(Comparison(dict(profiles)), axes)


def plot_comparison(comparison: Comparison, axes: np.ndarray | Sequence[Axes] | Axes | None = None) -> np.ndarray:
    """Draws a comparison, as `compare_profiles` draws its profiles.

    Args:
        comparison: The comparison.
        axes: As for `compare_profiles`.

    Returns:
        Array `(sizes,)` of the axes.

    Raises:
        ValueError: If the axes are not as many as the sizes.
    """
    sizes, start = comparison.per_class, words.nothing_frozen(comparison.profiles.values())
    if axes is None:
        from matplotlib import pyplot

        width = max(2.4, 0.3 * len(comparison.cuts) + 0.6) * len(sizes) + 1.8
        # Slanted names take their height from the panels.
        height = 2.9 + 0.06 * max(len(_tick(cut, start)) for cut in comparison.cuts)
        axes = pyplot.subplots(1, len(sizes), sharey=True, figsize=(width, height), layout="constrained")[1]
    axes = np.atleast_1d(axes).ravel()
    if len(axes) != len(sizes):
        raise ValueError(f"`axes` must be {len(sizes)}, one for each size ({sizes}). Received: {len(axes)}")
    for ax, size in zip(axes, sizes, strict=True):
        _draw_sources(ax, comparison, size)
        _label_cuts(ax, comparison.cuts, start)
        counted = "" if size is None else f" {_counted(comparison.common)}"
        ax.set_title(f"{_size_label(comparison.common, size)}{counted}", fontsize=10)
    axes[0].set_ylabel(_score_label(comparison.common, comparison.common.objective.name))
    _name_sources(axes[-1], comparison)
    return axes


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


def _name_sources(ax, comparison: Comparison):
    """The legend of a comparison, beside its last panel."""
    handles, labels = ax.get_legend_handles_labels()
    best = Line2D([], [], marker="o", color="0.6", linestyle="none", **_BEST)
    handles, labels = [*handles, best], [*labels, _chosen_by(comparison.common)]
    if np.isfinite([comparison.scratch(size) for size in comparison.per_class]).any():
        handles.append(Line2D([], [], color="0.45", linewidth=1, linestyle="--"))
        labels.append("scratch (cut 0)")
    place_legend(ax, handles, labels, "source")


def _score_label(profile: DefrostProfile, metric: str) -> str:
    unit = " (%)" if in_percent(metric) else ""
    lower = " (lower is better)" if (metric, "min") == (profile.objective.name, profile.objective.direction) else ""
    return f"{words.set_name(profile, profile.reported_on)} {label_of(metric)}{unit}{lower}"


def _size_label(profile: DefrostProfile, size: int | None) -> str:
    return size_text(profile, None) if size is None else str(size)


def _chosen_by(profile: DefrostProfile) -> str:
    return f"best cut\n(by {profile.chosen_on if profile.folds is None else 'folds'})"


def _counted(profile: DefrostProfile) -> str:
    """What sizes are numbers of."""
    if profile.per_class == [None]:
        return "trained on"
    return "images per class" if profile.has_classes else "training images"


def _label_cuts(ax, cuts: Sequence[Cut], start: str):
    """Names the cuts below the axes, and takes away the frame."""
    label_places(ax, [_tick(cut, start) for cut in cuts], "frozen up to layer (cut)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)


def _label(ax, profile: DefrostProfile, metric: str):
    _label_cuts(ax, profile.cuts, words.nothing_frozen([profile]))
    ax.set_ylabel(_score_label(profile, metric))
    handles, labels = ax.get_legend_handles_labels()
    star = Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=11, linestyle="none")
    handles, labels = [*handles[::-1], star], [*labels[::-1], _chosen_by(profile)]
    if profile.searched and metric == profile.objective.name:
        handles.append(Line2D([], [], color="0.3", linewidth=1, linestyle="--"))
        labels.append("curve over depth\n(band: 2 deviations)")
    place_legend(ax, handles, labels, _counted(profile))


def _words(profile: DefrostProfile) -> list[str]:
    """What deserves a word, in so many lines as a figure has room for."""
    said = [f"! {each.short}" for each in profile.warnings]
    left = len(said) - _MOST_WARNINGS + 1
    return [*said[:-left], f"! and {left} more: see the summary"] if left > 1 else said


def _tick(cut: Cut, start: str) -> str:
    if cut.frozen_layers == 0:
        return f"{cut.index} ({start})"
    name = shorten(cut.name)
    return f"{name} {cut.index} (vanilla)" if cut.frozen_layers == cut.layers - 1 else f"{name} {cut.index}"
