"""The compliance profile by hand: scores, distances, costs, agreement with a defrosting profile, tables, files."""

import csv
import dataclasses
import math

import numpy as np
import pytest

import kdefrost
from kdefrost.compliance.agreement import Agreement
from kdefrost.compliance.strengths import strength_text
from kdefrost.compliance.words import _plain
from kdefrost.statistics import over_seeds

CONFIGURATION = {"source": "s", "data": "d", "recipe": "r", "task": "t"}
# Accuracy with no layer, the first and the first three held, for two seeds.
FREE, ONE, THREE = (0.5, 0.6), (0.6, 0.65), (0.3, 0.5)


def _trial(layers, strength, seed, accuracy, distance):
    return kdefrost.ComplianceTrial(
        layers,
        strength,
        8,
        seed,
        {"accuracy": accuracy},
        None,
        [distance, 1.0, 1.0],
        [2 * distance, 1.5, 1.5],
        [0.9, 0.8],
        1.0,
    )


@pytest.fixture
def cuts(residual_cuts):
    return [cut for cut in residual_cuts if cut.frozen_layers <= 3]


@pytest.fixture
def compliance(cuts):
    trials = [_trial(0, 0.0, seed, accuracy, 1.0 + seed / 10) for seed, accuracy in enumerate(FREE)]
    for strength, drop, distance in ((0.1, 0.0, 0.2), (math.inf, 0.1, 0.0)):
        for layers, scores in ((1, ONE), (3, THREE)):
            trials += [_trial(layers, strength, seed, a - drop, distance) for seed, a in enumerate(scores)]
    objective = kdefrost.Objective("accuracy", "max")
    return kdefrost.ComplianceProfile(
        {"a": 1, "b": 2, "c": 3}, tuple(cuts[1:]), tuple(trials), objective, dict(CONFIGURATION)
    )


@pytest.fixture
def profile(cuts):
    scores = {0: FREE, 1: (0.55, 0.6), 2: (0.7, 0.9)}
    trials = [
        kdefrost.Trial(cut, 8, seed, {"accuracy": accuracy}, None, 1.0)
        for cut, values in scores.items()
        for seed, accuracy in enumerate(values)
    ]
    objective = kdefrost.Objective("accuracy", "max")
    return kdefrost.DefrostProfile(tuple(cuts), tuple(trials), objective, dict(CONFIGURATION))


def test_scores_share_what_has_no_springs(compliance):
    assert compliance.counts == [1, 3] and compliance.strengths == [0.0, 0.1, math.inf]
    np.testing.assert_allclose(compliance.scores(1), [[0.5, 0.6, 0.5], [0.6, 0.65, 0.55]])
    np.testing.assert_allclose(compliance.scores(3), [[0.5, 0.3, 0.2], [0.6, 0.5, 0.4]])


def test_costs_are_differences_within_a_seed(compliance):
    np.testing.assert_allclose(compliance.cost(3), [[0, 0.2, 0.3], [0, 0.1, 0.2]])
    lower = dataclasses.replace(compliance, objective=kdefrost.Objective("accuracy", "min"))
    np.testing.assert_allclose(lower.cost(3), [[0, -0.2, -0.3], [0, -0.1, -0.2]])
    springs = dataclasses.replace(compliance, trials=tuple(t for t in compliance.trials if t.strength))
    with pytest.raises(ValueError, match="strength of 0"):
        springs.cost(3)


