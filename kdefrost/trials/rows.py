"""Which examples a trial sees: subsets of the training set and their folds, samples of the test set, drawn by seeds."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kdefrost.arguments import as_whole
from kdefrost.training.labels import OR_REGRESSION
from kdefrost.trials.question import Fold

# More repeats are a slip: a seed in the place of their number.
_MOST_SEEDS = 10_000
# Told apart in the seeds, so that no two draws share a stream.
SUBSET, INITIALISATION, ORDER, SAMPLE, PARTITION = range(5)


class Drawn(NamedTuple):
    """Rows of the training set.

    Attributes:
        train: Those to train on.
        held_out: Those of the fold that is held out to choose on; `None` without folds.
    """

    train: np.ndarray
    held_out: np.ndarray | None = None

    @property
    def all(self) -> np.ndarray:
        """All rows of which these are, sorted."""
        return self.train if self.held_out is None else np.sort(np.concatenate(self))


def subset(groups: np.ndarray, per_class: int | None, seed: int, stream: int = SUBSET) -> np.ndarray:
    """Draws a set with as many examples of each class.

    Args:
        groups: The class of each example `(examples,)`.
        per_class: Number of examples per class; `None` for all there are, of unequal classes as many as there are.
        seed: Seed of the draw; for one seed a larger set contains the smaller ones.
        stream: Which of the draws of a seed.

    Returns:
        The indices of the examples, sorted.

    Raises:
        ValueError: If `per_class` is not a positive whole number, or `seed` no whole number from 0.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups) or groups.dtype.kind not in "biu":
        raise ValueError(
            f"`groups` must be whole numbers (examples,), the class of each, at least one. Received: {groups.shape} of "
            f"{groups.dtype}"
        )
    as_whole("seed", seed, least=0)
    if per_class is not None:
        as_whole("per_class", per_class, least=1)
    if per_class is None:
        return np.arange(len(groups))
    chosen = []
    for label in np.unique(groups):
        rng = np.random.default_rng((stream, seed, int(label)))
        chosen.append(rng.permutation(np.flatnonzero(groups == label))[:per_class])
    return np.sort(np.concatenate(chosen))


def hold_out_fold(
    rows: np.ndarray, classes: np.ndarray | None, groups: np.ndarray | None, fold: Fold, seed: int
) -> Drawn:
    """Divides examples into those to train on and those of a fold.

    The folds are scikit-learn's: `StratifiedKFold`, of groups `StratifiedGroupKFold`; where there are no
    classes `KFold` and `GroupKFold`. Shuffled, with another partition for each seed and repeat.

    Args:
        rows: The examples.
        classes: The class of each example of the training set `(examples,)`; `None` where there are none.
        groups: The group of each, which no fold divides; `None` where they are independent.
        fold: Which fold is held out.
        seed: Seed of the partition.

    Returns:
        The `Drawn` rows.

    Raises:
        ValueError: If there are too few examples or groups for so many folds.
    """
    from sklearn import model_selection as sklearn

    state = int(np.random.default_rng((PARTITION, seed, fold.repeat)).integers(2**31))
    stratified = classes is not None
    name = f"{'Stratified' if stratified else ''}{'Group' if groups is not None else ''}KFold"
    splitter = getattr(sklearn, name)(fold.folds, shuffle=True, random_state=state)
    mine = [None if each is None else each[rows] for each in (classes, groups)]
    _check_folds(fold.folds, len(rows), *mine)
    with warnings.catch_warnings():
        # Classes that have fewer examples than folds are refused above; of groups it may warn of them all the same.
        warnings.simplefilter("ignore", UserWarning)
        train, held_out = list(splitter.split(rows, *mine))[fold.number]
    if stratified and not np.isin(mine[0], mine[0][train]).all():
        missing = int(np.setdiff1d(mine[0], mine[0][train])[0])
        raise ValueError(
            f"`groups` must leave some examples of each class when a fold is held out; those of class {missing} are "
            f"all in one of {fold.folds} folds. Give more groups of that class, or leave `groups` out."
        )
    return Drawn(rows[train], rows[held_out])


def _check_folds(folds: int, examples: int, classes: np.ndarray | None, groups: np.ndarray | None):
    """Refuses more folds than examples, than groups, or than the smallest class has."""
    if groups is not None:
        count = len(np.unique(groups))
        if count < folds:
            raise ValueError(
                f"`folds` must be at most {count}, the number of groups in `train`, since no fold divides one. "
                f"Received: folds={folds}"
            )
        for label in [] if classes is None else np.unique(classes):
            if len(np.unique(groups[classes == label])) == 1:
                raise ValueError(
                    f"`groups` must have examples of each class in two groups or more, so that one can be held out; "
                    f"class {label} is in the group {groups[classes == label][0]} alone. Leave `groups` out, or "
                    "give `validation`."
                )
    elif classes is not None:
        labels, counts = np.unique(classes, return_counts=True)
        if counts.min() < folds:
            raise ValueError(
                f"`folds` must be at most {counts.min()}, the number of training examples of class "
                f"{labels[counts.argmin()]}, of which each fold takes its share. Received: folds={folds}."
                f"{OR_REGRESSION}"
            )
    elif examples < folds:
        raise ValueError(
            f"`folds` must be at most {examples}, the number of training examples. Received: folds={folds}"
        )


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


def as_sizes(values: int | Sequence[int] | None, name: str = "per_class") -> list[int | None]:
    """The numbers of examples per class, in order, from one or several; `[None]` for all examples."""
    if values is None:
        return [None]
    values = list(values) if np.iterable(values) else [values]
    if not values or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in values):
        raise ValueError(f"`{name}` must be whole numbers, at least 1. Received: {name}={values}")
    return sorted({int(value) for value in values})


def as_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds, from their number or a list."""
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(as_whole("seeds", seeds, least=1, most=_MOST_SEEDS)))
    if isinstance(seeds, Sequence) and not isinstance(seeds, (str, bytes)) and seeds:
        return sorted({as_whole("seeds", seed, least=0, most=2**63 - 1) for seed in seeds})
    raise ValueError(f"`seeds` must be a number of repeats, at least 1, or a list of seeds. Received: seeds={seeds!r}")


def as_folds(folds: int | None, repeats: int = 1) -> list[Fold | None]:
    """All folds of all repeats; `[None]` where there are no folds."""
    if folds is None:
        return [None]
    for name, value, least in (("folds", folds, 2), ("repeats", repeats, 1)):
        as_whole(name, value, least)
    return [Fold(number, int(folds), repeat) for repeat in range(repeats) for number in range(folds)]
