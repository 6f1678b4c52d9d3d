"""Batch normalisation by TensorFlow's fused kernel, in the place of Keras's."""

import keras
import tensorflow as tf

from kdefrost.cutting.copying import input_like, replay
from kdefrost.cutting.graph import Graph
from kdefrost.devices import sum_over_replicas


@keras.saving.register_keras_serializable(package="kdefrost")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation, computed by TensorFlow's fused kernel where it applies.

    The numbers are those of `keras.layers.BatchNormalization`: forward, gradient, and the
    moving statistics. The kernel applies to images of four axes with channels last; any
    other input goes through Keras's own computation. So does a `synchronized` layer, with the
    variance over all replicas computed about the mean.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalises `inputs`, and updates the moving statistics when `training`."""
        if not self._is_fusable(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        in_training = bool(training) and self.trainable
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones_like(self.moving_mean.value),
            offset=self.beta.value if self.center else tf.zeros_like(self.moving_mean.value),
            # In training the kernel takes no statistics: it makes them.
            mean=[] if in_training else self.moving_mean.value,
            variance=[] if in_training else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=in_training,
        )
        if in_training:
            self._update_moving_statistics(mean, variance, tf.size(inputs) // tf.size(mean))
        return outputs

    def _moments(self, inputs, mask):
        # Keras's synchronised variance is the mean square less the squared mean, which leaves no digit of it where
        # values are far from zero.
        if mask is not None or not self.synchronized:
            return super()._moments(inputs, mask)
        axes, size = self._reduction_axes, tf.size(inputs) // inputs.shape[self.axis]
        count = sum_over_replicas(tf.cast(size, inputs.dtype))
        mean = sum_over_replicas(tf.reduce_sum(inputs, axes, keepdims=True)) / count
        # The variance does not change with the mean that it is about.
        deviations = tf.math.squared_difference(inputs, tf.stop_gradient(mean))
        variance = sum_over_replicas(tf.reduce_sum(deviations, axes)) / count
        return tf.squeeze(mean, axes), variance

    def _is_fusable(self, inputs, mask) -> bool:
        on_channels = self.axis in (3, -1) and len(inputs.shape) == 4
        plain = mask is None and not getattr(self, "renorm", False) and not self.synchronized
        return on_channels and plain and inputs.dtype == "float32"

    def _update_moving_statistics(self, mean, variance, count):
        # The kernel returns the unbiased variance (divided by count - 1), Keras keeps the
        # biased one (divided by count).
        count = tf.cast(count, variance.dtype)
        biased = variance * (tf.maximum(count - 1.0, 1.0) / count)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))


# By Keras's own layers, those that compute the same faster.
FUSED_LAYERS = {keras.layers.BatchNormalization: BatchNormalization}


def with_keras_layers(model: keras.Model) -> keras.Model:
    """Copies a model with Keras's own layers in the place of kdefrost's.

    Args:
        model: A functional or sequential model.

    Returns:
        A new functional model, with the weights and the numbers of `model`, that loads
        where kdefrost is not installed, as far as the model's other layers do.
    """
    graph = Graph(model)
    names: set[str] = set()
    inputs = [input_like(tensor, names) for tensor in graph.inputs]
    plain = {fused: own for own, fused in FUSED_LAYERS.items()}
    outputs = replay(graph, graph.inputs, inputs, graph.outputs, plain, names)
    single = len(inputs) == 1 and len(outputs) == 1
    return keras.Model(*(inputs + outputs if single else (inputs, outputs)), name=model.name)
