"""Which axis of a tensor has the channels: what the layers around it say, each for itself."""

import keras

from kdefrost.cutting.graph import Call, Graph, Tensor

CHANNELS_FIRST, CHANNELS_LAST = "channels_first", "channels_last"
# They compute along the last axis, and each by itself along the others.
_ALONG_THE_LAST = (
    keras.layers.Bidirectional,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.RNN,
)

# They have one axis, which is that of the channels.
_ALONG_ITS_AXIS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization)


def data_format_of(graph: Graph, tensor: Tensor) -> str:
    """Whether the channels of what a model makes are its first or its last axis.

    The last layer that leads there and says so decides, whatever Keras's own setting is; where none says it, the
    setting does.

    Args:
        graph: The graph of the model.
        tensor: A tensor with positions.

    Returns:
        `"channels_first"` or `"channels_last"`.
    """
    axes: dict[Tensor, int | None] = {}
    for call in graph.between(graph.inputs, [tensor]):
        known = [axes[made] for made in call.inputs if axes.get(made) is not None]
        axis = _axis_after(call, known[0] if known else None)
        axes.update(dict.fromkeys(call.outputs, axis))
    return _as_format(axes.get(tensor))


def input_format_of(graph: Graph) -> str:
    """Whether the channels of the images that a model takes are their first or their last axis.

    Args:
        graph: The graph of the model.

    Returns:
        `"channels_first"` or `"channels_last"`, as its first layer that says so has it.
    """
    for call in graph.calls:
        axis = _axis_after(call, None)
        # After a permutation the axes are not the images'.
        if axis is not None or _order(call):
            return _as_format(axis)
    return keras.config.image_data_format()


def _as_format(axis: int | None) -> str:
    if axis is None:
        return keras.config.image_data_format()
    return CHANNELS_FIRST if axis == 1 else CHANNELS_LAST


def _axis_after(call: Call, axis: int | None) -> int | None:
    """The axis of the channels after a call, from that before it; `None` where it is not known."""
    layer, rank = call.operation, len(call.outputs[0].shape)
    if isinstance(layer, keras.layers.SpectralNormalization):
        layer = layer.layer
    said = getattr(layer, "data_format", None)
    if rank < 3:
        return None
    if said is not None:
        return 1 if said == CHANNELS_FIRST else rank - 1
    if isinstance(layer, _ALONG_THE_LAST):
        return rank - 1
    if axis is not None:
        return _moved(call, axis)
    return layer.axis % rank if isinstance(layer, _ALONG_ITS_AXIS) else None


def _moved(call: Call, axis: int) -> int | None:
    """Where a call that says nothing of channels puts their axis."""
    order, before, after = _order(call), call.inputs[0].shape, call.outputs[0].shape
    if order:
        return order.index(axis)
    if axis == len(before) - 1:
        return len(after) - 1
    return axis if axis < len(after) and before[axis] == after[axis] else None


def _order(call: Call) -> tuple[int, ...] | None:
    """How a call permutes the axes; `None` where it does not."""
    if isinstance(call.operation, keras.layers.Permute):
        return (0, *call.operation.dims)
    if type(call.operation).__name__ != "Transpose":
        return None
    return tuple(call.operation.axes or reversed(range(len(call.outputs[0].shape))))
