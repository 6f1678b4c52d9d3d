"""Optimisers that take the pull of an elastic coupling at the end of each step."""

import keras
from keras import ops


class _Elastic:
    """Pulls the weights of a coupling towards the source's after the step that the loss asks for.

    The stiffness κ = 2 λ × (length of a step per unit of gradient) draws a weight the share
    κ / (1 + κ) of its way to the source's: never past it, however large λ is.
    """

    def __init__(self, coupling=None, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._coupling = coupling

    @property
    def coupling(self):
        """The coupling, `None` for none. It can be set before the first step."""
        return self._coupling

    @coupling.setter
    def coupling(self, coupling):
        self._coupling = coupling
        if self.built:
            self._check_coupling(self._trainable_variables)

    def build(self, variables):
        """Makes the optimiser's state for some variables."""
        super().build(variables)
        self._check_coupling(variables)

    def _check_coupling(self, variables):
        """Refuses a coupling of another model, which would hold nothing."""
        known = {id(variable) for variable in variables}
        held = [] if self._coupling is None else self._coupling.weights
        lost = [weight.path for weight in held if weight.trainable and id(weight) not in known]
        if lost:
            raise ValueError(
                f"`coupling` must be of the model that is trained, of which its `{lost[0]}` is no trainable weight. Make "
                "an ElasticCoupling of this model."
            )

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable."""
        super().update_step(gradient, variable, learning_rate)
        if self.coupling is None:
            return
        index = self._get_variable_index(variable)
        anchor = self.coupling.anchor_of(self._trainable_variables[index])
        if anchor is None:
            return
        stiffness = 2.0 * ops.cast(self.coupling.strength_variable, variable.dtype)
        stiffness *= self._step_length(index, ops.cast(learning_rate, variable.dtype))
        # Where λ is 0 this subtracts zeros, and leaves every bit as it is.
        shift = (stiffness / (1.0 + stiffness)) * ops.subtract(variable, anchor)
        self.assign_sub(variable, shift)
        self._account_for(index, shift)

    def _step_length(self, index: int, learning_rate):
        """How far a lasting unit of gradient moves a variable in the present step."""
        raise NotImplementedError

    def _account_for(self, index: int, shift):
        """Adds the pull to what the optimiser remembers of the step."""

    def get_config(self) -> dict:
        """The optimiser's settings, and whether it has a coupling, which is not among them."""
        return {**super().get_config(), "coupled": self.coupling is not None}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None):
        """An optimiser of such settings; one that had a coupling takes no step before it has one again."""
        config = dict(config)
        coupled = config.pop("coupled", False)
        optimizer = super().from_config(config, custom_objects)
        optimizer._coupling = _Missing() if coupled else None
        return optimizer


class _Missing:
    """Stands in for a coupling that was not saved with its optimiser."""

    weights = ()

    def anchor_of(self, variable):
        raise ValueError(
            "This optimiser was saved with an elastic coupling, which the saved model does not hold. To train on under "
            "it, set `model.optimizer.coupling = kdefrost.ElasticCoupling(model, source, …)`; to train on without it, "
            "set it to None, or compile the model with another optimiser."
        )


@keras.saving.register_keras_serializable(package="kdefrost")
class ElasticSGD(_Elastic, keras.optimizers.SGD):
    """Gradient descent, with or without momentum, on a loss and the penalty of an elastic coupling.

    The force of the springs is that of the step's end (backward Euler), which is in closed
    form because their penalty is quadratic: with velocity v, momentum β, gradient g of the
    loss and learning rate η

        v ← β v − η (g + 2 λ (w' − w_source)),    w' = w + v

    and so w' = w⁺ − κ / (1 + κ) (w⁺ − w_source) with κ = 2 η λ, where w⁺ is the plain step's. It
    ends where gradient descent on loss + λ ‖w − w_source‖² ends, and it is stable for every λ, where
    steps with the force of their start diverge at η λ > 1 + β. With λ = 0 it is `keras.optimizers.SGD`
    bit for bit.

    Args:
        coupling: A `kdefrost.ElasticCoupling` of the model that is trained; `None` for none.
        learning_rate: As for `keras.optimizers.SGD`, like all that follow.
        momentum: Momentum β.
        nesterov: Whether the momentum is Nesterov's, for which κ = 2 (1 + β) η λ.
        **kwargs: Further arguments of `keras.optimizers.SGD`.

    Example:

    ```python
    coupling = kdefrost.ElasticCoupling(model, source, layers=10, strength=0.01)
    model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss="sparse_categorical_crossentropy")
    ```
    """

    def _step_length(self, index: int, learning_rate):
        return learning_rate * self._gain

    def _account_for(self, index: int, shift):
        if self.momentum:
            self.assign_sub(self.momentums[index], shift / self._gain)

    @property
    def _gain(self) -> float:
        """How often a force enters a step: once, and under Nesterov's momentum once more by the velocity."""
        return 1.0 + self.momentum if self.nesterov else 1.0


@keras.saving.register_keras_serializable(package="kdefrost")
class ElasticAdam(_Elastic, keras.optimizers.Adam):
    """Adam on a loss and the penalty of an elastic coupling.

    The moments are those of the loss's gradient alone. After Adam's step each weight moves to
    where the penalty and the distance in Adam's own metric are least, the proximal step of Yun,
    Lozano & Yang (2021, "Adaptive proximal gradient methods for structured neural networks"): with
    κ = 2 λ η / (√v̂ + ε), v̂ being the second moment, it goes κ / (1 + κ) of its way to the source's.
    It ends where loss + λ ‖w − w_source‖² is stationary, and is stable for every λ. With λ = 0 it is
    `keras.optimizers.Adam` bit for bit.

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
        step = ops.cast(self.iterations + 1, learning_rate.dtype)
        unbiased = ops.sqrt(1.0 - ops.power(ops.cast(self.beta_2, learning_rate.dtype), step))
        return learning_rate * unbiased / (ops.sqrt(moments[index]) + self.epsilon)
