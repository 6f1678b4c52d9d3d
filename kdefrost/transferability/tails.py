"""Random tails: what a tail makes of the features at a cut before it has learnt anything, and how it would learn."""

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.initialization import reinitialize
from kdefrost.cutting.surgery import features_after
from kdefrost.models.normalization import FUSED_LAYERS, BatchNormalization
from kdefrost.trials.rows import INITIALISATION, ORDER


class _ByBatch(BatchNormalization):
    """Batch normalisation by the moments of the batch, where the model does not train otherwise, or by the last ones.

    So what is random in training, such as dropout, is left out.
    """

    by_batch = True

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=self.by_batch, mask=mask)


_SUBSTITUTES = dict.fromkeys([*FUSED_LAYERS, BatchNormalization], _ByBatch)


class RandomTail:
    """A tail without its output layer, initialised as a trial's, that has not been trained.

    Args:
        source: The source model.
        cut: The cut after which it begins.
        batch_size: Largest number of examples by whose moments batch normalisations compute, as in training.
    """

    def __init__(self, source, cut: Cut, batch_size: int):
        self._cut, self._batch_size = cut, batch_size
        self._model = features_after(source, cut, _SUBSTITUTES)
        layers = self._model._flatten_layers(include_self=False)
        self._normalizations = [layer for layer in layers if isinstance(layer, _ByBatch)]
        self._gradients: dict[tuple[int, int], tf.types.experimental.PolymorphicFunction] = {}
        self._seed = None

    def start(self, seed: int):
        """Gives it the weights from which a trial of this seed and cut starts.

        Args:
            seed: The seed.
        """
        self._seed = seed
        reinitialize(self._model, (INITIALISATION, seed, self._cut.index))

    def features(self, inputs: tuple) -> np.ndarray:
        """Computes what enters the output layer.

        Batches are drawn by the seed, of equal sizes within one.

        Args:
            inputs: What crosses the cut, an array `(examples, …)` for each tensor, in memory or not.

        Returns:
            Array `(examples, features)`, float64. The moving statistics are the mean of the batches'.
        """
        order = np.random.default_rng((ORDER, self._seed)).permutation(len(inputs[0]))
        self._compute_by_batch(True)
        features = None
        for number, rows in enumerate(np.array_split(order, math.ceil(len(order) / self._batch_size))):
            for layer in self._normalizations:
                layer.momentum = number / (number + 1)
            # Tracing a function would take longer than these few batches.
            part = self._run([array[rows] for array in inputs])
            features = np.empty((len(order), part.shape[-1])) if features is None else features
            features[rows] = tf.cast(part, "float64")
        return features

    def tangent_kernel(self, inputs: tuple, memory_budget: int) -> np.ndarray:
        """Computes the tail's empirical tangent kernel: K(x, x′) = ∇f(x)·∇f(x′).

        f is the sum of the outputs of a dense output layer with C units, without its activation, divided by √C; the
        gradient is by all trainable weights of the tail, those of the output layer among them. Its kernel stands for
        the C × C ones of all outputs, which in wide networks are that one for each output and zero between them, at a
        C-th of the cost (Mohamadi, Bae & Sutherland, 2023, arXiv:2206.12543). By He's rule the sum of the C columns of
        the output layer's kernel, divided by √C, is distributed as one of them, so that one is drawn. Batch
        normalisations compute by the moments that `features` left, so that each output depends on one example alone.

        Args:
            inputs: What crosses the cut, of the examples of which `features` was last called.
            memory_budget: Bytes that gradients may take. Where those by all weights would take more, each example is
                run again for every part of the weights, of one weight at least.

        Returns:
            Array `(examples, examples)`, float64.
        """
        self._compute_by_batch(False)
        edges = range(0, len(inputs[0]), self._batch_size)
        batches = ([array[edge : edge + self._batch_size] for array in inputs] for edge in edges)
        features = np.concatenate([tf.cast(self._run(batch), "float32").numpy() for batch in batches])
        readout = self._readout(features.shape[1])
        kernel = features.astype(np.float64) @ features.T + 1.0
        # TensorFlow takes a copy of what it multiplies.
        for start, stop in self._parts(memory_budget // (8 * len(features))):
            jacobian = self._jacobian((start, stop), inputs, readout)
            kernel += tf.matmul(jacobian, jacobian, transpose_b=True).numpy()
        return kernel

    def _readout(self, width: int) -> np.ndarray:
        """Weights of the last features `(width,)` in f."""
        rng = np.random.default_rng((INITIALISATION, self._seed, self._cut.index, width))
        return (math.sqrt(2 / width) * rng.standard_normal(width)).astype(np.float32)

    def _parts(self, numbers: int) -> Iterator[tuple[int, int]]:
        """Slices of the trainable weights, each of so many numbers or of one weight."""
        sizes = [math.prod(weight.shape) for weight in self._model.trainable_variables]
        start = 0
        while start < len(sizes):
            stop = start + 1
            while stop < len(sizes) and sum(sizes[start : stop + 1]) <= numbers:
                stop += 1
            yield start, stop
            start = stop

    def _jacobian(self, part: tuple[int, int], inputs, readout: np.ndarray) -> np.ndarray:
        """∇f of each example by a part of the weights `(examples, numbers)`."""
        if part not in self._gradients:
            self._gradients[part] = self._gradient_by(self._model.trainable_variables[slice(*part)])
        jacobian = None
        for row in range(len(inputs[0])):
            gradient = self._gradients[part]([array[row : row + 1] for array in inputs], readout).numpy()
            jacobian = np.empty((len(inputs[0]), len(gradient)), np.float32) if jacobian is None else jacobian
            jacobian[row] = gradient
        return jacobian

    def _gradient_by(self, weights):
        values = [weight.value for weight in weights]

        @tf.function(reduce_retracing=True)
        def gradient(inputs, readout):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                output = tf.reduce_sum(tf.cast(self._run(inputs), "float32") * readout)
            found = tape.gradient(output, values, unconnected_gradients="zero")
            return tf.concat([tf.cast(tf.reshape(each, [-1]), "float32") for each in found], axis=0)

        return gradient

    def _run(self, inputs):
        return self._model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    def _compute_by_batch(self, by_batch: bool):
        for layer in self._normalizations:
            layer.by_batch = by_batch
