"""One layer: copying it with all that it holds, and computing with it where it cannot be copied."""

import contextlib
import inspect
import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from kdefrost.cutting.quantization import float_config, float_weights, is_quantized


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
    parts = (layer.trainable_variables, layer.non_trainable_variables)
    given = [[values[id(variable)] for variable in part] for part in parts]
    if getattr(layer, "_call_has_training_arg", False):
        kwargs["training"] = False
    return layer.stateless_call(*given, *args, **kwargs)[0]


def is_own(operation) -> bool:
    """Whether a layer, or one inside it, is of a class that is not Keras's."""
    return any(
        not type(part).__module__.startswith(("keras.", "kdefrost.")) for part in _parts(operation) or [operation]
    )


def is_plain(operation) -> bool:
    """Whether a layer is Keras's own and holds nothing of the user's, and so can be copied for sure."""
    special = is_quantized(operation) or isinstance(operation, keras.layers.TFSMLayer)
    return not (is_own(operation) or special or any(_held(operation)))


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
        copy = cls.from_config(float_config(layer)) if trains and is_quantized(layer) else _from_config(cls, layer)
    # A layer of the user's own ends in whatever its constructor raises.
    except Exception as error:
        raise Uncopyable(layer, f"its `get_config` does not make it again ({error})") from error
    copy.name = name
    return copy


def _from_config(cls: type, layer) -> keras.Operation:
    """A layer anew by its configuration, with the very functions and classes that the first one holds."""
    if isinstance(layer, keras.layers.Lambda):
        # Keras would make the function again from its code, without what that refers to.
        said = layer.function, layer._output_shape, layer.mask, layer.arguments
        return cls(*said, dtype=layer.dtype_policy)
    # What is in memory already is as safe as the model that holds it.
    trusted = {"safe_mode": False} if "safe_mode" in inspect.signature(cls.from_config).parameters else {}
    with _known_objects(layer):
        config = layer.get_config()
        try:
            return cls.from_config(config, **trusted)
        except (TypeError, ValueError):
            # Some configurations give more than the constructor takes.
            fewer = {key: value for key, value in config.items() if key in _parameters(cls)}
            if len(fewer) == len(config):
                raise
            return cls.from_config(fewer, **trusted)


def _parameters(cls: type) -> set[str]:
    """All that the constructors of a class and of those that it is made from name."""
    makers = [vars(part)["__init__"] for part in cls.__mro__[:-1] if "__init__" in vars(part)]
    return {name for maker in makers for name in inspect.signature(maker).parameters}


@contextlib.contextmanager
def _known_objects(layer) -> Iterator[None]:
    """Lets Keras find the functions and classes of the user's that a layer holds, each as the object that it is.

    Functions have names of their own meanwhile: others may have the same, and of one without Keras would keep the code
    alone.
    """
    held = list(_held(layer))
    functions = [each for each in held if isinstance(each, types.FunctionType) and not _is_registered(each)]
    names = [function.__name__ for function in functions]
    known = {keras.saving.get_registered_name(each): each for each in held if isinstance(each, type)}
    for number, function in enumerate(functions):
        function.__name__ = f"kdefrost_{number}_{function.__name__.strip('<>')}"
        known[function.__name__] = function
    try:
        with keras.saving.custom_object_scope(known):
            yield
    finally:
        for function, name in zip(functions, names, strict=True):
            function.__name__ = name


def _is_registered(function) -> bool:
    return keras.saving.get_registered_name(function) != function.__name__


def _held(holder, seen: set[int] | None = None) -> Iterator:
    """The functions and classes, none of Keras's, that something holds, also inside what it holds."""
    seen = set() if seen is None else seen
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, (list, tuple, set)):
        inside = list(holder)
    elif isinstance(holder, dict):
        inside = list(holder.values())
    elif isinstance(holder, types.FunctionType):
        inside = []
        if not (holder.__module__ or "").startswith("keras."):
            yield holder
    else:
        # Other objects say nothing of themselves to Keras.
        inside = list(vars(holder).values()) if hasattr(holder, "get_config") and hasattr(holder, "__dict__") else []
        if inside and is_own(holder):
            yield type(holder)
    for each in inside:
        yield from _held(each, seen)


def carry_state(old, new):
    """Gives a built copy the weights of a layer, and what that learnt beside them, such as a vocabulary.

    Args:
        old: The layer.
        new: The copy.

    Raises:
        ValueError: If their weights are not the same in number and shape; the error is an `Uncopyable`.
    """
    if is_quantized(old) and not is_quantized(new):
        values = float_weights(old)
        for weight in new.variables:
            weight.assign(values[weight.name])
        return
    for some, other in zip(_parts(old), _parts(new), strict=False):
        if _keeps_itself(some):
            _carry_learnt(some, other)
    before, after = getattr(old, "variables", []), getattr(new, "variables", [])
    if [tuple(weight.shape) for weight in before] != [tuple(weight.shape) for weight in after]:
        raise Uncopyable(old, "its `get_config` makes a layer of other weights")
    for to, of in zip(after, before, strict=True):
        to.assign(of)
    for part in _parts(new):
        if hasattr(part, "finalize_state") and not _keeps_itself(part):
            # Such a layer computes with constants that it makes of its weights.
            part.finalize_state()


def learnt_beside_weights(layer) -> Iterator[tuple[str, bytes]]:
    """Gives what a layer, or one inside it, has learnt that is in neither its configuration nor its weights.

    Args:
        layer: The layer or operation.

    Yields:
        Name and content of each array and file by which Keras would keep it.
    """
    for part in _parts(layer):
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


def _parts(layer) -> list:
    """A layer and those inside it; nothing for an operation that is no layer."""
    return layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else []


def _carry_learnt(old, new):
    """Carries what a layer has learnt as Keras does by a file."""
    values: dict = {}
    old.save_own_variables(values)
    new.load_own_variables(values)
    if hasattr(old, "load_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
