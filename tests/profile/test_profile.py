"""The profile: means, errors, the best cut and what is not told apart from it."""

import csv
import dataclasses

import numpy as np
import pytest

import kdefrost
from kdefrost.profile.choice import fit_blocks


@pytest.fixture
def cuts(residual_cuts):
    return residual_cuts


def make_profile(cuts, scores, on="test", per_class=16, metric="accuracy", direction="max"):
    """A profile from an array (seeds, cuts); NaN where untried."""
    trials = []
    for seed, row in enumerate(scores):
        for cut, score in enumerate(row):
            if np.isfinite(score):
                pair = (score, None) if on == "test" else (1 - score, score)
                test, validation = (None if value is None else {metric: value, "auc": value / 2} for value in pair)
                trials.append(kdefrost.Trial(cut, per_class, seed, test, validation, 1.0))
    objective = kdefrost.Objective(metric, direction)
    return kdefrost.DefrostProfile(cuts, tuple(trials), objective, {"recipe": {"epochs": 3}})


SCORES = np.array([[0.50, 0.60, 0.72, 0.71, 0.40], [0.52, 0.66, 0.74, 0.75, 0.41], [0.51, 0.63, 0.76, 0.70, 0.42]])


def test_means_and_standard_errors_by_hand(cuts):
    profile = make_profile(cuts, SCORES)
    np.testing.assert_array_equal(profile.scores(16), SCORES)
    np.testing.assert_allclose(profile.mean(16), [0.51, 0.63, 0.74, 0.72, 0.41])
    # Three values at distances -d, 0, d scatter by d, their mean by d / √3.
    np.testing.assert_allclose(profile.standard_error(16)[:3], np.array([0.01, 0.03, 0.02]) / np.sqrt(3))


def test_best_and_near_best_cuts_by_hand(cuts):
    scores = np.full((2, 5), np.nan)
    scores[:, [0, 2, 3]] = [[0.50, 0.70, 0.72], [0.50, 0.70, 0.70]]
    profile = make_profile(cuts, scores)
    assert profile.best_cut(16) == cuts[3] and profile.chosen_on == "test"
    # Less the means of cuts (0.50, 0.70, 0.71) and of seeds (0.64, 0.633…), residuals are
    # ∓1/300, ∓1/300, ±2/300: squares of 12/90000 on 2 degrees of freedom, σ² = 6.67e-5. With
    # t(0.975, 2) = 4.303 the margin is 4.303 √(2 · 6.67e-5 / 2) = 0.0351.
    fit = fit_blocks(scores)
    assert (fit.variance, fit.freedom) == (pytest.approx(12 / 90000 / 2), 2)
    assert fit.spread[2, 3] == pytest.approx(2 / 2)
    assert profile.near_best_cuts(16) == [cuts[2], cuts[3]]
    # At 99.9 % t(0.9995, 2) = 31.6, the margin 0.258.
    assert profile.near_best_cuts(16, confidence=0.999) == [cuts[0], cuts[2], cuts[3]]


def test_the_true_best_is_nearly_always_among_the_near_best(cuts):
    """The promise of the confidence, held to by simulation."""
    rng = np.random.default_rng(0)
    truth = np.array([0.50, 0.58, 0.60, 0.59, 0.55])
    simulated = [truth + rng.normal(0, 0.03, (3, 1)) + rng.normal(0, 0.02, (3, 5)) for _ in range(200)]
    hits = [cuts[2] in make_profile(cuts, scores).near_best_cuts(16) for scores in simulated]
    # 95 % of 200, less three standard deviations.
    assert np.mean(hits) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_an_easy_seed_does_not_favour_the_cuts_that_it_has(cuts):
    scores = SCORES + np.array([[0.2], [0.0], [0.0]])
    assert make_profile(cuts, scores).best_cut(16) == cuts[2]
    # Without its easiest seed cut 2 has a plain mean of 0.75, cut 3 one of 0.787.
    scores[0, 2] = np.nan
    assert make_profile(cuts, scores).best_cut(16) == cuts[2]


def test_pairing_tells_apart_what_scatters_together(cuts):
    base = np.array([[0.3], [0.5], [0.7]])
    profile = make_profile(cuts, base + np.array([0.0, 0.01, 0.02, 0.03, 0.04]) + 1e-4 * np.eye(3, 5))
    assert profile.near_best_cuts(16) == [cuts[4]]


def test_with_one_seed_no_cut_is_told_apart(cuts):
    profile = make_profile(cuts, SCORES[:1])
    assert profile.near_best_cuts(16) == list(cuts)
    assert np.isnan(profile.standard_error(16)).all()
    assert "±" not in profile.sentence(16)


