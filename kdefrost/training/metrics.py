"""Metrics: those of Keras by their names, and those that are computed from all outputs at once."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from sklearn import metrics as exact

from kdefrost.training.forms import classes_of, function_in, in_form, taken_by


def named_metrics(metrics: Sequence) -> dict[str, object]:
    """The metrics by name, each checked to exist.

    Args:
        metrics: Keras metrics, or names of them or of `EXACT`.

    Returns:
        A dict of what was given, by name, in its order.

    Raises:
        ValueError: If it is no list of such, there is no such metric, or two have one name.
    """
    if isinstance(metrics, (str, Mapping, keras.metrics.Metric)) or not metrics:
        raise ValueError(f"`metrics` must be a list of Keras metrics or their names. Received: metrics={metrics!r}")
    # A class stands for the metric that it makes, as for Keras.
    metrics = [metric() if isinstance(metric, type) else NAMES.get(str(metric), metric) for metric in metrics]
    named, unnumbered = {}, Counter(map(_unnumbered, metrics))
    for metric in metrics:
        name = _unnumbered(metric) if unnumbered[_unnumbered(metric)] == 1 else _name(metric)
        if name in named and not (isinstance(metric, str) and named[name] == metric):
            raise ValueError(f"`metrics` must have names that differ, by `name`. Received: several of name {name!r}")
        if name not in EXACT:
            keras_metric(name, metric)
        named[name] = metric
    return named


def of_kind(named: Mapping[str, object], kind: str, labels: np.ndarray) -> dict[str, object]:
    """The metrics that names stand for where labels are no classes.

    Of one-hot rows the accuracy is that of the largest outputs, as in Keras, whatever the loss.

    Args:
        named: Metrics by name, of `named_metrics`.
        kind: The kind of task.
        labels: Training labels, of `as_labels`.

    Returns:
        The metrics by name.

    Raises:
        ValueError: If one is of classes, and the labels are numbers.
    """
    if kind == "classification":
        return dict(named)
    are_answers = np.isin(labels, (0, 1)).all()
    for name, metric in named.items():
        if kind == "regression" and (
            metric == "balanced_accuracy" or (metric in ("accuracy", "auc") and not are_answers)
        ):
            raise ValueError(
                f'`metrics` must be of numbers where the labels are no classes, such as "r2_score". {name!r} is of '
                "classes; if the labels are such, say so by `loss`."
            )
    if labels.shape[1] == 1 or not are_answers or not (labels.sum(axis=1) == 1).all():
        return dict(named)
    of_largest = keras.metrics.CategoricalAccuracy(name="accuracy")
    return {name: of_largest if metric == "accuracy" else metric for name, metric in named.items()}


def _name(metric) -> str:
    if isinstance(metric, str):
        return metric
    function = function_in(metric)
    return getattr(metric, "name", None) or getattr(function, "__name__", type(function).__name__)


def _unnumbered(metric) -> str:
    """What a metric is called, whichever number Keras gave it for how many of its class a process had made before."""
    name = _name(metric)
    base = re.sub(r"_\d+$", "", name)
    is_numbered = not isinstance(metric, str) and base.replace("_", "") == type(metric).__name__.lower()
    return base if is_numbered else name


def keras_metric(name: str, metric, kind: str = "classification") -> keras.metrics.Metric:
    """A Keras metric with no state.

    Args:
        name: What it is called.
        metric: A Keras metric, its name, or a function of labels and outputs.
        kind: The kind of task.

    Returns:
        The metric.

    Raises:
        ValueError: If it is none, or its name is not enough to make it.
    """
    if isinstance(metric, str) and metric == "f1_score":
        # Without a threshold it takes the one largest output for the answer.
        return keras.metrics.F1Score(average="macro", threshold=0.5 if kind == "multi-label" else None)
    if isinstance(metric, str):
        try:
            metric = keras.metrics.get(_ALIASES.get(metric, metric))
        # A metric that needs arguments, such as IoU, cannot be made of its name.
        except (ValueError, TypeError):
            known = ", ".join(EXACT)
            raise ValueError(
                f"There is no metric {name!r}: it must be {known}, or one of keras.metrics that needs no arguments; of "
                "those that do, give the metric itself."
            ) from None
    if isinstance(metric, keras.metrics.Metric):
        if type(metric).update_state in (keras.metrics.Mean.update_state, keras.metrics.Sum.update_state):
            raise ValueError(f"`metrics` must be of labels and outputs; {name!r} is of values alone.")
        metric.reset_state()
        return metric
    if not callable(metric):
        raise ValueError(f"`metrics` must be Keras metrics or their names. Received: {metric!r}")
    return keras.metrics.MeanMetricWrapper(metric, name=name)


def as_metric_takes(metric: keras.metrics.Metric, form: str, labels: np.ndarray, outputs: np.ndarray) -> tuple:
    """Labels and outputs of a classification in the form that a metric takes.

    Args:
        metric: The metric.
        form: The form in which a metric that is none of Keras's takes labels.
        labels: Whole numbers `(examples,)`, or shares `(examples, units)`.
        outputs: Outputs `(examples, units)`.

    Returns:
        `(labels, outputs)`.
    """
    units = outputs.shape[1]
    if isinstance(metric, keras.metrics.IoU) and not isinstance(metric, keras.metrics.BinaryIoU):
        return _as_iou_takes(metric, classes_of(labels), outputs)
    if isinstance(metric, keras.metrics.Accuracy):
        return classes_of(labels), outputs.argmax(axis=1)
    counts = isinstance(metric, _COUNTING)
    form = "onehot" if counts else taken_by(metric).form or form
    rows = in_form(form, classes_of(labels) if counts or form != "onehot" else labels, units)
    if units == 2 and isinstance(metric, _OF_ONE_PROBABILITY) and not getattr(metric, "multi_label", False):
        return rows[:, 1], _of_second(metric, outputs)
    return rows, outputs


def _as_iou_takes(metric, classes: np.ndarray, outputs: np.ndarray) -> tuple:
    units = outputs.shape[1]
    if metric.num_classes != units:
        raise ValueError(
            f"`metrics` must be of the {units} classes that there are; {metric.name!r} has "
            f"num_classes={metric.num_classes}."
        )
    return (
        classes if metric.sparse_y_true else in_form("onehot", classes, units),
        outputs.argmax(axis=1) if metric.sparse_y_pred else outputs,
    )


def takes_answers(metric: keras.metrics.Metric) -> bool:
    """Whether a metric takes answers in the place of the probabilities that they are concluded from."""
    by_pairs = isinstance(metric, keras.metrics.IoU) and not isinstance(metric, keras.metrics.BinaryIoU)
    return isinstance(metric, keras.metrics.Accuracy) or (by_pairs and metric.sparse_y_pred)


def takes_logits(metric: keras.metrics.Metric) -> bool:
    """Whether a metric makes probabilities of outputs itself, or has the threshold of logits, which is 0."""
    thresholds = [getattr(metric, name, None) for name in ("threshold", "init_thresholds")]
    return any(each is not None and np.ndim(each) == 0 and each <= 0 for each in thresholds) or any(
        getattr(metric, name, False) for name in ("from_logits", "_from_logits")
    )


def _of_second(metric, outputs: np.ndarray) -> np.ndarray:
    """The probability of the second of two classes, or its logit."""
    return outputs[:, 1] - outputs[:, 0] if takes_logits(metric) else outputs[:, 1]


def _accuracy(labels, outputs):
    return np.mean(outputs.argmax(axis=1) == labels)


def _balanced_accuracy(labels, outputs):
    return _mean_recall(labels, outputs.argmax(axis=1))


def _balanced_accuracy_of_labels(labels, outputs):
    return np.mean([_mean_recall(*column) for column in zip(labels.T, outputs.T > 0.5, strict=True)])


def _mean_recall(labels, answers):
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


# Computed from all outputs at once. Keras's accuracy does not know the form of the labels,
# it has no balanced accuracy, and its AUC is of 200 thresholds, too few for sure outputs.
EXACT = {
    "accuracy": {"classification": _accuracy},
    "balanced_accuracy": {"classification": _balanced_accuracy, "multi-label": _balanced_accuracy_of_labels},
    "auc": {"classification": _auc, "multi-label": _auc_of_labels},
}
# Names that Keras's `compile` knows.
NAMES = {"acc": "accuracy"}
_ALIASES = {"accuracy": "binary_accuracy", "auc": "AUC"}
# Of two classes they are of the one probability of the second.
_OF_ONE_PROBABILITY = (
    keras.metrics.AUC,
    keras.metrics.BinaryAccuracy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.BinaryIoU,
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
# They count examples of classes, and take no shares of them.
_COUNTING = tuple({*_OF_ONE_PROBABILITY, keras.metrics.FBetaScore} - {keras.metrics.BinaryCrossentropy})
