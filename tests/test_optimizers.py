"""Elastic optimisers: no springs, soft springs, stiff springs, and what Keras does around them."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import training

OPTIMIZERS = {
    "sgd": (keras.optimizers.SGD, kdefrost.ElasticSGD, {"learning_rate": 0.1}),
    "momentum": (keras.optimizers.SGD, kdefrost.ElasticSGD, {"learning_rate": 0.1, "momentum": 0.9}),
    "nesterov": (keras.optimizers.SGD, kdefrost.ElasticSGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (keras.optimizers.Adam, kdefrost.ElasticAdam, {"learning_rate": 0.01}),
    "amsgrad": (keras.optimizers.Adam, kdefrost.ElasticAdam, {"learning_rate": 0.01, "amsgrad": True}),
}
CLASSIFICATION = "sparse_categorical_crossentropy"


class Line:
    """A weight w with the loss a/2 (w − b)², and a spring between it and the source's."""

    def __init__(self, optimizer: str, strength: float, a=2.0, b=1.0, start=0.0, anchor=-3.0):
        self.a, self.b, self.anchor = a, b, anchor
        model, source = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]) for _ in "ab")
        model.set_weights([np.array([[start]])])
        source.set_weights([np.array([[anchor]])])
        self.weight = model.trainable_variables[0]
        self.coupling = kdefrost.ElasticCoupling(model, source, 1, strength)
        _, elastic, settings = OPTIMIZERS[optimizer]
        self.optimizer = elastic(self.coupling, **settings)
        self.optimizer.build([self.weight])
        self._step = tf.function(lambda: self.optimizer.apply([self.a * (self.weight - self.b)], [self.weight]))

    def step(self, times: int = 1) -> float:
        for _ in range(times):
            self._step()
        return float(self.weight.numpy().item())


def _train(model, optimizer, data, epochs=3, weights=None):
    """The weights after some epochs, from given ones."""
    if weights is not None:
        model.set_weights(weights)
    model.compile(optimizer, loss=CLASSIFICATION)
    model.fit(*data["train"], epochs=epochs, batch_size=20, verbose=0, shuffle=False)
    return model.get_weights()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_springs_it_is_the_optimizer_of_keras_bit_for_bit(name, plain, easy):
    plain, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(plain), plain.get_weights()
    expected = _train(plain, plain(**settings), easy, weights=start)
    coupling = kdefrost.ElasticCoupling(plain, source, 2, strength=0.0, normalization=True)
    actual = _train(plain, elastic(coupling, **settings), easy, weights=start)
    assert all(np.array_equal(*pair) for pair in zip(actual, expected, strict=True))
    without = _train(plain, elastic(None, **settings), easy, weights=start)
    assert all(np.array_equal(*pair) for pair in zip(without, expected, strict=True))


def test_a_step_by_hand():
    """w⁺ = 0 − 0.1 · 2 · (0 − 1) = 0.2, κ = 2 · 0.1 · 5 = 1, and half of the way from 0.2 to −3 is −1.4."""
    line = Line("sgd", strength=5.0)
    assert line.step() == pytest.approx(-1.4, rel=1e-6)


def test_the_velocity_is_that_of_the_step():
    """With momentum the next step goes on from the step as it was with its pull: against both equations."""
    line = Line("momentum", strength=5.0)
    w, v = 0.0, 0.0
    for _ in range(5):
        plain = w + 0.9 * v - 0.1 * 2.0 * (w - 1.0)
        after = plain - 0.5 * (plain + 3.0)
        # The force is that of the step's end.
        np.testing.assert_allclose(after - w, 0.9 * v - 0.1 * (2.0 * (w - 1.0) + 2 * 5.0 * (after + 3.0)), atol=1e-12)
        w, v = after, after - w
        assert line.step() == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_ends_where_loss_and_penalty_together_are_least(name):
    line = Line(name, 0.0, start=0.5, anchor=-1.0)
    for strength in (1e-4, 1e-2, 1.0, 1e2, 1e4):
        line.coupling.strength = strength
        expected = (line.a * line.b + 2 * strength * line.anchor) / (line.a + 2 * strength)
        assert line.step(times=800) == pytest.approx(expected, abs=2e-3), strength


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_soft_springs_are_the_penalty_in_the_loss(name, plain, easy):
    """The second route: the penalty's gradient by automatic differentiation, in Keras's own optimiser."""
    strength, layers = 1e-3, 2
    optimizer, elastic, settings = OPTIMIZERS[name]
    settings = {**settings, "learning_rate": 0.01}
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, layers, strength)
    x, y = easy["train"]
    loss, explicit = keras.losses.SparseCategoricalCrossentropy(), optimizer(**settings)
    for _ in range(3):
        with tf.GradientTape() as tape:
            total = loss(y, plain(x, training=True)) + coupling.penalty()
        variables = plain.trainable_variables
        explicit.apply(tape.gradient(total, [variable.value for variable in variables]), variables)
    expected = plain.get_weights()
    plain.set_weights(start)
    plain.compile(elastic(coupling, **settings), loss=loss)
    plain.fit(x, y, epochs=3, batch_size=len(x), verbose=0, shuffle=False)
    # κ = 2e-5: so much of the pull is the difference between its force at the beginning and at the end of a step.
    for actual, wanted, before in zip(plain.get_weights(), expected, start, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5 + 1e-4 * np.abs(wanted - before).max())
    free = _without_springs(plain, start, optimizer(**settings), easy)
    assert abs(expected[0] - free[0]).max() > 1e-5, "The springs must matter in this test."


