"""Half precision: what Keras's own `fit` makes of it, by hand; and that probabilities are never in it."""

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost import training
from kdefrost.cutting.surgery import output_policy

# The gradients are below 6e-8, the smallest number of float16, as soon as they are weighted.
TINY = 1e-8
PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


@pytest.fixture(params=["float32", "mixed_float16"])
def global_policy(request):
    """A global policy, which what is loaded from a file does not go by."""
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def in_half():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def _linear(policy="mixed_float16"):
    """A linear layer in half precision that starts at zero, and a softmax in full."""
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", dtype=policy)
    return keras.Sequential([keras.Input((2,)), dense, keras.layers.Softmax(dtype="float32")])


def _points(size=8):
    return np.random.default_rng(0).normal(size=(size, 2)).astype("float32"), np.arange(size) % 2


def _gradient(x, y, kernel):
    exponentials = np.exp(x @ kernel)
    return x.T @ (exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(2)[y]) / len(x)


def _train(model, x, y, recipe, weight=1.0, coupling=None):
    training.compile_model(model, recipe, coupling=coupling)
    training.fit(model, x, y, recipe, seed=0, weights=np.full(len(x), weight, "float32"))
    return model.get_weights()[0]


@pytest.mark.usefixtures("global_policy")
@pytest.mark.parametrize("policy", ["mixed_float16", "float32"])
def test_small_gradients_move_the_weights(policy):
    x, y = _points()
    recipe = kdefrost.Recipe(epochs=1, learning_rate=1 / TINY, schedule="constant", **PLAIN)
    np.testing.assert_allclose(
        _train(_linear(policy), x, y, recipe, TINY), -_gradient(x, y, np.zeros((2, 2))), rtol=2e-3
    )


