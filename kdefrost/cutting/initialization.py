"""New starting values for all weights of a model, in place."""

import contextlib
import math
import random
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.arguments import check_kind, check_seed
from kdefrost.cutting.costs import NORMALIZATIONS, TRANSPOSED
from kdefrost.cutting.layers import made_again

_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_WITH_KERNEL = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    *_DEPTHWISE,
    *TRANSPOSED,
)
_IDENTITY = {"gamma": 1.0, "scale": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


def reinitialize(model: keras.Model, seed: int | Sequence[int]) -> None:
    """Gives all weights of a model new starting values, in place.

    Kernels are drawn from a normal distribution of variance 2 / fan-in (He et al., 2015,
    arXiv:1502.01852), biases are zero, normalisations are the identity. Trainable weights
    for which there is no such rule get what their layer's own initialiser gives, and a
    warning says which. Statistics of a preprocessing layer stay as they are. In a layer with adapters of low rank
    (LoRA) these alone start anew, as Keras starts them.

    Args:
        model: A model; its graph and compiled functions are kept.
        seed: Seed, or sequence of seeds, that fixes the values.

    Raises:
        ValueError: If `model` is no model, `seed` fixes nothing, or a layer without a rule cannot be made anew
            from its configuration.
    """
    check_kind("model", model, keras.layers.Layer, "a Keras model")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    by_own_initialiser = []
    for layer in _layers(model):
        unknown = [variable for variable in _anew(layer) if not _assign(layer, variable, rng)]
        if unknown:
            _assign_by_own_initialiser(layer, unknown, rng)
            # Adapters have no other start.
            by_own_initialiser += [f"{layer.name}/{each.name}" for each in unknown if not _is_adapter(each)]
    if by_own_initialiser:
        warnings.warn(
            "No rule of He's method for these weights, which start from their own initialisers: "
            f"{', '.join(by_own_initialiser)}.",
            stacklevel=2,
        )


def _layers(model) -> list:
    """All layers of a model, those inside composite layers included, in a fixed order."""
    return [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]


def adapted_weights(layer) -> list:
    """The weights of a layer to which adapters of low rank (LoRA) are added, in whose place those train."""
    if not getattr(layer, "lora_enabled", False):
        return []
    return [variable for variable in _own_variables(layer) if variable.name in ("kernel", "embeddings")]


def _anew(layer) -> list:
    """The variables of a layer, not of one inside it, that get new values: of one with adapters those alone."""
    own = _own_variables(layer)
    return [variable for variable in own if _is_adapter(variable)] if adapted_weights(layer) else own


def _is_adapter(variable) -> bool:
    return variable.name.startswith("lora_")


def _own_variables(layer) -> list:
    """The variables of a layer that are not those of a layer inside it."""
    inside = {id(v) for inner in layer._flatten_layers(include_self=False) for v in inner.variables}
    return [variable for variable in layer.variables if id(variable) not in inside]


def _assign(layer, variable, rng) -> bool:
    """Gives one variable its value by rule; says whether there is one, or the old value stays."""
    shape, name = tuple(variable.shape), variable.name
    if isinstance(layer, NORMALIZATIONS) and name in _IDENTITY:
        variable.assign(np.full(shape, _IDENTITY[name], "float32"))
    elif isinstance(layer, _WITH_KERNEL) and name == "bias":
        variable.assign(np.zeros(shape, "float32"))
    elif isinstance(layer, _WITH_KERNEL) and name.endswith("kernel"):
        deviation = math.sqrt(2 / _fan_in(layer, name, shape))
        variable.assign(rng.standard_normal(shape, "float32") * np.float32(deviation))
    elif name == "seed_generator_state":
        variable.assign(rng.integers(2**31, size=shape, dtype=np.uint32))
    else:
        # As it was made: what is frozen for a while starts like what trains.
        return not any(variable is weight for weight in layer._trainable_variables)
    return True


def _fan_in(layer, name: str, shape: tuple[int, ...]) -> int:
    """Number of inputs that one output of a kernel sees."""
    if name == "depthwise_kernel" or isinstance(layer, _DEPTHWISE):
        # (*window, channels, multiplier): each output sees one channel.
        return math.prod(shape[:-2])
    if isinstance(layer, TRANSPOSED):
        # (*window, outputs, inputs).
        return math.prod(shape[:-2]) * shape[-1]
    if isinstance(layer, keras.layers.EinsumDense):
        # Of "ab,bc->ac", the axes of bc that are summed over.
        kernel, outputs = layer.equation.split(",")[1].split("->")
        return math.prod(size for axis, size in zip(kernel, shape, strict=True) if axis not in outputs)
    return math.prod(shape[:-1])


def _assign_by_own_initialiser(layer, variables: list, rng):
    """Gives variables the values that they have in a new layer of the same configuration."""
    with _seeded(int(rng.integers(2**31))) as seed:
        fresh = made_again(layer, change=lambda config: _with_seeds(config, seed))
        fresh.build_from_config(layer.get_build_config())
    if len(fresh.variables) != len(layer.variables):
        names = ", ".join(variable.name for variable in variables)
        raise ValueError(
            f"Layer `{layer.name}` ({type(layer).__name__}) has weights ({names}) that kdefrost can only re-initialise "
            "by making the layer anew, and that gives other weights; cut after it, or replace the layer."
        )
    values = {id(old): new for old, new in zip(layer.variables, fresh.variables, strict=True)}
    for variable in variables:
        variable.assign(values[id(variable)])


@contextlib.contextmanager
def _seeded(seed: int):
    """Python's generator, from which Keras seeds initialisers that have no seed, started anew."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield seed
    finally:
        random.setstate(state)


def _with_seeds(config, seed: int):
    """A configuration in which every initialiser that has a seed has another one."""
    if isinstance(config, dict):
        return {key: seed if key == "seed" else _with_seeds(value, seed) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_with_seeds(value, seed) for value in config)
    return config
