"""Tails that have not learnt: they are those of trials, and their tangent kernels are those of explicit Jacobians."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.cutting.features import each_layer
from kdefrost.cutting.surgery import tail_of
from kdefrost.models.normalization import FUSED_LAYERS
from kdefrost.transferability.tails import RandomTail
from kdefrost.trials.rows import INITIALISATION

SEED = 3


def features_at(source, cut, examples=12):
    images = np.random.default_rng(0).normal(size=(examples, *source.input_shape[1:])).astype("float32")
    ((_, features),) = each_layer(source, [cut], images, 2**30)
    return features


def started(source, cut, batch_size=128):
    tail = RandomTail(source, cut, batch_size)
    tail.start(SEED)
    return tail


def moving_statistics(tail):
    (normalization,) = tail._normalizations
    return normalization.get_weights()[2:]


@pytest.mark.parametrize("cuts", ["blocks", "layers"])
@pytest.mark.parametrize("name", ["residual", "branched", "small"])
def test_its_last_features_are_those_of_a_trials_tail_in_training(request, name, cuts):
    source = request.getfixturevalue(name)
    for cut in kdefrost.cut_points(source, cuts)[:: 4 if name == "residual" else 1]:
        features = features_at(source, cut)
        trial = tail_of(source, cut, output=keras.layers.Dense(3, name="new"), substitutes=FUSED_LAYERS)
        kdefrost.reinitialize(trial, (INITIALISATION, SEED, cut.index))
        kernel, bias = trial.layers[-1].get_weights()
        found = started(source, cut).features(features)
        outputs = trial(features[0] if len(features) == 1 else list(features), training=True)
        np.testing.assert_allclose(found @ kernel + bias, outputs, rtol=1e-4, atol=1e-5)


def test_moments_are_those_of_batches_of_equal_sizes(small):
    cut = kdefrost.cut_points(small)[1]
    features = features_at(small, cut)
    tail, whole = started(small, cut, batch_size=5), started(small, cut)
    found = tail.features(features)
    assert found.shape == (12, whole.features(features).shape[1])
    assert not np.allclose(found, whole.features(features), rtol=0.01)
    np.testing.assert_array_equal(found, tail.features(features))
    # What is kept are the means of the batches' moments: the mean of all, and the variances within batches.
    (means, variances), (mean, variance) = (moving_statistics(each) for each in (tail, whole))
    np.testing.assert_allclose(means, mean, rtol=1e-4, atol=1e-6)
    assert (variances < variance).all()


def test_what_is_random_in_training_is_left_out():
    layers = keras.layers
    source = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Conv2D(3, 3), layers.Dropout(0.9), layers.Flatten(), layers.Dense(2)]
    )
    cut = kdefrost.cut_points(source)[0]
    features = features_at(source, cut)
    assert np.count_nonzero(started(source, cut).features(features)) == 12 * 12


@pytest.mark.parametrize("name", ["small", "branched"])
@pytest.mark.parametrize("memory", [2**30, 1], ids=["at once", "weight by weight"])
def test_the_tangent_kernel_is_that_of_explicit_jacobians(request, name, memory):
    """Of the sum of four outputs divided by √4, by all weights, of a whole tail with a dense output layer."""
    source = request.getfixturevalue(name)
    cut = kdefrost.cut_points(source, "layers")[-2]
    features, tail = features_at(source, cut, 5), started(source, cut)
    width = tail.features(features).shape[1]
    kernel = tail.tangent_kernel(features, memory)
    output = keras.layers.Dense(4)
    inputs = features[0] if len(features) == 1 else list(features)
    output.build((None, width))
    columns = np.random.default_rng(0).normal(size=(width, 4)).astype("float32")
    columns[:, 3] = 2 * tail._readout(width) - columns[:, :3].sum(axis=1)
    output.kernel.assign(columns)
    weights = [weight.value for weight in (*tail._model.trainable_variables, *output.trainable_variables)]
    with tf.GradientTape(persistent=True) as tape:
        outputs = tf.reduce_sum(output(tail._model(inputs, training=False)), axis=1) / 2
    jacobians = tape.jacobian(outputs, weights, experimental_use_pfor=False)
    rows = np.concatenate([np.reshape(part, (5, -1)) for part in jacobians], axis=1)
    np.testing.assert_allclose(kernel, rows @ rows.T, rtol=1e-4, atol=1e-4 * np.abs(kernel).max())


def test_the_tangent_kernel_of_the_last_cut_is_that_of_a_dense_layer(small):
    cut = kdefrost.cut_points(small)[-1]
    features, tail = features_at(small, cut), started(small, cut)
    flat = tail.features(features)
    np.testing.assert_allclose(tail.tangent_kernel(features, 2**30), flat @ flat.T + 1, rtol=1e-5)


def test_each_seed_and_cut_has_a_tail_of_its_own_and_the_source_stays(small):
    before = small.get_weights()
    first, second = (features_at(small, cut) for cut in kdefrost.cut_points(small)[:2])
    tails = [started(small, cut) for cut in kdefrost.cut_points(small)[:2]]
    values = [tails[0].features(first), tails[1].features(second)]
    tails[0].start(SEED + 1)
    values.append(tails[0].features(first))
    tails[0].start(SEED)
    np.testing.assert_array_equal(tails[0].features(first), values[0])
    assert not any(np.allclose(values[0], other) for other in values[1:])
    for old, new in zip(before, small.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
