"""Tails as they are trained: compiled once for a cut, and asked question by question."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np
from tqdm import tqdm

from kdefrost import training
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.features import Inference
from kdefrost.cutting.initialization import reinitialize
from kdefrost.cutting.surgery import kept_layers, segment, tail_of
from kdefrost.data.finite import are_finite
from kdefrost.data.storage import Rows, blocks
from kdefrost.models.normalization import FUSED_LAYERS
from kdefrost.training.coupling import ElasticCoupling
from kdefrost.training.labels import example_weights
from kdefrost.training.tasks import Task
from kdefrost.trials.callbacks import callbacks_for
from kdefrost.trials.question import Answer, Question, Springs
from kdefrost.trials.rows import INITIALISATION, ORDER, Drawn

# What is reported in the place of a share of a training where the tail is compiled first.
COMPILING = -0.5
# Weights start below 10; what has grown to this, or to no number, learns nothing any more.
_DIVERGED = 1e6


class Assignment(NamedTuple):
    """A question, and all that it takes to answer it.

    Attributes:
        question: The question.
        cut: Its cut.
        held: The cut at which the features are: `cut`, or one before it from which frozen layers go on.
        features: By the name of the set, a tuple of arrays `(examples, …)`, one for each tensor of `held`.
        rows: The examples to train on, and those of a fold to score on.
        sample: The test examples to score on; `None` for all.
    """

    question: Question
    cut: Cut
    held: Cut
    features: dict[str, tuple]
    rows: Drawn
    sample: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trials of a run take, beside their assignments; it can be sent to other processes.

    Attributes:
        source: The source model.
        task: What is learnt.
        labels: Labels by the name of the set, row by row those of the features.
        class_weight: Weights of the classes in the loss.
        observe: What to measure of a trained network beside its scores: a function of the source model, the tail's
            model and the features, which gives lists of numbers by name. `None` for nothing.
        callbacks: As for `trials.callbacks.callbacks_for`.
    """

    source: keras.Model
    task: Task
    labels: dict[str, np.ndarray]
    class_weight: dict[int, float] | str | None = None
    observe: Callable[[keras.Model, keras.Model, dict[str, tuple]], dict[str, list[float]]] | None = None
    callbacks: Callable[[Question], list[keras.callbacks.Callback]] | None = None


