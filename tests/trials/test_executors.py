"""Trials side by side: the scores of one after another, and errors that say what happened."""

import math
import multiprocessing
import multiprocessing.context
import os
import pickle
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import RECIPE, scores_of

import kdefrost
from kdefrost.data.storage import DiskArray
from kdefrost.trials import engine, executors
from kdefrost.trials.executors import Processes
from kdefrost.trials.placement import Costs
from kdefrost.trials.store import read_answers

CUTS = [0, 1, 2]


class _Forking(multiprocessing.context.ForkServerContext):
    """As `executors._Spawning`, of processes that begin with TensorFlow imported."""

    def __init__(self):
        super().__init__()
        self.started = []

    def Process(self, *args, **options):
        self.started.append(super().Process(*args, **options))
        return self.started[-1]


@pytest.fixture(scope="module", autouse=True)
def _forked(forking):
    """What is sent to processes and how is as ever; scripts/test_scripts.py has them as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "_Spawning", _Forking)
        yield


def _defroster(source, **options):
    return kdefrost.Defroster(source, recipe=RECIPE, **{"cuts": CUTS, **options})


def _run(defroster, easy, jobs):
    return defroster.profile(**easy, per_class=[2, 5], seeds=2, verbose=False, jobs=jobs)


def _profile(source, easy, jobs, **options):
    return _run(_defroster(source, **options), easy, jobs)


@pytest.fixture(scope="module")
def one(small, easy, tmp_path_factory):
    """A defroster whose profile one other process has run, the profile, and the folder that keeps it."""
    directory = tmp_path_factory.mktemp("one")
    defroster = _defroster(small, directory=directory)
    return defroster, _run(defroster, easy, 1), directory


def _score_of_best_model(defroster, profile, per_class, easy):
    x, y = easy["test"]
    model = defroster.best_model(profile, per_class=per_class, verbose=False)
    return (model.predict(x, verbose=0).argmax(axis=1) == y).mean()


def test_the_scores_do_not_depend_on_the_number_of_processes(small, easy, one, monkeypatch):
    _, one, directory = one
    # On disk, the images too.
    cheap = Costs(compute=1.0, write=0.0, read=0.0, read_held=0.0)
    monkeypatch.setattr(engine, "measured_costs", lambda *_: lambda *_: cheap)
    two = _profile(small, easy, 2, memory_budget=0)
    assert len(one.trials) == 12 and scores_of(two) == scores_of(one)
    assert kdefrost.DefrostProfile(one.cuts, one.trials, one.objective, one.configuration).scores(5).shape == (2, 3)
    here = _profile(small, easy, None)
    difference = np.abs(here.scores(5) - one.scores(5))
    assert np.median(difference) < 0.1
    # What is kept on disk is complete: nothing runs again, in whatever number of processes.
    monkeypatch.setattr(engine, "make_executor", None)
    assert scores_of(_profile(small, easy, None, directory=directory)) == scores_of(one)


def test_the_best_model_is_of_the_tail_of_the_other_process(easy, one, monkeypatch):
    defroster, profile, _ = one
    monkeypatch.setattr(engine, "make_executor", None)
    score = _score_of_best_model(defroster, profile, 5, easy)
    assert score == pytest.approx(profile.best_trial(5).test["accuracy"])


def test_springs_are_felt_in_other_processes_too(small, easy, one):
    """In the profile's folder; no springs are its trials at cut 0, which another process ran."""
    _, profile, directory = one
    defroster = _defroster(small, directory=directory)
    given = {"strengths": [0, math.inf], "layers": 1, "per_class": 5, "seeds": 2, "jobs": 2, "verbose": False}
    compliance = defroster.compliance(**easy, **given)
    free = {trial.seed: trial.test for trial in compliance.trials if not trial.layers}
    assert free == {trial.seed: trial.test for trial in profile.trials if trial.key[:2] == (0, 5)}
    np.testing.assert_allclose(compliance.distances(1, 0)[:, 1], 0, atol=1e-12)
    assert (compliance.distances(1, 0)[:, 0] > 0.1).all()
    assert len(read_answers(directory, {})) == len(profile.trials) + len(compliance.trials)


