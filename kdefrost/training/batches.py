"""Batches of examples, handed to TensorFlow one by one."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kdefrost.training.recipe import Recipe

# Batches that wait for TensorFlow, and with one that it is at work on and one that is taken, those ahead of it.
_WAITING = 2
_AHEAD = _WAITING + 1


def as_inputs(x) -> tuple:
    """The inputs of a model of one or of several, as a tuple."""
    return x if isinstance(x, tuple) else (x,)


def training_batches(
    inputs: tuple,
    targets: tuple,
    subset,
    recipe: Recipe,
    seed,
    in_place_of: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> "_Batches":
    """All batches of a training: each epoch holds every example once, in an order of its own.

    Args:
        inputs: Arrays `(examples, …)`.
        targets: Labels `(examples, …)`, and weights `(examples,)` where there are any.
        subset: Indices of the examples to train on.
        recipe: How to train.
        seed: Fixes the order of the examples.
        in_place_of: Number of examples that `subset` stands for: the batches are as many as those of so many,
            each smaller in proportion.
        on_progress: Called, by a thread of TensorFlow's, as batches are taken with the share of the steps that is done.

    Returns:
        A context manager that gives a `tf.data.Dataset`.
    """
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(subset) for _ in range(recipe.epochs)])
    starts, stops = _bounds(len(subset), recipe.batch_size, len(subset) if in_place_of is None else in_place_of)
    epochs = np.arange(recipe.epochs)[:, None] * len(subset)
    edges = (starts + epochs).ravel(), (stops + epochs).ravel()
    return _Batches(inputs, targets, order, *edges, on_progress=on_progress)


def _bounds(examples: int, batch_size: int, in_place_of: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the batches of an epoch start and stop."""
    edges = np.append(np.arange(0, in_place_of, batch_size), in_place_of) * examples // in_place_of
    # Batches of one or two examples can come to nothing.
    edges = np.unique(edges)
    return edges[:-1], edges[1:]


class _Batches:
    """Batches of examples that TensorFlow does not hold; `with` gives them as a `tf.data.Dataset`.

    TensorFlow's processor allocator never gives memory back, so whole data sets that pass
    through it add up, and it never forgets a Python function that a data set has called.
    So examples are handed over batch by batch, and are let go at the end of `with`.
    """

    def __init__(self, inputs: tuple, targets: tuple, order, starts, stops, shares=None, on_progress=None):
        self.arrays, self.inputs = (*inputs, *targets), len(inputs)
        self.order, self.starts, self.stops, self.shares = order, starts, stops, shares
        self.steps, self.on_progress = len(starts), on_progress

    def pieces(self, replicas: int) -> "_Batches":
        """The same batches, each in as many pieces as there are replicas, one after the other.

        Each example has a weight, by which the mean over pieces of unequal size is that over the batch. A
        batch with fewer examples than replicas goes whole to each of them: its mean loss and its
        statistics stay what they are, where those of an empty piece are no numbers. So does the
        first batch unless its pieces are of one size, as Keras takes for granted of them.
        """
        inputs, (y, *weights) = self.arrays[: self.inputs], self.arrays[self.inputs :]
        weights = np.asarray(weights[0] if weights else np.ones(len(y)), np.float32)
        sizes = self.stops - self.starts
        ends = self.starts[:, None] + sizes[:, None] * np.arange(replicas + 1) // replicas
        whole = (sizes < replicas) | ((np.arange(len(sizes)) == 0) & (sizes % replicas > 0))
        starts = np.where(whole[:, None], self.starts[:, None], ends[:, :-1])
        stops = np.where(whole[:, None], self.stops[:, None], ends[:, 1:])
        # Keras takes the mean over each piece, and then that over the pieces.
        shares = (stops - starts) / (stops - starts).mean(axis=1, keepdims=True)
        parts = starts.ravel(), stops.ravel(), shares.astype(np.float32).ravel()
        return _Batches(inputs, (y, weights), self.order, *parts, self.on_progress)

    def __enter__(self) -> tf.data.Dataset:
        shapes, dtypes = zip(*((array.shape[1:], _dtype_of(array)) for array in self.arrays), strict=True)
        inputs = self.inputs

        def batch(*bounds):
            parts = tf.numpy_function(self._rows, bounds, dtypes, stateful=False)
            for part, shape in zip(parts, shapes, strict=True):
                part.set_shape((None, *shape))
            x = parts[0] if inputs == 1 else tuple(parts[:inputs])
            return (x, *parts[inputs:])

        options = tf.data.Options()
        # Ending an iteration waits for the autotuner's next round, which comes after ever
        # longer pauses: of up to 2.5 s after 5 s of training.
        options.autotune.enabled = False
        bounds = (self.starts, self.stops) if self.shares is None else (self.starts, self.stops, self.shares)
        return tf.data.Dataset.from_tensor_slices(bounds).map(batch).prefetch(_WAITING).with_options(options)

    def __exit__(self, *_):
        self.arrays = self.on_progress = None

    def _rows(self, start, stop, share=None):
        rows = self.order[start:stop]
        # Which the end of `with` may take away meanwhile.
        report = self.on_progress
        if report is not None:
            # One call of Keras runs many steps, in which only batches tell how far it is.
            report(max(0, start - _AHEAD * (stop - start)) / len(self.order))
        # An autoencoder's targets are its inputs: they are read, or decoded, once.
        batches = {id(array): array[rows] for array in {id(array): array for array in self.arrays}.values()}
        *parts, last = (batches[id(array)] for array in self.arrays)
        return (*parts, last if share is None else share * last)


def _dtype_of(array):
    """What TensorFlow has an array's numbers, or texts, as."""
    return tf.string if array.dtype.kind == "U" else array.dtype
