"""Metrics: those of Keras by their names, and those that are computed from all outputs at once."""

from collections.abc import Sequence

import keras
import numpy as np
from sklearn import metrics as exact


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
    named = {metric if isinstance(metric, str) else getattr(metric, "name", str(metric)): metric for metric in metrics}
    for name, metric in named.items():
        if name not in EXACT:
            keras_metric(name, metric)
    return named


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
        metric.reset_state()
        return metric
    if not callable(metric):
        raise ValueError(f"`metrics` must be Keras metrics or their names. Received: {metric!r}")
    return keras.metrics.MeanMetricWrapper(metric, name=name)


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
OF_ONE_PROBABILITY = (
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
