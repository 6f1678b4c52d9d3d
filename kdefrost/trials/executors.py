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
def staff(
    jobs: int | None, address: str | None = None, directory: str | os.PathLike | None = None
) -> Iterator["Pool | Seats | None"]:
    """Gives the workers that run trials, which are there until the end of `with`.

    Args:
        jobs: Number of processes; `None` for this one. On a cluster the largest number of workers.
        address: That of `cluster_address`.
        directory: Folder of the files by which processes share features; by default the system's for temporary files.

    Yields:
        Processes of this machine, workers on a cluster, or `None` for this process.

    Raises:
        ConnectionError: If this process cannot join the cluster.
    """
    if address is not None:
        # Ray need not be installed.
        from kdefrost.trials.nodes import connected
        from kdefrost.trials.seats import Seats

        with connected(address), contextlib.closing(Seats(jobs)) as seats:
            yield seats
    elif jobs is not None:
        with Pool(jobs, directory) as pool:
            yield pool
    else:
        yield None


def make_executor(setting: Setting, workers: "Pool | Seats | None") -> contextlib.AbstractContextManager[Executor]:
    """Makes what runs the trials of a setting.

    Args:
        setting: What the trials have in common.
        workers: Those of `staff`.

    Returns:
        A context manager that gives the `Executor`.
    """
    if workers is None:
        return contextlib.nullcontext(TailRunner(setting))
    if isinstance(workers, Pool):
        return contextlib.nullcontext(Processes(setting, workers))
    from kdefrost.trials.cluster import Cluster

    return Cluster(setting, workers)


class _Spawning(multiprocessing.context.SpawnContext):
    """Starts processes by `spawn`, and knows which."""

    def __init__(self):
        super().__init__()
        self.started = []

    def Process(self, *args, **options):
        """Makes a process."""
        self.started.append(super().Process(*args, **options))
        return self.started[-1]


class Pool:
    """Processes of this machine, which run the trials of one setting after another.

    The pool is Python's own. What it lacks stands here: progress, the exit code of a process that died, and an end
    with this process, whose workers the pool would leave behind where it is killed.

    Args:
        jobs: Number of processes. They start as there are trials for them.
        directory: Folder of the files by which they share features.
    """

    def __init__(self, jobs: int, directory: str | os.PathLike | None = None):
        self.jobs, self.directory = jobs, directory

    def __enter__(self):
        context = _Spawning()
        self._watched = context.started
        # A slot for each trial that runs. No lock: a process that dies with it would stop all others.
        self.shares = context.RawArray(ctypes.c_double, self.jobs)
        given = context.Value("i", 0), self.shares
        self._pool = concurrent.futures.ProcessPoolExecutor(self.jobs, context, worker.begin, given)
        return self

    def __exit__(self, kind, *_):
        # A trial that still runs is of no use to anybody.
        if kind is not None:
            for process in self._watched:
                # One that could not be started has no number.
                if process.pid is not None:
                    process.terminate()
        self._pool.shutdown(cancel_futures=True)

    @property
    def at_once(self) -> int:
        """How many trials run side by side."""
        return self.jobs

    def submit(self, setup: worker.Setup, assignment: Assignment, slot: int) -> concurrent.futures.Future:
        """Has a process run a trial, which says in a slot of `shares` how far it is."""
        self.shares[slot] = _WAITING
        try:
            return self._pool.submit(worker.answer, setup, assignment, slot)
        except BrokenProcessPool as error:
            raise self._reason() from error

    def result(self, future: concurrent.futures.Future) -> tuple[Answer, list[np.ndarray]]:
        """What came of a trial that has ended; a `ChildProcessError` where its process died."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise self._reason() from error

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


class Processes(SideBySide):
    """Runs trials in processes side by side.

    The scores are the same whatever their number: a trial depends on nothing but its assignment, and each runs on
    one thread, so that all sums are taken in the same order. Features go by one file for all processes and not with
    every trial, as does the setting.

    Args:
        setting: What the trials have in common.
        pool: The processes, which may have served another setting before.

    Raises:
        ValueError: If the setting cannot be sent to another process.
    """

    def __init__(self, setting: Setting, pool: Pool):
        super().__init__()
        self._pool, self._setup = pool, worker.Setup.of(worker.packed(setting, "jobs"), pool.directory)

    def _has_room(self) -> bool:
        return len(self._running) < self._pool.jobs

    def _begin(self, assignment: Assignment):
        free = next(iter(set(range(self._pool.jobs)) - {slot for _, slot in self._running.values()}))
        self._running[self._pool.submit(self._setup, assignment, free)] = assignment.question, free

    def _share(self, part) -> worker.Shared:
        return worker.Shared.of(part, self._pool.directory)

    def _ended(self, on_progress: Callable) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Waits for a while, and gives what has come meanwhile."""
        first = concurrent.futures.FIRST_COMPLETED
        done, _ = concurrent.futures.wait(self._running, timeout=_LOOK_EVERY, return_when=first)
        for question, slot in self._running.values():
            if self._pool.shares[slot] != _WAITING:
                on_progress(question, self._pool.shares[slot])
        for future in done:
            del self._running[future]
            yield self._pool.result(future)
