"""What a tail is trained for: its output layer, its loss, and the metrics that score it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from scipy.special import expit, softmax
from sklearn import metrics as exact
from sklearn.utils.class_weight import compute_class_weight

from kdefrost.graph import ends_in_probabilities, has_graph


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
        if isinstance(self.metrics[name], str) and self.kind in _EXACT.get(name, {}):
            return float(_EXACT[name][self.kind](labels, outputs))
        metric = _keras_metric(name, self.metrics[name], self.kind)
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
        if self.units == 2 and isinstance(metric, _OF_ONE_PROBABILITY):
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
    named = _named(_default_metrics(kind, units) if metrics is None else metrics)
    layer = _output(output, kind, units)
    loss = _default_loss(kind, layer) if loss is None else loss
    task = Task(kind, units, loss, named, _objective(named, objective), layer)
    # A metric that does not fit shows here, not after the first training.
    few = labels[:8] if labels.ndim == 2 else np.clip(labels[:8], 0, units - 1)
    task.scores(few, np.full((len(few), units), 1 / units, np.float32))
    return task


def kind_of(labels, loss=None) -> str:
    """Tells classification, multi-label and regression apart, by the loss where it says, else by the labels.

    Args:
        labels: Training labels, `(examples,)` or `(examples, columns)`.
        loss: Keras loss, its name, or `None`.

    Returns:
        `"classification"` for whole numbers or one-hot rows, `"multi-label"` for other rows
        of zeros and ones, else `"regression"`.
    """
    _check_numbers("train", np.asarray(labels))
    said = loss_name(loss)
    for kind, beginnings in _LOSSES.items():
        if said.startswith(beginnings):
            return kind
    columns = _columns(labels)
    if columns.shape[1] == 1:
        return "classification" if np.array_equal(columns, np.round(columns)) else "regression"
    if not np.isin(columns, (0, 1)).all():
        return "regression"
    return "classification" if (columns.sum(axis=1) == 1).all() else "multi-label"


def as_labels(name: str, labels, kind: str) -> np.ndarray:
    """Brings labels into one form for each kind of task.

    Args:
        name: Name of the argument, for errors.
        labels: Labels `(examples,)` or `(examples, columns)`.
        kind: The kind of task.

    Returns:
        Whole numbers `(examples,)` for a classification, one-hot labels too; else float32
        `(examples, columns)`.

    Raises:
        ValueError: If they are no labels of that kind.
    """
    _check_numbers(name, np.asarray(labels))
    columns = _columns(labels)
    if not np.isfinite(columns).all():
        raise ValueError(f"Labels of `{name}` must be finite. Received NaN or infinity.")
    if kind == "classification":
        return _as_classes(name, columns)
    if kind == "multi-label" and not np.isin(columns, (0, 1)).all():
        raise ValueError(f"Labels of `{name}` must be zeros and ones, a column for each label.")
    return columns.astype(np.float32)


def _check_numbers(name: str, labels: np.ndarray):
    if labels.ndim not in (1, 2) or not (np.issubdtype(labels.dtype, np.number) or labels.dtype == bool):
        raise ValueError(
            f"Labels of `{name}` must be numbers (examples,) or (examples, columns); number the classes from 0. "
            f"Received: {labels.shape} of {labels.dtype}."
        )


def _as_classes(name: str, columns: np.ndarray) -> np.ndarray:
    if columns.shape[1] > 1 and np.isin(columns, (0, 1)).all() and (columns.sum(axis=1) == 1).all():
        return columns.argmax(axis=1)
    if columns.shape[1] > 1 or not np.array_equal(columns, np.round(columns)):
        raise ValueError(
            f"Labels of `{name}` must be whole numbers (examples,) or one-hot rows. Received: {columns.shape} of "
            f"{columns.dtype}."
        )
    return columns[:, 0].astype(np.int64)


def _columns(labels) -> np.ndarray:
    labels = np.asarray(labels)
    return labels[:, None] if labels.ndim == 1 else labels


def has_classes(kind: str, units: int) -> bool:
    """Whether each example is of one class: of several, or of one label that holds or not."""
    return kind == "classification" or (kind == "multi-label" and units == 1)


def strata(labels: np.ndarray, kind: str) -> np.ndarray:
    """By what a training set is balanced: the class, or nothing where there are no classes."""
    if kind == "multi-label" and labels.shape[1] == 1:
        return labels[:, 0].astype(np.int64)
    return labels if kind == "classification" else np.zeros(len(labels), np.int64)


def example_weights(class_weight, labels: np.ndarray, kind: str, units: int) -> np.ndarray | None:
    """The weight of each example in the loss.

    Args:
        class_weight: `None`, `"balanced"` (inversely proportional to the class's share, as
            scikit-learn has it), or a weight for each class.
        labels: Labels, of `as_labels`.
        kind: The kind of task.
        units: Number of classes; of one label that holds or not, these are two classes.

    Returns:
        Array `(examples,)`, or `None`.

    Raises:
        ValueError: If the weights are not one for each class.
    """
    if class_weight is None:
        return None
    if not has_classes(kind, units):
        raise ValueError("`class_weight` is for classification alone; these labels have no classes.")
    labels, units = strata(labels, kind), max(2, units)
    if class_weight != "balanced" and not (
        isinstance(class_weight, Mapping) and sorted(class_weight) == list(range(units))
    ):
        raise ValueError(
            f'`class_weight` must be "balanced" or a dict with a weight for each class from 0 to {units - 1}. '
            f"Received: {class_weight!r}"
        )
    present = np.unique(labels)
    weights = compute_class_weight("balanced", classes=present, y=labels) if class_weight == "balanced" else None
    table = dict(zip(present, weights, strict=True)) if weights is not None else class_weight
    return np.array([table[int(label)] for label in labels], np.float32)


def loss_name(loss) -> str:
    """The name under which Keras has a loss, or which it has itself; empty for none.

    Args:
        loss: Keras loss, any of its names, a function, or `None`.

    Returns:
        The name.

    Raises:
        ValueError: If there is no such loss.
    """
    if loss is None:
        return ""
    try:
        loss = keras.losses.get(loss)
    except (ValueError, TypeError):
        raise ValueError(f"`loss` must be a Keras loss or its name. Received: loss={loss!r}") from None
    if not isinstance(loss, keras.losses.Loss):
        return getattr(loss, "__name__", "")
    # A user's own class is of the kind of the class of Keras's that it is made from.
    names = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower() for cls in type(loss).__mro__]
    known = tuple(beginning for beginnings in _LOSSES.values() for beginning in beginnings)
    return next((name for name in names if name.startswith(known)), names[0])


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


def _named(metrics: Sequence) -> dict[str, object]:
    """The metrics by name, each checked to exist."""
    if isinstance(metrics, (str, keras.metrics.Metric)) or not metrics:
        raise ValueError(f"`metrics` must be a list of Keras metrics or their names. Received: metrics={metrics!r}")
    named = {metric if isinstance(metric, str) else getattr(metric, "name", str(metric)): metric for metric in metrics}
    for name, metric in named.items():
        if name not in _EXACT:
            _keras_metric(name, metric)
    return named


def _keras_metric(name: str, metric, kind: str = "classification") -> keras.metrics.Metric:
    """A Keras metric with no state."""
    if isinstance(metric, str) and metric == "f1_score":
        # Without a threshold it takes the one largest output for the answer.
        return keras.metrics.F1Score(average="macro", threshold=0.5 if kind == "multi-label" else None)
    if isinstance(metric, str):
        try:
            metric = keras.metrics.get(_ALIASES.get(metric, metric))
        # A metric that needs arguments, such as IoU, cannot be made of its name.
        except (ValueError, TypeError):
            known = ", ".join(_EXACT)
            raise ValueError(
                f"There is no metric {name!r}: it must be {known}, or one of keras.metrics that needs no arguments; of "
                "those that do, give the metric itself."
            ) from None
    if isinstance(metric, keras.metrics.Metric):
        metric.reset_state()
        return metric
    if not callable(metric):
        raise ValueError(f"`metrics` must be Keras metrics or their names. Received: {metric!r}")
    return keras.metrics.MeanMetricWrapper(metric, name=name)


def _objective(named: Mapping[str, object], objective) -> Objective:
    name = objective.name if isinstance(objective, Objective) else objective or next(iter(named))
    if name not in named:
        raise ValueError(f"`objective` must be one of the metrics ({', '.join(named)}). Received: {name!r}")
    if isinstance(objective, Objective):
        return objective
    direction = "up" if name in _EXACT else getattr(_keras_metric(name, named[name]), "_direction", None)
    if direction is None:
        raise ValueError(
            f"Whether more of the metric {name!r} is better is not known; say so by "
            f'objective=kdefrost.Objective({name!r}, "max") or "min".'
        )
    return Objective(name, "max" if direction == "up" else "min")


def _accuracy(labels, outputs):
    return np.mean(outputs.argmax(axis=1) == labels)


def _balanced_accuracy(labels, outputs):
    answers = outputs.argmax(axis=1)
    return np.mean([np.mean(answers[labels == label] == label) for label in np.unique(labels)])


def _auc(labels, outputs):
    """Area under the ROC curve; of several classes the mean of each against the rest."""
    columns = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
    return _mean_auc([(labels == column, outputs[:, column]) for column in columns])


def _auc_of_labels(labels, outputs):
    return _mean_auc([(labels[:, column] > 0, outputs[:, column]) for column in range(labels.shape[1])])


def _mean_auc(pairs):
    """The mean over what has both positive and negative examples; NaN where nothing has."""
    areas = [exact.roc_auc_score(truth, score) for truth, score in pairs if 0 < truth.sum() < len(truth)]
    return np.mean(areas) if areas else np.nan


_DEFAULT_LOSS = {
    "classification": "sparse_categorical_crossentropy",
    "multi-label": "binary_crossentropy",
    "regression": "mean_squared_error",
}
# How the names of Keras's losses begin, by the kind of task that they are for.
_LOSSES = {
    "classification": ("sparse_categorical", "categorical"),
    "multi-label": ("binary",),
    "regression": ("mean_", "huber", "log_cosh", "poisson", "cosine_similarity"),
}
# Computed from all outputs at once. Keras's accuracy does not know the form of the labels,
# it has no balanced accuracy, and its AUC is of 200 thresholds, too few for sure outputs.
_EXACT = {
    "accuracy": {"classification": _accuracy},
    "balanced_accuracy": {"classification": _balanced_accuracy},
    "auc": {"classification": _auc, "multi-label": _auc_of_labels},
}
_ALIASES = {"accuracy": "binary_accuracy", "auc": "AUC"}
_OF_ONE_PROBABILITY = (
    keras.metrics.AUC,
    keras.metrics.BinaryAccuracy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.Precision,
    keras.metrics.Recall,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.TruePositives,
    keras.metrics.TrueNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.FalseNegatives,
)
