"""One layer: copying it with all that it holds, and computing with it where it cannot be copied."""

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from kdefrost.cutting.objects import held, is_own, known_objects, parts
from kdefrost.cutting.quantization import as_floats, check_mode, float_weights, is_quantized


class Uncopyable(ValueError):
    """Says that a layer cannot be copied, and why.

    Args:
        layer: The layer or operation.
        reason: Why.
    """

    def __init__(self, layer, reason: str):
        self.layer, self.reason = layer, " ".join(reason.split())
        super().__init__(
            f"Layer `{layer.name}` ({type(layer).__name__}) cannot be copied: {self.reason}. Cut after it, or mend it."
        )


@keras.saving.register_keras_serializable(package="kdefrost")
class Borrowed(keras.layers.Layer):
    """A frozen layer that computes by another's code, with weights of its own, always in inference mode.

    It stands in the place of a copy where a layer cannot be copied, so that what happens to one does not happen to the
    other.

    Args:
        layer: The layer, built.
        name: The name.
    """

    def __init__(self, layer: keras.layers.Layer, name: str):
        super().__init__(trainable=False, name=name, dtype=layer.dtype_policy)
        # A function, so that Keras does not take the layer's weights for this one's.
        self._lender = lambda: layer
        self._given = [self._own(variable) for variable in layer.variables]

    @property
    def lender(self) -> keras.layers.Layer:
        """The layer whose code it is."""
        return self._lender()

    def _own(self, variable) -> keras.Variable:
        own = self.add_weight(
            shape=variable.shape, dtype=variable.dtype, trainable=False, initializer="zeros", name=variable.name
        )
        own.assign(variable)
        return own

    def call(self, *args, **kwargs):
        """What the other layer makes of tensors, with these weights."""
        return stateless(self.lender, self._given, *args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        """The shapes that the other layer gives."""
        return self.lender.compute_output_spec(*args, **kwargs)


def stateless(layer: keras.layers.Layer, weights: list, *args, **kwargs):
    """What a layer makes of tensors in inference mode, with some weights, and stays as it is.

    Args:
        layer: The layer.
        weights: In the place of its variables, as many in the same order.
        *args: As the layer takes them.
        **kwargs: As the layer takes them.

    Returns:
        Its outputs.
    """
    values = {id(old): keras.ops.convert_to_tensor(new) for old, new in zip(layer.variables, weights, strict=True)}
    kinds = (layer.trainable_variables, layer.non_trainable_variables)
    given = [[values[id(variable)] for variable in kind] for kind in kinds]
    if getattr(layer, "_call_has_training_arg", False):
        kwargs["training"] = False
    return layer.stateless_call(*given, *args, **kwargs)[0]


def is_plain(operation) -> bool:
    """Whether a layer is Keras's own and holds nothing of the user's, and so can be copied for sure."""
    special = has_quantized(operation) or isinstance(operation, keras.layers.TFSMLayer)
    return not (is_own(operation) or special or any(True for _ in held(operation)))


def has_quantized(operation) -> bool:
    """Whether a layer, or one inside it, is quantised."""
    return any(map(is_quantized, parts(operation)))


def copy_layer(
    layer, name: str, substitutes: Mapping[type, type] | None = None, trains: bool = False
) -> keras.Operation:
    """A new layer or operation with the configuration of another, of its class or the class's substitute.

    Functions and classes of the user's that it holds are found in the layer itself, whether Keras knows them or not,
    and the new one holds the same.

    Args:
        layer: The layer or operation.
        name: The name of the new one.
        substitutes: Layer classes by those that they replace.
        trains: Whether the new one is to be trained, for which quantised weights become floats.

    Returns:
        The new one, not built yet.

    Raises:
        ValueError: If it cannot be copied; the error is an `Uncopyable`.
    """
    if isinstance(layer, Borrowed):
        return Borrowed(layer.lender, name)
    if trains and isinstance(layer, keras.layers.TFSMLayer):
        raise Uncopyable(layer, "its weights are those of a file, and cannot be initialised anew")
    cls = (substitutes or {}).get(type(layer), type(layer))
    try:
        copy = _made_of_floats(layer, cls) if trains and has_quantized(layer) else made_again(layer, cls)
    # A layer of the user's own ends in whatever its constructor raises.
    except Exception as error:
        raise Uncopyable(layer, f"its `get_config` does not make it again ({error})") from error
    copy.name = name
    return copy


def _made_of_floats(layer, cls: type) -> keras.Operation:
    for part in filter(is_quantized, parts(layer)):
        check_mode(part)
    return made_again(layer, cls, as_floats)


def made_again(layer, cls: type | None = None, change: Callable[[dict], dict] | None = None) -> keras.Operation:
    """A layer anew by its configuration, with the very functions and classes that the first one holds.

    Args:
        layer: The layer or operation.
        cls: The class in the place of its own.
        change: Changes the configuration.

    Returns:
        The new one, not built yet.
    """
    cls = type(layer) if cls is None else cls
    if isinstance(layer, keras.layers.Lambda):
        # Keras would make the function again from its code, without what that refers to.
        said = layer.function, layer._output_shape, layer.mask, layer.arguments
        return cls(*said, dtype=layer.dtype_policy)
    # What is in memory already is as safe as the model that holds it.
    trusted = {"safe_mode": False} if "safe_mode" in inspect.signature(cls.from_config).parameters else {}
    with known_objects(layer):
        # Some have layers in it as they are, of which the new one needs its own.
        config = keras.tree.map_structure(_copied, layer.get_config())
        config = change(config) if change else config
        try:
            return cls.from_config(config, **trusted)
        except (TypeError, ValueError):
            # Some configurations give more than the constructor takes.
            fewer = {key: value for key, value in config.items() if key in _parameters(cls)}
            if len(fewer) == len(config):
                raise
            return cls.from_config(fewer, **trusted)


def _copied(value):
    return copy_layer(value, value.name) if isinstance(value, keras.layers.Layer) else value


def _parameters(cls: type) -> set[str]:
    """All that the constructors of a class and of those that it is made from name."""
    names: set[str] = set()
    for part in cls.__mro__[:-1]:
        parameters = inspect.signature(vars(part)["__init__"]).parameters if "__init__" in vars(part) else {}
        names.update(parameters)
        if parameters and all(each.kind != each.VAR_KEYWORD for each in parameters.values()):
            # It hands on no others.
            break
    return names


def carry_state(old, new, trains: bool = False):
    """Gives a built copy the weights of a layer, and what that learnt beside them, such as a vocabulary.

    Args:
        old: The layer.
        new: The copy.
        trains: Whether the copy is to be trained, for which quantised weights stay floats.

    Raises:
        ValueError: If their weights are not the same in number and shape; the error is an `Uncopyable`.
    """
    changed = []
    for some, other in zip(parts(old), parts(new), strict=False):
        if is_quantized(some) or getattr(some, "lora_enabled", False):
            _change_alike(some, other, trains)
            changed.append((some, other))
        elif _keeps_itself(some):
            _carry_learnt(some, other)
    apart = {id(weight) for pair in changed for part in pair for weight in part.variables}
    before, after = ([w for w in getattr(one, "variables", []) if id(w) not in apart] for one in (old, new))
    carried = [*zip(after, before, strict=False), *(each for pair in changed for each in _by_name(*pair))]
    if len(before) != len(after) or any(tuple(to.shape) != tuple(of.shape) for to, of in carried):
        raise Uncopyable(old, "its `get_config` makes a layer of other weights")
    if {id(to) for to, _ in carried} & {id(of) for _, of in carried}:
        raise Uncopyable(old, "its `get_config` hands on its own weights, and what trains the copy would train it")
    for to, of in carried:
        to.assign(of)
    for part in parts(new):
        if hasattr(part, "finalize_state") and not _keeps_itself(part):
            # Such a layer computes with constants that it makes of its weights.
            part.finalize_state()


def _change_alike(old, new, trains: bool):
    """Quantises a layer and adds adapters to it as was done to another after it was built.

    Of a layer inside another the configuration of that does not tell.
    """
    if is_quantized(old) and not is_quantized(new) and not trains:
        new.quantize(old.quantization_mode)
    if getattr(old, "lora_enabled", False):
        if not new.lora_enabled:
            new.enable_lora(old.lora_rank)
        # A dense layer that Keras makes again has another.
        new.lora_alpha = old.lora_alpha


def _by_name(old, new) -> list[tuple]:
    """The weights of a layer, each with what it gets; their order is that in which they were added."""
    values = float_weights(old) if is_quantized(old) and not is_quantized(new) else {w.name: w for w in old.variables}
    return [(weight, values.get(weight.name, np.empty(0))) for weight in new.variables]


def learnt_beside_weights(layer) -> Iterator[tuple[str, bytes]]:
    """Gives what a layer, or one inside it, has learnt that is in neither its configuration nor its weights.

    Args:
        layer: The layer or operation.

    Yields:
        Name and content of each array and file by which Keras would keep it.
    """
    for part in parts(layer):
        plain = type(part).save_own_variables is keras.layers.Layer.save_own_variables
        if not plain and _keeps_itself(part):
            values: dict = {}
            part.save_own_variables(values)
            yield from ((name, np.asarray(values[name]).tobytes()) for name in sorted(values))
        if hasattr(part, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                part.save_assets(folder)
                yield from ((path.name, path.read_bytes()) for path in sorted(Path(folder).iterdir()))


def _keeps_itself(layer) -> bool:
    """Whether a layer says itself how what it has learnt is kept, as those do that have more than weights."""
    cls = type(layer)
    says = hasattr(cls, "load_assets") or cls.load_own_variables is not keras.layers.Layer.load_own_variables
    # Theirs is for adapters of low rank, which it merges.
    return says and not hasattr(cls, "enable_lora")


def _carry_learnt(old, new):
    """Carries what a layer has learnt as Keras does by a file."""
    values: dict = {}
    old.save_own_variables(values)
    new.load_own_variables(values)
    if hasattr(old, "load_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
