"""What many trials of one defroster take, in memory and beside training."""

import functools
import time
from unittest import mock

import numpy as np

import kdefrost
from kdefrost import training
from kdefrost.trials.tails import Tail
from scripts.benches.measuring import memory, random_images, spread

CUTS, SEEDS, PER_CLASS = ("group3_block1", "pool"), 100, 4


def bench_trials():
    memories, beside = run_trials(kdefrost.wide_resnet(16, 1), CUTS, SEEDS)
    print(f"{len(memories)} trials of one defroster, at {' and '.join(CUTS)}, 1 epoch on {10 * PER_CLASS} images:")
    marks = [mark for mark in (10, 50, 100, 150, 200) if mark <= len(memories)]
    print("  memory (VmRSS) after so many trials, MB: ", end="")
    print(", ".join(f"{mark}: {memories[mark - 1] / 1e6:.1f}" for mark in marks))
    print(f"  growth from {marks[0]} to {marks[-1]}: {(memories[marks[-1] - 1] - memories[marks[0] - 1]) / 1e6:.1f} MB")
    print(f"  a trial beside its training, ms: {spread(1000 * beside, '.1f')}")


def run_trials(source, cuts, seeds: int) -> tuple[list[int], np.ndarray]:
    """Runs one profile.

    Args:
        source: The source model.
        cuts: Its cuts.
        seeds: Number of trials at each.

    Returns:
        `(memories, seconds)`: the bytes of the process after each trial, and what each took beside its
        training: new weights, test, and whether it diverged.
    """
    memories, whole, fits = [], [], []

    def timed(function, seconds: list, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds.append(time.perf_counter() - start)
        return result

    run, fit = Tail.run, training.fit

    def run_and_weigh(*arguments, **options):
        result = timed(run, whole, *arguments, **options)
        memories.append(memory("VmRSS"))
        return result

    with (
        mock.patch.object(Tail, "run", run_and_weigh),
        mock.patch.object(training, "fit", functools.partial(timed, fit, fits)),
    ):
        defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=1), cuts=list(cuts))
        images = random_images(10 * PER_CLASS)
        defroster.profile(images, test=images, per_class=PER_CLASS, seeds=seeds, verbose=False)
    return memories, np.subtract(whole, fits)
