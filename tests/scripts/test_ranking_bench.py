"""How rankings of sources and cuts that springs predict are judged, by hand."""

import dataclasses
import sys

import numpy as np
import pytest
from conftest import PROJECT

import kdefrost

sys.path.append(str(PROJECT))

from scripts.benches import ranking, springs
from scripts.benches.replays import CHOSEN_ON, Replay
from scripts.benches.situations import RANKINGS

CUTS = tuple(kdefrost.cut_points(kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))))
ACCURACY = kdefrost.Objective("accuracy", "max")
# By cut, of both seeds alike: cut 3 is chosen, though cut 2 has the better test score.
CHOOSING, TEST = (0.5, 0.6, 0.7, 0.8, 0.4), (0.55, 0.6, 0.79, 0.76, 0.5)


@pytest.fixture
def profile():
    trials = [
        kdefrost.Trial(cut.index, 4, seed, {"accuracy": test}, {"accuracy": choosing}, 1.0)
        for cut, choosing, test in zip(CUTS, CHOOSING, TEST, strict=True)
        for seed in (0, 1)
    ]
    return kdefrost.DefrostProfile(CUTS, tuple(trials), ACCURACY, {})


def test_best_cuts_with_and_without_scratch(profile):
    told = ranking.at_best({"one": profile}, 4)
    assert told == {"best_cuts": [3], "best": [[0.76, 0.76]], "frozen_cuts": [3], "frozen": [[0.76, 0.76]]}
    # Where nothing frozen is better than scratch.
    trials = [trial for trial in profile.trials if trial.cut in (0, 1)]
    low = [kdefrost.Trial(1, 4, trial.seed, trial.test, {"accuracy": 0.1}, 1.0) for trial in trials if trial.cut]
    scratch = kdefrost.DefrostProfile(CUTS[:2], (*(t for t in trials if not t.cut), *low), ACCURACY, {})
    told = ranking.at_best({"one": scratch}, 4)
    assert told["best_cuts"] == [0] and told["best"] == [[0.55, 0.55]] and told["frozen_cuts"] == [1]


def test_an_interval_by_hand():
    """√((1 + 0.125) / 25) = 0.21213, artanh 0.5 = 0.54931: from tanh 0.13354 to tanh 0.96508."""
    assert ranking.interval(0.5, 28) == pytest.approx((0.13275, 0.74649), abs=2e-4)
    assert ranking.correlation(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 4])) == ("1.00", "–")


def test_agreement_leaves_out_the_target_and_says_what_is_lost():
    best = [[0.5], [0.6], [0.7], [0.8], [1.0]]
    scores = [[1.0], [2.0], [4.0], [3.0], [9.0]]
    told = {"best": best, "frozen": best, "scores": {"logme": scores}}
    record = {"target": "digits", "sources": ["a", "b", "c", "d", "digits"], "sizes": {"16": told}}
    cells = ranking.agreement(record).splitlines()[2].split(" | ")
    assert cells[0] == "| 16" and cells[1:4] == ["LogME", "4", "0.80"] and cells[5] == "0.80"
    assert cells[7:] == ["c", "10.0 |"]
    # One of which the size was not run, and one without this score.
    told = {"best": [*best, None, [0.9]], "frozen": [*best, None, [0.9]], "scores": {"logme": [*scores, [5.0], None]}}
    record = {"target": "digits", "sources": [*record["sources"], "e", "f"], "sizes": {"16": told}}
    assert ranking.agreement(record).splitlines()[2].split(" | ") == cells


