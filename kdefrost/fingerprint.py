"""Content addresses: short hashes by which data, models and settings are told apart."""

import copyreg
import functools
import hashlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kdefrost.cutting.graph import Graph, Tensor, has_graph
from kdefrost.cutting.layers import is_own, learnt_beside_weights
from kdefrost.data.storage import blocks

_LENGTH = 16


def of_arrays(*arrays, own: str = "fingerprint", see_first: Callable[[np.ndarray], None] = lambda block: None) -> str:
    """Hash of the shapes, dtypes and bytes of some arrays, in memory or not.

    Args:
        *arrays: The arrays.
        own: Name of the attribute by which an array goes that has it, as images in files
            have: `"fingerprint"`, without reading them, or `"content_fingerprint"`.
        see_first: Called with the rows of the first array as they are read, block by block, so that who needs them too
            reads them no second time.
    """
    digest = hashlib.sha256()
    for number, array in enumerate(arrays):
        digest.update(f"{array.shape}{array.dtype}".encode())
        if hasattr(array, own):
            digest.update(getattr(array, own).encode())
            continue
        for block in blocks(array) if len(array.shape) else [array]:
            digest.update(np.ascontiguousarray(block).data if block.size else b"")
            if number == 0:
                see_first(block)
    return digest.hexdigest()[:_LENGTH]


def of_content(*arrays) -> str:
    """Hash of some arrays as `of_arrays` has it, of images in files by the bytes of the files."""
    return of_arrays(*arrays, own="content_fingerprint")


def of_model(model: keras.Model) -> str:
    """Hash of a model's weights and of its layers' settings, whatever the layers' names."""
    return of_settings({"weights": of_arrays(*model.get_weights()), "layers": _layers(model)})


def of_layer(layer: keras.layers.Layer) -> str:
    """Hash of the settings of a layer, or of a model's layers, whatever their names and weights."""
    return of_settings({"layers": _layers(layer) if has_graph(layer) else [_settings(layer)]})


def of_callable(function: Callable) -> str:
    """Hash of what a function does and holds now; of what it calls from elsewhere, the names alone.

    The code is what this version of Python made of it: another version has another hash.

    Args:
        function: A function, a method, a class, or an object that can be called.

    Returns:
        The hash, the same in every process.

    Raises:
        TypeError: If it holds what has no content that can be told; says what.
    """
    return of_settings({"does": repr(_told(function))})


def of_metric(metric) -> str:
    """Name and settings of a Keras metric or loss, or the name by which it is known."""
    if not hasattr(metric, "get_config"):
        return getattr(metric, "__name__", _without_addresses(metric))
    # The configuration of some of Keras's losses lacks what they compute with, such as Huber's delta.
    return str((_settings(metric), _plain(getattr(metric, "_fn_kwargs", {}))))


def _layers(model: keras.Model) -> list:
    """Settings of the layers in the order of their calls, and from which calls each takes what."""
    graph = Graph(model)
    places = {tensor: f"input {number}" for number, tensor in enumerate(graph.inputs)}
    layers = []
    for number, call in enumerate(graph.calls):
        arguments = keras.tree.map_structure(
            lambda value: places[value] if isinstance(value, Tensor) else value, (call.args, call.kwargs)
        )
        layers.append((*_settings(call.operation), _without_addresses(arguments)))
        places.update({tensor: f"call {number} {output}" for output, tensor in enumerate(call.outputs)})
    return layers


def _settings(layer) -> tuple[str, ...]:
    settings = {key: value for key, value in _configuration(layer).items() if key != "name"}
    beside = [part for part in (_learnt(layer), _held(layer)) if part]
    return type(layer).__name__, _without_addresses(settings), *beside


def _configuration(layer) -> dict:
    """What a layer says of itself; one that can be frozen need not be able to."""
    try:
        return layer.get_config()
    except Exception:
        # A layer of the user's own raises whatever it will; what it holds is in the hash by itself.
        if not is_own(layer):
            raise
        return {}


def _held(layer) -> str:
    """Hash of the values that layers of the user's own hold, which their configurations need not tell; empty for none.

    They are numbers, texts, arrays and functions, also in lists and dictionaries, in attributes that are not private.
    """
    if not is_own(layer):
        return ""
    parts = layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else [layer]
    common = vars(keras.layers.Layer())
    own = [(name, value) for part in parts for name, value in sorted(vars(part).items()) if name not in common]
    told = [(name, _content(value)) for name, value in own if not name.startswith("_")]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:_LENGTH]


