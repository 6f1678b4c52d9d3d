"""Labelled images, as kdefrost has them."""

import dataclasses
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from kdefrost.arguments import check_kind
from kdefrost.data.finite import check_finite
from kdefrost.data.image_files import ImageFiles

# As users give them: images are an array, or what becomes one; labelled ones a pair, or a data set of batches of pairs.
Images: TypeAlias = ArrayLike | ImageFiles
Labelled: TypeAlias = tuple[Images, ArrayLike] | tf.data.Dataset


class Examples(NamedTuple):
    """Images `(examples, height, width, channels)` and whole-number labels `(examples,)`.

    The images are an array, or an `ImageFiles` that becomes one where it is indexed.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray

    @property
    def smallest_class(self) -> int:
        """Number of examples of the class that has fewest."""
        return int(np.bincount(self.labels).min())

    def take(self, rows: slice | np.ndarray) -> "Examples":
        """The examples of some rows (a slice, a mask or row numbers); image files stay unread."""
        images = self.images.take(rows) if isinstance(self.images, ImageFiles) else self.images[rows]
        return Examples(images, self.labels[rows])


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled image data set.

    Attributes:
        name: Its name.
        train: Training images and labels.
        test: Test images and labels; None where there are none.
        classes: Names of the classes, in the order of the labels.
        groups: For each training image the group (patient) that it is of, `(examples,)`;
            None where images are independent.
        validation: Images to choose on and their labels; None where there are none of their own.

    Raises:
        ValueError: If a part is no `Examples`, or images are not finite numbers.
    """

    name: str
    train: Examples
    test: Examples | None
    classes: tuple[str, ...]
    groups: np.ndarray | None = None
    validation: Examples | None = None

    def __post_init__(self):
        for name in ("train", "test", "validation"):
            examples = getattr(self, name)
            if examples is not None or name == "train":
                check_kind(name, examples, Examples, "an Examples of images and labels")
            if examples is not None and not isinstance(examples.images, ImageFiles):
                check_finite(name, examples.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.train.images.shape[1:]
