"""Labelled sets as users give them: pairs of arrays, or data sets of TensorFlow."""

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kdefrost.data.image_files import ImageFiles
from kdefrost.data.storage import Collector, Rows, collect, existing_folder

# Kinds of dtypes that Keras takes no examples of: objects, texts, bytes, times, complex numbers.
_NO_NUMBERS = "OUSMmc"
# So many examples are looked through at a time.
_BLOCK = 256


class LabelledSet(NamedTuple):
    """Examples `(examples, …)`, in memory or not, and their labels `(examples, …)`."""

    x: "np.ndarray | Rows | ImageFiles"
    y: np.ndarray


def read_sets(
    memory_budget: int, directory: str | os.PathLike | None, verbose: bool = True, **given
) -> dict[str, LabelledSet]:
    """Brings the sets of a profile into one form.

    Args:
        memory_budget: Bytes of images of a `tf.data.Dataset` that stay in memory; more go to disk.
        directory: Folder for what goes to disk.
        verbose: Whether to show a progress bar where reading takes long.
        **given: By the argument's name, a pair `(x, y)`, a `tf.data.Dataset` of batches of
            such, or `None`.

    Returns:
        The sets by name, without those that are `None`.

    Raises:
        ValueError: If one is no labelled set of finite numbers.
    """
    there = {name: examples for name, examples in given.items() if examples is not None}
    for name, examples in there.items():
        _check_kind(name, examples)
    budget = memory_budget // len(given)
    # Where only a plan is asked for, the folder may not be there.
    directory = existing_folder(directory)
    return {name: _read(name, examples, budget, directory, verbose) for name, examples in there.items()}


def take_rows(x, rows: np.ndarray):
    """Some rows of a set, read only when they are asked for."""
    return x.take(rows) if isinstance(x, ImageFiles) else Rows(x, rows)


def hold(x, memory_budget: int, directory: str | os.PathLike | None, verbose: bool):
    """A set from which rows are cheap to get: images in files are decoded, once."""
    return collect(x, memory_budget, directory, verbose) if isinstance(x, ImageFiles) else x


def read_images(name: str, images, memory_budget: int, directory: str | os.PathLike | None, verbose: bool = True):
    """Brings images into a form from which rows are cheap to get, in the order that they have.

    Args:
        name: The argument's name.
        images: An array `(images, …)`, an `ImageFiles`, or a `tf.data.Dataset` of batches of images, or
            of tuples that begin with one, which is read once.
        memory_budget: Bytes that what is read may take in memory; more goes to disk.
        directory: Folder for what goes to disk.
        verbose: Whether to show a progress bar where reading takes long.

    Returns:
        An array, in memory or on disk.

    Raises:
        ValueError: If there are none, or their values are no finite numbers.
    """
    if not isinstance(images, tf.data.Dataset):
        if isinstance(images, tuple):
            raise ValueError(
                f"`{name}` must be images alone. Received: a tuple of {len(images)}; leave out the labels."
            )
        images = _as_numbers(name, images)
        if len(images.shape) < 2 or len(images) == 0:
            raise ValueError(f"`{name}` must be images (images, …), at least one. Received: shape {images.shape}")
        return hold(images, memory_budget, directory, verbose)
    first = _first_of_each(name, images)
    collector, count = Collector(memory_budget, directory), 0
    for batch in _batches(name, first, verbose):
        _check_finite(name, batch, count)
        collector.append(batch)
        count += len(batch)
    if not count:
        raise ValueError(f"`{name}` must be a tf.data.Dataset that is not empty.")
    return collector.collected()


