"""A profile whose recipe is tuned, and the result of a tuning."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RECIPE, make_easy, scores_of

import kdefrost
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer, Fold, Question
from kdefrost.trials.store import Store
from kdefrost.tuning import Space, Tuned, Tuning
from kdefrost.tuning.policy import tuning_cuts, tuning_of, tuning_questions

# The first learns next to nothing.
RECIPES = [dataclasses.replace(RECIPE, learning_rate=rate) for rate in (1e-4, 0.1)]
TUNED = Tuned(RECIPES[0], Space(learning_rate=[1e-4, 0.1]))
ASKED = {"train": make_easy(30, 0), "test": make_easy(30, 1), "folds": 2, "verbose": False}


def profile_of(source, recipe, directory=None, **asked):
    return kdefrost.Defroster(source, recipe=recipe, cuts=[1, 2], directory=directory).profile(**{**ASKED, **asked})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def tuned(small, folder):
    return profile_of(small, TUNED, folder)


@pytest.fixture(scope="module")
def each(small):
    """The profiles by each recipe, asked for one by one."""
    return [profile_of(small, recipe) for recipe in RECIPES]


def test_the_scores_of_a_tuning_are_those_of_profiles_by_its_recipes(tuned, each):
    assert tuned.tuning.recipes == tuple(RECIPES)
    assert tuned.tuning.cuts == [1, 2]
    for number, profile in enumerate(each):
        for on in ("validation", "test"):
            np.testing.assert_array_equal(tuned.tuning.scores(number, on), profile.scores(on=on))


def test_the_recipe_with_the_best_mean_trains_the_profile(tuned, each):
    means = [profile.scores(on="validation").mean() for profile in each]
    best = int(np.argmax(means))
    assert best == 1
    assert tuned.tuning.recipe == RECIPES[best]
    assert scores_of(tuned) == scores_of(each[best])
    assert tuned.configuration["recipe"] == dataclasses.asdict(RECIPES[best])
    for on in ("validation", "test"):
        expected = (each[best].scores(on=on) - each[0].scores(on=on)).mean(axis=1)
        np.testing.assert_allclose(tuned.tuning.gains(on), expected, atol=1e-12)


def test_a_tuned_folder_trains_nothing_twice_and_is_that_of_the_recipe_to_start_from(tuned, small, folder, monkeypatch):
    monkeypatch.setattr(Store, "keep", None)
    again = kdefrost.Defroster(small, recipe=TUNED, cuts=[1, 2], directory=folder)
    assert not again.plan(**ASKED).questions
    assert again.profile(**ASKED) == tuned
    default = profile_of(small, RECIPES[0], folder)
    np.testing.assert_array_equal(default.scores(), tuned.tuning.scores(0, "test"))


def test_a_tuning_that_was_stopped_goes_on_to_the_same_end(tuned, small, tmp_path, monkeypatch):
    keep, kept = Store.keep, []

    def keep_three(self, answer):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(answer.question)
        keep(self, answer)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "keep", keep_three)
        with pytest.raises(KeyboardInterrupt):
            profile_of(small, TUNED, tmp_path)
    plan = kdefrost.Defroster(small, recipe=TUNED, cuts=[1, 2], directory=tmp_path).plan(**ASKED)
    assert len(plan.questions) == 8 - 3 and not set(kept) & set(plan.questions)
    again = profile_of(small, TUNED, tmp_path)
    assert scores_of(again) == scores_of(tuned)
    assert again.tuning.recipe == tuned.tuning.recipe


def test_the_plan_has_all_recipes_at_their_cuts_and_the_rest_by_the_first(small):
    defroster = kdefrost.Defroster(small, recipe=TUNED, cuts="blocks")
    questions = defroster.plan(**{**ASKED, "folds": 5}).questions
    tried = [question.cut for question in questions if question.recipe == RECIPES[1]]
    # Of five folds, three.
    assert tried == [cut.index for cut in tuning_cuts(defroster.cuts) for _ in range(3)]
    rest = [(question.cut, question.fold.number) for question in questions if question.recipe == RECIPES[0]]
    assert sorted(rest) == [(cut, fold) for cut in range(3) for fold in range(5)]


def test_the_best_model_of_a_tuned_profile_is_trained_by_its_recipe(small):
    models = []
    for recipe in (TUNED, RECIPES[1]):
        defroster = kdefrost.Defroster(small, recipe=recipe, cuts=[2])
        profile = defroster.profile(make_easy(30, 0), validation=make_easy(30, 2), seeds=2, verbose=False)
        models.append((defroster.best_model(profile, verbose=False), profile))
    (model, profile), (expected, other) = models
    assert scores_of(profile) == scores_of(other)
    for one, two in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_test_examples_choose_no_recipe(small):
    defroster = kdefrost.Defroster(small, recipe="tuned", cuts=[1, 2])
    for ask in (defroster.profile, defroster.plan):
        with pytest.raises(ValueError, match="Give `validation` or `folds` where the recipe is to be tuned"):
            ask(ASKED["train"], test=ASKED["test"], seeds=1, verbose=False)


def test_what_is_no_recipe_is_refused(small):
    with pytest.raises(ValueError, match=r'`recipe` must be a kdefrost\.Recipe, "tuned", a kdefrost\.tuning\.Tuned'):
        kdefrost.Defroster(small, recipe="best")


def test_a_tuned_profile_is_read_as_it_was_written(tuned, tmp_path):
    tuned.save(tmp_path / "profile.json")
    assert kdefrost.DefrostProfile.load(tmp_path / "profile.json").tuning == tuned.tuning
    tuned.tuning.save(tmp_path / "tuning.json")
    assert Tuning.load(tmp_path / "tuning.json") == tuned.tuning


def test_a_profile_of_a_given_recipe_has_no_tuning(each):
    assert each[0].tuning is None
    assert "Tuned" not in each[0].summary()


def test_the_rows_have_every_number(tuned):
    head, *rows = tuned.tuning.rows()
    assert len(rows) == 2 * 2 * 2
    frame = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["learning_rate"] for row in frame if row["recipe"] == 1] == [0.1] * 4
    by_hand = np.mean([row["validation_accuracy"] for row in frame if row["recipe"] == 0])
    assert by_hand == pytest.approx(tuned.tuning.scores(0).mean())


def cut(index, tail, whole=100):
    return SimpleNamespace(index=index, tail_multiply_adds=tail, multiply_adds=whole)


@pytest.mark.parametrize(
    ("tails", "expected"),
    [
        ([100, 80, 45, 29, 20, 5, 1], [2, 3, 6]),
        # 30 and 20 are as near to a quarter: the last of them.
        ([100, 30, 20, 1], [1, 2, 3]),
        ([100, 1], [1]),
        ([100, 60], [1]),
        ([100], [0]),
    ],
)
def test_the_cuts_of_a_tuning_leave_half_a_quarter_and_the_least(tails, expected):
    cuts = [cut(index, tail) for index, tail in enumerate(tails)]
    assert [each.index for each in tuning_cuts(cuts)] == expected


def test_recipes_are_compared_on_the_same_examples_those_of_a_tail_together():
    folds = [Fold(number, 4) for number in range(4)]
    asked = [Question(index, index, size, 0, RECIPE, fold=f) for index in (0, 1, 2) for size in (2, 5) for f in folds]
    questions = tuning_questions(RECIPES, asked, [cut(1, 50), cut(2, 1)])
    rows = [(question.per_class, question.fold.number) for question in questions]
    assert rows == [(size, number) for size in (2, 5) for number in range(3)] * 4
    tails = [(question.cut, question.recipe.learning_rate) for question in questions[::6]]
    assert tails == [(1, 1e-4), (1, 0.1), (2, 1e-4), (2, 0.1)]


def tuning(scores, direction="max", test=None):
    """A tuning of scores `(recipes, draws, cuts)`."""
    answers, scores = {}, np.asarray(scores, float)
    recipes = [dataclasses.replace(RECIPE, learning_rate=0.1 / 2**number) for number in range(len(scores))]
    for (number, seed, index), value in np.ndenumerate(scores):
        question = Question(index, index, None, seed, recipes[number])
        tested = None if test is None else {"score": float(np.asarray(test)[number, seed, index])}
        answers[question] = Answer(question, tested, {"score": float(value)}, 0.5)
    return tuning_of(recipes, list(answers), answers, Objective("score", direction), 3e9)


@pytest.mark.parametrize(
    ("scores", "direction", "best"),
    [
        ([[[1, 3]], [[2, 3]]], "max", 1),
        ([[[1, 3]], [[2, 3]]], "min", 0),
        # Of equal ones the first, which is the one to start from.
        ([[[1, 3]], [[2, 2]]], "max", 0),
        # A mean over all, not the best cut alone.
        ([[[0, 9]], [[5, 8]]], "max", 1),
        ([[[1, 3]], [[np.nan, 9]]], "max", 0),
        ([[[1, 3]], [[np.nan, 0]]], "min", 0),
        ([[[np.nan, 3]], [[1, 1]]], "max", 1),
        ([[[np.inf, 3]], [[1, 1]]], "max", 1),
    ],
)
def test_the_best_recipe_by_hand(scores, direction, best):
    assert tuning(scores, direction).best == best


def test_gains_and_best_cuts_by_hand():
    found = tuning([[[1, 3], [2, 3]], [[4, 3], [4, 3.5]]], test=[[[1, 1], [1, 1]], [[0, 4], [3, 2]]])
    assert (found.best_cut(0), found.best_cut(1)) == (1, 0)
    np.testing.assert_array_equal(found.gains("validation"), [1.5, 1.25])
    np.testing.assert_array_equal(found.gains(), [1, 1.5])
    np.testing.assert_array_equal(found.gains(at_best=True), [-1, 2])
    assert (found.reported_on, found.seconds, found.flops) == ("test", 4.0, 3e9)


def test_what_a_tuning_has_not_is_said():
    found = tuning([[[1, 3]], [[2, 3]]])
    with pytest.raises(ValueError, match="`recipe` must be from 0 to 1"):
        found.scores(2)
    with pytest.raises(ValueError, match='`on` must be "test" or "validation"'):
        found.scores(0, "train")
