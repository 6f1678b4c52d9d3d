"""The compliance profile by hand: scores, distances, costs, agreement with a defrosting profile, tables, files."""

import csv
import dataclasses
import math

import numpy as np
import pytest

import kdefrost
from kdefrost.compliance_profile import over_seeds, strength_text

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
def cuts():
    return [cut for cut in kdefrost.cut_points(kdefrost.wide_resnet(10, 1)) if cut.frozen_layers <= 3]


@pytest.fixture
def compliance(cuts):
    trials = [_trial(0, 0.0, seed, accuracy, 1.0 + seed / 10) for seed, accuracy in enumerate(FREE)]
    for strength, drop, distance in ((0.1, 0.0, 0.2), (math.inf, 0.1, 0.0)):
        for layers, scores in ((1, ONE), (3, THREE)):
            trials += [_trial(layers, strength, seed, a - drop, distance) for seed, a in enumerate(scores)]
    objective = kdefrost.Objective("accuracy", "max")
    return kdefrost.ComplianceProfile(("a", "b", "c"), tuple(cuts[1:]), tuple(trials), objective, dict(CONFIGURATION))


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
        (lambda c: c.distances(1, "z"), "`layer` must be a name or a place"),
        (lambda c: c.distances(1, 7), "`layer` must be a name or a place"),
        (lambda c: c.distances(1, kind="angle"), "`kind` must be one of cosine, euclidean"),
    ],
)
def test_what_is_not_there_is_refused(compliance, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(compliance)


def test_agreement_by_hand(compliance, profile):
    """Held: 0.55, 0.625, 0.4; frozen: 0.55, 0.575, 0.8. The ranks 2 3 1 and 1 2 3 have ρ = 1 − 6 · 6 / 24."""
    agreement = compliance.against(profile, 0.1)
    np.testing.assert_allclose(agreement.held.mean(axis=0), [0.55, 0.625, 0.4])
    np.testing.assert_allclose(agreement.frozen.mean(axis=0), [0.55, 0.575, 0.8])
    assert agreement.correlation == pytest.approx(-0.5)
    assert (agreement.predicted.index, agreement.best.index) == (1, 2)
    np.testing.assert_allclose(agreement.loss(), [0.15, 0.3])
    assert "best at cut 1, where freezing is 22.5 ± 7.5 points below its best, cut 2" in agreement.sentence()
    assert agreement.sentence().startswith("λ = 0.1: rank correlation over cuts -0.50")


def test_agreement_with_itself_is_whole(compliance, profile):
    agreement = compliance.against(profile, math.inf)
    same = dataclasses.replace(agreement, frozen=agreement.held)
    assert same.correlation == pytest.approx(1.0) and same.predicted is same.best
    np.testing.assert_array_equal(same.loss(), [0, 0])
    assert "λ = frozen" in same.sentence() and "both are best at cut" in same.sentence()


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
    np.testing.assert_allclose(agreement.held, [[0.6, 0.65, 0.5]])
    np.testing.assert_allclose(agreement.frozen, [[0.6, 0.6, 0.9]])


def test_the_table_has_all_strengths(compliance):
    rows = compliance.cells(1)
    assert [row[0] for row in rows] == ["λ", "0", "0.1", "frozen"]
    assert rows[1][1:3] == ["55.0 ± 5.0 %", "1.050 ± 0.050"]
    assert rows[0][-1] == "CKA at cut 1"
    text = compliance.summary()
    assert "1 layers held" in text and "3 layers held" in text and "over 2 seeds, 8 per class" in text


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
