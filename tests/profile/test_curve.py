"""The curve over depth: held to its Gaussian process written out, to what it must not depend on, and to simulation."""

import numpy as np
import pytest

from kdefrost.profile.curve import _AMPLITUDE, _BLOCKS, _REACH, curve_over_depth

SCORES = np.array([[0.2, np.nan, 0.5, np.nan, 0.45, 0.3], [np.nan, np.nan, 0.56, np.nan, 0.49, np.nan]])


def _by_hand(scores, noise, scale):
    """Mean and covariance of the cuts' means over the blocks, by the formulas of a normal distribution."""
    blocks, cuts = scores.shape
    depth = np.linspace(0, 1, cuts)
    block, cut = (each.ravel() for each in np.meshgrid(range(blocks), range(cuts), indexing="ij"))
    apart = np.sqrt(3) * np.abs(depth[cut][:, None] - depth[cut]) / _REACH
    prior = (_AMPLITUDE * scale) ** 2 * (1 + apart) * np.exp(-apart) + (_BLOCKS * noise) ** 2 * (
        block[:, None] == block
    )
    known = np.isfinite(scores.ravel())
    seen = np.linalg.inv(prior[np.ix_(known, known)] + noise**2 * np.eye(known.sum()))
    across = prior[:, known] @ seen
    averaging = np.kron(np.full(blocks, 1 / blocks), np.eye(cuts))
    covariance = prior - across @ prior[known]
    return across, averaging, covariance, known


def test_it_is_the_gaussian_process_by_hand():
    from kdefrost.profile.choice import fit_blocks
    from kdefrost.profile.curve import _sizes

    scale, noise = _sizes(SCORES)
    across, averaging, covariance, known = _by_hand(SCORES, noise, scale)
    centre = np.nanmean(fit_blocks(SCORES).mean)
    curve = curve_over_depth(SCORES)
    expected = centre + across @ (SCORES.ravel()[known] - centre)
    np.testing.assert_allclose(curve.expected.ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(curve.mean, averaging @ expected, rtol=1e-6)
    variances = np.diag(averaging @ covariance @ averaging.T)
    np.testing.assert_allclose(curve.deviation**2, variances, rtol=1e-4)
    # What a score at one place would move, from the covariance of it and the means.
    place = 1 * 6 + 3
    moves = (averaging @ covariance)[:, place] / np.sqrt(covariance[place, place] + noise**2)
    np.testing.assert_allclose(curve.moves[1, 3], moves, rtol=1e-4)


def test_the_gain_is_what_simulated_answers_gain():
    curve, rng = curve_over_depth(SCORES), np.random.default_rng(0)
    for block, cut in ((0, 3), (1, 3), (1, 0)):
        among = curve.tried.copy()
        among[cut] = True
        # Each value and its negative, so that what is linear in it has no noise.
        values = rng.normal(size=(200_000, 1))
        after = curve.mean[among] + np.concatenate([values, -values]) * curve.moves[block, cut, among]
        simulated = after.max(axis=1).mean() - curve.mean[curve.tried].max()
        assert curve.gain(block, cut) == pytest.approx(simulated, rel=0.02, abs=3e-5)


def test_a_score_of_a_block_without_any_counts_as_one_of_the_mean():
    """By itself it would tell next to nothing of the cut, since what the block has in common is unknown."""
    begun = np.vstack([SCORES, np.full(6, np.nan)])
    curve, before = curve_over_depth(begun), curve_over_depth(SCORES)
    np.testing.assert_allclose(curve.moves[:2], before.moves, atol=1e-9)
    variance = curve.deviation[3] ** 2
    assert curve.moves[2, 3, 3] ** 2 == pytest.approx(variance**2 / (variance + curve.noise**2))


def test_it_moves_and_stretches_with_the_scores():
    curve, other = curve_over_depth(SCORES), curve_over_depth(40 * SCORES + 7)
    np.testing.assert_allclose(other.mean, 40 * curve.mean + 7, rtol=1e-6)
    np.testing.assert_allclose(other.deviation, 40 * curve.deviation, rtol=1e-4)
    assert other.gain(1, 3) == pytest.approx(40 * curve.gain(1, 3), rel=1e-4)


def test_backwards_it_is_its_mirror_image():
    curve, other = curve_over_depth(SCORES), curve_over_depth(SCORES[:, ::-1])
    np.testing.assert_allclose(other.mean[::-1], curve.mean, rtol=1e-8)
    np.testing.assert_allclose(other.deviation[::-1], curve.deviation, rtol=1e-6)


def test_an_easy_block_lifts_no_cut():
    """The first block alone has cuts 0 and 5; were it easier, all cuts would be taken for better alike."""
    easier = SCORES + np.array([[0.2], [0.0]])
    differences = [curve_over_depth(scores).mean - curve_over_depth(scores).mean[2] for scores in (SCORES, easier)]
    np.testing.assert_allclose(differences[1], differences[0], atol=0.03)


def test_what_was_not_tried_is_less_sure_the_farther_it_is():
    scores = np.full((1, 9), np.nan)
    scores[0, [6, 8]] = 0.4, 0.6
    deviation = curve_over_depth(scores).deviation
    assert (np.diff(deviation[:6]) < 0).all() and deviation[7] < deviation[5]


@pytest.mark.parametrize(
    "scores", [[[np.nan, 0.5, np.nan]], [[0.5, 0.5, 0.5]], [[0.0]], [[0.0, np.nan], [np.nan, 0.0]]]
)
def test_scores_without_a_scale(scores):
    curve = curve_over_depth(np.array(scores))
    known = np.nanmean(scores)
    np.testing.assert_allclose(curve.mean, known, atol=1e-6)
    assert np.isfinite(curve.deviation).all() and np.isfinite(curve.moves).all()


def test_a_diverged_training_is_as_bad_as_the_worst():
    scores = SCORES.copy()
    scores[0, 1] = -np.inf
    as_worst = np.where(np.isneginf(scores), 0.2, scores)
    np.testing.assert_array_equal(curve_over_depth(scores).mean, curve_over_depth(as_worst).mean)


def test_its_band_holds_the_truth():
    """Of curves drawn from its own prior, with noise: 95 % within two deviations, by simulation."""
    rng, cuts, blocks, noise = np.random.default_rng(0), 8, 3, 0.3
    depth = np.linspace(0, 1, cuts)
    apart = np.sqrt(3) * np.abs(depth[:, None] - depth) / _REACH
    root = np.linalg.cholesky((1 + apart) * np.exp(-apart) + 1e-9 * np.eye(cuts))
    inside = []
    for _ in range(150):
        truth, shared = root @ rng.normal(size=cuts), rng.normal(0, 0.5, (blocks, 1))
        scores = truth + shared + rng.normal(0, noise, (blocks, cuts))
        scores[rng.random(scores.shape) < 0.4] = np.nan
        if np.isfinite(scores).sum() < 4:
            continue
        curve, tried = curve_over_depth(scores), np.isfinite(scores).any(axis=1)
        inside.append(np.abs(truth + shared[tried].mean() - curve.mean) <= 2 * curve.deviation)
    assert 0.9 < np.mean(inside) <= 1
