"""Masks of padded sequences at a cut: what comes after it sees the same positions as in the whole model."""

import pickle

import keras
import numpy as np
import pytest

import kdefrost

layers = keras.layers
# Padded with zeros at the end; of the third, one in the middle.
WORDS = np.array([[1, 2, 3, 1, 2], [4, 2, 0, 0, 0], [4, 0, 3, 0, 0], [2, 2, 1, 0, 0]], "int32")


def _embedded(inputs):
    return layers.Embedding(5, 6, mask_zero=True)(inputs)


def _recurrent(inputs):
    return layers.LSTM(4)(layers.GRU(4, return_sequences=True)(_embedded(inputs)))


def _attention(inputs):
    x = layers.Dense(6)(_embedded(inputs))
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)]))
    return layers.GlobalAveragePooling1D()(x)


def _attention_without_a_layer_that_takes_a_mask(inputs):
    x = layers.Dense(6)(_embedded(inputs))
    return layers.Flatten()(layers.Dense(4)(layers.MultiHeadAttention(2, 3)(x, x)))


def _two_attentions(inputs):
    """The first takes the mask off its input, so that the second has none."""
    x = _embedded(inputs)
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)]))
        x = layers.Add()([x, layers.Dense(6)(layers.Dense(8, activation="gelu")(x))])
    return layers.GlobalAveragePooling1D()(x)


def _nested(inputs):
    """Inside, Keras's graph knows of no mask."""
    taken = keras.Input((5, 6))
    x = layers.Concatenate()([taken, layers.Bidirectional(layers.LSTM(3, return_sequences=True))(taken)])
    inner = keras.Model(taken, layers.GRU(4)(layers.Dense(5)(x)))
    return inner(_embedded(inputs))


def _nested_twice(inputs):
    taken = keras.Input((5, 6))
    x = layers.Add()([taken, layers.MultiHeadAttention(2, 3)(taken, taken)])
    inner = keras.Model(taken, layers.Dense(6)(x))
    return layers.LSTM(4)(inner(inner(_embedded(inputs))))


def _masking(inputs):
    x = layers.Masking()(layers.Reshape((5, 1))(layers.Rescaling(1.0)(inputs)))
    x = layers.Dense(6)(x)
    return layers.LSTM(4)(layers.MultiHeadAttention(2, 3)(x, x))


NETWORKS = (
    _recurrent,
    _attention,
    _attention_without_a_layer_that_takes_a_mask,
    _two_attentions,
    _nested,
    _nested_twice,
    _masking,
)


def _model(network):
    inputs = keras.Input((5,), dtype="int32")
    return keras.Model(inputs, layers.Dense(3, name="answer")(network(inputs)))


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_mask_crosses_every_cut(network):
    model = _model(network)
    expected = model.predict(WORDS, verbose=0)
    for cut in kdefrost.cut_points(model, "layers"):
        extractor, tail = kdefrost.split(model, cut)
        # As arrays, in which features are held; Keras's tensors would bring their masks along.
        features = [np.asarray(part) for part in keras.tree.flatten(extractor(WORDS))]
        outputs = tail(features if len(features) > 1 else features[0])
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6, err_msg=cut.name)
        joined = kdefrost.join(extractor, tail)
        np.testing.assert_allclose(joined.predict(WORDS, verbose=0), expected, rtol=1e-5, atol=1e-6)
        # The model that is handed over has layers of the source alone.
        assert {type(layer) for layer in joined.layers} <= {type(layer) for layer in [*model._flatten_layers()]}


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
@pytest.mark.parametrize("network", [_attention, _two_attentions, _nested])
def test_cuts_are_those_of_the_model_in_another_process(network):
    """What makes masks that no layer is given has a name by the layer; Keras numbers such operations as it goes."""
    model = _model(network)
    again = pickle.loads(pickle.dumps(model))
    cuts = kdefrost.cut_points(model, "layers")
    assert cuts == kdefrost.cut_points(again, "layers")
    for cut in cuts:
        extractor, tail = kdefrost.split(model, cut)[0], kdefrost.split(again, cut)[1]
        features = [np.asarray(part) for part in keras.tree.flatten(extractor(WORDS))]
        outputs = tail(features if len(features) > 1 else features[0])
        np.testing.assert_allclose(outputs, model.predict(WORDS, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:No rule of He's method")
def test_a_profile_of_padded_sequences():
    model = _model(_attention)
    examples = np.tile(WORDS, (3, 1)), np.arange(12) % 3
    defroster = kdefrost.Defroster(model, recipe=kdefrost.Recipe(epochs=1, learning_rate=0.01), cuts="layers")
    profile = defroster.profile(examples, test=examples, seeds=1, per_class=4, verbose=False)
    best = defroster.best_model(profile, verbose=False)
    accuracy = np.mean(best.predict(examples[0], verbose=0).argmax(axis=1) == examples[1])
    assert accuracy == pytest.approx(profile.best_trial().test["accuracy"])
