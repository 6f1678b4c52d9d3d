"""Trials side by side: the scores of one after another, and errors that say what happened."""

import multiprocessing
import os
import pickle
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import defroster as defrosters
from kdefrost.placement import Costs
from kdefrost.storage import DiskArray
from kdefrost.workers import Workers

RECIPE = kdefrost.Recipe(epochs=3, batch_size=8)


def _profile(source, easy, jobs, **options):
    options = {"cuts": [0, 2, 4], **options}
    given = {"test": easy["test"], "per_class": [2, 5], "seeds": 2, "verbose": False, "jobs": jobs}
    return kdefrost.Defroster(source, recipe=RECIPE, **options).profile(easy["train"], **given)


def _scores(profile):
    return {trial.key: trial.test for trial in profile.trials}


def test_the_scores_do_not_depend_on_the_number_of_processes(residual, easy, tmp_path, monkeypatch):
    one = _profile(residual, easy, 1, directory=tmp_path)
    # On disk, the images too.
    cheap = Costs(compute=1.0, write=0.0, read=0.0, read_held=0.0)
    monkeypatch.setattr(defrosters, "measured_costs", lambda *_: lambda *_: cheap)
    two = _profile(residual, easy, 2, memory_budget=0)
    assert len(one.trials) == 12 and _scores(two) == _scores(one)
    assert kdefrost.DefrostProfile(one.cuts, one.trials, one.objective, one.configuration).scores(5).shape == (2, 3)
    here = _profile(residual, easy, None)
    difference = np.abs(here.scores(5) - one.scores(5))
    assert np.median(difference) < 0.1
    # What is kept on disk is complete: nothing runs again, in whatever number of processes.
    monkeypatch.setattr(defrosters, "make_runner", None)
    assert _scores(_profile(residual, easy, None, directory=tmp_path)) == _scores(one)


def test_the_best_model_is_of_the_tail_of_the_other_process(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[4])
    given = {"test": easy["test"], "per_class": 5, "seeds": 2, "verbose": False}
    profile = defroster.profile(easy["train"], **given, jobs=1)
    x, y = easy["test"]
    right = defroster.best_model(profile, per_class=5).predict(x, verbose=0).argmax(axis=1) == y
    assert right.mean() == pytest.approx(profile.best_trial(5).test["accuracy"])


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


def test_a_tail_that_was_not_kept_is_trained_again_as_it_was(residual, easy, tmp_path, monkeypatch):
    given = {**easy, "per_class": 5, "seeds": 1, "verbose": False, "jobs": 1}
    # From the images, of which the layers before the cut run anew.
    dear = Costs(compute=0.0, write=1.0, read=1.0, read_held=0.0)
    monkeypatch.setattr(defrosters, "measured_costs", lambda *_: lambda *_: dear)
    options = {"recipe": RECIPE, "cuts": [2], "directory": tmp_path, "memory_budget": 0}
    kdefrost.Defroster(residual, **options).profile(**given)
    (tmp_path / "tail-5.npz").unlink()
    again = kdefrost.Defroster(residual, **options)
    profile = again.profile(**given)
    # Warnings are errors: it scores what it scored.
    x, y = easy["test"]
    right = again.best_model(profile, per_class=5, verbose=False).predict(x, verbose=0).argmax(axis=1) == y
    assert right.mean() == pytest.approx(profile.best_trial(5).test["accuracy"])
    assert not multiprocessing.active_children()


def test_what_cannot_be_sent_is_told(residual, easy):
    with pytest.raises(ValueError, match=r"With `jobs` the source, .* Leave `jobs` out"):
        _profile(residual, easy, 1, loss=lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p))


def test_processes_and_a_strategy_exclude_each_other(residual, easy):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(ValueError, match="`jobs` must be None under a distribution strategy"):
        _profile(residual, easy, 1, strategy=strategy)
    with strategy.scope(), pytest.raises(ValueError, match="`jobs` must be None under a distribution strategy"):
        _profile(residual, easy, 1)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_numbers_of_processes_that_are_none_are_refused(residual, easy, jobs):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE)
    for method in (defroster.profile, defroster.plan):
        with pytest.raises(ValueError, match="`jobs` must be a whole number of processes, at least 1"):
            method(**easy, per_class=2, jobs=jobs)


def test_the_end_of_a_process_is_told_and_finished_trials_are_kept(residual, easy, tmp_path, monkeypatch):
    run = Workers.run

    def killed(self, assignments, on_progress):
        for number, ended in enumerate(run(self, assignments, on_progress)):
            yield ended
            if number == 2:
                os.kill(self._workers[0].process.pid, signal.SIGKILL)

    monkeypatch.setattr(Workers, "run", killed)
    with pytest.raises(ChildProcessError, match=r"A process of `jobs` has ended with exit code -9"):
        _profile(residual, easy, 1, directory=tmp_path)
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 3


def test_a_file_outlives_the_array_that_another_process_has_of_it():
    array = DiskArray((2,), "float32")
    array.append(np.arange(6, dtype="float32").reshape(3, 2))
    # As multiprocessing sends it, to this process itself.
    from multiprocessing.reduction import ForkingPickler

    copy = pickle.loads(ForkingPickler.dumps(array))
    del array
    np.testing.assert_array_equal(copy[1:], [[2, 3], [4, 5]])
