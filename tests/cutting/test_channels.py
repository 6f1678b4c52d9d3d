"""Channels first: what layers say of it for themselves, whatever Keras's own setting is."""

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.cutting.channels import data_format_of, input_format_of
from kdefrost.cutting.graph import Graph

layers = keras.layers
FIRST = {"data_format": "channels_first"}


def _source(normalization=True):
    """Five channels of 4×4 positions, without a top."""
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", **FIRST)(inputs)
    x = layers.Conv2D(5, 3, strides=2, padding="same", **FIRST)(x)
    return keras.Model(inputs, layers.ReLU()(layers.BatchNormalization(axis=1)(x)) if normalization else x)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype("float32")


def test_a_new_output_gets_the_mean_of_each_channel(images):
    source = _source()
    for cut in kdefrost.cut_points(source):
        extractor, tail = kdefrost.split(source, cut, output=2)
        kernel, bias = tail.layers[-1].get_weights()
        assert kernel.shape == (5, 2)
        logits = np.asarray(source(images)).mean(axis=(2, 3)) @ kernel + bias
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(tail(extractor(images)), expected, rtol=1e-4)


def test_cuts_and_costs_are_those_of_the_same_network_with_channels_last():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(5, 3, strides=2, padding="same")(x)
    last = keras.Model(inputs, layers.ReLU()(layers.BatchNormalization()(x)))
    for ours, theirs in zip(kdefrost.cut_points(_source()), kdefrost.cut_points(last), strict=True):
        assert ours.tail_multiply_adds == theirs.tail_multiply_adds
        assert ours.frozen_params == theirs.frozen_params and ours.feature_bytes == theirs.feature_bytes


def test_scores_are_those_of_the_same_network_with_channels_last(images):
    """At the last cut, whose tail is the output layer alone."""
    first, inputs = _source(), keras.Input((8, 8, 3))
    last = keras.Model(inputs, layers.Permute((2, 3, 1))(first(layers.Permute((3, 1, 2))(inputs))))
    labels, scores = np.arange(6) % 2, []
    for source, x in ((first, images), (last, images.transpose(0, 2, 3, 1))):
        defroster = kdefrost.Defroster(source, recipe=kdefrost.Recipe(epochs=3, batch_size=3), cuts=[2])
        profile = defroster.profile((x, labels), test=(x, labels), seeds=1, verbose=False)
        scores.append(profile.trials[0].test)
        assert defroster.best_model(profile).layers[-1].kernel.shape == (5, 2)
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def _format_after(*stack, shape=(3, 8, 8)):
    x = inputs = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    graph = Graph(keras.Model(inputs, x))
    return data_format_of(graph, graph.outputs[0])


@pytest.mark.parametrize(
    ("stack", "channels"),
    [
        ([layers.MaxPooling2D(**FIRST)], "first"),
        ([layers.BatchNormalization(axis=1)], "first"),
        ([layers.SpectralNormalization(layers.Conv2D(4, 3, **FIRST)), layers.ReLU()], "first"),
        ([layers.Conv2D(4, 3, **FIRST), layers.Reshape((4, 36))], "first"),
        ([layers.Conv2D(4, 3, **FIRST), layers.Permute((2, 3, 1))], "last"),
        ([layers.Conv2D(4, 3, **FIRST), lambda x: keras.ops.transpose(x, (0, 2, 3, 1))], "last"),
        # Patches become words.
        ([layers.Conv2D(4, 3, **FIRST), layers.Reshape((4, 36)), layers.Permute((2, 1)), layers.Dense(7)], "last"),
        ([layers.Conv2D(4, 3, **FIRST), layers.Permute((2, 3, 1)), layers.Conv2D(4, 3)], "last"),
        ([layers.Conv2D(4, 3), layers.Permute((3, 1, 2)), layers.ReLU()], "first"),
        ([layers.Reshape((8, 24)), layers.LSTM(4, return_sequences=True)], "last"),
    ],
)
def test_the_last_layer_that_says_so_decides(stack, channels):
    assert _format_after(*stack) == f"channels_{channels}"


def test_where_no_layer_says_so_keras_setting_does():
    assert _format_after(layers.ReLU()) == "channels_last"
    keras.config.set_image_data_format("channels_first")
    try:
        assert _format_after(layers.ReLU()) == "channels_first"
        assert _format_after(layers.Conv2D(4, 3, data_format="channels_last")) == "channels_last"
    finally:
        keras.config.set_image_data_format("channels_last")


def test_images_with_channels_first_are_standardised_by_their_channels(images):
    images = images * np.array([1, 2, 3])[:, None, None] + np.array([5, 6, 7])[:, None, None]
    source = _source(normalization=False)
    assert input_format_of(Graph(source)) == "channels_first"
    assert input_format_of(Graph(keras.Sequential([keras.Input((8, 8, 3)), layers.Permute((3, 1, 2)), source]))) == (
        "channels_last"
    )
    mean, deviation = (f(axis=(0, 2, 3), keepdims=True) for f in (images.mean, images.std))
    expected = source((images - mean) / deviation)
    np.testing.assert_allclose(kdefrost.standardized(source, images)(images), expected, atol=1e-4)


@pytest.mark.parametrize(
    "build", [lambda: kdefrost.wide_resnet(10, 1, input_shape=(8, 8, 3)), lambda: kdefrost.autoencoder(4, (8, 8, 3))]
)
def test_kdefrosts_own_networks_take_images_whatever_keras_is_set_to(build):
    expected = build()
    keras.config.set_image_data_format("channels_first")
    try:
        model = build()
    finally:
        keras.config.set_image_data_format("channels_last")
    assert [w.shape for w in model.weights] == [w.shape for w in expected.weights]
    assert [layer.output.shape for layer in model.layers] == [layer.output.shape for layer in expected.layers]
