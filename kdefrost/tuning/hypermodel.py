"""The tail's recipe, and the cut, as a model whose hyperparameters any of KerasTuner's tuners chooses."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from kdefrost.training.recipe import Recipe
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer, Question
from kdefrost.tuning.policy import mean_scores
from kdefrost.tuning.space import Space

# What `search` hands on that is no wish of the user's.
_OWN = ("callbacks", "epochs", "initial_epoch", "verbose")


class TailHyperModel(keras_tuner.HyperModel):
    """What `Defroster.hypermodel` gives: tails, whose recipe and cut a tuner of KerasTuner chooses.

    A trial of the tuner asks how well tails do by one recipe: at each of some cuts, or at the one that it chooses too,
    on the validation set or on folds in turn. What a run folder answers already is not trained again; a tuner with
    `overwrite=True` and a `seed`, started anew, therefore comes quickly to where it was stopped, and to the same end.
    (KerasTuner's own files do not have the state of the random numbers of its Bayesian search, and a seed of 0 is none
    to it.) A recipe that a tuner repeats, as `BayesianOptimization` does, costs nothing. Each trial runs the frozen
    layers once over the examples. Any error ends the search, where KerasTuner would note a failure and go on; a
    training that diverged is such a failure.

    `Hyperband`, and `search(epochs=)`, set the number of epochs: a shorter training is a question of its own, with its
    own schedule from start to end, and a longer one does not go on from it. Short trainings favour small tails.

    Args:
        answers: Gives the answers to questions, by these.
        questions: What is asked, by the recipe to start from.
        objective: The metric that chooses.
        space: What of the recipe may change.

    Attributes:
        questions: What is asked, by the recipe to start from.
        objective: The metric that chooses, for KerasTuner: the name under which it has Keras's `val_`.

    Raises:
        ValueError: If `Recipe` refuses an end of the space, or it has the cut and there is one only.
    """

    def __init__(
        self,
        answers: Callable[[Sequence[Question]], Mapping[Question, Answer]],
        questions: Sequence[Question],
        objective: Objective,
        space: Space,
    ):
        self._answers, self.questions, self._space = answers, tuple(questions), space
        self._start, self._metric = questions[0].recipe, objective.name
        self._cuts = sorted({question.cut for question in questions})
        space.check(self._start)
        if space.cut and len(self._cuts) == 1 and space.size == 1:
            raise ValueError(
                f"`cuts` must be two or more for a `space` that has nothing but the cut. Received: cuts={self._cuts}"
            )
        self.objective = keras_tuner.Objective(f"val_{objective.name}", objective.direction)
        super().__init__(name="tail")

    def recipe(self, hyperparameters: keras_tuner.HyperParameters) -> Recipe:
        """The recipe that hyperparameters stand for.

        Args:
            hyperparameters: Those of a trial, such as `tuner.get_best_hyperparameters()[0]`.

        Returns:
            The `Recipe`, with the number of epochs that `Hyperband` has set.
        """
        epochs = hyperparameters.values.get("tuner/epochs")
        recipe = self._space.declare(hyperparameters, self._start)
        return recipe if epochs is None else self._with_epochs(recipe, epochs)

    def cut(self, hyperparameters: keras_tuner.HyperParameters) -> int | None:
        """The index of the cut that hyperparameters stand for; `None` where the tuner does not choose it."""
        if not self._space.cut:
            return None
        return hyperparameters.Choice("cut", self._cuts, default=self._cuts[-1])

    def build(self, hyperparameters: keras_tuner.HyperParameters) -> keras.Model:
        """Enters all choices into the hyperparameters; what it gives stands for a model in KerasTuner's hands."""
        self._space.declare(hyperparameters, self._start)
        self.cut(hyperparameters)
        return _Elsewhere(hyperparameters.values.get("tuner/trial_id"))

    def fit(
        self, hyperparameters: keras_tuner.HyperParameters, model: keras.Model, *data: None, **options: object
    ) -> dict:
        """Scores tails by the recipe that hyperparameters stand for.

        Args:
            hyperparameters: Those of a trial.
            model: What `build` gave.
            *data: None: the data were given where this was made.
            **options: `epochs` in the place of the recipe's.

        Returns:
            The mean of each metric, by its name with Keras's `val_`.

        Raises:
            keras_tuner.errors.FatalError: Whatever happens, which ends the search.
            keras_tuner.errors.FailedTrialError: If a training diverged, so that there is no score.
        """
        try:
            _check_options(data, options)
            scores = self._score(hyperparameters, options.get("epochs"))
        except Exception as error:
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error
        if not np.isfinite(scores[self._metric]):
            raise keras_tuner.errors.FailedTrialError("Training diverged: there is no score.")
        return {f"val_{name}": score for name, score in scores.items()}

    def _score(self, hyperparameters: keras_tuner.HyperParameters, epochs: int | None) -> dict[str, float]:
        recipe, cut = self._space.declare(hyperparameters, self._start), self.cut(hyperparameters)
        recipe = recipe if epochs is None else self._with_epochs(recipe, epochs)
        questions = [
            dataclasses.replace(question, recipe=recipe)
            for question in self.questions
            if cut is None or question.cut == cut
        ]
        answers = self._answers(questions)
        return mean_scores([answers[question] for question in questions])

    def _with_epochs(self, recipe: Recipe, epochs: int) -> Recipe:
        if "epochs" in self._space.choices:
            raise ValueError(
                "`space` must leave `epochs` out where the tuner sets them, as Hyperband and search(epochs=) do."
            )
        return dataclasses.replace(recipe, epochs=epochs)


def _check_options(data: tuple, options: dict):
    """Refuses what `search` was given and a question has no place for."""
    wishes = [name for name in options if name not in _OWN]
    own = keras_tuner.__name__.split(".")[0]
    if any(type(each).__module__.split(".")[0] != own for each in options.get("callbacks", ())):
        wishes.append("callbacks")
    if data or wishes:
        raise ValueError(
            f"`search` takes `epochs` and `verbose` alone: data are given to `Defroster.hypermodel`, and how tails are "
            f"trained is in the recipe. Received: {', '.join([*wishes, *(['data'] if data else [])])}"
        )


class _Elsewhere(keras.Model):
    """What KerasTuner takes for a model: the engine trains tails of its own, whose weights no tuner keeps.

    Args:
        earlier: The trial that Hyperband goes on from, which loads its weights; `None` for none.
    """

    def __init__(self, earlier: str | None):
        super().__init__()
        self._earlier = earlier

    def build_from_config(self, config):
        """Has nothing to build."""

    def load_weights(self, filepath, **_):
        """Refuses, but where Hyperband goes on from a shorter training, which here is a question of its own."""
        if self._earlier is None or Path(filepath).parent.name != f"trial_{self._earlier}":
            raise ValueError(
                "The tuner keeps no weights: give `Defroster` the recipe of its best hyperparameters "
                "(`hypermodel.recipe`), and take `best_model` of the profile by it."
            )
