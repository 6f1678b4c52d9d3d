"""The profile's figure for a report, and where in it which numbers are.

It is Matplotlib's own, so that there is one drawing of a profile; what shows numbers lies over it. A library that draws
in the browser would be several MB in each file.
"""

import dataclasses
import io
import re
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from kdefrost.profile import figures, words
from kdefrost.profile.result import DefrostProfile
from kdefrost.tables import in_percent, label_of

# Points of a PostScript inch, the unit of Matplotlib's SVG.
_DPI = 72
_HEIGHT = 3.8


class Point(NamedTuple):
    """A mark of the figure.

    Attributes:
        x: Its place in the drawing, from the left.
        y: Its place, from the top.
        text: Its numbers, in words.
    """

    x: float
    y: float
    text: str


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing, and what its marks are.

    Attributes:
        svg: The drawing.
        width: Its width, in the units of its points.
        height: Its height.
        alternative: What it shows, for whom does not see it.
        points: Its marks.
    """

    svg: str
    width: float
    height: float
    alternative: str
    points: tuple[Point, ...]


def figure_of(profile: DefrostProfile) -> Figure:
    """Draws a profile.

    Args:
        profile: A profile with at least one trial.

    Returns:
        The `Figure`.
    """
    width = figures.width_for(profile.cuts)
    # Not by pyplot, which would keep it.
    canvas = Canvas(figsize=(width, _HEIGHT), dpi=_DPI, layout="constrained")
    ax = profile.plot(canvas.subplots())
    svg = _svg(canvas)
    height = _DPI * _HEIGHT
    points = [point for size in profile.per_class for point in _points(profile, size, ax, height)]
    return Figure(svg, _DPI * width, height, _alternative(profile), tuple(points))


def _svg(canvas: Canvas) -> str:
    """The drawing as an element of a page, the same each time."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "kdefrost"}):
        canvas.savefig(file, format="svg", metadata=nothing, transparent=True)
    svg = file.getvalue()
    # What stands before it is for a file of its own.
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _points(profile: DefrostProfile, size: int | None, ax, height: float) -> list[Point]:
    """The marks of a size."""
    metric = profile.objective.name
    mean = (100 if in_percent(metric) else 1) * profile.mean(size, profile.reported_on, metric)
    unit = " %" if in_percent(metric) else ""
    marks = {"*": ", the best cut", "~": ", not told apart from the best cut"}
    points = []
    for place, (cut, cell) in enumerate(zip(profile.cuts, profile.cells(size), strict=True)):
        if np.isfinite(mean[place]):
            x, y = ax.transData.transform((place, mean[place]))
            score, mark = cell.rstrip(" *~"), marks.get(cell.strip()[-1], "")
            text = (
                f"Cut {cut.index}, {cut.name}, {words.size_text(profile, size)}: {label_of(metric)} {score}{unit}{mark}"
            )
            points.append(Point(float(x), float(height - y), text))
    return points


def _alternative(profile: DefrostProfile) -> str:
    sizes = ", ".join(words.size_text(profile, size) for size in profile.per_class)
    metric = label_of(profile.objective.name)
    best = "; ".join(
        f"with {words.size_text(profile, size)} the best is cut {profile.best_cut(size).index}"
        for size in profile.per_class
        if profile.is_scored(size)
    )
    return (
        f"{metric.capitalize()} against the cut, for {sizes}{f': {best}' if best else ''}. The table has all numbers."
    )
