"""The time that trials will still take, from what others took."""

import dataclasses
from collections import deque
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

# How far a measured time is off what its work says, how far what is taken for granted before, and how far the speed of
# training is off that of features, as shares.
_MEASURED, _GRANTED, _ALIKE = 0.2, 3.0, 1.0
# Seconds that are measured together, at least: batches that take less, such as those that are prefetched when a
# training begins, say more of what is around them.
LEAST = 0.5
# What was measured before so many others tells nothing of what comes.
_MOST = 100


class Work(NamedTuple):
    """Amounts of work.

    Attributes:
        trials: Number of trials, for what each takes beside its arithmetic.
        flops: Floating-point operations of training and scoring.
        layers: Number of layers that are compiled.
        passed: Floating-point operations of features.
    """

    trials: float = 0.0
    flops: float = 0.0
    layers: float = 0.0
    passed: float = 0.0

    def times(self, factor: float) -> "Work":
        """So many times as much."""
        return Work(*(factor * amount for amount in self))

    def plus(self, other: "Work") -> "Work":
        """Both together."""
        return Work(*map(sum, zip(self, other, strict=True)))


# Seconds per unit on two cores, until something is measured.
_BEFORE = Work(trials=0.2, flops=2e-11, layers=0.35, passed=1.5e-11)


class Pace:
    """Seconds per unit of each kind of work, as far as measured times tell.

    Their least squares, in relative errors and without negative ones, with what is taken for granted as one
    measurement of each kind, and operations of training and of features as alike as they are taken to be.
    """

    def __init__(self):
        self._rows = deque(maxlen=_MOST)

    def measure(self, work: Work, seconds: float):
        """Takes in what some work took."""
        if seconds > 0 and any(work):
            self._rows.append(_row(work, seconds))

    def per_unit(self, *present: tuple[Work, float]) -> Work:
        """Seconds per unit, with work that is not at its end and what it took so far."""
        rows = [*self._rows, *(_row(work, seconds) for work, seconds in present if seconds > 0)]
        units = np.array(_BEFORE)
        # In units of what is taken for granted, because they differ by powers of ten.
        alike = np.array(Work(flops=1 / _ALIKE, passed=-1 / _ALIKE))
        matrix = np.vstack([np.eye(len(units)) / _GRANTED, alike, *(row * units for row in rows)])
        wanted = [*np.full(len(units), 1 / _GRANTED), 0.0, *np.full(len(rows), 1 / _MEASURED)]
        return Work(*(nnls(matrix, np.array(wanted))[0] * units))


@dataclasses.dataclass
class Running:
    """A trial that runs.

    Attributes:
        work: What it takes.
        compiled: What its tail takes to be compiled; nothing where that was done for another trial.
        trained: Share of the work that its training is; the rest is to score it.
        began: When it began, or was first seen; and once its tail is compiled, when the training did.
        share: Share of the work that is done.
        told: When that was told.
        since: The share that was done at `began`.
    """

    work: Work
    compiled: Work
    trained: float
    began: float
    share: float = 0.0
    told: float = 0.0
    since: float = 0.0

    def done(self, per_unit: Work, now: float) -> tuple[Work, float]:
        """The work that is done, as far as it tells something, and the seconds that it took."""
        if self.share > self.since and self.told - self.began > LEAST:
            return self.work.times(self.share - self.since), self.told - self.began
        # What takes longer than was expected says so before its end.
        is_late = not self.share and now - self.began > seconds_of(self.compiled, per_unit)
        return self.compiled, now - self.began if is_late else 0.0

    def left(self, per_unit: Work, now: float) -> float:
        """Seconds until its end."""
        compiling = seconds_of(self.compiled, per_unit)
        work = seconds_of(self.work.times(1 - self.share), per_unit)
        if self.share:
            return max(0.0, work - (now - self.told))
        return max(0.0, compiling - (now - self.began)) + work


def seconds_of(work: Work, per_unit: Work) -> float:
    """What some work takes at a pace."""
    return float(np.dot(work, per_unit))


def _row(work: Work, seconds: float) -> np.ndarray:
    return np.array(work) / (seconds * _MEASURED)
