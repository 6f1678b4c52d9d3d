"""Tails as they are trained: compiled once for a cut, and run trial by trial."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np
from tqdm import tqdm

from kdefrost import training
from kdefrost.compliance import ElasticCoupling
from kdefrost.cuts import Cut, segment, tail_of
from kdefrost.features import Inference
from kdefrost.initialization import reinitialize
from kdefrost.models import FUSED_LAYERS
from kdefrost.plan import INITIALISATION, ORDER, Plan
from kdefrost.recipe import Recipe
from kdefrost.storage import Rows
from kdefrost.tables import format_score, label_of
from kdefrost.tasks import Task, example_weights
from kdefrost.trials import Trial

# Weights start below 10; what has grown to this, or to no number, learns nothing any more.
_DIVERGED = 1e6


class Assignment(NamedTuple):
    """A trial, and all that it takes.

    Attributes:
        key: `(cut index, per_class, seed)`.
        cut: The cut.
        held: The cut at which the features are: `cut`, or one before it from which frozen layers go on.
        features: By the name of the set, a tuple of arrays `(examples, …)`, one for each tensor of `held`.
        rows: The examples to train on.
        sample: The test examples to score on; `None` for all.
    """

    key: tuple[int, int, int]
    cut: Cut
    held: Cut
    features: dict[str, tuple]
    rows: np.ndarray
    sample: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all trials of a profile have in common.

    Attributes:
        source: The source model.
        task: What is learnt.
        recipe: How to train.
        labels: Labels by the name of the set, row by row those of the features.
        class_weight: Weights of the classes in the loss.
    """

    source: keras.Model
    task: Task
    recipe: Recipe
    labels: dict[str, np.ndarray]
    class_weight: dict[int, float] | str | None = None


class TailRunner:
    """Runs trials one after another, with one tail for all those of a cut.

    Args:
        experiment: What they have in common.
    """

    def __init__(self, experiment: Experiment):
        self._experiment, self._cut, self._tail = experiment, None, None

    def run(
        self, assignments: Iterable[Assignment], on_progress: Callable[[tuple, float], None]
    ) -> Iterator[tuple[Trial, list[np.ndarray]]]:
        """Runs trials.

        Args:
            assignments: The trials, drawn as they are needed, those of a cut together.
            on_progress: Called as a training goes on with the trial's key and the share of it that is done.

        Yields:
            Each trial as it ends, with the weights of its tail.
        """
        for assignment in assignments:
            ended = self._run(assignment, on_progress)
            # Drawing the next one may let its features go.
            del assignment
            yield ended

    def _run(self, assignment: Assignment, on_progress: Callable) -> tuple[Trial, list[np.ndarray]]:
        advance = functools.partial(on_progress, assignment.key)
        advance(0.0)
        tail = self._tail_of(assignment)
        trial = tail.run(assignment.key, assignment.rows, assignment.sample, advance)
        return trial, tail.model.get_weights()

    def release(self):
        """Lets go of the tail and of the features that it holds."""
        self._cut = self._tail = None

    def _tail_of(self, assignment: Assignment) -> "Tail":
        if self._cut != assignment.cut:
            self.release()
            self._tail = Tail(self._experiment, assignment.cut, assignment.held, assignment.features)
            self._cut = assignment.cut
        return self._tail


