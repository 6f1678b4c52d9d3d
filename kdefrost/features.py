"""Features: what the frozen layers make of a data set, computed once and passed from cut to cut."""

import keras
import numpy as np
import tensorflow as tf

from kdefrost.cuts import Cut, segment

EXTRACTION_BATCH = 250


def extract(extractor: keras.Model, images: np.ndarray) -> np.ndarray:
    """Runs a model in inference mode over a data set.

    Args:
        extractor: A model with one input and one output.
        images: Its inputs `(examples, …)`.

    Returns:
        Its outputs `(examples, …)`, in memory.
    """
    return _extract(_inference(extractor), images)


def _inference(extractor: keras.Model):
    """The model in inference mode, traced once for batches of any size."""
    taken = extractor.inputs[0]
    inputs = tf.TensorSpec((None, *taken.shape[1:]), taken.dtype)
    return tf.function(lambda batch: extractor(batch, training=False)).get_concrete_function(inputs)


def _extract(run, images: np.ndarray) -> np.ndarray:
    (taken,), given = run.structured_input_signature[0], run.structured_outputs
    features = np.empty((len(images), *given.shape[1:]), given.dtype.as_numpy_dtype)
    for start in range(0, len(images), EXTRACTION_BATCH):
        batch = tf.cast(images[start : start + EXTRACTION_BATCH], taken.dtype)
        features[start : start + EXTRACTION_BATCH] = run(batch)
    return features


class FeatureFlow:
    """Features of several data sets, carried from one cut of a model to the next.

    The features at a cut are computed from those at the cut before, so that all cuts
    together cost one forward pass.

    Args:
        model: The source model.
        start: The cut at which the images go in: cut 0.
        images: Arrays `(examples, …)` by name.

    Attributes:
        cut: The cut at which the features are.
        features: Arrays `(examples, …)` by name.
    """

    def __init__(self, model: keras.Model, start: Cut, images: dict[str, np.ndarray]):
        self.model, self.cut, self.features = model, start, dict(images)

    def advance(self, cut: Cut):
        """Carries all features on to a later cut, or leaves them at the present one."""
        if cut.index == self.cut.index:
            return
        run = _inference(segment(self.model, self.cut, cut))
        for name in self.features:
            # Replaced one by one, so that the memory of each old set is free again.
            self.features[name] = _extract(run, self.features[name])
        self.cut = cut
