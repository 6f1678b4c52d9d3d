"""Labels: what kind of task they are of, in one form for each, and the weights of their classes."""

import re
from collections.abc import Mapping

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from kdefrost.data.sets import check_labels


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
    check_labels(name, labels.shape, labels.dtype)


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


# How the names of Keras's losses begin, by the kind of task that they are for.
_LOSSES = {
    "classification": ("sparse_categorical", "categorical"),
    "multi-label": ("binary",),
    "regression": ("mean_", "huber", "log_cosh", "poisson", "cosine_similarity"),
}
