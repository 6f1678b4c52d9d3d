"""The policy of a profile: ask everything."""

from collections.abc import Sequence

from kdefrost.cutting.cut import Cut
from kdefrost.training.recipe import Recipe
from kdefrost.trials.question import Question


def everything(cuts: Sequence[Cut], sizes: Sequence[int], seeds: Sequence[int], recipe: Recipe) -> list[Question]:
    """The questions about every cut at every size with every seed, those of a cut together.

    Args:
        cuts: The cuts.
        sizes: Numbers of training examples per class.
        seeds: The seeds.
        recipe: How tails are trained.

    Returns:
        A list of `Question`s.
    """
    return [Question.at(cut, size, seed, recipe) for cut in cuts for size in sizes for seed in seeds]
