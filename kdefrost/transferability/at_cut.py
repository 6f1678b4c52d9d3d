"""All scores of one cut, and the time that each takes."""

import contextlib
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from kdefrost.cutting.cut import Cut
from kdefrost.data.storage import Rows
from kdefrost.similarity.comparing import compare
from kdefrost.similarity.gram import Indistinct
from kdefrost.transferability.draws import Draw
from kdefrost.transferability.leave_one_out import kernel_ridge, ridge
from kdefrost.transferability.names import IMBALANCE, POOLED, TAIL_RIDGE, TANGENT_KERNEL
from kdefrost.transferability.pooling import channel_axes, pooled, tells
from kdefrost.transferability.result import POOLING, CutScores
from kdefrost.transferability.tails import RandomTail


class Setting(NamedTuple):
    """What the scores of all cuts have in common.

    Attributes:
        source: The source model.
        labels: The class of each example.
        names: Names of the scores.
        target: What the target network makes of each example, `(examples, …)`; `None` without one.
        batch_size: Largest number of examples by whose moments batch normalisations of random tails compute.
        memory_budget: Bytes that gradients may take.
    """

    source: keras.Model
    labels: np.ndarray
    names: Sequence[str]
    target: np.ndarray | None
    batch_size: int
    memory_budget: int


class AtCut:
    """Computes the scores of a cut, draw by draw.

    Args:
        setting: What all cuts have in common.
        cut: The cut.
        features: What crosses it, an array `(examples, …)` for each tensor.
    """

    def __init__(self, setting: Setting, cut: Cut, features: tuple):
        self._setting, self._cut, self._features = setting, cut, features
        self._seconds: dict[str, float] = defaultdict(float)
        # Text has no mean and no distance.
        self._is_numeric = all(part.dtype.kind not in "SU" for part in features)
        self._vectors, self._tail, self._has_warned = None, None, False
        # By the rows, because all draws of all examples are the same.
        self._of_rows: dict[bytes, dict[str, float]] = {}

    def score(self, draws: Mapping[int, Draw]) -> Iterator[CutScores]:
        """Computes the scores.

        Args:
            draws: The examples, by seed.

        Yields:
            The scores of each draw, with the seconds since those of the last.
        """
        for seed, draw in draws.items():
            scores = {
                **self._of_vectors(draw.all),
                **self._of_tail(seed, {TAIL_RIDGE: draw.tail, TANGENT_KERNEL: draw.tangent}),
                **self._of_target(draw.compared),
            }
            seconds = {name: round(self._seconds[name], 4) for name in (POOLING, *self._setting.names)}
            self._seconds.clear()
            yield CutScores(self._cut.index, seed, {name: scores[name] for name in self._setting.names}, seconds)

    def _of_vectors(self, rows: np.ndarray) -> dict[str, float]:
        """The scores of pooled features."""
        names = [name for name in POOLED if name in self._setting.names]
        if not names:
            return {}
        if not self._is_numeric:
            return dict.fromkeys(names, math.nan)
        if self._vectors is None:
            with self._clock(POOLING):
                self._vectors = pooled(self._features, channel_axes(self._setting.source, self._cut))
        key = rows.tobytes()
        if key not in self._of_rows:
            vectors, labels = self._vectors[rows], self._setting.labels[rows]
            tell = self._tell("pooled features", vectors)
            self._of_rows[key] = {
                name: self._timed(name, POOLED[name], vectors, labels) if tell else math.nan for name in names
            }
        return self._of_rows[key]

    def _of_tail(self, seed: int, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The scores of the tail, initialised by a seed; the first of a cut makes the tail, too."""
        of_name = {TAIL_RIDGE: self._tail_ridge, TANGENT_KERNEL: self._tangent_kernel}
        return {
            name: self._timed(name, of_name[name], seed, rows[name])
            for name in (TAIL_RIDGE, TANGENT_KERNEL)
            if name in self._setting.names
        }

    def _tail_ridge(self, seed: int, rows: np.ndarray) -> float:
        _, last = self._through_tail(seed, rows)
        return math.nan if last is None else ridge(last, self._setting.labels[rows])

    def _tangent_kernel(self, seed: int, rows: np.ndarray) -> float:
        inputs, last = self._through_tail(seed, rows)
        if last is None:
            return math.nan
        kernel = self._tail.tangent_kernel(inputs, self._setting.memory_budget)
        return kernel_ridge(kernel, self._setting.labels[rows])

    def _through_tail(self, seed: int, rows: np.ndarray) -> tuple[tuple, np.ndarray | None]:
        """What some examples have at the cut, and as the tail's last features; `None` where these tell nothing."""
        if self._tail is None:
            self._tail = RandomTail(self._setting.source, self._cut, self._setting.batch_size)
        self._tail.start(seed)
        inputs = self._at(rows)
        last = self._tail.features(inputs)
        return inputs, last if self._tell("last features of an untrained tail", last) else None

    def _of_target(self, rows: np.ndarray) -> dict[str, float]:
        if IMBALANCE not in self._setting.names:
            return {}
        return {IMBALANCE: self._timed(IMBALANCE, self._imbalance, rows) if self._is_numeric else math.nan}

    def _imbalance(self, rows: np.ndarray) -> float:
        """−Δ(features at the cut → target network's representation)."""
        try:
            numbers = compare(self._at(rows), self._setting.target[rows], ["information_imbalance"])
        except Indistinct as error:
            self._warn(str(error))
            return math.nan
        return -numbers["information_imbalance_xy"]

    def _at(self, rows: np.ndarray) -> tuple[Rows, ...]:
        return tuple(Rows(part, rows) for part in self._features)

    def _tell(self, what: str, features: np.ndarray) -> bool:
        """Whether features tell examples apart; a warning says of those that do not."""
        if tells(features):
            return True
        self._warn(f"the {what} are NaN or infinite, or the same for all examples.")
        return False

    def _warn(self, why: str):
        """Says once of a cut why it lacks scores."""
        if not self._has_warned:
            warnings.warn(f"Cut {self._cut.index} ({self._cut.name}) has scores that are NaN: {why}", stacklevel=2)
            self._has_warned = True

    def _timed(self, name: str, compute, *arguments) -> float:
        # Threads of BLAS wait for each other by spinning: where other processes have the cores too, a decomposition
        # takes 60 times as long with two of them as with one.
        with self._clock(name), threadpool_limits(1, user_api="blas"):
            return compute(*arguments)

    @contextlib.contextmanager
    def _clock(self, name: str):
        start = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - start
