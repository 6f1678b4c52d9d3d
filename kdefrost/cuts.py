"""Where a model can be cut, and the models on both sides of a cut.

A cut is a set of tensors that separates the model's input from its output. Cuts come from
the graph of layer calls, not from the list `model.layers`, in which parallel branches
interleave. Nothing here changes the model that it is given: both sides of a cut are new
models of new layers.
"""

import dataclasses
import difflib
import math
from collections.abc import Sequence

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Cut:
    """A place between the layers of a model.

    Attributes:
        index: Position among all cuts of the model; 0 freezes nothing, the last leaves only
            the output layer to train.
        name: Name of the layer after which the cut lies.
        tensors: The tensors that cross, each as `(layer name, call, output)`: the layer
            that makes it, which of that layer's calls in the model, and which of the
            call's outputs.
        shapes: Their shapes, without the batch axis.
        frozen_layers: Number of layers with kernels before the cut, each as often as it is called.
        layers: Number of layers with kernels in the model, counted likewise.
        frozen_params: Number of weights before the cut.
        params: Number of weights in the model.
        tail_multiply_adds: Multiply-adds of one example's forward pass after the cut.
        multiply_adds: Multiply-adds of one example's forward pass through the model.
    """

    index: int
    name: str
    tensors: tuple[tuple[str, int, int], ...]
    shapes: tuple[tuple[int, ...], ...]
    frozen_layers: int
    layers: int
    frozen_params: int
    params: int
    tail_multiply_adds: int
    multiply_adds: int

    @property
    def feature_bytes(self) -> int:
        """Bytes of one example's features in float32."""
        return 4 * sum(math.prod(shape) for shape in self.shapes)

    @property
    def tail_share(self) -> float:
        """Share of the whole model's training cost that is left after the cut."""
        return self.tail_multiply_adds / self.multiply_adds

    @classmethod
    def from_dict(cls, values: dict) -> "Cut":
        """Makes a cut from what `dataclasses.asdict` and JSON made of it."""
        tensors = tuple(tuple(tensor) for tensor in values["tensors"])
        shapes = tuple(tuple(shape) for shape in values["shapes"])
        return cls(**{**values, "tensors": tensors, "shapes": shapes})


def cut_points(model: keras.Model, cuts: "str | int | Sequence[int | str | Cut]" = "blocks") -> list[Cut]:
    """Lists the places at which a model can be cut.

    Between two layers with kernels lie often several places that one tensor alone crosses
    (after a convolution, its normalisation, its activation). One cut stands for them: at
    the output of a merge of branches where there is one, else at the last tensor before
    the next kernel. The last cut lies right before the output layer.

    Args:
        model: A functional or sequential Keras model with one input and one output.
        cuts: `"blocks"` for every place that a single tensor crosses; a number to take so
            many of these, spread evenly by the training cost that they leave, both ends
            among them; or a list of cuts, of their indices, or of their layer names.

    Returns:
        A list of `Cut`, from the input to the output.

    Raises:
        ValueError: If the model cannot be cut, or `cuts` names one that does not exist.

    Example:

    >>> [cut.name for cut in kdefrost.cut_points(kdefrost.wide_resnet(10, 1))]
    ['image', 'conv1', 'group1_block1', 'group2_block1', 'pool']
    """
    graph = _Graph(model)
    if not any(_kernels(node.operation) for node in graph.nodes):
        raise ValueError(f"`model` has no layer with weights: there is nothing to freeze. Received: {model.name}")
    every = _blocks(graph)
    if isinstance(cuts, str) and cuts == "blocks":
        return every
    if isinstance(cuts, (int, np.integer)) and not isinstance(cuts, bool):
        return _spread(every, int(cuts))
    if isinstance(cuts, str) or not isinstance(cuts, Sequence):
        raise ValueError(f'`cuts` must be "blocks", a number, or a list of indices or layer names. Received: {cuts!r}')
    chosen = {_find(every, wanted).index for wanted in cuts}
    if not chosen:
        raise ValueError("`cuts` must name at least one cut. Received an empty list.")
    return [every[index] for index in sorted(chosen)]