def test_distances_and_similarity(compliance):
    np.testing.assert_allclose(compliance.distances(1), [[1.0, 0.2, 0.0], [1.1, 0.2, 0.0]])
    np.testing.assert_allclose(compliance.distances(1, "a", "euclidean"), [[2.0, 0.4, 0.0], [2.2, 0.4, 0.0]])
    np.testing.assert_allclose(compliance.distances(1, 1), np.ones((2, 3)))
    np.testing.assert_allclose(compliance.similarity(3, compliance.cuts[1]), np.full((2, 3), 0.8))
    assert compliance.deepest_cut(1) is compliance.cuts[0] and compliance.deepest_cut(0) is None


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda c: c.scores(2), "`layers` must be one of"),
        (lambda c: c.scores(1, metric="auc"), "`metric` must be one of accuracy"),
        (lambda c: c.scores(1, on="validation"), "`on` must be a set with scores"),
        (lambda c: c.similarity(1, None), "`cut` must be one of those at which features were compared"),
        (lambda c: c.distances(1, "z"), "`layer` must be a name or a place"),
        (lambda c: c.distances(1, 7), "`layer` must be a name or a place"),
        (lambda c: c.distances(1, kind="angle"), "`kind` must be one of cosine, euclidean"),
    ],
)
def test_what_is_not_there_is_refused(compliance, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(compliance)


def test_agreement_by_hand(compliance, profile):
    """Held: 0.55, 0.625, 0.4; frozen: 0.55, 0.575, 0.8."""
    agreement = compliance.against(profile, 0.1)
    np.testing.assert_allclose(agreement.held["reported"].mean(axis=0), [0.55, 0.625, 0.4])
    np.testing.assert_allclose(agreement.frozen["reported"].mean(axis=0), [0.55, 0.575, 0.8])
    assert (agreement.predicted.index, agreement.best.index) == (1, 2)
    np.testing.assert_allclose(agreement.loss(), [0.15, 0.3])
    assert math.isnan(agreement.correlation), "Beside cut 0, which is the same in both, there are but two."
    assert "predict cut 1, where it is 22.5 ± 7.5 points below its best, cut 2" in agreement.sentence()


def test_rank_correlation_leaves_out_what_is_the_same_training(residual_cuts):
    """Of cuts 1, 2 and 3 the ranks 2 3 1 and 1 2 3 have ρ = 1 − 6 · 6 / 24; at cut 0 both are best."""
    cuts = residual_cuts[:4]
    held, frozen = {"reported": np.array([[9, 2, 3, 1.0]])}, {"reported": np.array([[9, 1, 2, 3.0]])}
    held["choosing"], frozen["choosing"] = np.array([[0, 1, 0, 0.0]]), np.array([[0, 0, 1, 0.0]])
    agreement = Agreement(cuts, held, frozen, 0.1, "test", kdefrost.Objective("loss", "max"))
    assert agreement.correlation == pytest.approx(-0.5)
    # What chooses are the other scores.
    assert (agreement.predicted.index, agreement.best.index) == (1, 2)
    np.testing.assert_allclose(agreement.loss(), [1.0])
    lower = dataclasses.replace(agreement, objective=kdefrost.Objective("loss", "min"))
    assert lower.predicted.index == lower.best.index == 3
    assert "over 3 cuts -0.50; the springs predict its best cut, 3" in lower.sentence()


def test_agreement_with_itself_is_whole(compliance, profile):
    agreement = compliance.against(profile, math.inf)
    same = dataclasses.replace(agreement, frozen=agreement.held)
    assert same.predicted is same.best
    np.testing.assert_array_equal(same.loss(), [0, 0])
    assert "λ = frozen" in same.sentence() and "the springs predict its best cut, 0" in same.sentence()


def test_without_plain_training_cut_0_is_not_compared(compliance, profile):
    springs = dataclasses.replace(compliance, trials=tuple(t for t in compliance.trials if t.strength))
    agreement = springs.against(profile, 0.1)
    assert [cut.index for cut in agreement.cuts] == [1, 2]
    assert np.isfinite(agreement.held["reported"]).all()


def test_a_training_that_diverged_is_the_worst(compliance, profile):
    agreement = compliance.against(profile, 0.1)
    held = agreement.held["choosing"].copy()
    held[0, 1] = np.nan
    assert dataclasses.replace(agreement, held={**agreement.held, "choosing": held}).predicted.index == 0


def test_only_what_ran_alike_is_compared(compliance, profile):
    other = dataclasses.replace(profile, configuration={**CONFIGURATION, "data": "x"})
    with pytest.raises(ValueError, match="same data"):
        compliance.against(other, 0.1)
    for strength in (0.0, 0.2):
        with pytest.raises(ValueError, match="`strength` must be one of"):
            compliance.against(profile, strength)
    seeds = tuple(dataclasses.replace(trial, seed=trial.seed + 9) for trial in profile.trials)
    with pytest.raises(ValueError, match="a size, a seed and two cuts in common"):
        compliance.against(dataclasses.replace(profile, trials=seeds), 0.1)


def test_seeds_in_common_are_paired(compliance, profile):
    late = dataclasses.replace(profile, trials=tuple(t for t in profile.trials if t.seed == 1))
    agreement = compliance.against(late, 0.1)
    np.testing.assert_allclose(agreement.held["reported"], [[0.6, 0.65, 0.5]])
    np.testing.assert_allclose(agreement.frozen["reported"], [[0.6, 0.6, 0.9]])


def test_the_table_has_all_strengths(compliance):
    rows = compliance.cells(1)
    assert [row[0] for row in rows] == ["λ", "0", "0.1", "frozen"]
    assert rows[0][1:4] == ["test accuracy", "against λ = 0, points", "cosine distance, first layer"]
    assert rows[1][1:4] == ["55.0 ± 5.0 %", "", "1.050 ± 0.050"]
    assert [row[2] for row in compliance.cells(3)[2:]] == ["-15 ± 5", "-25 ± 5"]
    assert rows[0][-1] == "CKA at cut 1"
    text = compliance.summary()
    assert "1 layers held" in text and "3 layers held" in text and "over 2 seeds, 8 per class" in text


def test_training_without_springs_alone_has_a_table(compliance):
    free = dataclasses.replace(compliance, trials=tuple(t for t in compliance.trials if not t.strength))
    assert free.counts == [] and [row[:2] for row in free.cells(0)] == [["λ", "test accuracy"], ["0", "55.0 ± 5.0 %"]]
    assert "55.0 ± 5.0 %" in free.summary()


def test_what_is_held_are_the_layers_whose_calls_come_before(compliance):
    """A layer that is called at first and third place counts where it is first."""
    shared = dataclasses.replace(compliance, layers={"a": 1, "b": 4, "c": 5})
    head, *rows = shared.cells(3)
    first, held = (head.index(f"cosine distance, {what}") for what in ("first layer", "mean of held"))
    assert [row[held] for row in rows] == [row[first] for row in rows]


@pytest.mark.parametrize(
    "mean, error, text",
    [
        (0.25, 0.0124, "0.250 ± 0.012"),
        (0.25, math.nan, "0.250"),
        (2e-7, 3e-8, "2.0e-07 ± 3e-08"),
        (-3e-4, 0.02, "-0.000 ± 0.020"),
        (0.0, 0.0, "0.000 ± 0.000"),
    ],
)
def test_small_numbers_keep_their_errors(mean, error, text):
    assert _plain(mean, error) == text


def test_means_over_the_seeds_that_are_there():
    (one, two, none) = over_seeds(np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan]]))
    assert one == (2.0, pytest.approx(1.0))
    assert two[0] == 5.0 and math.isnan(two[1])
    assert math.isnan(none[0])


