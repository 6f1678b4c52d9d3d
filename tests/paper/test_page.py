"""The page of the claims: sections are those of results that are in files, and of figures that have not run."""

import numpy as np
import pytest
from conftest import PROJECT
from test_claims import CUTS, make_profile, make_similarity, peaked

from kdefrost.paper import FIGURES, SCALES, FigureResults
from kdefrost.paper.claims import claims_table
from kdefrost.paper.page import section, with_figures

LAPTOP = SCALES["laptop"]
OLD_SIX = "## Figure 6: old\n\n### Of it\n\nGoes.\n\n"
STAYS = "## Between\n\nStays.\n\n## Figure 9: old\n\nStays, too.\n\n"
PAGE = f"# Title\n\n{OLD_SIX}{STAYS}## Figure 4: old\n\nGoes.\n\n## After\n\n## Figures\n\nStay.\n"


def test_results_are_read_as_they_were_written(tmp_path):
    figure = LAPTOP.figure(6)
    scores = make_profile({None: peaked(4)})
    table = peaked(5)
    table[:, 0] = peaked(4)[:, 0]
    other = make_profile({None: table})
    results = FigureResults(
        figure, (None, scores, other), {"gm": make_similarity([np.linspace(0.1, 0.5, len(CUTS) - 1)] * 3)}
    )
    results.save(tmp_path)
    read = FigureResults.load(figure, tmp_path)
    assert read.profiles[0] is None and read.profiles[1:] == (scores, other) and read.similarities.keys() == {"gm"}
    assert claims_table(read) == claims_table(results)
    # 2 profiles of 8 cuts and 3 seeds, a second each; training from scratch is the same in both.
    assert read.effort() == (
        "45 trials of up to 3 seeds, 0.0 hours of training and scoring; 3 pairs of networks for each source"
    )


@pytest.fixture
def ran(tmp_path):
    """Results of Figures 4 and 6 in a folder, by number."""
    similarities = {"gm": make_similarity([np.linspace(0.1, 0.5, len(CUTS) - 1)] * 3)}
    profiles = tuple(make_profile({256: peaked(cut)}) for cut in (0, 4, 6))
    made = {4: FigureResults(LAPTOP.figure(4), profiles), 6: FigureResults(LAPTOP.figure(6), (None,) * 3, similarities)}
    for number, results in made.items():
        results.save(tmp_path / f"figure-{number}")
    return made


@pytest.fixture
def rewritten(tmp_path):
    """Gives the text of a page with new sections, from the page's own text."""
    page = tmp_path / "page.md"

    def rewrite(text, scale=LAPTOP, directory=tmp_path, **numbers):
        page.write_text(text, encoding="utf-8")
        return with_figures(page, scale, directory, **numbers)

    return rewrite


def test_sections_of_figures_that_have_results_are_replaced_where_they_stand(ran, rewritten):
    four, six = (section(results, LAPTOP) for results in ran.values())
    page = rewritten(PAGE)
    assert page == f"# Title\n\n{six}\n{STAYS}{four}\n## After\n\n## Figures\n\nStay.\n"
    assert rewritten(page) == page
    assert f"Preset `laptop`: {ran[4].effort()}.\n\n{claims_table(ran[4])}\n" in page
    # At the end of a page, too, and of those alone that are asked for.
    assert rewritten(PAGE, numbers=[6, 9]) == PAGE.replace(OLD_SIX, f"{six}\n")
    assert rewritten("## Figure 4\n\nOld.") == four


def test_a_section_shows_the_drawing_beside_the_results(ran, tmp_path):
    results, docs = tmp_path / "docs" / "paper", tmp_path / "docs"
    ran[4].save(results / "figure-4")
    (results / "figure-4.png").touch()
    (docs / "page.md").write_text("## Figure 4\n", encoding="utf-8")
    head = "Figure 4: Profiles from clones of CIFAR-10"
    written = with_figures(docs / "page.md", LAPTOP, results)
    assert written.startswith(f"## {head}\n\n![{head}](paper/figure-4.png)\n\nPreset `laptop`: ")


def test_what_would_leave_a_page_as_it_is_is_refused(ran, rewritten, tmp_path):
    with pytest.raises(ValueError, match=r"must have sections of these figures.*`## Figure 1: …`"):
        rewritten("# Title\n")
    with pytest.raises(ValueError, match=r"must have sections of these figures.*`## Figure 5: …`"):
        rewritten(PAGE, numbers=[5])
    nothing = "must have results of the preset `{}` in figure-N.*Received: {}, with none of Figure {}"
    with pytest.raises(ValueError, match=nothing.format("laptop", tmp_path / "gone", "4, 6, 9")):
        rewritten(PAGE, directory=tmp_path / "gone")
    with pytest.raises(ValueError, match=nothing.format("laptop", tmp_path, "9")):
        rewritten(PAGE, numbers=[9])
    # Those of another preset have other names.
    with pytest.raises(ValueError, match=nothing.format("smoke", tmp_path, "4")):
        rewritten(PAGE, SCALES["smoke"], numbers=[4])


def test_the_page_in_docs_says_what_has_run():
    """Its sections are those of the results beside it; without any, of figures that have not run."""
    page = (PROJECT / "docs" / "paper.md").read_text(encoding="utf-8")
    for number in FIGURES:
        results = FigureResults.load(LAPTOP.figure(number), PROJECT / "docs" / "paper" / f"figure-{number}")
        assert section(results, LAPTOP, f"paper/figure-{number}.png" if results.effort() else None) in page
