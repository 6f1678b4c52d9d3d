"""Sources ranked by scores without training: the order, errors by hand, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.ranking import SourceRanking, rank_sources
from kdefrost.transferability.draws import largest_shares
from kdefrost.transferability.names import POOLED
from kdefrost.transferability.result import POOLING


def _scores(cuts, table, examples=60, drawn=30, name="ridge", **told):
    """A result of a score `(seeds, cuts)`."""
    measured = [
        kdefrost.CutScores(cut.index, seed, {name: score}, {POOLING: 0.0, name: 0.0})
        for seed, row in enumerate(table)
        for cut, score in zip(cuts, row, strict=True)
    ]
    told = {"sizes": {"all": drawn}, "examples": examples, **told}
    return kdefrost.Transferability(tuple(cuts), tuple(measured), told)


@pytest.fixture
def cuts(residual_cuts):
    return residual_cuts[:2]


@pytest.fixture
def ranking(cuts):
    """Means at the best cuts 0.5 (cut 1) and 0.7 (cut 0); "none" has no number."""
    tables = {"low": [[0.1, 0.4], [0.3, 0.6]], "high": [[0.6, 0.0], [0.8, 0.1]], "none": np.full((2, 2), np.nan)}
    return SourceRanking({name: _scores(cuts, table) for name, table in tables.items()})


def test_sources_are_compared_at_their_best_cuts(ranking):
    np.testing.assert_allclose(ranking.scores("ridge"), [[0.4, 0.6, np.nan], [0.6, 0.8, np.nan]])
    high, low = ranking.ranking("ridge")
    assert (high.source, high.cut.index, low.source, low.cut.index) == ("high", 0, "low", 1)
    assert high.score == pytest.approx(0.7) and low.difference == pytest.approx(-0.2)
    # Both differ by 0.2 in each draw.
    assert low.difference_error == pytest.approx(0, abs=1e-12) and not low.near


def test_errors_by_hand(ranking, cuts):
    """Of two draws of variance 0.02 with half of the examples each, 0.02 · (1/2 + 1) by what they have in common."""
    assert ranking.ranking("ridge")[0].error == pytest.approx(np.sqrt(0.03))
    table = [[0.6, 0.0], [0.8, 0.1]]
    quarter = SourceRanking({"a": _scores(cuts, table, drawn=15)}).ranking("ridge")[0]
    assert quarter.error == pytest.approx(np.sqrt(0.02 * (1 / 2 + 1 / 3)))
    # Of results of before that do not say what they were drawn from: as of independent draws.
    unknown = SourceRanking({"a": _scores(cuts, table, examples=None)}).ranking("ridge")[0]
    assert "Means over 2 draws of 30 examples, ±" in SourceRanking({"a": _scores(cuts, table, examples=None)}).summary()
    assert unknown.error == pytest.approx(0.1)
    # Of a score that takes a part of each draw, the part counts.
    result = _scores(cuts, table)
    part = dataclasses.replace(result, configuration={"sizes": {"all": 30, "ridge": 15}, "examples": 60})
    assert SourceRanking({"a": part}).ranking("ridge")[0].error == pytest.approx(quarter.error)


def test_of_uneven_classes_the_largest_share_counts(small, cuts):
    """Of 4, 40 and 40 images two of each are drawn: of the first class a half, though 6 of 84 are few."""
    x, y = np.random.default_rng(0).normal(size=(84, 8, 8, 1)), np.repeat([0, 1, 2], [4, 40, 40])
    ranking = rank_sources({"a": small}, (x, y), seeds=2, scores=["ridge"], verbose=False)
    assert ranking.drawn == (6, 84) and ranking.share("ridge") == 0.5
    scores = ranking.scores("ridge")[:, 0]
    assert ranking.ranking("ridge")[0].error == pytest.approx(np.sqrt(scores.var(ddof=1) * (1 / 2 + 1)))
    # Of a class of which all are drawn, draws do not tell how much it matters which ones there are.
    table, whole = [[0.6, 0.0], [0.8, 0.1]], {"shares": {"all": 1.0}}
    ranking = SourceRanking({name: _scores(cuts, table, drawn=6, examples=84, **whole) for name in "ab"})
    assert np.isnan(ranking.ranking("ridge")[0].error) and all(each.near for each in ranking.ranking("ridge"))
    said = ranking.summary("ridge")
    assert "of 6 of 84 examples, which have all of the smallest class, so that they tell of no error." in said


def test_shares_are_those_of_the_score_with_what_is_drawn_of_each_class(cuts):
    """Of 3, 20 and 500 examples, with 2, 8 and 400 drawn; in the Information Imbalance at most 333 of a class are."""
    labels = np.repeat([0, 1, 2], [2, 8, 400])
    shares = largest_shares(cuts, labels, np.arange(410), np.array([3, 20, 500]))
    result = _scores(cuts, [[0.1, 0.2]], shares={"all": 0.8})
    result.check()
    for wrong in ({"all": 1.5}, {}):
        with pytest.raises(ValueError, match="shares of examples that are none"):
            dataclasses.replace(result, configuration={**result.configuration, "shares": wrong}).check()
    assert shares["all"] == 0.8 and shares["information_imbalance"] == pytest.approx(2 / 3)


def test_all_examples_leave_no_error_and_tell_nothing_apart(cuts):
    tables = {"low": [[0.1, 0.4]] * 2, "high": [[0.6, 0.0]] * 2}
    result = SourceRanking({name: _scores(cuts, table, drawn=60) for name, table in tables.items()})
    ranked = result.ranking("ridge")
    assert [each.source for each in ranked] == ["high", "low"] and all(each.near for each in ranked)
    assert np.isnan([each.error for each in ranked]).all()
    assert "Of all examples." in result.summary("ridge")


def test_errors_are_those_of_a_mean_of_all_examples():
    """The other route: for the mean of a number over examples, halves give the error of the mean of all."""
    rng = np.random.default_rng(0)
    values, halves = rng.normal(size=400), 2000
    means = [values[rng.permutation(400)[:200]].mean() for _ in range(halves)]
    assert np.std(means, ddof=1) * np.sqrt(1 + 1 / halves) == pytest.approx(values.std(ddof=1) / 20, rel=0.05)


def test_a_single_draw_has_no_error(cuts):
    result = SourceRanking({"a": _scores(cuts, [[0.1, 0.4]])})
    assert "\nOne draw of 30 of 60 examples. Each source" in result.summary() and "±" not in result.summary()


def test_text_and_figure(ranking):
    lines = ranking.table("ridge").splitlines()
    assert [line.split()[0] for line in lines] == ["source", "high", "low", "none"]
    assert "70.0 ± 17.3 % (0) *" in lines[1] and lines[2].endswith("50.0 ± 17.3 % (1)") and lines[3].endswith("–")
    said = ranking.summary("ridge")
    assert "Means over 2 draws of 30 of 60 examples" in said
    assert "By ridge. Best source: high, 70.0 ± 17.3 % at cut 0; then low, 20.0 ± 0.0 points below (cut 1)." in said
    (ax,) = ranking.plot()
    assert ax.get_ylabel() == "ridge (%)" and [tick.get_text() for tick in ax.get_xticklabels()] == [*ranking.results]
    assert [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 1] != []
    with pytest.raises(ValueError, match="`axes` must be 1"):
        ranking.plot([ax, ax])


def test_csv_has_a_row_for_each_source_cut_and_seed(ranking, tmp_path):
    ranking.save_csv(tmp_path / "ranking.csv")
    head, *rows = (tmp_path / "ranking.csv").read_text().splitlines()
    assert head.startswith("source,cut,layer,seed,ridge") and len(rows) == 3 * 2 * 2


def test_what_is_not_alike_is_refused(cuts):
    table = [[0.1, 0.2], [0.1, 0.2]]
    first = _scores(cuts, table, labels="a1", target="photos")
    for other, words in (
        (_scores(cuts, table, name="logme"), "the scores logme, 'a' has ridge"),
        (_scores(cuts, table[:1]), r"the seeds \[0\]"),
        (_scores(cuts, table, drawn=20), "numbers of examples .all. 20"),
        (_scores(cuts, table, examples=50), "examples 50"),
        (_scores(cuts, table, labels="b2", target="photos"), "labels of the hash b2, 'a' has a1"),
        (_scores(cuts, table, labels="a1", target="digits"), "the target digits, 'a' has photos"),
    ):
        with pytest.raises(ValueError, match=f"`results` must differ in nothing but the source: 'b' has {words}"):
            SourceRanking({"a": first, "b": other})
    # Of before, or of a folder that is named from elsewhere.
    for other in (_scores(cuts, table), _scores(cuts, table, labels="a1", target="../photos/")):
        assert SourceRanking({"a": first, "b": other}).names == ["ridge"]


def test_scores_of_other_labels_are_not_ranked_together(small, easy):
    """Images may be of other sizes, their labels are the same."""
    x, y = easy["train"]
    given = {"per_class": 2, "scores": ["ridge"], "verbose": False}
    one, other = (kdefrost.Defroster(small, cuts=[2]).transferability((x, each), **given) for each in (y, y[::-1]))
    large = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    doubled = kdefrost.Defroster(large).transferability((x.repeat(2, axis=1).repeat(2, axis=2), y), **given)
    assert list(SourceRanking({"one": one, "doubled": doubled}).results) == ["one", "doubled"]
    with pytest.raises(ValueError, match="labels of the hash"):
        SourceRanking({"one": one, "other": other})


def test_classes_may_have_names(small, easy):
    x, y = easy["train"]
    sources, given = {"a": kdefrost.Defroster(small, cuts=[2])}, {"seeds": 2, "scores": ["ridge"], "verbose": False}
    numbered = rank_sources(sources, (x, y), **given)
    names = np.array(["ant", "bee", "cat"])[y]
    for labels in (names, names.tolist()):
        ranking = rank_sources(sources, (x, labels), **given)
        assert np.array_equal(ranking.scores("ridge"), numbered.scores("ridge"))
        assert SourceRanking({"names": ranking.results["a"], **numbered.results}).seeds == [0, 1]


def test_sources_are_scored_on_halves_by_default(small, easy):
    defroster = kdefrost.Defroster(small, cuts=[1, 2])
    ranking = rank_sources({"model": small, "defroster": defroster}, easy["train"], seeds=2, verbose=False)
    # Of 20 images of each of 3 classes.
    assert ranking.drawn == (30, 60) and ranking.names == list(POOLED) and ranking.seeds == [0, 1]
    by_hand = defroster.transferability(easy["train"], per_class=10, seeds=2, scores=["ridge"], verbose=False)
    np.testing.assert_array_equal(ranking.results["defroster"].scores("ridge"), by_hand.scores("ridge"))
    assert np.array_equal(ranking.results["model"].scores("ridge")[:, 1:], by_hand.scores("ridge"))


def test_a_data_set_is_read_once_and_a_target_network_adds_the_imbalance(small, easy):
    import tensorflow as tf

    shuffled = tf.data.Dataset.from_tensor_slices(easy["train"]).shuffle(60).batch(16)
    sources = {name: kdefrost.Defroster(small, cuts=[2]) for name in ("one", "other")}
    ranking = rank_sources(sources, shuffled, 4, [3], target_network=small, verbose=False)
    assert ranking.names == [*POOLED, "information_imbalance"]
    one, other = (result.measured[0].scores for result in ranking.results.values())
    assert one == other


def test_results_of_sources_of_other_sizes_are_ranked_together(ranking, cuts):
    more = dataclasses.replace(ranking, results={**ranking.results, "more": _scores(cuts, [[0.9, 0.9], [0.9, 0.9]])})
    assert more.ranking("ridge")[0].source == "more" and more.ranking("ridge")[0].cut.index == 1
