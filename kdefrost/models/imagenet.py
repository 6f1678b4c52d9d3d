"""Networks trained on ImageNet: those of `keras.applications`, and torchvision's ResNet-18 through KerasHub.

Each is a model from raw RGB images, 0 to 255, to pooled features: the preprocessing that the
network was trained with is part of it, its classifier is not.
"""

import collections
import dataclasses
import difflib
import inspect
import math
import os
from collections.abc import Callable

import h5py
import keras
import numpy as np

from kdefrost.models.preprocessing import DEVIATION, Preprocessing, height_and_width, reason_of, with_preprocessing
from kdefrost.models.resnets import PRESET, resnet18

# Sizes of the images that the applications were trained on, where these are not 224.
_IMAGE_SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
# Sizes for which an application has weights of their own.
_SIZES_WITH_WEIGHTS = {"MobileNet": (128, 160, 192, 224), "MobileNetV2": (96, 128, 160, 192, 224)}


def imagenet_source(
    name: str, weights: str | os.PathLike | None = None, image_size: int | tuple[int, int] | None = None
) -> keras.Model:
    """Builds a network with the weights that it has from ImageNet.

    Args:
        name: A model of `keras.applications`, such as `ResNet50`, with its width multiplier
            where it takes one, such as `MobileNetV2:0.35`; or `ResNet18`.
        weights: A file of its weights without the classifier, `.weights.h5` or `.h5`; for
            `ResNet18` see `resnet18`. `None` has Keras or KerasHub download them.
        image_size: Height and width of the images, or one number for both. `None` takes
            those that the network was trained on.

    Returns:
        A `keras.Model` from raw RGB images, 0 to 255, of shape `(batch, height, width, 3)`
        to features of shape `(batch, features)`.

    Raises:
        ValueError: If there is no such network, it cannot take such images, or the weights
            do not fit or cannot be downloaded.
        FileNotFoundError: If there is no such file.
        ImportError: If `ResNet18` is asked for and KerasHub is not installed.

    Example:

    >>> kdefrost.imagenet_source("MobileNetV2:0.35", "notop.weights.h5", image_size=96).output.shape
    (None, 1280)
    """
    if name == "ResNet18":
        return resnet18(PRESET if weights is None else weights, 224 if image_size is None else image_size)
    return _Application.named(name).source("imagenet" if weights is None else weights, image_size)


@dataclasses.dataclass(frozen=True)
class _Application:
    """A model of `keras.applications`.

    Attributes:
        name: What it was asked for by.
        function: The function that builds it.
        options: Arguments of the function beside those that all of them have.
    """

    name: str
    function: Callable
    options: dict

    @classmethod
    def named(cls, name: str) -> "_Application":
        """Looks up `NAME` or `NAME:ALPHA`."""
        head, colon, alpha = name.partition(":")
        functions = dict(inspect.getmembers(keras.applications, inspect.isfunction))
        if head not in functions and head != "ResNet18":
            near = difflib.get_close_matches(head, [*functions, "ResNet18"], n=3, cutoff=0.0)
            raise ValueError(
                f"There is no ImageNet model {head!r}, only those of keras.applications and ResNet18; the nearest "
                f"names are {', '.join(near)}."
            )
        if not colon:
            return cls(name, functions[head], {})
        if head == "ResNet18" or "alpha" not in inspect.signature(functions[head]).parameters:
            raise ValueError(f"{head} comes in one width, without an alpha; name it without `:{alpha}`.")
        return cls(name, functions[head], {"alpha": _parse_alpha(name, alpha)})

    def source(self, weights: str | os.PathLike | None, image_size: int | tuple[int, int] | None) -> keras.Model:
        """Builds it with weights from Keras for `"imagenet"`, from a file, or random ones for `None`."""
        size = height_and_width(self.image_size if image_size is None else image_size)
        base, preprocessing = self._build(size), self._probe()
        if weights is None:
            return with_preprocessing(base, preprocessing, self.name)
        if weights == "imagenet":
            base.set_weights(self._download(size))
        else:
            self._read_weights(base, weights)
        return with_preprocessing(base, _take_statistics(base) or preprocessing, self.name)

    @property
    def image_size(self) -> int:
        """Height and width of the images that it was trained on."""
        return _IMAGE_SIZES.get(self.function.__name__, 224)

    def _call(self, weights: str | None, size: tuple[int, int]) -> keras.Model:
        return self.function(weights=weights, include_top=False, pooling="avg", input_shape=(*size, 3), **self.options)

    def _build(self, size: tuple[int, int]) -> keras.Model:
        try:
            return self._call(None, size)
        except ValueError as error:
            raise ValueError(
                f"{self.name} cannot be built for images of {size[0]}×{size[1]}: {reason_of(error)}; give another "
                f"`image_size`{' or alpha' if self.options else ''}."
            ) from error

    def _probe(self) -> Preprocessing:
        """Finds out what its `preprocess_input` does from what that makes of black, red, green and blue."""
        black, *pure = self._preprocess(np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]))
        # Rows are the channels that it takes, columns those that it gives.
        effect = (np.stack(pure) - black) / 255
        reverses = abs(effect[0, 2]) > abs(effect[0, 0])
        scale = np.diag(effect[::-1] if reverses else effect)
        colours = np.random.default_rng(0).uniform(0, 255, (16, 3))
        expected = scale * (colours[:, ::-1] if reverses else colours) + black
        if not np.allclose(self._preprocess(colours), expected):
            raise ValueError(
                f"{self.name} cannot be a source by name, because its preprocess_input is more than a scale and an "
                "offset per channel; build it with its preprocessing as layers, and give it as a .keras file."
            )
        return Preprocessing(tuple(scale.tolist()), tuple(black.tolist()), bool(reverses))

    def _preprocess(self, colours: np.ndarray) -> np.ndarray:
        """What `preprocess_input` makes of colours, (samples, 3), as images of one pixel."""
        # It may write over what it is given.
        images = colours.reshape(-1, 1, 1, 3).copy()
        return inspect.getmodule(self.function).preprocess_input(images).reshape(-1, 3)

    def _download(self, size: tuple[int, int]) -> list[np.ndarray]:
        """Its weights from Keras's server, or from Keras's folder where they are already."""
        has_own = size[0] == size[1] and size[0] in _SIZES_WITH_WEIGHTS.get(self.function.__name__, ())
        # At sizes other than these an application warns, or refuses; weights fit every size.
        trained = size if has_own else height_and_width(self.image_size)
        try:
            return self._call("imagenet", trained).get_weights()
        # Keras raises a bare `Exception` where there is no network.
        except Exception as error:
            raise ValueError(
                f"Keras cannot give the ImageNet weights of {self.name}: {reason_of(error)}; download them where there "
                "is a network and give the file with `weights=` (`--weights`)."
            ) from error

    def _read_weights(self, base: keras.Model, path: str | os.PathLike):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no weights file {path}.")
        try:
            _check_shapes(base, path)
            base.load_weights(path)
        # A file that does not fit or is damaged ends in whatever h5py or Keras raises.
        except Exception as error:
            arguments = ", ".join(f"{key}={value}" for key, value in {**self.options, "include_top": False}.items())
            raise ValueError(
                f"The weights file {path} does not fit {self.name}: {reason_of(error)}; it must hold the weights of "
                f"keras.applications.{self.function.__name__}({arguments}) as .weights.h5 or .h5."
            ) from error


