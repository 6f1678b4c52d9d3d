"""What a user gives as a labelled set, refused before it is read where it is none, with what to do."""

import numbers

import keras
import numpy as np
import tensorflow as tf

_WITHOUT_WEIGHTS = " Weights of single examples are not taken: leave them out; `class_weight` weights classes."


def check_labels(name: str, shape: tuple, dtype: np.dtype):
    """Refuses labels that are no numbers, or not one or a row of them for each example.

    Args:
        name: Name of the argument.
        shape: Their shape.
        dtype: Their dtype.

    Raises:
        ValueError: If they are such.
    """
    if len(shape) not in (1, 2) or not (np.issubdtype(dtype, np.number) or dtype.kind == "b"):
        raise ValueError(
            f"Labels of `{name}` must be numbers (examples,) or (examples, columns); number the classes from 0. "
            f"Received: {shape} of {dtype}."
        )


def check_steps(steps: int | None, given: dict):
    if steps is None:
        return
    if isinstance(steps, bool) or not isinstance(steps, numbers.Integral) or steps < 1:
        raise ValueError(f"`steps` must be a whole number of batches, at least 1, or None. Received: steps={steps!r}")
    if not any(isinstance(examples, tf.data.Dataset) for examples in given.values()):
        raise ValueError("`steps` are for a tf.data.Dataset; leave them out where there are arrays alone.")


def check_kind(name: str, examples):
    """Refuses what is neither a data set nor a pair."""
    is_pair = isinstance(examples, (tuple, list)) and len(examples) == 2
    if is_pair and all(isinstance(part, tf.data.Dataset) for part in examples):
        raise ValueError(
            f"`{name}` must be one tf.data.Dataset, or a pair (x, y). Received: two data sets, as Keras gives them for "
            f'subset="both"; give each by the name of its use, `train`, `validation` or `test`.'
        )
    if not is_pair and not isinstance(examples, tf.data.Dataset):
        count = f" of {len(examples)}" if isinstance(examples, (tuple, list)) else ""
        advice = _WITHOUT_WEIGHTS if isinstance(examples, (tuple, list)) and len(examples) == 3 else ""
        if isinstance(examples, keras.utils.PyDataset):
            advice = " Put its batches together, by np.concatenate, or give the tf.data.Dataset that they come from."
        raise ValueError(
            f"`{name}` must be a pair (x, y) or a tf.data.Dataset of such batches. Received: "
            f"{type(examples).__name__}{count}.{advice}"
        )


def check_elements(name: str, spec):
    """Refuses a data set whose elements are no batches of examples and labels, before any is read."""
    if not isinstance(spec, tuple) or len(spec) != 2 or any(not isinstance(part, tf.TensorSpec) for part in spec):
        raise ValueError(
            f"`{name}` must be a tf.data.Dataset of batches (x, y), dense tensors both. Received elements: {spec}."
            f"{_advice(spec)}"
        )
    if 0 in (spec[0].shape.rank, spec[1].shape.rank):
        raise ValueError(f"`{name}` must be a tf.data.Dataset of batches (x, y); batch it. Received elements: {spec}")
    if not (spec[0].dtype.is_floating or spec[0].dtype.is_integer or spec[0].dtype.is_bool):
        raise ValueError(f"`{name}` must be a tf.data.Dataset whose x are numbers. Received elements: {spec}")
    shape = (None,) if spec[1].shape.rank is None else tuple(spec[1].shape)
    check_labels(name, shape, np.dtype(spec[1].dtype.as_numpy_dtype))


def _advice(spec) -> str:
    """What to do about elements that are no pairs of tensors."""
    if isinstance(spec, tuple) and len(spec) == 3:
        return f"{_WITHOUT_WEIGHTS} To do so: dataset.map(lambda x, y, weights: (x, y))."
    if isinstance(spec, dict):
        names = [*map(repr, spec), "…", "…"][:2]
        return f" Make pairs of them, such as by dataset.map(lambda each: (each[{names[0]}], each[{names[1]}]))."
    return " There are no labels: put them beside the examples." if isinstance(spec, tf.TensorSpec) else ""


def check_batch(name: str, x, y):
    """Refuses a batch that is none, where the data set does not say of what shape its batches are."""
    if np.ndim(x) == 0 or np.ndim(y) == 0 or len(x) != len(y):
        raise ValueError(
            f"`{name}` must be a tf.data.Dataset of batches (x, y) with as many labels as examples; batch it, if it is "
            f"not. Received: x of shape {np.shape(x)}, y of shape {np.shape(y)}"
        )
