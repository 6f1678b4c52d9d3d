"""Which examples a trial sees: subsets of the training set and samples of the test set, drawn by seeds."""

from collections.abc import Sequence

import numpy as np

# Told apart in the seeds, so that no two draws share a stream.
SUBSET, INITIALISATION, ORDER, SAMPLE = range(4)


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
    values = list(values) if np.iterable(values) else [values]
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
