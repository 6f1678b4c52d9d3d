"""The defrosting profile: raw scores over cuts × sizes × seeds, and what follows from them."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
from scipy import stats

from kdefrost.cuts import Cut
from kdefrost.tables import align, format_difference, format_score, in_percent, label_of
from kdefrost.tasks import Objective, has_classes
from kdefrost.trials import Trial, read_json, write_atomically

# What a table has where there is no score: as wide as a mark and the space before it, and the score.
UNTRIED = "–  "
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class DefrostProfile:
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
        return _over_seeds(self.scores(per_class, on, metric), stat=lambda column: column.mean())

    def standard_error(self, per_class: int, on: str = "test", metric: str | None = None) -> np.ndarray:
        """The standard error of `mean`, an array `(cuts,)`, NaN with fewer than two seeds.

        It covers subset, initialisation and order, and the test sample where every seed has
        its own; otherwise the sampling of the test set, the same for all, is not in it.
        """
        return _over_seeds(self.scores(per_class, on, metric), stat=_standard_error)

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
        mean = _over_seeds(self._paired(per_class), stat=np.mean)
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
        mean = _over_seeds(scores, stat=np.mean)
        finite = np.isfinite(mean)
        near = finite & (mean >= np.nanmax(mean) - _margin(scores[:, finite], confidence))
        return [cut for cut, is_near in zip(self.cuts, near, strict=True) if is_near]

    def sentence(self, per_class: int) -> str:
        """Says in plain words what to freeze, and what it is worth.

        Args:
            per_class: Number of training examples per class.

        Returns:
            A sentence with scores of the objective and differences from both ends, which are
            paired over seeds, ± their standard error.
        """
        if not self.is_scored(per_class):
            return f"No trial has a number for its {label_of(self.objective.name)}."
        best, metric = self.best_cut(per_class), self.objective.name
        mean, error = self.mean(per_class, self.reported_on), self.standard_error(per_class, self.reported_on)
        at = self.cuts.index(best)
        near = [str(cut.index) for cut in self.near_best_cuts(per_class) if cut is not best]
        tried = "tried " if np.isnan(mean).any() else ""
        return (
            f"{_advice(best)}: {label_of(metric)} {format_score(metric, mean[at], error[at])}"
            f"{self._gains(per_class, best)}{_near_sentence(near, tried)}."
        )

    def table(self, metric: str | None = None) -> str:
        """The scores as text: a row per cut, a column per size, mean ± standard error.

        `*` marks the best cut of a column, `~` those not told apart from it.

        Args:
            metric: Name of the metric, by default the objective's.
        """
        sizes = self.per_class
        head = ["cut", "after layer", "frozen", "features", *map(self.size_text, sizes)]
        cells = {size: self.cells(size, metric) for size in sizes}
        rows = [
            [
                str(cut.index),
                cut.name,
                f"{cut.frozen_layers}/{cut.layers}",
                cut.shape_text,
                *(cells[size][column] for size in sizes),
            ]
            for column, cut in enumerate(self.cuts)
        ]
        return align([head, *rows], left=(1,))

    def cells(self, per_class: int, metric: str | None = None) -> list[str]:
        """The scores of one size as they are in `table`, one for each cut: mean ± standard error, and mark.

        Args:
            per_class: Number of training examples per class.
            metric: Name of the metric, by default the objective's.
        """
        metric, on, cells = metric or self.objective.name, self.reported_on, []
        mean, error = self.mean(per_class, on, metric), self.standard_error(per_class, on, metric)
        for value, spread, mark in zip(mean, error, self._marks(per_class), strict=True):
            score = format_score(metric, value, spread).removesuffix(" %")
            cells.append(f"{score} {mark}" if np.isfinite(value) else UNTRIED)
        return cells

    def summary(self) -> str:
        """A table for each metric, a line on how to read them, and a sentence per size."""
        if not self.trials:
            return "No trials have finished."
        seeds = f"Mean ± standard error over {len(self.seeds)} seeds" if len(self.seeds) > 1 else "One seed"
        tables = [f"{self.heading(metric)}\n\n{self.table(metric)}\n" for metric in self.metrics]
        sentences = [f"{self.size_text(size)}: {self.sentence(size)}" for size in self.per_class]
        return "\n".join([*tables, *self._learnt(), f"{seeds}. {self.marks_text()}", "", *sentences])

    def size_text(self, per_class: int) -> str:
        """A size in words: so many per class, or so many examples where there are no classes."""
        return f"{per_class} per class" if self.has_classes else f"{per_class} examples"

    @property
    def has_classes(self) -> bool:
        """Whether each example is of one class, of which sizes are counted."""
        return has_classes(self._task.get("kind", "classification"), self._task.get("units", 2))

    @property
    def _task(self) -> dict:
        return self.configuration.get("task", {})

    def _learnt(self) -> list[str]:
        """A line on what was learnt, which kdefrost may have concluded from the labels."""
        kind, units, sample = (self._task.get(name) for name in ("kind", "units", "test_per_class"))
        if kind is None:
            return []
        things = {"classification": "classes", "multi-label": "labels", "regression": "targets"}[kind]
        tested = f" Each seed is tested on as many images of each class, at most {sample}." if sample else ""
        number = f"{units} {things}" if units > 1 else f"one {things[:-1]}"
        return [f"Learnt: {kind}, {number}, by {self._task.get('loss')}.{tested}"]

    def heading(self, metric: str) -> str:
        """What a metric's scores are: the set, the metric, its unit, and whether the lowest choose."""
        unit = " in %" if in_percent(metric) else ""
        lower = ", lower is better" if (metric, "min") == (self.objective.name, self.objective.direction) else ""
        return f"{self.reported_on.capitalize()} {label_of(metric)}{unit}{lower}"

    def marks_text(self, best: str = "*") -> str:
        """What the marks of a table mean, and what chose the best cut.

        Args:
            best: How the best cut is marked.
        """
        flattery = " itself, which flatters it" if self.chosen_on == "test" else ""
        return (
            f"{best} best cut, chosen by {label_of(self.objective.name)} on the {self.chosen_on} set{flattery}; "
            "~ not told apart from it."
        )

    def plot(self, ax=None, metric: str | None = None):
        """Draws the profile; see `kdefrost.plots.plot_profile`."""
        # Matplotlib is imported only by those who draw.
        from kdefrost import plots

        return plots.plot_profile(self, ax=ax, metric=metric)

    def save(self, path: str | os.PathLike):
        """Writes the profile to a JSON file."""
        values = {"kdefrost_profile": _FORMAT, **dataclasses.asdict(self)}
        write_atomically(Path(path), json.dumps(values, indent=1) + "\n")

    def save_csv(self, path: str | os.PathLike):
        """Writes the trials to a CSV file, one a row."""
        file = io.StringIO(newline="")
        csv.writer(file, lineterminator="\n").writerows(self.rows())
        write_atomically(Path(path), file.getvalue())

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
    def load(cls, path: str | os.PathLike) -> "DefrostProfile":
        """Reads a profile from the file that `save` wrote.

        Args:
            path: The JSON file.

        Returns:
            A `DefrostProfile`.

        Raises:
            ValueError: If the file is damaged or not a profile.
        """
        values = read_json(Path(path))
        if values.get("kdefrost_profile") != _FORMAT:
            raise ValueError(f"{path} is not a profile of this version of kdefrost (format {_FORMAT}).")
        try:
            return cls(
                cuts=tuple(Cut.from_dict(cut) for cut in values["cuts"]),
                trials=tuple(Trial(**trial) for trial in values["trials"]),
                objective=Objective(**values["objective"]),
                configuration=values["configuration"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error

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

    def _gains(self, per_class: int, best: Cut) -> str:
        """The best cut's distance from the two ends of the profile, paired over seeds."""
        ends = {"training from scratch": self.cuts[0]} if self.cuts[0].index == 0 else {}
        if self.cuts[-1].frozen_layers == self.cuts[-1].layers - 1:
            ends["retraining only the output layer"] = self.cuts[-1]
        words = []
        for name, end in ends.items():
            gains = self.difference(per_class, best, end)
            gains = gains[np.isfinite(gains)]
            if end is not best and len(gains):
                gain = format_difference(self.objective.name, gains.mean(), _standard_error(gains))
                words.append(f"{gain} {name}")
        return f", {' and '.join(words)}" if words else ""

    def _marks(self, per_class: int) -> list[str]:
        if not self.is_scored(per_class):
            return [" "] * len(self.cuts)
        best, near = self.best_cut(per_class), self.near_best_cuts(per_class)
        return ["*" if cut is best else "~" if cut in near else " " for cut in self.cuts]


def _over_seeds(scores: np.ndarray, stat) -> np.ndarray:
    """A statistic of each column `(seeds, cuts)` over what is there, NaN where nothing is."""
    columns = (column[~np.isnan(column)] for column in scores.T)
    return np.array([stat(column) if len(column) else np.nan for column in columns])


def _standard_error(scores: np.ndarray) -> float:
    """The standard error of the mean of some scores, NaN with fewer than two."""
    return scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan


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


def _advice(cut: Cut) -> str:
    if cut.frozen_layers == 0:
        return f"Freeze nothing and train all {cut.layers} layers from scratch"
    return f"Freeze the first {cut.frozen_layers} of {cut.layers} layers, up to `{cut.name}` (cut {cut.index})"


def _near_sentence(near: list[str], tried: str) -> str:
    if not near:
        return f"; all other {tried}cuts are told apart from it"
    if len(near) == 1:
        return f"; cut {near[0]} is not told apart from it"
    return f"; cuts {', '.join(near[:-1])} and {near[-1]} are not told apart from it"
