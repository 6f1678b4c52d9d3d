"""How long a whole profile takes, and what memory, beside doing the same by hand."""

import dataclasses
import importlib
import importlib.util
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from kdefrost.files import versions, write_atomically
from kdefrost.tables import align
from scripts.benches.measuring import matmul_rate, spread
from scripts.benches.tasks import TASKS, WAYS, Task
from scripts.benches.work import prepare, read, settings_of

PARTS = ("whole", "later half", "last cut")


def bench_profile(
    rounds: int,
    task: str,
    data_dir: str | None,
    weights: str | None,
    epochs: int | None,
    seeds: int | None,
    cuts: list[int | str] | None,
    ways: Sequence[str],
    out: Path | None,
):
    if cuts is not None and len(cuts) == 1 and isinstance(cuts[0], int):
        (cuts,) = cuts
    changes = {"epochs": epochs, "seeds": seeds, "cuts": cuts}
    size = dataclasses.replace(TASKS[task], **{name: value for name, value in changes.items() if value is not None})
    with tempfile.TemporaryDirectory() as folder:
        results = run_rounds(size, task, rounds, installed(ways), Path(folder), data_dir, weights, out)
    print(report(results))
    if out is not None:
        print(f"Raw numbers: {out}")


def installed(ways: Sequence[str]) -> list[str]:
    """The ways whose packages are there; of the others it says what to install."""
    missing = [way for way in ways if importlib.util.find_spec(WAYS[way].needs) is None]
    for way in missing:
        print(f"{WAYS[way].label} is left out: pip install {WAYS[way].needs}", flush=True)
    return [way for way in ways if way not in missing]


def run_rounds(
    size: Task, name: str, rounds: int, ways: Sequence[str], folder: Path, data_dir, weights, out: Path | None
) -> dict:
    """Runs all ways in turn, each in a process of its own.

    Args:
        size: The task.
        name: Its name.
        rounds: Number of rounds.
        ways: Keys of `WAYS`.
        folder: Folder for the source and the images.
        data_dir: Folder of the data set.
        weights: File of the ImageNet weights.
        out: File for the raw numbers, written after each process; `None` for none.

    Returns:
        The raw numbers, in what JSON can hold.
    """
    print(f"Preparing {name} …", flush=True)
    settings = settings_of(size, prepare(size, folder, data_dir, weights))
    results = {"task": name, "settings": settings, "versions": versions(), "runs": []}
    for number in range(1, rounds + 1):
        for way in ways:
            start = time.perf_counter()
            run = {"way": way, "round": number, **in_a_process(way, folder, settings)}
            results["runs"].append(run)
            if out is not None:
                write_atomically(out, json.dumps(results))
            whole = time.perf_counter() - start
            print(
                f"  round {number} of {rounds}, {WAYS[way].label}: {in_short(run)} ({whole:.0f} s in all)", flush=True
            )
    return results


def in_short(run: dict) -> str:
    """One line of the raw numbers of one process."""
    return (
        f"{run['seconds']['whole']:.1f} s, peak {(run['peak'] - run['loaded']) / 1e9:.2f} GB beside "
        f"{run['loaded'] / 1e9:.2f}, accuracy {100 * np.mean(run['scores']):.1f} %, matrix products "
        f"{run['rate']:.0f} GFLOP/s"
    )


