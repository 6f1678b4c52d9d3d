"""Forms: in which Keras's losses and metrics take the labels of classes, whole numbers or one-hot rows."""

import functools
from typing import NamedTuple

import keras
import numpy as np

FORMS = ("onehot", "index")


class Taken(NamedTuple):
    """What a loss or metric says of labels; `None` where it does not.

    Attributes:
        kind: The kind of task that it is for.
        form: The form in which it takes the labels of classes, one of `FORMS`.
        is_own: Whether it is of Keras's, and not of a class that a user made from one.
    """

    kind: str | None = None
    form: str | None = None
    is_own: bool = False


def taken_by(loss_or_metric) -> Taken:
    """What a loss or metric, or a function of labels and outputs, takes."""
    if isinstance(loss_or_metric, (keras.losses.Loss, keras.metrics.Metric)):
        for cls in type(loss_or_metric).__mro__:
            if _of_keras(cls) and _key(cls) in _TAKEN:
                return Taken(*_TAKEN[_key(cls)], is_own=cls is type(loss_or_metric))
    function = function_in(loss_or_metric)
    known = _of_keras(function) and _key(function) in _TAKEN
    return Taken(*_TAKEN[_key(function)], is_own=True) if known else Taken()


def function_in(wrapped):
    """The function inside a wrapper of Keras's, or one with some arguments set; else what is given."""
    function = getattr(wrapped, "fn", getattr(wrapped, "_fn", wrapped))
    while isinstance(function, functools.partial):
        function = function.func
    return function


def form_of(labels) -> str:
    """The form of labels as a user gave them: `"index"` `(examples,)`, `"column"` `(examples, 1)` or `"onehot"`."""
    shape = np.shape(labels)
    return "index" if len(shape) == 1 else "column" if shape[1] == 1 else "onehot"


def in_form(form: str, labels: np.ndarray, units: int) -> np.ndarray:
    """Labels of classes in a form; rows of shares stay what they are.

    Args:
        form: The form, of `form_of`.
        labels: Whole numbers `(examples,)`, or shares `(examples, units)`.
        units: Number of classes.
    """
    if labels.ndim == 2 or form == "index":
        return labels
    return labels[:, None] if form == "column" else np.eye(units, dtype="float32")[labels]


def classes_of(labels: np.ndarray) -> np.ndarray:
    """The class of each example, of shares the largest one's."""
    return labels.argmax(axis=1) if labels.ndim == 2 else labels


def _of_keras(thing) -> bool:
    return (getattr(thing, "__module__", None) or "").startswith("keras.")


def _key(thing) -> str:
    """What a class and its function have in common: `KLDivergence` and `kl_divergence`."""
    return getattr(thing, "__name__", "").replace("_", "").lower()


def _table(*rows: tuple[str | None, str, str]) -> dict[str, tuple[str | None, str]]:
    return {name.replace("_", ""): (kind, form) for kind, form, names in rows for name in names.split()}


# All of keras.losses and keras.metrics but those that have rules of their own in `metrics`.
_TAKEN = _table(
    ("classification", "index", "sparse_categorical_crossentropy categorical_generalized_cross_entropy circle"),
    ("classification", "onehot", "categorical_crossentropy categorical_focal_crossentropy categorical_hinge"),
    ("multi-label", "onehot", "binary_crossentropy binary_focal_crossentropy"),
    ("regression", "onehot", "mean_squared_error mean_absolute_error mean_absolute_percentage_error"),
    ("regression", "onehot", "mean_squared_logarithmic_error huber log_cosh poisson cosine_similarity"),
    (None, "onehot", "kl_divergence dice tversky hinge squared_hinge"),
    (None, "index", "ctc sparse_categorical_accuracy sparse_top_k_categorical_accuracy"),
    (None, "onehot", "binary_accuracy categorical_accuracy top_k_categorical_accuracy fbeta_score f1_score"),
    (None, "onehot", "auc precision recall precision_at_recall recall_at_precision sensitivity_at_specificity"),
    (None, "onehot", "specificity_at_sensitivity true_positives true_negatives false_positives false_negatives"),
    (None, "onehot", "root_mean_squared_error log_cosh_error r2_score concordance_correlation pearson_correlation"),
    (None, "index", "accuracy iou mean_iou binary_iou"),
    (None, "onehot", "onehot_iou onehot_mean_iou"),
)
