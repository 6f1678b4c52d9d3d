"""What of the user's own layers hold: objects that are called, layers inside layers, too little configuration."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost

layers = keras.layers
SEQUENCES = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("float32")


def scaled(x, by=2.0):
    return tf.tanh(x) * by


class Scaling:
    """An object to be called, of which Keras knows nothing."""

    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return scaled(x, self.by)

    def method(self, x):
        return scaled(x, self.by)


class Forgetful(Scaling):
    """Keras makes it again, with another number."""

    def __init__(self, by=2.0):
        super().__init__(by)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Penalty(keras.regularizers.Regularizer):
    """It has no configuration, as its initializer and constraint below have none."""

    def __init__(self, strength):
        self.strength = strength

    def __call__(self, weight):
        return self.strength * tf.reduce_sum(weight**2)


class Normal(keras.initializers.Initializer):
    def __init__(self, deviation):
        self.deviation = deviation

    def __call__(self, shape, dtype=None, **kwargs):
        return keras.random.normal(shape, stddev=self.deviation, dtype=dtype)


class Positive:
    def __call__(self, weight):
        return tf.nn.relu(weight)


class Around(layers.Layer):
    """A layer around another, which its configuration gives as it is."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x) + 1.0

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


class Written(Around):
    """Its configuration has it written out, and nothing reads it again."""

    def get_config(self):
        return {**layers.Layer.get_config(self), "inner": keras.saving.serialize_keras_object(self.inner)}


class Plain(layers.Layer):
    """Keras finds its configuration by itself, but its constructor does not take all of that."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return x * self.by


def around(layer):
    inputs = keras.Input((5, 4))
    x = layers.Dense(3, name="after")(layer(layers.Dense(4, name="before")(inputs)))
    return keras.Model(inputs, layers.Dense(3, name="answer")(layers.Flatten()(x)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dense(4, activation=Scaling(3.0)),
        lambda: layers.Dense(4, activation=Scaling(3.0).method),
        lambda: layers.Dense(4, activation=functools.partial(scaled, by=0.7)),
        lambda: layers.Activation(tf.function(scaled)),
        lambda: layers.LSTM(4, activation=functools.partial(scaled, by=0.7), return_sequences=True),
        lambda: layers.TimeDistributed(layers.Dense(4, activation=Scaling(3.0))),
        lambda: layers.Dense(4, kernel_initializer=Normal(0.1), kernel_constraint=Positive()),
        lambda: layers.Dense(4, kernel_regularizer=Penalty(0.1)),
        lambda: Plain(3.0),
    ],
)
def test_objects_that_are_called_are_those_of_the_source(make):
    layer = make()
    model, held = around(layer), dict(vars(layer))
    expected = model.predict(SEQUENCES, verbose=0)
    extractor, tail = kdefrost.split(model, 0)
    np.testing.assert_allclose(tail(extractor(SEQUENCES)), expected, rtol=1e-5, atol=1e-6)
    # The source has them still.
    assert all(vars(layer)[name] is value for name, value in held.items())
    np.testing.assert_array_equal(model.predict(SEQUENCES, verbose=0), expected)


def test_a_layer_that_starts_by_its_own_initialiser_keeps_such_objects():
    model = around(layers.GRU(4, activation=functools.partial(scaled, by=0.0), return_sequences=True))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No rule of He's method")
        tails = [kdefrost.split(model, 0, output=3, seed=seed)[1] for seed in (1, 1, 2)]
    same, again, other = (tail.layers[2].get_weights()[0] for tail in tails)
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)
    # Its state can only be 0, so that all that comes after is the same for whatever goes in.
    assert np.ptp(tails[0](SEQUENCES), axis=0).max() < 1e-6


def test_an_object_that_keras_would_make_again_otherwise_is_held_to_the_original():
    with pytest.raises(ValueError, match=r"\(Dense\) cannot be copied: the copy computes something else"):
        kdefrost.split(around(layers.Dense(4, activation=Forgetful(3.0))), 0)


def test_training_a_tail_leaves_a_layer_alone_that_a_configuration_hands_on():
    model = around(Around(layers.Dense(4)))
    expected = model.predict(SEQUENCES, verbose=0)
    extractor, tail = kdefrost.split(model, 0)
    np.testing.assert_allclose(tail(extractor(SEQUENCES)), expected, rtol=1e-5, atol=1e-6)
    tail.compile("sgd", "mse")
    tail.fit(SEQUENCES, np.ones((6, 3)), verbose=0)
    assert not np.allclose(tail(SEQUENCES), expected)
    np.testing.assert_array_equal(model.predict(SEQUENCES, verbose=0), expected)


def test_a_copy_that_does_not_compute_is_borrowed_or_refused_with_the_reason():
    model = around(Written(layers.Dense(4)))
    with pytest.warns(UserWarning, match=r"Cuts 0 and 1 are left out, .*\(Written\) cannot be copied: .*not callable"):
        defroster = kdefrost.Defroster(model)
    extractor, tail = kdefrost.split(model, defroster.cuts[0])
    np.testing.assert_allclose(tail(extractor(SEQUENCES)), model(SEQUENCES), rtol=1e-5, atol=1e-6)


def with_inner_layers():
    """A network of layers with layers inside them, of Keras's own."""
    inputs = keras.Input((5, 4))
    x = layers.TimeDistributed(layers.Dense(4))(inputs)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def leaves(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, (layers.Dense, layers.EinsumDense))]


@pytest.mark.filterwarnings("ignore:No rule of He's method")
def test_adapters_of_low_rank_inside_attention_and_wrappers_train():
    model = with_inner_layers()
    for layer in leaves(model)[:-1]:
        layer.enable_lora(2, lora_alpha=3)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    expected = model.predict(SEQUENCES, verbose=0)
    for cut in kdefrost.Defroster(model).cuts:
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(SEQUENCES)), expected, rtol=1e-5, atol=1e-6)
    _, tail = kdefrost.split(model, 0, output=3, seed=1)
    query, old = tail.get_layer("attention").query_dense, model.get_layer("attention").query_dense
    np.testing.assert_array_equal(query._kernel, old._kernel)
    np.testing.assert_array_equal(query.lora_kernel_b, 0)
    assert {weight.name for weight in query.trainable_variables} == {"lora_kernel_a", "lora_kernel_b", "bias"}


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_layers_quantized_inside_others_stay_so_frozen_and_are_floats_where_they_train():
    model = with_inner_layers()
    exact = model.predict(SEQUENCES, verbose=0)
    model.quantize("int8")
    expected = model.predict(SEQUENCES, verbose=0)
    assert np.abs(expected - exact).max() > 0
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1])
    np.testing.assert_allclose(tail(extractor(SEQUENCES)), expected, rtol=1e-2, atol=1e-2)
    assert {layer._kernel.dtype for layer in leaves(extractor)} == {"int8"}
    _, tail = kdefrost.split(model, 0)
    assert {weight.dtype for weight in tail.weights if "seed" not in weight.name} == {"float32"}
    np.testing.assert_allclose(tail(SEQUENCES), exact, atol=0.02 * np.abs(exact).max())
