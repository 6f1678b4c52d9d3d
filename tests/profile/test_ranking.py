"""Which source: the order of sources, how far each is behind the best, and which are not told apart from it."""

import dataclasses

import numpy as np
import pytest

import kdefrost
from kdefrost.profile.ranking import rank_profiles, ranking_sentence

CUTS = tuple(kdefrost.cut_points(kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))))[:2]


def make_profile(scores, seeds=None, direction="max", folds=False):
    """A profile of two cuts from an array (seeds, cuts), of which the validation scores are as the test scores."""
    scores = np.asarray(scores)
    trials = [
        kdefrost.Trial(
            cut.index,
            4,
            0 if folds else seed,
            None if folds else {"accuracy": score},
            {"accuracy": score},
            1.0,
            **({"repeat": 0, "fold": seed} if folds else {}),
        )
        for seed, row in zip(seeds or range(len(scores)), scores, strict=True)
        for cut, score in zip(CUTS, row, strict=True)
    ]
    configuration = {"folds": len(scores)} if folds else {}
    return kdefrost.DefrostProfile(CUTS, tuple(trials), kdefrost.Objective("accuracy", direction), configuration)


def test_sources_stand_in_the_order_of_the_scores_at_their_best_cuts():
    """By hand: the difference of the second is −0.10, −0.12, −0.08 by seed, of the third −0.01, 0.00, 0.01."""
    good = make_profile([[0.1, 0.50], [0.1, 0.60], [0.1, 0.70]])
    worse = make_profile([[0.40, 0.1], [0.48, 0.1], [0.62, 0.1]])
    level = make_profile([[0.1, 0.49], [0.1, 0.60], [0.1, 0.70]])
    ranking = rank_profiles({"worse": worse, "level": level, "good": good}, 4)
    assert [each.source for each in ranking] == ["good", "level", "worse"]
    assert [each.cut.index for each in ranking] == [1, 1, 0]
    assert ranking[0].score == pytest.approx(0.6) and ranking[0].error == pytest.approx(0.1 / np.sqrt(3))
    assert ranking[0].difference == 0 and ranking[0].near
    assert ranking[2].difference == pytest.approx(-0.1)
    assert ranking[2].difference_error == pytest.approx(0.02 / np.sqrt(3))
    # Their scores overlap; within seeds they do not.
    assert [each.near for each in ranking] == [True, True, False]


def test_sources_are_compared_over_the_seeds_that_both_have():
    ranking = rank_profiles({"a": make_profile([[0.0, 0.9], [0.0, 0.5]]), "b": make_profile([[0.0, 0.4]], [1])}, 4)
    assert ranking[1].difference == pytest.approx(-0.1) and np.isnan(ranking[1].difference_error)


def test_no_sign_contradicts_the_order():
    """By its own mean b is first, 0.7 before 0.6; within the seed that both have it is 0.1 behind."""
    rows = {"b": make_profile([[0.0, 0.5], [0.0, 0.9]], [1, 2]), "a": make_profile([[0.0, 0.6], [0.0, 0.6]], [0, 1])}
    ranking = rank_profiles(rows, 4)
    assert [each.source for each in ranking] == ["a", "b"] and ranking[1].difference == pytest.approx(-0.1)
    # Seeds of a third join a and c, which have none in common: c is 0.1 before d in one, a 0.3 before d in another.
    more = {
        "c": make_profile([[0.0, 0.9], [0.0, 0.9]], [3, 4]),
        "d": make_profile([[0.0, 0.8], [0.0, 0.3]], [3, 1]),
    }
    joined = rank_profiles({**rows, **more}, 4)
    assert [each.source for each in joined] == ["a", "b", "c", "d"]
    assert [each.difference for each in joined] == pytest.approx([0.0, -0.1, -0.2, -0.3])


def test_errors_of_sources_that_lack_seeds_are_those_of_the_seeds_in_common():
    """By hand: of differences −0.1 and −0.3 in two seeds the mean has the standard error 0.1."""
    long, short = make_profile([[0.0, 0.9], [0.0, 0.8], [0.0, 0.2]]), make_profile([[0.0, 0.8], [0.0, 0.5]])
    ranking = rank_profiles({"short": short, "long": long}, 4)
    assert ranking[1].source == "short"
    assert ranking[1][4:6] == pytest.approx((-0.2, 0.1))


def test_sources_without_seeds_in_common_are_not_compared():
    good, other = make_profile([[0.0, 0.9], [0.0, 0.8]]), make_profile([[0.0, 0.4]], [7])
    worse, diverged = make_profile([[0.0, 0.3], [0.0, 0.2]]), make_profile([[-np.inf, 0.3], [-np.inf, -np.inf]])
    ranking = rank_profiles({"diverged": diverged, "other": other, "worse": worse, "good": good}, 4)
    assert [each.source for each in ranking] == ["good", "worse", "other", "diverged"]
    assert np.isnan(ranking[2].difference) and ranking[2].near
    said = ranking_sentence("accuracy", ranking)
    assert "; other, no seeds in common ~ (cut 1); diverged, diverged (cut" in said and "nan" not in said


def test_lower_is_better_where_the_objective_says_so():
    ranking = rank_profiles(
        {name: make_profile([[2, at]], direction="min") for name, at in (("a", 1.0), ("b", 0.5))}, 4
    )
    assert [each.source for each in ranking] == ["b", "a"]


def test_a_source_by_itself_is_near_and_sources_without_scores_are_left_out():
    good, none = make_profile([[0.1, 0.5]]), make_profile([[np.nan, np.nan]])
    (only,) = rank_profiles({"none": none, "good": good}, 4)
    assert only.source == "good" and only.near and rank_profiles({"none": none}, 4) == []


def test_errors_of_folds_are_corrected_for_what_they_have_in_common():
    """Of n folds the variance of a mean is multiplied by 1 + n / (n − 1), here 2.5."""
    scores = [[0.0, 0.5], [0.0, 0.6], [0.0, 0.7]]
    of_seeds, of_folds = (rank_profiles({"a": make_profile(scores, folds=folds)}, 4)[0].error for folds in (0, 1))
    assert of_folds == pytest.approx(of_seeds * np.sqrt(2.5))


def test_the_sentence_says_how_far_behind_and_the_summary_has_it():
    good, level = make_profile([[0.1, 0.5], [0.1, 0.7]]), make_profile([[0.1, 0.49], [0.1, 0.7]])
    comparison = kdefrost.Comparison({"level": level, "good": good})
    words = (
        "Best source: good, 60.0 ± 10.0 % at cut 1; then level, 0.5 ± 0.5 points below ~ (cut 1) "
        "(~ not told apart from it)."
    )
    assert ranking_sentence("accuracy", comparison.ranking(4)) == words
    assert words in comparison.summary() and f"- {words}" in comparison.markdown()
    alone = dataclasses.replace(comparison, profiles={"good": good})
    assert "Best source" not in alone.summary()
