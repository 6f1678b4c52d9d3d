"""Labelled sets as users give them: pairs of arrays, or data sets of TensorFlow."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kdefrost.data.finite import check_finite
from kdefrost.data.given import check_batch, check_elements, check_kind, check_labels, check_steps
from kdefrost.data.image_files import ImageFiles
from kdefrost.data.storage import Collector, Rows, collect, existing_folder

# Kinds of dtypes that Keras takes no examples of: objects, texts, bytes, times, complex numbers.
_NO_NUMBERS = "OUSMmc"
# Of batches whose number is not known: after so many it is said, and so many are read at most.
_SAID_AFTER, _MOST_BATCHES = 1_000, 100_000
_STOP = "stop it after so many batches, by dataset.take(steps), or `steps` where that is an argument"


class LabelledSet(NamedTuple):
    """Examples `(examples, …)`, in memory or not, and their labels `(examples, …)`."""

    x: "np.ndarray | Rows | ImageFiles"
    y: np.ndarray


def read_sets(
    memory_budget: int, directory: str | os.PathLike | None, verbose: bool = True, steps: int | None = None, **given
) -> dict[str, LabelledSet]:
    """Brings the sets of a profile into one form.

    Args:
        memory_budget: Bytes of images of a `tf.data.Dataset` that stay in memory; more go to disk.
        directory: Folder for what goes to disk.
        verbose: Whether to show a progress bar where reading takes long.
        steps: Number of batches at which a `tf.data.Dataset` is stopped.
        **given: By the argument's name, a pair `(x, y)`, a `tf.data.Dataset` of batches of
            such, or `None`.

    Returns:
        The sets by name, without those that are `None`.

    Raises:
        ValueError: If one is no labelled set of finite numbers.
    """
    there = {name: examples for name, examples in given.items() if examples is not None or name == "train"}
    for name, examples in there.items():
        check_kind(name, examples)
    check_steps(steps, there)
    budget = memory_budget // len(given)
    # Where only a plan is asked for, the folder may not be there.
    directory = existing_folder(directory)
    return {name: _read(name, examples, budget, directory, verbose, steps) for name, examples in there.items()}


def take_rows(x, rows: np.ndarray):
    """Some rows of a set, read only when they are asked for."""
    return x.take(rows) if isinstance(x, ImageFiles) else Rows(x, rows)


def hold(
    x,
    memory_budget: int,
    directory: str | os.PathLike | None,
    verbose: bool,
    see: Callable[[np.ndarray], None] = lambda block: None,
):
    """A set from which rows are cheap to get: images in files are decoded, once, and `see` is called with them."""
    return collect(x, memory_budget, directory, verbose, see) if isinstance(x, ImageFiles) else x


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
    collector, count, shape = Collector(memory_budget, directory), 0, None
    for batch in _batches(name, first, verbose):
        if batch.shape[1:] != (shape := shape or batch.shape[1:]):
            raise ValueError(
                f"The examples of `{name}` must be of one shape: resize them. Received batches of {shape} and of "
                f"{batch.shape[1:]}."
            )
        check_finite(name, batch, count)
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


def _batches(name: str, dataset: tf.data.Dataset, verbose: bool, steps: int | None = None) -> Iterator:
    """The batches of a data set as NumPy arrays, with a progress bar."""
    dataset = dataset if steps is None else dataset.take(steps)
    batches = int(dataset.cardinality())
    if batches == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"`{name}` must be a tf.data.Dataset that ends; leave out `repeat`, or {_STOP}.")
    total = batches if batches >= 0 else steps
    iterator = tqdm(dataset.as_numpy_iterator(), f"Reading {name}", total, unit="batch", disable=not verbose, delay=3)
    return _read_on(name, iter(iterator) if total is not None else _bounded(name, iterator))


def _read_on(name: str, batches: Iterator) -> Iterator:
    """Batches, with a word on whose they are where one cannot be made."""
    try:
        yield from batches
    # What TensorFlow raises of a file that is none, or of an operation of the user's.
    except tf.errors.OpError as error:
        raise ValueError(
            f"`{name}` must be a tf.data.Dataset that can be read to its end. TensorFlow says: "
            f"{error.message.splitlines()[0]}"
        ) from error


def _bounded(name: str, batches: Iterator) -> Iterator:
    """Batches whose number is not known, which may have no end."""
    for number, batch in enumerate(batches):
        if number == _SAID_AFTER:
            tqdm.write(
                f"`{name}` has given {number:,} batches and goes on, and how many there are is not known: it looks as "
                f"if it had no end. If it has none, {_STOP}; by itself reading stops at {_MOST_BATCHES:,}."
            )
        if number == _MOST_BATCHES:
            raise ValueError(
                f"`{name}` must be a tf.data.Dataset that ends; it has given {number:,} batches and goes on. If it has "
                f"no end, or if it has and is longer, {_STOP}."
            )
        yield batch


def _as_numbers(name: str, x) -> "np.ndarray | ImageFiles":
    """Examples as an array of finite numbers, or of texts; image files as they are."""
    if isinstance(x, ImageFiles):
        return x
    x = _as_array("examples", name, x)
    if x.dtype.kind == "U" or (x.dtype.kind == "O" and all(isinstance(each, str) for each in x.flat)):
        return x.astype(str)
    if x.dtype.kind in _NO_NUMBERS or x.dtype.type is np.void:
        raise ValueError(
            f"The examples of `{name}` must be an array (examples, …) of numbers. Received: shape {x.shape}, dtype "
            f"{x.dtype}; np.stack makes one array of images of one shape."
        )
    check_finite(name, x)
    return x


def _as_array(what: str, name: str, values) -> np.ndarray:
    """Examples or labels as an array, of which none is masked."""
    if np.ma.is_masked(values):
        raise ValueError(f"The {what} of `{name}` must have no masked values: fill them, or leave such examples out.")
    try:
        return np.asarray(values)
    # Lists of several sizes, or a tensor that does not let go of its values; what is wrong is said at length.
    except (ValueError, TypeError, RuntimeError) as error:
        said = str(error).split("\n")[0]
        raise ValueError(
            f"The {what} of `{name}` must be of one shape: resize them, or make one array of them. NumPy says: {said}"
        ) from error


def _read(name: str, examples, memory_budget: int, directory, verbose: bool, steps: int | None) -> LabelledSet:
    if isinstance(examples, tf.data.Dataset):
        return _read_dataset(name, examples, memory_budget, directory, verbose, steps)
    x, y = _as_numbers(name, examples[0]), _as_array("labels", name, examples[1])
    check_labels(name, y.shape, y.dtype)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"`{name}` must have as many labels as examples, at least one: {len(x)} x, {len(y)} y.")
    return LabelledSet(x, y)


def _read_dataset(
    name: str, dataset: tf.data.Dataset, memory_budget: int, directory, verbose: bool, steps: int | None
) -> LabelledSet:
    """Reads a data set in one pass, because one that shuffles gives another order in the next.

    For the same reason the examples are put in the order of their content: the same data
    set is then the same set, whatever its order.
    """
    check_elements(name, dataset.element_spec)
    images, labels, contents = Collector(memory_budget, directory), [], []
    first = None
    for x, y in _batches(name, dataset, verbose, steps):
        check_batch(name, x, y)
        shape = x.shape[1:], y.shape[1:]
        if shape != (first := first or shape):
            raise ValueError(
                f"The examples of `{name}` must be of one shape, and their labels: resize them. Received batches of "
                f"{first[0]} with labels {first[1]} and of {shape[0]} with labels {shape[1]}."
            )
        check_finite(name, x, len(contents))
        images.append(x)
        labels.append(y)
        contents += [
            hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=16).digest() for a, b in zip(x, y, strict=True)
        ]
    if not contents:
        raise ValueError(f"`{name}` must be a tf.data.Dataset that is not empty.")
    order = np.array(sorted(range(len(contents)), key=contents.__getitem__))
    return LabelledSet(Rows(images.collected(), order), np.concatenate(labels)[order])
