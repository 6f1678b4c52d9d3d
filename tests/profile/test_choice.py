"""Means over folds: the corrected variance, by hand and as a special case of what seeds have."""

import numpy as np
import pytest

from kdefrost.profile.choice import best_column, fit_blocks, near_best_columns, variance_share
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.trial import Trial
from kdefrost.training.tasks import Objective


def _profile(cuts, scores, per_class=None):
    """A profile of scores `(seeds, repeats, folds, cuts)` on the folds."""
    trials = [
        Trial(cuts[at[3]].index, per_class, at[0], None, {"accuracy": score}, 1.0, at[1], at[2])
        for at, score in np.ndenumerate(scores)
    ]
    return DefrostProfile(tuple(cuts), tuple(trials), Objective("accuracy", "max"))


@pytest.fixture
def cuts(residual_cuts):
    return residual_cuts[:3]


def test_the_share_of_the_variance_by_hand():
    assert variance_share(4, None) == 0.25
    # 5 folds hold out a quarter of what they train on.
    assert variance_share(5, 5) == pytest.approx(1 / 5 + 1 / 4)
    assert variance_share(10, 5) == pytest.approx(1 / 10 + 1 / 4)
    # Three sets of examples drawn anew, with a partition of each.
    assert variance_share(15, 5, sets=3) == pytest.approx((1 / 5 + 1 / 4) / 3)


def test_the_standard_error_over_folds_by_hand(cuts):
    scores = np.array([0.5, 0.6, 0.7, 0.8])[None, None, :, None] + np.zeros(3)
    profile = _profile(cuts, scores)
    # The variance of 0.5 … 0.8 is 0.05 / 3; 4 folds: 1/4 + 1/3 of it.
    np.testing.assert_allclose(profile.standard_error(on="validation"), np.sqrt(0.05 / 3 * (1 / 4 + 1 / 3)))
    assert profile.folds == 4 and profile.seeds == [0] and profile.blocks[0] == (0, 0, 0)


def test_more_repeats_do_not_make_the_examples_more(cuts):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1, 200, 4, 3))
    profile = _profile(cuts, scores)
    expected = np.sqrt(scores.reshape(-1, 3).var(axis=0, ddof=1) * (1 / 800 + 1 / 3))
    np.testing.assert_allclose(profile.standard_error(on="validation"), expected)


def test_seeds_that_draw_their_own_examples_do(cuts):
    scores = np.random.default_rng(0).normal(size=(5, 1, 4, 3))
    all_of_them, drawn = (_profile(cuts, scores, size).standard_error(size, "validation")[0] for size in (None, 16))
    assert drawn < all_of_them
    assert drawn == pytest.approx(np.sqrt(scores.reshape(-1, 3)[:, 0].var(ddof=1) * (1 / 20 + 1 / 3 / 5)))


def test_a_gain_is_paired_within_folds(cuts):
    level = np.array([0.1, 0.5, 0.9])[:, None]
    profile = _profile(cuts, (level + np.array([0.0, 0.0, 0.05]))[None, None])
    gain, error = profile.gain(None, cuts[2], cuts[0])
    assert gain == pytest.approx(0.05) and error == pytest.approx(0, abs=1e-9)
    assert profile.near_best_cuts() == [cuts[2]] and profile.best_cut() == cuts[2]


def test_folds_widen_the_margin():
    scores = np.array([[0.50, 0.70, 0.72], [0.50, 0.70, 0.70]])
    # By hand in test_profile: a margin of 0.0351 with a share of 1/2; of two folds it is 3/2.
    scores = scores - np.array([0, 0.03, 0])
    apart = [near_best_columns(scores, 0.95, lambda blocks, by=by: by / blocks).tolist() for by in (1, 3)]
    assert apart == [[False, False, True], [False, True, True]]
    assert best_column(scores) == 2


def test_a_complete_table_has_its_means_and_the_variance_of_two_ways():
    scores = np.random.default_rng(0).random((4, 5))
    fit = fit_blocks(scores)
    np.testing.assert_allclose(fit.mean, scores.mean(axis=0))
    residuals = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    assert (fit.freedom, fit.variance) == (12, pytest.approx(np.square(residuals).sum() / 12))
    np.testing.assert_allclose(fit.spread, 2 / 4 * (1 - np.eye(5)), atol=1e-12)


