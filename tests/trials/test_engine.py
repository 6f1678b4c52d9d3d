"""The engine: the same scores wherever features are held, in whatever numbers, and on how many devices."""

import functools
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import RECIPE, scores_of

import kdefrost
from kdefrost import training
from kdefrost.cutting.features import DISK, MEMORY, RECOMPUTE, FeatureFlow
from kdefrost.cutting.surgery import segment
from kdefrost.trials import engine, tails
from kdefrost.trials import rows as draws
from kdefrost.trials.placement import Costs


def test_one_trial_by_the_long_way_round(run_profile, residual, easy):
    """Split, extract, re-initialise and train by hand."""
    cut = kdefrost.cut_points(residual)[3]
    extractor, tail = kdefrost.split(residual, cut, output=3, seed=(draws.INITIALISATION, 1, 3))
    chosen = kdefrost.subset(easy["train"][1], per_class=5, seed=1)
    features = np.asarray(extractor(easy["train"][0][chosen], training=False))
    training.compile_model(tail, RECIPE)
    training.fit(tail, features, easy["train"][1][chosen], RECIPE, seed=(draws.ORDER, 1, 5))
    outputs = tail(extractor(easy["test"][0], training=False), training=False)
    expected = np.mean(np.argmax(outputs, axis=1) == easy["test"][1])
    assert run_profile(source=residual, cuts=[3], per_class=5, seeds=[1]).scores(5) == pytest.approx(expected, abs=1e-6)


def test_a_diverged_training_is_told(run_profile, capsys):
    recipe = kdefrost.Recipe(epochs=2, learning_rate=1e30, weight_decay=1.0)
    run_profile(cuts=[2], recipe=recipe, per_class=5, seeds=1)
    assert "Training diverged at cut 2, 5 per class, seed 0" in capsys.readouterr().out


def _logarithm():
    """A source whose frozen layer gives no number for an image of mean 0 or less."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 3, kernel_initializer="ones"),
            layers.GlobalAveragePooling2D(),
            Log(),
            layers.Dense(4),
            layers.Dense(3, activation="softmax"),
        ]
    )


class Log(keras.layers.Layer):
    """The natural logarithm."""

    def call(self, inputs):
        return keras.ops.log(inputs)


@pytest.mark.parametrize("held", [True, False], ids=["held", "not held"])
def test_images_of_which_the_source_makes_no_numbers_are_told_and_not_the_learning_rate(
    run_profile, held, monkeypatch, capsys
):
    if not held:
        monkeypatch.setattr(engine.Engine, "_places", lambda *args: {0: MEMORY, 1: RECOMPUTE})
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    good = rng.uniform(1, 2, (30, 8, 8, 1)).astype("float32")
    bad = good.copy()
    bad[[4, 9]] *= -1
    for train, test, said in ((good, bad, "2 of the examples of `test`"), (bad, good, "2 of the examples of `train`")):
        run_profile(cuts=[1], source=_logarithm(), train=(train, labels), test=(test, labels), per_class=None, seeds=1)
        written = capsys.readouterr().out
        assert f"The source gives NaN or infinity at cut 1 for {said}" in written and "learning rate" not in written


def _question(plan, key):
    return next(question for question in plan.questions if question.key == key)


def test_the_plan_counts_what_would_run(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[0, 4])
    plan = defroster.plan(easy["train"], test=easy["test"], per_class=[2, 5], seeds=3)
    assert len(plan.questions) == 12 and plan.task.units == 3 and plan.evaluated == 45
    used = np.concatenate([kdefrost.subset(easy["train"][1], 5, seed) for seed in range(3)])
    assert plan.trained == len(np.unique(used))
    assert plan.feature_bytes(plan.cuts[1]) == 4 * 64 * (plan.trained + 45)
    # Three classes, five images of each, three epochs, forward and twice that backward.
    whole = plan.cuts[0].multiply_adds
    scratch = _question(plan, (0, 5, 0))
    assert plan.training_flops(scratch) == 3 * 2 * whole * 5 * 3 * 3
    assert plan.flops(scratch) == plan.training_flops(scratch) + 2 * whole * 45


def test_features_are_let_go_before_those_of_the_next_cut_are_made(run_profile, branched, monkeypatch):
    advance, alive = FeatureFlow.advance, []

    def watched(flow, cut, place, on_progress):
        before = [weakref.ref(part) for part in flow.features["train"]]
        advance(flow, cut, place, on_progress)
        if cut.index in (2, 3):
            alive.append(any(part() is not None for part in before))

    monkeypatch.setattr(FeatureFlow, "advance", watched)
    run_profile(source=branched, cuts=kdefrost.cut_points(branched, "layers")[1:], per_class=5, seeds=1)
    assert alive == [False, False]


def _costs_for(place: str):
    """Costs under which all that exceeds the memory budget goes to one place."""
    costs = Costs(compute=float(place == DISK), write=0.1, read=0.0, read_held=0.0)
    return lambda *_: lambda *_: costs


@pytest.fixture(scope="module")
def run_branched(run_profile, branched):
    """Runs a profile of all cuts between layers."""
    cuts = kdefrost.cut_points(branched, "layers")[1:]
    return functools.partial(run_profile, source=branched, cuts=cuts, per_class=5, seeds=1)


@pytest.fixture(scope="module")
def in_memory(run_branched):
    """The scores of a profile whose features are all in memory."""
    return scores_of(run_branched())


@pytest.mark.parametrize("place", [DISK, RECOMPUTE])
def test_the_memory_budget_changes_no_score(run_branched, in_memory, place, monkeypatch):
    monkeypatch.setattr(engine, "measured_costs", _costs_for(place))
    # For nothing, or for the features at cut 3 only.
    for budget in (0, 50_000):
        assert scores_of(run_branched(memory_budget=budget)) == in_memory


def test_the_plan_says_where_features_are_held(residual, easy, monkeypatch):
    def plan(place, **options):
        monkeypatch.setattr(engine, "measured_costs", _costs_for(place))
        return kdefrost.Defroster(residual, recipe=RECIPE, **options).plan(**easy, per_class=5, seeds=1)

    again = plan(RECOMPUTE, memory_budget=0)
    assert {again.held_at(cut) for cut in again.cuts} == {again.cuts[0]}
    # The whole model forward, and the tail backward.
    tail = again.cuts[3].tail_multiply_adds
    whole = again.cuts[3].multiply_adds
    assert again.training_flops(_question(again, (3, 5, 0))) == 2 * (whole + 2 * tail) * 15 * 3
    on_disk = plan(DISK, memory_budget=0)
    assert on_disk.places == {0: MEMORY, 1: DISK, 2: DISK, 3: DISK, 4: DISK}
    assert on_disk.training_flops(_question(on_disk, (3, 5, 0))) == 2 * 3 * tail * 15 * 3
    for options in ({}, {"memory_budget": 10**6}):
        roomy = plan(RECOMPUTE, **options)
        assert [roomy.held_at(cut) for cut in roomy.cuts] == list(roomy.cuts)


def test_features_in_half_precision_teach_the_same(run_profile, residual):
    def scores(**options):
        return run_profile(source=residual, cuts=[3], per_class=5, **options).scores(per_class=5)

    exact = scores()
    for dtype in ("float16", "bfloat16"):
        assert np.abs(scores(feature_dtype=dtype) - exact).max() < 0.05
    assert np.abs(scores(seeds=[6, 7]) - exact).min() > 0.1


def test_batch_norm_of_tails_keeps_up_with_few_steps(easy):
    """With Keras's own momentum the statistics would stay near their start, and the answers be guesses."""
    layers = keras.layers
    slow = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(momentum=0.999),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    scores = []
    for momentum in (0.9, 0.999):
        recipe = kdefrost.Recipe(epochs=40, batch_size=64, batch_norm_momentum=momentum)
        defroster = kdefrost.Defroster(slow, recipe=recipe, cuts=[0])
        scores.append(defroster.profile(**easy, per_class=20, seeds=1, verbose=False).mean(20)[0])
    assert scores[0] > scores[1] + 0.1


