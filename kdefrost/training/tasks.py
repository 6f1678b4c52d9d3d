"""What a tail is trained for: its output layer, its loss, and the metrics that score it."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from scipy.special import expit, softmax

from kdefrost.arguments import as_whole, check_kind
from kdefrost.cutting.graph import ends_in_probabilities, has_graph
from kdefrost.training.forms import classes_of, in_form, taken_by
from kdefrost.training.labels import as_loss
from kdefrost.training.metrics import (
    EXACT,
    NAMES,
    as_metric_takes,
    keras_metric,
    named_metrics,
    of_kind,
    takes_answers,
    takes_logits,
)


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric that chooses, and which way it is better.

    Attributes:
        name: Name of the metric.
        direction: `"max"` if more is better, else `"min"`.
    """

    name: str
    direction: str

    def __post_init__(self):
        check_kind("name", self.name, str, "the name of a metric")
        if self.direction not in ("max", "min"):
            raise ValueError(f'`direction` must be "max" or "min". Received: direction={self.direction!r}')

    @property
    def sign(self) -> int:
        """By what to multiply scores so that more is better."""
        return 1 if self.direction == "max" else -1


@dataclasses.dataclass(frozen=True)
class Task:
    """What a tail is trained for.

    Attributes:
        kind: `"classification"` (one class of several), `"multi-label"` (any of several)
            or `"regression"`.
        units: Number of classes, labels or targets.
        loss: Keras loss, or its name.
        metrics: Metrics, or their names, by the name under which they are reported.
        objective: The metric that chooses the cut.
        output: The output layer, or small model.
        target_form: The form in which the loss takes the labels of classes, one of `form_of`.
        metric_form: The same of metrics that are none of Keras's.
    """

    kind: str
    units: int
    loss: str | keras.losses.Loss
    metrics: Mapping[str, object]
    objective: Objective
    output: keras.layers.Layer
    target_form: str = "index"
    metric_form: str = "index"

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The labels in the form that the loss takes."""
        return in_form(self.target_form, labels, self.units) if self.kind == "classification" else labels

    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Scores a model's outputs by all metrics.

        Args:
            labels: Labels, of `as_labels`.
            outputs: Outputs `(examples, units)`.

        Returns:
            The scores by the metrics' names.

        Raises:
            ValueError: If a metric cannot score such labels and outputs.
        """
        # Of a policy of lower precision they are of a type that NumPy lacks.
        outputs = np.asarray(outputs).astype(np.float32)
        if self.kind != "regression":
            # A diverged training answers as a guess does.
            outputs = np.nan_to_num(outputs)
        meant = self.meaning(outputs)
        return {name: self._score(name, labels, outputs, meant) for name in self.metrics}

    def meaning(self, outputs: np.ndarray) -> np.ndarray:
        """What outputs `(examples, units)` mean: probabilities where they are logits, else themselves."""
        if not getattr(self.loss, "from_logits", False):
            return outputs
        return softmax(outputs, axis=-1) if self.kind == "classification" else expit(outputs)

    def _score(self, name: str, labels, outputs, meant) -> float:
        """The score of outputs, by what they mean: by the probabilities where they are logits."""
        if isinstance(self.metrics[name], str) and self.kind in EXACT.get(name, {}):
            return float(EXACT[name][self.kind](classes_of(labels) if self.kind == "classification" else labels, meant))
        metric = keras_metric(name, self.metrics[name], self.kind)
        outputs = outputs if takes_logits(metric) else meant
        if self.kind == "classification":
            labels, outputs = as_metric_takes(metric, self.metric_form, labels, outputs)
        elif self.kind == "multi-label" and takes_answers(metric):
            outputs = outputs > 0.5
        try:
            metric.update_state(labels, outputs)
            value = metric.result()
        # A metric of the user's own may raise anything.
        except Exception as error:
            raise _misfit(f"`metrics` must each take labels; {name!r} got them", labels, outputs, error) from error
        if isinstance(value, Mapping) or np.ndim(value):
            given = f"a dict of {', '.join(value)}" if isinstance(value, Mapping) else np.shape(value)
            raise ValueError(
                f"`metrics` must each give one number; {name!r} gives {given}: give the metric itself with an "
                "`average`, or one metric for each number."
            )
        return float(value)


def make_task(
    kind: str,
    labels: np.ndarray,
    output=None,
    loss=None,
    metrics: Sequence | None = None,
    objective: str | Objective | None = None,
    classes: int | None = None,
    given: str = "index",
    said: str | None = None,
    policy: str | None = None,
) -> Task:
    """Works out what a tail is trained for from its labels and what is said of it.

    Args:
        kind: The kind of task, of `kind_of`.
        labels: Training labels, of `as_labels`.
        output: Number of units, a layer or a small model; by default a dense layer with a
            softmax for classification, a sigmoid for multi-label, none for regression.
        loss: Keras loss or its name; by default cross-entropy (of logits, where `output` is a
            layer or model without softmax or sigmoid), or the mean squared error of a
            regression.
        metrics: Keras metrics or their names; also `"balanced_accuracy"`, the mean of the
            recalls of all classes. By default balanced accuracy, accuracy and AUC for two
            classes, accuracy for more, binary accuracy and AUC for multi-label, and mean
            squared and absolute error for regression.
        objective: The metric that chooses, by default the first.
        classes: Number of classes; by default the largest label plus one.
        given: The form in which the labels of classes were given, of `form_of`.
        said: The form in which a loss or metric that is none of Keras's takes them, one of `FORMS`; by default as
            they were given.
        policy: The dtype policy of the output layer where it is made here; by default the global one.

    Returns:
        A `Task`.

    Raises:
        ValueError: If these do not fit together.
    """
    has_columns = labels.ndim == 2
    if kind == "classification" and (classes is not None or not has_columns):
        units = int(labels.max()) + 1 if classes is None else as_whole("classes", classes, least=1)
    else:
        units = labels.shape[1]
    named = of_kind(named_metrics(_default_metrics(kind, units) if metrics is None else metrics), kind, labels)
    layer = _output(output, kind, units, policy)
    loss = _default_loss(kind, layer, has_columns) if loss is None else loss
    task = Task(
        kind, units, loss, named, _objective(named, objective), layer, _target_form(loss, given, said), said or given
    )
    # What does not fit shows here, not after the first training; not as many examples as classes, which would hide it.
    few = np.resize(labels, (3 if units == 2 else 2, *labels.shape[1:]))
    few = few if has_columns else np.clip(few, 0, units - 1)
    outputs = np.full((len(few), units), 1 / units, np.float32)
    _check_loss(task, few, outputs)
    task.scores(few, outputs)
    return task


