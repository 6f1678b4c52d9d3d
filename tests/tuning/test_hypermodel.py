import dataclasses
import math
from pathlib import Path

import keras
import keras_tuner
import pytest
from conftest import RECIPE, make_easy

import kdefrost
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer, Fold, Question
from kdefrost.tuning import Space, TailHyperModel

SPACE = Space(learning_rate=(0.001, 0.3), batch_size=[8, 16])
TUNERS = {
    "RandomSearch": {"max_trials": 4},
    "BayesianOptimization": {"max_trials": 4, "num_initial_points": 3},
    "GridSearch": {"max_trials": 4},
    "Hyperband": {"max_epochs": 3, "factor": 3},
}
# Of a few points, a Gaussian process does not always find how smooth they are.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """KerasTuner collects garbage before every trial, which takes longer than all else here."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


def questions(cuts=(1, 2), folds=2, recipe=RECIPE):
    return [Question(cut, cut, None, 0, recipe, fold=Fold(fold, folds)) for cut in cuts for fold in range(folds)]


class Remembering:
    """Answers questions by a formula, each once, and stops where it is told to."""

    def __init__(self, stop_after=math.inf, kept=None):
        self.kept, self.asked, self.stop_after = {} if kept is None else kept, [], stop_after

    def __call__(self, asked):
        for question in asked:
            if question not in self.kept:
                if len(self.asked) == self.stop_after:
                    raise KeyboardInterrupt
                self.asked.append(question)
                self.kept[question] = Answer(question, None, {"accuracy": score(question)}, 0.0)
        return self.kept


def score(question):
    """Best at a rate of 0.05 and cut 2; each fold has its own level."""
    recipe = question.recipe
    return (
        0.9
        - 0.1 * (math.log10(recipe.learning_rate) - math.log10(0.05)) ** 2
        - 0.02 * (question.cut - 2) ** 2
        + 0.01 * question.fold.number
        + 0.001 * recipe.epochs
    )


def make(answers, space=SPACE, **asked):
    return TailHyperModel(answers, questions(**asked), Objective("accuracy", "max"), space)


def search(name, hypermodel, folder, **options):
    own = {"seed": 1, "overwrite": True, "directory": folder, **TUNERS[name], **options}
    tuner = getattr(keras_tuner, name)(hypermodel, hypermodel.objective, **own)
    tuner.search(verbose=0)
    return tuner


def trials_of(tuner):
    return [(trial.hyperparameters.values, trial.score) for trial in tuner.oracle.trials.values()]


@pytest.mark.parametrize("name", TUNERS)
def test_every_tuner_of_keras_tuner_drives_it(name, tmp_path):
    answers = Remembering()
    hypermodel = make(answers)
    tuner = search(name, hypermodel, tmp_path)
    trials = tuner.oracle.trials.values()
    assert len(trials) >= 4 and {trial.status for trial in trials} == {"COMPLETED"}
    for trial in trials:
        recipe = hypermodel.recipe(trial.hyperparameters)
        mine = [score(each) for each in questions(recipe=recipe)]
        assert trial.score == pytest.approx(sum(mine) / 4, abs=1e-12)
    best = tuner.get_best_hyperparameters()[0]
    assert hypermodel.recipe(best) in {question.recipe for question in answers.asked}
    # Nothing is asked twice, whatever a tuner repeats.
    assert len(answers.asked) == len(set(answers.asked))


@pytest.mark.parametrize("name", TUNERS)
def test_a_tuner_that_was_stopped_comes_to_the_same_end_and_asks_no_more(name, tmp_path):
    # In the third trial, of four questions each.
    whole, stop_after = Remembering(), 9
    expected = trials_of(search(name, make(whole), tmp_path / "whole"))
    stopped = Remembering(stop_after)
    with pytest.raises(KeyboardInterrupt):
        search(name, make(stopped), tmp_path / "stopped")
    again = Remembering(kept=stopped.kept)
    assert trials_of(search(name, make(again), tmp_path / "stopped")) == expected
    assert stopped.asked + again.asked == whole.asked


def test_hyperband_asks_for_shorter_trainings_as_recipes_of_their_own(tmp_path):
    answers = Remembering()
    tuner = search("Hyperband", make(answers), tmp_path)
    # By its rule, for at most 3 epochs and a factor of 3.
    assert {question.recipe.epochs for question in answers.asked} == {1, 3}
    trials = tuner.oracle.trials.values()
    later = [trial for trial in trials if "tuner/trial_id" in trial.hyperparameters.values]
    assert later and all(trial.status == "COMPLETED" for trial in later)


def test_epochs_in_the_space_and_by_the_tuner_are_refused(tmp_path):
    hypermodel = make(Remembering(), Space(epochs=[2, 3]))
    with pytest.raises(keras_tuner.errors.FatalError, match="must leave `epochs` out"):
        search("Hyperband", hypermodel, tmp_path)


def test_search_sets_the_epochs_where_it_is_told_them(tmp_path):
    answers = Remembering()
    hypermodel = make(answers)
    tuner = keras_tuner.RandomSearch(hypermodel, hypermodel.objective, max_trials=1, directory=tmp_path)
    tuner.search(epochs=7, verbose=0)
    assert {question.recipe.epochs for question in answers.asked} == {7}


