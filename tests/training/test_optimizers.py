"""Elastic optimisers: no springs, soft springs, stiff springs, and what Keras does around them."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT

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

    @tf.function
    def _steps(self, times):
        for _ in tf.range(times):
            self.optimizer.apply([self.a * (self.weight - self.b)], [self.weight])

    def step(self, times: int = 1) -> float:
        self._steps(tf.constant(times))
        return float(self.weight.numpy().item())


def _train(model, optimizer, data, epochs=3, weights=None):
    """The weights after some epochs, from given ones."""
    if weights is not None:
        model.set_weights(weights)
    model.compile(optimizer, loss=CLASSIFICATION)
    # A step that makes variables when it is traced is traced twice.
    model.optimizer.build(model.trainable_variables)
    _train_on(model, data, epochs)
    return model.get_weights()


def _train_on(model, data, epochs=3):
    """Some epochs in one, because what `fit` does between epochs takes longer than their steps."""
    x, y = (np.concatenate([part] * epochs) for part in data["train"])
    model.fit(x, y, batch_size=20, verbose=0, shuffle=False)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_springs_it_is_the_optimizer_of_keras_bit_for_bit(name, plain, easy):
    optimizer, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(plain), plain.get_weights()
    expected = _train(plain, optimizer(**settings), easy, weights=start)
    assert not any(np.array_equal(*pair) for pair in zip(expected[:2], start, strict=False))
    coupling = kdefrost.ElasticCoupling(plain, source, 2, strength=0.0, normalization=True)
    # Without a coupling the two classes leave alike before what their settings matter to.
    for springs in (coupling, None) if name in ("momentum", "adam") else (coupling,):
        actual = _train(plain, elastic(springs, **settings), easy, weights=start)
        assert all(np.array_equal(*pair) for pair in zip(actual, expected, strict=True))


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
    for strength in (1e-2, 1e-1, 1.0, 1e2, 1e4):
        line.coupling.strength = strength
        expected = (line.a * line.b + 2 * strength * line.anchor) / (line.a + 2 * strength)
        assert line.step(times=800) == pytest.approx(expected, abs=1e-3), strength


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_soft_springs_are_the_penalty_in_the_loss(name, plain, easy):
    """The second route: the penalty's gradient by automatic differentiation, in Keras's own optimiser."""
    strength, layers = 1e-2, 2
    optimizer, elastic, settings = OPTIMIZERS[name]
    settings = {**settings, "learning_rate": 0.01}
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, layers, strength)
    x, y = easy["train"]
    expected = _descend(plain, optimizer(**settings), easy, coupling.penalty)
    plain.set_weights(start)
    plain.compile(elastic(coupling, **settings), loss=CLASSIFICATION)
    plain.fit(x, y, epochs=3, batch_size=len(x), verbose=0, shuffle=False)
    actual = plain.get_weights()
    plain.set_weights(start)
    free = _descend(plain, optimizer(**settings), easy, lambda: 0.0)
    # With κ = 2e-4 the force at a step's end differs from that at its beginning by far less than it matters.
    for kernel in (0, 2):
        pull = np.linalg.norm(expected[kernel] - free[kernel])
        assert pull > 1e-4 and np.linalg.norm(actual[kernel] - expected[kernel]) < 0.02 * pull


def _descend(model, optimizer, data, penalty):
    """The weights after three steps on the loss and a penalty."""
    (x, y), loss = data["train"], keras.losses.SparseCategoricalCrossentropy()
    variables = model.trainable_variables
    for _ in range(3):
        with tf.GradientTape() as tape:
            total = loss(y, model(x, training=True)) + penalty()
        optimizer.apply(tape.gradient(total, [variable.value for variable in variables]), variables)
    return model.get_weights()


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam"])
def test_no_strength_is_unstable(name, plain, easy):
    """37 decades of springs train at the same learning rate, and the stiffer ones hold closer."""
    _, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, 2)
    plain.compile(elastic(coupling, **{**settings, "learning_rate": 0.1}), loss=CLASSIFICATION)
    plain.optimizer.build(plain.trainable_variables)
    distances = []
    for strength in (0.0, 1e-7, 1e-3, 1e-1, 1e1, 1e4, 1e6, 1e10, 1e20, 1e30):
        coupling.strength = strength
        plain.set_weights(start)
        _train_on(plain, easy, epochs=6)
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
def test_stiff_springs_from_the_source_are_freezing(name, plain, easy):
    _, elastic, settings = OPTIMIZERS[name]
    source, start = keras.models.clone_model(plain), plain.get_weights()
    frozen = kdefrost.ElasticCoupling(plain, source, 2)
    frozen.freeze()
    held = plain.get_weights()
    expected = _train(plain, elastic(frozen, **settings), easy)
    for weight in frozen.weights:
        weight.trainable = True
    coupling = kdefrost.ElasticCoupling(plain, source, 2, strength=1e12)
    actual = _train(plain, elastic(coupling, **settings), easy, weights=held)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    assert max(abs(a - b).max() for a, b in zip(actual, start, strict=True)) > 0.1


def test_the_strength_changes_without_tracing_again(plain, easy):
    traces = []

    def loss(y_true, y_pred):
        traces.append(1)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    coupling = kdefrost.ElasticCoupling(plain, keras.models.clone_model(plain), 2)
    plain.compile(kdefrost.ElasticSGD(coupling, 0.1), loss=loss)
    plain.fit(*easy["train"], batch_size=20, verbose=0)
    before = len(traces)
    coupling.strength = 1e9
    plain.fit(*easy["train"], batch_size=20, verbose=0)
    assert len(traces) == before > 0
    assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3


@pytest.fixture
def mixed_float16():
    """The policy of half precision, for the networks of the fixtures that come after."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def test_half_precision(mixed_float16, plain, easy, tmp_path):
    """Under mixed_float16 Keras wraps the optimiser to scale the loss, which the springs are no part of."""
    source, start = keras.models.clone_model(plain), plain.get_weights()
    assert plain.compute_dtype == "float16"
    expected = _train(plain, keras.optimizers.SGD(0.1, momentum=0.9), easy, weights=start)
    coupling = kdefrost.ElasticCoupling(plain, source, 2)
    actual = _train(plain, kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), easy, weights=start)
    assert isinstance(plain.optimizer, keras.optimizers.LossScaleOptimizer)
    assert all(np.array_equal(*pair) for pair in zip(actual, expected, strict=True))
    coupling.strength = 1e8
    _train_on(plain, easy)
    assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3
    plain.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    with pytest.raises(ValueError, match=r"model.optimizer.inner_optimizer"):
        loaded.fit(*easy["train"], batch_size=20, verbose=0)
    loaded.optimizer.inner_optimizer.coupling = kdefrost.ElasticCoupling(loaded, source, 2, 1e8)
    loaded.fit(*easy["train"], batch_size=20, verbose=0)
    assert max(pair.relative_distance() for pair in loaded.optimizer.inner_optimizer.coupling.layers) < 1e-3