def _without_springs(model, start, optimizer, data):
    model.set_weights(start)
    model.compile(optimizer, loss=CLASSIFICATION)
    model.fit(*data["train"], epochs=3, batch_size=len(data["train"][0]), verbose=0, shuffle=False)
    return model.get_weights()


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam"])
def test_no_strength_is_unstable(name, plain, easy):
    """37 decades of springs train at the same learning rate, and the stiffer ones hold closer."""
    _, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, 2)
    plain.compile(elastic(coupling, **{**settings, "learning_rate": 0.1}), loss=CLASSIFICATION)
    distances = []
    for strength in (0.0, 1e-7, 1e-3, 1e-1, 1e1, 1e3, 1e5, 1e10, 1e20, 1e30):
        coupling.strength = strength
        plain.set_weights(start)
        plain.fit(*easy["train"], epochs=6, batch_size=20, verbose=0, shuffle=False)
        assert all(np.isfinite(weight).all() for weight in plain.get_weights()), strength
        distances.append(max(pair.relative_distance() for pair in coupling.layers))
    assert distances[0] > 1 and distances[4] < 0.1 and max(distances[5:]) < 1e-3
    assert all(later < 1.05 * earlier + 1e-6 for earlier, later in itertools.pairwise(distances))


def test_explicit_steps_diverge_where_these_do_not():
    """2 · 0.1 · 100 > 2: a control that the springs of these tests are stiff."""
    w = 0.0
    for _ in range(200):
        w -= 0.1 * (2.0 * (w - 1.0) + 2 * 100.0 * (w + 3.0))
    assert abs(w) > 1e6
    assert Line("sgd", strength=100.0).step(times=200) == pytest.approx(-2.96, abs=0.01)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_stiff_springs_from_the_source_are_freezing(name, residual, easy):
    _, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(residual), residual.get_weights()
    frozen = kdefrost.ElasticCoupling(residual, source, 6)
    frozen.freeze()
    held = residual.get_weights()
    expected = _train(residual, elastic(frozen, **settings), easy)
    for weight in frozen.weights:
        weight.trainable = True
    coupling = kdefrost.ElasticCoupling(residual, source, 6, strength=1e12)
    actual = _train(residual, elastic(coupling, **settings), easy, weights=held)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    assert max(abs(a - b).max() for a, b in zip(actual, start, strict=True)) > 0.1


def test_the_strength_changes_without_tracing_again(residual, easy):
    traces = []

    def loss(y_true, y_pred):
        traces.append(1)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    coupling = kdefrost.ElasticCoupling(residual, keras.models.clone_model(residual), 3)
    residual.compile(kdefrost.ElasticSGD(coupling, 0.1), loss=loss)
    residual.fit(*easy["train"], batch_size=20, verbose=0)
    before = len(traces)
    coupling.strength = 1e9
    residual.fit(*easy["train"], batch_size=20, verbose=0)
    assert len(traces) == before > 0
    assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3


