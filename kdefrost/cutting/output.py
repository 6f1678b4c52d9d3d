"""Which layer is a model's output layer: whether it gives answers, or ends in features for others to go on from."""

import keras

from kdefrost.cutting.graph import Call, Graph, function_name, gives_probabilities

# What states answers in other units or another shape.
_RESTATING = (keras.layers.Rescaling, keras.layers.Reshape, keras.layers.Flatten, keras.layers.Identity)
_ARITHMETIC = ("Add", "Cast", "Divide", "Multiply", "Negative", "Reshape", "Squeeze", "Subtract", "TrueDivide")


def read_output(graph: Graph, features: bool | None) -> bool:
    """Whether a model ends in features, as said or else concluded.

    A model gives answers where its last kernel is a dense layer without activation, or of one unit, and what comes
    after it, if anything, only changes units or shape (`Rescaling`, `Reshape`, arithmetic with constants); or where
    it ends in a softmax or sigmoid. All must go through that layer, and what comes out is one vector of an example.
    Else it ends in features: in a dense layer with a ReLU or another activation, in dropout, in a normalisation or
    `UnitNormalization`, in a pooling, in features with positions.

    Args:
        graph: The graph of the model.
        features: What is said; `None` to conclude.

    Returns:
        Whether it ends in features.

    Raises:
        ValueError: If `features` is none of these, or is False of a model that has no output layer.
    """
    if not isinstance(features, (bool, type(None))):
        raise ValueError(f"`features` must be True, False or None. Received: features={features!r}")
    if features is None:
        return not _gives_answers(graph)
    if not features and _last_kernel(graph) is None:
        raise ValueError(
            "`features` must be True or None for a model that can have no output layer: to be one, its last layer "
            "with a kernel must have all go through it, and the model give one vector of an example. Received: "
            "features=False"
        )
    return features


def output_position(graph: Graph) -> int:
    """Position of the output layer, the last with a kernel; that after the last call where a model ends in features.

    Args:
        graph: The graph; where its `features` is None, it is concluded.

    Returns:
        The position among its calls.
    """
    return len(graph.calls) if read_output(graph, graph.features) else _last_kernel(graph)


def _last_kernel(graph: Graph) -> int | None:
    """Position of the last layer with a kernel, where it can be an output layer."""
    position = max((place for place, call in enumerate(graph.calls) if call.kernels), default=None)
    if position is None or len(graph.outputs[0].shape) != 2:
        return None
    return position if graph.crossing()[position + 1] == graph.calls[position].outputs else None


def _gives_answers(graph: Graph) -> bool:
    position = _last_kernel(graph)
    if position is None:
        return False
    output, *after = graph.calls[position:]
    while after and _restates(after[-1]):
        after.pop()
    if _gives_probabilities(after[-1] if after else output):
        return True
    activation = getattr(output.operation, "activation", None)
    plain = not after and activation is keras.activations.linear
    # One number is no vector of features.
    return isinstance(output.operation, keras.layers.Dense) and (plain or graph.outputs[0].shape[-1] == 1)


def _gives_probabilities(call: Call) -> bool:
    in_logarithms = type(call.operation).__name__ == "LogSoftmax"
    return in_logarithms or function_name(call.operation) == "log_softmax" or gives_probabilities(call.operation)


def _restates(call: Call) -> bool:
    with_constant = type(call.operation).__name__ in _ARITHMETIC and len(call.inputs) == 1
    is_linear = getattr(call.operation, "activation", None) is keras.activations.linear and not call.kernels
    return with_constant or is_linear or isinstance(call.operation, _RESTATING)