def _content(value, around: tuple[int, ...] = ()) -> object:
    """A plain value, an array or a function as what is the same in every process; of other objects the class alone."""
    if id(value) in around:
        return "what it is in"
    inside = functools.partial(_content, around=(*around, id(value)))
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [inside(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(inside(each)) for each in value)
    if isinstance(value, dict):
        return sorted((str(key), repr(inside(each))) for key, each in value.items())
    if isinstance(value, (np.ndarray, np.generic)):
        values = inside(value.tolist()) if value.dtype.kind == "O" else hashlib.sha256(value.tobytes()).hexdigest()
        return [value.shape, str(value.dtype), values]
    if isinstance(value, functools.partial):
        return [inside(value.func), inside(value.args), inside(value.keywords)]
    if isinstance(value, types.FunctionType):
        held = value.__defaults__, value.__kwdefaults__, [_in_cell(cell) for cell in value.__closure__ or ()]
        return [_of_code(value.__code__), inside(held)]
    # A layer may keep one of its last call, symbolic or not.
    return "tensor" if isinstance(value, (tf.Tensor, keras.KerasTensor)) else type(value).__name__


# What `_told` gives as it is.
_PLAIN = (bool, int, float, complex, str, type(None))
# What tells apart what pickle takes by name, or not at all.
_PARTS = {
    types.FunctionType: lambda value: (
        *_of_code(value.__code__),
        (value.__defaults__, value.__kwdefaults__, vars(value)),
        [_in_cell(cell) for cell in value.__closure__ or ()],
    ),
    types.MethodType: lambda value: (value.__func__, value.__self__),
    types.ModuleType: lambda value: (value.__name__,),
    # An array packs itself as such.
    bytes: lambda value: (hashlib.sha256(value).hexdigest(),),
    staticmethod: lambda value: (value.__func__,),
    classmethod: lambda value: (value.__func__,),
    property: lambda value: (value.fget, value.fset, value.fdel),
    functools.cached_property: lambda value: (value.func,),
}


def _told(value, around: tuple[int, ...] = ()) -> object:
    """A value as what it is and holds, whatever it is, the same in every process; see `of_callable`."""
    if type(value) in _PLAIN:
        return value
    if id(value) in around:
        return f"what it is in, {around.index(id(value))}"
    inside = functools.partial(_told, around=(*around, id(value)))
    if type(value) in (set, frozenset, dict):
        held = sorted(repr(inside(each)) for each in (value.items() if type(value) is dict else value))
    else:
        held = list(map(inside, _parts(value)))
    return [type(value).__name__, *held]


def _parts(value) -> Iterable:
    """What tells a value from others of its kind."""
    if type(value) in (list, tuple):
        return value
    if isinstance(value, (type, types.FunctionType)) and _is_of_library(value):
        return value.__module__, value.__qualname__
    if isinstance(value, type):
        return value.__qualname__, value.__bases__, _members(value)
    # Keras packs these with the time of day.
    if isinstance(value, (keras.layers.Layer, keras.losses.Loss, keras.metrics.Metric, keras.optimizers.Optimizer)):
        raise TypeError(type(value).__name__)
    return _PARTS.get(type(value), _packed)(value)


def _packed(value) -> Iterable:
    """The parts of which pickle would make an object again."""
    pack = copyreg.dispatch_table.get(type(value), lambda value: value.__reduce_ex__(2))
    try:
        parts = pack(value)
    # An object of the user's own raises whatever it will.
    except Exception as error:
        raise TypeError(type(value).__name__) from error
    if isinstance(parts, str):
        return getattr(value, "__module__", None), parts, getattr(value, "__wrapped__", None)
    return [list(part) if isinstance(part, Iterator) else part for part in parts]


def _members(kind: type) -> dict:
    """What a class defines; what Python adds to it has no content, or depends on where it stands."""
    return {
        name: member
        for name, member in vars(kind).items()
        if name != "_abc_impl" and (isinstance(member, types.FunctionType) or not name.startswith("__"))
    }


def _is_of_library(value: type | types.FunctionType) -> bool:
    """Whether the name of a class or function tells it: it is Python's, or of an installed package."""
    name = value.__module__ or ""
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    return "<locals>" not in value.__qualname__ and (is_installed or name.split(".")[0] in sys.stdlib_module_names)


def _in_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:
        # Nothing yet, as where a function is defined below the one that calls it.
        return None


def _of_code(code: types.CodeType) -> list:
    """What a function does, those inside it included; neither where it stands nor how its file is called."""
    inside = [_of_code(each) if isinstance(each, types.CodeType) else _content(each) for each in code.co_consts]
    return [code.co_code, code.co_names, inside]


def _learnt(layer) -> str:
    """Hash of what a layer has learnt beside its weights and settings, such as a vocabulary; empty for nothing."""
    digest, is_empty = hashlib.sha256(), True
    for name, content in learnt_beside_weights(layer):
        digest.update(name.encode() + content)
        is_empty = False
    return "" if is_empty else digest.hexdigest()[:_LENGTH]


def _without_addresses(value) -> str:
    """A value as text, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(_plain(value)))


def _plain(value):
    """A value with Python's numbers in the place of NumPy's, which print otherwise, sets in order, and no names.

    Those of layers inside a layer are Keras's numbers, which count on in a process.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_plain(part)) for part in value)
    if type(value) is dict and {"class_name", "config"} <= set(value) and type(value["config"]) is dict:
        value = {**value, "config": {key: part for key, part in value["config"].items() if key != "name"}}
    if type(value) is dict:
        return {_plain(key): _plain(part) for key, part in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def of_settings(settings: dict) -> str:
    """Hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:_LENGTH]
