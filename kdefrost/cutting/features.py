"""Features: what the frozen layers make of a data set, computed once and passed from cut to cut."""

import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from kdefrost import devices
from kdefrost.cutting.constancy import Constancy
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.graph import inference_batch_size
from kdefrost.cutting.surgery import segment
from kdefrost.data.storage import Collector

# Where the features at a cut can be: in memory, on disk, or computed again at each use.
PLACES = MEMORY, DISK, RECOMPUTE = "memory", "disk", "recompute"
# In which numbers they can be held, and the bytes of one; as float32 stands what the model gives.
FEATURE_DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}


class Inference:
    """A model in inference mode, traced once for batches of any size.

    In the scope of a distribution strategy, in which the model must be made too, batches go to the
    replicas in turn.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model):
        self._taken = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
        self._given = [(tuple(tensor.shape[1:]), tensor.dtype) for tensor in model.outputs]
        self._batch_size = inference_batch_size(model)

        def run(*batch):
            return keras.tree.flatten(model(batch[0] if len(batch) == 1 else list(batch), training=False))

        if devices.is_scoped():
            self._run_each = devices.Spread(run, devices.in_use())
        else:
            traced = tf.function(run).get_concrete_function(*self._taken)
            self._run_each = functools.partial(itertools.starmap, traced)

    def __call__(self, *arrays, on_progress: Callable[[int], None] | None = None) -> tuple[np.ndarray, ...]:
        """Runs over a data set.

        Args:
            *arrays: What the model takes, each `(examples, …)`, in memory or not.
            on_progress: Called with the number of examples of each batch that is done.

        Returns:
            What it gives, each `(examples, …)`, in memory.
        """
        outputs = tuple(np.empty((len(arrays[0]), *shape), dtype) for shape, dtype in self._given)
        for rows, parts in self.batches(*arrays, on_progress=on_progress):
            for whole, part in zip(outputs, parts, strict=True):
                whole[rows] = part
        return outputs

    def batches(self, *arrays, on_progress: Callable[[int], None] | None = None) -> Iterator[tuple[slice, list]]:
        """Runs over a data set, batch by batch.

        Args:
            *arrays: As for a call.
            on_progress: As for a call.

        Yields:
            The rows of a batch, and what the model gives for them.
        """
        examples = len(arrays[0])
        starts = range(0, examples, self._batch_size)
        every = [slice(start, min(start + self._batch_size, examples)) for start in starts]
        batches = (
            tuple(tf.cast(array[rows], spec.dtype) for array, spec in zip(arrays, self._taken, strict=True))
            for rows in every
        )
        for rows, parts in zip(every, self._run_each(batches), strict=True):
            yield rows, parts
            if on_progress is not None:
                on_progress(rows.stop - rows.start)


class FeatureFlow:
    """Features of several data sets, carried from one cut of a model to the next.

    The features at a cut are computed from those at the cut before, so that all cuts
    together cost one forward pass. They are held in memory or on disk; the images
    themselves are held by whoever gives them.

    Args:
        model: The source model.
        start: The cut at which the images go in: cut 0.
        images: Arrays `(examples, …)` by name, in memory or not.
        memory_budget: Bytes that features may take in memory at any time.
        directory: Folder for what goes to disk; by default the system's for temporary files.
        dtype: One of `FEATURE_DTYPES`, in which features are held.

    Attributes:
        cut: The cut at which the features are.
        features: By name, a tuple of arrays `(examples, …)`, one for each tensor of the cut.
        constant: By name, the share of the features at the cut that are nearly the same for all examples; `None` of
            too few examples, and nothing where the images are.
    """

    def __init__(
        self,
        model: keras.Model,
        start: Cut,
        images: dict,
        memory_budget: int,
        directory: str | os.PathLike | None = None,
        dtype: str = "float32",
    ):
        self.model, self.cut, self.memory_budget = model, start, memory_budget
        self.directory, self.dtype = directory, dtype
        self.features = {name: (array,) for name, array in images.items()}
        self.constant: dict[str, float | None] = {}

    def advance(self, cut: Cut, place: str = MEMORY, on_progress: Callable[[int], None] | None = None):
        """Carries all features on to a later cut, or leaves them where they are.

        Args:
            cut: The cut.
            place: Where its features are, one of `PLACES`; those that are computed again at each use
                leave all as it is.
            on_progress: Called with the number of examples of each batch that is done.
        """
        if place == RECOMPUTE or cut.tensors == self.cut.tensors:
            return
        run, before = Inference(segment(self.model, self.cut, cut)), self._bytes_in_memory()
        for name in self.features:
            # Replaced one by one, so that the memory of each old set is free again.
            room = self.memory_budget - max(before, self._bytes_in_memory()) if place == MEMORY else 0
            constancy = Constancy(len(self.features[name][0]))
            batches = constancy.watch(run.batches(*self.features[name], on_progress=on_progress))
            self.features[name] = _gather(batches, cut, room, self.directory, self.dtype)
            self.constant[name] = constancy.share
        self.cut = cut
        if place == MEMORY:
            # What found no room beside the features before it has it now.
            self.features = {name: tuple(part[:] for part in parts) for name, parts in self.features.items()}

    def _bytes_in_memory(self) -> int:
        """Bytes of the features, without the images, that are in memory."""
        if not self.cut.frozen_layers:
            return 0
        parts = (part for parts in self.features.values() for part in parts)
        return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def each_layer(
    model: keras.Model,
    cuts: Sequence[Cut],
    images,
    memory_budget: int,
    directory: str | os.PathLike | None = None,
) -> Iterator[tuple[Cut, tuple]]:
    """Gives the features of a data set at one cut of a model after the other.

    Those at a cut are computed from those at the cut before, and take their place: in memory where
    both fit the budget, else on disk. Unlike in a `FeatureFlow` they are there at every cut.

    Args:
        model: The model.
        cuts: The cuts, in their order.
        images: Array `(examples, …)`, in memory or not.
        memory_budget: Bytes that features may take in memory.
        directory: Folder for what goes to disk; by default the system's for temporary files.

    Yields:
        A cut, and a tuple with an array `(examples, …)` for each tensor that crosses it.
    """
    # The images are held by whoever gives them.
    at, features, taken = cut_points(model)[0], (images,), 0
    for cut in cuts:
        if cut.tensors != at.tensors:
            run = Inference(segment(model, at, cut))
            features = _gather(run.batches(*features), cut, memory_budget - taken, directory)
            at, taken = cut, sum(part.nbytes for part in features if isinstance(part, np.ndarray))
        yield cut, features


def held_bytes(cut: Cut, dtype: str) -> int:
    """Bytes of one example's features at a cut in one of `FEATURE_DTYPES`."""
    return cut.feature_bytes * FEATURE_DTYPES[dtype] // FEATURE_DTYPES["float32"]