def test_a_step_is_that_of_kerass_own_fit(in_half):
    """Also that of a network whose layers have the global policy."""
    x, y = _points()
    weights = np.full(len(x), TINY, "float32")
    ours, theirs = (_linear(None) for _ in range(2))
    recipe = kdefrost.Recipe(epochs=2, learning_rate=1 / TINY, schedule="constant", **PLAIN)
    theirs.compile(keras.optimizers.SGD(1 / TINY), "sparse_categorical_crossentropy")
    theirs.fit(x, y, sample_weight=weights, batch_size=8, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(_train(ours, x, y, recipe, TINY), theirs.get_weights()[0], rtol=5e-3)
    assert np.abs(theirs.get_weights()[0]).max() > 0.1


def _large(x, y, recipe):
    """Trains where the scaled gradients overflow, and says in how many steps."""
    model = _linear()
    _train(model, x, y, recipe, weight=100.0)
    return model


def _skipped(model):
    """How many of twelve steps were skipped."""
    skipped = 12 - int(model.optimizer.iterations.numpy())
    assert skipped == int(model.optimizer.inner_optimizer.schedule.skipped.numpy())
    assert 2 < skipped < 10
    return skipped


def _after_steps(x, y, rates):
    kernel = np.zeros((2, 2))
    for rate in rates:
        kernel -= rate * 100 * _gradient(x, y, kernel)
    return kernel


def test_the_schedule_goes_on_where_steps_are_skipped():
    x, y = _points()
    model = _large(x, y, kdefrost.Recipe(epochs=12, learning_rate=0.01, **PLAIN))
    # The first ones are.
    rates = 0.005 * (1 + np.cos(np.pi * np.arange(_skipped(model), 12) / 12))
    np.testing.assert_allclose(model.get_weights()[0], _after_steps(x, y, rates), rtol=5e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_each_training_starts_with_a_fresh_scale(optimizer):
    x, y = _points()
    recipe = kdefrost.Recipe(epochs=12, learning_rate=0.01, optimizer=optimizer)
    model = _large(x, y, recipe)
    first, scale = model.get_weights(), float(model.optimizer.dynamic_scale)
    assert scale < model.optimizer.initial_scale == 2**15
    model.set_weights([np.zeros((2, 2))])
    training.fit(model, x, y, recipe, seed=0, weights=np.full(len(x), 100.0, "float32"))
    np.testing.assert_array_equal(model.get_weights()[0], first[0])
    assert float(model.optimizer.dynamic_scale) == scale and np.any(first[0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_springs_pull_in_half_precision(optimizer):
    """As in full, and skipped steps are no steps of theirs either."""
    x, y = _points()
    recipe = kdefrost.Recipe(epochs=4, learning_rate=0.1, weight_decay=0.0, optimizer=optimizer)
    source, ends = _linear(), []
    source.set_weights([np.array([[1.0, -2.0], [0.5, 3.0]])])
    for policy in ("float32", "mixed_float16"):
        model = _linear(policy)
        coupling = kdefrost.ElasticCoupling(model, source, 1, strength=0.7)
        ends.append(_train(model, x, y, recipe, coupling=coupling))
    np.testing.assert_allclose(*ends, rtol=5e-3)
    free = _train(_linear(), x, y, recipe)
    assert np.abs(ends[1] - source.get_weights()[0]).max() < 0.8 * np.abs(free - source.get_weights()[0]).max()


def test_two_devices_skip_together(two_devices):
    """Also where the gradients of the second one alone overflow, at which Keras does not look."""
    x, y = _points()
    order = np.random.default_rng(0).permutation(8)
    x[order[:4]] /= 64
    # The halves are others in each epoch, and so a later step may be skipped too.
    recipe = kdefrost.Recipe(epochs=12, batch_size=8, learning_rate=0.01, schedule="constant", **PLAIN)
    with two_devices.scope():
        model = _linear()
        training.compile_model(model, recipe)
        for _ in range(2):
            model.set_weights([np.zeros((2, 2))])
            training.fit(model, x, y, recipe, seed=0, weights=np.full(len(x), 100.0, "float32"))
            kernel = _after_steps(x, y, [0.01] * (12 - _skipped(model)))
            np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=5e-3)


def test_rates_are_measured_in_half_precision():
    x, y = _points(16)
    rate, _ = training.training_rate(_linear(), x, y, kdefrost.Recipe(epochs=1, batch_size=8), steps=2)
    assert rate > 0


def _source(policy, end):
    """A network whose layers have a policy, and what it ends in another."""
    layers, inputs = keras.layers, keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu", dtype=policy)(inputs)
    if end == "features":
        return keras.Model(inputs, layers.GlobalAveragePooling2D(dtype=policy)(x))
    x = layers.Flatten(dtype=policy)(x)
    if end == "softmax":
        return keras.Model(inputs, layers.Softmax(dtype="float32")(layers.Dense(3, dtype=policy)(x)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype=end)(x))


@pytest.mark.usefixtures("global_policy")
@pytest.mark.parametrize(
    ("policy", "end", "expected"),
    [
        ("mixed_float16", "float32", "float32"),
        ("mixed_bfloat16", "softmax", "float32"),
        ("mixed_float16", "features", "float32"),
        ("float32", "float32", "float32"),
        ("mixed_float16", "mixed_float16", "mixed_float16"),
    ],
)
def test_a_new_output_has_the_precision_of_the_old_one(policy, end, expected):
    source = _source(policy, end)
    _, tail = kdefrost.split(source, 1, output=5)
    assert output_policy(source) == tail.layers[-1].dtype_policy.name == expected
    assert tail.outputs[0].dtype == expected.removeprefix("mixed_")


@pytest.mark.usefixtures("global_policy")
def test_a_profile_of_a_source_in_half_precision(easy):
    recipe = kdefrost.Recipe(epochs=12, batch_size=16, learning_rate=0.02)
    defroster = kdefrost.Defroster(_source("mixed_float16", "float32"), recipe=recipe, cuts=[1])
    model = defroster.best_model(defroster.profile(**easy, per_class=9, seeds=1, verbose=False), verbose=False)
    assert model.layers[-1].dtype_policy.name == "float32"
    outputs = np.asarray(model(easy["test"][0]))
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)


def test_probabilities_of_a_new_network_are_in_full_precision(in_half):
    network = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    assert network.outputs[0].dtype == "float32" and network.get_layer("conv1").compute_dtype == "float16"


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weights_in_half_precision_train_too(optimizer):
    x, y = _points()
    recipe = kdefrost.Recipe(epochs=2, optimizer=optimizer, learning_rate=0.1, weight_decay=0.01)
    half, full = (_train(_linear(policy), x, y, recipe) for policy in ("float16", "float32"))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, full, atol=2e-3)