class TailRunner:
    """Answers questions one after another, with one compiled tail for all those that can share it.

    Args:
        setting: What they have in common.
    """

    def __init__(self, setting: Setting):
        self._setting, self._build, self._tail = setting, None, None

    def run(
        self, assignments: Iterable[Assignment], on_progress: Callable[[Question, float], None]
    ) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Answers questions.

        Args:
            assignments: The questions, drawn as they are needed, those of a cut together.
            on_progress: Called as a training goes on with the question and the share of it that is done, at first
                with `COMPILING` where the tail is compiled for it.

        Yields:
            Each answer as it comes, with the weights of its tail.
        """
        for assignment in assignments:
            ended = self.answer(assignment, on_progress)
            # Drawing the next one may let its features go.
            del assignment
            yield ended

    def answer(
        self, assignment: Assignment, on_progress: Callable[[Question, float], None]
    ) -> tuple[Answer, list[np.ndarray]]:
        """Answers one question; see `run`."""
        advance = functools.partial(on_progress, assignment.question)
        build = assignment.cut, assignment.held, assignment.question.build
        advance(0.0 if self._build == build else COMPILING)
        if self._build != build:
            self.release()
            self._tail, self._build = Tail(self._setting, assignment), build
        answer = self._tail.run(assignment.question, assignment.rows, assignment.sample, advance)
        return answer, self._tail.model.get_weights()

    def release(self):
        """Lets go of the tail and of the features that it holds."""
        self._build = self._tail = None


class Tail:
    """A tail, compiled once, and the features that it is trained on.

    Args:
        setting: What is trained.
        assignment: A question that it is to answer, and the features.

    Attributes:
        model: The tail.
    """

    def __init__(self, setting: Setting, assignment: Assignment):
        self._setting, self._recipe = setting, assignment.question.recipe
        self._features = dict(assignment.features)
        source, cut, held = setting.source, assignment.cut, assignment.held
        self.model = tail_of(source, cut, output=setting.task.output, substitutes=FUSED_LAYERS)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = self._recipe.batch_norm_momentum
        # The layers that start from the source's weights, and these.
        kept = kept_layers(source, cut, self.model) if assignment.question.tail == "pretrained" else []
        self._kept = [(layer, layer.get_weights()) for layer in kept]
        # Where the features at the cut are not held, the frozen layers before it run too.
        self._between = None if held == cut else segment(source, held, cut)
        self._whole = self.model if held == cut else _in_a_row(self._between, self.model)
        self._coupling = self._couple(assignment.question.springs)
        stepwise = setting.callbacks is not None
        training.compile_model(self._whole, self._recipe, setting.task.loss, self._coupling, stepwise)
        self._infer = Inference(self._whole)

    def run(
        self,
        question: Question,
        rows: Drawn,
        sample: np.ndarray | None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Answer:
        """Trains and scores.

        Args:
            question: One that the tail is made for.
            rows: The examples to train on, and those of a fold to score on.
            sample: The test examples to score on; `None` for all.
            on_progress: Called as the training goes on with the share of it that is done.

        Returns:
            The `Answer`; the tail has its weights until the next.
        """
        start = time.perf_counter()
        self._has_undefined_outputs = False
        self._start(question)
        training.fit(
            self._whole,
            self._features["train"],
            self._setting.task.targets(self._setting.labels["train"]),
            self._recipe,
            seed=(ORDER, *question.draw, question.per_class or 0),
            subset=rows.train,
            weights=self._weights(rows.train),
            on_progress=on_progress,
            in_place_of=len(rows.all),
            callbacks=callbacks_for(question, self._setting.callbacks),
        )
        chosen = ("validation", None) if rows.held_out is None else ("train", rows.held_out)
        scores = {"test": self._score("test", sample), "validation": self._score(*chosen)}
        seconds = round(time.perf_counter() - start, 3)
        state = self._warn_if_undefined(question)
        noticed = {state: True} if state else {}
        return Answer(question, **scores, seconds=seconds, observed=self._observe(), noticed=noticed)

    def _start(self, question: Question):
        """Gives the tail the weights that it starts from."""
        reinitialize(self.model, (INITIALISATION, *question.draw, question.cut))
        for layer, weights in self._kept:
            layer.set_weights(weights)
        self._hold(question.springs)

    def _couple(self, springs: Springs | None) -> ElasticCoupling | None:
        if springs is None:
            return None
        coupling = ElasticCoupling(
            self.model, self._setting.source, springs.layers, normalization=springs.normalization
        )
        if springs.are_rigid:
            coupling.freeze()
        return coupling

    def _hold(self, springs: Springs | None):
        """Sets the strength of the springs; rigid ones hold what was just initialised anew."""
        if springs is None:
            return
        if springs.are_rigid:
            self._coupling.freeze()
        else:
            self._coupling.strength = springs.strength

    def _observe(self) -> dict[str, list[float]]:
        observe = self._setting.observe
        return {} if observe is None else observe(self._setting.source, self.model, self._features)

    def _warn_if_undefined(self, question: Question) -> str:
        """Says why a trained tail has no numbers to show: "undefined" are the source's, or the training "diverged"."""
        diverged = not all((np.abs(weight) < _DIVERGED).all() for weight in self.model.get_weights())
        if not diverged and not self._has_undefined_outputs:
            return ""
        broken = {name: count for name in self._features if (count := self._undefined_features(name))}
        if broken:
            counts = ", ".join(f"{count} of the examples of `{name}`" for name, count in broken.items())
            tqdm.write(
                f"The source gives NaN or infinity at cut {question.cut} for {counts}, so that the score of {question} "
                "says nothing of the cut: look at these examples, the source's weights and `feature_dtype`."
            )
            return "undefined"
        if diverged:
            tqdm.write(
                f"Training diverged at {question}: its score says nothing of the cut. A lower learning rate than "
                f"{self._recipe.learning_rate} may help, or targets of mean 0 and deviation 1."
            )
        return "diverged"

    def _undefined_features(self, name: str) -> int:
        """Number of examples of a set for which what enters the tail is not finite."""
        features = self._features[name]
        if self._between is None:
            parts = [np.concatenate([are_finite(block) for block in blocks(part)]) for part in features]
            return int(np.count_nonzero(~np.all(parts, axis=0)))
        batches = Inference(self._between).batches(*features)
        return sum(int(np.count_nonzero(~np.all([are_finite(np.asarray(p)) for p in b], axis=0))) for _, b in batches)

    def _weights(self, rows: np.ndarray) -> np.ndarray | None:
        """Weights of all examples, of which those of the trial are by the trial's own classes."""
        setting, task = self._setting, self._setting.task
        mine = example_weights(setting.class_weight, setting.labels["train"][rows], task.kind, task.units)
        if mine is None:
            return None
        weights = np.zeros(len(setting.labels["train"]), np.float32)
        weights[rows] = mine
        return weights

    def _score(self, name: str, sample: np.ndarray | None = None) -> dict[str, float] | None:
        if name not in self._features:
            return None
        labels = self._setting.labels[name]
        rows = np.arange(len(labels)) if sample is None else sample
        (outputs,) = self._infer(*(Rows(part, rows) for part in self._features[name]))
        self._has_undefined_outputs |= not are_finite(outputs).all()
        return self._setting.task.scores(labels[rows], outputs)


class _Frozen(keras.layers.Layer):
    """A model in inference mode inside one that trains, which would pass its own mode on to a bare model."""

    def __init__(self, model: keras.Model):
        # Features go in as they are, whatever the global dtype policy.
        super().__init__(trainable=False, autocast=False)
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=False)


def _in_a_row(between: keras.Model, tail: keras.Model) -> keras.Model:
    """The frozen layers and the tail, as one model."""
    inputs = between.inputs if len(between.inputs) > 1 else between.inputs[0]
    return keras.Model(inputs, tail(_Frozen(between)(inputs)))
