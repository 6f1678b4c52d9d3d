"""Run folders under what happens to them: processes that are killed, that begin at once, and disks that are full.

Each process is one of its own, which shares nothing with the others but the folder.
"""

import contextlib
import json
import random
import sqlite3
import time

import pytest

from kdefrost.trials.store import FILE

# Twelve trials of a network that is traced fast.
PROGRAM = """
import os, resource, sys
os.dup2(os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, kdefrost

keras.utils.set_random_seed(0)
layers = keras.layers
source = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(6, 3),
    layers.ReLU(), layers.Flatten(), layers.Dense(3, activation="softmax")])
rng, y = np.random.default_rng(0), np.arange(60) % 3
x = (rng.normal(size=(60, 8, 8, 1)) + y[:, None, None, None]).astype("float32")
defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=3, batch_size=8), directory=folder)
try:
    profile = defroster.profile((x, y), test=(x, y), per_class=[2, 5], seeds=2, verbose=False)
except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
profile.save(saved)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of all run folders."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def begin(place, start):
    """Starts a process that runs the profile in a folder and saves it beside."""

    def begin(folder: str, name: str = "profile", size: int = 0):
        names = {"folder": str(place / folder), "saved": str(place / f"{name}.json"), "size": size}
        process = start(PROGRAM, said=str(place / f"{name}.said"), **names)
        process.said = place / f"{name}.said"
        return process

    return begin


def _ends(process) -> str:
    """What a process says on standard error, once it has ended, without TensorFlow's notes on the machine."""
    process.join(300)
    notes = ("WARNING: All log messages", "I0000", "To enable the following instructions")
    return "\n".join(line for line in process.said.read_text().splitlines() if not line.startswith(notes))


def _kill(process):
    process.kill()
    process.join()


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
    """Waits until there are so many answers, in a store that has begun."""
    until = time.monotonic() + 120
    while not (folder / FILE).exists() or _count(folder)[0] < count:
        assert time.monotonic() < until, "no answer came"
        time.sleep(0.02)


def _scores(path) -> list:
    return [{**trial, "seconds": None} for trial in json.loads(path.read_text())["trials"]]


@pytest.fixture(scope="module")
def whole(begin, place):
    """The scores of a run that nothing happened to."""
    assert _ends(begin("whole", "whole")) == ""
    return _scores(place / "whole.json")


def test_kills_and_double_starts_cost_the_running_trials_alone(begin, whole, place):
    """Killed at random instants; then three begin at once, of which one is killed, and the others share the rest."""
    folder, rng, kills = place / "killed", random.Random(0), 0
    for least in (0, 1, 3):
        process = begin("killed")
        _wait_for(folder, least)
        time.sleep(rng.uniform(0.0, 0.3))
        _kill(process)
        kills += 1
    before = _count(folder)[0]
    first, *others = (begin("killed", name) for name in ("first", "second", "third"))
    _wait_for(folder, min(before + 2, 11))
    _kill(first)
    kills += 1
    assert [_ends(process) for process in others] == ["", ""]
    count, written = _count(folder)
    print(f"{kills} kills, {len(others)} more starts at once: {count} answers, {written} ever written")
    assert count == written == len(whole) == 12
    assert [_scores(place / f"{name}.json") for name in ("second", "third")] == [whole, whole]
    assert not list(folder.glob(".running-*")) and not list(folder.glob("*.part"))


def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_run_goes_on_later(begin, whole, place):
    """A limit on the size of files stands for the disk: SQLite's and the tails' cannot grow."""
    folder = place / "full"
    process = begin("full", size=36 * 1024)
    said = _ends(process)
    assert process.exitcode == 1 and said.startswith("error: ") and "\n" not in said, said
    assert str(folder) in said and "ake room" in said
    kept = _count(folder)[0]
    assert 0 < kept < 12 and not list(folder.glob("*.part"))
    assert _ends(begin("full", "full")) == ""
    assert _count(folder)[0] == 12 and _scores(place / "full.json") == whole
