"""A page of what became of the claims: its sections of figures, written from results."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from kdefrost.paper.claims import claims_table
from kdefrost.paper.experiments import FIGURES
from kdefrost.paper.results import FigureResults
from kdefrost.paper.scales import Scale

# Up to the next heading of its level or above, or the end of the page.
_SECTION = re.compile(r"^## Figure (\d+)\b.*?(?=^##? |\Z)", re.DOTALL | re.MULTILINE)


def with_figures(
    page: str | os.PathLike, scale: Scale, directory: str | os.PathLike, numbers: Sequence[int] = tuple(FIGURES)
) -> str:
    """Writes the sections of figures of a page anew: the drawing, how much was run, each claim and what is seen of it.

    Args:
        page: The file of the page, in Markdown, with a section `## Figure N` for some figure.
        scale: The preset that was run.
        directory: Its folder of results.
        numbers: The figures whose sections are written.

    Returns:
        The page's text with the section of each of these figures that has results in the folder, where it stood; the
        rest is as it was, and so is the file.

    Raises:
        ValueError: If the page has a section of none of these figures, or the folder no results of the preset for one.
    """
    page, directory = Path(page), Path(directory)
    text = page.read_text(encoding="utf-8")
    sections = [each for each in _SECTION.finditer(text) if int(each[1]) in numbers]
    if not sections:
        raise ValueError(
            "The page must have sections of these figures, each begun by a line such as `## Figure "
            f"{numbers[0]}: …`. Received: none"
        )
    loaded = {
        number: FigureResults.load(scale.figure(number), directory / f"figure-{number}")
        for number in {int(each[1]) for each in sections}
    }
    ran = {number: results for number, results in loaded.items() if results.effort()}
    if not ran:
        raise ValueError(
            f"The folder (--out) must have results of the preset `{scale.name}` in figure-N, of a figure that the page "
            f"has a section of. Received: {directory}, with none of Figure {', '.join(map(str, sorted(loaded)))}"
        )
    # From the last one on, so that the places of those before stay.
    for each in reversed(sections):
        if results := ran.get(int(each[1])):
            drawing = directory / f"figure-{each[1]}.png"
            link = Path(os.path.relpath(drawing, page.parent)).as_posix() if drawing.exists() else None
            end = "\n" if each.end() < len(text) else ""
            text = f"{text[: each.start()]}{section(results, scale, link)}{end}{text[each.end() :]}"
    return text


def section(results: FigureResults, scale: Scale, drawing: str | None = None) -> str:
    """The section of a figure.

    Args:
        results: What the figure is drawn from.
        scale: The preset that was run.
        drawing: The link to the drawing, `None` where there is none.
    """
    head, effort = f"Figure {results.figure.number}: {results.figure.title}", results.effort()
    shown = f"![{head}]({drawing})\n\n" if drawing else ""
    ran = f"Preset `{scale.name}`: {effort}.\n\n" if effort else ""
    return f"## {head}\n\n{shown}{ran}{claims_table(results)}\n"
