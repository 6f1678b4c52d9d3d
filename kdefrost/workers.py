"""Workers: processes that run whole trials side by side, each on a core or a GPU of its own.

A small tail does not fill a machine: its steps are too short to be divided. One trial for each core
does.
"""

import contextlib
import dataclasses
import multiprocessing
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait

import keras
import numpy as np

from kdefrost.devices import take_share
from kdefrost.tails import Assignment, Experiment, TailRunner
from kdefrost.trials import Trial

# Seconds between a worker's reports of how far its trial is.
_REPORT_EVERY = 0.5


def check_jobs(jobs: int | None):
    """Checks a number of processes.

    Args:
        jobs: The number; `None` for none beside this one.

    Raises:
        ValueError: If it is no whole number from 1 on.
    """
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer)) or jobs < 1):
        raise ValueError(f"`jobs` must be a whole number of processes, at least 1, or None. Received: jobs={jobs!r}")


def make_runner(experiment: Experiment, jobs: int | None) -> contextlib.AbstractContextManager:
    """Makes what runs trials: this process, or others.

    Args:
        experiment: What the trials have in common.
        jobs: Number of processes; `None` for this one.

    Returns:
        A context manager that gives a `TailRunner` or `Workers`.
    """
    return contextlib.nullcontext(TailRunner(experiment)) if jobs is None else Workers(experiment, jobs)


class Workers:
    """Processes that run trials side by side; `with` starts and ends them.

    The scores are the same whatever their number: a trial depends on nothing but its assignment, and
    each runs on one thread, so that all sums are taken in the same order.

    Args:
        experiment: What the trials have in common.
        jobs: Number of processes.

    Raises:
        ValueError: If the experiment cannot be sent to another process.
    """

    def __init__(self, experiment: Experiment, jobs: int):
        source = experiment.source
        # Without what it was compiled with, which no trial needs.
        bare = keras.Model(source.inputs, source.outputs, name=source.name)
        try:
            # Apart from how it is sent, so that a process can say what it cannot load.
            self._setup = pickle.dumps((_global_settings(), dataclasses.replace(experiment, source=bare)))
        # A layer, loss or metric of the user's own ends in whatever its `get_config` raises.
        except Exception as error:
            raise ValueError(
                "With `jobs` the source, the output, the loss and the metrics are sent to other processes, which these "
                f"cannot be ({type(error).__name__}: {error}). Leave `jobs` out."
            ) from error
        self._jobs, self._workers = jobs, []

    def __enter__(self):
        try:
            for number in range(self._jobs):
                self._workers.append(_Worker(number))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()

    def release(self):
        """Does nothing: each worker has features of its own."""

    def run(
        self, assignments: Iterable[Assignment], on_progress: Callable[[tuple, float], None]
    ) -> Iterator[tuple[Trial, list[np.ndarray]]]:
        """Runs trials.

        Args:
            assignments: As for `TailRunner.run`; the next one is drawn while the others run.
            on_progress: As for `TailRunner.run`.

        Yields:
            Each trial as it ends, with the weights of its tail.
        """
        for worker in self._workers:
            worker.send(self._setup)
        for assignment in assignments:
            while all(worker.busy for worker in self._workers):
                yield from self._ended(on_progress)
            idle = [worker for worker in self._workers if not worker.busy]
            # One that has the tail need not trace it.
            chosen = next((worker for worker in idle if worker.cut == assignment.cut), idle[0])
            chosen.assign(assignment)
            # Drawing the next one may let its features go.
            del assignment
        while any(worker.busy for worker in self._workers):
            yield from self._ended(on_progress)

    def _ended(self, on_progress: Callable) -> Iterator[tuple[Trial, list[np.ndarray]]]:
        """Waits for messages, and gives the trials that have ended."""
        workers = {worker.connection: worker for worker in self._workers if worker.busy}
        for connection in wait(list(workers)):
            kind, *content = workers[connection].receive()
            if kind == "progress":
                on_progress(*content)
            elif kind == "error":
                raise content[0]
            else:
                workers[connection].busy = False
                yield tuple(content)