def test_validation_chooses_and_test_is_reported(cuts):
    profile = make_profile(cuts, SCORES, on="validation")
    assert profile.chosen_on == "validation"
    assert profile.best_cut(16) == cuts[2]
    np.testing.assert_allclose(profile.mean(16), 1 - SCORES.mean(axis=0))
    assert "26.0 ± 1.2 %" in profile.sentence(16)


def test_untried_trials_are_nan_and_never_best(cuts):
    scores = SCORES.copy()
    scores[1, 3] = np.nan
    scores[:, 2] = np.nan
    profile = make_profile(cuts, scores)
    assert np.isnan(profile.scores(16)[1, 3]) and np.isnan(profile.mean(16)[2])
    assert profile.best_cut(16) == cuts[3]
    assert profile.mean(16)[3] == pytest.approx((0.71 + 0.70) / 2)
    assert cuts[2] not in profile.near_best_cuts(16)
    assert "–" in profile.table().splitlines()[3]


def test_sentence_in_full(cuts):
    # Seed by seed 22, 22 and 25 points: they scatter by √3, their mean by 1; and 32, 33 and 34: their mean by 1 / √3.
    assert make_profile(cuts, SCORES).sentence(16) == (
        "Freeze the first 3 of 10 layers, up to `group1_block1` (cut 2): accuracy 74.0 ± 1.2 %, 23.0 ± 1.0 points "
        "above training from scratch and 33.0 ± 0.6 points above retraining only the output layer; cut 3 is not told "
        "apart from it."
    )


def test_differences_are_paired_over_seeds(cuts):
    profile = make_profile(cuts, SCORES)
    gains = profile.difference(16, cuts[2], cuts[0])
    np.testing.assert_allclose(gains, [0.22, 0.22, 0.25])
    # What all cuts of a seed have in common is not in their differences.
    shifted = make_profile(cuts, SCORES + np.array([[-0.2], [0.0], [0.2]]))
    np.testing.assert_allclose(shifted.difference(16, cuts[2], cuts[0]), gains)
    lacking = SCORES.copy()
    lacking[1, 0] = np.nan
    np.testing.assert_allclose(make_profile(cuts, lacking).difference(16, cuts[2], cuts[0]), [0.22, np.nan, 0.25])
    # Two differences 0.03 apart: their mean is 0.235, its error half their distance.
    assert "23.5 ± 1.5 points above training from scratch" in make_profile(cuts, lacking).sentence(16)


def test_sentence_at_the_ends(cuts):
    falling = make_profile(cuts, np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5]]))
    assert falling.sentence(16).startswith(
        "Freeze nothing and train all 10 layers from scratch: accuracy 90.0 ± 0.0 %, 40.0"
    )
    rising = make_profile(cuts, np.array([[0.5, 0.6, 0.7, 0.8, 0.9]] * 2))
    assert rising.sentence(16).endswith(
        "40.0 ± 0.0 points above training from scratch; all other cuts are told apart from it."
    )
    untried = make_profile(cuts, np.array([[0.5, np.nan, 0.7, 0.8, 0.9]] * 2))
    assert untried.sentence(16).endswith("; all other tried cuts are told apart from it.")


def test_summary_names_what_chose(cuts):
    assert "chosen by accuracy on the test set itself, which flatters it" in make_profile(cuts, SCORES).summary()
    assert "chosen by accuracy on the validation set" in make_profile(cuts, SCORES, on="validation").summary()


def test_table_has_a_row_per_cut_and_marks(cuts):
    rows = make_profile(cuts, SCORES).table().splitlines()
    assert len(rows) == 1 + len(cuts)
    assert rows[3].split() == ["2", "group1_block1", "3/10", "8×8×16", "74.0", "±", "1.2", "*"]
    assert rows[4].endswith("72.0 ± 1.5 ~") and rows[1].endswith("51.0 ± 0.6")


def test_saved_and_loaded_it_is_the_same(cuts, tmp_path):
    profile = make_profile(cuts, SCORES, on="validation")
    profile.save(tmp_path / "profile.json")
    assert kdefrost.DefrostProfile.load(tmp_path / "profile.json") == profile


def test_csv_has_a_row_per_trial(cuts, tmp_path):
    make_profile(cuts, SCORES).save_csv(tmp_path / "profile.csv")
    with (tmp_path / "profile.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert rows[7] == {
        "cut": "2",
        "layer": "group1_block1",
        "per_class": "16",
        "seed": "1",
        "test_accuracy": "0.74",
        "test_auc": "0.37",
        "validation_accuracy": "",
        "validation_auc": "",
        "seconds": "1.0",
    }


