"""Labels: what kind of task they are of, in one form for each, and the weights of their classes."""

import re
from collections.abc import Mapping

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from kdefrost.cutting.graph import has_graph
from kdefrost.data.given import check_labels
from kdefrost.training.forms import classes_of, taken_by

# Said where labels make no classes.
OR_REGRESSION = (
    ' If the labels are numbers and no classes, say so by a loss of regression, such as loss="mean_squared_error".'
)


def kind_of(labels, loss=None, said: str | None = None, output=None) -> str:
    """Tells classification, multi-label and regression apart, by the loss where it says, else by the labels.

    Args:
        labels: Training labels, `(examples,)` or `(examples, columns)`.
        loss: Keras loss, its name, or `None`.
        said: The form in which a user says that the loss takes the labels of classes; `None` for nothing.
        output: The output layer as given, or `None`. One of a single unit says that its one number is the
            probability of a label that holds or not, or the number that is learnt.

    Returns:
        `"classification"` for whole numbers, one-hot rows or rows of shares that sum to 1, `"multi-label"` for
        other rows of zeros and ones, else `"regression"`.
    """
    _check_numbers("train", np.asarray(labels))
    kind = "classification" if said else taken_by(as_loss(loss)).kind
    if kind:
        return kind
    columns = _columns(labels)
    if columns.shape[1] == 1 and _units(output) == 1:
        return "multi-label" if np.isin(columns, (0, 1)).all() else "regression"
    if columns.shape[1] == 1:
        return "classification" if np.array_equal(columns, np.round(columns)) else "regression"
    if _are_shares(columns):
        return "classification"
    return "multi-label" if np.isin(columns, (0, 1)).all() else "regression"


def _units(output) -> int | None:
    """How many numbers an output layer gives, as far as it says so."""
    if isinstance(output, (int, np.integer)):
        return int(output)
    return output.outputs[0].shape[-1] if has_graph(output) else getattr(output, "units", None)


def as_labels(name: str, labels, kind: str) -> np.ndarray:
    """Brings labels into one form for each kind of task.

    Args:
        name: Name of the argument, for errors.
        labels: Labels `(examples,)` or `(examples, columns)`.
        kind: The kind of task.

    Returns:
        Whole numbers `(examples,)` for a classification, one-hot labels too; shares of classes, and the labels of
        other tasks, as float32 `(examples, columns)`.

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
    if columns.shape[1] > 1 and _are_shares(columns):
        return columns.argmax(axis=1) if np.isin(columns, (0, 1)).all() else columns.astype(np.float32)
    if columns.shape[1] > 1 or not np.array_equal(columns, np.round(columns)):
        raise ValueError(
            f"Labels of `{name}` must be whole numbers (examples,), or one-hot rows, or rows of shares that sum to 1. "
            f"Received: {columns.shape} of {columns.dtype}.{OR_REGRESSION}"
        )
    return columns[:, 0].astype(np.int64)


def _are_shares(columns: np.ndarray) -> bool:
    """Whether each row is of shares that sum to 1, as far as half precision holds them; one-hot rows are."""
    return bool((columns >= 0).all()) and np.allclose(columns.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=2e-3)


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
    return classes_of(labels) if kind == "classification" else np.zeros(len(labels), np.int64)


def check_varied(labels: np.ndarray, kind: str):
    """Refuses training labels that are all the same, which any tail gives without having learnt.

    Args:
        labels: Training labels, of `as_labels`.
        kind: The kind of task.

    Raises:
        ValueError: If they are.
    """
    if kind == "regression":
        return
    classes = classes_of(labels) if kind == "classification" else labels
    if (classes == classes[0]).all():
        raise ValueError(
            f"Labels of `train` must be of two classes at least. Received: {classes[0]} for all {len(labels)} "
            f"examples.{OR_REGRESSION if kind == 'classification' else ''}"
        )


def as_class_weight(class_weight):
    """Weights of classes as a dict, in whichever form and order they are given; a text, or nothing, as it is.

    Raises:
        ValueError: If they are no finite numbers from 0 up, of which one is more.
    """
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    try:
        # A column of a table has keys too; arrays and lists go by the order of the classes.
        given = dict(class_weight) if hasattr(class_weight, "keys") else dict(enumerate(class_weight))
        weights = {int(label): float(weight) for label, weight in sorted(given.items())}
    except (TypeError, ValueError):
        weights = {}
    values = np.array(list(weights.values()))
    if not (len(values) and np.isfinite(values).all() and values.min() >= 0 and values.max() > 0):
        raise ValueError(
            '`class_weight` must be "balanced" or a dict of a number for each class, finite, not negative and not all '
            f"0. Received: {class_weight!r}"
        )
    return weights


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


def as_loss(loss):
    """The loss itself, a function or an object, from what Keras takes for one.

    Args:
        loss: Keras loss, any of its names, a function, or `None`.

    Returns:
        The loss; `None` for `None`.

    Raises:
        ValueError: If there is no such loss.
    """
    try:
        return keras.losses.get(loss)
    except (ValueError, TypeError):
        raise ValueError(f"`loss` must be a Keras loss or its name. Received: loss={loss!r}") from None


def loss_name(loss) -> str:
    """The name of a loss, in words of Keras's functions; of a user's class that of Keras's that it is made from."""
    loss = as_loss(loss)
    if not isinstance(loss, keras.losses.Loss):
        return getattr(loss, "__name__", "")
    bases = [cls for cls in type(loss).__mro__ if getattr(keras.losses, cls.__name__, keras.losses.Loss) is cls]
    # The last one that all losses are made from says nothing.
    named = next((cls for cls in bases if cls is not keras.losses.Loss), type(loss))
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", named.__name__).lower()
