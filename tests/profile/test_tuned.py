"""What a profile says of the tuning of its recipe."""

import dataclasses
import math

import numpy as np
import pytest

import kdefrost
from kdefrost.profile.tuned import tuned_lines
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer, Fold, Question
from kdefrost.tuning.policy import tuning_of

RECIPES = [kdefrost.Recipe(epochs=60), kdefrost.Recipe(epochs=60, learning_rate=0.0123, batch_size=16)]


def profile_of(scores, folds=None, per_class=(None,), test=True, metric="accuracy"):
    """A profile with a tuning of scores `(recipes, draws, cuts)`, the same at each size."""
    answers = {}
    for (number, draw, cut), value in np.ndenumerate(np.asarray(scores, float)):
        for size in per_class:
            place = (0, RECIPES[number], None, (), Fold(draw, folds)) if folds else (draw, RECIPES[number])
            question = Question(cut, cut, size, *place)
            got = {metric: float(value)}
            answers[question] = Answer(question, got if test else None, got, 1.0)
    found = tuning_of(RECIPES, list(answers), answers, Objective(metric, "max"), 2e12)
    trials = tuple(kdefrost.Trial.of(answer) for question, answer in answers.items() if question.recipe == found.recipe)
    return kdefrost.DefrostProfile((), trials, found.objective, {"tuning": dataclasses.asdict(found)})


def test_what_was_tuned_what_it_gained_and_what_it_cost():
    profile = profile_of([[[0.5, 0.6]] * 2, [[0.7, 0.6], [0.9, 0.6]]])
    assert tuned_lines(profile) == [
        "Tuned: of 2 recipes at cuts 0 and 1, on the validation set, the best has batch size 16, learning rate 0.0123 "
        "(8 trials, 2 TFLOP, 8 s of training).",
        "There its mean accuracy is 15.0 ± 5.0 points above that of the recipe to start from, on the test set; "
        "the best of these cuts is 0 by it, 1 by the other, and there it is 20.0 ± 10.0 points above.",
        "",
    ]


def test_what_chose_and_is_all_there_is_flatters():
    lines = tuned_lines(profile_of([[[0.5, 0.6]] * 2, [[0.5, 0.7]] * 2], folds=2, test=False))
    assert "on the held-out folds themselves, which flatters it; the best of these cuts is 1 by either, and" in lines[1]


def test_where_nothing_is_better_the_start_stays():
    lines = tuned_lines(profile_of([[[0.5]], [[0.4]]]))
    expected = "of 2 recipes at cut 0, on the validation set, none does better than the one to start from (2 trials,"
    assert expected in lines[0]


@pytest.mark.parametrize(("folds", "share"), [(None, 1 / 3), (3, 1 / 3 + 1 / 2)])
def test_the_error_of_the_gain_is_paired_and_that_of_folds_corrected(folds, share):
    gains = np.array([0.1, 0.2, 0.6])
    base = np.array([0.1, 0.3, 0.2])
    profile = profile_of([base[:, None], (base + gains)[:, None]], folds)
    mean, error = profile.tuned_gain()
    assert mean == pytest.approx(0.3)
    assert error == pytest.approx(math.sqrt(gains.var(ddof=1) * share))


def test_sizes_of_a_seed_count_as_one_draw():
    scores = [[[0.1], [0.2]], [[0.3], [0.8]]]
    assert profile_of(scores, per_class=(2, 5)).tuned_gain() == pytest.approx(profile_of(scores).tuned_gain())


def test_one_draw_has_no_error():
    mean, error = profile_of([[[0.5]], [[0.75]]]).tuned_gain()
    assert mean == 0.25 and math.isnan(error)
