"""What is given to an experiment, held to the source, to what is learnt, and to each other."""

from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.surgery import tail_of
from kdefrost.data.colors import color_advice
from kdefrost.data.sets import LabelledSet
from kdefrost.training.forms import classes_of
from kdefrost.training.labels import OR_REGRESSION
from kdefrost.training.tasks import Task


def as_groups(groups, train: LabelledSet) -> np.ndarray | None:
    """The group of each training example as whole numbers, from names or numbers of any kind.

    Args:
        groups: Array `(examples,)`, or `None`.
        train: The training set.

    Returns:
        Array `(examples,)`, or `None`.

    Raises:
        ValueError: If they are not one for each example, or some are missing.
    """
    if groups is None:
        return None
    # In an array of text NaN would be a name.
    each = list(groups) if isinstance(groups, (list, tuple)) else np.asarray(groups).tolist()
    groups = np.asarray(groups)
    if groups.shape != (len(train.y),):
        raise ValueError(
            f"`groups` must name the group of each of the {len(train.y)} examples of `train`. Received: groups of "
            f"shape {groups.shape}"
        )
    missing = [row for row, group in enumerate(each) if group is None or _is_nan(group)]
    if missing:
        raise ValueError(
            f"`groups` must name the group of each example of `train`; that of {len(missing)} is missing, the first in "
            f"row {missing[0]}: name them, each by a name of its own where they are independent."
        )
    # Names and numbers beside each other have no order.
    return np.unique(groups.astype(str) if groups.dtype == object else groups, return_inverse=True)[1]


def _is_nan(value) -> bool:
    """Whether a value is one of those that do not equal themselves, or of which it is not known."""
    same = value == value
    return not isinstance(same, (bool, np.bool_)) or not same


def check_columns(columns: dict[str, int], task: Task):
    """Refuses rows of classes, as given, of other classes than those that there are to train on.

    Args:
        columns: By the name of the set, how many columns its labels were given in.
        task: What is learnt.

    Raises:
        ValueError: If there are such.
    """
    for name, count in columns.items():
        if task.kind == "classification" and count not in (1, task.units):
            raise ValueError(
                f"Labels of `{name}` must have {task.units} columns, one for each class of `train`. Received: {count}"
            )


def check_output(source: keras.Model, last: Cut, task: Task):
    """Checks that what follows the features gives what the labels have.

    Args:
        source: The source model.
        last: Its last cut that is tried.
        task: What is learnt.

    Raises:
        ValueError: If it does not.
    """
    given = tail_of(source, last, output=task.output).output_shape
    if given != (None, task.units):
        raise ValueError(
            f"`output` must give one vector of {task.units} numbers for each example, as the labels of `train` "
            f"have it for {task.kind}; it gives {given[1:]}."
        )


def check_sets(sets: dict[str, LabelledSet], source: keras.Model, task: Task):
    """Checks that the sets fit each other and the source.

    Args:
        sets: The sets by name, their labels in the form of the task.
        source: The source model.
        task: What is learnt.

    Raises:
        ValueError: If they do not.
    """
    expected = source.inputs[0].shape[1:]
    for name, (x, y) in sets.items():
        if task.kind == "classification" and y.ndim == 1 and (y.min() < 0 or y.max() >= task.units):
            raise ValueError(
                f"Labels of `{name}` must be from 0 to {task.units - 1}, for {task.units} classes. Received labels "
                f"from {y.min()} to {y.max()}.{OR_REGRESSION}"
            )
        if y.ndim == 2 and y.shape[1] != task.units:
            raise ValueError(f"Labels of `{name}` must have {task.units} columns, as `train` has. Received: {y.shape}")
        if len(expected) != x.ndim - 1 or any(e not in (None, s) for e, s in zip(expected, x.shape[1:], strict=True)):
            raise ValueError(
                f"`{name}` has examples of shape {x.shape[1:]}, but the source takes {tuple(expected)}"
                f"{color_advice(x.shape[1:], expected)}."
            )
        if (source.inputs[0].dtype == "string") != (x.dtype.kind == "U"):
            raise ValueError(
                f"`{name}` has examples of dtype {x.dtype}, but the source takes {source.inputs[0].dtype}: numbers go "
                "to a source of numbers, text to one whose first layer takes text."
            )
        if name != "train":
            check_objective(f"`{name}`", y, task)


def check_objective(where: str, labels: np.ndarray, task: Task):
    """Refuses labels of which the metric that chooses gives no number: the AUC of a single class.

    Args:
        where: What an error calls the examples.
        labels: Labels of examples to score on.
        task: What is learnt.

    Raises:
        ValueError: If they are such.
    """
    name = task.objective.name
    metric = task.metrics[name]
    if task.kind == "regression" or not (str(metric).lower() == "auc" or isinstance(metric, keras.metrics.AUC)):
        return
    columns = labels > 0 if task.kind == "multi-label" else classes_of(labels)[:, None]
    if all(len(np.unique(column)) < 2 for column in columns.T):
        raise ValueError(
            f"{where} must have examples of two classes or more, because of one class there is no {name}, which "
            f"chooses the cut: add some, or choose by another `objective`. Received: {len(labels)} of one class"
        )


def check_sizes(groups: np.ndarray, sizes: Sequence[int], task: Task):
    """Checks that there are as many training examples as asked for; of all there are, that each class has one.

    Args:
        groups: The class of each training example.
        sizes: Numbers of examples per class, or `None` for all there are.
        task: What is learnt.

    Raises:
        ValueError: If there are not.
    """
    largest = max(size or 0 for size in sizes)
    if task.kind != "classification":
        smallest = int(np.unique(groups, return_counts=True)[1].min())
        if largest > smallest:
            raise ValueError(
                f"`per_class` must be at most {smallest}, the number of training examples. Received: {largest}."
            )
        return
    counts = np.bincount(groups, minlength=task.units)
    smallest = int(counts.argmin())
    if counts[smallest] == 0:
        raise ValueError(
            f"Class {smallest} has no example in `train`; label the classes from 0 without gaps.{OR_REGRESSION}"
        )
    if largest > counts[smallest]:
        raise ValueError(
            f"`per_class` must be at most {counts[smallest]}, the number of training examples of class {smallest}. "
            f"Received: {largest}.{OR_REGRESSION}"
        )
