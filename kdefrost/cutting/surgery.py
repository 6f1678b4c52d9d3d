"""The models on both sides of a cut and between two cuts, and joining them."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kdefrost.cutting.channels import data_format_of
from kdefrost.cutting.copying import input_like, replay
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points, cuttable, find
from kdefrost.cutting.graph import Graph, Tensor, has_graph, unused
from kdefrost.cutting.initialization import adapted_weights, reinitialize
from kdefrost.cutting.layers import copy_layer
from kdefrost.cutting.output import output_position
from kdefrost.cutting.precision import in_full, policy_of

_POOLING = {
    3: keras.layers.GlobalAveragePooling1D,
    4: keras.layers.GlobalAveragePooling2D,
    5: keras.layers.GlobalAveragePooling3D,
}


def split(
    model: keras.Model,
    cut: Cut | int | str,
    output: "int | keras.layers.Layer | None" = None,
    seed: int | Sequence[int] | None = None,
    features: bool | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Makes the models on both sides of a cut: the frozen extractor and the tail.

    Both are new models of new layers with their own weights; whatever is done to them
    leaves `model` as it is. A layer that the model calls with `training=False` is called
    without: a tail that trains anew needs its statistics.

    Args:
        model: The model that `cut` is from.
        cut: One of `cut_points(model)`, or its index or layer name.
        output: What follows the features that the old output layer took, or in which the model
            ends: a number of classes, for a dense layer with softmax, of the dtype policy of the
            model's output; a layer; or a small Keras model. Where these features have positions, a
            layer gets their mean over positions, a model gets them as they are. `None` keeps the
            old output layer.
        seed: Seed, or sequence of seeds, of the tail's new weights; see `reinitialize`.
            `None` keeps the model's weights, except in a new output layer.
        features: Whether the model ends in features, after which the new output comes; by default as
            `cut` has it, for an index or a name as concluded; see `cut_points`.

    Returns:
        `(extractor, tail)`. The extractor's layers are not trainable, the tail's all are.
        Where several tensors cross the cut, the extractor gives and the tail takes a list.

    Raises:
        ValueError: If `cut` is not of `model`, or `output` is none of these or does not fit, or `features` is not
            what `cut` has.

    Example:

    >>> source = kdefrost.wide_resnet(10, 1, classes=10)
    >>> cut = kdefrost.cut_points(source)[2]
    >>> extractor, tail = kdefrost.split(source, cut, output=3, seed=0)
    >>> extractor.output.shape, tail.input.shape, tail.output.shape
    ((None, 32, 32, 16), (None, 32, 32, 16), (None, 3))
    """
    (cut,) = cut_points(model, [cut], features)
    graph = cuttable(model, cut.features)
    extractor = _copy(graph, graph.inputs, find(graph, cut), name="extractor")
    extractor.trainable = False
    return extractor, tail_of(model, cut, output, seed)


def tail_of(
    model: keras.Model,
    cut: Cut,
    output: "int | keras.layers.Layer | None" = None,
    seed: int | Sequence[int] | None = None,
    substitutes: Mapping[type, type] | None = None,
) -> keras.Model:
    """Makes the model after a cut alone; see `split`, whose second result it has.

    Args:
        model: As for `split`.
        cut: As for `split`.
        output: As for `split`.
        seed: As for `split`.
        substitutes: Layer classes by those that they replace; both have the same
            configuration and variables.

    Returns:
        The tail.
    """
    graph = cuttable(model, cut.features)
    if output is None:
        tail = _copy(graph, find(graph, cut), graph.outputs, "tail", substitutes, trains=True)
    else:
        tail = _with_new_output(graph, find(graph, cut), output, substitutes)
    _train_all(tail)
    if seed is not None:
        reinitialize(tail, seed)
    return tail


def features_after(model: keras.Model, cut: Cut, substitutes: Mapping[type, type] | None = None) -> keras.Model:
    """Makes a tail without its output layer: it gives the vector that a new output layer takes.

    Args:
        model: As for `split`.
        cut: As for `split`.
        substitutes: As for `tail_of`.

    Returns:
        A new model of new layers with the weights of `model`, all of them trainable. Where the features before the
        output layer have positions, it ends in their mean over these.
    """
    graph = cuttable(model, cut.features)
    names: set[str] = set()
    inputs = [input_like(tensor, names) for tensor in find(graph, cut)]
    (before,) = _before_output(graph)
    (features,) = replay(graph, find(graph, cut), inputs, [before], substitutes, names, trains=True)
    style = unused("pool", names), _output_policy(graph), data_format_of(graph, before)
    tail = keras.Model(_single(inputs), _averaged(features, *style), name="features")
    _train_all(tail)
    return tail


def output_policy(model: keras.Model, features: bool | None = None) -> str:
    """The dtype policy of a new output layer: that of the old one, float32 where there is none in full precision.

    Args:
        model: A functional or sequential model.
        features: Whether it ends in features; by default as concluded.

    Returns:
        The policy's name.
    """
    return _output_policy(cuttable(model, features))


def _output_policy(graph: Graph) -> str:
    if not graph.calls:
        return in_full(keras.config.dtype_policy().name)
    # What ends the model, not the layer with the kernel: in half precision a softmax of float32 often follows it.
    policy = policy_of(graph.calls[-1].operation, graph.outputs[0].dtype)
    return policy if _old_output(graph) else in_full(policy)


