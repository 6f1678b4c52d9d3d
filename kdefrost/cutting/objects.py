"""What of the user's own a layer holds: functions, classes and objects that Keras may not know."""

import contextlib
import types
from collections.abc import Iterator

import keras


def parts(layer) -> list:
    """A layer and those inside it; nothing for an operation that is no layer."""
    return layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else []


def is_own(operation) -> bool:
    """Whether a layer, or one inside it, is of a class that is not Keras's."""
    return any(_is_users(type(part)) for part in parts(operation) or [operation])


def _is_users(cls: type) -> bool:
    return not cls.__module__.startswith(("keras.", "kdefrost."))


def held(holder, seen: set[int] | None = None) -> Iterator:
    """The functions, classes and objects to be called, none of Keras's, that something holds, also inside of that.

    Args:
        holder: A layer or operation.
        seen: Addresses of what is left out.

    Yields:
        Each of them.
    """
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
    elif _is_nameless(holder):
        inside = []
        yield holder
    else:
        # Other objects say nothing of themselves to Keras.
        says = hasattr(holder, "get_config") and not isinstance(holder, type)
        inside = list(getattr(holder, "__dict__", {}).values()) if says else []
        if says and _is_users(type(holder)):
            yield type(holder)
    for each in inside:
        yield from held(each, seen)


@contextlib.contextmanager
def known_objects(layer) -> Iterator[None]:
    """Lets Keras find the functions, classes and objects of the user's that a layer holds, each as the one that it is.

    Functions have names of their own meanwhile: others may have the same, and of one without Keras would keep the code
    alone. Objects that cannot be made again by a configuration, such as a `functools.partial`, have functions in their
    place meanwhile.

    Args:
        layer: The layer or operation, which is afterwards as it was.
    """
    every, places = list(held(layer)), list(_places_of_nameless(layer))
    functions = [each for each in every if isinstance(each, types.FunctionType) and not _is_registered(each)]
    names = [function.__name__ for function in functions]
    known = {keras.saving.get_registered_name(each): each for each in every if isinstance(each, type)}
    try:
        for number, function in enumerate(functions):
            function.__name__ = f"kdefrost_{number}_{function.__name__.strip('<>')}"
            known[function.__name__] = function
        for number, (attributes, name, called) in enumerate(places):
            known[f"kdefrost_object_{number}"] = called
            attributes[name] = _stand_in(f"kdefrost_object_{number}")
        with keras.saving.custom_object_scope(known):
            yield
    finally:
        for function, name in zip(functions, names, strict=True):
            function.__name__ = name
        for attributes, name, called in places:
            attributes[name] = called


def _is_registered(function) -> bool:
    return keras.saving.get_registered_name(function) != function.__name__


def _stand_in(name: str) -> types.FunctionType:
    def stand_in():
        raise NotImplementedError

    stand_in.__name__ = name
    return stand_in


def _places_of_nameless(layer) -> list[tuple[dict, str, object]]:
    """The attributes of a layer, and of those inside it, that are objects which Keras has no name for."""
    each = [(vars(part), name, value) for part in parts(layer) or [layer] for name, value in vars(part).items()]
    return [place for place in each if _is_nameless(place[-1])]


def _is_nameless(value) -> bool:
    """Whether something is an object to be called, no function, class or layer, that Keras cannot make again."""
    kept = (type, types.FunctionType, keras.Operation)
    if not callable(value) or isinstance(value, kept) or type(value).__module__.startswith("keras."):
        return False
    try:
        type(value).from_config(value.get_config())
        return False
    # Many have neither; others end in whatever their constructor raises.
    except Exception:
        return True
