"""Source models: the Wide-ResNet of the paper, the table of what can be built by name, and trained ones."""

import re

import keras

from kdefrost.arguments import as_whole, check_kind
from kdefrost.cutting.precision import in_full
from kdefrost.models.normalization import BatchNormalization

# As images are, whatever Keras is set to.
_CHANNELS = "channels_last"


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
    if as_whole("depth", depth, least=10) % 6 != 4:
        raise ValueError(f"`depth` must be 6 n + 4 with n at least 1 (10, 16, 22, 28, …). Received: depth={depth}")
    for name, value in {"width": width, "classes": classes}.items():
        as_whole(name, value, least=1)
    check_kind("input_shape", input_shape, (tuple, list), "(height, width, channels)")
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels). Received: input_shape={input_shape}")
    for size in input_shape:
        as_whole("input_shape", size, least=1)
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(16, 3, name="conv1")(inputs)
    for group, channels in enumerate((16 * width, 32 * width, 64 * width), start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            strides = 2 if group > 1 and block == 1 else 1
            x = _basic_block(x, channels, strides, name=f"group{group}_block{block}")
    x = _activated(x, name="final")
    x = keras.layers.GlobalAveragePooling2D(_CHANNELS, name="pool")(x)
    # Probabilities lose digits in half precision.
    policy = in_full(keras.config.dtype_policy().name)
    output = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer="he_normal", dtype=policy, name="output"
    )
    return keras.Model(inputs, output(x), name=f"wide_resnet_{depth}_{width}")


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
        channels,
        size,
        strides,
        padding="same",
        data_format=_CHANNELS,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
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
    match = re.fullmatch(r"(\w+?)_(\d+)_(\d+)", str(name))
    if not match or match[1] not in MODELS:
        names = ", ".join(f"{known}_<depth>_<width>" for known in MODELS)
        raise ValueError(f"There is no model {name!r}: it must be one of {names}, such as wide_resnet_16_1.")
    return MODELS[match[1]](int(match[2]), int(match[3]), classes=classes, input_shape=input_shape)
