"""Data sets: images with labels, train and test, from scikit-learn and TensorFlow Datasets."""

import dataclasses
import difflib
import os
from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Images `(examples, height, width, channels)` and whole-number labels `(examples,)`."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def smallest_class(self) -> int:
        """Number of examples of the class that has fewest."""
        return int(np.bincount(self.labels).min())


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled image data set.

    Attributes:
        name: Its name.
        train: Training images and labels.
        test: Test images and labels.
        classes: Names of the classes, in the order of the labels.
    """

    name: str
    train: Examples
    test: Examples
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.train.images.shape[1:]

    def standardized(self) -> "ImageData":
        """The data with mean 0 and standard deviation 1 in each channel.

        Mean and deviation are those of the training images, over all their pixels, and are
        applied to train and test. A channel that does not vary is only centred.

        Returns:
            An `ImageData` of float32 images.
        """
        mean = self.train.images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
        deviation = _deviation(self.train.images, mean)
        parts = []
        for images, labels in (self.train, self.test):
            images = images.astype(np.float32)
            images -= mean
            images /= deviation
            parts.append(Examples(images, labels))
        return dataclasses.replace(self, train=parts[0], test=parts[1])


def load_data(
    name: str, data_dir: str | os.PathLike | None = None, image_size: tuple[int, int] = (64, 64)
) -> ImageData:
    """Loads a labelled image data set.

    Args:
        name: `"digits"`, the 1,797 images of 8×8 digits that scikit-learn brings along, or
            the name of any image classification set of TensorFlow Datasets, such as
            `"cifar10"`.
        data_dir: Folder of TensorFlow Datasets; by default `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`. What is prepared there is used without network; what is
            not is downloaded to it.
        image_size: Height and width to which the images of a set are resized when they
            differ in size.

    Returns:
        An `ImageData` with uint8 images. The test images are the set's own; of the digits,
        a fixed fifth, balanced over the classes.

    Raises:
        ValueError: If there is no such data set, or it is not one of labelled images with
            a training and a test (or validation) split.
        FileNotFoundError: If it is not prepared and cannot be downloaded.

    Example:

    >>> kdefrost.load_data("digits").train.images.shape
    (1437, 8, 8, 1)
    """
    return _load_digits() if name == "digits" else _load_tfds(name, data_dir, image_size)


def hold_out(examples: Examples, share: float = 0.1, seed: int = 0) -> tuple[Examples, Examples]:
    """Sets some examples of each class aside.

    Args:
        examples: Images and labels.
        share: Share of each class that is set aside, above 0 and below 1; at least one.
        seed: Seed of the draw.

    Returns:
        `(rest, held_out)`.

    Raises:
        ValueError: If `share` is out of its range.
    """
    if not 0 < share < 1:
        raise ValueError(f"`share` must be above 0 and below 1. Received: share={share}")
    rng = np.random.default_rng(seed)
    aside = np.zeros(len(examples.labels), bool)
    for label in np.unique(examples.labels):
        members = rng.permutation(np.flatnonzero(examples.labels == label))
        aside[members[: max(1, round(share * len(members)))]] = True
    return Examples(*(part[~aside] for part in examples)), Examples(*(part[aside] for part in examples))


def _deviation(images: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviation per channel, in blocks: no copy of all images in float64."""
    total = np.zeros(images.shape[-1])
    for block in np.array_split(images, max(1, len(images) // 1000)):
        total += np.square(block - mean, dtype=np.float64).sum(axis=(0, 1, 2))
    deviation = np.sqrt(total / images[..., 0].size).astype(np.float32)
    return np.where(deviation > 0, deviation, np.float32(1))


def _load_digits() -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # Values run from 0 to 16.
    images = np.minimum(digits.images * 16, 255).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    classes = tuple(str(name) for name in digits.target_names)
    return ImageData("digits", Examples(train_x, train_y), Examples(test_x, test_y), classes)


def _load_tfds(name: str, data_dir, image_size) -> ImageData:
    # Takes a second or two, which the digits need not wait for.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    # A name that it cannot parse or a version that there is not ends in one of the others.
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError):
        near = difflib.get_close_matches(name, ["digits", *tfds.list_builders()], n=3)
        hint = f" The nearest names: {', '.join(near)}." if near else ""
        raise ValueError(
            f"There is no data set {name!r}: it must be `digits`, or one of TensorFlow Datasets, such as `cifar10`."
            f"{hint}"
        ) from None
    _prepare(builder, name)
    features, splits = builder.info.features, builder.info.splits
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    kinds = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    labelled = isinstance(kinds.get("image"), tfds.features.Image) and isinstance(
        kinds.get("label"), tfds.features.ClassLabel
    )
    if not labelled or held_out is None or "train" not in splits:
        raise ValueError(
            f"The data set {name!r} must have images with one label each, and a split `train` and one of `test` and "
            f"`validation`. It has the features {sorted(kinds)} and the splits {sorted(splits)}."
        )
    parts = [_read(builder, split, image_size) for split in ("train", held_out)]
    return ImageData(name, *parts, classes=tuple(features["label"].names))


def _prepare(builder, name: str):
    """Downloads and prepares a data set, unless it is prepared already."""
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    # A download ends in whatever the network library, the host or the file system raises.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(
            f"The data set {name!r} is not in {builder.data_dir}, and downloading it failed ({reason}): name the "
            "folder where it is prepared by --data-dir or TFDS_DATA_DIR, or use the embedded --tgt digits."
        ) from error


def _read(builder, split: str, image_size) -> Examples:
    import tensorflow as tf

    examples = builder.as_dataset(split=split, shuffle_files=False)
    uniform = all(size is not None for size in builder.info.features["image"].shape)

    def pair(example):
        image = example["image"]
        if not uniform:
            image = tf.cast(tf.round(tf.image.resize(image, image_size, antialias=True)), tf.uint8)
        return image, example["label"]

    batches = list(examples.map(pair).batch(1000).as_numpy_iterator())
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return Examples(images, labels.astype(np.int64))
