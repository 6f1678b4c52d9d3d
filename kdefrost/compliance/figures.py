"""Figures of compliance, drawn from results."""

import itertools
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from kdefrost.compliance.agreement import Agreement
from kdefrost.compliance.result import DISTANCES, ComplianceProfile
from kdefrost.compliance.strengths import strength_text
from kdefrost.drawing import label_places, place_legend, shorten
from kdefrost.statistics import over_seeds
from kdefrost.tables import in_percent, label_of

# Told apart in grey as well, and with any colour vision.
_SCORE, _DISTANCE = "#0072b2", "#d55e00"
# So many points of a score in percent are shown at least, so that noise does not fill the figure.
_LEAST_SPAN = 10.0
# Where the ends stand beside the strengths between them, in decades.
_GAP = 1.0


def plot_strengths(
    profile: ComplianceProfile, layers: int | None = None, kind: str = "cosine", ax: Axes | None = None
) -> tuple[Axes, Axes]:
    """Draws the score and the distance of the first layer's weights from the source's against the strength.

    The ends, no springs and frozen weights, stand apart from the logarithmic axis between them. Error
    bars are standard errors over seeds.

    Args:
        profile: A `ComplianceProfile` with at least one strength between the ends.
        layers: How many layers were held; may be left out where there is one number of them.
        kind: The distance: `"cosine"` or `"euclidean"`.
        ax: Matplotlib axes, which get a twin for the distance; by default those of a new figure.

    Returns:
        `(axes of the score, axes of the distance)`.

    Raises:
        ValueError: If there is no such number of layers or distance, or nothing between the ends.
    """
    layers = _only(profile.counts) if layers is None else layers
    between = np.isfinite(profile.strengths) & (np.array(profile.strengths) > 0)
    if kind not in DISTANCES:
        raise ValueError(f"`kind` must be one of {', '.join(DISTANCES)}. Received: kind={kind!r}")
    if not between.any():
        raise ValueError("There is nothing to draw between no springs and frozen weights; run other strengths.")
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(5.6, 3.6), layout="constrained")[1]
    metric = profile.objective.name
    unit = 100 if in_percent(metric) else 1
    positions = _positions(profile.strengths, between)
    twin = ax.twinx()
    score = {"color": _SCORE, "marker": "o", "label": label_of(metric)}
    distance = {"color": _DISTANCE, "marker": "s", "linestyle": "--", "label": f"{DISTANCES[kind]},\nfirst layer"}
    _draw(ax, positions, unit * profile.scores(layers), between, score)
    _draw(twin, positions, profile.distances(layers, 0, kind), between, distance)
    percent = " (%)" if unit == 100 else ""
    ax.set_ylabel(f"{profile.reported_on} {label_of(metric)}{percent}", color=_SCORE)
    twin.set_ylabel(f"{DISTANCES[kind]}, first layer", color=_DISTANCE)
    # Room for the marker of what is frozen.
    twin.set_ylim(bottom=-0.03 * twin.get_ylim()[1])
    _widen(ax, _LEAST_SPAN if unit == 100 else 0.0)
    ax.set_xlabel(f"strength λ of the springs on the first {layers} layers")
    _name_strengths(ax, profile.strengths, positions)
    for axes in (ax, twin):
        axes.spines[["top"]].set_visible(False)
    return ax, twin


def plot_agreement(agreements: Sequence[Agreement], ax=None):
    """Draws the score against the cut: layers before it held by springs, and frozen and cached as in a profile.

    Error bars are standard errors over seeds.

    Args:
        agreements: Results of `ComplianceProfile.against` with one profile, for one or more strengths.
        ax: Matplotlib axes; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there are none, or they differ in their cuts.
    """
    if not agreements or any(each.cuts != agreements[0].cuts for each in agreements):
        raise ValueError("`agreements` must be one or more of the same cuts.")
    first = agreements[0]
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(max(5.0, 0.42 * len(first.cuts) + 3.4), 3.8), layout="constrained")[1]
    unit = 100 if in_percent(first.objective.name) else 1
    places, everywhere = np.arange(len(first.cuts)), np.ones(len(first.cuts), bool)
    lines = [(first.frozen["reported"], "frozen, cached\n(defrosting profile)")]
    lines += [(each.held["reported"], f"held, λ = {strength_text(each.strength)}") for each in agreements]
    looks = zip(_colours(len(lines)), itertools.cycle("osD^vP"), ["-", *["--"] * len(agreements)], strict=False)
    for (scores, label), (colour, marker, line) in zip(lines, looks, strict=False):
        style = {"color": colour, "marker": marker, "label": label, "linestyle": line}
        _draw(ax, places, unit * scores, everywhere, style)
    label_places(ax, [f"{shorten(cut.name)} {cut.index}" for cut in first.cuts], "held up to layer (cut)")
    ax.set_ylabel(f"{first.on} {label_of(first.objective.name)}{' (%)' if unit == 100 else ''}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)
    place_legend(ax, *ax.get_legend_handles_labels(), "layers before the cut")
    return ax


def _widen(ax, span: float):
    """Makes the vertical axis reach over so much at least, around its middle."""
    low, high = ax.get_ylim()
    missing = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - missing, high + missing)


def _only(counts: list[int]) -> int:
    if len(counts) != 1:
        raise ValueError(f"`layers` must say which number of held layers to draw, of {counts}.")
    return counts[0]


def _colours(count: int) -> list:
    return [_SCORE, *matplotlib.colormaps["YlOrBr"](np.linspace(0.5, 0.9, count - 1))]


def _positions(strengths: Sequence[float], between: np.ndarray) -> np.ndarray:
    """The decades of strengths, and the ends beside them."""
    positions = np.zeros(len(strengths))
    positions[between] = np.log10(np.array(strengths)[between])
    low, high = positions[between].min(), positions[between].max()
    for place, strength in enumerate(strengths):
        if not between[place]:
            positions[place] = low - _GAP if strength == 0 else high + _GAP
    return positions


def _draw(ax, positions: np.ndarray, values: np.ndarray, joined: np.ndarray, style: dict):
    """Means over seeds with their errors: a line through those that are joined, the others as points."""
    means, errors = np.array(over_seeds(values)).T
    errors = np.nan_to_num(errors)
    style = {"markersize": 4.5, "markerfacecolor": "white", "capsize": 2, "linewidth": 1.5, **style}
    ax.errorbar(positions[joined], means[joined], yerr=errors[joined], **style)
    if not joined.all():
        apart = {**style, "linestyle": "none", "label": "_ends", "markerfacecolor": style["color"]}
        ax.errorbar(positions[~joined], means[~joined], yerr=errors[~joined], **apart)


def _name_strengths(ax, strengths: Sequence[float], positions: np.ndarray):
    """Ticks at whole decades, and at the ends by their names."""
    ends = {0.0: "0", float("inf"): "frozen"}
    decades = [place for place, strength in zip(positions, strengths, strict=True) if strength not in ends]
    whole = np.arange(np.ceil(min(decades)), np.floor(max(decades)) + 1)
    named = [(place, ends[strength]) for place, strength in zip(positions, strengths, strict=True) if strength in ends]
    if len(whole):
        named += [(decade, f"$10^{{{int(decade)}}}$") for decade in whole]
    else:
        named += [(math.log10(strength), strength_text(strength)) for strength in strengths if strength not in ends]
    ticks, labels = zip(*sorted(named), strict=True)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.set_xticks(ticks, labels)
    ax.xaxis.set_minor_locator(NullLocator())
