"""Ways of choosing a cut, by hand on a record of two draws; and a record as it is made."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, RECIPE, load_script

import kdefrost

# The scripts are no package that is installed.
sys.path.append(str(PROJECT))
choice, finetuning, judging, recording, situations = (
    importlib.import_module(f"scripts.benches.{name}")
    for name in ("choice", "finetuning", "judging", "recording", "situations")
)

SHARES = np.array([1.0, 0.4, 0.1, 0.0])
TEST = np.array([[0.2, 0.6, 0.7, 0.5], [0.3, 0.8, 0.6, 0.6]])
# Two folds, of which the means are 0.1 0.6 0.6 0.5 and 0.2 0.7 0.5 0.6.
FOLDS = np.array([[[0.0, 0.6, 0.5, 0.5], [0.2, 0.6, 0.7, 0.5]], [[0.2, 0.8, 0.5, 0.6], [0.2, 0.6, 0.5, 0.6]]])
LOSSES = np.array([[[3.0, 1.0, 2.0, 2.5]] * 2, [[3.0, 2.0, 1.5, 1.0]] * 2])


@pytest.fixture
def record():
    held_out = {10: np.array([[0.0, 0.5, 0.5, 0.9], [0.9, 0.1, 0.1, 0.1]]), 4: TEST}
    told = {"source": "gm", "target": "digits", "images": 40, "per_class": 20, "aside": False}
    fine = {"LP-FT": np.array([0.5, 0.6]), "Auto-RGN": np.array([0.5, 0.5])} | {"fine-tuning everything": TEST[:, 0]}
    return judging.Record(
        told,
        [0, 3, 5, 6],
        SHARES,
        TEST,
        {5: FOLDS, 3: FOLDS},
        {5: LOSSES, 3: LOSSES},
        held_out,
        fine,
        dict.fromkeys(fine, 1.0),
    )


@pytest.mark.parametrize(
    ("way", "test", "cost"),
    [
        ("last cut (vanilla)", [0.5, 0.6], 0.0),
        # Means of 0.25, 0.7, 0.65 and 0.55.
        ("best fixed cut, in hindsight", [0.6, 0.8], 0.4),
        ("half of the layers", [0.6, 0.8], 0.4),
        ("from scratch", [0.2, 0.3], 1.0),
        # Cut 6 and cut 0: 0.9 of trying all, then half of training the whole.
        ("a tenth held out", [0.5, 0.3], 0.9 * 1.5 + 0.5),
        ("a quarter held out", [0.7, 0.8], 0.75 * 1.5 + 0.25),
        # 5 folds are 4 trainings of all images. Of the equal means of draw 0 the later one.
        ("5 folds", [0.7, 0.8], 4 * 1.5 + 0.25),
        ("5 folds, ties by log-loss", [0.6, 0.8], 4 * 1.5 + 0.4),
        ("5 folds, log-loss", [0.6, 0.6], 4 * 1.5 + 0.2),
        # Draw 0 goes all the way, as cut 3 equals cut 5; draw 1 ends at cut 5, which is below cut 6 in both folds.
        ("5 folds, walk of patience 1", [0.7, 0.6], 4 * (1.5 + 0.1) / 2 + 0.05),
        ("3 folds, walk of patience 1", [0.7, 0.6], 2 * (1.5 + 0.1) / 2 + 0.05),
        ("3 folds, walk of patience 2", [0.7, 0.8], 2 * 1.5 + 0.25),
        ("LP-FT", [0.5, 0.6], 1.0),
    ],
)
def test_ways_by_hand(record, way, test, cost):
    outcome = judging.WAYS[way](record)
    np.testing.assert_allclose(outcome.test, test)
    assert outcome.cost == pytest.approx(cost)


@pytest.mark.parametrize(
    ("scores", "patience", "best_and_reached"),
    [([0.9, 0.1, 0.5, 0.4], 1, (2, 1)), ([0.9, 0.1, 0.5, 0.4], 2, (0, 0)), ([0.9, 0.1, 0.2, 0.4], 2, (3, 1))],
)
def test_a_walk_by_hand(scores, patience, best_and_reached):
    """Two folds that agree, so that what is lower is worse."""
    assert judging.walk(np.array([scores, scores]), patience) == best_and_reached


def test_the_error_within_which_the_deepest_is_taken_by_hand():
    # √(0.02 · (1/2 + 1/1)) = 0.17 below 0.7 is 0.53: the last cut's 0.6 is within, and of draw 0 only what equals 0.6.
    np.testing.assert_array_equal(judging.deepest_within_an_error(FOLDS[1:], LOSSES[1:]), [3])


def test_a_curve_is_smoothed_by_hand():
    np.testing.assert_allclose(judging.smoothed(np.array([[0.0, 1.0, 0.0]])), [[0.25, 0.5, 0.25]])


def test_names_of_situations_are_files_and_a_third_is_kept_aside():
    aside = [situation for situation in situations.SITUATIONS.values() if situation.aside]
    assert len(situations.SITUATIONS) >= 10 and 3 * len(aside) >= len(situations.SITUATIONS)
    assert all(name == name.lower() and not set(name) & set(" :/") for name in situations.SITUATIONS)


def test_a_situation_from_its_recording_to_the_table(monkeypatch, tmp_path, capsys):
    """The digits from an untrained network; once recorded, it is judged without training."""
    monkeypatch.setattr(recording, "RECIPE", dataclasses.replace(RECIPE, epochs=1))
    monkeypatch.setattr(recording, "DRAWS", 1)
    monkeypatch.setattr(recording, "RUNS", tmp_path / "runs")
    network = kdefrost.build_model("wide_resnet_10_1", 10, (8, 8, 1))
    monkeypatch.setattr(kdefrost, "train_source", lambda *_, **__: network)
    monkeypatch.setitem(situations.SITUATIONS, "tiny", situations.Situation("gm", "digits", 50, (2, 4)))
    monkeypatch.setattr(situations.Situation, "name", "tiny")
    command = ["bench.py", "choice", "--records", str(tmp_path), "--only", "tiny"]
    monkeypatch.setattr(sys, "argv", command)
    main = load_script("bench.py")
    main()
    printed = capsys.readouterr().out
    assert "Recording tiny" in printed and "3 folds, walk of patience 2" in printed
    written = json.loads(Path(tmp_path / "tiny.json").read_text())
    # Each of two cuts on all images, on 5 folds, of which the first is one image of each class, on 3, and on a quarter.
    assert len(written["trials"]) == 2 * (1 + 5 + 3 + 1) and len(written["fine_tuned"]) == len(finetuning.FINE_TUNING)
    monkeypatch.setattr(kdefrost.training, "fit", None)
    main()
    again = capsys.readouterr().out
    assert again in printed and "Recording" not in again
