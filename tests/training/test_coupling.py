"""Elastic coupling: which layers are paired, the penalty and its gradient, distances, freezing, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.training.coupling import pair_layers


def _names(model, layers, **given):
    return [pair.name for pair in pair_layers(model, model, layers, **given)]


def _dense(*values):
    """A network of one dense layer per kernel, each with a bias of zeros."""
    kernels = [np.array(value, "float32") for value in values]
    layers = [keras.layers.Dense(kernel.shape[1], name=f"dense{place}") for place, kernel in enumerate(kernels)]
    model = keras.Sequential([keras.Input((kernels[0].shape[0],)), *layers])
    for layer, kernel in zip(layers, kernels, strict=True):
        layer.set_weights([kernel, np.zeros(kernel.shape[1])])
    return model


def _set(model, kernel, bias):
    model.layers[0].set_weights([np.array(kernel), np.array(bias)])


def test_layers_are_counted_as_cuts_count_them(residual):
    every = ["conv1", "group1_block1_conv1", "group1_block1_conv2", "group2_block1_shortcut", "group2_block1_conv1"]
    assert _names(residual, 0) == []
    assert _names(residual, 3) == every[:3]
    assert len(_names(residual, 10)) == 10
    assert "output" in _names(residual, 10)
    for cut in kdefrost.cut_points(residual):
        assert _names(residual, cut) == _names(residual, cut.frozen_layers)
        assert len(_names(residual, cut)) == cut.frozen_layers
    assert set(every) <= set(_names(residual, 6))


def test_layers_by_name_meet_those_in_the_same_place(residual):
    source = kdefrost.wide_resnet(10, 1, classes=7, input_shape=(8, 8, 1))
    source.layers[1].name = "renamed"
    pairs = pair_layers(residual, source, ["conv1", "group1_block1_conv2"])
    assert [pair.name for pair in pairs] == ["conv1", "group1_block1_conv2"]
    np.testing.assert_array_equal(pairs[0].source[0], source.layers[1].get_weights()[0])


def test_kernels_and_biases_are_held_and_normalisations_only_if_asked(plain):
    assert [len(pair.weights) for pair in pair_layers(plain, plain, 2)] == [2, 2]
    pairs = pair_layers(plain, plain, 2, normalization=True)
    assert [pair.name for pair in pairs] == ["first", "second", "second_bn"]
    assert [weight.name for weight in pairs[-1].weights] == ["gamma", "beta"]
    named = pair_layers(plain, plain, ["second_bn"], normalization=True)
    assert [pair.name for pair in named] == ["second_bn"]


def test_nested_and_frozen_models_pair(residual, easy):
    """A source in the preprocessing that `standardized` puts before it, and one whose layers do not train."""
    source = kdefrost.standardized(residual, easy["train"][0])
    pairs = pair_layers(residual, source, 6)
    assert all(pair.relative_distance() == 0 for pair in pairs)
    extractor, _ = kdefrost.split(residual, kdefrost.cut_points(residual)[3])
    assert [pair.cosine_distance() for pair in pair_layers(residual, extractor, 6)] == pytest.approx([0] * 6, abs=1e-12)


def test_a_layer_that_is_called_twice_is_held_once():
    shared, inputs = keras.layers.Dense(4, name="shared"), keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="end")(shared(shared(inputs))))
    assert _names(model, 2) == ["shared"]
    assert _names(model, 3) == ["shared", "end"]


def test_the_penalty_by_hand():
    model, source = _dense([[1.0, 2.0]], [[1.0], [1.0]]), _dense([[0.0, 4.0]], [[5.0], [5.0]])
    model.layers[0].bias.assign([3.0, 0.0])
    coupling = kdefrost.ElasticCoupling(model, source, 1, strength=0.5)
    assert float(coupling.penalty()) == pytest.approx(0.5 * (1 + 4 + 9))
    assert float(kdefrost.ElasticCoupling(model, source, 2, 1.0).penalty()) == pytest.approx(14 + 32)
    assert float(kdefrost.ElasticCoupling(model, source, 0, 1.0).penalty()) == 0.0


def test_the_gradient_is_right_at_the_source_and_away_from_it():
    model, source = _dense([[1.0, 2.0]]), _dense([[1.0, 4.0]])
    coupling = kdefrost.ElasticCoupling(model, source, 1, strength=3.0)
    kernel, bias = (variable.value for variable in model.trainable_variables)
    with tf.GradientTape() as tape:
        penalty = coupling.penalty()
    slopes = tape.gradient(penalty, [kernel, bias])
    np.testing.assert_allclose(slopes[0], [[0.0, -12.0]])
    np.testing.assert_array_equal(slopes[1], [0.0, 0.0])


def test_distances_by_hand():
    model, source = _dense([[3.0, 0.0]]), _dense([[0.0, 4.0]])
    (pair,) = pair_layers(model, source, 1)
    assert pair.cosine_distance() == pytest.approx(1.0)
    assert pair.relative_distance() == pytest.approx(5 / 4)
    _set(source, [[-6.0, 0.0]], [0.0, 0.0])
    (pair,) = pair_layers(model, source, 1)
    assert pair.cosine_distance() == pytest.approx(2.0)
    _set(model, [[3.0, 0.0]], [4.0, 0.0])
    _set(source, [[3.0, 0.0]], [0.0, 0.0])
    (pair,) = pair_layers(model, source, 1)
    assert pair.cosine_distance() == pytest.approx(1 - 3 / 5)


def test_small_angles_are_not_rounded_away():
    """1 − cos of 1e-5 is 5e-11, which 1 − 0.99999999995 has lost in single precision."""
    model, source = _dense([[1.0, 1e-5]]), _dense([[1.0, 0.0]])
    (pair,) = pair_layers(model, source, 1)
    assert pair.cosine_distance() == pytest.approx(5e-11, rel=1e-3)


def test_of_a_source_of_zeros_there_is_no_distance():
    (pair,) = pair_layers(_dense([[1.0, 2.0]]), _dense([[0.0, 0.0]]), 1)
    assert np.isnan(pair.cosine_distance()) and np.isinf(pair.relative_distance())


def test_the_source_is_copied_and_not_changed(plain, easy):
    source = keras.models.clone_model(plain)
    before = source.get_weights()
    coupling = kdefrost.ElasticCoupling(plain, source, 2, strength=1e6)
    plain.compile(kdefrost.ElasticSGD(coupling, 0.1), loss="sparse_categorical_crossentropy")
    plain.fit(*easy["train"], verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(source.get_weights(), before, strict=True))
    assert all(layer.trainable for layer in source.layers)
    source.set_weights([weight * 0 for weight in before])
    assert max(pair.relative_distance() for pair in coupling.layers) < 1e-3


def test_freezing_gives_the_weights_of_the_source_and_leaves_normalisations(residual):
    model = keras.models.clone_model(residual)
    coupling = kdefrost.ElasticCoupling(model, residual, 3)
    count = len(model.trainable_variables)
    coupling.freeze()
    assert len(model.trainable_variables) == count - 3
    assert all(pair.relative_distance() == 0 for pair in coupling.layers)
    assert any("gamma" in variable.path for variable in model.trainable_variables)


@pytest.mark.parametrize("strength", [-1e-9, float("nan"), float("inf"), 1e31, True, "1", None])
def test_a_strength_that_is_none_is_refused(strength, plain):
    with pytest.raises(ValueError, match="`strength` must be a number from 0 to"):
        kdefrost.ElasticCoupling(plain, plain, 1, strength)
    coupling = kdefrost.ElasticCoupling(plain, plain, 1, 0.5)
    with pytest.raises(ValueError, match="`strength` must be a number from 0 to"):
        coupling.strength = strength
    assert coupling.strength == 0.5


@pytest.mark.parametrize("layers", [-1, 4, 1000])
def test_as_many_layers_must_be_there(layers, plain):
    with pytest.raises(ValueError, match=f"`layers` must be from 0 to 3.*layers={layers}"):
        kdefrost.ElasticCoupling(plain, plain, layers)


@pytest.mark.parametrize("layers", [True, 1.5, "first", None])
def test_layers_are_a_number_a_cut_or_names(layers, plain):
    with pytest.raises(ValueError, match="`layers` must be a number of layers, a `Cut`, or a list"):
        kdefrost.ElasticCoupling(plain, plain, layers)


def test_a_name_that_is_none_is_refused(plain):
    with pytest.raises(ValueError, match=r"names 'frist', which is no layer.*near: `first`"):
        kdefrost.ElasticCoupling(plain, plain, ["frist"])
    with pytest.raises(ValueError, match="Normalisations take part with normalization=True"):
        kdefrost.ElasticCoupling(plain, plain, ["second_bn"])


def test_the_first_pair_that_differs_is_named():
    model, source = _dense(np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 5))), _dense(np.ones((2, 3)), np.ones((3, 7)))
    message = r"Layer 2 with weights is `dense1` \(Dense, 3×4 and 4\) in `model`, and `dense1` \(Dense, 3×7 and 7\)"
    with pytest.raises(ValueError, match=message):
        kdefrost.ElasticCoupling(model, source, 3)
    assert len(kdefrost.ElasticCoupling(model, source, 1).layers) == 1


def test_a_source_with_fewer_layers_is_refused():
    model, source = _dense(np.ones((2, 3)), np.ones((3, 4))), _dense(np.ones((2, 3)))
    with pytest.raises(ValueError, match="it has 1 with weights, and no counterpart of layer 2 of `model`, `dense1`"):
        kdefrost.ElasticCoupling(model, source, 2)


def test_layers_of_another_kind_do_not_match():
    inputs = keras.Input((4, 4, 2))
    models = [
        keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(layer(inputs)))
        for layer in (keras.layers.Conv2D(3, 1, name="a"), keras.layers.DepthwiseConv2D(1, name="b"))
    ]
    with pytest.raises(ValueError, match=r"`a` \(Conv2D.*`b` \(DepthwiseConv2D"):
        kdefrost.ElasticCoupling(*models, 1)


def test_springs_hold_adapters_of_low_rank_and_not_what_they_are_added_to():
    source = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    source.layers[0].enable_lora(2)
    source.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    _, tail = kdefrost.split(source, 0, output=2, seed=0)
    coupling = kdefrost.ElasticCoupling(tail, source, layers=1, strength=1.0)
    assert {weight.name for weight in coupling.weights} == {"bias", "lora_kernel_a", "lora_kernel_b"}
    tail.compile(kdefrost.ElasticSGD(coupling, 0.1), "mse")
    base = np.array(tail.layers[1]._kernel)
    tail.fit(np.zeros((200, 3)), np.zeros((200, 2)), batch_size=1, verbose=0)
    np.testing.assert_array_equal(tail.layers[1]._kernel, base)
    # No input reaches them, so that nothing but the springs moves the adapters.
    np.testing.assert_allclose(tail.layers[1].lora_kernel_b, np.ones((2, 4)), rtol=1e-5)


def test_quantized_weights_are_held_by_no_springs():
    inputs = keras.Input((6,))
    source = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4)(inputs)))
    model = keras.models.clone_model(source)
    source.layers[1].quantize("int8")
    with pytest.raises(
        ValueError, match=r"Layer 1 with weights .* hold no quantized weights: take the source as it was"
    ):
        kdefrost.ElasticCoupling(model, source, layers=1)
