"""Metrics: those of Keras by their names, and those that are computed from all outputs at once."""

from collections.abc import Sequence

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
        ValueError: If it is no list of such, or there is no such metric.
    """
    if isinstance(metrics, (str, keras.metrics.Metric)) or not metrics:
        raise ValueError(f"`metrics` must be a list of Keras metrics or their names. Received: metrics={metrics!r}")
    named = {_name(metric): metric for metric in metrics}
    for name, metric in named.items():
        if name not in EXACT:
            keras_metric(name, metric)
    return named


def _name(metric) -> str:
    """What a metric is called, in every process the same."""
    if isinstance(metric, str):
        return metric
    function = function_in(metric)
    return getattr(metric, "name", None) or getattr(function, "__name__", type(function).__name__)


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
    """Whether a metric makes probabilities of outputs itself."""
    return any(getattr(metric, name, False) for name in ("from_logits", "_from_logits"))


def _of_second(metric, outputs: np.ndarray) -> np.ndarray:
    """The probability of the second of two classes, or its logit."""
    return outputs[:, 1] - outputs[:, 0] if takes_logits(metric) else outputs[:, 1]


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


# Computed from all outputs at once. Keras's accuracy does not know the form of the labels,
# it has no balanced accuracy, and its AUC is of 200 thresholds, too few for sure outputs.
EXACT = {
    "accuracy": {"classification": _accuracy},
    "balanced_accuracy": {"classification": _balanced_accuracy},
    "auc": {"classification": _auc, "multi-label": _auc_of_labels},
}
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
