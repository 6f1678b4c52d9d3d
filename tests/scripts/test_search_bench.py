"""The replays by which ways of searching are judged: what they cost and lose, by hand on a small profile."""

import json
import sys

import numpy as np
import pytest
from conftest import PROJECT

import kdefrost

sys.path.append(str(PROJECT))

from scripts.benches import scoring, search, searching
from scripts.benches.replays import ASIDE, CHOSEN_ON, PAPER, Replay, recorded, shrinking
from scripts.benches.search import agreement, outcomes, regrets
from scripts.benches.situations import Situation

# The full profile takes column 2, whose test score is 1 point below that of column 1.
COSTS = np.array([1.0, 0.6, 0.3, 0.1])
CHOOSING = np.array([[50.0, 60.0, 62.0, 40.0], [52.0, 61.0, 62.0, 41.0]])
TEST = np.array([51.0, 61.0, 60.0, 40.0])
REPLAY = Replay("one", CHOSEN_ON, COSTS, CHOOSING, TEST, (1, 3), {"logme": np.array([1, 2, 3, 4.0])}, 16)
# Of both blocks.
FULL = 4.0


def test_regret_is_against_what_the_full_profile_chooses():
    assert [REPLAY.regret(column) for column in range(4)] == [9, -1, 0, 20]


def test_the_last_cut_and_scores():
    ways = searching.ways(["logme", "ridge"])
    assert ways["last cut (vanilla)"](REPLAY, 0.5) == (20, pytest.approx(0.2 / FULL))
    assert ways["score: logme"](REPLAY, 0.1) == (20, 0)
    assert np.isnan(ways["score: ridge"](REPLAY, 0.1).regret)


def test_cuts_in_order_as_far_as_the_budget_goes():
    assert searching.thirds(REPLAY) == [3, 2, 1, 0] and searching.few_of_the_paper(REPLAY) == [3, 2, 1]
    # A quarter is 1.0: the last three, once; what is left is nothing.
    assert searching.in_order(searching.few_of_the_paper)(REPLAY, 0.25) == (0, pytest.approx(0.25))
    # A tenth is 0.4: the last two in one block.
    assert searching.in_order(searching.thirds)(REPLAY, 0.1) == (0, pytest.approx(0.1))


def test_halving_by_hand():
    """Half of 2.0 tries three cuts, 62, 60 and 40; the better two go on: 0.3 and 0.6."""
    assert searching.halving(REPLAY, 0.5) == (0, pytest.approx((0.1 + 0.3 + 0.6 + 0.3 + 0.6) / FULL))


def test_what_single_blocks_come_to_by_hand():
    """By itself the first block chooses column 2, as both do; were its 60 a 63, it would choose column 1."""
    assert searching.by_one_block(REPLAY, 0.1) == (0, 0.5)
    other = CHOOSING + np.array([[0, 3.0, 0, 0], [0, 0, 0, 0]])
    lucky = Replay("one", CHOSEN_ON, COSTS, other, TEST, None, {}, 16)
    # Of both together 62.0 and 62.0 are equal, and the later is chosen.
    assert searching.by_one_block(lucky, 0.1) == (-0.5, 0.5) == searching.by_all_but_one_block(lucky, 0.1)


@pytest.mark.parametrize("way", ["random search", "successive halving", "KerasTuner, Bayesian", "search"])
@pytest.mark.parametrize("budget", [0.1, 0.5, 1.0])
def test_no_way_costs_more_than_its_budget(way, budget, monkeypatch):
    monkeypatch.setattr(searching, "TUNER_REPEATS", 1)
    regret, cost = searching.ways([])[way](REPLAY, budget)
    assert 0 < cost <= budget + 1e-9 and -1 <= regret <= 20
    if way == "random search" and budget == 1.0:
        assert (regret, cost) == (0, pytest.approx(1.0))


