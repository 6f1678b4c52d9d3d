"""The plan of a profile: which trials it has, on which examples, and what they cost."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kdefrost.cuts import Cut
from kdefrost.features import RECOMPUTE, held_bytes
from kdefrost.recipe import Recipe
from kdefrost.tasks import Task

# Told apart in the seeds, so that no two draws share a stream.
SUBSET, INITIALISATION, ORDER, SAMPLE = range(4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a profile would run.

    Attributes:
        cuts: The cuts.
        trials: `(cut index, per_class, seed)` of each trial that is missing.
        recipe: The recipe of the trials.
        task: What the tails are trained for.
        examples: By trial, the number of examples that it is trained on.
        trained: Number of different examples that some trial is trained on.
        evaluated: Number of examples that each trial is evaluated on.
        places: By cut index, where its features are, one of `features.PLACES`.
        feature_dtype: One of `features.FEATURE_DTYPES`, in which they are held.
    """

    cuts: tuple[Cut, ...]
    trials: tuple[tuple[int, int, int], ...]
    recipe: Recipe
    task: Task
    examples: dict[tuple[int, int, int], int]
    trained: int
    evaluated: int
    places: dict[int, str]
    feature_dtype: str

    def training_flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of training one trial: forward, and twice that backward."""
        return 2 * (3 * self._tail(trial) + self._again(trial)) * self.examples[trial] * self.recipe.epochs

    def flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of one trial, evaluation included."""
        return self.training_flops(trial) + 2 * (self._tail(trial) + self._again(trial)) * self.evaluated

    def feature_bytes(self, cut: Cut) -> int:
        """Bytes of all features at a cut."""
        return held_bytes(cut, self.feature_dtype) * (self.trained + self.evaluated)

    def held_at(self, cut: Cut) -> Cut | None:
        """The cut whose features a trial at `cut` starts from; `None` where it starts from the images."""
        kept = [c for c in self.cuts if c.index <= cut.index and self.places[c.index] != RECOMPUTE]
        return kept[-1] if kept else None

    def _tail(self, trial) -> int:
        return self._cut(trial).tail_multiply_adds

    def _again(self, trial) -> int:
        """Multiply-adds of the frozen layers that run anew at each step."""
        cut = self._cut(trial)
        held = self.held_at(cut)
        return (cut.multiply_adds if held is None else held.tail_multiply_adds) - cut.tail_multiply_adds

    def _cut(self, trial) -> Cut:
        return next(cut for cut in self.cuts if cut.index == trial[0])


def subset(groups: np.ndarray, per_class: int, seed: int, stream: int = SUBSET) -> np.ndarray:
    """Draws a set with as many examples of each class.

    Args:
        groups: The class of each example `(examples,)`.
        per_class: Number of examples per class.
        seed: Seed of the draw; for one seed a larger set contains the smaller ones.
        stream: Which of the draws of a seed.

    Returns:
        The indices of the examples, sorted.
    """
    chosen = []
    for label in np.unique(groups):
        rng = np.random.default_rng((stream, seed, int(label)))
        chosen.append(rng.permutation(np.flatnonzero(groups == label))[:per_class])
    return np.sort(np.concatenate(chosen))


def draw_test_sample(groups: dict[str, np.ndarray], per_class: int | None, seed: int) -> np.ndarray | None:
    """Draws the rows of the test set that a seed is scored on.

    Args:
        groups: The class of each example, by the name of the set.
        per_class: Largest number of examples per class; `None` for all examples.
        seed: Seed of the draw.

    Returns:
        The indices of the examples, as many of each class; `None` for all examples.
    """
    if per_class is None or "test" not in groups:
        return None
    smallest = int(np.unique(groups["test"], return_counts=True)[1].min())
    return subset(groups["test"], min(per_class, smallest), seed, stream=SAMPLE)


def as_sizes(values: int | Sequence[int], name: str = "per_class") -> list[int]:
    """The numbers of examples per class, in order, from one or several."""
    values = [values] if isinstance(values, (int, np.integer)) else list(values)
    if not values or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in values):
        raise ValueError(f"`{name}` must be whole numbers, at least 1. Received: {name}={values}")
    return sorted({int(value) for value in values})


def as_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds, from their number or a list."""
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(seeds))
    if isinstance(seeds, Sequence) and seeds and all(isinstance(s, (int, np.integer)) and s >= 0 for s in seeds):
        return sorted({int(seed) for seed in seeds})
    raise ValueError(f"`seeds` must be a number of repeats, at least 1, or a list of seeds. Received: seeds={seeds!r}")
