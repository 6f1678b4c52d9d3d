"""The defrosting profile: raw scores over cuts × sizes × seeds, and what follows from them."""

import dataclasses
from typing import Self

import numpy as np
from scipy import stats

from kdefrost.cutting.cut import Cut
from kdefrost.results import Result
from kdefrost.statistics import error_over_seeds, mean_over_seeds
from kdefrost.training.labels import has_classes
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of one tail.

    Attributes:
        cut: Index of the cut.
        per_class: Number of training examples per class.
        seed: Seed of the subset, the initialisation and the order.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set by metric, `None` without one.
        seconds: Time that training and evaluation took; the first trial of a cut in a run
            also compiles its tail.
    """

    cut: int
    per_class: int
    seed: int
    test: dict[str, float] | None
    validation: dict[str, float] | None
    seconds: float

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells trials of one profile apart."""
        return self.cut, self.per_class, self.seed

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The trial that gave an answer."""
        return cls(*answer.question.key, answer.test, answer.validation, answer.seconds)


@dataclasses.dataclass(frozen=True)
class DefrostProfile(Result):
    """Scores of all trials of a profile.

    The best cut is chosen by the objective's scores on the validation set, or, where there
    is none, by those on the test set: its test score is then optimistic, and `chosen_on`
    says so.

    Attributes:
        cuts: The cuts, from the input to the output.
        trials: The finished trials.
        objective: The metric that chooses, and which way it is better.
        configuration: What the scores depend on.
    """

    KIND = "profile"
    FORMAT = 2

    cuts: tuple[Cut, ...]
    trials: tuple[Trial, ...]
    objective: Objective
    configuration: dict = dataclasses.field(default_factory=dict)

    @property
    def per_class(self) -> list[int]:
        """The sizes of the training sets, in examples per class, in order."""
        return sorted({trial.per_class for trial in self.trials})

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({trial.seed for trial in self.trials})

    @property
    def chosen_on(self) -> str:
        """The set whose scores choose the cut: `"validation"`, or `"test"` where there is none."""
        return "validation" if all(trial.validation is not None for trial in self.trials) else "test"

    @property
    def reported_on(self) -> str:
        """The set whose scores are shown: `"test"`, or `"validation"` where there is none."""
        return "test" if all(trial.test is not None for trial in self.trials) else "validation"

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, the objective first."""
        names = dict.fromkeys(name for trial in self.trials for name in (trial.test or trial.validation))
        return sorted(names, key=lambda name: name != self.objective.name)

    def scores(self, per_class: int, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The scores at one size.

        Args:
            per_class: Number of training examples per class.
            on: `"test"` or `"validation"`.
            metric: Name of the metric, by default the objective's.

        Returns:
            Array `(seeds, cuts)`, NaN where there is no score.

        Raises:
            ValueError: If there is no trial of that size, no such metric, or `on` is
                neither.
        """
        metric = self.objective.name if metric is None else metric
        if on not in ("test", "validation"):
            raise ValueError(f'`on` must be "test" or "validation". Received: on={on!r}')
        if per_class not in self.per_class:
            sizes = ", ".join(map(str, self.per_class)) or "none"
            raise ValueError(f"There are no trials with per_class={per_class}; sizes tried: {sizes}.")
        if metric not in self.metrics:
            raise ValueError(f"`metric` must be one of {', '.join(self.metrics)}. Received: metric={metric!r}")
        rows = {seed: row for row, seed in enumerate(self.seeds)}
        columns = {cut.index: column for column, cut in enumerate(self.cuts)}
        scores = np.full((len(rows), len(columns)), np.nan)
        for trial in self.trials:
            if trial.per_class == per_class and getattr(trial, on) is not None:
                scores[rows[trial.seed], columns[trial.cut]] = getattr(trial, on)[metric]
        return scores

    def mean(self, per_class: int, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The mean over seeds of `scores`, an array `(cuts,)`, NaN where untried."""
        return mean_over_seeds(self.scores(per_class, on, metric))

    def standard_error(self, per_class: int, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The standard error of `mean`, an array `(cuts,)`, NaN with fewer than two seeds.

        It covers subset, initialisation and order, and the test sample where every seed has
        its own; otherwise the sampling of the test set, the same for all, is not in it.
        """
        return error_over_seeds(self.scores(per_class, on, metric))

    def difference(self, per_class: int, cut: Cut, other: Cut) -> np.ndarray:
        """The objective's score at one cut less that at another, seed by seed.

        For one seed all cuts see the same examples in the same order, so that what they have
        in common is not in these differences.

        Args:
            per_class: Number of training examples per class.
            cut: A `Cut` of the profile.
            other: The one that it is compared with.

        Returns:
            Array `(seeds,)` of differences on the set that is reported, NaN for a seed that lacks either.
        """
        scores = self.scores(per_class, self.reported_on)
        return scores[:, self.cuts.index(cut)] - scores[:, self.cuts.index(other)]

    def best_cut(self, per_class: int) -> Cut:
        """The cut with the best mean of the scores that choose.

        Where some seeds lack some of the tried cuts, the seeds that have all of them decide,
        if there are any.

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
        mean = mean_over_seeds(self._paired(per_class))
        return self.cuts[int(np.flatnonzero(mean == np.nanmax(mean))[-1])]

    def is_scored(self, per_class: int) -> bool:
        """Whether any trial of that size has a number for the objective on the set that chooses."""
        return bool(np.isfinite(self.scores(per_class, self.chosen_on)).any())

    def best_trial(self, per_class: int) -> Trial:
        """The trial at the best cut with the best of the scores that choose; of equal ones the first seed.

        Args:
            per_class: Number of training examples per class.

        Returns:
            The `Trial`.
        """
        at = self.best_cut(per_class).index
        trials = [trial for trial in self.trials if trial.per_class == per_class and trial.cut == at]
        return max(sorted(trials, key=lambda trial: trial.seed), key=self._worth)

    def is_better(self, trial: Trial, other: Trial) -> bool:
        """Whether a trial has a better one of the scores that choose, or an equal one and an earlier seed."""
        return (self._worth(trial), -trial.seed) > (self._worth(other), -other.seed)

    def near_best_cuts(self, per_class: int, confidence: float = 0.95) -> list[Cut]:
        """The tried cuts that are not told apart from the best one, itself among them.

        Multiple comparisons with the best (Hsu, 1984) in a randomised block design: for one
        seed all cuts are trained on the same examples, so seeds are the blocks. With n
        seeds and k cuts, scores less the means of their seed and cut leave a variance σ² on
        (n − 1)(k − 1) degrees of freedom; a cut is told apart when its mean is more than
        t √(2σ²/n) worse than the best, t being the one-sided quantile for k − 1 comparisons
        (Bonferroni). With one seed no cut is told apart. The sampling of the set that chooses,
        the same for all cuts, is not in σ.

        Args:
            per_class: Number of training examples per class.
            confidence: Confidence of all comparisons together.

        Returns:
            A list of `Cut` in their order.
        """
        scores = self._paired(per_class)
        mean = mean_over_seeds(scores)
        finite = np.isfinite(mean)
        near = finite & (mean >= np.nanmax(mean) - _margin(scores[:, finite], confidence))
        return [cut for cut, is_near in zip(self.cuts, near, strict=True) if is_near]

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
        rows = [["cut", "layer", "per_class", "seed", *(f"{on}_{metric}" for on, metric in columns), "seconds"]]
        for t in sorted(self.trials, key=lambda trial: trial.key):
            values = [(getattr(t, on) or {}).get(metric) for on, metric in columns]
            rows.append([t.cut, names[t.cut], t.per_class, t.seed, *values, t.seconds])
        return rows

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Makes a profile from what `dataclasses.asdict` and JSON made of it."""
        return cls(
            cuts=tuple(Cut.from_dict(cut) for cut in values["cuts"]),
            trials=tuple(Trial(**trial) for trial in values["trials"]),
            objective=Objective(**values["objective"]),
            configuration=values["configuration"],
        )

    def _worth(self, trial: Trial) -> float:
        """The score that chooses, more being better; that of a diverged training is the worst."""
        score = getattr(trial, self.chosen_on)[self.objective.name]
        return self.objective.sign * score if np.isfinite(score) else -np.inf

    def _paired(self, per_class: int) -> np.ndarray:
        """What `_worth` gives `(seeds, cuts)`, of the seeds that have all tried cuts if there are any."""
        worth = np.full((len(self.seeds), len(self.cuts)), np.nan)
        columns = {cut.index: column for column, cut in enumerate(self.cuts)}
        for trial in self.trials:
            if trial.per_class == per_class:
                worth[self.seeds.index(trial.seed), columns[trial.cut]] = self._worth(trial)
        untried = np.isnan(worth)
        complete = ~untried[:, ~untried.all(axis=0)].any(axis=1)
        return worth[complete] if complete.any() else worth


def _margin(scores: np.ndarray, confidence: float) -> float:
    """How far below the best of `(seeds, cuts)` a mean may be and not be told apart."""
    seeds, cuts = scores.shape
    if cuts == 1:
        return 0.0
    if seeds == 1 or np.isnan(scores).any():
        return np.inf
    residuals = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    freedom = (seeds - 1) * (cuts - 1)
    variance = np.square(residuals).sum() / freedom
    quantile = stats.t.ppf(1 - (1 - confidence) / (cuts - 1), freedom)
    return float(quantile * np.sqrt(2 * variance / seeds))