def test_what_springs_predict_is_held_to_the_full_profile(profile):
    layers = {"a": 1, "b": 3, "c": 5}
    trials = [
        kdefrost.ComplianceTrial(
            held, strength, 4, seed, {"accuracy": 0.5}, {"accuracy": 0.5}, cosine, [0.0] * 3, [1.0] * 4, 1.0
        )
        for held, strength, cosine in ((0, 0.0, [1.0] * 3), (9, 0.01, [0.1, 0.9, 0.9]), (9, 1.0, [0.1, 0.1, 0.9]))
        for seed in (0, 1)
    ]
    compliance = kdefrost.ComplianceProfile(layers, CUTS[1:], tuple(trials), ACCURACY, {})
    costs = np.array([cut.tail_share for cut in CUTS])
    shown = 100 * profile.scores(4, "validation"), 100 * profile.mean(4)
    replay = Replay("one", CHOSEN_ON, costs, *shown, None, {}, 4)
    # By accuracy, with the layers before cuts 1 and 4 held: at cut 2 and 3 they do harm.
    held = [
        kdefrost.ComplianceTrial(
            count, float(count > 0), 4, seed, None, {"accuracy": accuracy}, [0.0] * 3, [0.0] * 3, [1.0] * 4, 1.0
        )
        for count, accuracy in zip((cut.frozen_layers for cut in CUTS), (0.5, 0.6, 0.2, 0.3, 0.4), strict=True)
        for seed in (0, 1)
    ]
    each = kdefrost.ComplianceProfile(layers, CUTS[1:], tuple(held), ACCURACY, {})
    told = springs.outcomes(replay, profile, compliance, each)
    assert told["held"] == pytest.approx([1, 16, 10 / (2 * costs.sum())])
    frozen = [cut.frozen_layers for cut in CUTS]
    predicted = max(place for place, count in enumerate(frozen) if count < 5)
    assert told["strength"] == 1.0 and told["raised"][0] == predicted
    assert told["distances"] == {"0": [1.0] * 3, "0.01": [0.1, 0.9, 0.9], "1": [0.1, 0.1, 0.9]}
    assert told["raised"][1:] == pytest.approx([100 * (TEST[3] - TEST[predicted]), 6 / (2 * costs.sum())])
    alone = max(place for place, count in enumerate(frozen) if count < 3)
    assert told["one"] == pytest.approx([alone, 100 * (TEST[3] - TEST[alone]), 1 / (2 * costs.sum())])
    assert told["scratch"][:2] == pytest.approx([0, 21]) and told["vanilla"][:2] == pytest.approx([4, 26])
    assert f"{told['raised'][1]:.2f} ±" in springs.by_way([{"source": "a", "size": 4, **told}] * 2)


def test_settings_are_those_that_the_command_offers():
    assert tuple(ranking.settings()) == RANKINGS


def test_springs_are_raised_while_the_score_does_not_fall():
    """λ = 0.01 leaves the third layer far from the source, 0.1 costs a point in each seed, 1 would cost nothing."""
    seen = {0.0: (0.5, [1, 1, 1]), 0.01: (0.52, [0.2, 0.5, 0.9]), 0.1: (0.49, [0.1, 0.1, 0.4]), 1.0: (0.5, [0, 0, 0])}
    trials = [
        kdefrost.ComplianceTrial(
            3 if strength else 0, strength, 4, seed, None, {"accuracy": score}, cosine, [0.0] * 3, [1.0] * 2, 1.0
        )
        for strength, (score, cosine) in seen.items()
        for seed in (0, 1)
    ]
    profile = kdefrost.ComplianceProfile({"a": 1, "b": 2, "c": 3}, CUTS[1:3], tuple(trials), ACCURACY, {})
    assert springs.harmless_strength(profile) == 0.01 and [cut.frozen_layers for cut in CUTS[1:3]] == [1, 3]
    # Before cut 2 is the third layer, which strays.
    assert springs.near_cut(profile, 0.01) == CUTS[1] and springs.near_cut(profile, 0.1) == CUTS[2]
    assert springs.near_cut(profile, None) is None
    lower = dataclasses.replace(profile, objective=kdefrost.Objective("accuracy", "min"))
    assert springs.harmless_strength(lower) is None
