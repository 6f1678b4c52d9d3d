"""Workers, nodes and drivers of a Ray cluster that are killed while a profile runs, and what comes of its trials."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import ray
from ray.cluster_utils import Cluster

import kdefrost
from kdefrost.profile.best_tails import same_scores
from kdefrost.trials.store import read_answers

KILLS, DRIVERS = 20, 5
# Ray lets workers wait for all else that the machine does, unless it is told otherwise.
ONE_CORE = {"num_cpus": 1, "env_vars": {"RAY_worker_niceness": "0"}}
NODES, SEEDS, PER_CLASS = 4, 70, [2, 5, 8]


def bench_kills():
    """Kills workers and nodes in turn, in the midst of trials, and has a node join for each that is gone."""
    from kdefrost.trials.cluster import Cluster as Executor

    taken, count, killed = Executor._taken, 0, []
    trials = 2 * SEEDS * len(PER_CLASS)
    with four_nodes() as cluster, tempfile.TemporaryDirectory() as directory:

        def disturbed(self, reference):
            nonlocal count
            count += 1
            if count % (trials // (KILLS + 1)) == 0 and len(killed) < KILLS:
                killed.append(kill_node(cluster) if len(killed) % 2 else kill_worker(cluster))
            yield from taken(self, reference)

        start = time.perf_counter()
        with mock.patch.object(Executor, "_taken", disturbed):
            profile = small_profile(f"ray:{cluster.address}", directory)
        seconds = time.perf_counter() - start
        kept = len(read_answers(Path(directory), {}))
    busy = sum(killed)
    print(f"{len(killed)} kills, of workers and nodes in turn, {busy} of them of processes that were in a trial:")
    print(f"  {trials} trials asked, {kept} answers kept, {trials - kept} lost; {seconds:.0f} s")
    compare(profile)


def bench_drivers():
    """Kills the process that asks, again and again, and starts it anew."""
    context, before = multiprocessing.get_context("spawn"), {}
    with four_nodes() as cluster, tempfile.TemporaryDirectory() as directory:
        lost = 0
        for number in range(DRIVERS):
            driver = context.Process(target=small_profile, args=(f"ray:{cluster.address}", directory))
            driver.start()
            until = len(before) + 2 * SEEDS * len(PER_CLASS) // (DRIVERS + 2)
            while len(answers_in(directory)) < until and driver.is_alive():
                time.sleep(0.1)
            driver.kill()
            driver.join()
            now = answers_in(directory)
            lost += sum(now.get(question) != answer for question, answer in before.items())
            before = now
            print(f"  driver {number + 1} killed after {len(before)} answers")
        profile = small_profile(f"ray:{cluster.address}", directory)
        now = answers_in(directory)
        lost += sum(now[question] != answer for question, answer in before.items())
    print(f"{DRIVERS} drivers killed: {len(now)} answers, of {len(profile.trials)} asked; {lost} lost or changed")
    compare(profile)


@contextlib.contextmanager
def four_nodes() -> Iterator[Cluster]:
    """A head, on which nothing runs, and nodes of one core each."""
    cluster = Cluster(initialize_head=True, head_node_args={**ONE_CORE, "num_cpus": 0})
    try:
        for _ in range(NODES):
            cluster.add_node(**ONE_CORE)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def answers_in(directory: str) -> dict:
    # A driver may have made the file and nothing in it yet.
    with contextlib.suppress(ValueError):
        return read_answers(Path(directory), {})
    return {}


def kill_worker(cluster: Cluster) -> bool:
    """Kills a worker, one that is in a trial if there is one, and says whether it was."""
    workers = seated(cluster)
    while not workers:
        time.sleep(0.1)
        workers = seated(cluster)
    busy = [process for process, title in workers.items() if title.endswith(".answer")]
    os.kill((busy or list(workers))[0], signal.SIGKILL)
    return bool(busy)


def kill_node(cluster: Cluster, **node) -> bool:
    """Kills a node with all that is on it, and has another join; says whether it was in a trial."""
    busy = {process for process, title in seated(cluster).items() if title.endswith(".answer")}
    nodes = sorted(cluster.worker_nodes, key=lambda node: bool(busy & seated(cluster, [node]).keys()))
    was_busy = bool(busy & seated(cluster, nodes[-1:]).keys())
    cluster.remove_node(nodes[-1], allow_graceful=False)
    cluster.add_node(**node or ONE_CORE)
    return was_busy


def seated(cluster: Cluster, nodes=None) -> dict[int, str]:
    """The processes of a cluster's workers, as Linux has them, and their titles, by which Ray says what they do."""
    nodes = cluster.list_all_nodes() if nodes is None else nodes
    parents = {each.process.pid for node in nodes for each in node.all_processes.get("raylet", [])}
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        # One may end meanwhile.
        with contextlib.suppress(OSError):
            title = (path / "cmdline").read_text().split("\0")[0]
            if (
                title.startswith("ray::_Seat")
                and int((path / "stat").read_text().rsplit(")")[-1].split()[1]) in parents
            ):
                found[int(path.name)] = title
    return found


def small_profile(executor: str | None, directory: str | None = None, jobs: int | None = None):
    """A profile of many short trials, the same each time."""
    keras.utils.set_random_seed(0)
    layers, rng = keras.layers, np.random.default_rng(0)
    source = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    labels = np.arange(90) % 3
    images = (rng.normal(size=(90, 8, 8, 1)) + labels[:, None, None, None]).astype("float32")
    recipe = kdefrost.Recipe(epochs=20, batch_size=8)
    defroster = kdefrost.Defroster(source, recipe, cuts=[1, 2], directory=directory, executor=executor)
    test = images[45:], labels[45:]
    asked = {"per_class": PER_CLASS, "seeds": SEEDS, "jobs": jobs, "verbose": False}
    return defroster.profile((images[:45], labels[:45]), test=test, **asked)


def compare(profile):
    """Prints in how many trials one process, on one thread, has other scores."""
    alone = small_profile(None, jobs=1)
    other = sum(not same_scores(*pair) for pair in zip(profile.trials, alone.trials, strict=True))
    print(f"  {other} of {len(alone.trials)} trials have other scores than those of one process")
