"""What notebooks show of profiles and of lists of cuts."""

import dataclasses

import html5lib
import pytest

import kdefrost


def parse(html: str):
    """The tree of a piece of HTML, which must be without a fault."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(html)


def cells_of(table) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


@pytest.fixture
def profile(small):
    cuts = tuple(kdefrost.cut_points(small))
    trials = [
        kdefrost.Trial(cut.index, size, seed, {"accuracy": 0.5 + cut.index / 10 + seed / 50, "auc": 0.75}, None, 1.0)
        for cut in cuts
        for size in (4, 16)
        for seed in range(3)
        if (cut.index, size) != (1, 16)
    ]
    return kdefrost.DefrostProfile(cuts, tuple(trials), kdefrost.Objective("accuracy", "max"))


def test_a_profile_shows_its_sentences_and_the_table_of_each_metric(profile):
    tree = parse(profile._repr_html_())
    tables = [cells_of(table) for table in tree.iter("table")]
    assert len(tables) == 2
    for metric, (head, *rows) in zip(profile.metrics, tables, strict=True):
        assert head == ["cut", "after layer", "frozen", "features", "4 per class", "16 per class"]
        for column, size in ((4, 4), (5, 16)):
            assert [row[column] for row in rows] == [cell.strip() for cell in profile.cells(size, metric)]
    text = "".join(tree.itertext())
    assert profile.sentence(4) in text and profile.sentence(16) in text and "* best cut" in text


def test_a_profile_without_trials_says_so(profile):
    assert "No trials" in dataclasses.replace(profile, trials=())._repr_html_()


def test_a_list_of_cuts_is_a_list_and_shows_what_it_prints(small):
    cuts = kdefrost.cut_points(small)
    tree = parse(cuts._repr_html_())
    rows = cells_of(next(tree.iter("table")))
    *printed, last = str(cuts).splitlines()
    assert ["".join(row).replace(" ", "") for row in rows] == [line.replace(" ", "") for line in printed]
    assert last in "".join(tree.itertext()) and isinstance(cuts, list)


def test_names_of_layers_are_no_html(profile, small):
    cuts = kdefrost.cut_points(small)
    name = "<script>alert(1)</script>&"
    evil = kdefrost.CutList(dataclasses.replace(cut, name=name) for cut in cuts)
    shown = dataclasses.replace(profile, cuts=tuple(evil))
    for html in (evil._repr_html_(), shown._repr_html_()):
        tree = parse(html)
        assert not list(tree.iter("script")) and name in "".join(tree.itertext())
