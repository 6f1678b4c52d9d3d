"""How a recipe is tuned: at which cuts, on which examples, which recipe; pure functions."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.training.recipe import Recipe
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer, Question
from kdefrost.tuning.result import Tuning, TuningTrial

# Shares of the whole network's training that tails after the cuts take at which recipes are tried: that of the last
# cut, a small and a large tail. More than half, which from scratch is all of it, would cost most of what tuning does.
_SHARES = (0.0, 0.25, 0.5)
# Seeds, or folds, of each size that a recipe is tried with.
_DRAWS = 3


def tuning_cuts(cuts: Sequence[Cut]) -> list[Cut]:
    """The cuts at which recipes are tried: the last one, and those that leave nearest to a quarter and a half to train.

    Args:
        cuts: The cuts of a profile.

    Returns:
        At most three of them, in their order; of equally near ones the last.
    """
    chosen = {
        min(reversed(cuts), key=lambda cut: abs(cut.tail_multiply_adds - share * cut.multiply_adds)).index
        for share in _SHARES[1:]
    }
    return [cut for cut in cuts if cut.index in chosen | {cuts[-1].index}]


def tuning_questions(recipes: Sequence[Recipe], asked: Sequence[Question], cuts: Sequence[Cut]) -> list[Question]:
    """The questions by which recipes are compared, all paired: the same examples, in the same order.

    Args:
        recipes: The recipes.
        asked: The questions of a profile.
        cuts: Those cuts at which recipes are tried.

    Returns:
        Of the questions at these cuts, those of the first three seeds, or folds, of each size, once for each recipe;
        those of a cut together, and of a recipe within it, because these share a compiled tail.
    """
    draws = sorted({question.draw for question in asked})[:_DRAWS]
    return [
        dataclasses.replace(question, recipe=recipe)
        for cut in cuts
        for recipe in recipes
        for question in asked
        if question.cut == cut.index and question.draw in draws
    ]


def tuning_of(
    recipes: Sequence[Recipe],
    questions: Sequence[Question],
    answers: Mapping[Question, Answer],
    objective: Objective,
    flops: float,
) -> Tuning:
    """The result of a tuning.

    Args:
        recipes: The recipes, that to start from first.
        questions: The questions of all of them.
        answers: Their answers.
        objective: The metric that chooses.
        flops: Floating-point operations of all trials.

    Returns:
        The `Tuning`.
    """
    numbers = {recipe: number for number, recipe in enumerate(recipes)}
    trials = tuple(TuningTrial.of(numbers[question.recipe], answers[question]) for question in questions)
    return Tuning(tuple(recipes), trials, objective, float(flops))


def mean_scores(answers: Sequence[Answer]) -> dict[str, float]:
    """The mean of each metric over answers, on the examples that choose."""
    return {name: float(np.mean([each.validation[name] for each in answers])) for name in answers[0].validation}
