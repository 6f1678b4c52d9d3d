"""Source models: the Wide-ResNet of the paper, the table of what can be built by name, and trained ones."""

import os
import re

import keras
import tensorflow as tf

from kdefrost.devices import sum_over_replicas
from kdefrost.graph import Graph, input_like, replay
from kdefrost.imagenet import imagenet_source


@keras.saving.register_keras_serializable(package="kdefrost")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation, computed by TensorFlow's fused kernel where it applies.

    The numbers are those of `keras.layers.BatchNormalization`: forward, gradient, and the
    moving statistics. The kernel applies to images of four axes with channels last; any
    other input goes through Keras's own computation. So does a `synchronized` layer, with the
    variance over all replicas computed about the mean.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalises `inputs`, and updates the moving statistics when `training`."""
        if not self._is_fusable(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        in_training = bool(training) and self.trainable
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones_like(self.moving_mean.value),
            offset=self.beta.value if self.center else tf.zeros_like(self.moving_mean.value),
            # In training the kernel takes no statistics: it makes them.
            mean=[] if in_training else self.moving_mean.value,
            variance=[] if in_training else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=in_training,
        )
        if in_training:
            self._update_moving_statistics(mean, variance, tf.size(inputs) // tf.size(mean))
        return outputs

    def _moments(self, inputs, mask):
        # Keras's synchronised variance is the mean square less the squared mean, which leaves no digit of it where
        # values are far from zero.
        if mask is not None or not self.synchronized:
            return super()._moments(inputs, mask)
        axes, size = self._reduction_axes, tf.size(inputs) // inputs.shape[self.axis]
        count = sum_over_replicas(tf.cast(size, inputs.dtype))
        mean = sum_over_replicas(tf.reduce_sum(inputs, axes, keepdims=True)) / count
        # The variance does not change with the mean that it is about.
        deviations = tf.math.squared_difference(inputs, tf.stop_gradient(mean))
        variance = sum_over_replicas(tf.reduce_sum(deviations, axes)) / count
        return tf.squeeze(mean, axes), variance

    def _is_fusable(self, inputs, mask) -> bool:
        on_channels = self.axis in (3, -1) and len(inputs.shape) == 4
        plain = mask is None and not getattr(self, "renorm", False) and not self.synchronized
        return on_channels and plain and inputs.dtype == "float32"

    def _update_moving_statistics(self, mean, variance, count):
        # The kernel returns the unbiased variance (divided by count - 1), Keras keeps the
        # biased one (divided by count).
        count = tf.cast(count, variance.dtype)
        biased = variance * (tf.maximum(count - 1.0, 1.0) / count)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))


# By Keras's own layers, those that compute the same faster.
FUSED_LAYERS = {keras.layers.BatchNormalization: BatchNormalization}


def with_keras_layers(model: keras.Model) -> keras.Model:
    """Copies a model with Keras's own layers in the place of kdefrost's.

    Args:
        model: A functional or sequential model.

    Returns:
        A new functional model, with the weights and the numbers of `model`, that loads
        where kdefrost is not installed, as far as the model's other layers do.
    """
    graph = Graph(model)
    inputs = [input_like(tensor) for tensor in graph.inputs]
    plain = {fused: own for own, fused in FUSED_LAYERS.items()}
    names = {tensor.reference[0] for tensor in graph.inputs}
    outputs = replay(graph, graph.inputs, inputs, graph.outputs, plain, names)
    single = len(inputs) == 1 and len(outputs) == 1
    return keras.Model(*(inputs + outputs if single else (inputs, outputs)), name=model.name)


def wide_resnet(
    depth: int = 28, width: int = 4, classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 3)
) -> keras.Model:
    """Builds a pre-activation Wide-ResNet (Zagoruyko & Komodakis, 2016, arXiv:1605.07146).

    Three groups of `(depth - 4) / 6` basic blocks with 16, 32 and 64 times `width`
    channels, at full, half and quarter resolution. Where the shape changes, a block's
    shortcut is a 1×1 convolution of the activated input. No convolution has a bias.
    Batch normalisation has the momentum 0.9 and the epsilon 1e-5 of the authors' code.

    Args:
        depth: Number of layers with weights along the main path, `6 n + 4`.
        width: Factor of the channels.
        classes: Number of classes; the output is a softmax over them.
        input_shape: Height, width and channels of one image.

    Returns:
        A `keras.Model` from `(batch, *input_shape)` to `(batch, classes)`.

    Raises:
        ValueError: If `depth` is not `6 n + 4` with `n` at least 1, or another argument is
            not positive.

    Example:

    >>> kdefrost.wide_resnet(28, 4, classes=10).count_params()
    5856250
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"`depth` must be 6 n + 4 with n at least 1 (10, 16, 22, 28, …). Received: depth={depth}")
    if width < 1 or classes < 1:
        raise ValueError(f"`width` and `classes` must be at least 1. Received: width={width}, classes={classes}")
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(16, 3, name="conv1")(inputs)
    for group, channels in enumerate((16 * width, 32 * width, 64 * width), start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            strides = 2 if group > 1 and block == 1 else 1
            x = _basic_block(x, channels, strides, name=f"group{group}_block{block}")
    x = _activated(x, name="final")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(classes, activation="softmax", kernel_initializer="he_normal", name="output")(x)
    return keras.Model(inputs, outputs, name=f"wide_resnet_{depth}_{width}")


def _basic_block(x, channels: int, strides: int, name: str):
    """Two 3×3 convolutions, each after its normalisation, around a shortcut."""
    activated = _activated(x, name=f"{name}_pre1")
    same_shape = x.shape[-1] == channels and strides == 1
    shortcut = x if same_shape else _convolution(channels, 1, strides, name=f"{name}_shortcut")(activated)
    y = _convolution(channels, 3, strides, name=f"{name}_conv1")(activated)
    y = _activated(y, name=f"{name}_pre2")
    y = _convolution(channels, 3, name=f"{name}_conv2")(y)
    return keras.layers.Add(name=name)([shortcut, y])


def _activated(x, name: str):
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _convolution(channels: int, size: int, strides: int = 1, *, name: str):
    return keras.layers.Conv2D(
        channels, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )


MODELS = {"wide_resnet": wide_resnet}


def build_model(name: str, classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
    """Builds an untrained network by name.

    Args:
        name: `wide_resnet_<depth>_<width>`, such as `wide_resnet_28_4`.
        classes: Number of classes.
        input_shape: Height, width and channels of one image.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If there is no such network.
    """
    match = re.fullmatch(r"(\w+?)_(\d+)_(\d+)", name)
    if not match or match[1] not in MODELS:
        names = ", ".join(f"{known}_<depth>_<width>" for known in MODELS)
        raise ValueError(f"There is no model {name!r}: it must be one of {names}, such as wide_resnet_16_1.")
    return MODELS[match[1]](int(match[2]), int(match[3]), classes=classes, input_shape=input_shape)


def load_source(
    name_or_path: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> keras.Model:
    """Loads a trained model: one trained on ImageNet by its name, any other from a `.keras` file.

    Args:
        name_or_path: `imagenet:` with a name that `imagenet_source` takes, such as
            `imagenet:ResNet50` or `imagenet:MobileNetV2:0.35`; or the file.
        weights: File of the ImageNet weights; `None` downloads them.
        image_size: Height and width of the images that an ImageNet model is to take, or one
            number for both; `None` for those that it was trained on.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read as a Keras model, `weights` or `image_size` is
            given with it, or `imagenet_source` refuses.
        ImportError: If `imagenet:ResNet18` is asked for and KerasHub is not installed.

    Example:

    >>> kdefrost.load_source("imagenet:MobileNetV2:0.35", weights="notop.weights.h5", image_size=96).input.shape
    (None, 96, 96, 3)
    """
    if str(name_or_path).startswith("imagenet:"):
        return imagenet_source(str(name_or_path).removeprefix("imagenet:"), weights, image_size)
    given = [key for key, value in {"weights": weights, "image_size": image_size}.items() if value is not None]
    if given:
        raise ValueError(
            f"`{'` and `'.join(given)}` belong to a source such as imagenet:ResNet50; the file {name_or_path} brings "
            "its own."
        )
    return _read_model(name_or_path)


def _read_model(path: str | os.PathLike) -> keras.Model:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no source file {path}.")
    try:
        return keras.models.load_model(path, compile=False)
    # A damaged file ends in whatever zipfile, h5py, json or a layer raises.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"The source file {path} cannot be read as a .keras model: {reason}") from error
