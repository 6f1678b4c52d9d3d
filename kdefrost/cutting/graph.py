"""The graph of layer calls of a model, as one level: models nested in it are opened up.

Reading a graph makes nothing and changes nothing; `replay` builds a part of it again from
new layers.
"""

import dataclasses
import functools
import math

import keras

from kdefrost.cutting import costs
from kdefrost.cutting.masks import Masks

_PROBABILITIES = ("softmax", "sigmoid")
# They give numbers another shape alone.
_SHAPES = ("Flatten", "Identity", "Reshape", "Squeeze")


@dataclasses.dataclass(eq=False)
class Tensor:
    """What one call gives to others.

    Attributes:
        shape: Its shape with the batch axis.
        dtype: Its dtype.
        reference: `(layer name, call, output)`, which tells it apart in its graph.
    """

    shape: tuple[int | None, ...]
    dtype: str
    reference: tuple[str, int, int]


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a layer or an operation.

    Attributes:
        operation: The layer or operation, of the model that was read.
        name: Its name, unique in the graph among operations.
        args: Positional arguments, with a `Tensor` in the place of each tensor.
        kwargs: Arguments by name, likewise.
        outputs: The tensors that it gives.
        masks: By the tensor, the masks that it reads from the tensors that it takes.
    """

    operation: keras.Operation
    name: str
    args: tuple
    kwargs: dict
    outputs: list[Tensor]
    masks: dict[Tensor, Tensor] = dataclasses.field(default_factory=dict)

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that it takes."""
        taken = [value for value in keras.tree.flatten((self.args, self.kwargs)) if isinstance(value, Tensor)]
        return [*taken, *self.masks.values()]

    @functools.cached_property
    def kernels(self) -> list:
        """Its kernels and tables; see `costs.kernels`."""
        return costs.kernels(self.operation)

    @functools.cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds per example; see `costs.multiply_adds`."""
        return costs.multiply_adds(self.operation, self.args, self.kwargs, self.outputs)


class Graph:
    """The layer calls of a functional or sequential model, in an order in which they can be computed.

    Args:
        model: The model.

    Attributes:
        calls: The calls.
        inputs: The tensors that the model takes.
        outputs: The tensors that it gives.
        features: Whether it is taken to end in features, without an output layer; `None` to conclude it.

    Raises:
        ValueError: If the model has no graph.
    """

    def __init__(self, model: keras.Model):
        if not has_graph(model):
            raise ValueError(
                "`model` must be a functional or sequential Keras model that has been built; a subclassed model has "
                f"no graph of layers that could be cut. Received: {model} of type {type(model).__name__}"
            )
        self.calls: list[Call] = []
        self.features: bool | None = None
        self._names: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        self._masks = Masks(self._read_call)
        # Of a model that is built for batches of one size each call is described anew, for any size.
        self._batch = next((tensor.shape[0] for tensor in model.inputs if tensor.shape[0] is not None), None)
        self.inputs = [self._input(tensor) for tensor in model.inputs]
        self._taken = {tensor.reference[0] for tensor in self.inputs}
        self.outputs = self._read(model, self.inputs, path="")

    def _read(self, model: keras.Model, given: list[Tensor], path: str) -> list[Tensor]:
        """Reads the calls of one level, with what it is given in the place of its own inputs."""
        # A sequential model has no nodes of its own. A model between tensors that are real
        # inputs adds no node to any layer.
        functional = keras.Model(model.inputs, model.outputs)
        known = {
            id(inner): self._cast(outer, inner.dtype, path)
            for inner, outer in zip(functional.inputs, given, strict=True)
        }
        by_depth = functional._nodes_by_depth
        for node in (node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]):
            if not node.is_input:
                made = self._read_call(node, known, path)
                known.update({id(old): new for old, new in zip(node.output_tensors, made, strict=True)})
        return [known[id(tensor)] for tensor in functional.outputs]

    def _cast(self, tensor: Tensor, dtype: str, path: str) -> Tensor:
        """What a nested model makes of a tensor of another dtype before its first layer."""
        if tensor.dtype == dtype:
            return tensor
        operation = keras.layers.Rescaling(1.0, dtype=dtype, name=f"{path}cast")
        name = self._name(operation, path)
        cast = Tensor(tensor.shape, dtype, (name, 0, 0))
        self.calls.append(Call(operation, name, (tensor,), {}, [cast]))
        self._masks.copy(tensor, cast)
        return cast

    def _read_call(self, node, known: dict, path: str) -> list[Tensor]:
        args, kwargs = keras.tree.map_structure(
            lambda value: known.get(id(value), value), (node.arguments.args, dict(node.arguments.kwargs))
        )
        operation = node.operation
        if has_graph(operation):
            masks = kwargs.pop("mask", None)
            taken = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, Tensor)]
            self._masks.hand_on(masks, taken)
            return self._read(operation, taken, f"{path}{operation.name}_")
        # A layer that a user pinned to inference would keep its statistics at their start.
        if kwargs.get("training") is False:
            del kwargs["training"]
        name = self._name(operation, path)
        call = self._counts[name] = self._counts.get(name, -1) + 1
        specs = node.output_tensors
        if self._batch is not None or any(None in spec.shape[1:] for spec in specs):
            # A nested model that was built for any size has one here.
            specs = self._described(operation, args, kwargs)
        outputs = [self._tensor(spec, (name, call, output)) for output, spec in enumerate(specs)]
        read = Call(operation, name, args, kwargs, outputs)
        read.masks = self._masks.read_by(read)
        self.calls.append(read)
        self._masks.follow(node, read, path)
        return outputs

    def _described(self, operation, args: tuple, kwargs: dict) -> list:
        """What an operation makes of batches of any size."""
        if self._batch is None:
            return _output_specs(operation, args, kwargs)
        try:
            specs = [] if getattr(operation, "stateful", False) else _output_specs(operation, args, kwargs)
        # It ends in whatever a layer raises that is given another size.
        except Exception:
            specs = []
        if not specs or any(spec.shape[0] is not None for spec in specs):
            raise ValueError(
                f"`model` is built for batches of {self._batch}, and its layer `{operation.name}` "
                f"({type(operation).__name__}) computes with no others. Build it with keras.Input(shape) in the place "
                "of batch_shape, and without that number in its layers."
            )
        return specs

    @staticmethod
    def _input(tensor) -> Tensor:
        return Tensor((None, *tensor.shape[1:]), tensor.dtype, (tensor._keras_history.operation.name, 0, 0))

    def _name(self, operation, path: str) -> str:
        """The operation's name; where another has it, with the names of the models around it."""
        if id(operation) not in self._names:
            self._names[id(operation)] = unused(operation.name, self._taken, path)
            self._taken.add(self._names[id(operation)])
        return self._names[id(operation)]

    @staticmethod
    def _tensor(tensor, reference) -> Tensor:
        return Tensor(tuple(tensor.shape), tensor.dtype, reference)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, in order."""
        return [*self.inputs, *(tensor for call in self.calls for tensor in call.outputs)]

    def between(self, start: list[Tensor], stop: list[Tensor]) -> list[Call]:
        """The calls that lead from the tensors `start` to the tensors `stop`."""
        reached, wanted, chosen = set(start), set(stop), []
        for call in reversed(self.calls):
            if any(tensor in wanted and tensor not in reached for tensor in call.outputs):
                chosen.append(call)
                wanted.update(call.inputs)
        return chosen[::-1]

    def crossing(self) -> list[list[Tensor]]:
        """For each position in the order of calls, from before the first to after the last, what crosses it."""
        last_use = {tensor: len(self.calls) for tensor in self.outputs}
        for position, call in enumerate(self.calls):
            for tensor in call.inputs:
                last_use[tensor] = max(position, last_use.get(tensor, 0))
        alive, crossing = list(self.inputs), []
        for position, call in enumerate(self.calls):
            crossing.append(alive)
            made = [tensor for tensor in call.outputs if tensor in last_use]
            alive = [tensor for tensor in [*alive, *made] if last_use.get(tensor, -1) > position]
        return [*crossing, alive]


def _output_specs(operation, args: tuple, kwargs: dict) -> list:
    """What an operation makes of tensors, as Keras tensors."""
    args, kwargs = keras.tree.map_structure(
        lambda value: keras.KerasTensor(value.shape, value.dtype) if isinstance(value, Tensor) else value,
        (args, kwargs),
    )
    return keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))


def inference_batch_size(model: keras.Model) -> int:
    """How many examples to run at a time: at most 250, and fewer where that makes a tensor of over 64 MiB."""
    largest = max(math.prod(size or 1 for size in tensor.shape[1:]) for tensor in Graph(model).tensors)
    return max(1, min(250, 2**24 // largest))


def has_graph(model) -> bool:
    """Whether something is a model whose layer calls are known."""
    return isinstance(model, keras.Model) and bool(getattr(model, "inputs", None) and getattr(model, "outputs", None))


def ends_in_probabilities(layer: keras.layers.Layer) -> bool:
    """Whether the last operation of a layer or model that makes other numbers is a softmax or a sigmoid."""
    return gives_probabilities(_last_operation(layer))


def _last_operation(layer: keras.layers.Layer) -> keras.Operation:
    """What makes the numbers of a layer or model, found from its output back, so that any batch size is as good."""
    if not has_graph(layer):
        return layer
    tensor, outer = layer.outputs[0], []
    while True:
        operation, node, _ = tensor._keras_history
        if has_graph(operation):
            outer.append((operation, node))
            tensor = operation.outputs[0]
        elif _passes_on(operation):
            tensor = operation._inbound_nodes[node].input_tensors[0]
        elif isinstance(operation, keras.layers.InputLayer) and outer:
            # All of a nested model passes its numbers on.
            model, node = outer.pop()
            given = model._inbound_nodes[node].input_tensors
            tensor = next(outside for inside, outside in zip(model.inputs, given, strict=True) if inside is tensor)
        else:
            return operation


def _passes_on(operation: keras.Operation) -> bool:
    """Whether an operation leaves the numbers as they are."""
    is_linear = isinstance(operation, keras.layers.Activation) and function_name(operation) == "linear"
    return is_linear or type(operation).__name__ in _SHAPES


def gives_probabilities(operation: keras.Operation) -> bool:
    """Whether an operation is a softmax or a sigmoid, or ends in one."""
    return type(operation).__name__.lower() in _PROBABILITIES or function_name(operation) in _PROBABILITIES


def function_name(operation: keras.Operation) -> str:
    """The name of a layer's activation, or of a Lambda's function; `softmax` may be Keras's or TensorFlow's."""
    function = getattr(operation, "activation", getattr(operation, "function", None))
    function = getattr(function, "func", function)
    return getattr(function, "__name__", "").removesuffix("_v2")


def unused(name: str, taken: set[str], prefix: str = "") -> str:
    """A name that is not taken: as it is, with the prefix, or with a number."""
    candidates = (name, f"{prefix}{name}", *(f"{prefix}{name}_{number}" for number in range(1, len(taken) + 2)))
    return next(candidate for candidate in candidates if candidate not in taken)
