"""Representations of the same points, and how they are compared: block by block, all measures at once."""

import dataclasses
import functools
import numbers
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from kdefrost.devices import Strategy, spread
from kdefrost.similarity.gram import Plan, Points
from kdefrost.similarity.measures import (
    biased_cka,
    closeness,
    imbalance,
    kernel_sums,
    mean_correlation,
    nearer,
    nearest,
    overlap,
    rank_correlation,
    shared,
    unbiased_cka,
)

# As users give them: a row for each point; of several parts, which make one vector together.
Features: TypeAlias = ArrayLike | tuple[ArrayLike, ...]
# What each measure gives: from X to Y and back where it has a direction.
MEASURES = {
    "information_imbalance": ("information_imbalance_xy", "information_imbalance_yx"),
    "cka": ("cka", "cka_unbiased"),
    "neighborhood_overlap": ("neighborhood_overlap",),
    "neighbor_spearman": ("neighbor_spearman_xy", "neighbor_spearman_yx"),
}
# The numbers of neighbours: of which measure each is, and the least that it can be.
_NEIGHBORS = {"overlap_k": ("neighborhood_overlap", 1), "spearman_k": ("neighbor_spearman", 2)}
FORMS, DTYPES = ("rank", "count"), ("float32", "float64", None)
# Arrays of the size of a block of rows that there are while it is measured.
_ARRAYS = 12


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the numbers of a comparison depend on beside the representations.

    Args:
        measures: As for `compare`, as all arguments.
        form: Form of the information imbalance.
        overlap_k: Number of neighbours of the overlap.
        spearman_k: Number of neighbours of the rank correlation.
        dtype: To compute in; `None` is what each representation needs.

    Raises:
        ValueError: If one is none of what `compare` takes.
    """

    measures: Sequence[str] = tuple(MEASURES)
    form: str = "rank"
    overlap_k: int = 30
    spearman_k: int = 100
    dtype: str | None = None

    def __post_init__(self):
        listed = isinstance(self.measures, Sequence) and not isinstance(self.measures, str)
        measures = tuple(self.measures) if listed else ()
        if not measures or any(measure not in tuple(MEASURES) for measure in measures):
            raise ValueError(
                f"`measures` must be a list of one or more of {', '.join(MEASURES)}. Received: "
                f"measures={self.measures!r}"
            )
        object.__setattr__(self, "measures", tuple(measure for measure in MEASURES if measure in measures))
        for name, known in {"form": FORMS, "dtype": DTYPES}.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(str, known))}. Received: {name}={getattr(self, name)!r}"
                )
        for name, (measure, least) in _NEIGHBORS.items():
            k = getattr(self, name)
            if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < least:
                raise ValueError(
                    f"`k` of {measure} (`{name}` of `compare`) must be a whole number from {least} on. Received: {k!r}"
                )

    def as_dict(self) -> dict:
        """The settings as JSON holds them."""
        return {**dataclasses.asdict(self), "measures": list(self.measures)}

    @property
    def neighbors(self) -> dict[str, int]:
        """How many neighbours each measure takes that takes any."""
        taken = {measure: getattr(self, name) for name, (measure, _) in _NEIGHBORS.items()}
        return {measure: k for measure, k in {"information_imbalance": 1, **taken}.items() if measure in self.measures}

    def check_points(self, count: int):
        """Refuses numbers of neighbours that so many points do not have."""
        for name, (measure, least) in _NEIGHBORS.items():
            if measure in self.measures and getattr(self, name) >= count:
                raise ValueError(
                    f"`k` of {measure} (`{name}` of `compare`) must be a whole number from {least} to {count - 1}, "
                    f"below the number of points. Received: {getattr(self, name)}"
                )


def as_points(name: str, features, settings: Settings, strategy: Strategy | None = None) -> Points:
    """Makes a representation ready to be compared.

    Args:
        name: What an error calls it.
        features: As `compare` takes them.
        settings: How it will be compared.
        strategy: As for `compare`.

    Returns:
        Its `Points`.

    Raises:
        ValueError: As `compare`.
    """
    parts = [_as_array(name, part) for part in (features if isinstance(features, tuple) and features else [features])]
    counts = sorted({len(part) for part in parts})
    if len(counts) > 1 or counts[0] < 3:
        raise ValueError(f"{name} must have at least three points, in all its parts. Received: {counts} points")
    settings.check_points(counts[0])
    return Points(name, parts, settings.dtype, strategy)


def compare_points(
    x: Points, y: Points, settings: Settings, plan: Plan, strategy: Strategy | None = None
) -> dict[str, float]:
    """Computes what `compare` does, of representations that are ready for it.

    Args:
        x: One.
        y: The other.
        settings: How they are compared.
        plan: How their Gram matrices are made.
        strategy: As for `compare`.

    Returns:
        As `compare`.

    Raises:
        ValueError: If they have different points.
    """
    if x.count != y.count:
        raise ValueError(f"{x.name} and {y.name} must have the same points. Received: {x.count} and {y.count} of them")
    blocks = list(_blocks_of_rows(x, y, settings, plan, strategy))
    values = {}
    for measure in settings.measures:
        of_rows = [np.concatenate(parts) for parts in zip(*(block[measure] for block in blocks), strict=True)]
        values |= zip(MEASURES[measure], _NUMBERS[measure](of_rows, x, y, settings), strict=True)
    return values


def itemsize(x: Points, y: Points) -> int:
    """Bytes of a number where two representations are compared: of the wider one's, where they differ."""
    return max(x.squares.itemsize, y.squares.itemsize)