def kept_layers(model: keras.Model, cut: Cut, tail: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a tail that are copies of the source's; the others are its new output.

    Args:
        model: The source.
        cut: The cut.
        tail: What `tail_of` made after it, with a new output.

    Returns:
        The layers.
    """
    graph = cuttable(model, cut.features)
    copied = _copy(graph, find(graph, cut), _before_output(graph), name="features")
    names = {layer.name for layer in copied.layers}
    return [layer for layer in tail.layers if layer.name in names]


def segment(model: keras.Model, start: Cut, stop: Cut) -> keras.Model:
    """Makes the model between two cuts, which turns features at one into features at the other.

    Args:
        model: The model that the cuts are from.
        start: The earlier cut.
        stop: The later cut.

    Returns:
        A new model of new layers with the weights of `model`, none of them trainable.
    """
    graph = cuttable(model)
    between = _copy(graph, find(graph, start), find(graph, stop), name="segment")
    between.trainable = False
    return between


def join(extractor: keras.Model, tail: keras.Model) -> keras.Model:
    """Joins an extractor and a tail to one model.

    Args:
        extractor: A model whose outputs are what `tail` takes.
        tail: The model that goes on from there.

    Returns:
        A new functional model of new layers, with the weights of both and the input of
        `extractor`. Models nested in either are opened up.

    Raises:
        ValueError: If the shapes do not fit.
    """
    front, back = Graph(extractor), Graph(tail)
    made, taken = ([t.shape[1:] for t in tensors] for tensors in (front.outputs, back.inputs))
    if not all(_fits(*shapes) for shapes in zip(made, taken, strict=False)) or len(made) != len(taken):
        raise ValueError(f"`tail` takes features of shape {taken}, but `extractor` gives {made}.")
    names: set[str] = set()
    inputs = [input_like(tensor, names) for tensor in front.inputs]
    features = replay(front, front.inputs, inputs, front.outputs, taken=names)
    outputs = replay(back, back.inputs, features, back.outputs, taken=names)
    return keras.Model(_single(inputs), _single(outputs), name=tail.name)


def _copy(
    graph: Graph, start: list[Tensor], stop: list[Tensor], name: str, substitutes=None, trains: bool = False
) -> keras.Model:
    """A new model of new layers from the tensors `start` to the tensors `stop`."""
    names: set[str] = set()
    inputs = [input_like(tensor, names) for tensor in start]
    outputs = replay(graph, start, inputs, stop, substitutes, names, trains)
    return keras.Model(_single(inputs), _single(outputs), name=name)


def _with_new_output(graph: Graph, start: list[Tensor], output, substitutes) -> keras.Model:
    old = _old_output(graph)
    names: set[str] = set()
    inputs = [input_like(tensor, names) for tensor in start]
    (before,) = _before_output(graph)
    (features,) = replay(graph, start, inputs, [before], substitutes, names, trains=True)
    style = _output_policy(graph), data_format_of(graph, before)
    new = _attach(output, features, old.name if old else "output", names, *style)
    return keras.Model(_single(inputs), new, name="tail")


def _old_output(graph: Graph):
    """The call of the source's output layer; `None` where it ends in features."""
    position = output_position(graph)
    return graph.calls[position] if position < len(graph.calls) else None


def _before_output(graph: Graph) -> list[Tensor]:
    """What a new output layer takes."""
    old = _old_output(graph)
    return old.inputs if old else graph.outputs


def _attach(output, features, default_name: str, names: set[str], policy: str, data_format: str):
    """The output of a new output layer, or small model, on features."""
    if has_graph(output):
        head = Graph(output)
        if len(head.inputs) != 1 or not _fits(features.shape[1:], head.inputs[0].shape[1:]):
            raise ValueError(
                f"`output` takes {[tensor.shape[1:] for tensor in head.inputs]}, but the features before it have the "
                f"shape {tuple(features.shape[1:])}."
            )
        return _single(replay(head, head.inputs, [features], head.outputs, taken=names))
    layer = _output_layer(output, default_name, names, policy)
    return layer(_averaged(features, f"{layer.name}_pool", policy, data_format))


def _averaged(features, name: str, policy: str, data_format: str):
    """The mean of features over their positions, where they have any."""
    if len(features.shape) not in _POOLING:
        return features
    return _POOLING[len(features.shape)](data_format, name=name, dtype=policy)(features)


def _output_layer(output, default_name: str, names: set[str], policy: str) -> keras.layers.Layer:
    if isinstance(output, keras.layers.Layer):
        return copy_layer(output, unused(output.name, names, "new_"))
    if isinstance(output, bool) or not isinstance(output, (int, np.integer)) or output < 1:
        raise ValueError(
            "`output` must be a number of classes, at least 1, a layer, a functional or sequential model, or None. "
            f"Received: output={output!r}"
        )
    return keras.layers.Dense(int(output), activation="softmax", dtype=policy, name=default_name)


def _train_all(model: keras.Model):
    model.trainable = True
    for layer in model._flatten_layers(include_self=False):
        layer.trainable = True
        for weight in adapted_weights(layer):
            weight.trainable = False


def _fits(made: tuple, taken: tuple) -> bool:
    """Whether a tensor of one shape can go where another is taken, `None` being any size."""
    return len(made) == len(taken) and all(None in pair or pair[0] == pair[1] for pair in zip(made, taken, strict=True))


def _single(tensors: list):
    return tensors[0] if len(tensors) == 1 else tensors
