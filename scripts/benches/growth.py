"""How the time of a profile grows with its number of cuts, of training images and of seeds."""

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np

import kdefrost
from kdefrost.cutting.features import FeatureFlow
from kdefrost.drawing import save_figure
from kdefrost.files import make_folder, write_atomically
from kdefrost.tables import align
from scripts.benches.tasks import TASKS
from scripts.benches.work import read_images, write_images

TASK = dataclasses.replace(TASKS["wide_resnet_16_1"], test_per_class=20, epochs=4)
# One of them is varied, the others stay.
USUAL = {"cuts": 4, "per_class": 32, "seeds": 2}
VARIED = {"cuts": (1, 2, 4, 8), "per_class": (16, 32, 64, 128), "seeds": (1, 2, 4, 8)}
UNITS = {"cuts": "cut", "per_class": "image of each class", "seeds": "seed"}
LABELS = {"cuts": "number of cuts", "per_class": "training images per class", "seeds": "number of seeds"}


def bench_growth(rounds: int, data_dir: str | None, out: str):
    with tempfile.TemporaryDirectory() as folder:
        write_images(TASK, kdefrost.load_data(TASK.data, data_dir), Path(folder))
        train, test = read_images(Path(folder))
    # A place that is none shows here, before hours of measuring.
    place = make_folder(out)
    # Untrained: speed does not depend on the weights.
    source = kdefrost.build_model(TASK.network, int(train[1].max()) + 1, train[0].shape[1:])
    measures = []
    # The first profile of a process is the slowest.
    timed_profile(source, train, test, **USUAL)
    for number in range(1, rounds + 1):
        for size in sizes():
            measures.append({"round": number, **size, **timed_profile(source, train, test, **size)})
        print(f"  round {number} of {rounds} done", flush=True)
    print(report(measures))
    write_atomically(place / "growth.json", json.dumps(measures))
    figure = draw(measures)
    for name in ("growth.png", "growth.svg"):
        save_figure(figure, place / name)
    print("\n".join(f"  {place / name}" for name in ("growth.json", "growth.png", "growth.svg")))


def sizes() -> list[dict[str, int]]:
    """All sizes, each once."""
    every = [{**USUAL, name: value} for name, values in VARIED.items() for value in values]
    return [size for number, size in enumerate(every) if size not in every[:number]]


def spread_cuts(source, count: int) -> list[str]:
    """Names of so many cuts, over whose number a profile's time should be a straight line.

    Trials at early cuts train more layers, so cuts are taken that are spread evenly by the cost that they leave,
    whose mean cost is about the same for any number of them; of one cut, that which leaves about half.
    """
    every = kdefrost.cut_points(source)
    if count == 1:
        return [min(every, key=lambda cut: abs(cut.tail_share - 0.5)).name]
    return [cut.name for cut in kdefrost.cut_points(source, count)]


def timed_profile(source, train, test, cuts: int, per_class: int, seeds: int) -> dict[str, float]:
    """Runs a profile; gives its seconds, those of its feature pass, and how often that ran the whole network."""
    names = spread_cuts(source, cuts)
    with feature_pass() as features:
        start = time.perf_counter()
        defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=TASK.epochs), cuts=names)
        defroster.profile(train, test=test, per_class=per_class, seeds=seeds, verbose=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, **features}


@contextlib.contextmanager
def feature_pass() -> Iterator[dict[str, float]]:
    """Times the features of the profiles that run inside `with`, and counts their passes through the network."""
    features = {"feature_seconds": 0.0, "passes": 0.0}
    advance = FeatureFlow.advance

    def timed(flow, cut, place, on_progress):
        done, before = [], flow.cut
        start = time.perf_counter()
        advance(flow, cut, place, done.append)
        features["feature_seconds"] += time.perf_counter() - start
        examples = sum(len(arrays[0]) for arrays in flow.features.values())
        share = (before.tail_multiply_adds - cut.tail_multiply_adds) / cut.multiply_adds
        features["passes"] += share * sum(done) / examples

    with mock.patch.object(FeatureFlow, "advance", timed):
        yield features


