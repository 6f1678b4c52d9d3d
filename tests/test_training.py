"""Training: the schedule, weight decay, batches, and that a compiled model starts afresh."""

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost import training
from kdefrost.training import StepSchedule


def _linear():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax", use_bias=False)])


def test_cosine_by_hand():
    schedule = StepSchedule(kdefrost.Recipe(epochs=1, learning_rate=0.2))
    schedule.total_steps.assign(8)
    rates = [float(schedule(step)) for step in (0, 2, 4, 6, 8)]
    np.testing.assert_allclose(rates, [0.2, 0.1 * (1 + np.sqrt(0.5)), 0.1, 0.1 * (1 - np.sqrt(0.5)), 0], atol=1e-7)


def test_constant_schedule():
    schedule = StepSchedule(kdefrost.Recipe(epochs=1, learning_rate=0.2, schedule="constant"))
    assert float(schedule(0)) == float(schedule(1000)) == pytest.approx(0.2)


def test_warm_up_and_end_by_hand():
    recipe = kdefrost.Recipe(epochs=5, warmup_epochs=1, learning_rate=0.2, final_learning_rate=0.1)
    schedule = StepSchedule(recipe)
    schedule.total_steps.assign(10)
    np.testing.assert_allclose(
        [float(schedule(step)) for step in (0, 1, 2, 6, 10)], [0, 0.1, 0.2, 0.15, 0.1], rtol=1e-6
    )
    constant = StepSchedule(kdefrost.Recipe(epochs=5, warmup_epochs=1, learning_rate=0.2, schedule="constant"))
    constant.total_steps.assign(10)
    np.testing.assert_allclose([float(constant(step)) for step in (1, 2, 9)], [0.1, 0.2, 0.2], rtol=1e-6)


def test_fit_is_adam_with_decay_in_the_gradient():
    """Two steps against the formulas of Kingma & Ba in NumPy, with coupled decay."""
    recipe = kdefrost.Recipe(epochs=2, learning_rate=0.1, weight_decay=0.05, optimizer="adam", schedule="constant")
    x, y = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "float32"), np.array([0, 1, 1])
    model = _linear()
    kernel = model.get_weights()[0].astype("float64")
    first, second = np.zeros_like(kernel), np.zeros_like(kernel)
    for step in (1, 2):
        exponentials = np.exp(x @ kernel)
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient = x.T @ (probabilities - np.eye(2)[y]) / 3 + 0.05 * kernel
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        kernel -= 0.1 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    training.compile_model(model, recipe)
    training.fit(model, x, y, recipe, seed=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4)


def test_fit_is_momentum_sgd_with_decay_in_the_gradient():
    """Three epochs against the same steps in NumPy."""
    recipe = kdefrost.Recipe(epochs=3, batch_size=4, learning_rate=0.3, momentum=0.9, weight_decay=0.05)
    x, y = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "float32"), np.array([0, 1, 1])
    model = _linear()
    kernel = model.get_weights()[0].astype("float64")
    velocity = np.zeros_like(kernel)
    for step in range(3):
        exponentials = np.exp(x @ kernel)
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient = x.T @ (probabilities - np.eye(2)[y]) / 3 + 0.05 * kernel
        velocity = 0.9 * velocity - 0.15 * (1 + np.cos(np.pi * step / 3)) * gradient
        kernel = kernel + velocity
    training.compile_model(model, recipe)
    training.fit(model, x, y, recipe, seed=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-5)


