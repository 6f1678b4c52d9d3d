"""Autoencoders: the paper's architecture and recipe, the compiled GELU, and what they reconstruct."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import fingerprint
from kdefrost.clones import autoencoders
from kdefrost.clones.autoencoders import gelu
from kdefrost.training.fitting import StepSchedule


def test_encoder_and_mirrored_decoder():
    model = kdefrost.autoencoder(5, (32, 32, 3))
    assert kdefrost.autoencoder(32).count_params() == 271523
    shapes = [layer.output.shape[1:] for layer in model.layers]
    assert shapes == [
        (32, 32, 3),
        *[(16, 16, 32), (16, 16, 32), (8, 8, 64), (8, 8, 64), (4, 4, 64), (1024,)],
        (5,),
        *[(1024,), (4, 4, 64), (8, 8, 64), (8, 8, 64), (16, 16, 32), (16, 16, 32), (32, 32, 3)],
    ]
    encoder = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    decoder = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    # A transposed convolution undoes the shape of one: kernels are the same but for the order of layers.
    assert [layer.kernel.shape for layer in encoder] == [layer.kernel.shape for layer in decoder[::-1]]
    linear = [layer.name for layer in model.layers if getattr(layer, "activation", gelu) is not gelu]
    assert linear == ["bottleneck", "decoder_conv5"]


@pytest.mark.parametrize("shape", [(8, 8, 1), (24, 24, 3)])
def test_any_square_size_divisible_by_8(shape):
    model = kdefrost.autoencoder(1, shape)
    assert model.output_shape[1:] == shape and model.output.dtype == "float32"


@pytest.mark.parametrize("shape", [(8, 16, 3), (12, 12, 3), (16, 16, 2), (64,), (None, None, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="`image_shape` must be square, with a size divisible by 8"):
        kdefrost.autoencoder(4, shape)


def test_the_recipe_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"`recipe` must be a `kdefrost.AutoencoderRecipe`\. Received: Recipe\("):
        kdefrost.train_autoencoder(_bright(4), 2, kdefrost.Recipe(epochs=1))


@pytest.mark.parametrize("bottleneck", [0, 65, 2.0, True])
def test_bottlenecks_out_of_range_are_refused(bottleneck):
    with pytest.raises(ValueError, match="`bottleneck` must be a whole number from 1 to 64, the numbers of an image"):
        kdefrost.autoencoder(bottleneck, (8, 8, 1))


def test_gelu_and_its_gradient_are_keras_own():
    x = tf.linspace(-8.0, 8.0, 101)
    upstream = tf.linspace(-1.0, 2.0, 101)
    values, gradients = [], []
    for function in (gelu, keras.activations.gelu):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x) if function is gelu else function(x, approximate=False)
        values.append(y)
        gradients.append(tape.gradient(y, x, upstream))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)
    half = gelu(tf.cast(x, tf.bfloat16))
    assert half.dtype == tf.bfloat16
    # Eight bits of mantissa, in what goes in and in what comes out.
    np.testing.assert_allclose(tf.cast(half, tf.float32), values[1], rtol=0.02, atol=0.02)


def test_the_papers_schedule_at_named_steps():
    recipe = kdefrost.PRESETS["paper"].autoencoder
    schedule = StepSchedule(recipe)
    steps_per_epoch = 196
    assert recipe.steps(50000) == 500 * steps_per_epoch
    schedule.total_steps.assign(recipe.steps(50000))
    rates = [float(schedule(epoch * steps_per_epoch)) for epoch in (0, 1, 50, 100, 300, 500)]
    np.testing.assert_allclose(rates, [0, 1e-5, 5e-4, 1e-3, (1e-3 + 1e-5) / 2, 1e-5], rtol=1e-4)


def _bright(images: int, size: int = 8):
    """Smooth images of one channel, each a sum of two waves."""
    rng = np.random.default_rng(0)
    x = np.arange(size) / size
    waves = np.sin(2 * np.pi * (x[:, None] + rng.random((images, 1, 1)))) + np.cos(
        np.pi * x * rng.random((images, 1, 1))
    )
    return (100 + 50 * waves)[..., None].astype("float32")


def _lost(model, images):
    """Share of the variance that is lost."""
    return np.mean((model.predict(images, verbose=0) - images) ** 2) / images.var()


RECIPE = kdefrost.AutoencoderRecipe(epochs=60, batch_size=16, warmup_epochs=3, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained():
    """By the bottleneck, autoencoders of 32 images in the images' own units."""
    return {k: kdefrost.train_autoencoder(_bright(32), k, RECIPE, seed=0) for k in (1, 4, 64)}


