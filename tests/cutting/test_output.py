"""Which layer is the output layer: classifiers and regressors are told from what ends in features."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.surgery import kept_layers, tail_of
from kdefrost.files import converted

layers = keras.layers


def _swish(x):
    return x * keras.ops.sigmoid(x)


def _ending(*stack):
    """A network that ends in some layers."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Flatten()(layers.Conv2D(3, 3, activation="relu", name="conv")(inputs))
    for each in stack:
        x = each(x)
    return keras.Model(inputs, x)


ANSWERS = {
    "probabilities": lambda: [layers.Dense(5, activation="softmax")],
    "yes or no": lambda: [layers.Dense(1, activation="sigmoid")],
    "logits": lambda: [layers.Dense(5)],
    "softmax apart": lambda: [layers.Dense(5), layers.Softmax()],
    "activation apart": lambda: [layers.Dense(5), layers.Activation("softmax", dtype="float32")],
    "normalised logits": lambda: [layers.Dense(5), layers.BatchNormalization(), layers.Softmax()],
    "logarithms": lambda: [layers.Dense(5), keras.ops.log_softmax],
    "temperature": lambda: [layers.Dense(5), lambda x: x / 2.0],
    "units": lambda: [layers.Dense(2), layers.Rescaling(10.0, 5.0)],
    "cast": lambda: [layers.Dense(5), layers.Activation("linear", dtype="float32")],
    "TensorFlow's softmax": lambda: [layers.Dense(5, activation=tf.nn.softmax)],
    "a function's softmax": lambda: [layers.Dense(5, activation=functools.partial(keras.ops.softmax, axis=-1))],
    "a Lambda's softmax": lambda: [layers.Dense(5), layers.Lambda(tf.nn.softmax)],
    "age": lambda: [layers.Dense(1, activation="relu")],
}
FEATURES = {
    "relu": lambda: [layers.Dense(5, activation="relu")],
    "tanh": lambda: [layers.Dense(5, activation="tanh")],
    "relu apart": lambda: [layers.Dense(5), layers.ReLU()],
    "unit length": lambda: [layers.Dense(5), layers.UnitNormalization()],
    "length one by a function": lambda: [layers.Dense(5), lambda x: keras.ops.normalize(x, axis=-1)],
    "batch normalisation": lambda: [layers.Dense(5), layers.BatchNormalization()],
    "layer normalisation": lambda: [layers.Dense(5), layers.LayerNormalization()],
    "swish": lambda: [layers.Dense(5), _swish],
    "prelu": lambda: [layers.Dense(5), layers.PReLU()],
    "dropout": lambda: [layers.Dense(5, activation="relu"), layers.Dropout(0.5)],
}


@pytest.mark.parametrize("ending", ANSWERS)
def test_what_gives_answers_loses_its_output_layer(ending):
    model = _ending(*ANSWERS[ending]())
    cuts = kdefrost.cut_points(model)
    assert [cut.features for cut in cuts] == [False, False] and cuts[-1].frozen_layers == 1 and cuts[-1].layers == 2
    assert "features=True" in str(cuts).splitlines()[-1]
    _, tail = kdefrost.split(model, cuts[-1], output=3)
    assert [layer.output.shape[1:] for layer in tail.layers] == [(48,), (3,)]


@pytest.mark.parametrize("ending", FEATURES)
def test_what_ends_in_features_keeps_them_all(ending):
    model = _ending(*FEATURES[ending]())
    cuts = kdefrost.cut_points(model)
    assert cuts[-1].features and [cut.frozen_layers for cut in cuts] == [0, 1, 2] and cuts[-1].layers == 3
    assert "features=False" in str(cuts).splitlines()[-1]
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
    extractor, tail = kdefrost.split(model, cuts[-1], output=3)
    np.testing.assert_allclose(extractor(images), model(images), atol=1e-6)
    assert tail.layers[-1].kernel.shape == (5, 3)


def test_a_user_says_which_it_is():
    """Logits and an embedding look alike."""
    embedder = _ending(layers.Dense(5, name="embedding"))
    cuts = kdefrost.cut_points(embedder, features=True)
    assert cuts[-1].name == "embedding" and cuts[-1].shapes == ((5,),)
    # A cut knows it, an index and a name do not.
    for cut, said in ((cuts[-1], None), (cuts[-1], True), (2, True), ("embedding", True)):
        extractor, tail = kdefrost.split(embedder, cut, output=3, features=said)
        assert extractor.output_shape == (None, 5) and tail.layers[-1].kernel.shape == (5, 3)
    with pytest.raises(ValueError, match="There is no cut 'embedding'"):
        kdefrost.split(embedder, "embedding", output=3)
    _, tail = kdefrost.split(embedder, cuts[1], output=3)
    assert [layer.name for layer in tail.layers][1:] == ["embedding", "output"]
    assert [layer.name for layer in kept_layers(embedder, cuts[1], tail)][1:] == ["embedding"]
    regressor = _ending(layers.Dense(5, activation="tanh", name="points"))
    cuts = kdefrost.cut_points(regressor, features=False)
    assert [cut.frozen_layers for cut in cuts] == [0, 1] and cuts[0].layers == 2
    assert tail_of(regressor, cuts[-1], output=3).layers[-1].kernel.shape == (48, 3)


def test_cuts_in_a_list_say_it_too():
    embedder = _ending(layers.Dense(5))
    cuts = kdefrost.cut_points(embedder, features=True)
    assert kdefrost.cut_points(embedder, cuts[1:]) == cuts[1:]
    with pytest.raises(ValueError, match="Received: features=False for cut 1"):
        kdefrost.cut_points(embedder, cuts[1:], features=False)
    with pytest.raises(ValueError, match="`features` must be what the cuts have"):
        kdefrost.split(embedder, cuts[1], features=False)


def test_a_cut_of_an_earlier_version_is_read_as_the_model_is():
    model = _ending(layers.Dense(5, activation="relu"))
    cut = kdefrost.cut_points(model)[1]
    saved = {name: value for name, value in vars(cut).items() if name != "features"}
    assert kdefrost.cut_points(model, [converted(saved, Cut)]) == [cut]


def test_convolutions_without_a_softmax_end_in_features_unless_said():
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3)(layers.Conv2D(4, 3)(inputs))))
    assert kdefrost.cut_points(model)[-1].shapes == ((5,),)
    assert kdefrost.cut_points(model, features=False)[-1].shapes == ((4, 4, 4),)


@pytest.mark.parametrize(
    ("features", "message"),
    [(1, "must be True, False or None. Received: features=1"), (False, "must be True or None for a model that can")],
)
def test_what_features_cannot_be(features, message):
    inputs = keras.Input((6, 6, 2))
    with pytest.raises(ValueError, match=message):
        kdefrost.cut_points(keras.Model(inputs, layers.Conv2D(4, 3)(inputs)), features=features)


def test_a_model_that_ends_in_a_pooling_is_read_as_before():
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)))
    assert kdefrost.cut_points(model)[-1].features
