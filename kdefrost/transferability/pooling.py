"""Pooled features: one vector for each example, of all that crosses a cut."""

import keras
import numpy as np

from kdefrost.cutting.channels import CHANNELS_FIRST, data_format_of, input_format_of
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cuttable, find
from kdefrost.data.storage import blocks

# A number varies if its deviation is more than rounding of its size.
_ROUNDING = 1e-7


def channel_axes(model: keras.Model, cut: Cut) -> list[int]:
    """The axis of the channels of each tensor that crosses a cut, as the layers that make it say."""
    graph = cuttable(model, cut.features)
    formats = [
        input_format_of(graph) if tensor in graph.inputs else data_format_of(graph, tensor)
        for tensor in find(graph, cut)
    ]
    return [1 if form == CHANNELS_FIRST else -1 for form in formats]


def pooled(features: tuple, axes: list[int]) -> np.ndarray:
    """Averages features over their positions and puts those of several tensors side by side.

    Args:
        features: An array `(examples, …)` for each tensor, in memory or not.
        axes: The axis of the channels of each.

    Returns:
        Array `(examples, channels of all)`, float32.
    """
    return np.concatenate([_pooled(part, axis) for part, axis in zip(features, axes, strict=True)], axis=1)


def _pooled(part, channels: int) -> np.ndarray:
    positions = tuple(axis for axis in range(1, part.ndim) if axis != channels % part.ndim)
    return np.concatenate([block.mean(axis=positions, dtype=np.float32) for block in blocks(part)])


def tells(features: np.ndarray) -> bool:
    """Whether features `(examples, features)` tell examples apart: they are finite, and not the same for all."""
    return bool(np.isfinite(features).all()) and varied(features).shape[1] > 0


def labelled(features, labels, must_vary: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Features and the classes of their examples, as scores take them.

    Args:
        features: Features `(examples, features)`.
        labels: The class of each example `(examples,)`.
        must_vary: Whether features that are the same for all examples have no score.

    Returns:
        Both as arrays, the features as float64.

    Raises:
        ValueError: If they are no finite features, or the same for all where they must vary, or labels are not one
            class for each.
    """
    features = np.asarray(features)
    is_table = features.ndim == 2 and len(features) > 0 and features.dtype.kind in "biuf"
    if not is_table or not np.isfinite(features).all() or (must_vary and not tells(features)):
        apart = ", not the same for all examples" if must_vary else ""
        raise ValueError(
            f"`features` must be finite numbers (examples, features){apart}. Received: {features.shape} of "
            f"{features.dtype}"
        )
    return features.astype(np.float64), as_classes(labels, len(features))


def as_classes(labels, examples: int, least: int = 1) -> np.ndarray:
    """The class of each example as a whole number.

    Args:
        labels: Whole numbers, or names.
        examples: How many there must be.
        least: How many different ones there must be.

    Returns:
        Array `(examples,)`, in which names are numbered by their order.

    Raises:
        ValueError: If they are something else.
    """
    labels = np.asarray(labels)
    if labels.shape != (examples,) or labels.dtype.kind not in "biuU" or len(np.unique(labels)) < least:
        several = "" if least == 1 else f", of {least} classes at least"
        raise ValueError(
            f"`labels` must be the class of each of the {examples} examples, a whole number or a name{several}. "
            f"Received: {labels.shape} of {labels.dtype}, {len(np.unique(labels))} different"
        )
    return np.unique(labels, return_inverse=True)[1] if labels.dtype.kind == "U" else labels


def with_numbers(examples):
    """A labelled pair whose classes are numbered where they have names, as `as_classes` has it; all else as it is."""
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:
        return examples
    images, labels = examples
    is_list = isinstance(labels, list) and labels and all(isinstance(each, str) for each in labels)
    is_array = isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind == "U"
    return (images, as_classes(labels, len(labels))) if is_list or is_array else examples


def varied(features: np.ndarray) -> np.ndarray:
    """The features that are not the same for all examples, `(examples, those)`."""
    return features[:, np.ptp(features, axis=0) > _ROUNDING * np.abs(features).max(axis=0)]


def standardized(features: np.ndarray) -> np.ndarray:
    """The features that vary, with mean 0 and deviation 1, `(examples, those)`."""
    features = varied(np.asarray(features, np.float64))
    return (features - features.mean(axis=0)) / features.std(axis=0)