def report(measures: Sequence[dict]) -> str:
    """The table of all sizes, and what lies how far from a straight line."""
    rounds = max(one["round"] for one in measures)
    lines = [f"{TASK.network}, {TASK.epochs} epochs, {rounds} rounds, median (range):"]
    head = ["cuts", "per class", "seeds", "profile, s", "feature pass, s", "whole passes"]
    rows = [
        [
            *(str(size[name]) for name in USUAL),
            _middle([one["seconds"] for one in chosen]),
            _middle([one["feature_seconds"] for one in chosen]),
            f"{np.median([one['passes'] for one in chosen]):.2f}",
        ]
        for size in sizes()
        if (chosen := of_size(measures, size))
    ]
    lines.append(align([head, *rows]))
    for name in VARIED:
        constant, slope, deviation = straight_line(*middles(measures, name))
        lines.append(f"{constant:.2f} s + {slope:.3g} s per {UNITS[name]}: at most {100 * deviation:.1f} % off")
    return "\n".join(lines)


def of_size(measures: Sequence[dict], size: dict[str, int]) -> list[dict]:
    """The measurements of one size, round by round."""
    return [one for one in measures if all(one[name] == value for name, value in size.items())]


def middles(measures: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of what is varied, and the median seconds at each."""
    seconds = [[one["seconds"] for one in of_size(measures, {**USUAL, name: value})] for value in VARIED[name]]
    return np.array(VARIED[name]), np.median(seconds, axis=1)


def straight_line(x: np.ndarray, seconds: np.ndarray) -> tuple[float, float, float]:
    """The least-squares line `a + b x`, and the largest deviation from it as a share of the line.

    Args:
        x: What is varied `(values,)`.
        seconds: Seconds at each `(values,)`.

    Returns:
        `(a, b, deviation)`.
    """
    slope, constant = np.polyfit(x, seconds, 1)
    line = constant + slope * x
    return float(constant), float(slope), float(np.max(np.abs(seconds / line - 1)))


def draw(measures: Sequence[dict]):
    """One panel for each of what is varied, with the straight line."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(VARIED), figsize=(10, 3.4), layout="constrained", sharey=True)
    for ax, name in zip(axes, VARIED, strict=True):
        x, median = middles(measures, name)
        every = [[one["seconds"] for one in of_size(measures, {**USUAL, name: value})] for value in x]
        low, high = np.min(every, axis=1), np.max(every, axis=1)
        constant, slope, deviation = straight_line(x, median)
        line = f"{constant:.1f} s + {slope:.2g} s per {UNITS[name]}"
        ax.plot(x, constant + slope * x, color="#0072B2", linewidth=1.2, label=line)
        errors = np.stack([median - low, high - median])
        ax.errorbar(x, median, errors, fmt="o", color="black", markersize=4, capsize=3, label="median and range")
        ax.set_xlabel(f"{LABELS[name]}\n({_others(name)})")
        ax.set_xticks(x)
        ax.set_title(f"at most {100 * deviation:.0f} % from the line", fontsize=9)
        ax.legend(fontsize=8, frameon=False, loc="upper left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes[0].set_ylabel("time of the profile (s)")
    top = max(one["seconds"] for one in measures)
    # Room for the legends.
    axes[0].set_ylim(0, 1.3 * top)
    return figure


def _others(name: str) -> str:
    words = {"cuts": "cuts", "per_class": "images per class", "seeds": "seeds"}
    return ", ".join(f"{value} {words[other]}" for other, value in USUAL.items() if other != name)


def _middle(values: Sequence[float]) -> str:
    return f"{np.median(values):.2f} ({np.min(values):.2f} to {np.max(values):.2f})"
