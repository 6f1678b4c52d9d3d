"""Folds: who is held out when, in how many steps a fold trains, and tails that start from the source's weights."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import RECIPE, scores_of

import kdefrost
from kdefrost.data.sets import LabelledSet
from kdefrost.training.batches import training_batches
from kdefrost.trials.checks import as_groups
from kdefrost.trials.engine import Engine
from kdefrost.trials.question import Fold
from kdefrost.trials.rows import as_folds, hold_out_fold, subset

CLASSES = np.repeat([0, 1, 2], [10, 15, 20])


def _divided(rows, classes=CLASSES, groups=None, folds=5, repeat=0, seed=0):
    return [hold_out_fold(rows, classes, groups, Fold(number, folds, repeat), seed) for number in range(folds)]


def test_each_example_is_held_out_once_with_its_share_of_every_class():
    rows = np.arange(45)
    divided = _divided(rows)
    np.testing.assert_array_equal(np.sort(np.concatenate([each.held_out for each in divided])), rows)
    for each in divided:
        np.testing.assert_array_equal(each.all, rows)
        np.testing.assert_array_equal(np.bincount(CLASSES[each.held_out]), [2, 3, 4])


def test_only_the_subsets_own_examples_are_divided():
    rows = subset(CLASSES, 5, seed=3)
    for each in _divided(rows):
        np.testing.assert_array_equal(each.all, rows)
        np.testing.assert_array_equal(np.bincount(CLASSES[each.held_out]), [1, 1, 1])


def test_repeats_and_seeds_divide_otherwise():
    rows = np.arange(45)
    first, again = (_divided(rows)[0].held_out for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (_divided(rows, repeat=1), _divided(rows, seed=1)):
        assert not np.array_equal(first, other[0].held_out)


def test_no_fold_divides_a_group():
    groups = np.arange(45) // 3
    for each in _divided(np.arange(45), groups=groups):
        assert not set(groups[each.train]) & set(groups[each.held_out])


def test_numbers_are_divided_without_regard_to_classes():
    divided = _divided(np.arange(45), classes=None)
    assert [len(each.held_out) for each in divided] == [9] * 5
    groups = np.arange(45) // 9
    for each in _divided(np.arange(45), classes=None, groups=groups):
        assert len(set(groups[each.held_out])) == 1


def test_a_group_that_fills_a_class_is_refused():
    groups = np.where(CLASSES == 1, 99, np.arange(45))
    with pytest.raises(ValueError, match=r"`groups` must have .* class 1 is in the group .*99"):
        _divided(np.arange(45), groups=groups)


def test_more_folds_than_examples_of_a_class_are_refused():
    with pytest.raises(ValueError, match=r"`folds` must be at most 10, .* of class 0"):
        _divided(np.arange(45), folds=11)
    with pytest.raises(ValueError, match=r"`folds` must be at most 45, the number of training examples"):
        _divided(np.arange(45), classes=None, folds=46)


def test_a_fold_trains_in_as_many_steps_as_all_examples():
    """150 examples are batches of 128 and 22; 120 of them batches of 102 and 18."""
    x = np.arange(150)[:, None]
    recipe = kdefrost.Recipe(epochs=3)
    with training_batches((x,), (x,), np.arange(30, 150), recipe, seed=0, in_place_of=150) as batches:
        seen = [batch.ravel() for batch, _ in batches.as_numpy_iterator()]
    assert [len(batch) for batch in seen] == [102, 18] * 3 and len(seen) == recipe.steps(150)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen[:2])), np.arange(30, 150))


@pytest.mark.parametrize(("batch_size", "of"), [(1, 5), (2, 7), (128, 129), (128, 257)])
def test_no_batch_of_a_fold_is_empty(batch_size, of):
    x = np.arange(of // 2)[:, None]
    recipe = kdefrost.Recipe(epochs=2, batch_size=batch_size)
    with training_batches((x,), (x,), np.arange(len(x)), recipe, seed=0, in_place_of=of) as batches:
        sizes = [len(batch) for batch, _ in batches.as_numpy_iterator()]
    assert min(sizes) > 0 and sum(sizes) == 2 * len(x)


@pytest.fixture(scope="module")
def folded(small, easy):
    """A defroster and its profile of all training images alone."""
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2])
    return defroster, defroster.profile(easy["train"], verbose=False)


def test_without_test_and_validation_folds_choose(folded, easy):
    _, profile = folded
    assert profile.per_class == [None] and profile.folds == 3 and profile.seeds == [0]
    assert profile.scores(on="validation").shape == (3, 2) and profile.chosen_on == profile.reported_on == "validation"
    assert profile.configuration["examples"] == len(easy["train"][1])
    assert f"All {len(easy['train'][1])} examples" in profile.summary() and "over 3 folds" in profile.summary()


def test_a_folds_trial_is_a_validation_set_held_out_by_hand(small, easy):
    """Two routes: what is held out as the fold, and the same examples as a test set."""
    x, y = easy["train"]
    rows = subset(y, 10, seed=0)
    defroster = kdefrost.Defroster(small, recipe=kdefrost.Recipe(epochs=2, batch_size=30), cuts=[2])
    inquiry = defroster._inquire(
        {"train": (x[rows], y[rows])} | dict.fromkeys(("test", "validation")), *[None] * 5, False, None
    )
    drawn = inquiry.experiment.draw([(None, 0, Fold(0, 5))])[(None, 0, Fold(0, 5))]
    held_out = rows[drawn.held_out]
    profile = defroster.profile((x[rows], y[rows]), test=(x[held_out], y[held_out]), folds=5, verbose=False)
    first = next(trial for trial in profile.trials if trial.fold == 0)
    assert first.test == first.validation


def test_the_answer_of_a_fold_does_not_depend_on_the_others(small, easy):
    whole = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).profile(easy["train"], folds=3, repeats=2, verbose=False)
    alone = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).profile(easy["train"], folds=3, verbose=False)
    assert scores_of(alone).items() <= scores_of(whole).items() and len(whole.trials) == 6


def test_the_best_model_has_seen_all_examples(small, easy, tmp_path):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path)
    profile = defroster.profile(easy["train"], verbose=False)
    model = defroster.best_model(profile, verbose=False)
    # Another route: the trial on all examples with the same seed.
    plain = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2])
    tested = plain.profile(easy["train"], easy["test"], seeds=1, verbose=False)
    x, y = easy["test"]
    accuracy = np.mean(np.asarray(model(x)).argmax(axis=1) == y)
    assert accuracy == pytest.approx(tested.trial(profile.best_cut(), None, 0).test["accuracy"])


def test_the_best_model_is_trained_once(small, easy, tmp_path, monkeypatch):
    models = []
    for _ in range(2):
        defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], directory=tmp_path)
        models.append(defroster.best_model(defroster.profile(easy["train"], verbose=False), verbose=False))
        monkeypatch.setattr(kdefrost.training, "fit", None)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_is_another_model(folded):
    defroster, profile = folded
    models = [defroster.best_model(profile, seed=seed, verbose=False).get_weights() for seed in (0, 1)]
    assert any(not np.array_equal(*pair) for pair in zip(*models, strict=True))


def test_regression_and_labels_have_folds_too(small, easy):
    x, y = easy["train"]
    for labels in (x.mean(axis=(1, 2, 3)), np.stack([y > 0, y > 1], axis=1).astype(int)):
        profile = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).profile((x, labels), folds=3, verbose=False)
        assert np.isfinite(profile.scores(on="validation")).all() and profile.folds == 3


def test_unequal_classes_are_used_as_they_are(small, easy):
    x, y = easy["train"]
    few = np.concatenate([np.flatnonzero(y == 0)[:6], np.flatnonzero(y > 0)])
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    plan = defroster.plan((x[few], y[few]), folds=3)
    assert plan.trained == len(few) and sum(plan.examples.values()) == 2 * len(few)


def test_groups_need_examples_in_a_fixed_order(small, easy):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(easy["train"]).batch(8)
    with pytest.raises(ValueError, match="`groups` needs `train` as a pair"):
        kdefrost.Defroster(small, recipe=RECIPE).profile(data, groups=np.arange(len(easy["train"][1])))


def test_pretrained_tails_start_from_the_source(tapering, easy):
    """With a learning rate that moves nothing, all layers but the new output have the source's weights."""
    recipe = kdefrost.Recipe(epochs=1, learning_rate=1e-30, weight_decay=0.0, batch_norm_momentum=0.999999)
    for tails in ("new", "pretrained"):
        defroster = kdefrost.Defroster(tapering, recipe=recipe, cuts=[1], tails=tails)
        profile = defroster.profile(easy["train"], easy["test"], seeds=1, verbose=False)
        model = defroster.best_model(profile, verbose=False)
        source = {layer.name: layer for layer in tapering.layers if layer.weights}
        mine = [layer for layer in model.layers if layer.weights and layer.name in source]
        same = [
            all(
                np.allclose(*pair, atol=1e-3)
                for pair in zip(layer.get_weights(), source[layer.name].get_weights(), strict=True)
            )
            for layer in mine
            if layer.get_weights()[0].shape == source[layer.name].get_weights()[0].shape
            and not isinstance(layer, keras.layers.BatchNormalization)
        ]
        frozen = sum(isinstance(layer, keras.layers.Conv2D) for layer in kdefrost.split(tapering, 1)[0].layers)
        assert sum(same) == (frozen if tails == "new" else len(same) - (model.layers[-1].name in source))


