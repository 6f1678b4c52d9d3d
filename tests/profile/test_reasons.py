"""What a search says: in profiles made by hand, with cuts that diverged, were tried once, or were not tried."""

import dataclasses
import re

import numpy as np
import pytest

import kdefrost
from kdefrost.card import model_card
from kdefrost.profile.search import SPENT, Searched


@pytest.fixture
def searched(residual_cuts):
    """Makes the profile of a search from accuracies `(seeds, cuts)` of cuts 0 to 4, `None` where untried."""
    cuts = residual_cuts

    def make(scores):
        trials = tuple(
            kdefrost.Trial(cut.index, 4, seed, None, {"accuracy": score}, 1.0)
            for seed, row in enumerate(scores)
            for cut, score in zip(cuts, row, strict=True)
            if score is not None
        )
        how = Searched(4, 0.25, "share", 0.2, SPENT)
        named = {"source_name": "a source", "task": {"kind": "classification", "units": 3, "loss": "a loss"}}
        return kdefrost.DefrostProfile(cuts, trials, kdefrost.Objective("accuracy", "max"), named, (how,))

    return make


def test_a_cut_that_diverged_was_tried(searched):
    said = searched([[None, None, np.nan, 0.5, 0.6]]).summary()
    assert "Cuts 0 and 1 were not tried" in said and "2 were not tried" not in said
    # Beside it there is no score to be better by.
    assert "they would have to be better than the best cut (by the curve" in said


def test_a_search_whose_test_scores_are_no_numbers_is_said_and_drawn(searched):
    profile = searched([[None, None, 0.4, 0.5, 0.6]])
    trials = [dataclasses.replace(t, test={"accuracy": np.nan}) for t in profile.trials]
    profile = dataclasses.replace(profile, trials=tuple(trials))
    assert profile.best_cut() == profile.cuts[4] and "The search took" in profile.summary()
    assert not profile.plot().collections[1:]


def test_a_cut_that_diverged_is_as_bad_as_the_worst_on_the_curve(searched):
    diverged, bad = (searched([[0.6, None, score, 0.5, 0.6]]).curve(on="validation") for score in (np.nan, 0.5))
    np.testing.assert_allclose(diverged, bad)


def test_where_a_training_diverged_at_every_cut_nothing_is_compared(searched):
    said = searched([[None, None, None, 0.5, np.nan], [None, None, None, np.nan, 0.5]]).summary()
    assert "The search took 20 %" in said and "not tried" not in said


def test_one_score_says_nothing_of_chances_nor_of_what_is_told_apart(searched):
    profile = searched([[None, None, None, None, 0.6]])
    mean, deviation = profile.curve(on="validation")
    np.testing.assert_allclose(mean, 0.6)
    assert np.isnan(deviation).all()
    said = profile.summary()
    assert "told apart" not in said.splitlines()[-1] and "a chance" not in said and "± 0.0" not in said
    assert "they would have to be better than the best cut, which is next to them." in said


@pytest.mark.parametrize(
    "row, words",
    [
        ([0.4, None, 0.5, 0.5, 0.6], "Cut 1 was not tried: .*, it would have to be 10.0 points better than its neighb"),
        ([0.4, None, 0.6, 0.5, 0.5], "Cut 1 was not tried: .* better than the best cut, which is next to it "),
        ([0.4, None, None, 0.5, 0.6], "Cuts 1 and 2 were .*, they would have to be 10.0 points better than their neig"),
        ([0.4, None, None, 0.6, 0.5], "Cuts 1 and 2 were .* better than the best cut, which is next to them "),
    ],
)
def test_one_cut_and_several(searched, row, words):
    assert re.search(words, searched([row]).summary())


def test_cuts_with_other_seeds_are_said_to_be_compared_by_those_in_common(searched):
    words = "over 2 seeds, at each cut over those that were tried; cuts are compared by what seeds they have in common"
    assert words in searched([[None, None, 0.5, 0.5, 0.6], [None, None, None, 0.5, 0.6]]).summary()
    assert "compared by" not in searched([[None, None, 0.5, 0.5, 0.6]]).summary()


def test_all_that_diverged_is_drawn_without_curve_and_star(searched):
    ax = searched([[None, None, None, np.nan, np.nan]]).plot()
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert not dashed and not [line for line in ax.lines if line.get_marker() == "*"]


def test_a_seed_that_was_not_tried_at_the_cut(searched):
    profile = searched([[None, None, 0.7, 0.5, 0.6], [None, None, None, 0.5, 0.6]])
    with pytest.raises(ValueError, match=r"`seed` must be one tried at cut 2: 0\. Received: seed=1"):
        profile.trial(profile.best_cut(), 4, 1)


def test_the_card_tells_of_the_search_and_of_what_the_best_cut_was_tried_with(searched, residual):
    card = model_card(residual, searched([[None, None, 0.7, 0.5, 0.6], [None, None, None, 0.5, 0.6]]))
    assert "accuracy on the validation set, by a search that tried 3 of 5 cuts" in card
    assert "its cut, 1 seed " in card and "seed 0 of 0 |" in card