def in_a_process(way: str, folder: Path, settings: dict) -> dict:
    """What `run_way` gives in a new process, whose peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(run_way, way, folder, settings).result()


def run_way(way: str, folder: Path, settings: dict) -> dict:
    """Runs all trials by one way, once all that it needs is imported and loaded.

    Args:
        way: Key of `WAYS`.
        folder: What `prepare` wrote to.
        settings: What `settings_of` gives.

    Returns:
        What `cut_by_cut` gives, or the way itself, and `"rate"`, that of matrix products before, in GFLOP/s.
    """
    # It warns of whoever makes many models, as two of the ways do.
    tf.get_logger().setLevel("ERROR")
    chosen = WAYS[way]
    run = getattr(importlib.import_module(f"scripts.benches.{chosen.module}"), chosen.function)
    work = read(folder, settings)
    rate = matmul_rate("float32")
    return {"rate": rate, **run(work, **chosen.options)}


def report(results: dict) -> str:
    """The tables of the raw numbers of some rounds.

    Args:
        results: What `run_rounds` returns.

    Returns:
        Text. Ratios are taken within rounds. Differences of accuracies are paired by cut and seed, over the means of
        the rounds.
    """
    settings, runs = results["settings"], results["runs"]
    ways = list(dict.fromkeys(run["way"] for run in runs))
    by_way = {way: [run for run in runs if run["way"] == way] for way in ways}
    rounds = max(run["round"] for run in runs)
    lines = [
        f"{results['task']}, {len(settings['cuts'])} cuts, {settings['per_class']} images per class, "
        f"{settings['epochs']} epochs, {settings['seeds']} seeds; {rounds} rounds in turn, median (range)",
        f"Matrix products, float32, GFLOP/s: {spread([run['rate'] for run in runs], '.0f')}",
        "",
        align([["seconds", *PARTS], *([WAYS[way].label, *_seconds(by_way[way])] for way in ways)], left=(0,)),
    ]
    if "kdefrost" in ways:
        rows = [[WAYS[way].label, *_ratios(by_way[way], by_way["kdefrost"])] for way in ways if way != "kdefrost"]
        lines += ["", align([["times kdefrost's", *PARTS], *rows], left=(0,))]
    head = ["", "peak beside loaded, GB", "loaded, GB", "accuracy, %", "minus kdefrost's"]
    rows = [[WAYS[way].label, *_memory(by_way[way]), *_accuracy(by_way[way], by_way.get("kdefrost"))] for way in ways]
    lines += ["", align([head, *rows], left=(0,))]
    return "\n".join([*lines, *(_achieved(WAYS[way].label, by_way[way]) for way in ways if "flops" in by_way[way][0])])


def _seconds(runs: list[dict]) -> list[str]:
    return [_middle([run["seconds"][part] for run in runs]) for part in PARTS]


def _ratios(runs: list[dict], others: list[dict]) -> list[str]:
    """Times over those of another way in the same round."""
    # Of a run that was stopped, the last round lacks some ways.
    pairs = [(mine["seconds"], theirs["seconds"]) for mine, theirs in zip(runs, others, strict=False)]
    return [_middle([mine[part] / theirs[part] for mine, theirs in pairs]) for part in PARTS]


def _memory(runs: list[dict]) -> list[str]:
    return [_middle([(run["peak"] - run["loaded"]) / 1e9 for run in runs]), _middle([r["loaded"] / 1e9 for r in runs])]


def _accuracy(runs: list[dict], others: list[dict] | None) -> list[str]:
    """Mean accuracy over cuts and seeds, and that of the differences to another way ± its standard error."""
    mine = 100 * np.mean([run["scores"] for run in runs], axis=0)
    mean = f"{mine.mean():.1f}"
    if others is None or others is runs:
        return [mean, ""]
    differences = (mine - 100 * np.mean([run["scores"] for run in others], axis=0)).ravel()
    if len(differences) < 2:
        return [mean, f"{differences.mean():+.1f}"]
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return [mean, f"{differences.mean():+.1f} ± {error:.1f}"]


def _achieved(label: str, runs: list[dict]) -> str:
    """The share of the rate of matrix products that trials at the first cut reach."""
    compiles = len(runs[0]["flops"]) == 1
    shares = [flops / 1e9 / run["rate"] for run in runs for flops in run["flops"][0 if compiles else 1 :]]
    which = "the only trial, compiling included" if compiles else "trials after the first, which compiles"
    return f"{label} at the first cut, operations per second over those of matrix products ({which}): {_middle(shares)}"


def _middle(values: Sequence[float]) -> str:
    """Median and range, with three digits of the median."""
    low, middle, high = np.min(values), np.median(values), np.max(values)
    digits = max(0, 2 - int(np.floor(np.log10(abs(middle))))) if middle else 2
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
