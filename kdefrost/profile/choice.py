"""Which cut is best, and which are not told apart from it: what blocks of paired scores say.

A block is what cuts are compared within: a seed, or a fold of a seed, for which all cuts see the same examples.
"""

import numpy as np
from scipy import stats

from kdefrost.statistics import mean_over_seeds


def best_column(scores: np.ndarray) -> int:
    """The column with the best mean; of equal ones the last, whose tail is the smallest.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried.

    Returns:
        The column.
    """
    mean = mean_over_seeds(paired(scores))
    return int(np.flatnonzero(mean == np.nanmax(mean))[-1])


def near_best_columns(scores: np.ndarray, confidence: float, share: float) -> np.ndarray:
    """The columns that are not told apart from the best one, itself among them.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried.
        confidence: Confidence of all comparisons together.
        share: What the variance of a block is multiplied by for that of the mean; see `variance_share`.

    Returns:
        Mask `(cuts,)`.
    """
    scores = paired(scores)
    mean = mean_over_seeds(scores)
    finite = np.isfinite(mean)
    return finite & (mean >= np.nanmax(mean) - _margin(scores[:, finite], confidence, share))


def paired(scores: np.ndarray) -> np.ndarray:
    """The blocks that have all tried cuts, if there are any."""
    untried = np.isnan(scores)
    complete = ~untried[:, ~untried.all(axis=0)].any(axis=1)
    return scores[complete] if complete.any() else scores


def variance_share(blocks: int, folds: int | None, sets: int = 1) -> float:
    """The variance of a mean over blocks, as a share of the variance of one block.

    That is 1 / blocks where these are independent. Folds are not, because what they are trained on overlaps; for
    them it is 1 / blocks + 1 / (folds − 1), the second term being the ratio of examples held out to examples
    trained on (Nadeau & Bengio, 2003, "Inference for the generalization error", section 4.3: the corrected
    resampled t-test).

    Args:
        blocks: Number of blocks.
        folds: Number of folds of a partition; `None` where there are none.
        sets: Number of sets of examples that were drawn anew, over which the second term is divided.

    Returns:
        The share.
    """
    return 1 / blocks + (0 if folds is None else 1 / ((folds - 1) * sets))


def _margin(scores: np.ndarray, confidence: float, share: float) -> float:
    """How far below the best of `(blocks, cuts)` a mean may be and not be told apart."""
    blocks, cuts = scores.shape
    if cuts == 1:
        return 0.0
    if blocks == 1 or np.isnan(scores).any():
        return np.inf
    residuals = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    freedom = (blocks - 1) * (cuts - 1)
    variance = np.square(residuals).sum() / freedom
    quantile = stats.t.ppf(1 - (1 - confidence) / (cuts - 1), freedom)
    return float(quantile * np.sqrt(2 * variance * share))
