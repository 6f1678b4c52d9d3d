"""Whether features differ from example to example, told from some of those that pass from cut to cut."""

import math
from collections.abc import Iterator

import numpy as np

# So many examples at most, spread evenly over all, tell it; and fewer than the least tell nothing.
_EXAMPLES, _LEAST = 100, 10
# A feature is nearly constant where its deviation is at most this share of the root mean square of all at the cut.
_SHARE = 0.01


class Constancy:
    """Watches features pass, and tells how many of them are nearly constant.

    Args:
        examples: How many examples will pass.
    """

    def __init__(self, examples: int):
        self._step, self._count = max(1, math.ceil(examples / _EXAMPLES)), 0
        # For each tensor of the cut.
        self._sums: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []

    def watch(self, batches: Iterator[tuple[slice, list]]) -> Iterator[tuple[slice, list]]:
        """Hands batches on as they are, rows and parts, having looked at some examples of each."""
        for rows, parts in batches:
            chosen = (np.asarray(part)[-rows.start % self._step :: self._step] for part in parts)
            # Texts are no numbers to take a mean of. One by one: all of them in float64 take a multiple of the batch.
            for example in zip(*(part for part in chosen if part.dtype.kind not in "OSU"), strict=True):
                self._see([part.astype(np.float64).ravel() for part in example])
            yield rows, parts

    def _see(self, example: list[np.ndarray]):
        if not self._count:
            self._sums = [np.zeros_like(part) for part in example]
            self._squares = [np.zeros_like(part) for part in example]
        # Infinities of both signs have no sum, and numbers near the largest no square.
        with np.errstate(invalid="ignore", over="ignore"):
            for sums, squares, part in zip(self._sums, self._squares, example, strict=True):
                sums += part
                squares += np.square(part)
        self._count += 1

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
