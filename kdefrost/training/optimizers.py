"""Optimisers that take the pull of an elastic coupling at the end of each step."""

from typing import Self

import keras
import tensorflow as tf
from keras import ops

from kdefrost.training.coupling import ElasticCoupling


class _Elastic:
    """Pulls the weights of a coupling towards the source's after the step that the loss asks for.

    The stiffness κ = 2 λ × (length of a step per unit of gradient) draws a weight the share
    κ / (1 + κ) of its way to the source's: never past it, however large λ is.
    """

    def __init__(self, coupling: ElasticCoupling | None = None, *args: object, **kwargs: object):
        _check_type(coupling)
        super().__init__(*args, **kwargs)
        self._coupling, self._is_traced = coupling, False

    @property
    def coupling(self) -> ElasticCoupling | None:
        """The coupling, `None` for none. It can be set before the first step, not later."""
        return self._coupling

    @coupling.setter
    def coupling(self, coupling: ElasticCoupling | None):
        _check_type(coupling)
        if self._is_traced:
            raise ValueError(
                "`coupling` cannot be changed after a step, because steps are traced with it. Change its `strength`, "
                "or compile the model with another optimiser."
            )
        if self.built:
            _check_weights(coupling, self._trainable_variables)
        self._coupling = coupling

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the optimiser's state for some variables."""
        _check_weights(self._coupling, variables)
        super().build(variables)

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable."""
        self._step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        anchor = None if self._coupling is None else self._coupling.anchor_of(self._trainable_variables[index])
        self._is_traced = True
        if anchor is None:
            return
        step_length = self._step_length(index, ops.cast(learning_rate, "float32"))
        stiffness = 2.0 * self._coupling.strength_variable * step_length
        # κ / (1 + κ) in a form that is a number for every κ, that which overflows to infinity too. Where λ is 0 it is
        # 0, and what is subtracted leaves every bit as it is.
        share = 1.0 / (1.0 + 1.0 / stiffness)
        shift = ops.cast(share, variable.dtype) * ops.subtract(variable, anchor)
        self.assign_sub(variable, shift)
        self._account_for(index, shift, learning_rate)

    def _step(self, gradient, variable, learning_rate):
        """The step without a coupling."""
        super().update_step(gradient, variable, learning_rate)

    def _step_length(self, index: int, learning_rate):
        """How far a unit of gradient moves a variable in the step in which it acts."""
        raise NotImplementedError

    def _account_for(self, index: int, shift, learning_rate):
        """Adds the pull to what the optimiser remembers of the step."""

    def get_config(self) -> dict:
        """The optimiser's settings, and whether it has a coupling, which is not among them."""
        return {**super().get_config(), "coupled": self._coupling is not None}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Self:
        """An optimiser of such settings; one that had a coupling takes no step before it has one again."""
        config = dict(config)
        coupled = config.pop("coupled", False)
        optimizer = super().from_config(config, custom_objects)
        optimizer._coupling = _Missing() if coupled else None
        return optimizer


def _check_type(coupling):
    if coupling is not None and not isinstance(coupling, ElasticCoupling):
        raise ValueError(
            f"`coupling`, the first argument, must be an ElasticCoupling or None. Received: {coupling!r}; a learning "
            "rate is the second."
        )


def _check_weights(coupling: ElasticCoupling | None, variables: list):
    """Refuses a coupling that would hold nothing: of another model, or of weights that do not train."""
    known = {id(variable) for variable in variables}
    held = [] if coupling is None or coupling.is_frozen else coupling.weights
    lost = [weight.path for weight in held if id(weight) not in known]
    if lost:
        raise ValueError(
            f"`coupling` must be of weights that the optimiser trains, but `{lost[0]}` is none of them. Make an "
            "ElasticCoupling of the model that is trained, of layers that are trainable."
        )


class _Missing:
    """Stands in for a coupling that was not saved with its optimiser."""

    is_frozen = True

    def anchor_of(self, variable):
        raise ValueError(
            "This optimiser was saved with an elastic coupling, which the saved model does not hold. Set its "
            "`coupling` to a new kdefrost.ElasticCoupling(model, source, …), or to None to train on without; it is "
            "`model.optimizer`, or, under a policy of half precision, `model.optimizer.inner_optimizer`."
        )


