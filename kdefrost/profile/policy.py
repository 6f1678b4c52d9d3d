"""The policies of a profile: ask everything, or walk back from the last cut while that gains."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import variance_share
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
    """The policy that asks of the last cut, then of the one before it, until so many in a row are worse.

    Tails of late cuts are cheap, and with few examples early ones are seldom worth what they cost. A cut is worse where
    its mean is below that of the best so far by more than the standard error of their paired difference, which for
    folds is corrected (see `choice.variance_share`); one that is nearly as good neither ends nor renews the patience.

    Args:
        questions: All that can be asked.
        patience: Number of cuts in a row that may be worse before earlier ones are left out; for each size by itself.
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
    asked, best, since = [], None, 0
    folds = next((question.fold.folds for question in questions if question.fold is not None), None)
    for cut in sorted({question.cut for question in questions}, reverse=True):
        mine = sorted((question for question in questions if question.cut == cut), key=lambda question: question.draw)
        asked += mine
        if not all(question in answers for question in mine):
            break
        scores = np.array([worth(answers[question]) for question in mine])
        if best is None or scores.mean() > best.mean():
            best, since = scores, 0
        elif _is_worse(scores, best, folds):
            since += 1
        if since == patience:
            break
    return asked


def _is_worse(scores: np.ndarray, best: np.ndarray, folds: int | None) -> bool:
    """Whether paired scores are below the best ones by more than the standard error of the difference."""
    differences = best - scores
    if not np.isfinite(differences).all():
        return True
    variance = differences.var(ddof=1) if len(differences) > 1 else 0.0
    return bool(differences.mean() > np.sqrt(variance * variance_share(len(differences), folds)))
