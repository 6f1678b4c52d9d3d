"""The policy of a profile: ask everything."""

from collections.abc import Sequence

from kdefrost.cutting.cut import Cut
from kdefrost.training.recipe import Recipe
from kdefrost.trials.question import Fold, Question


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
