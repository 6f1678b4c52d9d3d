"""ResNet-18 with torchvision's weights, through KerasHub."""

import os

import keras

from kdefrost.models.preprocessing import TORCHVISION, Preprocessing, height_and_width, reason_of, with_preprocessing

_RESNET18 = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128, 256, 512],
    "stackwise_num_blocks": [2, 2, 2, 2],
    "stackwise_num_strides": [1, 2, 2, 2],
    "block_type": "basic_block",
    "use_pre_activation": False,
}
# 20 convolutions, and 20 normalisations of four.
_RESNET18_TENSORS = 100
PRESET = "hf://timm/resnet18.tv_in1k"


def resnet18(weights: str | os.PathLike | None = None, image_size: int | tuple[int, int] = 224) -> keras.Model:
    """Builds ResNet-18 (He et al., 2016, arXiv:1512.03385) as torchvision has it.

    Args:
        weights: A KerasHub preset such as `hf://timm/resnet18.tv_in1k`, torchvision's own
            weights, or a local folder with timm's `config.json` and `model.safetensors`.
            The mean and deviation that `config.json` names are taken, torchvision's where
            it names none. `None` draws random weights.
        image_size: Height and width of the images, or one number for both.

    Returns:
        A `keras.Model` from raw RGB images, 0 to 255, of shape `(batch, height, width, 3)`
        to features of shape `(batch, 512)`. All its layers are Keras's own.

    Raises:
        ValueError: If the weights are not ResNet-18's or cannot be downloaded, or
            `image_size` is not one.
        FileNotFoundError: If there is no such folder.
        ImportError: If KerasHub is not installed.

    Example:

    >>> kdefrost.resnet18(image_size=64).output.shape
    (None, 512)
    """
    shape = (*height_and_width(image_size), 3)
    if weights is None:
        keras_hub, _ = _import_keras_hub()
        backbone, preprocessing = keras_hub.models.ResNetBackbone(**_RESNET18, image_shape=shape), TORCHVISION
    else:
        backbone, preprocessing = _read_resnet18(str(weights), shape)
    features = keras.layers.GlobalAveragePooling2D(name="avg_pool")(backbone.output)
    # The backbone is of a class of KerasHub, the layers in it are Keras's.
    return with_preprocessing(keras.Model(backbone.input, features, name="resnet18"), preprocessing, name="ResNet18")


def _import_keras_hub():
    """KerasHub, and safetensors, without which it reads no weights of timm."""
    try:
        import keras_hub
        import safetensors
    except ImportError as error:
        raise ImportError(f'ResNet18 comes through KerasHub: pip install "kdefrost[imagenet]" ({error}).') from error
    return keras_hub, safetensors


def _read_resnet18(weights: str, shape: tuple[int, int, int]) -> tuple[keras.Model, Preprocessing]:
    """Backbone and preprocessing of a preset."""
    if "://" not in weights and not os.path.isdir(weights):
        raise FileNotFoundError(f"There is no folder {weights}; ResNet18 takes a folder or an hf:// preset as weights.")
    keras_hub, safetensors = _import_keras_hub()
    try:
        if "://" not in weights:
            with safetensors.safe_open(os.path.join(weights, "model.safetensors"), "np") as file:
                _check_complete(file.keys())
        backbone = keras_hub.models.ResNetBackbone.from_preset(weights, image_shape=shape)
        _check_resnet18(backbone)
        converter = keras_hub.layers.ResNetImageConverter.from_preset(weights)
        preprocessing = Preprocessing(tuple(converter.scale), tuple(converter.offset)) if converter else TORCHVISION
    # KerasHub raises ValueError, OSError, KeyError, and whatever its readers of files raise.
    except Exception as error:
        raise ValueError(
            f"KerasHub cannot give ResNet18 the weights of {weights}: {reason_of(error)}; give a folder with timm's "
            "config.json and model.safetensors with `weights=` (`--weights`), or an hf:// preset where there is a "
            "network."
        ) from error
    return backbone, preprocessing


def _check_complete(names: list[str]):
    """Refuses a file of tensors that lacks some of ResNet-18's."""
    # KerasHub takes a tensor whose name ends alike in the place of one that is missing.
    held = [name for name in names if not name.startswith("fc.") and not name.endswith("num_batches_tracked")]
    if len(held) != _RESNET18_TENSORS:
        raise ValueError(f"model.safetensors has {len(held)} tensors before the classifier, not {_RESNET18_TENSORS}")


def _check_resnet18(backbone: keras.Model):
    """Refuses a network of KerasHub's that is built otherwise."""
    other = {key: getattr(backbone, key) for key, value in _RESNET18.items() if getattr(backbone, key) != value}
    if other:
        raise ValueError(f"it is another ResNet, with {other}")