def split(
    model: keras.Model, cut: Cut, output: int | None = None, seed: int | Sequence[int] | None = None
) -> tuple[keras.Model, keras.Model]:
    """Makes the models on both sides of a cut: the frozen extractor and the tail.

    Both are new models of new layers with their own weights; whatever is done to them
    leaves `model` as it is.

    Args:
        model: The model that `cut` is from.
        cut: One of `cut_points(model)`.
        output: Number of classes of a new output layer, a dense layer with softmax on the
            features that the old one took. `None` keeps the old output layer.
        seed: Seed, or sequence of seeds, of the tail's new weights; see `reinitialize`.
            `None` keeps the model's weights, except in a new output layer.

    Returns:
        `(extractor, tail)`. The extractor's layers are not trainable, the tail's all are.

    Raises:
        ValueError: If `cut` is not of `model`, or `output` is not a number of classes.

    Example:

    >>> source = kdefrost.wide_resnet(10, 1, classes=10)
    >>> cut = kdefrost.cut_points(source)[2]
    >>> extractor, tail = kdefrost.split(source, cut, output=3, seed=0)
    >>> extractor.output.shape, tail.input.shape, tail.output.shape
    ((None, 32, 32, 16), (None, 32, 32, 16), (None, 3))
    """
    graph = _Graph(model)
    extractor = _copy(graph, graph.inputs, graph.find(cut), name="extractor")
    extractor.trainable = False
    return extractor, tail_of(model, cut, output, seed)


def tail_of(
    model: keras.Model, cut: Cut, output: int | None = None, seed: int | Sequence[int] | None = None
) -> keras.Model:
    """Makes the model after a cut alone; see `split`, whose arguments and second result it has."""
    graph = _Graph(model)
    if output is None:
        tail = _copy(graph, graph.find(cut), graph.outputs, name="tail")
    else:
        tail = _tail_with_new_output(graph, cut, output)
    for layer in tail.layers:
        layer.trainable = True
    if seed is not None:
        reinitialize(tail, seed)
    return tail


def segment(model: keras.Model, start: Cut, stop: Cut) -> keras.Model:
    """Makes the model between two cuts, which turns features at one into features at the other.

    Args:
        model: The model that the cuts are from.
        start: The earlier cut.
        stop: The later cut.

    Returns:
        A new model of new layers with the weights of `model`, none of them trainable.
    """
    graph = _Graph(model)
    between = _copy(graph, graph.find(start), graph.find(stop), name="segment")
    between.trainable = False
    return between


def join(extractor: keras.Model, tail: keras.Model) -> keras.Model:
    """Joins an extractor and a tail to one model.

    Args:
        extractor: A model whose outputs are what `tail` takes.
        tail: The model that goes on from there.

    Returns:
        A new functional model of new layers, with the weights of both and the input of
        `extractor`.

    Raises:
        ValueError: If the shapes do not fit.
    """
    front, back = _Graph(extractor), _Graph(tail)
    made, taken = ([tuple(t.shape[1:]) for t in ts] for ts in (front.outputs, back.inputs))
    if made != taken:
        raise ValueError(f"`tail` takes features of shape {taken}, but `extractor` gives {made}.")
    inputs = [_like(tensor) for tensor in front.inputs]
    features = _replay(front, front.inputs, inputs, front.outputs)
    outputs = _replay(back, back.inputs, features, back.outputs)
    return keras.Model(_single(inputs), _single(outputs), name=tail.name)


