"""One trial of a profile."""

import dataclasses
import math
from typing import Self

from kdefrost.trials.question import Answer


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of one tail.

    Attributes:
        cut: Index of the cut.
        per_class: Number of training examples per class; `None` for all there are.
        seed: Seed of the subset, the folds, the initialisation and the order.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set, or on the fold that is held out, by metric; `None` without one.
        seconds: Time that training and evaluation took; the first trial of a cut in a run
            also compiles its tail.
        repeat: Which partition into folds, counted from 0; `None` without folds.
        fold: Which fold is held out, counted from 0; `None` without folds.
    """

    cut: int
    per_class: int | None
    seed: int
    test: dict[str, float] | None
    validation: dict[str, float] | None
    seconds: float
    repeat: int | None = None
    fold: int | None = None

    @property
    def key(self) -> tuple[int | None, ...]:
        """`(cut index, per_class, seed)`, and with folds repeat and fold: what tells trials of one profile apart."""
        return self.cut, self.per_class, *self.block

    @property
    def block(self) -> tuple[int, ...]:
        """`(seed,)`, or with folds `(seed, repeat, fold)`, for which all cuts see the same examples in one order."""
        return (self.seed,) if self.fold is None else (self.seed, self.repeat, self.fold)

    @property
    def order(self) -> tuple[float, ...]:
        """What trials are sorted by: their key, all examples there are after every number of them."""
        return self.cut, math.inf if self.per_class is None else self.per_class, *self.block

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The trial that gave an answer."""
        asked, fold = answer.question, answer.question.fold
        at = (None, None) if fold is None else (fold.repeat, fold.number)
        scores = answer.test, answer.validation, answer.seconds
        return cls(asked.cut, asked.per_class, asked.seed, *scores, *at)