def test_saved_and_loaded_it_is_the_same(compliance, tmp_path):
    compliance.save(tmp_path / "c.json")
    loaded = kdefrost.ComplianceProfile.load(tmp_path / "c.json")
    assert loaded == compliance
    assert loaded.strengths[-1] == math.inf


def test_what_is_no_result_is_refused(compliance, profile, tmp_path):
    profile.save(tmp_path / "p.json")
    with pytest.raises(ValueError, match="not a compliance profile of this version"):
        kdefrost.ComplianceProfile.load(tmp_path / "p.json")
    (tmp_path / "d.json").write_text('{"kdefrost_compliance": 1}')
    with pytest.raises(ValueError, match="damaged"):
        kdefrost.ComplianceProfile.load(tmp_path / "d.json")


def test_the_csv_has_a_row_for_each_trial(compliance, tmp_path):
    compliance.save_csv(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(compliance.trials)
    assert rows[0]["test_accuracy"] == "0.5" and rows[-1]["strength"] == "inf"
    assert float(rows[0]["cosine_a"]) == 1.0


def test_strengths_as_text():
    assert [strength_text(s) for s in (0.0, 1e-4, 0.003, 1.0, math.inf)] == ["0", "0.0001", "0.003", "1", "frozen"]


def test_the_cut_that_springs_predict_is_the_best_of_those_held(compliance):
    """With λ = 0.1 the first layer held has 0.6 and 0.65, three 0.3 and 0.5; without springs it is 0.5 and 0.6."""
    assert compliance.predicted_cut() == compliance.predicted_cut(0.1) == compliance.cuts[0]
    # Frozen, it has 0.5 and 0.55: less than nothing held.
    assert compliance.predicted_cut(math.inf) is None
    lower = dataclasses.replace(compliance, objective=kdefrost.Objective("accuracy", "min"))
    assert lower.predicted_cut() == compliance.cuts[1]
    # Where there are validation scores these choose.
    trials = [dataclasses.replace(t, validation={"accuracy": float(t.layers == 3)}) for t in compliance.trials]
    assert dataclasses.replace(compliance, trials=tuple(trials)).predicted_cut() == compliance.cuts[1]
    diverged = [dataclasses.replace(t, test={"accuracy": math.nan}) if t.layers == 1 else t for t in compliance.trials]
    assert dataclasses.replace(compliance, trials=tuple(diverged)).predicted_cut() is None


def test_without_springs_of_finite_strength_none_is_predicted(compliance):
    words = "No springs of finite strength were trained, so that none predict a cut: give `strengths` above 0"
    free = tuple(trial for trial in compliance.trials if trial.strength == 0)
    with pytest.raises(ValueError, match=rf"{words} to `Defroster.compliance`\. Received: strength=None"):
        dataclasses.replace(compliance, trials=free).predicted_cut()
    rigid = dataclasses.replace(compliance, trials=tuple(t for t in compliance.trials if t.strength in (0, math.inf)))
    with pytest.raises(ValueError, match=f"{words} .*, or say `strength=math.inf` for frozen layers"):
        rigid.predicted_cut()
    assert rigid.predicted_cut(math.inf) is None


def test_without_layers_before_a_cut_none_is_predicted(compliance):
    other = dataclasses.replace(compliance, cuts=compliance.cuts[1:], trials=compliance.trials[:4])
    with pytest.raises(ValueError, match=r"give `layers` of cuts .* Received: \[1\] layers held"):
        other.predicted_cut()
