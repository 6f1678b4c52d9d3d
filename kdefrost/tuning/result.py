"""What tuning found: raw scores of every recipe, and the recipe that they choose."""

import dataclasses
import itertools
import math
from typing import Self

import numpy as np

from kdefrost.results import Result
from kdefrost.training.recipe import Recipe
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer


@dataclasses.dataclass(frozen=True)
class TuningTrial:
    """One training of one tail by one recipe.

    Attributes:
        recipe: Number of the recipe, from 0, which is the one to start from.
        cut: Index of the cut.
        per_class: Number of training examples per class; `None` for all there are.
        draw: `(seed,)`, or with folds `(seed, repeat, fold)`: what recipes have the same examples for, in one order.
        test: Scores on the test set by metric, `None` without one; they choose nothing.
        validation: Scores on the validation set, or the fold that is held out, by metric.
        seconds: Time that training and evaluation took.
    """

    recipe: int
    cut: int
    per_class: int | None
    draw: tuple[int, ...]
    test: dict[str, float] | None
    validation: dict[str, float]
    seconds: float

    @classmethod
    def of(cls, recipe: int, answer: Answer) -> Self:
        """The trial that gave an answer."""
        asked = answer.question
        return cls(recipe, asked.cut, asked.per_class, asked.draw, answer.test, answer.validation, answer.seconds)


@dataclasses.dataclass(frozen=True)
class Tuning(Result):
    """Scores of several recipes at a few cuts.

    The recipe with the best mean of the scores that choose, over cuts, sizes and seeds or folds, is the one that a
    profile's trials are trained by. Being the best of several it is flattered by the scores that chose it; those of
    the test set, where there is one, are not.

    Attributes:
        recipes: The recipes, the first of which is the one to start from.
        trials: The trials, at the same cuts, on the same examples in the same order for each recipe.
        objective: The metric that chooses, and which way it is better.
        flops: Floating-point operations of all trials, evaluation included.
    """

    KIND = "tuning"
    FORMAT = 1

    recipes: tuple[Recipe, ...]
    trials: tuple[TuningTrial, ...]
    objective: Objective
    flops: float

    @property
    def cuts(self) -> list[int]:
        """The indices of the cuts, in order."""
        return sorted({trial.cut for trial in self.trials})

    @property
    def draws(self) -> list[tuple]:
        """`(per_class, draw)` of the trials, in order: the rows of `scores`."""
        found = {(trial.per_class, trial.draw) for trial in self.trials}
        return sorted(found, key=lambda each: (np.inf if each[0] is None else each[0], each[1]))

    @property
    def seconds(self) -> float:
        """Time that all trials took, one after another."""
        return float(sum(trial.seconds for trial in self.trials))

    @property
    def reported_on(self) -> str:
        """The set whose scores are shown: `"test"`, or `"validation"` where there is none."""
        return "test" if all(trial.test is not None for trial in self.trials) else "validation"

    @property
    def best(self) -> int:
        """Number of the recipe with the best mean of the scores that choose, of equal ones the first.

        One by which a training diverged, so that a score is no number, is worse than all others.
        """
        means = [self._worth(number).mean() for number in range(len(self.recipes))]
        return int(np.argmax(means))

    @property
    def recipe(self) -> Recipe:
        """The recipe that was chosen."""
        return self.recipes[self.best]

    def scores(self, recipe: int, on: str = "validation", metric: str | None = None) -> np.ndarray:
        """The scores of a recipe.

        Args:
            recipe: Its number.
            on: `"validation"`, which with folds is the fold that is held out, or `"test"`.
            metric: Name of the metric, by default the objective's.

        Returns:
            Array `(draws, cuts)`, NaN where there is no score.

        Raises:
            ValueError: If there is no such recipe, or `on` is neither.
        """
        if recipe not in range(len(self.recipes)):
            raise ValueError(f"`recipe` must be from 0 to {len(self.recipes) - 1}. Received: recipe={recipe!r}")
        if on not in ("test", "validation"):
            raise ValueError(f'`on` must be "test" or "validation". Received: on={on!r}')
        metric = self.objective.name if metric is None else metric
        rows, columns = ({each: place for place, each in enumerate(axis)} for axis in (self.draws, self.cuts))
        table = np.full((len(rows), len(columns)), np.nan)
        for trial in self.trials:
            if trial.recipe == recipe:
                score = (getattr(trial, on) or {}).get(metric, np.nan)
                table[rows[trial.per_class, trial.draw], columns[trial.cut]] = score
        return table

    def gains(self, on: str | None = None, at_best: bool = False) -> np.ndarray:
        """The objective's score by the recipe that was chosen less that by the first, for each draw.

        Args:
            on: `"validation"` or `"test"`; by default the set that is reported.
            at_best: Whether at the best of the cuts by each recipe, instead of the mean over all.

        Returns:
            Array `(draws,)`.
        """
        on = self.reported_on if on is None else on
        chosen, first = (self.scores(recipe, on) for recipe in (self.best, 0))
        if at_best:
            columns = [self.cuts.index(self.best_cut(recipe)) for recipe in (self.best, 0)]
            return chosen[:, columns[0]] - first[:, columns[1]]
        return (chosen - first).mean(axis=1)

    def best_cut(self, recipe: int) -> int:
        """The index of that of the cuts which does best by a recipe on the set that chooses; of equal ones the last."""
        means = self._worth(recipe).mean(axis=0)
        return self.cuts[int(np.flatnonzero(means == means.max())[-1])]

    def rows(self) -> list[list]:
        """The trials, one a row, in order of recipe, cut, size and draw; the first row names the columns."""
        names = list(dataclasses.asdict(self.recipes[0]))
        scored = [(on, metric) for on in ("test", "validation") for metric in self.trials[0].validation]
        head = ["recipe", *names, "cut", "per_class", "seed", "repeat", "fold"]
        rows = [[*head, *(f"{on}_{metric}" for on, metric in scored), "seconds"]]
        for trial in self.trials:
            recipe = dataclasses.asdict(self.recipes[trial.recipe])
            draw = [*trial.draw, None, None][:3]
            scores = [(getattr(trial, on) or {}).get(metric) for on, metric in scored]
            rows.append([trial.recipe, *recipe.values(), trial.cut, trial.per_class, *draw, *scores, trial.seconds])
        return rows

    def check(self) -> None:
        """Refuses parts that do not fit together, by a `ValueError`."""
        found = [(trial.recipe, trial.cut, trial.per_class, trial.draw) for trial in self.trials]
        asked = itertools.product(range(len(self.recipes)), self.cuts, self.draws)
        if not found or sorted(map(str, found)) != sorted(str((recipe, cut, *draw)) for recipe, cut, draw in asked):
            raise ValueError("its trials are not the same for each of its recipes")
        numbers = [self.flops, *(trial.seconds for trial in self.trials)]
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError("its tuning took what nothing takes")
        metrics = {frozenset(scores) for each in self.trials for scores in (each.test, each.validation) if scores}
        if len(metrics) > 1 or self.objective.name not in self.trials[0].validation:
            raise ValueError(f"its trials have not all scores of the same metrics, {self.objective.name} among them")

    def _worth(self, recipe: int) -> np.ndarray:
        """The scores that choose, more being better; those of a diverged training are the worst."""
        scores = self.objective.sign * self.scores(recipe)
        return np.where(np.isfinite(scores), scores, -np.inf)
