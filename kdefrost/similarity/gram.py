"""Gram matrices of a set of points, by blocks and in bounded memory.

The entries are the scalar products of which distances and kernels are made:
|x − y|² = x·x + y·y − 2 x·y. The points' mean is subtracted before: else points that are far
from the origin and close to each other would lose in rounding what tells them apart. And
they are scaled by a power of two, to which no measure of similarity objects.
"""

import dataclasses
import math
import numbers
import warnings
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from kdefrost.devices import Strategy, spread
from kdefrost.similarity.precision import float32_suffices, tells_neighbors

# Points whose products with as many others are taken at a time: enough for the rate of large matrices.
_MOST, _LEAST = 1000, 16
# Numbers that are read at a time in a pass over the points.
_READ = 2**22
# Shares of the memory budget: of products that are held, of strips of rows where none are, of the points that are
# multiplied, and of what is made of rows at a time.
_HELD, _STRIPS, _MULTIPLIED, _MEASURED = 0.8, 0.5, 0.1, 0.06
# More than so many bytes that are made of rows at a time would not stay in the caches.
_CACHED = 2**26


@dataclasses.dataclass(frozen=True)
class Plan:
    """How two Gram matrices of the same points are made within a memory budget.

    Attributes:
        rows: Number of rows of a strip.
        columns: Number of points with which those of a strip are multiplied at a time.
        held: Whether half of all products are held, so that each is computed once: the
            matrices are symmetric. Else those of each strip are computed when it comes.
        measured: Bytes that may be made of the rows at a time.
    """

    rows: int
    columns: int
    held: bool
    measured: int = _CACHED

    @classmethod
    def within(cls, memory_budget: int, count: int, width: int, itemsize: int) -> "Plan":
        """The plan that a memory budget allows on one device.

        Args:
            memory_budget: Bytes beside the features, for all that is computed.
            count: Number of points.
            width: The larger number of features.
            itemsize: Bytes of a number.
        """
        measured = min(_CACHED, int(_MEASURED * memory_budget))
        # What is left where the products and two strips of rows are held serves wide points.
        left = _HELD * memory_budget - count * (count + 2 * min(_MOST, count)) * itemsize
        multiplied = int((_MULTIPLIED * memory_budget + max(0, left)) / (3 * width * itemsize))
        multiplied = min(_MOST, max(_LEAST, multiplied), count)
        if left >= 0:
            return cls(multiplied, multiplied, True, measured)
        strips = int(_STRIPS * memory_budget / (2 * count * itemsize))
        return cls(max(1, min(multiplied, strips)), multiplied, False, measured)


class Indistinct(ValueError):
    """Features tell nothing of points: they are all the same, or no numbers to compute with."""


