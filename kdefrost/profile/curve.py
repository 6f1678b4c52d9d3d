"""The curve over depth: what the scores of some cuts say of all of them, and what one more score may be worth."""

import dataclasses

import numpy as np
from scipy import stats

from kdefrost.profile.choice import fit_blocks

# Of the recorded situations of docs/search.md that fixed the policy. Depth runs from 0 to 1 over the cuts; so far
# apart they tell little of each other.
_REACH = 0.5
# How far the curve may go from its mean, in standard deviations of the tried cuts' means.
_AMPLITUDE = 2.0
# Before two scores of one cut say how large the noise is, it is taken for so large a share of that deviation, which
# weighs as much as so many degrees of freedom.
_NOISE, _NOISE_FREEDOM = 1.0, 2
# How far blocks are apart, in deviations of the noise.
_BLOCKS = 3.0
# Equally probable values of a normal variable.
_QUANTILES = stats.norm.ppf((np.arange(401) + 0.5) / 401)


@dataclasses.dataclass(frozen=True)
class Curve:
    """What is believed of the cuts' means after some scores.

    Attributes:
        mean: The mean score over the tried blocks that is expected at each cut `(cuts,)`.
        deviation: Its standard deviation `(cuts,)`.
        tried: Whether a cut has a score `(cuts,)`.
        noise: Standard deviation of one score about its cut and block.
        expected: The score that is expected of each block at each cut `(blocks, cuts)`.
        moves: `(blocks, cuts, cuts)`: how far a score of a block at a cut, a deviation above what is expected,
            would move the mean of each cut. Of a block without any score it is as if what its scores have in
            common were known, which two of them tell.
    """

    mean: np.ndarray
    deviation: np.ndarray
    tried: np.ndarray
    noise: float
    expected: np.ndarray
    moves: np.ndarray

    def gain(self, block: int, cut: int) -> float:
        """By how much one more score is expected to better the mean of the best tried cut.

        This is the knowledge gradient of correlated beliefs (Frazier, Powell & Dayanik, 2009, "The knowledge-gradient
        policy for correlated normal beliefs"), where what is chosen in the end is one of the cuts that were tried.

        Args:
            block: The row of the score.
            cut: Its column.

        Returns:
            The gain, from 0 on, in units of the score.
        """
        among = self.tried.copy()
        among[cut] = True
        after = self.mean[among] + _QUANTILES[:, None] * self.moves[block, cut, among]
        return max(0.0, float(after.max(axis=1).mean() - self.mean[self.tried].max()))


def curve_over_depth(scores: np.ndarray) -> Curve:
    """Fits a curve over the cuts to scores of some of them.

    It is a Gaussian process: neighbouring cuts score alike, all scores of a block have a part in common, and each
    has its own noise, whose size comes of the scores. The kernel is Matérn's with ν = 3/2.

    Args:
        scores: Array `(blocks, cuts)`, more being better, NaN where untried; one score at least is finite. Those of
            diverged trainings, −∞, are taken for as bad as the worst of the others.

    Returns:
        The `Curve`.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

    scores = np.where(np.isneginf(scores), scores[np.isfinite(scores)].min(), scores)
    blocks, cuts = scores.shape
    rows, columns = np.nonzero(np.isfinite(scores))
    scale, noise = _sizes(scores)
    # One kernel sees the depth alone, the other tells blocks apart: lengths beyond all distances, or below them.
    of_depth = ConstantKernel((_AMPLITUDE * scale) ** 2) * Matern((_REACH, 1e6), nu=1.5)
    of_blocks = ConstantKernel((_BLOCKS * noise) ** 2) * RBF((1e6, 1e-3))
    process = GaussianProcessRegressor(of_depth + of_blocks, alpha=noise**2, optimizer=None)
    depth = np.linspace(0.0, 1.0, cuts)
    centre = np.nanmean(fit_blocks(scores).mean)
    process.fit(np.stack([depth[columns], rows], axis=1), scores[rows, columns] - centre)
    everywhere = np.stack([np.tile(depth, blocks), np.repeat(np.arange(blocks), cuts)], axis=1)
    mean, covariance = process.predict(everywhere, return_cov=True)
    # The cut's mean is that over the blocks that were tried.
    tried = np.isfinite(scores).any(axis=1)
    averaging = np.kron(tried / tried.sum(), np.eye(cuts))
    between = averaging @ covariance
    of_means = between @ averaging.T
    moves = (between / np.sqrt(np.diag(covariance) + noise**2)).T.reshape(blocks, cuts, cuts)
    moves[~tried] = (of_means / np.sqrt(np.diag(of_means) + noise**2)).T
    return Curve(
        mean=centre + averaging @ mean,
        deviation=np.sqrt(np.maximum(0.0, np.diag(of_means))),
        tried=np.isfinite(scores).any(axis=0),
        noise=noise,
        expected=centre + mean.reshape(blocks, cuts),
        moves=moves,
    )


def _sizes(scores: np.ndarray) -> tuple[float, float]:
    """The standard deviations of the cuts' means and of the noise."""
    fit = fit_blocks(scores)
    squares = fit.variance * fit.freedom if fit.freedom else 0.0
    # Scores that are all equal, or only one, have no scale of their own.
    least = 1e-6 * max(1.0, float(np.nanmax(np.abs(scores))))
    scale = max(float(np.nanstd(fit.mean)), least)
    noise = np.sqrt((_NOISE_FREEDOM * (_NOISE * scale) ** 2 + squares) / (_NOISE_FREEDOM + fit.freedom))
    return max(scale, float(noise)), float(noise)
