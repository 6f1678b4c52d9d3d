"""Callbacks of Keras: what they see of a trial, what they change, and which are refused."""

import functools
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import RECIPE

import kdefrost
from kdefrost import fingerprint
from kdefrost.trials.callbacks import callbacks_for


class Watch(keras.callbacks.Callback):
    """Notes each epoch, its loss, and how many steps it had."""

    def __init__(self, seen: list):
        super().__init__()
        self.seen, self.steps = seen, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, self.steps, sorted(logs), self.model.stop_training))


class StopAfter(keras.callbacks.Callback):
    """Ends each training after an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def stop(question):
    return [StopAfter()]


def _profile(model, easy, directory=None, callbacks=None, **options):
    defroster = kdefrost.Defroster(model, RECIPE, cuts=[0, 2], directory=directory, callbacks=callbacks)
    return defroster.profile(easy["train"], easy["test"], per_class=4, seeds=1, verbose=False, **options)


def _scores(profile):
    return [trial.test for trial in profile.trials]


def test_what_only_watches_changes_no_score(small, easy):
    seen = {}

    def watch(question):
        return [Watch(seen.setdefault(question.cut, []))]

    watched = _profile(small, easy, callbacks=watch)
    assert _scores(watched) == _scores(_profile(small, easy))
    # 12 images in batches of 8: two steps an epoch.
    assert seen == {cut: [(epoch, 2 * (epoch + 1), ["loss"], False) for epoch in range(3)] for cut in (0, 2)}


def test_a_training_that_is_stopped_has_the_scores_of_its_steps(small, easy, tmp_path):
    """One epoch of three at a constant rate is a training of one epoch."""
    stopped, short = (
        kdefrost.Defroster(small, recipe, cuts=[2], callbacks=callbacks, directory=tmp_path / name).profile(
            easy["train"], easy["test"], per_class=4, seeds=1, verbose=False
        )
        for name, callbacks, recipe in (
            ("stopped", stop, kdefrost.Recipe(epochs=3, batch_size=12, schedule="constant", warmup_epochs=0)),
            ("short", None, kdefrost.Recipe(epochs=1, batch_size=12, schedule="constant", warmup_epochs=0)),
        )
    )
    # In batches of all, the order of the images changes rounding alone.
    np.testing.assert_allclose(*([*scores.values()] for (scores,) in map(_scores, (stopped, short))), atol=1e-6)


def test_a_folder_is_of_one_function(small, easy, tmp_path):
    first = _profile(small, easy, tmp_path, stop)
    assert _scores(_profile(small, easy, tmp_path, stop)) == _scores(first)
    with pytest.raises(ValueError, match=r"results of another configuration .*callbacks"):
        _profile(small, easy, tmp_path)


def test_what_a_function_notes_does_not_lock_its_folder(small, easy, tmp_path):
    seen = []

    def note(question):
        seen.append(question.cut)
        return []

    defroster = kdefrost.Defroster(small, RECIPE, cuts=[2], directory=tmp_path, callbacks=note)
    first, second = (
        defroster.profile(easy["train"], easy["test"], per_class=4, seeds=1, verbose=False) for _ in range(2)
    )
    assert seen and first.trials == second.trials


class Maker:
    def __init__(self, patience):
        self.patience = patience

    def __call__(self, question):
        return [keras.callbacks.EarlyStopping("loss", patience=self.patience)]

    def other(self, question):
        return []


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def __call__(self, question):
        return []


def _holding(held):
    return lambda question: [held]


def _class_holding(held):
    class Inner:
        def __call__(self, question):
            return [held]

    return Inner


# Each gives the same function whenever it is called, and no two of them the same.
MADE_TWICE = [
    lambda: _holding(1),
    lambda: _holding(2),
    lambda: _holding(True),
    lambda: _holding("1"),
    lambda: _holding([]),
    lambda: _holding(()),
    lambda: _holding({"b", "a"}),
    lambda: _holding({"a": 1, "b": Path("a")}),
    lambda: _holding(Path("a")),
    lambda: _holding(Path("b")),
    lambda: _holding(np.arange(3)),
    lambda: _holding(np.arange(1, 4)),
    lambda: _holding(keras),
    lambda: _holding(keras.callbacks.EarlyStopping),
    lambda: _holding(keras.callbacks.CSVLogger),
    lambda: _holding(np.mean),
    lambda: _holding([].append),
    lambda: _holding(functools.lru_cache(stop)),
    lambda: _holding(functools.lru_cache(_holding)),
    lambda: _holding(Maker(1)),
    lambda: _holding(Maker(2)),
    lambda: Maker(1),
    lambda: Maker(2),
    lambda: Maker(1).__call__,
    lambda: Maker(1).other,
    lambda: Maker(2).other,
    lambda: Maker,
    lambda: Slotted,
    lambda: Slotted(1),
    lambda: Slotted(2),
    lambda: _class_holding(1),
    lambda: _class_holding(Path("a"))(),
    lambda: _class_holding(Path("b"))(),
    lambda: functools.partial(_holding, 1),
    lambda: functools.partial(Maker(1).other),
    lambda: functools.partial(Maker(1).__call__),
    lambda: stop,
]


def test_functions_are_told_apart_by_what_they_do_and_hold():
    prints = [[fingerprint.of_callable(make()) for _ in range(2)] for make in MADE_TWICE]
    assert all(one == other for one, other in prints)
    assert len({one for one, _ in prints}) == len(MADE_TWICE)


def test_what_holds_itself_has_an_end():
    held = Maker(None)
    held.patience = held
    assert fingerprint.of_callable(held) != fingerprint.of_callable(Maker(None))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda model: _holding(threading.Lock()), "lock"),
        (lambda model: _holding([Maker(each for each in ())]), "generator"),
        (lambda model: Slotted(model), "Sequential"),
    ],
)
def test_what_cannot_be_told_from_others_is_refused(small, make, word):
    with pytest.raises(ValueError, match=f"`callbacks` must be a function that can be told .* which holds a {word}"):
        kdefrost.Defroster(small, callbacks=make(small))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "must give a list of Keras callbacks for a trial. Received for cut 0, 4 per class, seed 0: None"),
        (["early"], r"Received for cut 0, 4 per class, seed 0: \['early'\]"),
        ([keras.callbacks.EarlyStopping()], "not give a EarlyStopping: monitor='val_loss' is not known"),
        ([keras.callbacks.LearningRateScheduler(abs)], "LearningRateScheduler: the learning rate .* is the recipe's"),
        ([keras.callbacks.ModelCheckpoint("a.keras")], "ModelCheckpoint: a tail is saved by its weights"),
    ],
)
def test_what_cannot_do_here_what_it_promises_is_refused(small, easy, made, words):
    with pytest.raises(ValueError, match=words):
        _profile(small, easy, callbacks=lambda question: made)


def test_keras_own_do_what_they_promise(small, easy, tmp_path):
    def make(question):
        folder = tmp_path / f"cut-{question.cut}"
        folder.mkdir(exist_ok=True)
        return [
            keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(folder / "tail.weights.h5", save_weights_only=True),
            keras.callbacks.CSVLogger(folder / "loss.csv"),
            keras.callbacks.TerminateOnNaN(),
        ]

    _profile(small, easy, callbacks=make)
    for cut in (0, 2):
        assert (tmp_path / f"cut-{cut}" / "tail.weights.h5").stat().st_size
        assert len((tmp_path / f"cut-{cut}" / "loss.csv").read_text().splitlines()) == 4


def test_without_a_function_there_are_none(small):
    assert callbacks_for(None, None) == []
