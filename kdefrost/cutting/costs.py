"""What a layer costs and what of it is learnt to compute with, by a rule for each class of layer."""

import inspect
import math

import keras

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
_CONVOLUTIONAL_RECURRENT = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
# Their weights scale, shift or bend each number by itself, whatever number of axes they have.
ELEMENTWISE = (*NORMALIZATIONS, keras.layers.Normalization, keras.layers.PReLU)


def kernels(operation: keras.Operation) -> list:
    """The kernels and tables of a layer, which make it one to freeze.

    Args:
        operation: A layer, or an operation, which has none.

    Returns:
        The weights of two axes or more, those of layers inside it included. The table of an embedding is
        among them, and so is a weight of a layer of the user's own; scale, offset and statistics of a
        normalisation and the slopes of a PReLU are not, whatever number of axes they have.
    """
    if not isinstance(operation, keras.layers.Layer):
        return []
    apart = _weights_of(operation, ELEMENTWISE)
    return [weight for weight in operation.weights if len(weight.shape) >= 2 and id(weight) not in apart]


def multiply_adds(operation: keras.Operation, args: tuple, kwargs: dict, outputs: list) -> int:
    """Multiply-adds that one call of a layer takes for one example.

    Counted are products with weights, and in attention layers those of queries, keys and values. A
    convolution has its whole window at every place, at borders too. An embedding only looks up: 0. So
    is what normalises by kept statistics (`BatchNormalization`, `Normalization`): its scale and offset are constants
    that a kernel beside it can take in. The other normalisations and PReLU take one for each number of their
    output. Biases, and operations and other layers without weights, take none.

    A layer without a rule is taken to apply each of its kernels once at each position of its first output, also
    those of layers inside it; a weight of its own that fits the output axis by axis, as an embedding of
    positions does, once to each number.

    Args:
        operation: The layer or operation.
        args: Its positional arguments; tensors are told by their shapes, which have the batch axis.
        kwargs: Its arguments by name.
        outputs: What it gives.

    Returns:
        The number.
    """
    if not isinstance(operation, keras.layers.Layer):
        return 0
    given = {}
    for name, value in inspect.signature(operation.call).bind(*args, **kwargs).arguments.items():
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(value) if hasattr(tensor, "shape")]
        if shapes:
            given[name] = shapes
    return _cost(operation, given, tuple(outputs[0].shape))


def _cost(layer, given: dict[str, list[tuple]], made: tuple) -> int:
    """Of shapes by argument and the shape of the first output."""
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        return _of_model(layer)
    rules = (_RULES.get(cls) for cls in type(layer).__mro__)
    return next(filter(None, rules), _at_each_position)(layer, given, made)


def _of_model(model) -> int:
    by_depth = keras.Model(model.inputs, model.outputs)._nodes_by_depth
    nodes = [node for depth in by_depth.values() for node in depth if not node.is_input]
    calls = [(node.operation, node.arguments.args, node.arguments.kwargs, node.output_tensors) for node in nodes]
    return sum(multiply_adds(*call) for call in calls)


def _nothing(layer, given, made) -> int:
    return 0


def _each_number(layer, given, made) -> int:
    return _size(made)


def _dense(layer, given, made) -> int:
    return _size(made) * _first(given)[-1]


def _einsum(layer, given, made) -> int:
    """Of "abc,cd->abd": the product of b, c and d; a are the examples."""
    operands, result = layer.equation.replace(" ", "").split("->")
    examples, *axes = _letters(operands.split(",")[0], _first(given))
    sizes = dict(zip(_letters(result, made), made, strict=True)) | dict(zip(axes, _first(given)[1:], strict=True))
    return math.prod(size or 1 for axis, size in sizes.items() if axis != examples)


def _letters(subscripts: str, shape: tuple) -> str:
    """The axes by name, those that dots stand for by numbers."""
    return subscripts.replace("...", "0123456789"[: len(shape) - len(subscripts) + len("...")])


