"""Preprocessing of ImageNet networks, which is a part of them here."""

import dataclasses
import textwrap

import keras
import numpy as np

# Of ImageNet's channels in RGB, of images from 0 to 1.
_MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Per channel `scale * x + offset`, of BGR made from RGB where it `reverses`."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverses: bool = False

    def __call__(self, images):
        """Applies it to a Keras tensor, with as few layers as it takes."""
        if self.reverses:
            images = keras.ops.flip(images, axis=-1)
        if set(self.scale) == {1.0} and set(self.offset) == {0.0}:
            return images
        return keras.layers.Rescaling(list(self.scale), list(self.offset), name="preprocessing")(images)

    @classmethod
    def standardizing(cls, mean: np.ndarray, deviation: np.ndarray, span: float = 1.0) -> "Preprocessing":
        """Takes mean and deviation of images from 0 to 1; what it gives has mean 0 and deviation `span`."""
        scale, offset = span / (255 * deviation), -span * mean / deviation
        return cls(tuple(scale.tolist()), tuple(offset.tolist()))


TORCHVISION = Preprocessing.standardizing(_MEAN, DEVIATION)


def with_preprocessing(base: keras.Model, preprocessing: Preprocessing, name: str) -> keras.Model:
    """A network from raw images, with its preprocessing in front."""
    images = keras.Input(base.input.shape[1:], name="image", dtype="float32")
    # TensorFlow takes no colon in the name of a scope.
    return keras.Model(images, base(preprocessing(images)), name=name.replace(":", "_"))


def height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width, from both or from one number for both."""
    pair = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(pair) != 2 or not all(isinstance(length, (int, np.integer)) and length > 0 for length in pair):
        raise ValueError(f"`image_size` must be a positive whole number, or (height, width). Received: {image_size!r}")
    return int(pair[0]), int(pair[1])


def reason_of(error: Exception) -> str:
    """One line of an error's words."""
    return textwrap.shorten(str(error) or type(error).__name__, 320, placeholder=" …").rstrip(".")
