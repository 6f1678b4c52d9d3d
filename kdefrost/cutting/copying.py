"""Copies of parts of a graph: the same layer calls on other tensors."""

from collections.abc import Mapping

import keras

from kdefrost.cutting.graph import Graph, Tensor, unused


def replay(
    graph: Graph,
    start: list[Tensor],
    replacements: list,
    stop: list[Tensor],
    substitutes: Mapping[type, type] | None = None,
    taken: set[str] | None = None,
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

    Returns:
        The Keras tensors in the place of `stop`.

    Raises:
        ValueError: If a layer cannot be copied.
    """
    substitutes, taken = substitutes or {}, set() if taken is None else taken
    known = dict(zip(start, replacements, strict=True))
    copies = {}
    for call in graph.between(start, stop):
        if call.name not in copies:
            name = unused(call.name, taken, "tail_")
            taken.add(name)
            copies[call.name] = (copy_layer(call.operation, name, substitutes), call.operation)
        args, kwargs = keras.tree.map_structure(
            lambda value: known[value] if isinstance(value, Tensor) else value, (call.args, call.kwargs)
        )
        made = keras.tree.flatten(copies[call.name][0](*args, **kwargs))
        known.update(zip(call.outputs, made, strict=True))
    for new, old in copies.values():
        for to, of in zip(getattr(new, "variables", []), getattr(old, "variables", []), strict=True):
            to.assign(of)
        if hasattr(new, "finalize_state"):
            # A preprocessing layer computes with constants that it makes of its statistics.
            new.finalize_state()
    return [known[tensor] for tensor in stop]


def input_like(tensor: Tensor):
    """A new Keras input in the place of a tensor."""
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.reference[0])


def copy_layer(layer, name: str, substitutes: Mapping[type, type] | None = None):
    """A new layer or operation with the configuration of another, of its class or the class's substitute."""
    cls = (substitutes or {}).get(type(layer), type(layer))
    # A function that is in memory already is as safe as the model that holds it.
    trusted = {"safe_mode": False} if isinstance(layer, keras.layers.Lambda) else {}
    try:
        copy = cls.from_config(layer.get_config(), **trusted)
    # A layer of the user's own ends in whatever its constructor raises.
    except Exception as error:
        raise ValueError(
            f"Layer `{layer.name}` ({type(layer).__name__}) cannot be copied from its configuration ({error}); its "
            "`get_config` must return all arguments of its constructor."
        ) from error
    copy.name = name
    return copy
