"""Gram matrices of a set of points, by blocks and in bounded memory.

With the points' mean subtracted, the entries are the scalar products of which distances
and kernels are made: |x − y|² = x·x + y·y − 2 x·y. Without it, points that are far from the
origin and close to each other would lose in rounding what tells them apart.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from kdefrost.devices import Strategy, spread

# Points whose products with as many others are taken at a time: enough for the rate of large matrices.
_MOST, _LEAST = 1000, 16
# Numbers that are read at a time in a pass over the points.
_READ = 2**22
# Shares of the memory budget: of products that are held, of strips of rows where none are, and of the points that are
# multiplied. The rest is for what is computed from the rows.
_HELD, _STRIPS, _MULTIPLIED = 0.8, 0.5, 0.1


@dataclasses.dataclass(frozen=True)
class Plan:
    """How two Gram matrices of the same points are made within a memory budget.

    Attributes:
        rows: Number of rows of a strip.
        held: Whether half of all products are held, so that each is computed once: the
            matrices are symmetric. Else those of each strip are computed when it comes.
    """

    rows: int
    held: bool

    @classmethod
    def within(cls, memory_budget: int, count: int, width: int, itemsize: int) -> "Plan":
        """The plan that a memory budget allows.

        Args:
            memory_budget: Bytes beside the features, for all that is computed.
            count: Number of points.
            width: The larger number of features.
            itemsize: Bytes of a number.
        """
        multiplied = max(_LEAST, int(_MULTIPLIED * memory_budget / (3 * width * itemsize)))
        rows = min(_MOST, multiplied, count)
        if count * (count + 2 * rows) * itemsize <= _HELD * memory_budget:
            return cls(rows, held=True)
        strips = int(_STRIPS * memory_budget / (2 * count * itemsize))
        return cls(max(1, min(multiplied, strips, count)), held=False)


class Points:
    """The representation of some points, of which Gram matrices are made.

    Args:
        name: What an error calls it.
        features: Its features `(points, …)`, which are flattened: arrays, in memory or not, that
            make one vector together.
        dtype: The dtype to compute in, `"float32"` or `"float64"`.
        strategy: The distribution strategy whose replicas share the products, as for `spread`.

    Attributes:
        count: Number of points.
        width: Number of features.
        squares: Squared distance of each point from the mean `(points,)`.
        first: For each point the first one that equals it `(points,)`; `None` where all differ.

    Raises:
        ValueError: If a feature is not finite or too large or small to be squared, or all
            points are one.
    """

    def __init__(self, name: str, features: list, dtype: str, strategy: Strategy | None = None):
        self.name, self._parts, self._dtype = name, features, np.dtype(dtype)
        self.count = len(features[0])
        self.width = sum(int(np.prod(part.shape[1:])) for part in features)
        # Of features in double precision the mean is subtracted in it too.
        wide = np.result_type(self._dtype, *(part.dtype for part in features if part.dtype == np.float64))
        mean, self.first = self._first_pass()
        self._mean = mean.astype(wide)
        tasks = ((block, self._mean) for _, block in self._blocks(max(1, _READ // self.width)))
        squares = np.concatenate(list(spread(_squares, strategy)(tasks)))
        # What does not fit becomes infinite, and is told about.
        with np.errstate(over="ignore"):
            self.squares = squares.astype(self._dtype)
        self._check_squares()
        self._multiply = spread(_products, strategy)
        self._held: tuple[int, dict] = (0, {})

    def strips(self, plan: Plan) -> Iterator[np.ndarray]:
        """The rows of the Gram matrix, some at a time.

        Products that the plan holds stay for the next call.

        Args:
            plan: How to make them.

        Yields:
            Arrays `(rows, points)` from the first row to the last; each takes the place of the one before.
        """
        blocks = list(_slices(self.count, plan.rows))
        strip = np.empty((plan.rows, self.count), self._dtype)
        if plan.held and self._held[0] != plan.rows:
            pairs = [(column, row) for column in range(len(blocks)) for row in range(column, len(blocks))]
            self._held = plan.rows, dict(self._products(blocks, pairs))
        for row, points in enumerate(blocks):
            pairs = [(row, other) for other in range(len(blocks))]
            for (_, other), products in self._rows_held(pairs) if plan.held else self._products(blocks, pairs):
                strip[: len(products.T), blocks[other]] = products.T
            yield strip[: points.stop - points.start]

    def _rows_held(self, pairs: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        held = self._held[1]
        for row, other in pairs:
            yield (row, other), held[row, other] if other >= row else held[other, row].T

    def _products(self, blocks: list[slice], pairs: list) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """For each pair of blocks, the products `(points of the second, points of the first)`."""
        return zip(pairs, self._multiply(self._tasks(blocks, pairs)), strict=True)

    def _tasks(self, blocks: list[slice], pairs: list) -> Iterator[tuple]:
        """What is multiplied for each pair; a panel serves all pairs in a row of which it is the first."""
        panel_of = None
        for first, second in pairs:
            if first != panel_of:
                panel = _panel(tf.convert_to_tensor(self._read(blocks[first])), self._mean, self._dtype)
                panel_of = first
            yield self._read(blocks[second]), self._mean, panel

    def _first_pass(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The points' mean, and for each the first one that equals it."""
        total, seen, first = np.zeros(self.width), {}, np.empty(self.count, np.int32)
        for rows, block in self._blocks(max(1, _READ // self.width)):
            sums = block.sum(axis=0, dtype=np.float64)
            if not np.isfinite(sums).all():
                raise ValueError(
                    f"{self.name} must have finite features. Received: infinite or undefined ones among points "
                    f"{rows.start} to {rows.stop - 1}"
                )
            total += sums
            for place, point in enumerate(block, rows.start):
                # Zero has two signs and is one number.
                first[place] = seen.setdefault(hash((point + 0).tobytes()), place)
        if len(seen) == 1:
            raise ValueError(
                f"{self.name} must tell points apart. Received: {self.count} points that are all the same, with "
                "constant features; leave it out, or look why its network makes nothing of the images."
            )
        return total / self.count, first if len(seen) < self.count else None

    def _check_squares(self):
        limits, largest = np.finfo(self._dtype), float(self.squares.max())
        if not limits.tiny < largest < limits.max / self.count:
            other = ' or pass dtype="float64"' if self._dtype == np.float32 else ""
            raise ValueError(
                f"{self.name} must have features whose squares {self._dtype.name} can hold. Received: points up to "
                f"{np.sqrt(largest):.3g} from their mean; scale them{other}."
            )

    def _blocks(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        for rows in _slices(self.count, size):
            yield rows, self._read(rows)

    def _read(self, rows: slice) -> np.ndarray:
        """The features of some points as they are, `(points, features)`."""
        flat = [np.asarray(part[rows]).reshape(rows.stop - rows.start, -1) for part in self._parts]
        block = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        return block if block.dtype in (np.float32, np.float64) else block.astype(self._dtype)


def _centred(points, mean):
    return tf.cast(points, mean.dtype) - mean


def _panel(points, mean, dtype):
    """Centred points `(features, points)`, laid out for the product."""
    return tf.transpose(tf.cast(_centred(points, mean), dtype))


def _products(points, mean, panel):
    return tf.matmul(tf.cast(_centred(points, mean), panel.dtype), panel)


def _squares(points, mean):
    return tf.reduce_sum(tf.square(_centred(points, mean)), axis=1)


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