class Tail:
    """The tail of one cut, compiled once, and the features that it is trained on.

    Args:
        experiment: What is trained and how.
        cut: The cut.
        held: As for `Assignment`.
        features: As for `Assignment`.
        couple: Makes of the tail's model the coupling under which it is trained; `None` for none.

    Attributes:
        model: The tail.
        coupling: Its coupling.
    """

    def __init__(
        self,
        experiment: Experiment,
        cut: Cut,
        held: Cut,
        features: dict[str, tuple],
        couple: Callable[[keras.Model], ElasticCoupling] | None = None,
    ):
        self.task, self.recipe, self.labels = experiment.task, experiment.recipe, experiment.labels
        self.class_weight, self.features = experiment.class_weight, dict(features)
        self.model = tail_of(experiment.source, cut, output=self.task.output, substitutes=FUSED_LAYERS)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = self.recipe.batch_norm_momentum
        # Where the features at the cut are not held, the frozen layers before it run too.
        self.whole = self.model if held == cut else _in_a_row(segment(experiment.source, held, cut), self.model)
        self.coupling = None if couple is None else couple(self.model)
        training.compile_model(self.whole, self.recipe, self.task.loss, self.coupling)
        self.infer = Inference(self.whole)

    def run(
        self,
        key: tuple[int, int, int],
        rows: np.ndarray,
        sample: np.ndarray | None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Trial:
        """Runs one trial.

        Args:
            key: `(cut index, per_class, seed)`.
            rows: The examples to train on.
            sample: The test examples to score on; `None` for all.
            on_progress: Called as the training goes on with the share of it that is done.

        Returns:
            The `Trial`; the tail has its weights until the next.
        """
        cut, per_class, seed = key
        start = time.perf_counter()
        reinitialize(self.model, (INITIALISATION, seed, cut))
        if self.coupling is not None and self.coupling.is_frozen:
            self.coupling.freeze()
        training.fit(
            self.whole,
            self.features["train"],
            self.task.targets(self.labels["train"]),
            self.recipe,
            seed=(ORDER, seed, per_class),
            subset=rows,
            weights=self._weights(rows),
            on_progress=on_progress,
        )
        scores = {"test": self._score("test", sample), "validation": self._score("validation")}
        if not all((np.abs(weight) < _DIVERGED).all() for weight in self.model.get_weights()):
            tqdm.write(
                f"Training diverged at cut {cut}, {per_class} per class, seed {seed}: its score says nothing of the "
                f"cut. A lower learning rate than {self.recipe.learning_rate} may help, or targets of mean 0 and "
                "deviation 1."
            )
        return Trial(*key, **scores, seconds=round(time.perf_counter() - start, 3))

    def _weights(self, rows: np.ndarray) -> np.ndarray | None:
        """Weights of all examples, of which those of the trial are by the trial's own classes."""
        mine = example_weights(self.class_weight, self.labels["train"][rows], self.task.kind, self.task.units)
        if mine is None:
            return None
        weights = np.zeros(len(self.labels["train"]), np.float32)
        weights[rows] = mine
        return weights

    def _score(self, name: str, sample: np.ndarray | None = None) -> dict[str, float] | None:
        if name not in self.features:
            return None
        rows = np.arange(len(self.labels[name])) if sample is None else sample
        (outputs,) = self.infer(*(Rows(part, rows) for part in self.features[name]))
        return self.task.scores(self.labels[name][rows], outputs)


class ProgressBar:
    """One bar over all trials, in units of their work.

    Args:
        plan: The plan of the trials.
        verbose: Whether to show it.
    """

    def __init__(self, plan: Plan, verbose: bool):
        # What a trial costs beside its arithmetic, as seen on two cores, in operations.
        self.work = {key: plan.flops(key) + 5e9 for key in plan.trials}
        self.last, self.objective = plan.cuts[-1].index, plan.task.objective.name
        # What one example's features cost on the way to each cut, and where they come from.
        self.plan, self.before = plan, plan.cuts[0].multiply_adds
        self.bar = tqdm(
            total=sum(self.work.values()) + self._features_work(plan.held_at(self._last_cut())),
            disable=not verbose,
            smoothing=0.02,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed} gone, {remaining} left{postfix}",
        )
        self.score, self.done, self.on = None, {}, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def begin_features(self, cut: Cut) -> Callable[[int], None]:
        """Names the cut whose features are computed, and gives what to call with numbers of examples done."""
        if self.plan.held_at(cut) is not cut:
            return lambda examples: None
        self.bar.set_postfix_str(f"features at cut {cut.index} of {self.last}")
        work, self.before = 2 * (self.before - cut.tail_multiply_adds), cut.tail_multiply_adds
        return lambda examples: self._move(examples * work)

    def _last_cut(self) -> Cut:
        last = max(trial[0] for trial in self.plan.trials)
        return next(cut for cut in self.plan.cuts if cut.index == last)

    def _features_work(self, cut: Cut | None) -> int:
        """What carrying all features on to a cut costs, in operations."""
        examples = self.plan.trained + self.plan.evaluated
        return 0 if cut is None else 2 * (cut.multiply_adds - cut.tail_multiply_adds) * examples

    def advance(self, key: tuple[int, int, int], share: float):
        """Moves on to where a share of a trial's training is done."""
        if key not in self.done:
            scored = self.score is not None
            last = (
                f", last {self.on} {label_of(self.objective)} {format_score(self.objective, self.score)}"
                if scored
                else ""
            )
            self.bar.set_postfix_str(f"cut {key[0]} of {self.last}, {key[1]} per class, seed {key[2]}{last}")
        self._move((share - self.done.get(key, 0.0)) * self.work[key] * 0.95)
        self.done[key] = share

    def end(self, trial: Trial):
        """Moves on to a trial's end."""
        self._move(self.work[trial.key] * (1 - 0.95 * self.done.pop(trial.key, 0.0)))
        self.on = "validation" if trial.test is None else "test"
        self.score = getattr(trial, self.on)[self.objective]

    def _move(self, work: float):
        # Rounding must not take it past its end, of which it would warn.
        self.bar.update(min(work, self.bar.total - self.bar.n))


class _Frozen(keras.layers.Layer):
    """A model in inference mode inside one that trains, which would pass its own mode on to a bare model."""

    def __init__(self, model: keras.Model):
        super().__init__(trainable=False)
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=False)


def _in_a_row(between: keras.Model, tail: keras.Model) -> keras.Model:
    """The frozen layers and the tail, as one model."""
    inputs = between.inputs if len(between.inputs) > 1 else between.inputs[0]
    return keras.Model(inputs, tail(_Frozen(between)(inputs)))