def test_two_replicas_are_as_one_device(two_devices):
    """Without batch normalisation, whose statistics are a replica's own, two halves of a batch are one batch."""
    rng = np.random.default_rng(0)
    epoch = rng.normal(size=(40, 5)).astype("float32"), np.arange(40) % 3
    x, y = (np.concatenate([part] * 4) for part in epoch)
    layers = [(6, "relu"), (3, "softmax")]

    def run(strategy):
        with strategy.scope():
            model, source = (
                keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(n, activation=a) for n, a in layers)])
                for _ in "ab"
            )
            for seed, each in enumerate((model, source)):
                kdefrost.reinitialize(each, seed)
            coupling = kdefrost.ElasticCoupling(model, source, 1)
            model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss=CLASSIFICATION)
        weights = []
        for strength in (0.0, 1e-1, 1e6):
            coupling.strength = strength
            model.fit(x, y, batch_size=20, verbose=0, shuffle=False)
            weights += model.get_weights()
        return weights

    for one, other in zip(run(tf.distribute.get_strategy()), run(two_devices), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_saved_model_needs_its_springs_again_to_train_on(plain, easy, tmp_path):
    source, start = keras.models.clone_model(plain), plain.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, 2, strength=0.05)
    optimizer = kdefrost.ElasticSGD(coupling, 0.05, momentum=0.9)
    _train(plain, optimizer, easy, epochs=2, weights=start)
    plain.save(tmp_path / "half.keras")
    _train_on(plain, easy, epochs=2)
    loaded = keras.models.load_model(tmp_path / "half.keras")
    images = easy["test"][0]
    with pytest.raises(ValueError, match=r"saved with an elastic coupling.*Set its `coupling` to a new"):
        loaded.fit(*easy["train"], batch_size=20, verbose=0)
    loaded.optimizer.coupling = kdefrost.ElasticCoupling(loaded, source, 2, strength=0.05)
    _train_on(loaded, easy, epochs=2)
    np.testing.assert_allclose(loaded(images), plain(images), atol=1e-6)