def test_a_search_keeps_its_process_from_step_to_step(small, easy, one, monkeypatch):
    _, profile, _ = one
    contexts, steps = [], []

    class Watched(_Forking):
        def __init__(self):
            super().__init__()
            contexts.append(self)

    class Counted(Processes):
        def __init__(self, *given):
            super().__init__(*given)
            steps.append(self)

    monkeypatch.setattr(executors, "_Spawning", Watched)
    monkeypatch.setattr(executors, "Processes", Counted)
    given = {"per_class": [2, 5], "seeds": 2, "budget": 1.0, "jobs": 1, "verbose": False}
    found = _defroster(small).search(**easy, **given)
    assert len(steps) > 1 and [len(context.started) for context in contexts] == [1]
    assert scores_of(found).items() <= scores_of(profile).items()


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def test_a_source_that_other_processes_cannot_load_is_told(easy):
    layers = keras.layers
    source = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3), Unregistered(), layers.Flatten(), layers.Dense(3)]
    )
    # More than a pipe holds: the process ends while they are sent.
    easy = {**easy, "test": tuple(np.repeat(part, 100, axis=0) for part in easy["test"])}
    with pytest.raises(ValueError, match=r"cannot load it .*register_keras_serializable"):
        _profile(source, easy, 1, cuts=[1], loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def test_a_tail_that_was_not_kept_is_trained_again_as_it_was(small, easy, one, tmp_path, monkeypatch):
    _, profile, directory = one
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tail-5.npz").unlink()
    # From the images, of which the layers before the cut run anew.
    dear = Costs(compute=0.0, write=1.0, read=1.0, read_held=0.0)
    monkeypatch.setattr(engine, "measured_costs", lambda *_: lambda *_: dear)
    again = _defroster(small, directory=tmp_path, memory_budget=0)
    assert _run(again, easy, 1).trials == profile.trials
    deeper = tuple(trial for trial in profile.trials if trial.cut > 0)
    profile = kdefrost.DefrostProfile(profile.cuts[1:], deeper, profile.objective, profile.configuration)
    # Warnings are errors: it scores what it scored.
    score = _score_of_best_model(again, profile, 5, easy)
    assert score == pytest.approx(profile.best_trial(5).test["accuracy"])
    assert not multiprocessing.active_children()


def test_what_cannot_be_sent_is_told(small, easy):
    with pytest.raises(ValueError, match=r"source, .* sent .* one of them cannot be pickled \(.* or leave `jobs` out"):
        _profile(small, easy, 1, loss=lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p))


def test_processes_and_a_strategy_exclude_each_other(small, easy):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(ValueError, match="`jobs` must be None under a distribution strategy"):
        _profile(small, easy, 1, strategy=strategy)
    with strategy.scope(), pytest.raises(ValueError, match="`jobs` must be None under a distribution strategy"):
        _profile(small, easy, 1)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_numbers_of_processes_that_are_none_are_refused(small, easy, jobs):
    defroster = kdefrost.Defroster(small, recipe=RECIPE)
    for method in (defroster.profile, defroster.plan):
        with pytest.raises(ValueError, match="`jobs` must be a whole number of processes, at least 1"):
            method(**easy, per_class=2, jobs=jobs)


def test_the_end_of_a_process_is_told_and_finished_trials_are_kept(small, easy, tmp_path, monkeypatch):
    run = Processes.run

    def killed(self, assignments, on_progress):
        for number, ended in enumerate(run(self, assignments, on_progress)):
            yield ended
            if number == 2:
                os.kill(self._pool._watched[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Processes, "run", killed)
    with pytest.raises(ChildProcessError, match=r"A process of `jobs` has ended with exit code -9"):
        _profile(small, easy, 1, directory=tmp_path)
    assert len(read_answers(tmp_path, {})) == 3


def test_a_file_outlives_the_array_that_another_process_has_of_it():
    array = DiskArray((2,), "float32")
    array.append(np.arange(6, dtype="float32").reshape(3, 2))
    # As multiprocessing sends it, to this process itself.
    from multiprocessing.reduction import ForkingPickler

    copy = pickle.loads(ForkingPickler.dumps(array))
    del array
    np.testing.assert_array_equal(copy[1:], [[2, 3], [4, 5]])


def test_a_source_with_adapters_of_low_rank_is_not_sent(easy):
    """Keras saves it without them."""
    source = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    source.layers[1].enable_lora(2)
    defroster = kdefrost.Defroster(source, recipe=RECIPE, features=True)
    with pytest.raises(ValueError, match=r"With `jobs` the source is sent .* without the adapters .* Leave `jobs` out"):
        defroster.profile(**easy, seeds=1, per_class=2, jobs=1, verbose=False)