def test_half_precision(easy):
    """Under mixed_float16 Keras wraps the optimiser to scale the loss, which the springs are no part of."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
        source, start = keras.models.clone_model(model), model.get_weights()
        expected = _train(model, keras.optimizers.SGD(0.1, momentum=0.9), easy, weights=start)
        coupling = kdefrost.ElasticCoupling(model, source, 6)
        actual = _train(model, kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), easy, weights=start)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert all(np.array_equal(*pair) for pair in zip(actual, expected, strict=True))
        coupling.strength = 1e8
        model.fit(*easy["train"], epochs=3, batch_size=20, verbose=0)
        assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("strength", [0.0, 1e-1, 1e6])
def test_two_replicas_are_as_one_device(strength):
    """Without batch normalisation, whose statistics are a replica's own, two halves of a batch are one batch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)).astype("float32"), np.arange(40) % 3
    layers = [(6, "relu"), (3, "softmax")]

    def run(strategy):
        with strategy.scope():
            model, source = (
                keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(n, activation=a) for n, a in layers)])
                for _ in "ab"
            )
            for seed, each in enumerate((model, source)):
                kdefrost.reinitialize(each, seed)
            coupling = kdefrost.ElasticCoupling(model, source, 1, strength)
            model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss=CLASSIFICATION)
        model.fit(x, y, epochs=4, batch_size=20, verbose=0, shuffle=False)
        return model.get_weights()

    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for one, other in zip(run(tf.distribute.get_strategy()), run(two), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_saved_model_needs_its_springs_again_to_train_on(residual, easy, tmp_path):
    source, start = keras.models.clone_model(residual), residual.get_weights()
    coupling = kdefrost.ElasticCoupling(residual, source, 6, strength=0.05)
    optimizer = kdefrost.ElasticSGD(coupling, 0.05, momentum=0.9)
    _train(residual, optimizer, easy, epochs=2, weights=start)
    residual.save(tmp_path / "half.keras")
    residual.fit(*easy["train"], epochs=2, batch_size=20, verbose=0, shuffle=False)
    loaded = keras.models.load_model(tmp_path / "half.keras")
    images = easy["test"][0]
    with pytest.raises(ValueError, match=r"saved with an elastic coupling.*optimizer.coupling = "):
        loaded.fit(*easy["train"], batch_size=20, verbose=0)
    loaded = keras.models.load_model(tmp_path / "half.keras")
    loaded.optimizer.coupling = kdefrost.ElasticCoupling(loaded, source, 6, strength=0.05)
    loaded.fit(*easy["train"], epochs=2, batch_size=20, verbose=0, shuffle=False)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), residual.predict(images, verbose=0), atol=1e-6)


def test_a_coupling_of_another_model_is_refused(plain, easy):
    other = keras.models.clone_model(plain)
    optimizer = kdefrost.ElasticSGD(kdefrost.ElasticCoupling(other, plain, 1), 0.1)
    plain.compile(optimizer, loss=CLASSIFICATION)
    with pytest.raises(
        ValueError, match=r"`coupling` must be of the model that is trained, of which its `.*first/kernel` is no"
    ):
        plain.fit(*easy["train"], verbose=0)
    optimizer = kdefrost.ElasticSGD(None, 0.1)
    optimizer.build(plain.trainable_variables)
    optimizer.coupling = kdefrost.ElasticCoupling(plain, other, 1)
    with pytest.raises(ValueError, match="Make an ElasticCoupling of this model"):
        optimizer.coupling = kdefrost.ElasticCoupling(other, plain, 1)


def test_an_optimizer_saved_without_springs_trains_on(plain, easy, tmp_path):
    _train(plain, kdefrost.ElasticAdam(None, 0.01), easy, epochs=1)
    plain.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(*easy["train"], batch_size=20, verbose=0)
    assert loaded.optimizer.coupling is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_recipes_train_under_springs(optimizer, plain, easy):
    """With its weight decay, schedule and reset of the optimiser's state, which are not the springs'."""
    recipe = kdefrost.Recipe(epochs=4, batch_size=20, learning_rate=0.05, optimizer=optimizer)
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, 2)
    results = []
    for springs in (None, coupling):
        plain.set_weights(start)
        training.compile_model(plain, recipe, coupling=springs)
        training.fit(plain, *easy["train"], recipe, seed=1)
        results.append(plain.get_weights())
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))
    for _ in range(2):
        coupling.strength = 1e8
        plain.set_weights(start)
        training.fit(plain, *easy["train"], recipe, seed=1)
        assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3