def _target_form(loss, given: str, said: str | None) -> str:
    """The form that a loss of Keras's takes; another gets labels as is said, or as Keras's own `fit` hands them on."""
    taken = taken_by(as_loss(loss))
    return taken.form if taken.is_own else said or taken.form or given


def _check_loss(task: Task, labels: np.ndarray, outputs: np.ndarray):
    """Refuses a loss that cannot be computed of labels in the form in which it gets them."""
    loss, targets = as_loss(task.loss), task.targets(labels)
    if task.kind == "classification" and task.target_form != "onehot" and targets.ndim == 2 and labels.ndim == 2:
        raise ValueError(
            f"`loss` takes whole-number labels, but those of `train` are rows of shares that sum to 1 (soft labels). "
            'Give a loss that takes these, such as "categorical_crossentropy", or their argmax as labels. Received: '
            f"loss={task.loss!r}"
        )
    # As Keras wraps a function that is a loss.
    compute = loss if isinstance(loss, keras.losses.Loss) else keras.metrics.MeanMetricWrapper(loss, name="loss")
    try:
        compute(targets, outputs)
    # A loss of the user's own may raise anything.
    except Exception as error:
        raise _misfit("`loss` must take labels", targets, outputs, error) from error


def _misfit(what: str, labels: np.ndarray, outputs: np.ndarray, error: Exception) -> ValueError:
    """What is said of a loss or metric that raised an error."""
    said = next(iter(str(error).splitlines()), "")
    return ValueError(
        f"{what} of shape {('examples', *labels.shape[1:])} and outputs {('examples', *outputs.shape[1:])}; it raised "
        f'{type(error).__name__} ({said}). For labels of classes `labels="onehot"` or "index" says in which form it '
        "gets them; where a column of labels is of numbers and no classes, `output=1` says so."
    )


def _output(output, kind: str, units: int, policy: str | None) -> keras.layers.Layer:
    if isinstance(output, (int, np.integer)) and not isinstance(output, bool):
        if output != units:
            raise ValueError(f"`output` must be {units}, as the labels have it. Received: output={output}")
        output = None
    if output is None:
        activation = {"classification": "softmax", "multi-label": "sigmoid"}.get(kind)
        return keras.layers.Dense(units, activation=activation, dtype=policy, name="output")
    if not has_graph(output) and not isinstance(output, keras.layers.Layer):
        raise ValueError(
            f"`output` must be a number of units, a layer, a functional or sequential model, or None. "
            f"Received: output={output!r}"
        )
    return output


def _default_loss(kind: str, output: keras.layers.Layer, has_columns: bool) -> str | keras.losses.Loss:
    """The loss for an output of probabilities, or of logits where the output layer gives those."""
    name = "categorical_crossentropy" if kind == "classification" and has_columns else _DEFAULT_LOSS[kind]
    if kind == "regression" or ends_in_probabilities(output):
        return name
    of_logits = {
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
    }
    return of_logits[name](from_logits=True)


def _default_metrics(kind: str, units: int) -> tuple[str, ...]:
    if kind == "classification":
        return ("balanced_accuracy", "accuracy", "auc") if units == 2 else ("accuracy",)
    return ("binary_accuracy", "auc") if kind == "multi-label" else ("mean_squared_error", "mean_absolute_error")


def _objective(named: Mapping[str, object], objective) -> Objective:
    if isinstance(objective, Objective):
        objective = dataclasses.replace(objective, name=NAMES.get(objective.name, objective.name))
    name = objective.name if isinstance(objective, Objective) else NAMES.get(objective, objective) or next(iter(named))
    # Under which a metric is reported is without a number of Keras's; a user may have given it one.
    name = next((short for short, metric in named.items() if getattr(metric, "name", None) == name), name)
    if name not in named:
        raise ValueError(f"`objective` must be one of the metrics ({', '.join(named)}). Received: {name!r}")
    if isinstance(objective, Objective):
        return objective
    direction = "up" if name in EXACT else getattr(keras_metric(name, named[name]), "_direction", None)
    if direction is None:
        raise ValueError(
            f"Whether more of the metric {name!r} is better is not known; say so by "
            f'objective=kdefrost.Objective({name!r}, "max") or "min".'
        )
    return Objective(name, "max" if direction == "up" else "min")


_DEFAULT_LOSS = {
    "classification": "sparse_categorical_crossentropy",
    "multi-label": "binary_crossentropy",
    "regression": "mean_squared_error",
}