def test_a_second_fit_knows_nothing_of_the_first(easy, residual):
    recipe = kdefrost.Recipe(epochs=2, batch_size=16)
    start = residual.get_weights()
    training.compile_model(residual, recipe)
    ends = []
    for _ in range(2):
        residual.set_weights(start)
        training.fit(residual, *easy["train"], recipe, seed=1)
        ends.append(residual.get_weights())
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_epoch_holds_every_example_once_in_a_new_order():
    recipe = kdefrost.Recipe(epochs=3, batch_size=4)
    x, y = np.arange(100, dtype="float32")[:, None], np.arange(100)
    subset = np.array([3, 14, 15, 92, 65, 35, 89, 79, 32, 38])
    with training._training_batches((x,), (y,), subset, recipe, seed=0) as batches:
        drawn = list(batches.as_numpy_iterator())
    labels = [batch for _, batch in drawn]
    assert [len(batch) for batch in labels] == [4, 4, 2] * 3 and len(labels) == recipe.steps(10)
    epochs = np.concatenate(labels).reshape(3, 10)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.sort(subset), (3, 1)))
    assert not np.array_equal(epochs[0], epochs[1])
    for images, batch in drawn:
        np.testing.assert_array_equal(images[:, 0], batch)


def test_training_runs_exactly_its_steps(easy, plain):
    """Also where the steps are no multiple of those per execution."""
    for epochs in (1, 17):
        recipe = kdefrost.Recipe(epochs=epochs, batch_size=16)
        training.compile_model(plain, recipe)
        training.fit(plain, *easy["train"], recipe, seed=0)
        assert int(plain.optimizer.iterations) == recipe.steps(60) == 4 * epochs


def test_one_trace_serves_all_sizes(easy, plain):
    recipe = kdefrost.Recipe(epochs=1, batch_size=16)
    training.compile_model(plain, recipe)
    traces = []
    call = plain.train_step
    plain.train_step = lambda data: (traces.append(1), call(data))[1]
    plain.make_train_function(force=True)
    training.fit(plain, *easy["train"], recipe, seed=0, subset=np.arange(5))
    first = len(traces)
    for size in (16, 40, 60):
        training.fit(plain, *easy["train"], recipe, seed=0, subset=np.arange(size))
    assert len(traces) == first >= 1


def test_weights_of_examples_weigh_their_losses(easy, plain):
    """A weight of two is an example that is there twice, up to the mean over the batch."""
    x, y = easy["train"][0][:3], easy["train"][1][:3]
    recipe = kdefrost.Recipe(epochs=1, batch_size=8, learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    model = _linear()
    start = model.get_weights()
    x = x[:, :2, 0, 0]
    y = np.minimum(y, 1)
    ends = []
    for inputs, labels, weights, rate in (
        (x, y, np.array([2.0, 1.0, 1.0], "float32"), 0.1),
        (x[[0, 0, 1, 2]], y[[0, 0, 1, 2]], None, 0.1 * 4 / 3),
    ):
        model.set_weights(start)
        scaled = dataclasses.replace(recipe, learning_rate=rate)
        training.compile_model(model, scaled)
        training.fit(model, inputs, labels, scaled, seed=0, weights=weights)
        ends.append(model.get_weights()[0])
    np.testing.assert_allclose(*ends, rtol=1e-5)
    assert not np.allclose(ends[0], start[0])


def test_what_was_trained_on_is_let_go(easy, plain):
    recipe = kdefrost.Recipe(epochs=1)
    training.compile_model(plain, recipe)
    x = easy["train"][0].copy()
    gone = weakref.ref(x)
    training.fit(plain, x, easy["train"][1], recipe, seed=0)
    del x
    gc.collect()
    assert gone() is None


def test_progress_rises_to_one(easy, plain):
    recipe = kdefrost.Recipe(epochs=40, batch_size=16)
    training.compile_model(plain, recipe)
    shares = []
    training.fit(plain, *easy["train"], recipe, seed=0, on_progress=shares.append)
    assert len(shares) == 4 and shares == sorted(shares) and shares[-1] == 1.0


def test_integer_images_are_cast_to_what_the_model_takes(easy, plain):
    x, y = easy["train"]
    recipe = kdefrost.Recipe(epochs=1)
    training.compile_model(plain, recipe)
    training.fit(plain, np.full(x.shape, 200, "uint8"), y, recipe, seed=0)
    assert np.isfinite(plain.get_weights()[0]).all()