def _gather(batches, cut: Cut, memory_budget: int, directory, dtype: str = "float32") -> tuple:
    """All rows of the tensors of a cut, which share the budget by their sizes."""
    shares = [4 * math.prod(shape) / cut.feature_bytes for shape in cut.shapes]
    collectors = [Collector(int(share * memory_budget), directory) for share in shares]
    for _, parts in batches:
        for collector, part in zip(collectors, parts, strict=True):
            collector.append(np.asarray(_rounded(part, dtype, cut)))
    return tuple(collector.collected() for collector in collectors)


def _rounded(part: tf.Tensor, dtype: str, cut: Cut) -> tf.Tensor:
    """Features in the dtype in which they are held; whole numbers stay as they are."""
    if dtype == "float32" or part.dtype == dtype:
        return part
    # Under a distribution strategy it is an array.
    part = tf.convert_to_tensor(part)
    if not part.dtype.is_floating:
        return part
    held = tf.cast(part, dtype)
    if bool(tf.reduce_any(tf.math.is_finite(part) & ~tf.math.is_finite(held))):
        raise ValueError(
            f"`feature_dtype` must hold the features at cut {cut.index} ({cut.name}), of up to "
            f"{float(tf.reduce_max(tf.abs(part))):.3g}; {dtype} holds numbers up to {tf.as_dtype(dtype).max}. Use "
            "bfloat16 or float32."
        )
    return held


def seconds_per_example(model: keras.Model, start: Cut, stop: Cut) -> float:
    """Measures what it takes to compute the features at a cut from those at an earlier one.

    Args:
        model: The model.
        start: The earlier cut.
        stop: The later cut.

    Returns:
        Seconds per example, in batches.
    """
    between = segment(model, start, stop)
    run, seconds = Inference(between), []
    rng, count = np.random.default_rng(0), inference_batch_size(between)
    # From 0 to 1: an embedding takes them as the first of its words.
    batch = [rng.random((count, *shape), np.float32) for shape in start.shapes]
    # The first time is the slowest, whatever the cause.
    for _ in range(3):
        begin = time.perf_counter()
        run(*batch)
        seconds.append(time.perf_counter() - begin)
    return min(seconds) / count
