"""What a model must begin and end in: one input and one output, and how a model with more gets there."""

import math

from kdefrost.cutting.graph import Graph


def check_ends(graph: Graph):
    """Refuses a model with several inputs or outputs, and says what to do.

    Args:
        graph: The model's graph.

    Raises:
        ValueError: If it has.
    """
    check_input(graph)
    if len(graph.outputs) != 1:
        raise ValueError(
            f"`model` must have one input and one output. Received {len(graph.outputs)} outputs. Take the one that is "
            "to be learnt from, here the first: model = keras.Model(model.inputs, model.outputs[0])."
        )


def check_input(graph: Graph):
    """Refuses a model with several inputs, and says how to make one of them."""
    inputs = graph.inputs
    if len(inputs) == 1:
        return
    named = ", ".join(f"{tensor.reference[0]} {tensor.shape[1:]}" for tensor in inputs)
    raise ValueError(
        f"`model` must have one input and one output. Received {len(inputs)} inputs: {named}. {_joining(inputs)}"
    )


def _joining(inputs: list) -> str:
    """How to put one input, of vectors, before several, as code."""
    sizes = [math.prod(size or 0 for size in tensor.shape[1:]) for tensor in inputs]
    if not all(sizes) or any(tensor.dtype == "string" for tensor in inputs):
        return "Make a model of one input that divides it among them."
    ends = [sum(sizes[:count]) for count in range(1, len(sizes))]
    return (
        "Put one before them that is divided among them: "
        f"whole = keras.Input(({sum(sizes)},)); pieces = keras.ops.split(whole, {ends}, axis=1); "
        "pieces = [keras.ops.cast(keras.ops.reshape(piece, (-1, *each.shape[1:])), each.dtype) "
        "for piece, each in zip(pieces, model.inputs)]; model = keras.Model(whole, model(pieces)). "
        "Its examples are x = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1), of the parts "
        "that each input took."
    )