class _Worker:
    """A process, started here, as it is seen from this one."""

    def __init__(self, number: int):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, number), daemon=True)
        self.process.start()
        # So that this end is told when the process is gone.
        theirs.close()
        self.cut, self.busy = None, False
        self._held = None

    def assign(self, assignment: Assignment):
        """Gives the process a trial, and features only where it does not have them."""
        if assignment.held == self._held:
            assignment = assignment._replace(features=None)
        else:
            # So that it lets go of those that it has before it takes others.
            self.send(None)
        self.send(assignment)
        self.cut, self._held, self.busy = assignment.cut, assignment.held, True

    def send(self, message):
        """Sends the process something."""
        try:
            self.connection.send(message)
        except ConnectionError as error:
            raise self._reason() from error

    def receive(self) -> tuple:
        """Takes a message of the process."""
        try:
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._reason() from error

    def _reason(self) -> Exception:
        """Why the process has ended."""
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                kind, *content = self.connection.recv()
                if kind == "error":
                    return content[0]
        self.process.join()
        return ChildProcessError(
            f"A process of `jobs` has ended with exit code {self.process.exitcode} before its trial did. Where memory "
            "has run out, fewer `jobs` or a smaller `memory_budget` help. A script that gives `jobs` must have all "
            'that it does behind `if __name__ == "__main__":`. The trials that have finished are kept.'
        )


def _work(connection: Connection, number: int):
    """What a worker does: one trial after another, until it is ended."""
    # Ctrl-C goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _take_share(number)
        runner = TailRunner(_experiment(connection))
        for trial, weights in runner.run(_assignments(connection, runner.release), _Reporter(connection)):
            connection.send(("trial", trial, weights))
    # The other process is gone.
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        connection.send(("error", _sendable(error)))


def _take_share(number: int):
    try:
        take_share(number)
    except RuntimeError as error:
        raise ValueError(
            "A script that gives `jobs` must have all that it does, making its source included, behind "
            f'`if __name__ == "__main__":`, which other processes that read the script leave out ({error}).'
        ) from error


def _global_settings() -> dict[str, str]:
    """What of Keras's settings a process must have to make the same tails."""
    config = keras.config
    return {
        "floatx": config.floatx(),
        "image_data_format": config.image_data_format(),
        "dtype_policy": config.dtype_policy().name,
    }


def _experiment(connection: Connection) -> Experiment:
    setup = connection.recv()
    try:
        settings, experiment = pickle.loads(setup)
    # A class of the user's own ends in whatever its `from_config` raises.
    except Exception as error:
        raise ValueError(
            "With `jobs` the source is sent to other processes, which cannot load it "
            f"({(str(error).strip() or type(error).__name__).splitlines()[0]}). Layers, losses and metrics of your own "
            "must be registered by keras.saving.register_keras_serializable in a module that is imported, or leave "
            "`jobs` out."
        ) from error
    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)
    return experiment


def _assignments(connection: Connection, release: Callable) -> Iterator[Assignment]:
    features = None
    while True:
        assignment = connection.recv()
        if assignment is None:
            features = None
            release()
            continue
        features = assignment.features or features
        yield assignment._replace(features=features)
        del assignment


class _Reporter:
    """Says how far a trial is, now and then."""

    def __init__(self, connection: Connection):
        self._connection, self._last = connection, 0.0

    def __call__(self, key: tuple[int, int, int], share: float):
        if share == 0.0 or time.monotonic() - self._last > _REPORT_EVERY:
            self._last = time.monotonic()
            self._connection.send(("progress", key, share))


def _sendable(error: Exception) -> Exception:
    """An error with where it happened, or what it says where it cannot be sent."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    # An error of the user's own code may be of any class.
    except Exception:
        return RuntimeError(traceback.format_exc())
    return error
