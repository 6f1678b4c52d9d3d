"""What very many trials leave behind: in memory, in open files, in the run folder."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np

import kdefrost
from kdefrost.tables import align
from kdefrost.trials.store import Store
from scripts.benches.measuring import memory

SIZE, CLASSES, PER_CLASS = (8, 8, 1), 3, 4
# So many trials pass before growth is counted: compiling takes memory once.
WARM = 0.2
# Trials between two looks.
EVERY = 10
COLUMNS = {
    "memory": "memory, MB",
    "workers": "workers' memory, MB",
    "files": "open files",
    "threads": "threads",
    "folder": "files in the folder",
}


def bench_soak(trials: int, side_by_side: int):
    print(say("in one process", soak(trials)), flush=True)
    print(say("over two processes (jobs=2)", soak(side_by_side, jobs=2)))


def soak(trials: int, jobs: int | None = None) -> list[dict[str, float]]:
    """Runs so many trials of one defroster, with a run folder.

    Args:
        trials: At least so many, in two runs at two cuts each.
        jobs: Processes that run them; `None` for this one.

    Returns:
        The looks at what there was, one every few trials, the last when all has ended.
    """
    looks, images = [], tiny_images()
    with tempfile.TemporaryDirectory() as folder:
        keep, start, count = Store.keep, time.perf_counter(), 0

        def kept(store, answer):
            nonlocal count
            keep(store, answer)
            count += 1
            if count % EVERY == 0:
                looks.append({"trial": count, **look(Path(folder))})

        with mock.patch.object(Store, "keep", kept):
            defroster = kdefrost.Defroster(network(), kdefrost.Recipe(epochs=1), cuts=[1, 2], directory=folder)
            # Twice, so that what a run leaves behind shows beside what a trial does.
            for share in (0.5, 1):
                seeds = -(-int(share * trials) // 2)
                defroster.profile(images, test=images, per_class=PER_CLASS, seeds=seeds, jobs=jobs, verbose=False)
        looks.append({"trial": count, **look(Path(folder)), "seconds": time.perf_counter() - start})
    return looks


def look(folder: Path) -> dict[str, float]:
    """What there is of this process now, as Linux tells it, and in a folder."""
    return {
        "memory": memory("VmRSS") / 1e6,
        "workers": sum(map(resident, workers())) / 1e6,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "folder": sum(len(names) for _, _, names in os.walk(folder)),
    }


def workers() -> Iterator[str]:
    """The numbers of this process's own processes."""
    for task in Path("/proc/self/task").iterdir():
        yield from (task / "children").read_text().split()


def resident(process: str) -> int:
    """Bytes of memory that a process has, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def growth(looks: list[dict[str, float]], name: str) -> float:
    """By how much something grows in 1,000 trials: the slope of a straight line, the first trials left out."""
    last = looks[-1]["trial"]
    # Workers have ended at the last look.
    later = [each for each in looks[:-1] if each["trial"] > WARM * last]
    return 1000 * np.polyfit([each["trial"] for each in later], [each[name] for each in later], 1)[0]


def say(how: str, looks: list[dict[str, float]]) -> str:
    """A table of a few looks, and of what grows."""
    last = looks[-1]["trial"]
    marks = [next(each for each in looks if each["trial"] >= share * last) for share in (0.1, WARM, 0.4, 0.6, 0.8)]
    rows = [[str(each["trial"]), *(f"{each[name]:.0f}" for name in COLUMNS)] for each in [*marks, looks[-2]]]
    rows.append(["ended", *(f"{looks[-1][name]:.0f}" for name in COLUMNS)])
    grows = ["in 1,000", *(f"{growth(looks, name):+.1f}" for name in COLUMNS)]
    table = align([["trials", *COLUMNS.values()], *rows, grows])
    return f"{last} trials of one defroster in two runs, {how}, {looks[-1]['seconds']:.0f} s:\n{table}\n"


def tiny_images():
    rng = np.random.default_rng(0)
    labels = np.arange(CLASSES * 20) % CLASSES
    return (rng.normal(size=(len(labels), *SIZE)) + labels[:, None, None, None]).astype("float32"), labels


def network() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(SIZE),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