def _convolution(layer, given, made) -> int:
    return _size(made) * math.prod(layer.kernel_size) * (_channels(layer, _first(given)) // layer.groups)


def _transposed_convolution(layer, given, made) -> int:
    # It spreads every input, the others gather every output.
    return _size(_first(given)) * math.prod(layer.kernel_size) * layer.filters


def _depthwise_convolution(layer, given, made) -> int:
    return _size(made) * math.prod(layer.kernel_size)


def _separable_convolution(layer, given, made) -> int:
    between = _size(made) // layer.filters * _channels(layer, _first(given)) * layer.depth_multiplier
    return between * (math.prod(layer.kernel_size) + layer.filters)


def _either_way(layer, given, made) -> int:
    """Of an embedding that looks up, or goes back from features to a score of each word."""
    return _size(made) * _first(given)[-1] if len(made) == len(_first(given)) else 0


def _recurrent(layer, given, made) -> int:
    return (_first(given)[1] or 1) * _kernel_size(layer.cell)


def _convolutional_recurrent(layer, given, made) -> int:
    steps = _first(given)[1] or 1
    numbers = _size(made) // (steps if layer.return_sequences else 1)
    return steps * numbers // layer.cell.filters * _kernel_size(layer.cell)


def _both_ways(layer, given, made) -> int:
    return sum(_inside(part, _first(given)) for part in (layer.forward_layer, layer.backward_layer))


def _each_step(layer, given, made) -> int:
    batch, steps, *shape = _first(given)
    return (steps or 1) * _inside(layer.layer, (batch, *shape))


def _wrapped(layer, given, made) -> int:
    return _cost(layer.layer, given, made)


def _inside(layer, shape: tuple) -> int:
    """Of a layer that takes one tensor of a shape."""
    made = layer.compute_output_shape(shape)
    return _cost(layer, {"inputs": [shape]}, tuple(made[0] if isinstance(made[0], (tuple, list)) else made))


def _multi_head_attention(layer, given, made) -> int:
    query, key, value, scores = _attended(given, layer.attention_axes)
    heads, key_dim, value_dim = layer.num_heads, layer.key_dim, layer.value_dim
    projected = _size(query) * key_dim + _size(key) * key_dim + _size(value) * value_dim
    # The last projection goes from all heads to the output.
    projected += _size(made) * value_dim
    return heads * (projected + scores * (key_dim + value_dim))


def _group_query_attention(layer, given, made) -> int:
    query, key, value, scores = _attended(given, (1,))
    own, shared = layer.num_query_heads, layer.num_key_value_heads
    projected = own * (_size(query) + _size(made)) + shared * (_size(key) + _size(value))
    return layer.head_dim * (projected + 2 * own * scores)


def _attention(layer, given, made) -> int:
    query, value, key = (*given["inputs"], given["inputs"][1])[:3]
    return (query[1] or 1) * (value[1] or 1) * (key[-1] + value[-1])


def _attended(given, axes: tuple[int, ...]) -> tuple:
    """Shapes of query, key and value, and how many scores a head gives: each position of the one with those of the
    other along some axes."""
    query, value = given["query"][0], given["value"][0]
    key = given.get("key", [value])[0]
    return query, key, value, _size(query[:-1]) * math.prod(key[axis] or 1 for axis in axes)


def _at_each_position(layer, given, made) -> int:
    positions = _size(made) // (_channels(layer, made) or 1) if len(made) > 1 else 1
    inner = _weights_of(layer, keras.layers.Layer, include_self=False)
    elementwise = [w for w in _multiplied(layer) if id(w) not in inner and _fits(w.shape, made)]
    return positions * (_kernel_size(layer) - _numbers(elementwise)) + len(elementwise) * _size(made)


def _kernel_size(layer) -> int:
    return _numbers(_multiplied(layer))


def _multiplied(layer) -> list:
    """The kernels of a layer, without tables, which are looked up, and biases, which can have an axis for heads."""
    tables = _weights_of(layer, keras.layers.Embedding)
    return [weight for weight in kernels(layer) if weight.name != "bias" and id(weight) not in tables]


def _numbers(weights: list) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _weights_of(layer, classes, include_self: bool = True) -> set[int]:
    """Ids of the weights of those layers of some classes that a layer consists of."""
    parts = [part for part in layer._flatten_layers(include_self=include_self) if isinstance(part, classes)]
    return {id(variable) for part in parts for variable in part.variables}


def _fits(shape: tuple, made: tuple) -> bool:
    """Whether a weight's axes are those of one example, from the last one back, or 1."""
    pairs = zip(reversed(shape), (*reversed(made[1:]), 1), strict=False)
    return len(shape) <= len(made) and all(size in (1, other) for size, other in pairs)


def _channels(layer, shape: tuple) -> int:
    return shape[1] if getattr(layer, "data_format", None) == "channels_first" else shape[-1]


def _first(given: dict[str, list[tuple]]) -> tuple:
    return next(iter(given.values()))[0]


def _size(shape: tuple) -> int:
    """Numbers of one example; along an axis of any size one."""
    return math.prod(size or 1 for size in shape[1:])


_RULES = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    **dict.fromkeys((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), _convolution),
    **dict.fromkeys(TRANSPOSED, _transposed_convolution),
    **dict.fromkeys((keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D), _depthwise_convolution),
    **dict.fromkeys((keras.layers.SeparableConv1D, keras.layers.SeparableConv2D), _separable_convolution),
    keras.layers.Embedding: _nothing,
    keras.layers.ReversibleEmbedding: _either_way,
    # LSTM, GRU and SimpleRNN are RNNs.
    keras.layers.RNN: _recurrent,
    **dict.fromkeys(_CONVOLUTIONAL_RECURRENT, _convolutional_recurrent),
    keras.layers.Bidirectional: _both_ways,
    keras.layers.TimeDistributed: _each_step,
    keras.layers.Wrapper: _wrapped,
    keras.layers.MultiHeadAttention: _multi_head_attention,
    keras.layers.GroupQueryAttention: _group_query_attention,
    **dict.fromkeys((keras.layers.Attention, keras.layers.AdditiveAttention), _attention),
    **dict.fromkeys(ELEMENTWISE, _each_number),
    **dict.fromkeys((keras.layers.BatchNormalization, keras.layers.Normalization), _nothing),
}
