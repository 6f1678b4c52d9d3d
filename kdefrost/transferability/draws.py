"""Which examples each score is computed on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.transferability.names import IMBALANCE, TAIL_RIDGE, TANGENT_KERNEL
from kdefrost.trials.rows import subset

# Multiply-adds of the forward passes through random tails at all cuts, for one seed: 42 s of one core.
TAIL_MULTIPLY_ADDS = 1.5e12
# The largest number of examples of scores that compare each with each.
COMPARED = 1000


class Sizes(NamedTuple):
    """The largest numbers of examples per class of the scores that take a part of a draw.

    Attributes:
        tail: For the last features of random tails.
        tangent: For the tangent kernel.
        compared: For the Information Imbalance.
    """

    tail: int
    tangent: int
    compared: int

    @classmethod
    def of(cls, cuts: Sequence[Cut], classes: int, tail_examples: int | None = None) -> "Sizes":
        """The sizes for some cuts and classes.

        Args:
            cuts: The cuts that are scored.
            classes: Number of classes.
            tail_examples: Number of examples that go through random tails; by default as many as
                `TAIL_MULTIPLY_ADDS` suffice for.

        Returns:
            The `Sizes`, of two examples of each class at least.
        """
        if tail_examples is None:
            tail_examples = TAIL_MULTIPLY_ADDS // max(1, sum(cut.tail_multiply_adds for cut in cuts))
        tail, compared = (max(2, int(count) // classes) for count in (tail_examples, COMPARED))
        return cls(tail, min(tail, compared), compared)


class Draw(NamedTuple):
    """The rows of one draw of examples: all of it, and the class-balanced parts that some scores take.

    Attributes:
        all: All rows `(examples,)`.
        tail: As for `Sizes`, like the others.
        tangent: Some of `tail`.
        compared: For the Information Imbalance.
    """

    all: np.ndarray
    tail: np.ndarray
    tangent: np.ndarray
    compared: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, rows: np.ndarray, seed: int, sizes: Sizes) -> "Draw":
        """Draws the parts.

        Args:
            labels: The class of each example of a data set.
            rows: Those that were drawn.
            seed: Seed of the parts; for one seed a larger part contains the smaller ones.
            sizes: Their sizes.
        """
        return cls(rows, *(rows[subset(labels[rows], size, seed)] for size in sizes))


def counts(cuts: Sequence[Cut], labels: np.ndarray, rows: np.ndarray) -> dict[str, int]:
    """How many examples of a draw the scores are computed on: all, or those of the scores that take a part.

    Args:
        cuts: The cuts that are scored.
        labels: The class of each example of a data set.
        rows: Those that were drawn.

    Returns:
        The numbers, `"all"` and by the names of these scores.
    """
    return {name: int(each.sum()) for name, each in _by_class(cuts, labels, rows).items()}


def largest_shares(cuts: Sequence[Cut], labels: np.ndarray, rows: np.ndarray, examples: np.ndarray) -> dict[str, float]:
    """The largest share of a class's examples that the scores of a draw are computed on, by the names of `counts`.

    Args:
        cuts: The cuts that are scored.
        labels: The class of each example of those that some draw has.
        rows: Those that were drawn.
        examples: Number of examples of each of these classes in the whole set, in their order.

    Returns:
        The shares, at most 1.
    """
    return {name: float((each / examples).max()) for name, each in _by_class(cuts, labels, rows).items()}


def _by_class(cuts: Sequence[Cut], labels: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """How many examples of each class the scores of a draw are computed on."""
    of_class = np.unique(labels[rows], return_counts=True)[1]
    sizes = Sizes.of(cuts, len(np.unique(labels)))
    parts = {TAIL_RIDGE: sizes.tail, TANGENT_KERNEL: sizes.tangent, IMBALANCE: sizes.compared}
    return {"all": of_class} | {name: np.minimum(of_class, size) for name, size in parts.items()}
