"""Autoencoders: images through a bottleneck of few numbers and back."""

import functools
import math
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kdefrost import training
from kdefrost.arguments import as_whole
from kdefrost.cutting.initialization import reinitialize
from kdefrost.data.channels import standardization
from kdefrost.training.recipe import AutoencoderRecipe

# Channels of the first layers, which the paper does not give: those of the tutorial that it follows.
_WIDTH = 32
# The encoder's strides; all of them together divide height and width by 8.
_STRIDES = (2, 1, 2, 1, 2)
# As images are, whatever Keras is set to.
_CHANNELS = "channels_last"


def autoencoder(
    bottleneck: int, image_shape: tuple[int, int, int] = (32, 32, 3), dtype: str = "float32"
) -> keras.Model:
    """Builds the autoencoder of the paper (Gerace et al., 2023, supplement).

    The encoder has five 3×3 convolutions with strides 2, 1, 2, 1, 2 and 32, 32, 64, 64, 64
    channels, and a dense layer to the bottleneck; the decoder is its mirror image with
    transposed convolutions. Each layer ends in a GELU but the bottleneck and the last, which
    are linear.

    Args:
        bottleneck: Number of units of the bottleneck, at least 1 and at most the numbers of
            an image.
        image_shape: `(height, width, channels)`, square, its size divisible by 8, with one
            or three channels.
        dtype: Keras dtype policy of the layers. The output is float32 in any case.

    Returns:
        A `keras.Model` from `(batch, *image_shape)` to the same shape, for images of mean 0
        and deviation 1.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> kdefrost.autoencoder(32).count_params()
    271523
    """
    check_autoencoder(bottleneck, image_shape)
    inputs = keras.Input(image_shape, dtype="float32", name="image")
    x, mirrored = inputs, []
    for number, stride in enumerate(_STRIDES, start=1):
        mirrored.insert(0, (x.shape[-1], stride))
        channels = _WIDTH if number <= 2 else 2 * _WIDTH
        x = keras.layers.Conv2D(
            channels, 3, stride, "same", _CHANNELS, activation=gelu, dtype=dtype, name=f"encoder_conv{number}"
        )(x)
    smallest = x.shape[1:]
    x = keras.layers.Flatten(_CHANNELS, dtype=dtype, name="encoder_flat")(x)
    x = keras.layers.Dense(bottleneck, dtype=dtype, name="bottleneck")(x)
    x = keras.layers.Dense(math.prod(smallest), activation=gelu, dtype=dtype, name="decoder_dense")(x)
    x = keras.layers.Reshape(smallest, dtype=dtype, name="decoder_reshape")(x)
    for number, (channels, stride) in enumerate(mirrored, start=1):
        is_last = number == len(mirrored)
        x = keras.layers.Conv2DTranspose(
            channels,
            3,
            stride,
            padding="same",
            data_format=_CHANNELS,
            activation=None if is_last else gelu,
            dtype="float32" if is_last else dtype,
            name=f"decoder_conv{number}",
        )(x)
    return keras.Model(inputs, x, name=f"autoencoder_{bottleneck}")


def check_autoencoder(bottleneck: int, image_shape: tuple[int, int, int]):
    """Refuses a bottleneck or a shape of images that `autoencoder` cannot have.

    Args:
        bottleneck: Number of units of the bottleneck.
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: If one of them is out of its range.
    """
    height, width, channels = image_shape if len(image_shape) == 3 else (None, None, None)
    if height is None or height != width or height % 8 or channels not in (1, 3):
        raise ValueError(
            "`image_shape` must be square, with a size divisible by 8 and one or three channels, because the "
            f"autoencoder halves it three times. Received: image_shape={tuple(image_shape)}; load the images with "
            "another `image_size` (--image-size)."
        )
    numbers = math.prod(image_shape)
    if isinstance(bottleneck, bool) or not isinstance(bottleneck, (int, np.integer)) or not 1 <= bottleneck <= numbers:
        raise ValueError(
            f"`bottleneck` must be a whole number from 1 to {numbers}, the numbers of an image of "
            f"{height}×{width}×{channels}: a larger one would not be a bottleneck. Received: bottleneck={bottleneck!r}"
        )


