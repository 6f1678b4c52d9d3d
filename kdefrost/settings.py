"""The settings of a defroster: what all its calls have in common, checked when it is made."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import Self

import keras
import numpy as np

from kdefrost.arguments import check_kind
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import FEATURE_DTYPES
from kdefrost.cutting.trainable import check_trainable, trainable_cuts
from kdefrost.data.storage import machine_memory
from kdefrost.devices import Strategy, check_training, in_use
from kdefrost.training.forms import FORMS
from kdefrost.training.recipe import Recipe
from kdefrost.trials.callbacks import check_callbacks
from kdefrost.trials.executors import cluster_address
from kdefrost.trials.experiment import Experiment, Learning
from kdefrost.trials.question import TAILS, Question
from kdefrost.tuning import Tuned


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """What a `Defroster` is made with; what is not said here is as its docstring has it.

    Attributes:
        source: The source model.
        cuts: The cuts that are tried.
        recipe: How tails are trained; where it is tuned, the recipe to start from, to which a folder keeps.
        tuned: How the recipe is tuned, `None` where it is given.
        learning: What is said of what is learnt.
        tails: How tails start.
        feature_dtype: In which numbers features are cached.
        memory_budget: Bytes that cached features may take in memory.
        directory: Folder in which trials are kept.
        strategy: The strategy under which all runs.
        executor: Where trials run.
        tensorboard: Folder of the dashboard.
        callbacks: Makes the callbacks of a trial.
        callbacks_told: What a folder's configuration says of these, taken once: a function may note something at each
            call.
    """

    source: keras.Model
    cuts: tuple[Cut, ...]
    recipe: Recipe
    tuned: Tuned | None
    learning: Learning
    tails: str
    feature_dtype: str
    memory_budget: int
    directory: str | os.PathLike | None
    strategy: Strategy | None
    executor: str | None
    tensorboard: str | os.PathLike | None
    callbacks: Callable[[Question], list[keras.callbacks.Callback]] | None
    callbacks_told: object

    @classmethod
    def of(
        cls,
        source: keras.Model,
        cuts: str | int | Sequence[int | str | Cut],
        features: bool | None,
        recipe: Recipe | Tuned | str | None,
        memory_budget: int | None,
        **others: object,
    ) -> Self:
        """Checks what a user gives, and puts what stands for `None` in its place.

        Args:
            source: As `Defroster` takes it, like all others.
            cuts: Which cuts to try.
            features: Whether the source ends in features.
            recipe: The recipe, or how it is tuned.
            memory_budget: Bytes, `None` for a quarter of the machine's.
            **others: The other attributes but `tuned` and `callbacks_told`.

        Returns:
            The `Settings`.

        Raises:
            ValueError: As `Defroster`.
            ImportError: As `Defroster`.
        """
        cluster_address(others["executor"])
        _check_word("tails", others["tails"], TAILS)
        if others["learning"].labels is not None:
            _check_word("labels", others["learning"].labels, FORMS, ", or None")
        memory_budget = machine_memory() // 4 if memory_budget is None else memory_budget
        if isinstance(memory_budget, bool) or not isinstance(memory_budget, (int, np.integer)) or memory_budget < 0:
            raise ValueError(f"`memory_budget` must be a whole number of bytes or None. Received: {memory_budget!r}")
        _check_word("feature_dtype", others["feature_dtype"], FEATURE_DTYPES)
        recipe, tuned = _recipe_of(recipe)
        check_training(in_use(others["strategy"]))
        told = check_callbacks(others["callbacks"])
        cuts = _trainable(source, cuts, features)
        return cls(source, cuts, recipe, tuned, memory_budget=memory_budget, callbacks_told=told, **others)

    def indices(self, cuts: Sequence[int | Cut] | None, default: Sequence[Cut]) -> set[int]:
        """The indices of some of the cuts.

        Args:
            cuts: The cuts, or their indices; `None` for those by default.
            default: The cuts by default.

        Returns:
            The indices.

        Raises:
            ValueError: If one is none of these cuts, or there are none.
        """
        if cuts is None:
            return {cut.index for cut in default}
        check_kind("cuts", cuts, (list, tuple), "a list of cuts or of their indices, or None")
        known, chosen = {cut.index for cut in self.cuts}, {getattr(cut, "index", cut) for cut in cuts}
        if not chosen or chosen - known:
            raise ValueError(
                f"`cuts` must be of this defroster's, {', '.join(map(str, sorted(known)))}. Received: cuts={cuts!r}"
            )
        return chosen

    def configuration(self, experiment: Experiment, recipe: Recipe) -> dict:
        """What a result depends on, as JSON has it, because what is read is compared with it.

        Args:
            experiment: What is asked of.
            recipe: How its tails are trained.
        """
        own = {
            "recipe": dataclasses.asdict(recipe),
            "feature_dtype": self.feature_dtype,
            "tails": self.tails,
            # Not their names, which Keras numbers as a process goes on.
            "cuts": [[cut.index, cut.frozen_layers, cut.shape_text] for cut in self.cuts],
        }
        if self.callbacks is not None:
            own["callbacks"] = self.callbacks_told
        return json.loads(json.dumps({**experiment.configuration, **own}))

    def remembered(self, experiment: Experiment) -> dict:
        """What one folder must not mix: all but the cuts, unless features at one are rounded on the way to the next."""
        # The recipe is a part of each question; a folder has the tuned ones beside the one to start from.
        configuration = self.configuration(experiment, self.recipe)
        if self.feature_dtype == "float32":
            del configuration["cuts"]
        # A folder of trials with callbacks is not to be taken for one of trials without.
        return {"callbacks": None, **configuration}


def _check_word(name: str, value: object, known: Sequence[str], otherwise: str = ""):
    if value not in known:
        raise ValueError(f"`{name}` must be one of {', '.join(known)}{otherwise}. Received: {name}={value!r}")


def _recipe_of(recipe: Recipe | Tuned | str | None) -> tuple[Recipe, Tuned | None]:
    """The recipe, or the one to start from and how it is tuned."""
    recipe = Recipe(epochs=60) if recipe is None else Tuned() if recipe == "tuned" else recipe
    if isinstance(recipe, Tuned):
        return recipe.start, recipe
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f'`recipe` must be a kdefrost.Recipe, "tuned", a kdefrost.tuning.Tuned, or None. Received: {recipe!r}'
        )
    return recipe, None


def _trainable(
    source: keras.Model, cuts: str | int | Sequence[int | str | Cut], features: bool | None
) -> tuple[Cut, ...]:
    """The cuts after which all can be trained; one that is named and cannot is refused."""
    found = tuple(cut_points(source, cuts, features))
    if isinstance(cuts, (str, int, np.integer)):
        return tuple(trainable_cuts(source, found))
    check_trainable(source, found)
    return found
