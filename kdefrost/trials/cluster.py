"""Trials on a Ray cluster, one on each device; those of a machine that dies are asked again elsewhere."""

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import ray
from ray.actor import ActorHandle
from tqdm import tqdm

from kdefrost.data.storage import DiskArray, collect
from kdefrost.trials import worker
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.seats import Seats
from kdefrost.trials.side_by_side import SideBySide
from kdefrost.trials.tails import Assignment, Setting

# Seconds between looks at what nodes there are while nothing ends.
_LOOK_EVERY = 0.5
# A trial that has failed so often is not asked again.
_TRIES = 2


class Sent(NamedTuple):
    """An array in Ray's object store: each machine has it once, in memory that its workers share.

    Attributes:
        reference: Where it is.
    """

    reference: ray.ObjectRef

    def array(self) -> np.ndarray:
        """The array, which cannot be written to."""
        return ray.get(self.reference)


class _Begun(NamedTuple):
    """A trial that runs, and the worker that runs it."""

    assignment: Assignment
    seat: ActorHandle


class Cluster(SideBySide):
    """Runs trials on the devices of a Ray cluster.

    A trial whose worker or node dies is asked again, on another node if there is a choice; one that fails
    twice has not-a-number for scores, and its `Answer.failure` says why.

    Args:
        setting: What the trials have in common.
        seats: The workers, which may have served another setting before.

    Raises:
        ValueError: If the setting cannot be sent to another process.
    """

    def __init__(self, setting: Setting, seats: Seats):
        super().__init__()
        self._setting, self._seats, self._setup = setting, seats, worker.packed(setting, "executor")
        # Trials to ask again, with the node that is to be avoided.
        self._again: deque[tuple[Assignment, str | None]] = deque()
        self._failures, self._has_answered = Counter(), False

    def __enter__(self):
        # Held, or it would be gone for nodes that come later.
        self._setup = ray.put(self._setup)
        self._seats.prepare(self._setup)
        return self

    def __exit__(self, *_):
        # A trial that still runs is of no use to anybody, unlike its worker.
        for _, seat in self._running.values():
            self._seats.lose(seat)

    def _share(self, part) -> Sent:
        if not isinstance(part, (np.ndarray, DiskArray)):
            part = collect(part, sys.maxsize)
        # What is on disk goes from there to the store, which has a disk of its own for what exceeds its memory.
        return Sent(ray.put(part.mapped() if isinstance(part, DiskArray) else part))

    def _has_room(self) -> bool:
        return not self._again and self._seats.has_idle()

    def _begin(self, assignment: Assignment, not_on: str | None = None):
        seat = self._seats.take(not_on)
        self._running[seat.answer.remote(assignment)] = _Begun(assignment, seat)

    def _ended(self, on_progress: Callable[[Question, float], None]) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        while self._again and self._seats.has_idle():
            self._begin(*self._again.popleft())
        waited_for = [*self._running, *self._seats.beginning]
        if waited_for:
            ray.wait(waited_for, timeout=_LOOK_EVERY)
        else:
            time.sleep(_LOOK_EVERY)
        running = list(self._running)
        for ended in ray.wait(running, num_returns=len(running), timeout=0)[0] if running else ():
            # What workers of other machines do meanwhile is not known.
            yield from self._taken(ended)

    def _is_busy(self) -> bool:
        return bool(self._running or self._again)

    def _taken(self, ended: ray.ObjectRef) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """What came of a trial: its answer, or a note to ask it again."""
        assignment, seat = self._running.pop(ended)
        node = self._seats.node_of(seat)
        try:
            answer = ray.get(ended)
        except ray.exceptions.RayTaskError as error:
            self._seats.give_back(seat)
            yield from self._failed(assignment, node, error.cause)
        except ray.exceptions.RayError as error:
            if self._seats.lose(seat):
                yield from self._failed(assignment, node, ChildProcessError(f"A worker of the cluster died: {error}"))
            else:
                # No fault of the trial's.
                self._again.append((assignment, None))
        else:
            self._seats.give_back(seat)
            self._has_answered = True
            yield answer

    def _failed(self, assignment: Assignment, node: str, error: Exception) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Has a trial asked again, or tells that it failed."""
        question = assignment.question
        self._failures[question] += 1
        if self._failures[question] < _TRIES:
            self._again.append((assignment, node))
            return
        # Where nothing came to an end, it is not the trial's fault; what is observed of a network has no such number.
        if not self._has_answered or self._setting.observe is not None:
            raise error
        reason = f"{type(error).__name__}: {error}"
        tqdm.write(f"The trial of {question} failed {_TRIES} times, and has no score: {reason}")
        yield failure(self._setting, question, reason), []


def failure(setting: Setting, question: Question, reason: str) -> Answer:
    """The answer to a question whose trial failed.

    Args:
        setting: What the trials have in common.
        question: The question.
        reason: Why.

    Returns:
        An `Answer` whose scores are not-a-number.
    """
    scores = dict.fromkeys(setting.task.metrics, math.nan)
    chosen = "validation" in setting.labels or question.fold is not None
    test, validation = scores if "test" in setting.labels else None, scores if chosen else None
    return Answer(question, test, validation, seconds=0.0, failure=reason)
