"""Training: the schedule, weight decay, batches, and that a compiled model starts afresh."""

import dataclasses
import gc
import logging
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import training
from kdefrost.models.normalization import BatchNormalization
from kdefrost.training.batches import training_batches
from kdefrost.training.fitting import StepSchedule


def _linear():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax", use_bias=False)])


def _normalized():
    """A network with a batch normalisation, on 8×8×1 images of three classes."""
    layers = keras.layers
    stack = [layers.Conv2D(4, 3, strides=2), BatchNormalization(), layers.ReLU(), layers.Flatten()]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Dense(3, activation="softmax")])


def _points(size: int):
    """Points of the plane for `_linear`, and their labels."""
    return np.random.default_rng(0).normal(size=(size, 2)).astype("float32"), np.arange(size) % 2


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
    """Three epochs against PyTorch's steps in NumPy: the rate multiplies the whole velocity."""
    recipe = kdefrost.Recipe(epochs=3, batch_size=4, learning_rate=0.3, momentum=0.9, weight_decay=0.05)
    x, y = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "float32"), np.array([0, 1, 1])
    model = _linear()
    kernel = model.get_weights()[0].astype("float64")
    velocity = np.zeros_like(kernel)
    for step in range(3):
        exponentials = np.exp(x @ kernel)
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient = x.T @ (probabilities - np.eye(2)[y]) / 3 + 0.05 * kernel
        velocity = 0.9 * velocity + gradient
        kernel = kernel - 0.15 * (1 + np.cos(np.pi * step / 3)) * velocity
    training.compile_model(model, recipe)
    training.fit(model, x, y, recipe, seed=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-5)


def test_springs_under_momentum_in_numpy():
    """Two steps of backward Euler: v' = β v + g + 2 λ (w' - a) and w' = w - η v', solved for w'."""
    recipe = kdefrost.Recipe(epochs=2, batch_size=4, learning_rate=0.3, momentum=0.9, weight_decay=0.0)
    x, y = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "float32"), np.array([0, 1, 1])
    model, source = _linear(), _linear()
    kernel, anchor = (each.get_weights()[0].astype("float64") for each in (model, source))
    velocity = np.zeros_like(kernel)
    for rate in (0.3, 0.15):
        exponentials = np.exp(x @ kernel)
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        pushed = 0.9 * velocity + x.T @ (probabilities - np.eye(2)[y]) / 3
        after = (kernel - rate * pushed + 2 * rate * 0.7 * anchor) / (1 + 2 * rate * 0.7)
        velocity, kernel = pushed + 2 * 0.7 * (after - anchor), after
    training.compile_model(model, recipe, coupling=kdefrost.ElasticCoupling(model, source, 1, strength=0.7))
    training.fit(model, x, y, recipe, seed=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-5)


def test_a_second_fit_knows_nothing_of_the_first(easy):
    recipe = kdefrost.Recipe(epochs=2, batch_size=16)
    model = _normalized()
    start = model.get_weights()
    training.compile_model(model, recipe)
    ends = []
    for _ in range(2):
        model.set_weights(start)
        training.fit(model, *easy["train"], recipe, seed=1)
        ends.append(model.get_weights())
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_epoch_holds_every_example_once_in_a_new_order():
    recipe = kdefrost.Recipe(epochs=3, batch_size=4)
    x, y = np.arange(100, dtype="float32")[:, None], np.arange(100)
    subset = np.array([3, 14, 15, 92, 65, 35, 89, 79, 32, 38])
    with training_batches((x,), (y,), subset, recipe, seed=0) as batches:
        drawn = list(batches.as_numpy_iterator())
    labels = [batch for _, batch in drawn]
    assert [len(batch) for batch in labels] == [4, 4, 2] * 3 and len(labels) == recipe.steps(10)
    epochs = np.concatenate(labels).reshape(3, 10)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.sort(subset), (3, 1)))
    assert not np.array_equal(epochs[0], epochs[1])
    for images, batch in drawn:
        np.testing.assert_array_equal(images[:, 0], batch)


def test_training_runs_exactly_its_steps():
    """Also where the steps are no multiple of those per execution."""
    model = _linear()
    for epochs in (1, 17):
        recipe = kdefrost.Recipe(epochs=epochs, batch_size=16)
        training.compile_model(model, recipe)
        training.fit(model, *_points(60), recipe, seed=0)
        assert int(model.optimizer.iterations) == recipe.steps(60) == 4 * epochs