def _first_of_each(name: str, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The data set of what stands first in the elements of another: the images."""
    spec = dataset.element_spec
    first = spec[0] if isinstance(spec, tuple) and spec else spec
    if not isinstance(first, tf.TensorSpec) or (first.shape.rank or 0) < 2:
        raise ValueError(f"`{name}` must be a tf.data.Dataset of batches of images. Received elements: {spec}")
    return dataset.map(lambda *parts: parts[0]) if isinstance(spec, tuple) else dataset


def _batches(name: str, dataset: tf.data.Dataset, verbose: bool) -> Iterator:
    """The batches of a data set as NumPy arrays, with a progress bar."""
    batches = int(dataset.cardinality())
    if batches == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"`{name}` must be a tf.data.Dataset that ends; leave out `repeat`.")
    total = batches if batches >= 0 else None
    iterator = dataset.as_numpy_iterator()
    return iter(tqdm(iterator, f"Reading {name}", total, unit="batch", disable=not verbose, delay=3))


def _check_kind(name: str, examples):
    """Refuses what is neither a data set nor a pair."""
    is_pair = isinstance(examples, (tuple, list)) and len(examples) == 2
    if not is_pair and not isinstance(examples, tf.data.Dataset):
        count = f" of {len(examples)}" if isinstance(examples, (tuple, list)) else ""
        raise ValueError(
            f"`{name}` must be a pair (x, y) or a tf.data.Dataset of such batches. Received: "
            f"{type(examples).__name__}{count}."
        )


def _as_numbers(name: str, x) -> "np.ndarray | ImageFiles":
    """Examples as an array of finite numbers, or image files as they are."""
    if isinstance(x, ImageFiles):
        return x
    try:
        x = np.asarray(x)
    except ValueError as error:
        # Lists of images of several sizes; NumPy says so at length.
        raise ValueError(f"The examples of `{name}` must be of one shape: resize them. NumPy says: {error}") from error
    if x.dtype.kind in _NO_NUMBERS:
        raise ValueError(
            f"The examples of `{name}` must be an array (examples, …) of numbers. Received: shape {x.shape}, dtype "
            f"{x.dtype}; np.stack makes one array of images of one shape."
        )
    _check_finite(name, x)
    return x


def _check_finite(name: str, x: np.ndarray, before: int = 0):
    """Refuses NaN and infinity, a block of examples at a time; so many examples came before these."""
    # Other kinds are whole numbers; bfloat16 is of a kind of its own ("V").
    if x.dtype.kind not in "fV":
        return
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        fine = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
        if not fine.all():
            raise ValueError(
                f"The examples of `{name}` must be finite numbers. Received NaN or infinity in example "
                f"{before + start + int(fine.argmin())}, counted from 0, and maybe in later ones: mend them or leave "
                "them out."
            )


def _read(name: str, examples, memory_budget: int, directory, verbose: bool) -> LabelledSet:
    if isinstance(examples, tf.data.Dataset):
        return _read_dataset(name, examples, memory_budget, directory, verbose)
    x, y = _as_numbers(name, examples[0]), np.asarray(examples[1])
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"`{name}` must have as many labels as examples, at least one: {len(x)} x, {len(y)} y.")
    return LabelledSet(x, y)


def _read_dataset(name: str, dataset: tf.data.Dataset, memory_budget: int, directory, verbose: bool) -> LabelledSet:
    """Reads a data set in one pass, because one that shuffles gives another order in the next.

    For the same reason the examples are put in the order of their content: the same data
    set is then the same set, whatever its order.
    """
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or any(not isinstance(part, tf.TensorSpec) for part in spec):
        raise ValueError(f"`{name}` must be a tf.data.Dataset of batches (x, y). Received elements: {spec}")
    if spec[1].shape.rank == 0:
        raise ValueError(f"`{name}` must be a tf.data.Dataset of batches (x, y); batch it. Received elements: {spec}")
    if not (spec[0].dtype.is_floating or spec[0].dtype.is_integer or spec[0].dtype.is_bool):
        raise ValueError(f"`{name}` must be a tf.data.Dataset whose x are numbers. Received elements: {spec}")
    images, labels, contents = Collector(memory_budget, directory), [], []
    for x, y in _batches(name, dataset, verbose):
        _check_finite(name, x, len(contents))
        images.append(x)
        labels.append(y)
        contents += [
            hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=16).digest() for a, b in zip(x, y, strict=True)
        ]
    if not labels:
        raise ValueError(f"`{name}` must be a tf.data.Dataset that is not empty.")
    order = np.array(sorted(range(len(contents)), key=contents.__getitem__))
    return LabelledSet(Rows(images.collected(), order), np.concatenate(labels)[order])
