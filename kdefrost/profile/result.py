"""The defrosting profile: raw scores over cuts × sizes × seeds, and what follows from them."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from kdefrost.cutting.cut import Cut, check_cuts
from kdefrost.profile.bound import Bound
from kdefrost.profile.checks import check_configuration, check_searched, check_trials
from kdefrost.profile.choice import best_column, column_of, near_best_columns, variance_share
from kdefrost.profile.search import Searched
from kdefrost.profile.trial import Trial
from kdefrost.results import Result
from kdefrost.statistics import mean_over_seeds, variance_over_seeds
from kdefrost.training.labels import has_classes
from kdefrost.training.tasks import Objective


@dataclasses.dataclass(frozen=True)
class DefrostProfile(Bound, Result):
    """Scores of all trials of a profile.

    The best cut is chosen by the objective's scores on the validation set, or on the folds that were held out in turn,
    or, where there is neither, by those on the test set: its test score is then optimistic, and `chosen_on` says so.

    Cuts are compared within blocks, for which all of them see the same examples in one order: the seeds, or the folds
    of each repeat and seed. Whatever takes a size, `per_class`, takes the only one there is by default; `None` is all
    examples there are.

    Attributes:
        cuts: The cuts, from the input to the output.
        trials: The finished trials.
        objective: The metric that chooses, and which way it is better.
        configuration: What the scores depend on.
        searched: How a search went, for each size; empty where all was asked.
    """

    KIND = "profile"
    FORMAT = 2

    cuts: tuple[Cut, ...]
    trials: tuple[Trial, ...]
    objective: Objective
    configuration: dict = dataclasses.field(default_factory=dict)
    searched: tuple[Searched, ...] = ()

    @property
    def per_class(self) -> list[int | None]:
        """The sizes of the training sets, in examples per class, in order; `None` is all examples there are."""
        return sorted({trial.per_class for trial in self.trials}, key=lambda size: np.inf if size is None else size)

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({trial.seed for trial in self.trials})

    @property
    def blocks(self) -> list[tuple[int, ...]]:
        """The blocks, `(seed,)` or with folds `(seed, repeat, fold)`, in order: the rows of `scores`."""
        return sorted({trial.block for trial in self.trials})

    @property
    def folds(self) -> int | None:
        """Number of folds of a partition, `None` without folds."""
        tried = max((trial.fold + 1 for trial in self.trials if trial.fold is not None), default=None)
        # A search may have tried the first one alone.
        return self.configuration.get("folds") or tried

    @functools.cached_property
    def chosen_on(self) -> str:
        """The set whose scores choose the cut: `"validation"`, be it of folds, or `"test"` where there is none."""
        return "validation" if all(trial.validation is not None for trial in self.trials) else "test"

    @functools.cached_property
    def reported_on(self) -> str:
        """The set whose scores are shown: `"test"`, or `"validation"` where there is none."""
        return "test" if all(trial.test is not None for trial in self.trials) else "validation"

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, the objective first."""
        names = dict.fromkeys(name for trial in self.trials for name in (trial.test or trial.validation))
        return sorted(names, key=lambda name: name != self.objective.name)

    def scores(self, per_class: int | None = None, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The scores at one size.

        Args:
            per_class: Number of training examples per class.
            on: `"test"`, or `"validation"`, which with folds is the fold that is held out.
            metric: Name of the metric, by default the objective's.

        Returns:
            Array `(seeds, cuts)`, with folds `(blocks, cuts)`, NaN where there is no score.

        Raises:
            ValueError: If there is no trial of that size, no such metric, or `on` is
                neither.
        """
        metric = self.objective.name if metric is None else metric
        if on not in ("test", "validation"):
            raise ValueError(f'`on` must be "test" or "validation". Received: on={on!r}')
        if metric not in self.metrics:
            raise ValueError(f"`metric` must be one of {', '.join(self.metrics)}. Received: metric={metric!r}")
        return self._table(per_class, lambda trial: (getattr(trial, on) or {}).get(metric, np.nan))

    def mean(self, per_class: int | None = None, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The mean over seeds, or folds, of `scores`, an array `(cuts,)`, NaN where untried."""
        return mean_over_seeds(self.scores(per_class, on, metric))

    def standard_error(self, per_class: int | None = None, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The standard error of `mean`, an array `(cuts,)`, NaN with fewer than two seeds or folds.

        It covers subset, initialisation and order, and the test sample where every seed has its own; otherwise the
        sampling of the test set, the same for all, is not in it. Of folds see `variance_share`.
        """
        scores = self.scores(per_class, on, metric)
        counts = np.maximum(1, np.isfinite(scores).sum(axis=0))
        shares = np.array([self._variance_share(per_class, count) for count in counts])
        return np.sqrt(variance_over_seeds(scores) * shares)

    def difference(self, per_class: int | None, cut: Cut, other: Cut) -> np.ndarray:
        """The objective's score at one cut less that at another, block by block.

        Args:
            per_class: Number of training examples per class.
            cut: A `Cut` of the profile.
            other: The one that it is compared with.

        Returns:
            Array `(blocks,)` of differences on the set that is reported, NaN for one that lacks either.
        """
        scores = self.scores(per_class, self.reported_on)
        return scores[:, column_of(self.cuts, cut)] - scores[:, column_of(self.cuts, other)]

    def gain(self, per_class: int | None, cut: Cut, other: Cut) -> tuple[float, float]:
        """The mean of `difference` and its standard error, NaN where no block has both."""
        gains = self.difference(per_class, cut, other)
        gains = gains[np.isfinite(gains)]
        if not len(gains):
            return np.nan, np.nan
        variance = variance_over_seeds(gains[:, None])[0]
        return float(gains.mean()), float(np.sqrt(variance * self._variance_share(per_class, len(gains))))

    def best_cut(self, per_class: int | None = None) -> Cut:
        """The cut with the best mean of the scores that choose.

        Where some blocks lack some cuts, what blocks have in common is taken out by least squares.

        Args:
            per_class: Number of training examples per class.

        Returns:
            The `Cut`; of equal ones the last, whose tail is the smallest. One at which a training diverged, so that
            its score is no number, is worse than all others.

        Raises:
            ValueError: If there is no trial of that size, or none has a score.
        """
        if not self.is_scored(per_class):
            raise ValueError(f"No trial with per_class={per_class} has a number for its {self.objective.name}.")
        return self.cuts[best_column(self._table(per_class, self._worth))]

    def is_scored(self, per_class: int | None = None, on: str | None = None) -> bool:
        """Whether any trial of that size has a number for the objective on a set, by default the one that chooses."""
        return bool(np.isfinite(self.scores(per_class, on or self.chosen_on)).any())

    def best_trial(self, per_class: int | None = None) -> Trial:
        """The trial at the best cut with the best of the scores that choose; of equal ones the first seed.

        Args:
            per_class: Number of training examples per class.

        Returns:
            The `Trial`.

        Raises:
            ValueError: As `best_cut`, or with folds, whose trials lack a part of the examples.
        """
        if self.folds is not None:
            raise ValueError(
                "No trial of a profile with folds has seen all examples; `Defroster.best_model` trains one."
            )
        at, size = self.best_cut(per_class).index, self.size(per_class)
        trials = [trial for trial in self.trials if trial.per_class == size and trial.cut == at]
        return max(sorted(trials, key=lambda trial: trial.seed), key=self._worth)

    def trial(self, cut: Cut, per_class: int | None, seed: int) -> Trial:
        """The trial at a cut of a size with a seed.

        Raises:
            ValueError: If there is none.
        """
        size, cut = self.size(per_class), self.cuts[column_of(self.cuts, cut)]
        for trial in self.trials:
            if (trial.cut, trial.per_class, trial.seed) == (cut.index, size, seed):
                return trial
        tried = ", ".join(str(t.seed) for t in self.trials if (t.cut, t.per_class) == (cut.index, size))
        raise ValueError(f"`seed` must be one tried at cut {cut.index}: {tried}. Received: seed={seed!r}")

    def is_better(self, trial: Trial, other: Trial) -> bool:
        """Whether a trial has a better one of the scores that choose, or an equal one and an earlier seed."""
        return (self._worth(trial), -trial.seed) > (self._worth(other), -other.seed)

    def near_best_cuts(self, per_class: int | None = None, confidence: float = 0.95) -> list[Cut]:
        """The tried cuts that are not told apart from the best one, itself among them.

        Multiple comparisons with the best (Hsu, 1984) in a randomised block design: for one
        seed all cuts are trained on the same examples, so seeds are the blocks. With n
        seeds and k cuts, scores less the means of their seed and cut leave a variance σ² on
        (n − 1)(k − 1) degrees of freedom; a cut is told apart when its mean is more than t √(2σ²/n) worse than the
        best, t being the one-sided quantile for k − 1 comparisons (Bonferroni). With one seed no cut is told apart.
        The sampling of the set that chooses, the same for all cuts, is not in σ. With folds these are the blocks, and
        2σ²/n grows as the variance of their means does; see `variance_share`. Where scores are missing, `fit_blocks`.

        Args:
            per_class: Number of training examples per class.
            confidence: Confidence of all comparisons together, above 0 and below 1.

        Returns:
            A list of `Cut` in their order.
        """
        scores, share_of = self._table(per_class, self._worth), functools.partial(self._variance_share, per_class)
        near = near_best_columns(scores, confidence, share_of)
        return [cut for cut, is_near in zip(self.cuts, near, strict=True) if is_near]

    def size(self, per_class: int | None = None) -> int | None:
        """The size that is meant: the one that is given, or the only one there is.

        Args:
            per_class: Number of training examples per class.

        Returns:
            The size, `None` for all examples there are.

        Raises:
            ValueError: If there is no trial of that size, or several sizes and none is given.
        """
        sizes = self.per_class
        if per_class in sizes:
            return per_class
        if per_class is None and len(sizes) == 1:
            return sizes[0]
        tried = ", ".join("all examples" if size is None else str(size) for size in sizes) or "none"
        raise ValueError(f"There are no trials with per_class={per_class}; sizes tried: {tried}.")

    @property
    def has_classes(self) -> bool:
        """Whether each example is of one class, of which sizes are counted."""
        return has_classes(self.task.get("kind", "classification"), self.task.get("units", 2))

    @property
    def task(self) -> dict:
        """What was learnt, as the configuration has it."""
        return self.configuration.get("task", {})

    def rows(self) -> list[list]:
        """The trials, one a row, in order of cut, size and seed; the first row names the columns."""
        names = {cut.index: cut.name for cut in self.cuts}
        columns = [(on, metric) for on in ("test", "validation") for metric in self.metrics]
        block = ["seed"] if self.folds is None else ["seed", "repeat", "fold"]
        rows = [["cut", "layer", "per_class", *block, *(f"{on}_{metric}" for on, metric in columns), "seconds"]]
        for t in sorted(self.trials, key=lambda trial: trial.order):
            values = [(getattr(t, on) or {}).get(metric) for on, metric in columns]
            rows.append([t.cut, names[t.cut], t.per_class, *t.block, *values, t.seconds])
        return rows

    def check(self) -> None:
        """Refuses parts that do not fit together, by a `ValueError`."""
        check_cuts(self.cuts)
        check_configuration(self.configuration, self.trials)
        check_trials(self.trials, self.cuts, self.objective.name)
        check_searched(self.searched)

    def _worth(self, trial: Trial) -> float:
        """The score that chooses, more being better; that of a diverged training is the worst."""
        score = getattr(trial, self.chosen_on)[self.objective.name]
        return self.objective.sign * score if np.isfinite(score) else -np.inf

    def _table(self, per_class: int | None, value: Callable[[Trial], float]) -> np.ndarray:
        """A number of each trial of a size, `(blocks, cuts)`, NaN where untried."""
        size, blocks = self.size(per_class), {block: row for row, block in enumerate(self.blocks)}
        columns = {cut.index: column for column, cut in enumerate(self.cuts)}
        table = np.full((len(blocks), len(columns)), np.nan)
        for trial in self.trials:
            if trial.per_class == size:
                table[blocks[trial.block], columns[trial.cut]] = value(trial)
        return table

    def _variance_share(self, per_class: int | None, blocks):
        # Where all examples there are make the set, other seeds are other folds of the same ones.
        sets = 1 if self.size(per_class) is None else len(self.seeds)
        return variance_share(blocks, self.folds, sets)
