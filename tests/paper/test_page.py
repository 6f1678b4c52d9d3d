"""The page of the claims: sections are those of results that are in files, and of figures that have not run."""

import re

import numpy as np
import pytest
from conftest import PROJECT
from test_claims import CUTS, make_profile, make_similarity, peaked

from kdefrost.paper import FIGURES, SCALES, FigureResults
from kdefrost.paper.claims import claims_table
from kdefrost.paper.page import with_figures

LAPTOP = SCALES["laptop"]
OLD = "## Figure 1: old\n\nGoes.\n\n## Figure 9: old\n\nGoes too.\n\n"
PAGE = f"# Title\n\n## Before\n\nStays.\n\n{OLD}## After\n\nStays.\n"


def test_results_are_read_as_they_were_written(tmp_path):
    figure = LAPTOP.figure(6)
    scores = make_profile({None: peaked(4)})
    results = FigureResults(
        figure, (None, scores, scores), {"gm": make_similarity([np.linspace(0.1, 0.5, len(CUTS) - 1)] * 3)}
    )
    results.save(tmp_path)
    read = FigureResults.load(figure, tmp_path)
    assert read.profiles[0] is None and read.profiles[1:] == (scores, scores) and read.similarities.keys() == {"gm"}
    assert claims_table(read) == claims_table(results)
    # 2 profiles of 8 cuts and 3 seeds, a second each.
    assert read.effort() == (
        "48 trials of up to 3 seeds, 0.0 hours of training and scoring; 3 pairs of networks for each source"
    )


def test_a_page_keeps_what_is_not_of_figures(tmp_path):
    figure = LAPTOP.figure(4)
    results = FigureResults(figure, tuple(make_profile({256: peaked(cut)}) for cut in (0, 4, 6)))
    results.save(tmp_path / "figure-4")
    page = with_figures(PAGE, LAPTOP, tmp_path)
    assert page.startswith("# Title\n\n## Before\n\nStays.\n\n## Figure 1:") and page.endswith(
        "\n\n## After\n\nStays.\n"
    )
    assert "Goes" not in page and re.findall(r"^## Figure (\d+)", page, re.MULTILINE) == [str(each) for each in FIGURES]
    assert f"Preset `laptop`: {results.effort()}.\n\n{claims_table(results)}\n" in page
    empty = with_figures(PAGE, LAPTOP, tmp_path / "empty")
    assert page.count("not run") == empty.count("not run") - 2 and "Preset" not in empty
    assert with_figures(page, LAPTOP, tmp_path) == page


def test_a_page_without_figures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must have a section"):
        with_figures("# Title\n", LAPTOP, tmp_path)


def test_the_page_in_docs_says_what_has_run():
    """Its sections are those of the results beside it; without any, of figures that have not run."""
    page = (PROJECT / "docs" / "paper.md").read_text(encoding="utf-8")
    assert with_figures(page, LAPTOP, PROJECT / "docs" / "paper") == page
