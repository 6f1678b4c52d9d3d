"""A page of what became of the claims: its sections of figures, written from results."""

import os
import re
from pathlib import Path

from kdefrost.paper.claims import claims_table
from kdefrost.paper.experiments import FIGURES
from kdefrost.paper.results import FigureResults
from kdefrost.paper.scales import Scale

_SECTION = re.compile(r"^## Figure \d+:.*?(?=^## (?!Figure \d)|\Z)", re.DOTALL | re.MULTILINE)


def with_figures(page: str, scale: Scale, directory: str | os.PathLike) -> str:
    """Writes the sections of figures of a page anew: of each its claims, what is seen of them, and how much was run.

    Args:
        page: The page, in Markdown, with a section `## Figure N: …` for some figure.
        scale: The preset that was run.
        directory: Its folder of results. Figures that are not in it are not run.

    Returns:
        The page with a section for each figure, in the place of those that it had; the rest is as it was.

    Raises:
        ValueError: If the page has no such section.
    """
    if not _SECTION.search(page):
        raise ValueError("The page must have a section that begins with `## Figure 1:` or another number.")
    sections = "\n".join(
        section(FigureResults.load(scale.figure(number), Path(directory) / f"figure-{number}"), scale)
        for number in FIGURES
    )
    first, *_ = _SECTION.finditer(page)
    after = page[first.end() :]
    return f"{page[: first.start()]}{sections}" + (f"\n{after}" if after else "")


def section(results: FigureResults, scale: Scale) -> str:
    """The section of a figure."""
    effort = results.effort()
    ran = f"Preset `{scale.name}`: {effort}.\n\n" if effort else ""
    return f"## Figure {results.figure.number}: {results.figure.title}\n\n{ran}{claims_table(results)}\n"
