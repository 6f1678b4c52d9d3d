"""What a tail is trained for: its output layer, its loss, and the metrics that score it."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from scipy.special import expit, softmax

from kdefrost.cutting.graph import ends_in_probabilities, has_graph
from kdefrost.training.labels import loss_name
from kdefrost.training.metrics import EXACT, OF_ONE_PROBABILITY, keras_metric, named_metrics


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
    """

    kind: str
    units: int
    loss: str | keras.losses.Loss
    metrics: Mapping[str, object]
    objective: Objective
    output: keras.layers.Layer

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The labels in the form that the loss takes."""
        one_hot = self.kind == "classification" and loss_name(self.loss).startswith("categorical")
        return np.eye(self.units, dtype="float32")[labels] if one_hot else labels

    def scores(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Scores a model's outputs by all metrics.

        Args:
            labels: Labels `(examples,)` of a classification, else `(examples, units)`.
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
        if getattr(self.loss, "from_logits", False):
            outputs = softmax(outputs, axis=-1) if self.kind == "classification" else expit(outputs)
        return {name: self._score(name, labels, outputs) for name in self.metrics}

    def _score(self, name: str, labels, outputs) -> float:
        if isinstance(self.metrics[name], str) and self.kind in EXACT.get(name, {}):
            return float(EXACT[name][self.kind](labels, outputs))
        metric = keras_metric(name, self.metrics[name], self.kind)
        metric.update_state(*self._as_metric_takes(metric, labels, outputs))
        value = np.asarray(metric.result())
        if value.ndim:
            raise ValueError(
                f"`metrics` must each give one number; {name!r} gives {value.shape}: give the metric itself with an "
                "`average`."
            )
        return float(value)

    def _as_metric_takes(self, metric, labels, outputs):
        """Labels and outputs in the form that a Keras metric takes."""
        if self.kind != "classification" or "Sparse" in type(metric).__name__ or "sparse" in metric.name:
            return labels, outputs
        if self.units == 2 and isinstance(metric, OF_ONE_PROBABILITY):
            return labels, outputs[:, 1]
        return np.eye(outputs.shape[-1], dtype="float32")[labels], outputs


def make_task(
    kind: str,
    labels: np.ndarray,
    output=None,
    loss=None,
    metrics: Sequence | None = None,
    objective: str | Objective | None = None,
    classes: int | None = None,
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

    Returns:
        A `Task`.

    Raises:
        ValueError: If these do not fit together.
    """
    if kind == "classification":
        units = int(labels.max()) + 1 if classes is None else int(classes)
    else:
        units = labels.shape[1]
    named = named_metrics(_default_metrics(kind, units) if metrics is None else metrics)
    layer = _output(output, kind, units)
    loss = _default_loss(kind, layer) if loss is None else loss
    task = Task(kind, units, loss, named, _objective(named, objective), layer)
    # A metric that does not fit shows here, not after the first training.
    few = labels[:8] if labels.ndim == 2 else np.clip(labels[:8], 0, units - 1)
    task.scores(few, np.full((len(few), units), 1 / units, np.float32))
    return task


def _output(output, kind: str, units: int) -> keras.layers.Layer:
    if isinstance(output, (int, np.integer)) and not isinstance(output, bool):
        if output != units:
            raise ValueError(f"`output` must be {units}, as the labels have it. Received: output={output}")
        output = None
    if output is None:
        activation = {"classification": "softmax", "multi-label": "sigmoid"}.get(kind)
        return keras.layers.Dense(units, activation=activation, name="output")
    if not has_graph(output) and not isinstance(output, keras.layers.Layer):
        raise ValueError(
            f"`output` must be a number of units, a layer, a functional or sequential model, or None. "
            f"Received: output={output!r}"
        )
    return output


def _default_loss(kind: str, output: keras.layers.Layer) -> str | keras.losses.Loss:
    """The loss for an output of probabilities, or of logits where the output layer gives those."""
    if kind == "regression" or ends_in_probabilities(output):
        return _DEFAULT_LOSS[kind]
    of_logits = {
        "classification": keras.losses.SparseCategoricalCrossentropy,
        "multi-label": keras.losses.BinaryCrossentropy,
    }
    return of_logits[kind](from_logits=True)


def _default_metrics(kind: str, units: int) -> tuple[str, ...]:
    if kind == "classification":
        return ("balanced_accuracy", "accuracy", "auc") if units == 2 else ("accuracy",)
    return ("binary_accuracy", "auc") if kind == "multi-label" else ("mean_squared_error", "mean_absolute_error")


def _objective(named: Mapping[str, object], objective) -> Objective:
    name = objective.name if isinstance(objective, Objective) else objective or next(iter(named))
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