def test_one_trace_serves_all_sizes():
    recipe = kdefrost.Recipe(epochs=1, batch_size=16)
    model, (x, y) = _linear(), _points(60)
    training.compile_model(model, recipe)
    traces = []
    call = model.train_step
    model.train_step = lambda data: (traces.append(1), call(data))[1]
    model.make_train_function(force=True)
    training.fit(model, x, y, recipe, seed=0, subset=np.arange(5))
    first = len(traces)
    for size in (16, 40, 60):
        training.fit(model, x, y, recipe, seed=0, subset=np.arange(size))
    assert len(traces) == first == 1


def test_weights_of_examples_weigh_their_losses(easy):
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


def test_what_was_trained_on_is_let_go():
    recipe = kdefrost.Recipe(epochs=1)
    model = _linear()
    training.compile_model(model, recipe)
    x, y = _points(60)
    gone = weakref.ref(x)
    training.fit(model, x, y, recipe, seed=0)
    del x
    gc.collect()
    assert gone() is None


def test_progress_rises_to_one():
    recipe = kdefrost.Recipe(epochs=40, batch_size=16)
    model = _linear()
    training.compile_model(model, recipe)
    shares = []
    training.fit(model, *_points(60), recipe, seed=0, on_progress=shares.append)
    # 160 steps in four calls of Keras: each step tells, three behind the batches that were taken.
    np.testing.assert_allclose(sorted(shares), [0, 0, 0, *np.arange(157) / 160, 1], atol=0.02)
    assert shares[-1] == 1.0


def test_integer_images_are_cast_to_what_the_model_takes(easy):
    x, y = easy["train"]
    recipe = kdefrost.Recipe(epochs=1)
    model = _normalized()
    training.compile_model(model, recipe)
    training.fit(model, np.full(x.shape, 200, "uint8"), y, recipe, seed=0)
    assert np.isfinite(model.get_weights()[0]).all()


def _trained(make, strategy, x, y, recipe, **options):
    """The weights of a network before and after it is trained under a strategy, `None` for none, and the network."""
    with kdefrost.devices.in_scope(strategy):
        model = make()
        kdefrost.reinitialize(model, 0)
        start = model.get_weights()
        training.compile_model(model, recipe)
        training.fit(model, x, y, recipe, seed=0, **options)
    return start, model.get_weights(), model


def _farthest(one: list, other: list) -> float:
    return max(float(np.abs(first - second).max()) for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize(("examples", "batch_size"), [(15, 7), (13, 8)])
def test_two_devices_train_as_one(easy, two_devices, examples, batch_size):
    """With batches of 7, 7 and 1, or of 8 and 5, and examples of unequal weight."""
    (x, y), make = easy["train"], _normalized
    recipe = kdefrost.Recipe(epochs=2, batch_size=batch_size, learning_rate=0.01)
    options = {"subset": np.arange(examples), "weights": np.linspace(0.5, 2, len(y), dtype="float32")}
    shares = []
    start, one, _ = _trained(make, None, x, y, recipe, **options)
    _, two, model = _trained(make, two_devices, x, y, recipe, **options, on_progress=shares.append)
    assert _farthest(one, two) < 5e-6 < 1e-2 < _farthest(start, two)
    steps = recipe.steps(examples)
    # Each piece of a batch tells.
    assert len(shares) > 2 * steps and min(shares) == 0 and max(shares) == shares[-1] == 1
    for weight in model.weights:
        parts = [np.asarray(part) for part in two_devices.experimental_local_results(weight.value)]
        np.testing.assert_array_equal(*parts)
    assert not any(layer.synchronized for layer in model.layers if isinstance(layer, BatchNormalization))


def test_statistics_are_those_of_the_whole_batch(two_devices):
    """Examples of the one half are unlike those of the other, and the halves are not of one size."""
    x, y = np.repeat([0.0, 1.0], [4, 3]).astype("float32")[:, None], np.arange(7) % 2
    recipe = kdefrost.Recipe(epochs=1, batch_size=8, learning_rate=0.01)
    layers = keras.layers

    def make():
        inputs = keras.Input((1,))
        kinds = {"own": BatchNormalization, "keras": layers.BatchNormalization}
        normalized = [kind(momentum=0.0, name=name)(inputs) for name, kind in kinds.items()]
        return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Concatenate()(normalized)))

    _, _, model = _trained(make, two_devices, np.tile(x, (2, 1)), np.tile(y, 2), recipe, subset=np.arange(14))
    # The last batch is of six examples, of a known order.
    order = np.random.default_rng(0).permutation(np.arange(14))[8:]
    last = np.tile(x, (2, 1))[order]
    assert abs(last[:3].mean() - last[3:].mean()) > 0.3
    for name in ("own", "keras"):
        normalize = model.get_layer(name)
        np.testing.assert_allclose(normalize.moving_mean.numpy(), last.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(normalize.moving_variance.numpy(), last.var(axis=0), rtol=1e-6)


def test_statistics_far_from_zero_keep_their_digits(two_devices):
    rng = np.random.default_rng(0)
    x, y = (1000 + rng.normal(size=(16, 4, 4, 3))).astype("float32"), np.arange(16) % 2
    recipe = kdefrost.Recipe(epochs=1, batch_size=16, learning_rate=0.01)
    layers = keras.layers

    def make():
        stack = [keras.Input((4, 4, 3)), BatchNormalization(momentum=0.0), layers.Flatten(), layers.Dense(2)]
        return keras.Sequential([*stack, layers.Softmax()])

    _, weights, model = _trained(make, two_devices, x, y, recipe)
    np.testing.assert_allclose(weights[3], x.astype("float64").var(axis=(0, 1, 2)), rtol=1e-4)
    assert model.weights[3].name == "moving_variance"


def test_a_strategy_of_one_device_changes_no_bit(easy):
    x, y = easy["train"]
    recipe = kdefrost.Recipe(epochs=2, batch_size=8, optimizer="adam", learning_rate=0.01)
    _, none, _ = _trained(_normalized, None, x, y, recipe, subset=np.arange(29))
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), tf.distribute.MirroredStrategy(["CPU:0"])):
        _, one, model = _trained(_normalized, strategy, x, y, recipe, subset=np.arange(29))
        assert _farthest(none, one) == 0.0 and model.steps_per_execution == training.STEPS_PER_EXECUTION


