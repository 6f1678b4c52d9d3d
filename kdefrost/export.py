"""Handing a model over: as SavedModel and as `.keras` file, each loaded again and compared, with a model card."""

import contextlib
import glob
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kdefrost.arguments import as_path, check_kind
from kdefrost.card import KERAS_FILE, model_card, own_objects
from kdefrost.cutting.layers import Borrowed
from kdefrost.files import clear_parts, left_parts, part_of
from kdefrost.models.normalization import FUSED_LAYERS, with_keras_layers
from kdefrost.profile import DefrostProfile
from kdefrost.signature import named_outputs, write_metadata

_CARD = "model_card.md"
# By so much outputs may differ, in the units of the largest: rounding in another order, by the dtype that rounds most.
_TOLERANCE, _OF_HALVES = 1e-5, {"float16": 2**-9, "bfloat16": 2**-6}
# Sizes of axes that a model leaves open: of images, and of others, such as words of a text.
_OPEN_IMAGE, _OPEN = 96, 8
# What a model of texts is shown that has no vocabulary.
_TEXTS = ("", "a", "b", "text of four words")


def export(
    model: keras.Model,
    path: str | os.PathLike,
    profile: DefrostProfile | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes a model as SavedModel and as `.keras` file, with a model card beside them.

    Both need no kdefrost where they are loaded: the SavedModel needs TensorFlow, the file
    Keras and whatever layers of the user's own the model has. Each is loaded again here,
    and its outputs for batches of one and of three are compared with the model's, run as a
    graph as it is, before it takes its place. Where Keras cannot write the file or load it
    again, there is the SavedModel alone.

    Both say what they give. The SavedModel's signature `serving_default` has named outputs: `probabilities`, a column
    for each class, of a model that ends in a softmax or a sigmoid, else `outputs`; and `class_names`, the same
    row for each image, if there are any. The `.keras` file's `metadata.json` has `output`, which of the two it is,
    `class_names`, and `preprocessing`, how an image file is read; what is not known is null.

    Args:
        model: A functional or sequential Keras model with one input and one output, of whatever dtype.
        path: Folder that is to hold `saved_model.pb`, `model.keras` and `model_card.md`. An
            earlier export there is replaced.
        profile: The profile that the model is of, whose facts the card states: those of its
            best trial, not of what may have been trained since.
        per_class: The size that the model was trained with; by default the largest.
        class_names: Names of the classes, in the order of the outputs, for all three to say; of a model of one
            output two, the second its output's.

    Returns:
        The folder.

    Raises:
        ValueError: If `model` is of another kind, has several inputs or outputs, `class_names` are
            not as many as the outputs, `path` is something other than an earlier export or cannot be made,
            TensorFlow cannot write the model, or what is loaded again gives other outputs than it.

    Warns:
        UserWarning: If there is no `.keras` file, with the reason, which the card gives too; or if the
            model draws numbers when it is run, so that nothing can be compared with it.

    Example:

    ```python
    model = defroster.best_model(profile, per_class=256)
    kdefrost.export(model, "saved_models/mine", profile, per_class=256, class_names=data.classes)
    loaded = tf.saved_model.load("saved_models/mine")
    outputs = loaded.serve(images)
    named = loaded.signatures["serving_default"](tf.constant(images))
    probabilities, names = named["probabilities"], named["class_names"]
    ```
    """
    asked = as_path("path", path)
    path = Path(os.path.realpath(asked))
    _check_model(model, class_names)
    if profile is not None:
        check_kind("profile", profile, DefrostProfile, "a DefrostProfile, as Defroster.profile gives it, or None")
    if path.exists() and not (path / _CARD).exists():
        raise ValueError(f"`path` must be a new folder, or one of an earlier export. {path} is something else.")
    model, missing = _with_keras_layers(model)
    with _taking_the_place_of(path) as beside:
        run = _as_function(model)
        _write_saved_model(model, run, class_names, beside)
        loaded, missing = (None, missing) if missing else _written_and_loaded(model, class_names, beside / KERAS_FILE)
        _compare(model, run, beside, loaded)
        card = model_card(model, profile, per_class, class_names, missing)
        # Names of folders may have bytes that are no text.
        (beside / _CARD).write_text(card, encoding="utf-8", errors="backslashreplace")
    if missing:
        warnings.warn(f"{asked} holds the SavedModel alone, without `{KERAS_FILE}`: {missing}", stacklevel=2)
    return asked


@contextlib.contextmanager
def _taking_the_place_of(path: Path) -> Iterator[Path]:
    """Gives a folder to write beside another, whose place it takes at the end of `with`, whole; or never."""
    former = path.with_name(f"{path.name}.former")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put_back(former, path)
        for each in (path, former):
            clear_parts(path.parent, glob.escape(each.name))
        beside, aside = part_of(path), part_of(former)
        beside.mkdir()
    except OSError as error:
        raise ValueError(f"`path` must be a folder that can be made. Received: {path} ({error.strerror})") from error
    try:
        yield beside
        # Taken away file by file, it would be there by half for a while.
        if path.exists():
            path.replace(aside)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if aside.exists():
            # By its own name it is whole, whenever this is killed.
            aside.replace(beside if path.exists() else path)
            shutil.rmtree(beside, ignore_errors=True)


def _put_back(former: Path, path: Path):
    """Gives an earlier export its place again, from which a process had moved it that was killed between renamings."""
    if not path.exists():
        for aside in left_parts(path.parent, glob.escape(former.name))[:1]:
            aside.replace(path)


def _check_model(model: keras.Model, class_names: Sequence[str] | None):
    if not getattr(model, "_is_graph_network", False) and not hasattr(model, "inputs"):
        raise ValueError(f"`model` must be a functional model, or a sequential one that was built. Received: {model}")
    for name, tensors in {"input": model.inputs, "output": model.outputs}.items():
        if len(tensors) != 1:
            raise ValueError(f"`model` must have one {name}. Received: {[tensor.name for tensor in tensors]}")
    outputs = model.outputs[0].shape[-1]
    fitting = (1, 2) if outputs == 1 else (outputs,)
    listed = isinstance(class_names, (list, tuple, np.ndarray))
    if class_names is not None and not (listed and len(class_names) in fitting):
        raise ValueError(
            f"`class_names` must be a list of {' or '.join(map(str, fitting))}, one for each output. Received: "
            f"{class_names!r}"
        )


def _with_keras_layers(model: keras.Model) -> tuple[keras.Model, str | None]:
    """The model without layers of kdefrost's, and why it could not do without them."""
    if not any(type(layer) in FUSED_LAYERS.values() for layer in model._flatten_layers()):
        # On the same layers, but without what it was compiled with, which need not load elsewhere.
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name), None
    try:
        return with_keras_layers(model), None
    except ValueError as error:
        return model, f"{_in_one_line(error)} So the model keeps layers of kdefrost's, which Keras alone does not know."


