"""Scaling of the loss, by which small gradients are kept in float16."""

import keras
from keras import ops

from kdefrost.devices import sum_over_replicas


class ScaledLoss(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic scaling of the loss, for an optimiser that has a `StepSchedule` as its `schedule`.

    A step whose gradients overflow is skipped, and the scale halved. The schedule goes on all the same, so that it
    ends with the training.
    """

    def restart(self):
        """Sets the scale to that before the first step."""
        # Over several replicas there is none before.
        if self.built:
            self.dynamic_scale.assign(self.initial_scale)

    def check_finite(self, grads):
        """Whether all gradients are finite; those of all replicas, where Keras looks at the first one's alone."""
        overflows = ops.cast(ops.logical_not(super().check_finite(grads)), "float32")
        return ops.equal(sum_over_replicas(overflows), 0.0)

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.inner_optimizer.schedule.skipped.assign_add(1.0)