def train_autoencoder(
    images: np.ndarray,
    bottleneck: int,
    recipe: AutoencoderRecipe,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> keras.Model:
    """Trains an autoencoder on images.

    The loss is the mean squared error in units of each channel's deviation.

    Args:
        images: Training images `(examples, height, width, channels)`, in any range.
        bottleneck: Number of units of the bottleneck.
        recipe: How to train it.
        seed: Seed of initialisation and order.
        on_progress: Called as the training goes on with the share of it that is done.

    Returns:
        A `keras.Model` that takes images as they are and gives their reconstructions, float32
        in the same range, neither clipped nor rounded.

    Raises:
        ValueError: If the bottleneck or the shape of the images is out of range, or the
            training diverges.

    Example:

    ```python
    recipe = kdefrost.AutoencoderRecipe(epochs=20, warmup_epochs=1)
    model = kdefrost.train_autoencoder(data.train.images, 32, recipe)
    reconstructed = model.predict(data.test.images)
    ```
    """
    as_whole("seed", seed, least=0)
    whole, core = for_training(images, bottleneck, recipe)
    reinitialize(core, seed)
    training.fit(whole, images, images, recipe, seed, on_progress=on_progress)
    if not all(np.isfinite(weights).all() for weights in core.get_weights()):
        raise ValueError(
            "`recipe` must let the training converge; it diverged, and weights are no numbers. Received: learning_rate="
            f"{recipe.learning_rate}; take a lower one."
        )
    # Trained in half precision or not, images are reconstructed in full.
    final = autoencoder(bottleneck, images.shape[1:])
    final.set_weights(core.get_weights())
    standardize, restore = standardization(images), standardization(images, invert=True)
    inputs = keras.Input(images.shape[1:], dtype="float32", name="image")
    return keras.Model(inputs, restore(final(standardize(inputs))), name=core.name)


def for_training(images, bottleneck: int, recipe: AutoencoderRecipe) -> tuple[keras.Model, keras.Model]:
    """Builds an autoencoder and compiles it, for `training.fit` with images as inputs and as targets.

    Args:
        images: Training images, by which others are standardised.
        bottleneck: Number of units of the bottleneck.
        recipe: How it will be trained.

    Returns:
        `(whole, core)`: what is trained, and the autoencoder within it, which takes images that
        are standardised.

    Raises:
        ValueError: As `autoencoder`.
    """
    standardize = standardization(images)
    core = autoencoder(bottleneck, images.shape[1:], compute_dtype(recipe))
    whole = keras.Sequential([keras.Input(images.shape[1:], dtype="float32"), standardize, core])
    training.compile_model(whole, recipe, loss=_StandardizedError(standardize))
    return whole, core


def compute_dtype(recipe: AutoencoderRecipe) -> str:
    """The dtype policy by which this machine trains: half precision only where that is faster.

    Processors without instructions for bfloat16 emulate it, many times more slowly.

    Args:
        recipe: How an autoencoder is trained.

    Returns:
        The recipe's dtype policy, or `"float32"`.

    Raises:
        ValueError: If it is the recipe of something else.
    """
    if not isinstance(recipe, AutoencoderRecipe):
        raise ValueError(f"`recipe` must be a `kdefrost.AutoencoderRecipe`. Received: {recipe!r}")
    return "float32" if recipe.dtype == "float32" or not _half_precision_is_faster() else recipe.dtype


@functools.cache
def _half_precision_is_faster() -> bool:
    # What has no instructions for it takes many times as long, what has them half the time. The limit is far from
    # both: a machine that is busy at the moment must not find another clone than the one that it has kept.
    return _matmul_seconds(tf.bfloat16) < 1.5 * _matmul_seconds(tf.float32)


def _matmul_seconds(dtype: tf.DType, size: int = 1024, repeats: int = 10) -> float:
    """The shortest time of a square matrix product."""
    matrix, seconds = tf.ones((size, size), dtype), []
    for _ in range(repeats):
        start = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class _StandardizedError(keras.losses.Loss):
    """Mean squared difference of an image, once it is standardised, and its reconstruction."""

    def __init__(self, standardize: keras.layers.Normalization):
        super().__init__(name="reconstruction_error", dtype="float32")
        self.standardize = standardize

    def call(self, image, reconstruction):
        return keras.ops.mean(keras.ops.square(self.standardize(image) - reconstruction), axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="kdefrost")
def gelu(x):
    """GELU, x Φ(x) (Hendrycks & Gimpel, 2016, arXiv:1606.08415), with Φ as it is, not approximated.

    Value and gradient are each compiled into one pass over the numbers, where Keras's GELU
    makes one for every operation. They are computed in float32 whatever `x` is.
    """
    return _gelu_with_gradient(x)


# Not `gelu` itself: Keras cannot save what this decorator returns.
@tf.custom_gradient
def _gelu_with_gradient(x):
    return _gelu(x), lambda upstream: _gelu_gradient(x, upstream)


@tf.function(jit_compile=True)
def _gelu(x):
    z = tf.cast(x, tf.float32)
    return tf.cast(z * _normal_cdf(z), x.dtype)


@tf.function(jit_compile=True)
def _gelu_gradient(x, upstream):
    z = tf.cast(x, tf.float32)
    density = tf.exp(-0.5 * tf.square(z)) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(upstream, tf.float32) * (_normal_cdf(z) + z * density), x.dtype)


def _normal_cdf(z):
    # The complement keeps the digits of what is far below 0.
    return 0.5 * tf.math.erfc(-z / math.sqrt(2))