@keras.saving.register_keras_serializable(package="kdefrost")
class ElasticSGD(_Elastic, keras.optimizers.SGD):
    """Gradient descent, with or without momentum, on a loss and the penalty of an elastic coupling.

    The force of the springs is that of the step's end (backward Euler), which is in closed
    form because their penalty is quadratic: with velocity v, momentum β, gradient g of the
    loss and learning rate η

        v ← β v − η (g + 2 λ (w' − w_source)),    w' = w + v

    and so w' = w⁺ − κ / (1 + κ) (w⁺ − w_source) with κ = 2 η λ, where w⁺ is the plain step's; by Nesterov's
    momentum the force enters a step 1 + β times, and κ as often. It ends where gradient descent on
    loss + λ ‖w − w_source‖² ends. Springs alone are stable for every λ, where with the force of a step's
    beginning they diverge at η λ > 1 + β, by Nesterov's momentum at (1 + β) / (1 + 2 β). With λ = 0 it is
    `keras.optimizers.SGD` bit for bit. Clipping, where it is asked for, is of the loss's gradient alone.

    Args:
        coupling: A `kdefrost.ElasticCoupling` of the model that is trained; `None` for none.
        learning_rate: As for `keras.optimizers.SGD`, like all that follow.
        momentum: Momentum β.
        nesterov: Whether the momentum is Nesterov's.
        **kwargs: Further arguments of `keras.optimizers.SGD`.

    Example:

    ```python
    coupling = kdefrost.ElasticCoupling(model, source, layers=10, strength=0.01)
    model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss="sparse_categorical_crossentropy")
    ```
    """

    def _step_length(self, index: int, learning_rate):
        return learning_rate * self._gain

    def _account_for(self, index: int, shift, learning_rate):
        if self.momentum:
            self.assign_sub(self.momentums[index], shift / ops.cast(self._gain, shift.dtype))

    @property
    def _gain(self) -> float:
        """How often a force enters a step: once, and under Nesterov's momentum once more by the velocity."""
        return 1.0 + self.momentum if self.nesterov else 1.0


@keras.saving.register_keras_serializable(package="kdefrost")
class ElasticAdam(_Elastic, keras.optimizers.Adam):
    """Adam on a loss and the penalty of an elastic coupling.

    The moments are those of the loss's gradient alone. After Adam's step each weight moves to
    where the penalty and the distance in Adam's own metric are least, the proximal step of Yun,
    Lozano & Yang (2021, "Adaptive proximal gradient methods for structured neural networks"): it goes
    κ / (1 + κ) of its way to the source's with κ = 2 λ η √(1 − β₂ᵗ) / (√v + ε), v being the second moment as
    the step divides by it. It ends where loss + λ ‖w − w_source‖² is stationary, and springs are stable
    for every λ. With λ = 0 it is `keras.optimizers.Adam` bit for bit. Clipping is of the loss's gradient alone.

    Args:
        coupling: A `kdefrost.ElasticCoupling` of the model that is trained; `None` for none.
        learning_rate: As for `keras.optimizers.Adam`, like all that follow.
        **kwargs: Further arguments of `keras.optimizers.Adam`.

    Example:

    ```python
    coupling = kdefrost.ElasticCoupling(model, source, layers=10, strength=0.01)
    model.compile(kdefrost.ElasticAdam(coupling, 1e-3), loss="sparse_categorical_crossentropy")
    ```
    """

    def _step_length(self, index: int, learning_rate):
        moments = self._velocity_hats if self.amsgrad else self._velocities
        step = ops.cast(self.iterations + 1, "float32")
        unbiased = ops.sqrt(1.0 - ops.power(ops.cast(self.beta_2, "float32"), step))
        return learning_rate * unbiased / (ops.sqrt(ops.cast(moments[index], "float32")) + self.epsilon)
