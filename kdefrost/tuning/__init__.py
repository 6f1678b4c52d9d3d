"""Tuning: the recipe by which tails are trained, chosen on the examples that choose the cut.

    space        what of a recipe may change, and how far (`Space`)
    tuned        what a `Defroster` takes in the place of a recipe that is to be tuned (`Tuned`)
    policy       at which cuts, on which examples, which recipe
    result       raw scores of every recipe (`Tuning`)
    hypermodel   for any of KerasTuner's tuners (`TailHyperModel`)

`Defroster(recipe="tuned")` asks for all recipes at once, so that features pass once and trials run side by side.
`Defroster.hypermodel` is for tuners that look at each score before they name the next recipe.
"""

from kdefrost.tuning.hypermodel import TailHyperModel
from kdefrost.tuning.result import Tuning, TuningTrial
from kdefrost.tuning.space import Space
from kdefrost.tuning.tuned import Tuned

__all__ = ["Space", "TailHyperModel", "Tuned", "Tuning", "TuningTrial"]
