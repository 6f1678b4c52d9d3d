"""Whether features differ from example to example, told from some of those that pass from cut to cut."""

import math
from collections.abc import Iterator

import numpy as np

# So many examples, spread evenly over all, tell it; and fewer than the least tell nothing.
_EXAMPLES, _LEAST = 500, 10
# A feature is nearly constant where its deviation is at most this share of the root mean square of all at the cut.
_SHARE = 0.01


class Constancy:
    """Watches features pass, and tells how many of them are nearly constant.

    Args:
        examples: How many examples will pass.
    """

    def __init__(self, examples: int):
        self._step, self._count = max(1, examples // _EXAMPLES), 0
        self._sums: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []

    def watch(self, batches: Iterator[tuple[slice, list]]) -> Iterator[tuple[slice, list]]:
        """Hands batches on as they are, rows and parts, having looked at some examples of each."""
        for rows, parts in batches:
            chosen = [np.asarray(part)[-rows.start % self._step :: self._step] for part in parts]
            # Texts are no numbers to take a mean of.
            self._see([part for part in chosen if part.dtype.kind not in "OSU"])
            yield rows, parts

    def _see(self, parts: list[np.ndarray]):
        if not parts:
            return
        # Of a batch that is smaller than the step there may be none.
        numbers = [part.reshape(len(part), math.prod(part.shape[1:])).astype(np.float64) for part in parts]
        # Infinities of both signs have no sum.
        with np.errstate(invalid="ignore"):
            sums = [each.sum(axis=0) for each in numbers]
            squares = [np.square(each).sum(axis=0) for each in numbers]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._squares = [a + b for a, b in zip(self._squares, squares, strict=True)] if self._squares else squares
        self._count += len(parts[0])

    @property
    def share(self) -> float | None:
        """Share of the features that are nearly constant, of all tensors of the cut; `None` of too few examples."""
        if self._count < _LEAST:
            return None
        # Of NaN and infinity among features nothing is said here; they are no constant.
        with np.errstate(invalid="ignore", over="ignore"):
            return float(np.concatenate(list(map(self._are_constant, self._sums, self._squares))).mean())

    def _are_constant(self, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
        mean, of_squares = sums / self._count, squares / self._count
        deviation = np.sqrt(np.maximum(of_squares - np.square(mean), 0))
        return deviation <= _SHARE * np.sqrt(of_squares.mean())
