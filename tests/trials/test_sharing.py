"""Run folders under what happens to them: processes that are killed, that begin at once, and disks that are full.

Each process is an interpreter of its own, as a user starts it.
"""

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from conftest import PROJECT

from kdefrost.trials.store import FILE

# Twelve trials of a network that is traced fast; the second argument is what else the profile takes.
PROGRAM = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, kdefrost

if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    layers = keras.layers
    source = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(6, 3),
        layers.ReLU(), layers.Flatten(), layers.Dense(3, activation="softmax")])
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    x = (rng.normal(size=(60, 8, 8, 1)) + y[:, None, None, None]).astype("float32")
    defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=3, batch_size=8), directory=sys.argv[1])
    given = {"per_class": [2, 5], "seeds": 2, "verbose": False, **json.loads(sys.argv[2])}
    try:
        profile = defroster.profile((x, y), test=(x, y), **given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    profile.save(sys.argv[3])
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that runs the profile in a folder and saves it beside."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(folder: str, name: str = "profile", before: str = "", **given):
        paths = tmp_path / folder, json.dumps(given), tmp_path / f"{name}.json"
        command = f"{before} exec {sys.executable} {program} {paths[0]} '{paths[1]}' {paths[2]}"
        return subprocess.Popen(["bash", "-c", command], cwd=PROJECT, stderr=subprocess.PIPE, text=True)

    return start


def _ends(process) -> str:
    """What a process says on standard error, once it has ended."""
    _, said = process.communicate(timeout=300)
    return said


def _count(folder) -> tuple[int, int]:
    """The number of answers of a folder, and how many were ever written."""
    if not (folder / FILE).exists():
        return 0, 0
    with contextlib.closing(sqlite3.connect(folder / FILE, timeout=60)) as connection:
        try:
            count, last = connection.execute("SELECT count(*), max(number) FROM answers").fetchone()
        except sqlite3.OperationalError:
            # The process has not come so far.
            return 0, 0
    return count, last or 0


def _wait_for(folder, count: int):
    """Waits until there are so many answers."""
    until = time.monotonic() + 120
    while _count(folder)[0] < count:
        assert time.monotonic() < until, "no answer came"
        time.sleep(0.02)


def _scores(path) -> list:
    return [{**trial, "seconds": None} for trial in json.loads(path.read_text())["trials"]]


@pytest.fixture
def whole(start, tmp_path):
    """The scores of a run that nothing happened to."""
    process = start("whole", "whole")
    assert process.wait(300) == 0
    return _scores(tmp_path / "whole.json")


def test_kills_and_double_starts_cost_the_running_trials_alone(start, whole, tmp_path):
    """Killed at random instants; then two begin at once, of which one is killed; the other ends it all."""
    folder, rng, kills = tmp_path / "killed", random.Random(0), 0
    for least in (0, 1, 3):
        process = start("killed")
        _wait_for(folder, least)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    before = _count(folder)[0]
    first, second = start("killed"), start("killed", "killed")
    _wait_for(folder, min(before + 2, 11))
    first.send_signal(signal.SIGKILL)
    first.wait()
    kills += 1
    assert _ends(second) == "" and second.returncode == 0
    count, written = _count(folder)
    print(f"{kills} kills, 1 double start: {count} answers, {written} ever written")
    assert count == written == len(whole) == 12
    assert _scores(tmp_path / "killed.json") == whole
    assert not list(folder.glob(".running-*")) and not list(folder.glob("*.part"))


def test_two_at_once_share_the_work_and_both_give_the_whole(start, whole, tmp_path):
    names = ["one", "other"]
    processes = [start("shared", name) for name in names]
    assert [_ends(process) for process in processes] == ["", ""]
    count, written = _count(tmp_path / "shared")
    print(f"1 double start: {count} answers, {written} ever written")
    assert count == written == 12
    assert [_scores(tmp_path / f"{name}.json") for name in names] == [whole, whole]


def test_cuts_sizes_and_seeds_can_be_added_and_nothing_is_asked_again(start, whole, tmp_path):
    folder = tmp_path / "grown"
    for given, count in [({"seeds": 1, "per_class": 2}, 3), ({"per_class": 2}, 6), ({}, 12), ({}, 12)]:
        process = start("grown", "grown", **given)
        assert _ends(process) == "" and _count(folder) == (count, count)
    assert _scores(tmp_path / "grown.json") == whole


def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_run_goes_on_later(start, whole, tmp_path):
    """A limit on the size of files stands for the disk: SQLite's and the tails' cannot grow."""
    folder = tmp_path / "full"
    process = start("full", before="ulimit -f 28;")
    said = _ends(process)
    assert process.returncode == 1 and said.startswith("error: ") and said.count("\n") == 1, said
    assert str(folder) in said and "ake room" in said
    kept = _count(folder)[0]
    assert 0 < kept < 12 and not list(folder.glob("*.part"))
    assert _ends(start("full", "full")) == ""
    assert _count(folder)[0] == 12 and _scores(tmp_path / "full.json") == whole
