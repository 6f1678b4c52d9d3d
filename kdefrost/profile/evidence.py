"""What scores can tell: what a guess scores, how exact a set of so many examples is, whether cuts are told apart."""

import math
from typing import NamedTuple

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.sizes import trained_on

_SHARES = ("accuracy", "binary_accuracy")


class Chance(NamedTuple):
    """What a guess scores.

    Attributes:
        score: The score that is expected of it.
        error: Its standard error on the examples that are scored; `None` where their number is not known.
        how: How the guess is made, in words.
    """

    score: float
    error: float | None
    how: str


def chance(profile: DefrostProfile, per_class: int | None) -> Chance | None:
    """What a guess scores by the objective, for accuracy, balanced accuracy and AUC of classes.

    An accuracy p of n examples that are guessed independently has the binomial standard error √(p (1 − p) / n), a
    balanced accuracy √(Σ p (1 − p) / nₖ) / K over the nₖ of K classes, and the AUC of n₀ and n₁ examples
    √((n₀ + n₁ + 1) / (12 n₀ n₁)) (Mann & Whitney, 1947), of several classes the mean of each against the others.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.

    Returns:
        The `Chance`, `None` where it is not known.
    """
    name, units = profile.objective.name, profile.task.get("units")
    if not profile.has_classes or not units or name not in (*_SHARES, "balanced_accuracy", "auc"):
        return None
    counts = _scored_counts(profile, per_class)
    # One unit stands for a label that holds or not.
    classes = max(2, units) if counts is None else len(counts)
    if name == "auc":
        score, error, how = 0.5, _of_auc(counts), "a guess"
    elif name == "balanced_accuracy" or counts is None:
        score, how = 1 / classes, "a guess"
        error = None if counts is None else math.sqrt((score * (1 - score) / counts).sum()) / classes
    else:
        score, how = counts.max() / counts.sum(), "naming the most frequent class each time"
        error = math.sqrt(score * (1 - score) / counts.sum())
        how = "a guess" if counts.min() == counts.max() else how
    return Chance(float(score), error, how)


def score_error(profile: DefrostProfile, score: float) -> float | None:
    """The standard error that the number of examples leaves an accuracy on the set that chooses.

    Args:
        profile: The profile.
        score: The accuracy, of which that of n examples is √(p (1 − p) / n).

    Returns:
        The error, the same for all seeds; `None` where another metric chooses, or sets that differ from seed to seed
        or fold to fold, or their number is not known.
    """
    on = profile.chosen_on
    sampled = on == "test" and profile.task.get("test_per_class")
    if profile.folds is not None or sampled or profile.objective.name not in (*_SHARES, "balanced_accuracy"):
        return None
    count = facts(profile).get("examples", {}).get(on)
    # Of no accuracy, which a file may hold, there is none either.
    return math.sqrt(score * (1 - score) / count) if count and 0 <= score <= 1 else None


def nothing_told_apart(profile: DefrostProfile, per_class: int | None = None) -> bool:
    """Whether several cuts were tried with several seeds or folds, and none is told apart from the best.

    With one seed nothing could be told apart, which says nothing of the cuts.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.
    """
    if not profile.is_scored(per_class):
        return False
    scores = profile.scores(per_class, profile.chosen_on)
    tried = ~np.isnan(scores).all(axis=0)
    return bool(
        tried.sum() > 1
        and np.isfinite(scores).sum(axis=0).max() > 1
        and len(profile.near_best_cuts(per_class)) == tried.sum()
    )


def deepest_as_good(profile: DefrostProfile, per_class: int | None = None) -> Cut:
    """The last tried cut whose mean is within a standard error of the best, of the difference between the two.

    The rule of one standard error (Breiman et al., 1984, section 3.4.3): of what is as good, the simplest.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.

    Returns:
        The `Cut`, whose tail is the smallest of all such.
    """
    best = profile.best_cut(per_class)

    def is_as_good(cut: Cut) -> bool:
        lost, error = profile.gain(per_class, best, cut)
        return cut is best or profile.objective.sign * lost <= error

    return [cut for cut in profile.near_best_cuts(per_class) if is_as_good(cut)][-1]


def facts(profile: DefrostProfile) -> dict:
    """What the run kept of the data and of its trainings; see `profile.facts`."""
    return profile.configuration.get("facts", {})


def _scored_counts(profile: DefrostProfile, per_class: int | None) -> np.ndarray | None:
    """Numbers of examples of each class that scores are of, `None` where they are not known."""
    on = profile.reported_on
    by_folds = on == "validation" and profile.folds is not None
    counts = facts(profile).get("classes", {}).get("train" if by_folds else on)
    if counts is None:
        return None
    counts = np.array(counts, float)
    sample = profile.task.get("test_per_class")
    if by_folds and per_class is not None:
        counts = np.full(len(counts), trained_on(profile, per_class) / len(counts))
    elif on == "test" and sample:
        counts = np.full(len(counts), min(sample, counts[counts > 0].min()))
    # Metrics leave out the classes of which there is no example.
    return counts[counts > 0] if len(counts[counts > 0]) > 1 else None


def _of_auc(counts: np.ndarray | None) -> float | None:
    """The standard error of the AUC of a guess."""
    if counts is None:
        return None
    others = counts.sum() - counts
    return float(np.sqrt((counts.sum() + 1) / (12 * counts * others)).mean())
