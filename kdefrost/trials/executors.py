"""Executors: what runs trials, in this process, in others side by side, or on a cluster.

A small tail does not fill a machine: its steps are too short to be divided. One trial for each core does.
"""

import concurrent.futures
import contextlib
import ctypes
import importlib
import multiprocessing
import multiprocessing.context
import multiprocessing.reduction
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kdefrost.trials import worker
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.side_by_side import SideBySide
from kdefrost.trials.tails import Assignment, Setting, TailRunner

if TYPE_CHECKING:
    from kdefrost.trials.seats import Seats

# Seconds between looks at how far the trials of other processes are.
_LOOK_EVERY = 0.5
# Of a trial that has not begun.
_WAITING = -1.0


class Executor(Protocol):
    """What runs trials; `with` starts and ends it."""

    def run(
        self, assignments: Iterable[Assignment], on_progress: Callable[[Question, float], None]
    ) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Answers questions, which are drawn as there is room for them; see `TailRunner.run`."""

    def release(self):
        """Lets go of features that are about to be replaced."""


def check_jobs(jobs: int | None):
    """Checks a number of processes.

    Args:
        jobs: The number; `None` for none beside this one.

    Raises:
        ValueError: If it is no whole number from 1 on, or this system cannot share files among processes.
    """
    if jobs is None:
        return
    if isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer)) or jobs < 1:
        raise ValueError(f"`jobs` must be a whole number of processes, at least 1, or None. Received: jobs={jobs!r}")
    if not hasattr(multiprocessing.reduction, "DupFd"):
        raise ValueError("`jobs` must be None on this system, whose processes cannot share open files.")


def cluster_address(executor: str | None) -> str | None:
    """The address of the Ray cluster that an executor names.

    Args:
        executor: `"ray"` for the cluster of which this machine is a part, `"ray:HOST:PORT"` for one by its address;
            `None` for none.

    Returns:
        The address, `None` of none.

    Raises:
        ValueError: If it is none of these.
        ImportError: If Ray is not installed.
    """
    if executor is None:
        return None
    kind, _, address = executor.partition(":") if isinstance(executor, str) else ("", "", "")
    if kind != "ray" or executor == "ray:":
        raise ValueError(f'`executor` must be "ray", "ray:HOST:PORT", or None. Received: executor={executor!r}')
    # Not `find_spec`, to which a folder of this name is a package.
    try:
        importlib.import_module("ray.actor")
    except ImportError as error:
        raise ImportError(
            "`executor` runs trials by Ray, which is not installed: pip install 'kdefrost[cluster]', on each machine "
            "of the cluster."
        ) from error
    return address or "auto"


def check_cluster(executor: str | None):
    """Checks that the cluster of an executor answers; see `nodes.check_reachable`."""
    address = cluster_address(executor)
    if address is not None:
        from kdefrost.trials.nodes import check_reachable

        check_reachable(address)


@contextlib.contextmanager
def on_cluster(address: str, most: int | None) -> Iterator["Seats"]:
    """Gives workers on a cluster, which are there until the end of `with`.

    Args:
        address: That of `cluster_address`.
        most: Largest number of workers; `None` for one on each device.

    Raises:
        ConnectionError: If this process cannot join the cluster.
    """
    # Ray need not be installed.
    from kdefrost.trials.nodes import connected
    from kdefrost.trials.seats import Seats

    with connected(address), contextlib.closing(Seats(most)) as seats:
        yield seats


def make_executor(
    setting: Setting, jobs: int | None, directory: str | os.PathLike | None = None, seats: "Seats | None" = None
) -> contextlib.AbstractContextManager[Executor]:
    """Makes what runs trials: this process, others, or a cluster.

    Args:
        setting: What the trials have in common.
        jobs: Number of processes; `None` for this one.
        directory: Folder of the files by which processes share features; by default the system's for temporary files.
        seats: Workers `on_cluster`, which run the trials where they are given.

    Returns:
        A context manager that gives the `Executor`.
    """
    if seats is not None:
        from kdefrost.trials.cluster import Cluster

        return Cluster(setting, seats)
    return contextlib.nullcontext(TailRunner(setting)) if jobs is None else Processes(setting, jobs, directory)


class _Spawning(multiprocessing.context.SpawnContext):
    """Starts processes by `spawn`, and knows which."""

    def __init__(self):
        super().__init__()
        self.started = []

    def Process(self, *args, **options):
        """Makes a process."""
        self.started.append(super().Process(*args, **options))
        return self.started[-1]


class Processes(SideBySide):
    """Processes that run trials side by side.

    The scores are the same whatever their number: a trial depends on nothing but its assignment, and each runs on
    one thread, so that all sums are taken in the same order. The pool is Python's own. What it lacks stands here:
    features go by one file for all processes and not with every trial, progress, the exit code of a process that died,
    and an end with this process, whose workers the pool would leave behind where it is killed.

    Args:
        setting: What the trials have in common.
        jobs: Number of processes.
        directory: As for `make_executor`.

    Raises:
        ValueError: If the setting cannot be sent to another process.
    """

    def __init__(self, setting: Setting, jobs: int, directory: str | os.PathLike | None = None):
        super().__init__()
        self._jobs, self._directory, self._setup = jobs, directory, worker.packed(setting, "jobs")

    def __enter__(self):
        context = _Spawning()
        self._watched = context.started
        # A slot for each trial that runs. No lock: a process that dies with it would stop all others.
        self._shares = context.RawArray(ctypes.c_double, self._jobs)
        given = self._setup, context.Value("i", 0), self._shares
        self._pool = concurrent.futures.ProcessPoolExecutor(self._jobs, context, worker.begin, given)
        return self

    def __exit__(self, kind, *_):
        # A trial that still runs is of no use to anybody.
        if kind is not None:
            for process in self._watched:
                # One that could not be started has no number.
                if process.pid is not None:
                    process.terminate()
        self._pool.shutdown(cancel_futures=True)

    def _has_room(self) -> bool:
        return len(self._running) < self._jobs

    def _begin(self, assignment: Assignment):
        free = next(iter(set(range(self._jobs)) - {slot for _, slot in self._running.values()}))
        self._shares[free] = _WAITING
        try:
            future = self._pool.submit(worker.answer, assignment, free)
        except BrokenProcessPool as error:
            raise self._reason() from error
        self._running[future] = assignment.question, free

    def _share(self, part) -> worker.Shared:
        return worker.Shared.of(part, self._directory)

    def _ended(self, on_progress: Callable) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Waits for a while, and gives what has come meanwhile."""
        first = concurrent.futures.FIRST_COMPLETED
        done, _ = concurrent.futures.wait(self._running, timeout=_LOOK_EVERY, return_when=first)
        for question, slot in self._running.values():
            if self._shares[slot] != _WAITING:
                on_progress(question, self._shares[slot])
        for future in done:
            del self._running[future]
            try:
                answer = future.result()
            except BrokenProcessPool as error:
                raise self._reason() from error
            yield answer

    def _reason(self) -> Exception:
        """Why the pool is broken."""
        for process in self._watched:
            process.join()
        # The pool ends the others by a signal once one of them has died.
        codes = {process.exitcode for process in self._watched}
        code = next(iter(codes - {0, -signal.SIGTERM}), -signal.SIGTERM)
        return ChildProcessError(
            f"A process of `jobs` has ended with exit code {code} before its trial did. Where memory has run out, "
            "fewer `jobs` or a smaller `memory_budget` help. A script that gives `jobs` must have all that it does "
            'behind `if __name__ == "__main__":`. The trials that have finished are kept.'
        )
