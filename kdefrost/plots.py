"""Figures, drawn from results."""

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from kdefrost.cuts import Cut
from kdefrost.profile import DefrostProfile
from kdefrost.tables import in_percent, label_of

# One hue from light to dark: readable in grey and with any colour vision.
_COLOURS = "YlGnBu"
# Letters of a layer's name that a tick has room for.
_LONGEST = 22


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
        tried = np.isfinite(mean)
        ax.errorbar(
            positions[tried],
            mean[tried],
            yerr=np.nan_to_num(error[tried]),
            color=colour,
            marker="o",
            markersize=3.5,
            capsize=2,
            linewidth=1.5,
            label=str(size),
        )
        best = profile.cuts.index(profile.best_cut(size))
        ax.plot(positions[best], mean[best], "*", color=colour, markersize=13, markeredgecolor="black", zorder=5)
    unit_text = " (%)" if in_percent(metric) else ""
    lower = " (lower is better)" if (metric, "min") == (profile.objective.name, profile.objective.direction) else ""
    _label(ax, profile, f"{on} {label_of(metric)}{unit_text}{lower}")
    return ax


def _label(ax, profile: DefrostProfile, score: str):
    ax.set_xticks(range(len(profile.cuts)), [_tick(cut) for cut in profile.cuts])
    ax.tick_params(axis="x", labelrotation=45, labelsize=8)
    for tick in ax.get_xticklabels():
        tick.set(horizontalalignment="right", rotation_mode="anchor")
    ax.set_xlabel("frozen up to layer (cut)")
    ax.set_ylabel(score)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)
    handles, labels = ax.get_legend_handles_labels()
    star = Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=11, linestyle="none")
    ax.legend(
        [*handles[::-1], star],
        [*labels[::-1], f"best cut\n(by {profile.chosen_on})"],
        title="images per class" if profile.has_classes else "training images",
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )


def _tick(cut: Cut) -> str:
    if cut.frozen_layers == 0:
        return f"{cut.index} (scratch)"
    name = cut.name if len(cut.name) <= _LONGEST else f"{cut.name[: _LONGEST - 1]}…"
    return f"{name} {cut.index} (vanilla)" if cut.frozen_layers == cut.layers - 1 else f"{name} {cut.index}"
