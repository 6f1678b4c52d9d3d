"""Which cut is best, and which are not told apart from it: what blocks of paired scores say.

A block is what cuts are compared within: a seed, or a fold of a seed, for which all cuts see the same examples.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.sparse.csgraph import connected_components

from kdefrost.arguments import check_number
from kdefrost.cutting.cut import Cut


class BlockFit(NamedTuple):
    """What a randomised block design says of cuts: score = cut + block + noise, by least squares.

    Attributes:
        mean: What each cut's mean over all blocks would be `(cuts,)`, which is that of its scores where none is
            missing; NaN where untried, −∞ where a training diverged.
        spread: `(cuts, cuts)`, the variance of the difference of two of these means, in units of the noise's; 2 / n
            where both have the same n blocks; infinite where they have none in common, by others either.
        variance: Variance of the noise, NaN where there are no more scores than cuts and blocks take.
        freedom: Degrees of freedom of it.
    """

    mean: np.ndarray
    spread: np.ndarray
    variance: float
    freedom: int


def fit_blocks(scores: np.ndarray) -> BlockFit:
    """Fits cuts and blocks to scores, of which any may be missing.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried.

    Returns:
        The `BlockFit`.
    """
    diverged, tried = np.isneginf(scores).any(axis=0), ~np.isnan(scores).all(axis=0)
    cuts = np.flatnonzero(tried & ~diverged)
    rows, columns = np.nonzero(np.isfinite(scores[:, cuts]))
    blocks, rows = np.unique(rows, return_inverse=True)
    design = np.hstack([np.eye(len(cuts))[columns], np.eye(len(blocks))[rows]])
    values = scores[:, cuts][blocks[rows], columns]
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    effects = inverse @ design.T @ values
    freedom = len(values) - int(np.linalg.matrix_rank(design)) if len(values) else 0
    squares = np.square(values - design @ effects).sum()
    mean, spread = np.where(diverged, -np.inf, np.nan), np.full((len(tried),) * 2, np.nan)
    mean[cuts] = effects[: len(cuts)] + (effects[len(cuts) :].mean() if len(blocks) else 0.0)
    covariance = inverse[: len(cuts), : len(cuts)]
    own = np.diag(covariance)
    pairs = own[:, None] + own[None, :] - 2 * covariance
    # Cuts that no chain of blocks in common joins cannot be compared.
    _, parts = connected_components(design.T @ design)
    pairs[parts[: len(cuts), None] != parts[None, : len(cuts)]] = np.inf
    spread[np.ix_(cuts, cuts)] = pairs
    return BlockFit(mean, spread, squares / freedom if freedom else np.nan, freedom)


def best_column(scores: np.ndarray) -> int:
    """The column with the best mean over all blocks (see `fit_blocks`); of equal ones the last, with the smallest tail.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried.

    Returns:
        The column.
    """
    mean = fit_blocks(scores).mean
    return int(np.flatnonzero(_reaches(mean, np.nanmax(mean)))[-1])


def column_of(cuts: Sequence[Cut], cut: Cut) -> int:
    """The place of a cut among those of a profile; a `ValueError` where it is none of them."""
    if cut not in cuts:
        raise ValueError(f"`cut` must be a Cut of the profile, such as profile.cuts[0]. Received: cut={cut!r}")
    return cuts.index(cut)


def near_best_columns(
    scores: np.ndarray, confidence: float, share_of: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The columns that are not told apart from the best one, itself among them.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried.
        confidence: Confidence of all comparisons together.
        share_of: Gives of numbers of blocks what the variance of a block is multiplied by for that of a mean over so
            many; see `variance_share`.

    Returns:
        Mask `(cuts,)`.

    Raises:
        ValueError: If `confidence` is not above 0 and below 1.
    """
    check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be above 0 and below 1. Received: confidence={confidence}")
    fit, best = fit_blocks(scores), best_column(scores)
    finite = np.isfinite(fit.mean)
    others = int(finite.sum()) - 1
    if others < 1 or not fit.freedom:
        # What cannot be measured tells nothing apart.
        return finite
    quantile = stats.t.ppf(1 - (1 - confidence) / others, fit.freedom)
    # Two means that have not the same blocks differ as two over so many in common would.
    compared = np.isfinite(fit.spread[best]) & (np.arange(len(finite)) != best)
    blocks = 2 / np.where(compared, fit.spread[best], 1.0)
    margin = np.where(compared, quantile * np.sqrt(2 * fit.variance * share_of(blocks)), np.inf)
    return finite & _reaches(fit.mean, fit.mean[best] - margin)


def _reaches(mean: np.ndarray, level) -> np.ndarray:
    """Whether means are at least at a level, but for rounding."""
    return (mean >= level) | np.isclose(mean, level, rtol=1e-9, atol=1e-12)


def variance_share(blocks, folds: int | None, sets: int = 1) -> float:
    """The variance of a mean over blocks, as a share of the variance of one block.

    That is 1 / blocks where these are independent. Folds are not, because what they are trained on overlaps; for
    them it is 1 / blocks + 1 / (folds − 1), the second term being the ratio of examples held out to examples
    trained on (Nadeau & Bengio, 2003, "Inference for the generalization error", section 4.3: the corrected
    resampled t-test).

    Args:
        blocks: Number of blocks, or several in an array.
        folds: Number of folds of a partition; `None` where there are none.
        sets: Number of sets of examples that were drawn anew, over which the second term is divided.

    Returns:
        The share.
    """
    return 1 / blocks + (0 if folds is None else 1 / ((folds - 1) * sets))
