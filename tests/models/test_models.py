"""Wide-ResNet and its batch normalisation."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.models.normalization import BatchNormalization


def _parameters(depth: int, width: int, classes: int, channels: int) -> int:
    """Trainable weights of a Wide-ResNet, added up from the paper's Table 1."""
    blocks, widths = (depth - 4) // 6, [16, 16 * width, 32 * width, 64 * width]
    total = 9 * channels * 16
    for before, after in itertools.pairwise(widths):
        total += 2 * before + 9 * before * after + 2 * after + 9 * after * after
        total += before * after if before != after else 0
        total += (blocks - 1) * (2 * (2 * after + 9 * after * after))
    return total + 2 * widths[-1] + widths[-1] * classes + classes


def test_wide_resnet_28_4_has_the_papers_parameters():
    model = kdefrost.wide_resnet(28, 4, classes=10)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    # By hand: 432 + 269,632 (16 to 64 channels) + 1,115,392 (to 128) + 4,460,544 (to 256)
    # + 512 (last normalisation) + 2,570 (dense).
    assert trainable == _parameters(28, 4, 10, 3) == 5_849_050


def test_wide_resnet_shapes_of_groups():
    model = kdefrost.wide_resnet(16, 2, classes=7, input_shape=(16, 16, 1))
    shapes = [model.get_layer(f"group{group}_block2").output.shape[1:] for group in (1, 2, 3)]
    assert shapes == [(16, 16, 32), (8, 8, 64), (4, 4, 128)]
    assert model.output.shape == (None, 7)


def _twins(**options):
    """Keras's layer and the fused one, with the same weights that are not the trivial ones."""
    layers = [
        cls(momentum=0.8, epsilon=1e-3, **options) for cls in (keras.layers.BatchNormalization, BatchNormalization)
    ]
    rng = np.random.default_rng(0)
    for layer in layers:
        layer.build((None, 5, 5, 6))
    weights = [rng.uniform(0.5, 2.0, weight.shape) for weight in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_fused_normalisation_equals_keras(training, options):
    x = tf.constant(np.random.default_rng(1).normal(3.0, 2.0, (4, 5, 5, 6)).astype("float32"))
    seen = []
    for layer in _twins(**options):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(y))
        gradients = tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])
        seen.append([y, *gradients, *layer.get_weights()])
    for keras_value, fused_value in zip(*seen, strict=True):
        np.testing.assert_allclose(fused_value, keras_value, rtol=2e-5, atol=2e-5)


def test_fused_normalisation_updates_moving_statistics_by_hand():
    layer = BatchNormalization(momentum=0.9)
    layer.build((None, 1, 1, 1))
    layer(tf.reshape(tf.constant([1.0, 2.0, 6.0]), (3, 1, 1, 1)), training=True)
    # Mean 3, biased variance (4 + 1 + 9) / 3.
    np.testing.assert_allclose(layer.moving_mean, [0.9 * 0 + 0.1 * 3], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.9 * 1 + 0.1 * 14 / 3], rtol=1e-6)


def test_fused_normalisation_of_one_value_per_channel_stays_finite():
    layer = BatchNormalization()
    layer.build((None, 1, 1, 2))
    y = layer(tf.ones((1, 1, 1, 2)), training=True)
    assert np.isfinite(y).all() and np.isfinite(layer.moving_variance).all()


def test_normalisation_off_images_is_keras_own():
    layer = BatchNormalization()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = layer(x, training=True)
    np.testing.assert_allclose(np.mean(y, axis=0), 0, atol=1e-6)


def test_frozen_normalisation_keeps_its_statistics():
    layer = BatchNormalization(trainable=False)
    layer.build((None, 2, 2, 3))
    layer(tf.random.normal((4, 2, 2, 3), mean=5.0, seed=0), training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_build_model_by_name():
    model = kdefrost.build_model("wide_resnet_10_1", classes=3, input_shape=(8, 8, 1))
    assert model.name == "wide_resnet_10_1" and model.output.shape == (None, 3)


def test_load_source_reads_what_was_saved(tmp_path):
    model = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    model.save(tmp_path / "source.keras")
    loaded = kdefrost.load_source(tmp_path / "source.keras")
    for before, after in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_load_source_builds_imagenet_models_by_name(tmp_path):
    application = keras.applications.MobileNet(alpha=0.25, weights=None, include_top=False, input_shape=(32, 32, 3))
    application.save_weights(tmp_path / "notop.weights.h5")
    source = kdefrost.load_source("imagenet:MobileNet:0.25", weights=tmp_path / "notop.weights.h5", image_size=(32, 48))
    assert source.input.shape == (None, 32, 48, 3) and source.output.shape == (None, 256)
    for before, after in zip(application.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "a.weights.h5"}, "`weights` belong to a source such as imagenet:ResNet50"),
        ({"image_size": 96}, "`image_size` belong to"),
        ({"weights": "a.weights.h5", "image_size": 96}, "`weights` and `image_size` belong to"),
    ],
)
def test_load_source_takes_weights_and_size_for_imagenet_models_alone(arguments, words, tmp_path):
    kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1)).save(tmp_path / "source.keras")
    with pytest.raises(ValueError, match=words):
        kdefrost.load_source(tmp_path / "source.keras", **arguments)
