"""The policies of a profile: ask everything, or walk back from the last cut while that gains."""

import math
from collections.abc import Callable, Mapping, Sequence

from kdefrost.cutting.cut import Cut
from kdefrost.training.recipe import Recipe
from kdefrost.trials.question import Answer, Fold, Question


def everything(
    cuts: Sequence[Cut],
    sizes: Sequence[int | None],
    seeds: Sequence[int],
    recipe: Recipe,
    folds: Sequence[Fold | None] = (None,),
    tail: str = "new",
) -> list[Question]:
    """The questions about every cut at every size with every seed and fold, those of a cut together.

    Args:
        cuts: The cuts.
        sizes: Numbers of training examples per class, `None` for all there are.
        seeds: The seeds.
        recipe: How tails are trained.
        folds: The folds that are held out in turn, `None` for none.
        tail: How tails start.

    Returns:
        A list of `Question`s.
    """
    return [
        Question.at(cut, size, seed, recipe, fold=fold, tail=tail)
        for cut in cuts
        for size in sizes
        for seed in seeds
        for fold in folds
    ]


def walk_back(
    questions: Sequence[Question], patience: int, worth: Callable[[Answer], float]
) -> Callable[[Mapping[Question, Answer]], Sequence[Question]]:
    """The policy that asks of the last cut, then of the one before it, until so many in a row are no better.

    Tails of late cuts are cheap, and with few examples early ones are seldom worth what they cost.

    Args:
        questions: All that can be asked.
        patience: Number of cuts in a row that may be no better than the best before, whose mean is of all their
            answers, before earlier cuts are left out; for each size by itself.
        worth: What an answer is worth, more being better.

    Returns:
        A policy; see `trials.asking`.
    """
    sizes = dict.fromkeys(question.per_class for question in questions)

    def policy(answers: Mapping[Question, Answer]) -> Sequence[Question]:
        return [
            question
            for size in sizes
            for question in _walked([each for each in questions if each.per_class == size], patience, worth, answers)
        ]

    return policy


def _walked(questions, patience: int, worth: Callable, answers: Mapping) -> list[Question]:
    """Questions of one size, as far as the walk has come: those of the cut that it has reached among them."""
    asked, best, since = [], -math.inf, 0
    for cut in sorted({question.cut for question in questions}, reverse=True):
        mine = [question for question in questions if question.cut == cut]
        asked += mine
        if not all(question in answers for question in mine):
            break
        mean = sum(worth(answers[question]) for question in mine) / len(mine)
        best, since = (mean, 0) if mean > best else (best, since + 1)
        if since == patience:
            break
    return asked