def reinitialize(model: keras.Model, seed: int | Sequence[int]):
    """Gives all weights of a model new starting values, in place.

    Kernels are drawn from a normal distribution of variance 2 / fan-in (He et al., 2015,
    arXiv:1502.01852), biases are zero, normalisations are the identity. Statistics of a
    preprocessing layer stay as they are.

    Args:
        model: A model; its graph and compiled functions are kept.
        seed: Seed, or sequence of seeds, that fixes the values.

    Raises:
        ValueError: If a trainable weight is none of these.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.variables:
            value = _initial_value(layer, variable, rng)
            if value is not None:
                variable.assign(value)


_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_WITH_KERNEL = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    *_DEPTHWISE,
    *_TRANSPOSED,
)
_CONSTANTS = {"bias": 0.0, "beta": 0.0, "moving_mean": 0.0, "gamma": 1.0, "moving_variance": 1.0}


def _initial_value(layer, variable, rng):
    """The new value of one variable; `None` where the old one stays."""
    shape, name = tuple(variable.shape), variable.name
    if name in _CONSTANTS:
        return np.full(shape, _CONSTANTS[name], "float32")
    if name.endswith("kernel") and isinstance(layer, _WITH_KERNEL):
        fan_in = _fan_in(layer, name, shape)
        return rng.standard_normal(shape, "float32") * np.float32(math.sqrt(2 / fan_in))
    if name == "seed_generator_state":
        return rng.integers(2**31, size=shape, dtype=np.uint32)
    if variable.trainable:
        raise ValueError(
            f"Layer `{layer.name}` ({type(layer).__name__}) has a weight `{name}` that kdefrost has no rule to "
            "re-initialise; cut after it, or replace the layer."
        )
    return None


def _fan_in(layer, name: str, shape: tuple[int, ...]) -> int:
    """Number of inputs that one output of a kernel sees."""
    if name == "depthwise_kernel" or isinstance(layer, _DEPTHWISE):
        # (*window, channels, multiplier): each output sees one channel.
        return math.prod(shape[:-2])
    if isinstance(layer, _TRANSPOSED):
        # (*window, outputs, inputs).
        return math.prod(shape[:-2]) * shape[-1]
    return math.prod(shape[:-1])


class _Graph:
    """The layer calls of a functional model, in an order in which they can be computed."""

    def __init__(self, model: keras.Model):
        _check_cuttable(model)
        # A sequential model has no nodes of its own. A model between tensors that are real
        # inputs adds no node to any layer.
        functional = keras.Model(model.inputs, model.outputs)
        self.inputs, self.outputs = functional.inputs, functional.outputs
        by_depth = functional._nodes_by_depth
        ordered = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
        self.nodes = [node for node in ordered if not node.is_input]
        self.references = self._name_tensors(ordered)

    @staticmethod
    def _name_tensors(nodes) -> dict[int, tuple[str, int, int]]:
        calls, references = {}, {}
        for node in nodes:
            name = node.operation.name
            call = calls[name] = calls.get(name, -1) + 1
            references.update({id(t): (name, call, output) for output, t in enumerate(node.output_tensors)})
        return references

    def find(self, cut: Cut) -> list[keras.KerasTensor]:
        """The tensors of this model that cross a cut."""
        tensors = [*self.inputs, *(tensor for node in self.nodes for tensor in node.output_tensors)]
        by_reference = {self.references[id(tensor)]: tensor for tensor in tensors}
        found = [by_reference.get(reference) for reference in cut.tensors]
        if any(t is None or tuple(t.shape[1:]) != s for t, s in zip(found, cut.shapes, strict=True)):
            raise ValueError(f"Cut {cut.index} (`{cut.name}`) is not a cut of this model; take one of its cut_points.")
        return found

    def between(self, start, stop) -> list:
        """The calls that lead from the tensors `start` to the tensors `stop`."""
        reached, wanted, chosen = {id(t) for t in start}, {id(t) for t in stop}, []
        for node in reversed(self.nodes):
            if any(id(t) in wanted and id(t) not in reached for t in node.output_tensors):
                chosen.append(node)
                wanted.update(id(t) for t in node.input_tensors)
        return chosen[::-1]

    def output_layer(self):
        """The last call of a layer with a kernel."""
        return next(node for node in reversed(self.nodes) if _kernels(node.operation))


def _check_cuttable(model):
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ValueError(
            "`model` must be a functional or sequential Keras model that has been built; a subclassed model has no "
            f"graph of layers that could be cut. Received: {model} of type {type(model).__name__}"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"`model` must have one input and one output. Received {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs."
        )
    nested = next((layer.name for layer in model.layers if isinstance(layer, keras.Model)), None)
    if nested is not None:
        raise ValueError(
            f"`model` has the model `{nested}` as one of its layers, which hides the layers inside it from cutting; "
            "build it as one graph, by calling the inner model's layers on the tensors."
        )


def _kernels(operation) -> list:
    """The kernels of a layer: its weights of two axes or more, nested ones included."""
    return [weight for weight in getattr(operation, "weights", []) if len(weight.shape) >= 2]


def _multiply_adds(node) -> int:
    """Multiply-adds per example of one layer call: each kernel once per position."""
    # A transposed convolution spreads every input, the others gather every output.
    ends = node.input_tensors if isinstance(node.operation, _TRANSPOSED) else node.output_tensors
    positions = math.prod(size or 1 for size in ends[0].shape[1:-1])
    return positions * sum(math.prod(kernel.shape) for kernel in _kernels(node.operation))


def _blocks(graph: _Graph) -> list[Cut]:
    """One cut for each number of frozen kernels at which a single tensor crosses."""
    places = {}
    for position, tensor in _single_crossings(graph):
        frozen = sum(bool(_kernels(node.operation)) for node in graph.nodes[:position])
        places.setdefault(frozen, []).append((position, tensor))
    total = sum(bool(_kernels(node.operation)) for node in graph.nodes)
    places.pop(total, None)
    if 0 not in places:
        places[0] = [(0, graph.inputs[0])]
    chosen = [_representative(graph, places[frozen], frozen, total) for frozen in sorted(places)]
    return [_describe(graph, index, position, tensor) for index, (position, tensor) in enumerate(chosen)]


def _single_crossings(graph: _Graph):
    """Yields `(position, tensor)` for each position in the order that one tensor alone crosses."""
    last_use = {id(tensor): len(graph.nodes) for tensor in graph.outputs}
    for position, node in enumerate(graph.nodes):
        for tensor in node.input_tensors:
            last_use[id(tensor)] = max(position, last_use.get(id(tensor), 0))
    alive = {id(tensor): tensor for tensor in graph.inputs}
    for position, node in enumerate([*graph.nodes, None]):
        if len(alive) == 1:
            yield position, next(iter(alive.values()))
        if node is not None:
            alive.update({id(t): t for t in node.output_tensors if id(t) in last_use})
            alive = {key: tensor for key, tensor in alive.items() if last_use[key] > position}


def _representative(graph: _Graph, places: list, frozen: int, total: int):
    """The one of several places with the same kernels before them that stands for all."""
    if frozen == 0:
        return places[0]
    merges = [place for place in places if len(graph.nodes[place[0] - 1].input_tensors) > 1]
    return merges[-1] if merges and frozen < total - 1 else places[-1]


def _describe(graph: _Graph, index: int, position: int, tensor) -> Cut:
    before = {id(node.operation): node.operation for node in graph.nodes[:position]}
    whole = {id(node.operation): node.operation for node in graph.nodes}
    params = [sum(_size(operation) for operation in group.values()) for group in (before, whole)]
    reference = graph.references[id(tensor)]
    return Cut(
        index=index,
        name=reference[0],
        tensors=(reference,),
        shapes=(tuple(tensor.shape[1:]),),
        frozen_layers=sum(bool(_kernels(node.operation)) for node in graph.nodes[:position]),
        layers=sum(bool(_kernels(node.operation)) for node in graph.nodes),
        frozen_params=params[0],
        params=params[1],
        tail_multiply_adds=sum(_multiply_adds(node) for node in graph.nodes[position:]),
        multiply_adds=sum(_multiply_adds(node) for node in graph.nodes),
    )


def _size(operation) -> int:
    return sum(math.prod(weight.shape) for weight in getattr(operation, "weights", []))


def _spread(every: list[Cut], count: int) -> list[Cut]:
    """So many cuts, evenly spaced in the training cost that they leave, both ends among them."""
    if count < 2:
        raise ValueError(f"`cuts` as a number must be at least 2, for the two ends. Received: cuts={count}")
    if count >= len(every):
        return every
    inner, chosen = list(every[1:-1]), [every[0], every[-1]]
    for share in np.linspace(every[0].tail_share, every[-1].tail_share, count)[1:-1]:
        nearest = min(inner, key=lambda cut: abs(cut.tail_share - share))
        inner.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=lambda cut: cut.index)


def _find(every: list[Cut], wanted: int | str | Cut) -> Cut:
    """The cut with an index or a layer name."""
    if isinstance(wanted, Cut):
        wanted = wanted.name
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer, str)):
        raise ValueError(f"Each of `cuts` must be a cut, its index or its layer name. Received: {wanted!r}")
    by_key = {key: cut for cut in every for key in (cut.index, cut.name)}
    if wanted in by_key:
        return by_key[wanted]
    if isinstance(wanted, str):
        near = difflib.get_close_matches(wanted, [cut.name for cut in every], n=3, cutoff=0.0)
        nearest = ", ".join(f"`{name}` ({by_key[name].index})" for name in near)
    else:
        near = sorted(every, key=lambda cut: abs(cut.index - wanted))[:2]
        nearest = ", ".join(f"{cut.index} (`{cut.name}`)" for cut in sorted(near, key=lambda cut: cut.index))
    raise ValueError(f"There is no cut {wanted!r}: they run from 0 to {every[-1].index}. The nearest: {nearest}.")


def _tail_with_new_output(graph: _Graph, cut: Cut, classes: int) -> keras.Model:
    if isinstance(classes, bool) or not isinstance(classes, (int, np.integer)) or classes < 1:
        raise ValueError(f"`output` must be a number of classes, at least 1, or None. Received: output={classes!r}")
    old, crossing = graph.output_layer(), graph.find(cut)
    inputs = [_like(tensor) for tensor in crossing]
    (features,) = _replay(graph, crossing, inputs, old.input_tensors[:1])
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name=f"{old.operation.name}_pool")(features)
    new = keras.layers.Dense(int(classes), activation="softmax", name=old.operation.name)(features)
    return keras.Model(_single(inputs), new, name="tail")


def _copy(graph: _Graph, start: list, stop: list, name: str) -> keras.Model:
    """A new model of new layers from the tensors `start` to the tensors `stop`."""
    inputs = [_like(tensor) for tensor in start]
    return keras.Model(_single(inputs), _single(_replay(graph, start, inputs, stop)), name=name)


def _replay(graph: _Graph, start: list, replacements: list, stop: list) -> list:
    """Calls copies of the layers between `start` and `stop` on the replacements of `start`."""
    known = {id(tensor): new for tensor, new in zip(start, replacements, strict=True)}
    copies = {}
    for node in graph.between(start, stop):
        operation = node.operation
        if id(operation) not in copies:
            copies[id(operation)] = operation.__class__.from_config(operation.get_config())
        args, kwargs = keras.tree.map_structure(
            lambda value: known.get(id(value), value), (node.arguments.args, node.arguments.kwargs)
        )
        made = keras.tree.flatten(copies[id(operation)](*args, **kwargs))
        known.update({id(old): new for old, new in zip(node.output_tensors, made, strict=True)})
    originals = {id(node.operation): node.operation for node in graph.nodes}
    for key, copy in copies.items():
        for new, old in zip(getattr(copy, "variables", []), getattr(originals[key], "variables", []), strict=True):
            new.assign(old)
    return [known[id(tensor)] for tensor in stop]


def _like(tensor: keras.KerasTensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor._keras_history.operation.name)


def _single(tensors: list):
    return tensors[0] if len(tensors) == 1 else tensors