def test_frozen_layers_that_run_again_do_not_drop_out():
    layers = keras.layers
    source = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dropout(0.5),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    cuts = kdefrost.cut_points(source)
    frozen = segment(source, cuts[0], cuts[2])
    whole = tails._in_a_row(frozen, kdefrost.split(source, cuts[2], output=3, seed=0)[1])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(whole(x, training=True), whole(x, training=False))


def test_half_precision_sources_are_trained_and_scored(easy):
    for policy in ("mixed_float16", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            inputs = keras.Input((8, 8, 1))
            hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
            source = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
            defroster = kdefrost.Defroster(source, recipe=RECIPE)
            profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
            assert np.isfinite(profile.mean(5)).all()
            defroster.best_model(profile, 5)
        finally:
            keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("memory_budget", [2**31, 0])
def test_two_devices_give_the_profile_of_one(easy, branched, two_devices, memory_budget, monkeypatch):
    """With features that are kept, and with frozen layers that run in each step."""
    monkeypatch.setattr(engine, "measured_costs", _costs_for(RECOMPUTE))
    recipe, cut = (
        kdefrost.Recipe(epochs=3, batch_size=7, learning_rate=0.01),
        kdefrost.cut_points(branched, "layers")[2],
    )
    profiles, models = [], []
    for strategy in (None, two_devices):
        options = {"metrics": ["sparse_categorical_crossentropy", "accuracy"], "memory_budget": memory_budget}
        defroster = kdefrost.Defroster(branched, recipe=recipe, cuts=[cut], strategy=strategy, **options)
        profiles.append(defroster.profile(**easy, per_class=[5], seeds=1, verbose=False))
        models.append(defroster.best_model(profiles[-1], 5))
    name = "sparse_categorical_crossentropy"
    one, two = ([trial.test[name] for trial in profile.trials] for profile in profiles)
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert models[1].to_json() == models[0].to_json() and '"synchronized": false' in models[1].to_json()
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    assert all(isinstance(weight.value, tf.Variable) for weight in models[1].weights)
    images = easy["test"][0]
    np.testing.assert_allclose(models[1](images), models[0](images), atol=1e-4)


def test_without_a_strategy_that_of_the_scope_trains(run_profile, two_devices, monkeypatch):
    used, fit = [], training.fit
    monkeypatch.setattr(
        training,
        "fit",
        lambda model, *args, **kwargs: (used.append(model.distribute_strategy), fit(model, *args, **kwargs)),
    )
    with two_devices.scope():
        run_profile(cuts=[2], per_class=2, seeds=1)
    assert used == [two_devices]