class Points:
    """The representation of some points, of which Gram matrices are made.

    Args:
        name: What an error calls it.
        features: Its features `(points, …)`, which are flattened: arrays, in memory or not, that
            make one vector together.
        dtype: The dtype to compute in, `"float32"` or `"float64"`; `None` takes the former where it suffices,
            else the latter.
        strategy: The distribution strategy whose replicas share the products, as for `spread`.

    Attributes:
        count: Number of points.
        width: Number of features.
        squares: The diagonal of the Gram matrix `(points,)`.
        first: For each point the first one that equals it `(points,)`; `None` where all differ.
        scale: The power of two by which features are multiplied.

    Raises:
        Indistinct: If a feature is not finite or too large or small, or all points are one.
    """

    def __init__(self, name: str, features: list, dtype: str | None, strategy: Strategy | None = None):
        self.name, self._parts = name, features
        self.count = len(features[0])
        self.width = sum(int(np.prod(part.shape[1:])) for part in features)
        # What has more digits than the dtype loses them only once the mean is subtracted.
        self._wide = np.result_type(*(_needed(part.dtype) for part in features))
        self._mean, self.first = self._first_pass()
        self._square, self._multiply = spread(_squares, strategy), spread(_products, strategy)
        self._held: tuple[int, dict] = (0, {})
        fits = self._take(dtype or "float32")
        if dtype is None and not (fits and float32_suffices(self)):
            fits = self._take("float64")
        self._check(fits, dtype)

    def _take(self, dtype: str) -> bool:
        """Goes over to a dtype; whether it holds the points."""
        self._dtype = np.dtype(dtype)
        self._wide = np.result_type(self._dtype, self._wide)
        self._centre = self._mean.astype(self._wide)
        tasks = ((block, self._centre, self._dtype.type(0)) for _, block in self._blocks())
        squares = np.concatenate(list(self._square(tasks)))
        mean = squares.mean()
        if not 0 < mean < np.inf:
            return False
        # Near 1, no product is too large or small.
        exponent = int(np.rint(np.log2(mean) / 2))
        self.scale = self._dtype.type(2.0**-exponent)
        self.squares = (squares * 2.0 ** (-2 * exponent)).astype(self._dtype)
        return True

    def _check(self, fits: bool, dtype: str | None):
        """Refuses points that the dtype does not hold, and warns of those that float64 does not tell apart."""
        if not fits:
            other = ' or pass dtype="float64"' if self._dtype == np.float32 else ""
            raise Indistinct(
                f"{self.name} must have features whose differences {self._dtype.name} can hold. Received: too large or "
                f"too small ones; scale them{other}."
            )
        if dtype != "float32" and self._dtype == np.float64 and not tells_neighbors(self):
            warnings.warn(
                f"{self.name} has points so much nearer to each other than to others that float64 does not tell their "
                "neighbours apart. Its measures of neighbours are wrong; bring features to scales that are alike, or "
                "leave out the points that are far off.",
                stacklevel=2,
            )

    def features_of(self, place: int) -> np.ndarray:
        """The features of one point as they are, `(features,)`."""
        return self._read(slice(place, place + 1))[0]

    def nearest(self, rows: np.ndarray, k: int) -> np.ndarray:
        """The k points nearest to each of some, the nearest first; of those that are equal, the first alone.

        Args:
            rows: The points `(rows,)`.
            k: How many, where there are as many others that differ.

        Returns:
            `(rows, k)`.
        """
        first = np.arange(self.count) if self.first is None else self.first
        places = np.unique(first)
        own, k = first[rows], min(k, len(places) - 1)
        panel = _panel(tf.convert_to_tensor(np.stack([*map(self.features_of, rows)])), self._centre, self.scale)
        slices = _slices(self.count, min(_MOST, max(1, _READ // self.width)))
        tasks = ((self._read(others), self._centre, panel) for others in slices)
        near, best = (np.zeros((len(rows), 0), dtype) for dtype in (np.int64, self._dtype))
        for others, products in zip(slices, self._multiply(tasks), strict=True):
            here = np.arange(others.start, others.stop)
            close = 2 * products.T - self.squares[others]
            close[(first[here] != here) | (own[:, None] == here)] = -np.inf
            near = np.concatenate([near, np.broadcast_to(here, close.shape)], axis=1)
            best, chosen = tf.math.top_k(np.concatenate([best, close], axis=1), min(k, near.shape[1]))
            near = np.take_along_axis(near, np.asarray(chosen), axis=1)
        return near

    def strips(self, plan: Plan) -> Iterator[np.ndarray]:
        """The rows of the Gram matrix, some at a time.

        Products that the plan holds stay for the next call.

        Args:
            plan: How to make them.

        Yields:
            Arrays `(rows, points)` from the first row to the last; each takes the place of the one before.
        """
        strips, columns = _slices(self.count, plan.rows), _slices(self.count, plan.columns)
        if plan.held and self._held[0] != plan.rows:
            # Let go first: two sets would exceed the budget.
            self._held = 0, {}
            pairs = [(rows, others) for rows in strips for others in columns if others.start >= rows.start]
            made = self._products(pairs)
            self._held = plan.rows, {(rows.start, others.start): products for rows, others, products in made}
        strip = np.empty((plan.rows, self.count), self._dtype)
        for rows in strips:
            pairs = [(rows, others) for others in columns]
            for _, others, products in self._mirrored(pairs) if plan.held else self._products(pairs):
                strip[: rows.stop - rows.start, others] = products.T
            yield strip[: rows.stop - rows.start]

    def _mirrored(self, pairs: list[tuple[slice, slice]]) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """What `_products` gives, of the half that is held."""
        held = self._held[1]
        for rows, others in pairs:
            key = rows.start, others.start
            yield rows, others, held[key] if key in held else held[key[::-1]].T

    def _products(self, pairs: list[tuple[slice, slice]]) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Each pair of rows and others with their products `(others, rows)`."""
        for pair, products in zip(pairs, self._multiply(self._tasks(pairs)), strict=True):
            yield *pair, products

    def _tasks(self, pairs: list[tuple[slice, slice]]) -> Iterator[tuple]:
        """What is multiplied for each pair; a panel serves all pairs in a row with its rows."""
        panel_of = None
        for rows, others in pairs:
            if rows != panel_of:
                panel = _panel(tf.convert_to_tensor(self._read(rows)), self._centre, self.scale)
                panel_of = rows
            yield self._read(others), self._centre, panel

    def _first_pass(self) -> tuple[np.ndarray, np.ndarray | None]:
        """What is subtracted from the points, and for each the first one that equals it.

        This is the mean; of whole numbers the whole one next to it, so that their differences stay
        exact, and equal distances equal.
        """
        total, whole, seen, first = np.zeros(self.width), True, {}, np.empty(self.count, np.int32)
        for rows, block in self._blocks():
            with np.errstate(over="ignore", invalid="ignore"):
                sums = block.sum(axis=0, dtype=np.float64)
            if not np.isfinite(sums).all():
                raise Indistinct(
                    f"{self.name} must have finite features, and such that can be added. Received: infinite, undefined "
                    f"or too large ones among points {rows.start} to {rows.stop - 1}"
                )
            total += sums
            whole = whole and np.array_equal(block, np.rint(block))
            for place, point in enumerate(block, rows.start):
                # Zero has two signs and is one number. Two rows of one hash in 64 bits do not occur.
                first[place] = seen.setdefault(hash((point + 0).tobytes()), place)
        if len(seen) == 1:
            raise Indistinct(
                f"{self.name} must tell points apart. Received: {self.count} points that are all the same, with "
                "constant features; leave it out, or look why its network makes nothing of the images."
            )
        mean = total / self.count
        return np.rint(mean) if whole else mean, first if len(seen) < self.count else None

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for rows in _slices(self.count, max(1, _READ // self.width)):
            yield rows, self._read(rows)

    def _read(self, rows: slice) -> np.ndarray:
        """The features of some points as they are, `(points, features)`."""
        flat = [np.asarray(part[rows]).reshape(rows.stop - rows.start, -1) for part in self._parts]
        block = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        return block if block.dtype in (np.float32, np.float64) else block.astype(self._wide)


def _needed(dtype) -> np.dtype:
    """The float dtype that holds all numbers of a dtype, or more of them than the other."""
    return np.dtype(np.float64 if dtype == np.float64 or (dtype.kind in "iu" and dtype.itemsize > 2) else np.float32)


def _centred(points, centre, dtype):
    return tf.cast(tf.cast(points, centre.dtype) - centre, dtype)


def _panel(points, centre, scale):
    """Centred points `(features, points)`, laid out for the product, which they scale."""
    # One after the other: the scale's square could be too large or small.
    return tf.transpose(_centred(points, centre, scale.dtype) * scale) * scale


def _products(points, centre, panel):
    return tf.matmul(_centred(points, centre, panel.dtype), panel)


def _squares(points, centre, like):
    """|x|² `(points,)` of centred points in the dtype of `like`, which has no limits here."""
    return tf.reduce_sum(tf.square(tf.cast(_centred(points, centre, like.dtype), "float64")), axis=1)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def check_memory_budget(memory_budget):
    """Refuses what is no number of bytes."""
    known = isinstance(memory_budget, numbers.Real) and not isinstance(memory_budget, bool)
    if not known or not 0 < memory_budget < math.inf:
        raise ValueError(f"`memory_budget` must be a positive number of bytes. Received: {memory_budget=}")