def _blocks_of_rows(x: Points, y: Points, settings: Settings, plan: Plan, strategy) -> Iterator[dict]:
    """What the rows of each block give for each measure."""
    known = [(points.squares, points.first) for points in (x, y)]
    twins = tuple(first is not None for _, first in known)
    given = [value for pair in known for value in pair if value is not None]
    of_block = spread(_row_function(settings, twins), strategy)
    size = max(1, plan.measured // (_ARRAYS * x.count * itemsize(x, y)))
    start = 0
    for strips in zip(x.strips(plan), y.strips(plan), strict=True):
        rows = range(0, len(strips[0]), size)
        tasks = ((*(strip[row : row + size] for strip in strips), start + row, *given) for row in rows)
        yield from of_block(tasks)
        start += len(strips[0])


@functools.lru_cache(maxsize=64)
def _row_function(settings: Settings, twins: tuple[bool, bool]):
    """What some rows of two Gram matrices, from row `start` on, give for each measure, as TensorFlow traces it.

    The function takes the squares of the points of either too, and their first equals where it has twins.
    """

    def function(gram_x, gram_y, start, *given):
        wide = tf.float64 if tf.float64 in (gram_x.dtype, gram_y.dtype) else tf.float32
        gram_x, gram_y = tf.cast(gram_x, wide), tf.cast(gram_y, wide)
        given, rows = iter(given), start + tf.range(tf.shape(gram_x)[0])
        known_x, known_y = ((tf.cast(next(given), wide), next(given) if has_twins else None) for has_twins in twins)
        block = _Block(gram_x, gram_y)
        if settings.neighbors:
            most = max(settings.neighbors.values())
            block.close_x, block.close_y = (
                closeness(gram_x, rows, *known_x),
                closeness(gram_y, rows, *known_y),
            )
            block.near_x, block.near_y = nearest(block.close_x, most), nearest(block.close_y, most)
        return {measure: _OF_BLOCK[measure](block, settings.neighbors.get(measure)) for measure in settings.measures}

    return function


@dataclasses.dataclass
class _Block:
    """Rows of the Gram matrices of two representations, and what follows from them for all measures of neighbours."""

    gram_x: tf.Tensor
    gram_y: tf.Tensor
    close_x: tf.Tensor | None = None
    close_y: tf.Tensor | None = None
    near_x: tf.Tensor | None = None
    near_y: tf.Tensor | None = None


# Of a block and the number of neighbours: what each row gives for a measure.
_OF_BLOCK = {
    "information_imbalance": lambda b, k: (
        nearer(b.near_x, b.close_y),
        nearer(b.near_y, b.close_x),
    ),
    "cka": lambda b, k: kernel_sums(b.gram_x, b.gram_y),
    "neighborhood_overlap": lambda b, k: (shared(b.near_x[:, :k], b.near_y[:, :k]),),
    "neighbor_spearman": lambda b, k: (
        rank_correlation(b.near_x[:, :k], b.close_x, b.close_y),
        rank_correlation(b.near_y[:, :k], b.close_y, b.close_x),
    ),
}
# Of what the rows of all points gave: the numbers of a measure, in the order of `MEASURES`.
_NUMBERS = {
    "information_imbalance": lambda rows, x, y, s: (
        imbalance(rows[0], s.form),
        imbalance(rows[1], s.form),
    ),
    "cka": lambda rows, x, y, s: (biased_cka(rows), unbiased_cka(rows, x.squares, y.squares)),
    "neighborhood_overlap": lambda rows, x, y, s: (overlap(rows[0], s.overlap_k),),
    "neighbor_spearman": lambda rows, x, y, s: (
        mean_correlation(rows[0]),
        mean_correlation(rows[1]),
    ),
}


def _as_array(name: str, features):
    """Features that give NumPy arrays for slices of points."""
    if hasattr(features, "toarray"):
        raise ValueError(f"{name} must be dense. Received: a sparse {type(features).__name__}; take its toarray()")
    if isinstance(features, keras.KerasTensor):
        raise ValueError(f"{name} must be the features of some points. Received: {features}, which has no values yet")
    if tf.is_tensor(features) or keras.ops.is_tensor(features):
        features = keras.ops.convert_to_numpy(features)
    if not (hasattr(features, "shape") and hasattr(features, "dtype")):
        try:
            features = np.asarray(features)
        except ValueError as error:
            raise ValueError(f"{name} must have as many features for each point. Received: {error}") from error
    numeric = features.dtype.kind in "fiub" or features.dtype == tf.bfloat16.as_numpy_dtype
    if len(features.shape) < 2 or 0 in features.shape[1:] or not numeric:
        raise ValueError(
            f"{name} must be an array of numbers (points, features), with features. Received: shape "
            f"{tuple(features.shape)}, dtype {features.dtype}"
        )
    return features
