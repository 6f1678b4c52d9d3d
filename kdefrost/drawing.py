"""What figures have in common, and how they are written."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from kdefrost.files import writing

# One hue from light to dark: readable in grey and with any colour vision.
COLOURS = "YlGnBu"
# Sources, of which one is not more of another, differ in hue too, still from light to dark, and in their markers.
_SOURCES = "viridis"
_MARKERS = "osD^vPX"
# Letters of a layer's or a class's name that a tick has room for.
LONGEST = 22


def save_figure(figure, path: str | os.PathLike):
    """Writes a figure, in the format that the path ends with, so that it is there whole or not at all."""
    path = Path(path)
    with writing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=200)


def draw_line(ax, positions: np.ndarray, mean: np.ndarray, error: np.ndarray, **style):
    """A line through what was tried, with error bars where there are errors."""
    tried = np.isfinite(mean)
    error = np.nan_to_num(error[tried])
    ax.errorbar(positions[tried], mean[tried], yerr=error, capsize=2, linewidth=1.5, **style)


def looks(count: int) -> list[tuple]:
    """A colour and a marker for each of some sources, darker for later ones."""
    shades = np.linspace(0.0, 0.8, count)[::-1]
    return list(zip(matplotlib.colormaps[_SOURCES](shades), itertools.cycle(_MARKERS), strict=False))


def place_legend(ax, handles, labels, title: str):
    """A legend beside the axes, where no data are."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(handles, labels, title=title, fontsize=8, title_fontsize=8, frameon=False, **place)


def label_places(ax, names: Sequence[str], axis: str):
    """Names places 0, 1, … below the axes, slanted."""
    ax.set_xticks(range(len(names)), names)
    ax.tick_params(axis="x", labelrotation=45, labelsize=8)
    for tick in ax.get_xticklabels():
        tick.set(horizontalalignment="right", rotation_mode="anchor")
    ax.set_xlabel(axis)


def shorten(name: str) -> str:
    """A name, cut short where a tick has no room for it."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