def test_one_trace_serves_all_sizes_on_two_devices(two_devices):
    x, y = _points(40)
    recipe = kdefrost.Recipe(epochs=1, batch_size=8)
    traces = []
    with two_devices.scope():
        model = _linear()
        training.compile_model(model, recipe)
        call = model.train_step
        model.train_step = lambda data: (traces.append(1), call(data))[1]
        training.fit(model, x, y, recipe, seed=0, subset=np.arange(5))
        first = len(traces)
        for size in (1, 8, 39):
            training.fit(model, x, y, recipe, seed=0, subset=np.arange(size))
    assert len(traces) == first >= 1


def test_pieces_of_batches_by_hand():
    x, y = np.arange(20, dtype="float32")[:, None], np.arange(20)
    recipe = kdefrost.Recipe(epochs=1, batch_size=8)
    with training_batches((x,), (y,), np.arange(18), recipe, seed=0).pieces(3) as pieces:
        _, labels, weights = zip(*pieces.as_numpy_iterator(), strict=True)
    # The first goes whole, because eight examples are not three equal pieces, and the last, because two are too few.
    assert [len(piece) for piece in labels] == [8, 8, 8, 2, 3, 3, 2, 2, 2]
    order = np.random.default_rng(0).permutation(np.arange(18))
    np.testing.assert_array_equal(np.concatenate(labels[3:6]), order[8:16])
    for piece in labels[6:]:
        np.testing.assert_array_equal(piece, order[16:])
    wholes = np.repeat([24, 8, 6], 3)
    expected = [np.full(len(piece), 3 * len(piece) / whole) for piece, whole in zip(labels, wholes, strict=True)]
    np.testing.assert_allclose(np.concatenate(weights), np.concatenate(expected), rtol=1e-6)


def test_what_pieces_do_not_add_up_to_is_refused(two_devices):
    recipe = kdefrost.Recipe(epochs=1)
    regularized = keras.layers.Dense(2, activity_regularizer="l2", name="held")
    with two_devices.scope():
        for loss in ("sum", "mean_with_sample_weight"):
            with pytest.raises(ValueError, match=rf"`loss` must be the mean .*Received: .* with reduction='{loss}'"):
                training.compile_model(_linear(), recipe, keras.losses.SparseCategoricalCrossentropy(reduction=loss))
        with pytest.raises(ValueError, match=r"no layer may have an `activity_regularizer`.*Received: `held`"):
            training.compile_model(keras.Sequential([keras.Input((2,)), regularized]), recipe)


def test_models_that_are_compiled_one_after_the_other_bring_no_warning_of_tracing():
    """TensorFlow counts what has the same name; a user cannot do anything about it."""
    logged = []

    class Handler(logging.Handler):
        def emit(self, record):
            logged.append(record.getMessage())

    handler, logger = Handler(), tf.get_logger()
    # As a user has it; a command that was run in this process may have silenced it.
    level = logger.level
    logger.setLevel("WARNING")
    logger.addHandler(handler)
    try:
        recipe = kdefrost.Recipe(epochs=1, batch_size=2)
        for _ in range(8):
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
            training.compile_model(model, recipe, keras.losses.MeanSquaredError())
            training.fit(model, np.zeros((4, 2), np.float32), np.zeros((4, 2), np.float32), recipe, seed=0)
        assert not logged
        logger.warning("something else")
        assert logged == ["something else"]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
