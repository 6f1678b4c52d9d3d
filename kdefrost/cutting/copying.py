"""Copies of parts of a graph: the same layer calls on other tensors."""

import re
import weakref
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from kdefrost.cutting.graph import Call, Graph, Tensor, unused
from kdefrost.cutting.layers import (
    Borrowed,
    Uncopyable,
    carry_state,
    copy_layer,
    has_quantized,
    is_plain,
    stateless,
)
from kdefrost.cutting.masks import is_masked_already, masked
from kdefrost.cutting.objects import held, is_own

# Layers whose copies compute the same, and these copies: each is looked at once.
_SAME: "weakref.WeakSet[keras.Operation]" = weakref.WeakSet()


def replay(
    graph: Graph,
    start: list[Tensor],
    replacements: list,
    stop: list[Tensor],
    substitutes: Mapping[type, type] | None = None,
    taken: set[str] | None = None,
    trains: bool = False,
) -> list:
    """Calls copies of the layers between two sets of tensors on new tensors.

    Args:
        graph: The graph.
        start: Where the replay begins.
        replacements: Keras tensors in the place of `start`.
        stop: Where it ends.
        substitutes: Layer classes by those that they replace; both have the same
            configuration and variables.
        taken: Names that the copies must not have; theirs are added.
        trains: Whether the copies are to be trained, all of them. Of those that are not, a layer that cannot be
            copied is borrowed.

    Returns:
        The Keras tensors in the place of `stop`.

    Raises:
        ValueError: If the copies are to be trained and a layer cannot be copied.
    """
    substitutes, taken = substitutes or {}, set() if taken is None else taken
    known = dict(zip(start, replacements, strict=True))
    copies: dict[str, keras.Operation] = {}
    for call in graph.between(start, stop):
        given = _replaced(call, masked(call, known, is_whole=set(start) == set(graph.inputs)))
        if is_masked_already(call, given):
            outputs = given[0][0]
        elif call.name not in copies:
            name = unused(call.name, taken, "tail_")
            taken.add(name)
            copies[call.name], outputs = _first_call(call, given, name, substitutes, trains)
        else:
            outputs = _on(copies[call.name], given)
        known.update(zip(call.outputs, keras.tree.flatten(outputs), strict=True))
    return [known[tensor] for tensor in stop]


def _replaced(call: Call, known: Mapping) -> tuple[tuple, dict]:
    """The arguments of a call with something else in the place of each tensor."""
    return keras.tree.map_structure(
        lambda value: known[value] if isinstance(value, Tensor) else value, (call.args, call.kwargs)
    )


def _on(operation, given: tuple[tuple, dict]):
    args, kwargs = given
    return operation(*args, **kwargs)


def _first_call(call: Call, given: tuple[tuple, dict], name: str, substitutes: Mapping, trains: bool) -> tuple:
    """A copy of a call's layer with its weights, and what it makes of tensors."""
    try:
        copy = copy_layer(call.operation, name, substitutes, trains)
        outputs = _computing(call, copy, given, trains)
        # Of one that is no longer quantised nothing is the same to the last digit.
        if has_quantized(copy) or (_may_differ(call.operation) and not has_quantized(call.operation)):
            _check_same(call, copy)
    except Uncopyable:
        if trains:
            raise
        copy = Borrowed(call.operation, name) if isinstance(call.operation, keras.Layer) else call.operation
        outputs = _on(copy, given)
    return copy, outputs


def _computing(call: Call, copy: keras.Operation, given: tuple[tuple, dict], trains: bool):
    """What a copy of a call's layer makes of tensors, which builds it, with the weights of that."""
    try:
        outputs = _on(copy, given)
        carry_state(call.operation, copy, trains)
        return outputs
    except Uncopyable:
        raise
    # A layer made again from too little ends in whatever its `build` or `call` raises.
    except Exception as error:
        raise Uncopyable(call.operation, f"what its `get_config` makes does not compute ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What an error says; Keras has it, in bold, among what it was called with."""
    said = re.search("\x1b\\[1m(.*?)\x1b\\[0m", str(error), re.DOTALL)
    return said[1].strip().splitlines()[-1] if said else (str(error).strip() or type(error).__name__).splitlines()[0]


def _may_differ(operation) -> bool:
    """Whether a copy can compute something else, because a configuration is the user's."""
    return is_own(operation) or any(isinstance(each, type) for each in held(operation))


def try_to_copy(call: Call):
    """Makes a copy of a call's layer to train, built only where that could fail, and lets go of it.

    Args:
        call: The call.

    Raises:
        ValueError: If it cannot be copied; the error is an `Uncopyable`.
    """
    if is_plain(call.operation):
        copy_layer(call.operation, call.name, trains=True)
        return
    taken = {tensor: keras.KerasTensor(tensor.shape, tensor.dtype) for tensor in call.inputs}
    _first_call(call, _replaced(call, taken), call.name, {}, trains=True)


def _check_same(call: Call, copy: keras.Operation):
    """Refuses a copy that computes something else: its configuration does not tell all."""
    rng = np.random.default_rng(0)
    if call.operation in _SAME:
        _SAME.add(copy)
    if call.operation in _SAME or any(tensor.dtype == "string" for tensor in call.inputs):
        return
    sample = {tensor: _random(tensor, rng) for tensor in call.inputs}
    given = _replaced(call, sample)
    try:
        first = _computed(call.operation, given)
    # A layer of the user's own may take other numbers only.
    except Exception:
        return
    try:
        copied = _computed(copy, given)
    # What the original computes and the copy does not.
    except Exception as error:
        raise Uncopyable(call.operation, f"what its `get_config` makes does not compute ({_reason(error)})") from error
    # One that draws numbers differs from itself too.
    if not _are_equal(first, copied) and _are_equal(first, _computed(call.operation, given)):
        raise Uncopyable(call.operation, "the copy computes something else; `get_config` leaves something out")
    _SAME.update([call.operation, copy])


def _computed(operation, given: tuple[tuple, dict]) -> list[np.ndarray]:
    """What a layer makes of tensors in inference mode, and stays as it is."""
    args, kwargs = given
    outputs = (
        stateless(operation, operation.variables, *args, **kwargs) if _has_state(operation) else _on(operation, given)
    )
    return [np.asarray(output, np.float64) for output in keras.tree.flatten(outputs)]


def _has_state(operation) -> bool:
    return isinstance(operation, keras.layers.Layer)


def _are_equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return [a.shape for a in some] == [b.shape for b in others] and all(
        np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in zip(some, others, strict=True)
    )


def _random(tensor: Tensor, rng: np.random.Generator) -> tf.Tensor:
    """An example: numbers, or the first of the places in a table."""
    largest = 1.0 if tensor.dtype.startswith(("float", "bfloat")) else 2.0
    return tf.cast(rng.uniform(0, largest, (1, *(size or 1 for size in tensor.shape[1:]))), tensor.dtype)


def input_like(tensor: Tensor, taken: set[str]):
    """A new Keras input for batches of any size in the place of a tensor.

    Args:
        tensor: The tensor.
        taken: Names that the input must not have; its own is added.
    """
    layer, call, output = tensor.reference
    name = unused(layer, taken) if layer not in taken else unused(f"{layer}_{call}_{output}", taken)
    taken.add(name)
    return keras.Input(shape=tensor.shape[1:], dtype=tensor.dtype, name=name)
