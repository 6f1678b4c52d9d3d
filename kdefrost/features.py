"""Features: what the frozen layers make of a data set, computed once and passed from cut to cut."""

import keras
import numpy as np
import tensorflow as tf

from kdefrost.cuts import Cut, segment

EXTRACTION_BATCH = 250


def extract(extractor: keras.Model, images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Runs a model in inference mode over a data set.

    Args:
        extractor: A model with one input and one output.
        images: Its inputs `(examples, …)`.

    Returns:
        Its outputs `(examples, …)`, in memory.
    """
    inputs = tf.TensorSpec((None, *images.shape[1:]), extractor.inputs[0].dtype)
    run = tf.function(lambda batch: extractor(batch, training=False)).get_concrete_function(inputs)
    features = np.empty((len(images), *extractor.outputs[0].shape[1:]), extractor.outputs[0].dtype)
    for start in range(0, len(images), EXTRACTION_BATCH):
        batch = tf.cast(images[start : start + EXTRACTION_BATCH], extractor.inputs[0].dtype)
        features[start : start + EXTRACTION_BATCH] = run(batch)
    return tf.convert_to_tensor(features)


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
        features: Tensors `(examples, …)` by name.
    """

    def __init__(self, model: keras.Model, start: Cut, images: dict[str, np.ndarray]):
        self.model, self.cut = model, start
        self.features = {name: tf.convert_to_tensor(examples) for name, examples in images.items()}

    def advance(self, cut: Cut):
        """Carries all features on to a later cut, or leaves them at the present one."""
        if cut.index == self.cut.index:
            return
        between = segment(self.model, self.cut, cut)
        for name in self.features:
            # Replaced one by one, so that the memory of the old features is free again.
            self.features[name] = extract(between, self.features[name])
        self.cut = cut