def test_tails_of_no_such_kind(small):
    with pytest.raises(ValueError, match="`tails` must be one of new, pretrained"):
        kdefrost.Defroster(small, tails="old")


def test_as_folds():
    assert as_folds(None) == [None]
    assert as_folds(2, 2) == [Fold(0, 2, 0), Fold(1, 2, 0), Fold(0, 2, 1), Fold(1, 2, 1)]


def test_at_the_last_cut_all_tails_start_alike(residual, easy):
    """There the output layer is all that a tail has."""
    scores = [
        kdefrost.Defroster(residual, recipe=RECIPE, cuts=[4], tails=tails).profile(
            easy["train"], easy["test"], seeds=2, verbose=False
        )
        for tails in ("new", "pretrained")
    ]
    assert len(kdefrost.cut_points(residual)) == 5 and scores_of(scores[0]) == scores_of(scores[1])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=str)
def test_a_group_that_is_missing_is_none(missing):
    train = LabelledSet(np.zeros((4, 1)), np.zeros(4))
    with pytest.raises(ValueError, match=r"`groups` must name the group .* of 2 is missing, the first in row 1"):
        as_groups(["a", missing, "b", missing], train)
    with pytest.raises(ValueError, match=r"that of 1 is missing, the first in row 3"):
        as_groups(np.array([2.0, 1.0, 1.0, np.nan]), train)
    assert as_groups(pd.Series(["a", 3, "b", 3]), train).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("per_class", "seeds"), [(None, 1), (6, [3, 1])], ids=["all examples", "a size, of which the first seed answers"]
)
def test_networks_of_the_folds_answer_what_they_have_not_seen(small, easy, per_class, seeds):
    """Scored fold by fold, their answers have the scores of the trials."""
    images, labels = easy["train"]
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile((images, labels), per_class=per_class, seeds=seeds, folds=3, verbose=False)
    answers = defroster.cross_predict(profile, verbose=False)
    rows = np.arange(60) if per_class is None else subset(labels, per_class, profile.seeds[0])
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(answers).all(axis=1)), np.sort(rows))
    divided = _divided(rows, labels, folds=3, seed=profile.seeds[0])
    for trial, each in zip([t for t in profile.trials if t.seed == profile.seeds[0]], divided, strict=True):
        right = answers[each.held_out].argmax(axis=1) == labels[each.held_out]
        assert right.mean() == pytest.approx(trial.validation["accuracy"], abs=1e-6)


def test_a_fold_that_failed_is_not_answered(small, easy, monkeypatch):
    """As on a cluster, where a trial that fails twice has no weights."""
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile(easy["train"], seeds=1, folds=3, verbose=False)
    run = Engine.run

    def failing(*args):
        for answer, weights in run(*args):
            fails = answer.question.fold.number == 1
            yield (dataclasses.replace(answer, failure="OSError: gone"), []) if fails else (answer, weights)

    monkeypatch.setattr(Engine, "run", failing)
    answers = defroster.cross_predict(profile, verbose=False)
    lost = _divided(np.arange(60), easy["train"][1], folds=3, seed=0)[1].held_out
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(answers).all(axis=1)), lost)
    assert np.isnan(answers).sum() == answers[lost].size


def test_without_folds_there_is_nobody_who_has_not_seen(small, easy):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile(**easy, per_class=2, seeds=1, verbose=False)
    with pytest.raises(ValueError, match="`profile` must have folds"):
        defroster.cross_predict(profile)
