"""Every layer class of Keras's that can stand in a functional model, in a small model that is cut everywhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from scripts.benches.every_layer import EXCEPT, LAYERS, layer_model, numbers_of


def test_every_class_of_keras_is_there_or_has_a_reason():
    exported = [getattr(keras.layers, name) for name in dir(keras.layers)]
    classes = {value.__name__ for value in exported if isinstance(value, type)}
    assert classes == set(LAYERS) | {name for names in EXCEPT for name in names.split()}


@pytest.mark.parametrize("name", LAYERS)
def test_both_sides_of_each_cut_compute_what_the_model_computes(name):
    model = layer_model(name)
    examples = tf.constant(numbers_of(LAYERS[name][0], 5))
    expected = np.asarray(model(examples, training=False))
    for cut in kdefrost.cut_points(model, "layers"):
        extractor, tail = kdefrost.split(model, cut)
        answers = tail(extractor(examples, training=False), training=False)
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6, err_msg=f"after {cut.name}")
