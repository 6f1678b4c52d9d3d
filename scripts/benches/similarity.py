"""How long measures of similarity take."""

import functools
import multiprocessing
import warnings

import numpy as np

import kdefrost
from scripts.benches.measuring import matmul_rate, measured, memory, spread

# Points and numbers of each.
POINTS, WIDTH = 10_000, 4_096
GROWING, GROWING_WIDTH = (12_500, 25_000, 50_000), 1_024


def bench_similarity(rounds: int):
    bench_compare(rounds)
    print(f"Growing, {GROWING_WIDTH:,} numbers a point, once each, each in a process of its own:")
    # Memory that is freed may stay with a process.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        for line in processes.imap(grow, GROWING, chunksize=1):
            print(f"  {line}", flush=True)
    bench_dadapy()


def grow(points: int) -> str:
    before = settled_memory()
    x, y = related_points(points, GROWING_WIDTH)
    elapsed, peak = measured(functools.partial(kdefrost.similarity.compare, x, y))
    beside, inputs = (peak - before - 2 * x.nbytes) / 1e9, 2 * x.nbytes / 1e9
    per_pair = 1e9 * elapsed / points**2
    return (
        f"{points:,} points: {elapsed:.1f} s, {per_pair:.1f} ns per pair, peak {beside:.2f} GB beside {inputs:.2f} GB"
    )


def bench_compare(rounds: int):
    before = settled_memory()
    x, y = related_points(POINTS, WIDTH)
    seconds, peaks, rates = [], [], []
    # The first round compiles and does not count.
    for number in range(rounds + 1):
        rate = matmul_rate("float32")
        elapsed, peak = measured(functools.partial(kdefrost.similarity.compare, x, y))
        peaks.append((peak - before - 2 * x.nbytes) / 1e9)
        if number:
            seconds.append(elapsed)
            rates.append(rate)
    # A multiply-add is two operations; half of all products are distinct.
    least = 2 * POINTS**2 * WIDTH / 1e9 / np.array(rates)
    print(f"All measures of two representations, {POINTS:,} points of {WIDTH:,} numbers, {rounds} rounds:")
    print(f"  matrix products, float32, GFLOP/s: {spread(rates, '.0f')}")
    print(f"  compare, s: {spread(seconds, '.2f')}")
    print(f"  distinct multiply-adds alone at that rate, s: {spread(least, '.2f')}")
    print(f"  ratio: {spread(np.divide(seconds, least), '.2f')}")
    print(f"  peak memory beside the inputs, GB: {spread(peaks, '.2f')}", flush=True)


def bench_dadapy():
    """Two of the measures by the package of those who introduced one of them, each by its own call."""
    try:
        from dadapy import MetricComparisons
    except ImportError:
        print("DADApy is not installed: pip install dadapy==0.3.4")
        return
    before = memory("VmRSS")
    x, y = related_points(POINTS, WIDTH)
    points = MetricComparisons(coordinates=x)
    calls = {
        "information imbalance both ways": lambda: points.return_information_imbalace(y, subset_size=len(x) + 1),
        "neighbourhood overlap": lambda: points.return_data_overlap(coordinates=y, k=30),
    }
    warnings.simplefilter("ignore")
    for name, call in calls.items():
        elapsed, peak = measured(call)
        print(f"DADApy, {name}, once: {elapsed:.1f} s, ", end="")
        print(f"peak {(peak - before - 2 * x.nbytes) / 1e9:.2f} GB beside the inputs", flush=True)


def related_points(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two representations with something in common, made in place."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((count, width), np.float32) for _ in range(2))
    for rows in np.array_split(np.arange(count), 50):
        y[rows] += 0.5 * x[rows]
    return x, y


def settled_memory() -> int:
    """What this process has, in bytes, once TensorFlow is loaded and has compared some points."""
    kdefrost.similarity.compare(*related_points(500, 64))
    matmul_rate("float32")
    return memory("VmRSS")
