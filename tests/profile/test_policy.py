"""The walk back from the last cut: what it asks, and where it stops."""

import numpy as np
import pytest
from conftest import RECIPE

import kdefrost
from kdefrost.profile.policy import _is_worse, everything, walk_back
from kdefrost.trials.question import Answer
from kdefrost.trials.rows import as_folds


def _walk(cuts, scores: dict, patience: int, sizes=(None,), folds=(None,)):
    """All questions that are asked, in rounds, where each cut has the score that it is given at any size."""
    questions = everything(cuts, sizes, [0], RECIPE, folds)
    policy = walk_back(questions, patience, lambda answer: answer.validation["accuracy"])
    answers, rounds = {}, []
    while missing := [question for question in policy(answers) if question not in answers]:
        rounds.append([(question.cut, question.per_class) for question in missing])
        for question in missing:
            answers[question] = Answer(question, None, {"accuracy": scores[question.cut]}, 0.0)
    return rounds


@pytest.fixture
def cuts(residual_cuts):
    return residual_cuts


def test_it_stops_after_as_many_cuts_that_are_no_better(cuts):
    scores = {0: 0.9, 1: 0.1, 2: 0.5, 3: 0.7, 4: 0.6}
    assert _walk(cuts, scores, 1) == [[(4, None)], [(3, None)], [(2, None)]]
    assert _walk(cuts, scores, 2) == [[(4, None)], [(3, None)], [(2, None)], [(1, None)]]
    assert [cut for ((cut, _),) in _walk(cuts, scores, 3)] == [4, 3, 2, 1, 0]


def test_equal_cuts_do_not_end_it(cuts):
    assert len(_walk(cuts, dict.fromkeys(range(5), 0.5), 1)) == 5


def test_worse_is_more_than_a_standard_error_of_paired_differences_below():
    """Of three folds with differences -d, 0 and d around a mean: √(d² · (1/3 + 1/2)) = 0.913 d."""
    best, d = np.array([0.2, 0.5, 0.8]), 0.1
    for below, is_worse in ((0.0912, False), (0.0914, True)):
        assert _is_worse(best - below + np.array([-d, 0, d]), best, folds=3) == is_worse
    # Of three seeds √(d² / 3) = 0.577 d.
    for below, is_worse in ((0.0576, False), (0.0578, True)):
        assert _is_worse(best - below + np.array([-d, 0, d]), best, folds=None) == is_worse
    assert _is_worse(np.array([0.5, -np.inf]), np.array([0.5, 0.5]), folds=2)


def test_a_gain_begins_the_patience_anew(cuts):
    assert len(_walk(cuts, {4: 0.5, 3: 0.4, 2: 0.6, 1: 0.5, 0: 0.7}, 2)) == 5


def test_all_folds_of_a_cut_are_asked_at_once(cuts):
    rounds = _walk(cuts, {4: 0.5, 3: 0.4, 2: 0.4, 1: 0.4, 0: 0.4}, 1, folds=as_folds(3))
    assert rounds == [[(4, None)] * 3, [(3, None)] * 3]


def test_each_size_has_a_walk_of_its_own(cuts):
    rounds = _walk(cuts, {4: 0.5, 3: 0.4, 2: 0.4, 1: 0.4, 0: 0.4}, 1, sizes=(2, 4))
    assert rounds == [[(4, 2), (4, 4)], [(3, 2), (3, 4)]]


def test_a_profile_of_a_walk_is_a_part_of_the_whole(tapering, easy):
    # After so many epochs cut 2 is well above cut 1, and cut 0 is not tried.
    profiles, recipe = {}, kdefrost.Recipe(epochs=8, batch_size=8)
    for patience in (None, 1):
        defroster = kdefrost.Defroster(tapering, recipe=recipe)
        profiles[patience] = defroster.profile(easy["train"], folds=3, patience=patience, verbose=False)
    whole, walked = (profiles[patience].scores(on="validation") for patience in (None, 1))
    tried = np.isfinite(walked).any(axis=0)
    # From some cut on to the last.
    assert tried[-2:].all() and not (tried[:-1] & ~tried[1:]).any() and not tried.all()
    np.testing.assert_array_equal(walked[:, tried], whole[:, tried])
    for cut, ran in zip(profiles[1].cuts, tried, strict=True):
        (row,) = [line for line in profiles[1].summary().splitlines() if line.split()[:2] == [str(cut.index), cut.name]]
        assert row.endswith("–") == (not ran)


def test_a_patience_that_is_none(tapering, easy):
    for patience in (0, 1.5, True):
        with pytest.raises(ValueError, match="`patience` must be a whole number of cuts"):
            kdefrost.Defroster(tapering, recipe=RECIPE).profile(easy["train"], patience=patience)