def test_a_coupling_that_would_hold_nothing_is_refused(plain, easy):
    other, message = (
        keras.models.clone_model(plain),
        r"must be of weights that the optimiser trains, but `.*first/kernel`",
    )
    plain.compile(kdefrost.ElasticSGD(kdefrost.ElasticCoupling(other, plain, 1), 0.1), loss=CLASSIFICATION)
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            plain.fit(*easy["train"], verbose=0)
    optimizer = kdefrost.ElasticSGD(None, 0.1)
    optimizer.build(plain.trainable_variables)
    optimizer.coupling = mine = kdefrost.ElasticCoupling(plain, other, 1)
    with pytest.raises(ValueError, match=message):
        optimizer.coupling = kdefrost.ElasticCoupling(other, plain, 1)
    assert optimizer.coupling is mine
    plain.layers[0].trainable = False
    plain.compile(kdefrost.ElasticSGD(mine, 0.1), loss=CLASSIFICATION)
    with pytest.raises(ValueError, match=message):
        plain.fit(*easy["train"], verbose=0)


def test_a_coupling_is_not_changed_behind_a_traced_step(plain, easy):
    coupling = kdefrost.ElasticCoupling(plain, plain, 1)
    for first, second in ((coupling, None), (None, coupling)):
        plain.compile(kdefrost.ElasticSGD(first, 0.1), loss=CLASSIFICATION)
        plain.fit(*easy["train"], verbose=0)
        with pytest.raises(ValueError, match="`coupling` cannot be changed after a step"):
            plain.optimizer.coupling = second


@pytest.mark.parametrize("optimizer", [kdefrost.ElasticSGD, kdefrost.ElasticAdam])
def test_the_learning_rate_is_not_the_first_argument(optimizer):
    with pytest.raises(
        ValueError, match=r"`coupling`, the first argument.*Received: 0.1; a learning rate is the second"
    ):
        optimizer(0.1)


def test_clipping_is_of_the_gradient_of_the_loss_alone():
    """It ends where the clipped gradient and the springs' balance: 0.1 = 2 · 0.1 · (w + 3)."""
    line = Line("sgd", strength=0.1)
    line.optimizer.clipvalue = 0.1
    assert line.step(times=800) == pytest.approx(-2.5, abs=1e-3)


def test_accumulated_gradients_are_one_step_and_one_pull():
    line, whole = Line("momentum", 5.0), Line("momentum", 5.0)
    settings = OPTIMIZERS["momentum"][2]
    line.optimizer = kdefrost.ElasticSGD(line.coupling, **settings, gradient_accumulation_steps=2)
    line.optimizer.build([line.weight])
    assert line.step(times=4) == pytest.approx(whole.step(times=2), rel=1e-6)


@pytest.mark.parametrize("optimizer", [kdefrost.ElasticSGD, kdefrost.ElasticAdam])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_other_precisions(optimizer, dtype):
    """In half precision κ of strong springs overflows."""
    model, source = (
        keras.Sequential([keras.Input((2,), dtype=dtype), keras.layers.Dense(2, dtype=dtype)]) for _ in "ab"
    )
    coupling = kdefrost.ElasticCoupling(model, source, 1)
    assert np.isfinite(float(coupling.penalty()))
    trained = optimizer(coupling, 0.1)
    weights = model.trainable_variables
    for strength in (0.0, 1e-9, 1e5, 1e30):
        coupling.strength = strength
        trained.apply([np.ones(weight.shape, dtype) for weight in weights], weights)
        assert all(np.isfinite(weight.numpy()).all() for weight in weights)
    assert coupling.layers[0].relative_distance() < 1e-2


def test_an_optimizer_saved_without_springs_trains_on(plain, easy, tmp_path):
    _train(plain, kdefrost.ElasticAdam(None, 0.01), easy, epochs=1)
    plain.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(*easy["train"], batch_size=20, verbose=0)
    assert loaded.optimizer.coupling is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_recipes_train_under_springs(optimizer, plain, easy):
    """With its weight decay, schedule and reset of the optimiser's state, which are not the springs'."""
    recipe = kdefrost.Recipe(epochs=2, batch_size=20, learning_rate=0.05, optimizer=optimizer)
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


def test_the_lines_of_the_docs_for_a_users_own_script(easy):
    """The very lines, for a network of as many layers."""
    page = (PROJECT / "docs" / "compliance.md").read_text()
    lines = page.split("```python\n")[1].split("```")[0]
    x, y = easy["train"]
    dense = [keras.layers.Dense(4, "relu") for _ in range(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *dense, keras.layers.Dense(3, "softmax")])
    names = {"kdefrost": kdefrost, "model": model, "source": keras.models.clone_model(model), "x": x, "y": y}
    exec(lines.replace("epochs=20", "epochs=1"), names)
    assert names["coupling"].strength == 1.0 and len(names["coupling"].layers) == 10
