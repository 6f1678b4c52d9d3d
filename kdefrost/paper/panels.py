"""Panels of which the paper's figures are made: profiles, similarities and images, all on the axis of depth."""

import itertools

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from kdefrost.drawing import draw_line, place_legend
from kdefrost.paper.estimates import has_maps, shrinks
from kdefrost.profile import DefrostProfile
from kdefrost.similarity import LayerwiseSimilarity
from kdefrost.tables import in_percent, label_of

# What the paper calls its sources and targets.
TITLES = {
    "isogm": "IsoGM",
    "gm": "GM",
    "cifar10": "CIFAR-10",
    "imagenet": "ImageNet",
    "idc": "Breast Cancer",
    "digits": "digits",
}
# The paper's colours of the three clones; what else there is, from light to dark.
COLOURS = {"isogm": "#c2188b", "gm": "#1f5fbf"}
_CLOSEST = "#2a9d3c"
_DEPTH = "layers frozen"


def title_of(name: str) -> str:
    """What the paper calls a set; autoencoders by their bottleneck."""
    return TITLES.get(name, f"L{name.removeprefix('ae')}" if name.startswith("ae") else name)


def colour_of(name: str) -> str:
    """The colour of a source."""
    return COLOURS.get(name, _CLOSEST)


def shades(count: int, colours: str = "Reds") -> list:
    """So many shades of a colour, darker for later ones."""
    return list(matplotlib.colormaps[colours](np.linspace(0.35, 0.95, count) if count > 1 else [0.75]))


def draw_profile(ax, profile: DefrostProfile, size: int | None, colour, label: str | None = None):
    """A profile at one size against the number of frozen layers, a star at its best cut.

    Error bars are standard errors over seeds.

    Args:
        ax: Matplotlib axes.
        profile: The profile.
        size: The size, in images per class.
        colour: Colour of the line.
        label: What the legend calls it; by default the size.
    """
    on = profile.reported_on
    unit = 100 if in_percent(profile.objective.name) else 1
    mean, error = unit * profile.mean(size, on), unit * profile.standard_error(size, on)
    depth = depth_of(profile)
    label = ("all" if size is None else f"{size}") if label is None else label
    draw_line(ax, depth, mean, error, color=colour, marker="o", markersize=3.5, label=label)
    if profile.is_scored(size):
        best = profile.cuts.index(profile.best_cut(size))
        ax.plot(depth[best], mean[best], "*", color=colour, markersize=12, markeredgecolor="black", zorder=5)


def depth_of(result: DefrostProfile | LayerwiseSimilarity) -> np.ndarray:
    """The number of layers with kernels before each cut, or up to each layer that was compared."""
    cuts = result.cuts if isinstance(result, DefrostProfile) else result.layers_a
    return np.array([cut.frozen_layers for cut in cuts])


def draw_sizes(ax, profile: DefrostProfile, colours: str = "Reds"):
    """A profile at all its sizes, darker for larger, with a legend of them."""
    sizes = profile.per_class
    for size, colour in zip(sizes, shades(len(sizes), colours), strict=True):
        draw_profile(ax, profile, size, colour)
    name_axes(ax, profile)
    place_legend(ax, *ax.get_legend_handles_labels(), "per class")


def draw_similarity(ax, result: LayerwiseSimilarity, number: str, colour, label: str):
    """A number of similarity against depth; error bars are standard errors over pairs of networks."""
    style = {"color": colour, "marker": "o", "markersize": 3.5, "label": label}
    draw_line(ax, depth_of(result), result.mean(number), result.standard_error(number), **style)
    _name_depth(ax)


def name_axes(ax, profile: DefrostProfile):
    """Says what a panel of profiles shows."""
    metric = profile.objective.name
    ax.set_ylabel(f"{profile.reported_on} {label_of(metric)}{' (%)' if in_percent(metric) else ''}")
    _name_depth(ax)


def mark_downsampling(ax, result: DefrostProfile | LayerwiseSimilarity):
    """Dotted lines where features lose resolution, but for the pooling at the end."""
    for depth in downsampling(result):
        ax.axvline(depth, color="0.6", linewidth=0.8, linestyle=":", zorder=0)


def downsampling(result: DefrostProfile | LayerwiseSimilarity) -> list[int]:
    """The depths at which features are smaller than at the cut before, and still have height and width."""
    cuts = result.cuts if isinstance(result, DefrostProfile) else result.layers_a
    return [
        after.frozen_layers for before, after in itertools.pairwise(cuts) if has_maps(after) and shrinks(before, after)
    ]


def draw_images(ax, images: np.ndarray, title: str):
    """A row of images in axes without a frame."""
    gap = max(1, images.shape[1] // 12)
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    row = np.concatenate(list(padded), axis=1)[:, :-gap]
    ax.imshow(np.broadcast_to(row, (*row.shape[:2], 3)), interpolation="nearest")
    ax.set_title(title, fontsize=7, pad=2)
    ax.axis("off")


def say_missing(ax, what: str):
    """Says in an empty panel what is not there."""
    ax.text(0.5, 0.5, what, transform=ax.transAxes, ha="center", va="center", color="0.4", fontsize=8)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color("0.8")


def _name_depth(ax):
    ax.set_xlabel(_DEPTH)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", linewidth=0.4, alpha=0.5)