def test_the_cut_is_chosen_where_that_is_asked_for(tmp_path):
    answers = Remembering()
    hypermodel = make(answers, Space(cut=True), cuts=(0, 1, 2, 3))
    tuner = search("GridSearch", hypermodel, tmp_path)
    best = tuner.get_best_hyperparameters()[0]
    assert (hypermodel.cut(best), hypermodel.recipe(best)) == (2, RECIPE)
    assert [trial.hyperparameters.values["cut"] for trial in tuner.oracle.trials.values()] == [3, 0, 1, 2]
    assert len(answers.asked) == 8


def test_a_small_space_ends_when_all_of_it_was_tried(tmp_path):
    answers = Remembering()
    tuner = search("RandomSearch", make(answers, Space(batch_size=[8, 16])), tmp_path, max_trials=50)
    assert len(tuner.oracle.trials) == 2 == len({question.recipe for question in answers.asked})


def test_a_training_that_diverged_is_a_failure_and_the_search_goes_on(tmp_path):
    def answers(asked):
        value = {question: math.nan if question.recipe.batch_size == 16 else 0.5 for question in asked}
        return {q: Answer(q, None, {"accuracy": value[q]}, 0.0) for q in asked}

    tuner = search("GridSearch", make(answers, Space(batch_size=[8, 16])), tmp_path)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED", "FAILED"]
    assert "Training diverged" in list(tuner.oracle.trials.values())[1].message


def test_an_error_ends_the_search(tmp_path):
    def answers(asked):
        raise OSError("the disk is full")

    with pytest.raises(keras_tuner.errors.FatalError, match="the disk is full"):
        search("RandomSearch", make(answers), tmp_path)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (([1], [2]), {}, "Received: data"),
        ((), {"batch_size": 3}, "Received: batch_size"),
        ((), {"callbacks": [keras.callbacks.EarlyStopping()]}, "Received: callbacks"),
    ],
)
def test_what_search_has_no_place_for_is_refused(data, options, words, tmp_path):
    hypermodel = make(Remembering())
    tuner = keras_tuner.RandomSearch(hypermodel, hypermodel.objective, max_trials=1, directory=tmp_path)
    with pytest.raises(keras_tuner.errors.FatalError, match=words):
        tuner.search(*data, verbose=0, **options)


def test_a_tuner_has_no_weights_to_give(tmp_path):
    tuner = search("RandomSearch", make(Remembering()), tmp_path, max_trials=1)
    with pytest.raises(ValueError, match="The tuner keeps no weights"):
        tuner.get_best_models()


def test_one_cut_is_no_choice_of_cuts():
    with pytest.raises(ValueError, match="`cuts` must be two or more"):
        make(Remembering(), Space(cut=True), cuts=(1,))


def test_a_space_that_the_recipe_refuses_is_said():
    with pytest.raises(ValueError, match="`warmup_epochs` must be a whole number from 0 to below `epochs`"):
        make(Remembering(), Space(epochs=[2, 60]), recipe=kdefrost.Recipe(epochs=60, warmup_epochs=5))


def test_a_defroster_trains_what_the_tuner_asks_and_its_folder_remembers_it(small, tmp_path):
    train, space = make_easy(30, 0), Space(batch_size=[8, 16])
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path / "run")
    hypermodel = defroster.hypermodel(train, space=space, cuts=[2], folds=2)
    first = trials_of(search("GridSearch", hypermodel, tmp_path / "tuner"))
    database = tmp_path / "run" / "trials.sqlite"
    before = database.read_bytes()
    again = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path / "run")
    assert trials_of(search("GridSearch", again.hypermodel(train, space=space, cuts=[2], folds=2), tmp_path)) == first
    assert database.read_bytes() == before
    # By another way: a profile by one of the recipes.
    profile = defroster.profile(train, folds=2, verbose=False)
    column = [cut.index for cut in profile.cuts].index(2)
    assert first[0] == ({"batch_size": 8}, pytest.approx(profile.mean(on="validation")[column], abs=1e-12))
    assert Path(database).exists()


def test_a_defroster_refuses_cuts_that_it_has_not(small):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2])
    for cuts in ([0, 1], []):
        with pytest.raises(ValueError, match="`cuts` must be of this defroster's, 1, 2"):
            defroster.hypermodel(make_easy(30, 0), cuts=cuts)
    with pytest.raises(ValueError, match=r"`space` must be a kdefrost\.tuning\.Space"):
        defroster.hypermodel(make_easy(30, 0), space={})


def test_the_test_set_is_in_no_score_of_a_tuner(small):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    hypermodel = defroster.hypermodel(make_easy(30, 0), test=make_easy(15, 1), space=Space(batch_size=[8, 16]))
    assert {question.fold for question in hypermodel.questions} == {Fold(number, 3) for number in range(3)}
    held_out = defroster.hypermodel(make_easy(30, 0), validation=make_easy(15, 1), space=Space(batch_size=[8, 16]))
    assert {(question.seed, question.fold) for question in held_out.questions} == {(seed, None) for seed in range(3)}
    assert {dataclasses.replace(each, cut=2).recipe for each in held_out.questions} == {RECIPE}