def test_tables_take_means_over_draws_and_then_over_profiles():
    other = Replay("one", CHOSEN_ON, COSTS, CHOOSING, TEST + np.array([0, 0, 2, 0]), None, {}, 16)
    third = Replay("two", CHOSEN_ON, COSTS, CHOOSING, TEST, None, {}, 16)
    ways = {"last": searching.in_order(lambda replay: [3])}
    results = outcomes([REPLAY, other, third], ways, [0.5], "all")
    assert results["last"]["one"][0, 0] == 21 and results["last"]["two"][0, 0] == 20
    assert "| last | 20.50 ± 0.50 | 21.0 | 0.05 |" in regrets(results, [0.5])


def test_a_group_without_scores_has_no_rows_of_them(tmp_path, monkeypatch, capsys):
    bare = Replay("two", PAPER, COSTS, CHOOSING, TEST, None, {}, None)
    monkeypatch.setattr(search, "recorded", lambda: [REPLAY, bare])
    monkeypatch.setattr(searching, "TUNER_REPEATS", 1)
    search.bench_search([0.25, 0.5], str(tmp_path / "regret.png"), False, None, None, None)
    scored, plain = capsys.readouterr().out.split(f"## {PAPER}")
    assert "| score: logme | 20.00" in scored and "score: logme" not in plain
    assert (tmp_path / "regret.png").exists()


def test_a_score_that_orders_cuts_as_the_profile_does_has_a_tau_of_one():
    right, wrong = ({"ridge": sign * CHOOSING.mean(axis=0)} for sign in (1, -1))
    same = [Replay("one", CHOSEN_ON, COSTS, CHOOSING, TEST, None, scores, 16) for scores in (right, wrong)]
    assert "| ridge | 1 | 1.00 ± nan | 1.00 | 1.00 |" in agreement(same[:1], ["ridge"])
    assert "| ridge | 1 | -1.00 ± nan |" in agreement(same[1:], ["ridge"])


def test_the_records_of_the_docs_are_read():
    replays = list(recorded())
    names = {group: {replay.name for replay in replays if replay.group == group} for group in (CHOSEN_ON, ASIDE, PAPER)}
    assert [len(each) for each in names.values()] == [18, 9, 16]
    assert not names[CHOSEN_ON] & names[ASIDE] and "isogm, figures, all" in names[PAPER]
    assert min(replay.per_class or np.inf for replay in replays) == 8
    assert all(np.isfinite(replay.choosing).all() and np.isfinite(replay.test).all() for replay in replays)
    # The digits' situations are of 360 test images: whole numbers of them.
    digits = next(replay for replay in replays if replay.name == "gm → digits, 100")
    np.testing.assert_allclose(digits.test * 3.6, np.round(digits.test * 3.6), atol=1e-3)


def test_where_images_become_smaller(residual):
    import kdefrost

    cuts = kdefrost.cut_points(residual)
    assert [cuts[column].shapes[0][0] for column in shrinking(cuts)] == [4]
    # Beyond that one there is the average over positions, which has no size.


def test_of_recorded_scores_only_those_that_are_missing_are_computed(residual, tmp_path, monkeypatch):
    labels = np.arange(48) % 3
    images = np.random.default_rng(0).normal(size=(48, 8, 8, 1)).astype("float32")
    monkeypatch.setattr(scoring, "load", lambda *_: (residual, ((images, labels), None), None))
    monkeypatch.setattr(scoring, "names_for", lambda _: ["ridge", "nearest_mean"])
    path, situation = tmp_path / "scores.json", Situation("gm", "digits", 24)
    path.write_text('{"shrinking": [], "scores": {"ridge": [[0.5]]}}')
    scoring.record_scores(situation, path, None, {})
    scores = json.loads(path.read_text())["scores"]
    assert scores["ridge"] == [[0.5]]
    # Of each draw and cut.
    assert np.shape(scores["nearest_mean"]) == (4, len(kdefrost.cut_points(residual)))
    monkeypatch.undo()
    assert "information_imbalance" in scoring.names_for(situation)
    assert "information_imbalance" not in scoring.names_for(Situation("gm", "cifar10", 160))
