"""A Ray cluster of several nodes on this machine: how fast trials are there, and what is lost where something dies."""

import contextlib
import time
from collections.abc import Iterator
from unittest import mock

import numpy as np
import ray
from ray.cluster_utils import Cluster

import kdefrost
from kdefrost.trials.store import Store
from scripts.benches.faults import ONE_CORE, bench_drivers, bench_kills
from scripts.benches.measuring import random_images, spread
from scripts.benches.simulated import bench_answers

# Trials at one cut: tails that a core trains in about a second.
CUT, EPOCHS, PER_CLASS, TRIALS = "group3_block1", 30, 16, 40
WORKERS = (1, 2, 4)


def bench_cluster(rounds: int, parts: list[str], answers: int, workers: int):
    """Measures the named parts; each prints what it found."""
    benches = {
        "throughput": lambda: bench_throughput(rounds),
        "kills": bench_kills,
        "drivers": bench_drivers,
        "answers": lambda: bench_answers(answers, workers),
    }
    for part in parts:
        benches[part]()


def bench_throughput(rounds: int):
    source, images = kdefrost.wide_resnet(16, 1), random_images(10 * PER_CLASS)
    print(f"{TRIALS} trials at {CUT}, {EPOCHS} epochs on {len(images[1])} images, scored on as many; {rounds} rounds:")
    ways = [("ray", count) for count in WORKERS] + [("jobs", count) for count in WORKERS[:2]]
    found = {way: [] for way in ways}
    for _ in range(rounds):
        for kind, count in ways:
            with nodes(count) if kind == "ray" else contextlib.nullcontext() as executor:
                rate, beside = timed_trials(source, images, executor, count)
            found[kind, count].append((rate, beside))
            print(f"  {name(kind, count)}: {rate:.2f} trials/s; {1000 * beside:.0f} ms beside each", flush=True)
    print("Over the rounds:")
    for way, measures in found.items():
        rates, beside = zip(*measures, strict=True)
        print(f"  {name(*way)}: {spread(rates, '.2f')} trials/s; {spread(1000 * np.array(beside), '.0f')} ms")


def name(kind: str, count: int) -> str:
    return f"{kind:>4}, {count} worker{'s' * (count > 1)}"


@contextlib.contextmanager
def nodes(count: int) -> Iterator[str]:
    """A cluster of so many nodes of a core on this machine, as `executor` names it."""
    cluster = Cluster(initialize_head=True, head_node_args=ONE_CORE)
    try:
        for _ in range(count - 1):
            cluster.add_node(**ONE_CORE)
        yield f"ray:{cluster.address}"
    finally:
        ray.shutdown()
        cluster.shutdown()


def timed_trials(source, images, executor: str | None, workers: int) -> tuple[float, float]:
    """Runs trials.

    Returns:
        `(rate, beside)`: trials a second, and seconds of a worker beside each trial; of those after the first three of
        each worker, which wait for TensorFlow and for their tail to be traced.
    """
    ends, seconds, keep = [], [], Store.keep

    def timed(self, answer):
        keep(self, answer)
        ends.append(time.perf_counter())
        seconds.append(answer.seconds)

    recipe = kdefrost.Recipe(epochs=EPOCHS)
    with mock.patch.object(Store, "keep", timed):
        defroster = kdefrost.Defroster(source, recipe, cuts=[CUT], executor=executor)
        given = {"per_class": PER_CLASS, "seeds": TRIALS, "jobs": workers, "verbose": False}
        defroster.profile(images, test=images, **given)
    first = 3 * workers
    rate = (len(ends) - first) / (ends[-1] - ends[first - 1])
    return rate, workers / rate - float(np.mean(seconds[first:]))
