"""The trial log: nothing finished is lost, nothing is mixed."""

import dataclasses
import json

import numpy as np
import pytest

from kdefrost.trials.log import TailStore, Trial, TrialLog, same_scores

CONFIGURATION = {"source": "abc", "recipe": {"epochs": 3}}
TRIALS = [
    Trial(cut=0, per_class=4, seed=seed, test={"accuracy": 0.5}, validation=None, seconds=1.0) for seed in range(2)
]


def _filled(directory):
    log = TrialLog(directory, CONFIGURATION)
    for trial in TRIALS:
        log.append(trial)
    return log


def test_finished_trials_are_there_again(tmp_path):
    _filled(tmp_path)
    again = TrialLog(tmp_path, CONFIGURATION)
    assert list(again.finished.values()) == TRIALS
    assert "tensorflow" in json.loads((tmp_path / "configuration.json").read_text())["versions"]


def test_each_trial_is_on_disk_as_it_ends(tmp_path):
    log = TrialLog(tmp_path, CONFIGURATION)
    for count, trial in enumerate(TRIALS, start=1):
        log.append(trial)
        lines = (tmp_path / "trials.jsonl").read_text().splitlines()
        assert len(lines) == count and json.loads(lines[-1]) == dataclasses.asdict(trial)


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_kept(tmp_path):
    _filled(tmp_path)
    path = tmp_path / "trials.jsonl"
    path.write_text(path.read_text()[:-7])
    log = TrialLog(tmp_path, CONFIGURATION)
    assert list(log.finished.values()) == TRIALS[:1]
    log.append(TRIALS[1])
    assert list(TrialLog(tmp_path, CONFIGURATION).finished.values()) == TRIALS


def test_a_damaged_line_is_named(tmp_path):
    _filled(tmp_path)
    path = tmp_path / "trials.jsonl"
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(ValueError, match=r"Line 1 of .*trials\.jsonl is damaged"):
        TrialLog(tmp_path, CONFIGURATION)


def test_another_configuration_is_refused_and_named(tmp_path):
    _filled(tmp_path)
    with pytest.raises(
        ValueError, match=r"another configuration \(recipe epochs was 3, now 4\)\. Choose another folder"
    ):
        TrialLog(tmp_path, {**CONFIGURATION, "recipe": {"epochs": 4}})
    assert list(TrialLog(tmp_path, CONFIGURATION).finished.values()) == TRIALS


def test_trials_without_their_configuration_are_refused(tmp_path):
    _filled(tmp_path)
    (tmp_path / "configuration.json").unlink()
    with pytest.raises(ValueError, match=r"no configuration\.json"):
        TrialLog(tmp_path, CONFIGURATION)


def test_a_folder_without_trials_takes_any_configuration(tmp_path):
    TrialLog(tmp_path, CONFIGURATION)
    TrialLog(tmp_path, {"source": "other"})
    assert json.loads((tmp_path / "configuration.json").read_text())["source"] == "other"


def test_a_damaged_configuration_is_named(tmp_path):
    _filled(tmp_path)
    (tmp_path / "configuration.json").write_text("{")
    with pytest.raises(ValueError, match=r"configuration\.json is damaged"):
        TrialLog(tmp_path, CONFIGURATION)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = _filled(None)
    assert list(log.finished.values()) == TRIALS and not list(tmp_path.iterdir())


def test_a_damaged_tail_is_as_good_as_none(tmp_path):
    store = TailStore(tmp_path)
    store._keep(TRIALS[0], [np.ones(3)])
    np.testing.assert_array_equal(TailStore(tmp_path).find(TRIALS[0]), [np.ones(3)])
    assert TailStore(tmp_path).find(TRIALS[1]) is None
    for content in (b"", b"half a file", (tmp_path / "tail-4.npz").read_bytes()[:-40]):
        (tmp_path / "tail-4.npz").write_bytes(content)
        assert TailStore(tmp_path).find(TRIALS[0]) is None


def test_the_same_scores_are_the_same_even_where_they_are_no_numbers():
    odd = dataclasses.replace(TRIALS[0], test={"auc": float("nan")}, seconds=1.0)
    again = Trial(**json.loads(json.dumps(dataclasses.asdict(odd))))
    assert same_scores(odd, dataclasses.replace(again, seconds=2.0)) and not same_scores(odd, TRIALS[0])
