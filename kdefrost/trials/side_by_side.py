"""Trials side by side, wherever they run: drawn as there is room for them, with features that are shared once."""

import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.tails import Assignment


class SideBySide(abc.ABC):
    """What executors that run several trials at a time have in common."""

    def __init__(self):
        self._held: Cut | None = None
        self._features: dict[str, tuple] = {}
        # Trials that have begun, by what their answers will come by.
        self._running: dict[Any, tuple] = {}

    def run(
        self, assignments: Iterable[Assignment], on_progress: Callable[[Question, float], None]
    ) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Answers questions; the next one is drawn while the others run. See `TailRunner.run`."""
        for assignment in assignments:
            while not self._has_room():
                yield from self._ended(on_progress)
            self._begin(assignment._replace(features=self._shared(assignment)))
            # Drawing the next one may let its features go.
            del assignment
        while self._is_busy():
            yield from self._ended(on_progress)

    def release(self):
        """Lets go of the features in this process: trials that still run have what was shared."""
        self._held, self._features = None, {}

    def _shared(self, assignment: Assignment) -> dict[str, tuple]:
        """The features as others have them, shared once for each cut at which they are held."""
        if assignment.held != self._held:
            self._features = {name: tuple(map(self._share, parts)) for name, parts in assignment.features.items()}
            self._held = assignment.held
        return self._features

    def _is_busy(self) -> bool:
        """Whether something has not ended."""
        return bool(self._running)

    @abc.abstractmethod
    def _share(self, part):
        """Something that can be sent, whose `array()` gives an array of features where it comes to."""

    @abc.abstractmethod
    def _has_room(self) -> bool:
        """Whether another trial can begin."""

    @abc.abstractmethod
    def _begin(self, assignment: Assignment):
        """Begins a trial, whose features are shared."""

    @abc.abstractmethod
    def _ended(self, on_progress: Callable[[Question, float], None]) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Waits for a while, and gives what has come meanwhile."""