def _parse_alpha(name: str, text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0 < alpha < math.inf:
        raise ValueError(f"The alpha of {name!r} must be a positive number, as in MobileNetV2:0.35. Received: {text!r}")
    return alpha


def _check_shapes(base: keras.Model, path: str | os.PathLike):
    """Refuses a file whose arrays are not those of a model, as far as Keras itself does not.

    It does where the file is of its old format, `.h5`. In a `.weights.h5` file it passes
    over arrays for which the model has no layer, and warns a hundredfold before it says
    that shapes differ.
    """
    if not str(path).endswith(".h5"):
        raise ValueError("its name does not end in .h5")
    if not str(path).endswith(".weights.h5"):
        return
    held, wanted = _stored_shapes(path), collections.Counter(tuple(weight.shape) for weight in base.weights)
    surplus, lacking = (held - wanted).total(), (wanted - held).total()
    if surplus or lacking:
        raise ValueError(
            f"of its {held.total()} arrays {surplus} have no place there, and of the model's {wanted.total()} it "
            f"lacks {lacking}"
        )


def _stored_shapes(path: str | os.PathLike) -> collections.Counter:
    """How many arrays of each shape a `.weights.h5` file has for layers."""
    shapes = collections.Counter()

    def count(key, item):
        # The states of random generators are variables of layers, but no weights.
        if isinstance(item, h5py.Dataset) and "seed_generator" not in key:
            shapes[item.shape] += 1

    with h5py.File(path) as file:
        file["layers"].visititems(count)
    return shapes


def _take_statistics(base: keras.Model) -> Preprocessing | None:
    """Takes the statistics of ImageNet that an EfficientNet keeps in variables out of it.

    The variance in Keras's files is a deviation (tensorflow#49930). Built with
    `weights="imagenet"`, but not with a file, Keras's model makes up for it by dividing
    once more by the deviation's root; here the preprocessing does all of it.

    Returns:
        The preprocessing instead; `None` where the model keeps no statistics.
    """
    layer = next((x for x in base.layers if isinstance(x, keras.layers.Normalization) and x.weights), None)
    if layer is None or not np.any(layer.get_weights()[0]):
        return None
    mean, variance, count = layer.get_weights()
    layer.set_weights([np.zeros_like(mean), np.ones_like(variance), count])
    layer.finalize_state()
    # The model divides by 255 next.
    return Preprocessing.standardizing(mean, np.sqrt(variance * DEVIATION), span=255)