def test_a_bottleneck_as_large_as_the_image_reconstructs_it(trained):
    assert _lost(trained[64], _bright(32)) < 0.005


def test_a_larger_bottleneck_is_not_worse_on_its_training_set(trained):
    lost = [_lost(trained[k], _bright(32)) for k in (1, 4, 64)]
    assert lost[0] > lost[1] > lost[2]
    # Even one number tells more of an image than the mean of all does.
    assert lost[0] < 1


def test_reconstructions_follow_the_range_of_the_images(trained):
    images = _bright(32)
    shifted = kdefrost.train_autoencoder(4 * images - 1000, 4, RECIPE, seed=0)
    one, other = (trained[4].predict(images, verbose=0), shifted.predict(4 * images - 1000, verbose=0))
    # Rounding grows over 120 steps of training.
    np.testing.assert_allclose((other + 1000) / 4, one, atol=0.1 * images.std())


def test_a_global_dtype_policy_does_not_matter(trained, request):
    request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
    keras.config.set_dtype_policy("mixed_bfloat16")
    layers = fingerprint.of_layer(kdefrost.autoencoder(4, (8, 8, 1)))
    outputs = kdefrost.train_autoencoder(_bright(32), 4, RECIPE, seed=0).predict(_bright(32), verbose=0)
    keras.config.set_dtype_policy("float32")
    assert layers == fingerprint.of_layer(kdefrost.autoencoder(4, (8, 8, 1)))
    np.testing.assert_array_equal(outputs, trained[4].predict(_bright(32), verbose=0))


def test_half_precision_learns_as_much(trained):
    recipe = kdefrost.AutoencoderRecipe(**{**vars(RECIPE), "dtype": "mixed_bfloat16"})
    half = kdefrost.train_autoencoder(_bright(32), 4, recipe, seed=0)
    assert half.output.dtype == "float32"
    assert _lost(half, _bright(32)) < 1.5 * _lost(trained[4], _bright(32)) + 0.005


@pytest.mark.parametrize(("half", "expected"), [(1.0, "mixed_bfloat16"), (2.5, "mixed_bfloat16"), (6.0, "float32")])
def test_half_precision_only_where_it_is_faster(half, expected, monkeypatch, request):
    monkeypatch.setattr(autoencoders, "_matmul_seconds", lambda dtype: half if dtype == tf.bfloat16 else 2.0)
    autoencoders._half_precision_is_faster.cache_clear()
    request.addfinalizer(autoencoders._half_precision_is_faster.cache_clear)
    assert autoencoders.compute_dtype(kdefrost.PRESETS["laptop"].autoencoder) == expected
    assert autoencoders.compute_dtype(kdefrost.PRESETS["paper"].autoencoder) == "float32"


def test_a_training_that_diverges_says_so_and_progress_reaches_the_end():
    shares = []
    recipe = kdefrost.AutoencoderRecipe(epochs=3, warmup_epochs=0, learning_rate=1e30)
    with pytest.raises(ValueError, match=r"`recipe` must let the training converge; .* learning_rate=1e\+30; take"):
        kdefrost.train_autoencoder(_bright(4), 1, recipe, on_progress=shares.append)
    assert shares[-1] == 1.0


def test_real_cifar10(cifar10):
    """A few steps on 1,000 photographs, half their size, already tell new ones apart better than their mean does."""
    images, others = cifar10.train.images[:1000, ::2, ::2], cifar10.test.images[:200, ::2, ::2]
    recipe = kdefrost.AutoencoderRecipe(epochs=4, batch_size=32, warmup_epochs=1, learning_rate=2e-3)
    model = kdefrost.train_autoencoder(images, 32, recipe)
    lost = np.mean((model.predict(others, verbose=0) - others) ** 2)
    assert lost < 0.8 * np.mean((images.mean(axis=0) - others.astype("float32")) ** 2)