def test_damaged_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "damaged.json").write_text('{"cuts": [')
    with pytest.raises(ValueError, match=r"damaged\.json is damaged"):
        kdefrost.DefrostProfile.load(tmp_path / "damaged.json")
    (tmp_path / "foreign.json").write_text('{"cuts": []}')
    with pytest.raises(ValueError, match="not a profile"):
        kdefrost.DefrostProfile.load(tmp_path / "foreign.json")


def test_sizes_that_were_not_tried_are_named(cuts):
    with pytest.raises(ValueError, match=r"no trials with per_class=64; sizes tried: 16"):
        make_profile(cuts, SCORES).scores(64)
    with pytest.raises(ValueError, match='"test" or "validation"'):
        make_profile(cuts, SCORES).scores(16, on="train")


def test_a_loss_is_better_when_lower(cuts):
    profile = make_profile(cuts, 2 - SCORES, metric="mean_squared_error", direction="min")
    mirrored = make_profile(cuts, SCORES)
    assert profile.best_cut(16) == mirrored.best_cut(16) == cuts[2]
    assert profile.near_best_cuts(16) == mirrored.near_best_cuts(16)
    assert profile.sentence(16) == (
        "Freeze the first 3 of 10 layers, up to `group1_block1` (cut 2): mean squared error 1.260 ± 0.012, 0.230 ± "
        "0.010 below training from scratch and 0.3300 ± 0.0058 below retraining only the output layer; cut 3 is not "
        "told apart from it."
    )
    assert profile.summary().startswith("Test mean squared error, lower is better")


def test_the_best_trial_is_the_best_seed_at_the_best_cut(cuts):
    assert make_profile(cuts, SCORES).best_trial(16).key == (2, 16, 2)
    lower = make_profile(cuts, 2 - SCORES, metric="mean_squared_error", direction="min")
    assert lower.best_trial(16).key == (2, 16, 2)
    equal = make_profile(cuts, np.tile(SCORES[0], (3, 1)))
    assert equal.best_trial(16).key == (2, 16, 0)


def test_every_metric_has_a_table(cuts):
    profile = make_profile(cuts, SCORES)
    assert profile.metrics == ["accuracy", "auc"]
    np.testing.assert_allclose(profile.mean(16, metric="auc"), SCORES.mean(axis=0) / 2)
    summary = profile.summary()
    assert "Test accuracy in %" in summary and "Test AUC\n" in summary
    assert "0.3700 ± 0.0058 *" in profile.table("auc")
    with pytest.raises(ValueError, match=r"`metric` must be one of accuracy, auc"):
        profile.scores(16, metric="recall")


def _with_score(profile, key, score):
    trials = [
        dataclasses.replace(t, test={"accuracy": score, "auc": 0.5}) if t.key == key else t for t in profile.trials
    ]
    return dataclasses.replace(profile, trials=tuple(trials))


def test_a_diverged_training_is_worse_than_any_other(cuts):
    diverged = _with_score(make_profile(cuts, SCORES), (2, 16, 2), np.nan)
    assert diverged.best_cut(16) == cuts[3]
    assert cuts[2] not in diverged.near_best_cuts(16)
    everywhere = make_profile(cuts, SCORES)
    for cut in range(5):
        everywhere = _with_score(everywhere, (cut, 16, 0), np.nan)
    only_seed = dataclasses.replace(everywhere, trials=everywhere.trials[:5])
    with pytest.raises(ValueError, match="No trial with per_class=16 has a number for its accuracy"):
        only_seed.best_cut(16)
    assert "No trial has a number for its accuracy." in only_seed.summary()
    trials = {trial.key: trial for trial in diverged.trials}
    assert diverged.is_better(trials[2, 16, 0], trials[2, 16, 2])
    assert not diverged.is_better(trials[2, 16, 2], trials[2, 16, 0])


def test_without_classes_sizes_are_numbers_of_examples(cuts):
    task = {"kind": "regression", "units": 1, "loss": "mean_squared_error"}
    profile = dataclasses.replace(make_profile(cuts, SCORES), configuration={"task": task})
    assert "16 examples: Freeze" in profile.summary() and "per class" not in profile.summary()
    assert "Learnt: regression, one target, by mean_squared_error." in profile.summary()


def test_of_equal_cuts_the_deepest_is_the_best(cuts):
    assert make_profile(cuts, np.array([[0.5, 0.7, 0.6, 0.7, 0.7]] * 2)).best_cut(16) == cuts[4]