def test_what_blocks_have_in_common_is_taken_out_where_scores_are_missing():
    """Without noise, what is missing is known from the rest."""
    cuts, blocks = np.array([0.1, 0.5, 0.4, 0.3]), np.array([[0.0], [0.3], [-0.2]])
    scores = cuts + blocks
    for missing in ([(0, 1)], [(1, 0), (2, 0)], [(0, 3), (1, 2), (2, 1)]):
        partial = scores.copy()
        partial[tuple(zip(*missing, strict=True))] = np.nan
        np.testing.assert_allclose(fit_blocks(partial).mean, scores.mean(axis=0))
        assert fit_blocks(partial).variance == pytest.approx(0, abs=1e-20)
    # A block that is ever so good but lacks a cut moves all means alike.
    np.testing.assert_allclose(np.diff(fit_blocks(np.vstack([scores, [9, 9.4, 9.3, np.nan]])).mean), np.diff(cuts))


def test_the_variance_of_a_difference_by_hand_where_a_score_is_missing():
    """Cut 0 has blocks 0 and 1, cuts 1 and 2 have 0 alone and all: the least squares of three cells by hand.

    Of cuts 0 and 2 the difference is that of both blocks, 2 / 2. Cut 1 has block 0 only, where the other two say what
    the block is: cut 1 less cut 2 is y₀₁ − y₀₂ − ¼ (…) with weights 1, −¾, −¼, −¼ and ¼, variance 1 + 12/16 = 1.75.
    """
    scores = np.array([[0.3, 0.6, 0.5], [0.2, np.nan, 0.45]])
    fit = fit_blocks(scores)
    assert fit.spread[0, 2] == pytest.approx(1.0) and fit.spread[1, 2] == pytest.approx(1.75)
    weights = np.array([[-0.25, 1.0, -0.75], [0.25, 0.0, -0.25]])
    assert fit.mean[1] - fit.mean[2] == pytest.approx(np.nansum(weights * scores))


def test_cuts_without_a_block_in_common_are_not_told_apart():
    scores = np.full((4, 4), np.nan)
    scores[:2, :2], scores[2:, 2:] = [[0.1, 0.9], [0.1, 0.91]], [[0.5, 0.95], [0.51, 0.95]]
    assert np.isinf(fit_blocks(scores).spread[0, 2])
    best, near = best_column(scores), near_best_columns(scores, 0.95, lambda blocks: 1 / blocks)
    # Of its own blocks' other cut the best one is told apart.
    assert near.tolist() == [column != {1: 0, 3: 2}[best] for column in range(4)]


def test_a_cut_whose_training_diverged_is_worse_than_all():
    fit = fit_blocks(np.array([[0.5, -np.inf, 0.4], [0.6, 0.9, np.nan]]))
    assert fit.mean[1] == -np.inf and fit.mean[0] > fit.mean[2]


def test_no_trial_of_folds_is_the_best_model(cuts):
    with pytest.raises(ValueError, match=r"`Defroster\.best_model` trains one"):
        _profile(cuts, np.zeros((1, 1, 2, 3))).best_trial()


def test_the_only_size_need_not_be_named(cuts):
    profile = _profile(cuts, np.zeros((1, 1, 2, 3)), per_class=7)
    assert profile.size() == 7 and profile.best_cut() == profile.best_cut(7)
    with pytest.raises(ValueError, match=r"no trials with per_class=8; sizes tried: 7\."):
        profile.best_cut(8)


def test_a_profile_of_folds_is_read_again_as_it_was(cuts, tmp_path):
    profile = _profile(cuts, np.random.default_rng(0).random((1, 2, 3, 3)))
    profile.save(tmp_path / "profile.json")
    again = DefrostProfile.load(tmp_path / "profile.json")
    assert again == profile and again.rows()[0][:6] == ["cut", "layer", "per_class", "seed", "repeat", "fold"]