def _as_function(model: keras.Model) -> Callable:
    """The model in inference mode, in which augmentation layers inside it do nothing, as a graph.

    What Keras computes can differ between a graph and a call of layer after layer.
    """
    taken = model.inputs[0]
    signature = [tf.TensorSpec(taken.shape, taken.dtype, name="images")]
    return tf.function(lambda images: model(images, training=False), signature, autograph=False)


def _write_saved_model(model: keras.Model, run: Callable, class_names: Sequence[str] | None, folder: Path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    try:
        archive.add_endpoint("serve", run, run.input_signature)
        archive.add_endpoint("serving_default", named_outputs(model, run, class_names), run.input_signature)
        archive.write_out(folder, verbose=False)
    # What a layer does in a graph, and what TensorFlow makes of its names, ends in whatever it raises.
    except Exception as error:
        raise ValueError(
            f"`model` cannot be exported: TensorFlow cannot write it as a SavedModel ({type(error).__name__}: "
            f"{_in_one_line(error)})."
        ) from error


def _written_and_loaded(
    model: keras.Model, class_names: Sequence[str] | None, file: Path
) -> tuple[keras.Model | None, str | None]:
    """The model from its `.keras` file, or why there is none."""
    borrowed = [type(layer.lender).__name__ for layer in model._flatten_layers() if isinstance(layer, Borrowed)]
    if borrowed:
        return None, f"Keras cannot copy {' and '.join(sorted(set(borrowed)))} by its configuration, nor write it."
    doing = "write"
    try:
        model.save(file)
        write_metadata(file, model, class_names)
        doing = "load again"
        # A file that was written here a moment ago may hold the user's own functions.
        return keras.models.load_model(file, own_objects(model), compile=False, safe_mode=False), None
    # A layer of the user's own ends in whatever its constructor raises.
    except Exception as error:
        file.unlink(missing_ok=True)
        return None, f"Keras cannot {doing} this model ({type(error).__name__}: {_in_one_line(error)})."


def _in_one_line(error: Exception) -> str:
    """An error's message, without the lines of advice or configuration that follow it.

    Keras says first which layer was called, and then, after an empty line and in bold letters, what is wrong.
    """
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [""]
    wheres = [line for line in lines if line.startswith("Exception encountered when calling")]
    said = next((line for line in lines if line not in wheres), lines[0])
    return f"{wheres[-1]} {said}"[:300] if wheres and said not in wheres else said[:300]


def _compare(model: keras.Model, run: Callable, folder: Path, loaded: keras.Model | None):
    """Holds what was written and loaded again to the model."""
    # Its functions work only as long as it is there itself.
    saved_model = tf.saved_model.load(str(folder))
    ways = {"SavedModel": saved_model.serve}
    if loaded is not None:
        ways[".keras file"] = _as_function(loaded)
    for images in _examples(model):
        expected = run(images).numpy()
        if _difference(run(images).numpy(), expected) > _tolerance(model):
            warnings.warn(
                "`model` gives other outputs each time that it is run. What was written is not compared with it.",
                stacklevel=3,
            )
            return
        for name, way in ways.items():
            difference = _difference(way(images).numpy(), expected)
            if not difference <= _tolerance(model):
                raise ValueError(
                    f"`model` cannot be exported: the {name} that was written gives other outputs than it "
                    f"(by {difference:.2g} of the largest). A layer of its own may not save all that it needs."
                )


def _difference(outputs: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in the units of the largest output that is expected, at least 1."""
    if expected.dtype == object:
        return float(not np.array_equal(outputs, expected))
    outputs, expected = outputs.astype(np.float64), expected.astype(np.float64)
    alike = (outputs == expected) | (np.isnan(outputs) & np.isnan(expected))
    if alike.all():
        return 0.0
    return np.abs(outputs - expected)[~alike].max() / max(
        1.0, np.abs(expected).max(where=np.isfinite(expected), initial=0)
    )


def _tolerance(model: keras.Model) -> float:
    """More where some layer rounds to half precision."""
    return max(_OF_HALVES.get(layer.compute_dtype, _TOLERANCE) for layer in model._flatten_layers())


def _examples(model: keras.Model) -> list[tf.Tensor]:
    """Batches of one and of three of what a model takes; of as many as it takes, where it takes no others."""
    taken, rng = model.inputs[0], np.random.default_rng(0)
    opened = _OPEN_IMAGE if len(taken.shape) == 4 else _OPEN
    sizes = [opened if size is None else size for size in taken.shape[1:]]
    counts = (1, 3) if taken.shape[0] is None else (taken.shape[0],)
    return [tf.cast(_values(model, rng, (count, *sizes)), taken.dtype) for count in counts]


def _values(model: keras.Model, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values that a model may take."""
    dtype = model.inputs[0].dtype
    looks_up = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    if dtype.startswith(("float", "bfloat", "uint8")) and not looks_up:
        return rng.uniform(0, 255, shape)
    # What tables hold that are looked up; else whole numbers may be places in one, of which 0 and 1 are there.
    tables = [layer for layer in model._flatten_layers() if hasattr(layer, "get_vocabulary")]
    known = [word for table in tables for word in table.get_vocabulary(include_special_tokens=False)]
    if dtype == "string":
        return rng.choice([str(word) for word in known] or _TEXTS, shape)
    numbers = [number for number in known if isinstance(number, (int, np.integer))]
    return rng.choice([False, True] if dtype == "bool" else numbers or [0, 1], shape)
