"""Precision: in which numbers layers compute, and in which a new output layer does."""

import keras

from kdefrost.cutting.graph import has_graph

_HALF = ("float16", "bfloat16")


def computes_in_float16(model: keras.Model) -> bool:
    """Whether some layer of a model does: gradients that are small are lost in it."""
    # A graph of layers and an input have policies of their own, by which nothing is computed.
    idle = keras.layers.InputLayer
    layers = (layer for layer in model._flatten_layers() if not has_graph(layer) and not isinstance(layer, idle))
    return any(layer.compute_dtype == "float16" for layer in layers)


def in_full(policy: str) -> str:
    """A dtype policy for probabilities and losses, which lose digits in half precision: float32 in its place."""
    return "float32" if policy.removeprefix("mixed_") in _HALF else policy


def policy_of(operation: keras.Operation, dtype: str) -> str:
    """The name of a layer's dtype policy, without quantisation; of what is no layer, that of its outputs' dtype."""
    compute = getattr(operation, "compute_dtype", dtype)
    variables = getattr(operation, "variable_dtype", compute)
    return compute if compute == variables else f"mixed_{compute}"
