"""What an exported model says of itself, without kdefrost: what it gives, of which classes, and how images are read."""

import copy
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from kdefrost.cutting.graph import ends_in_probabilities
from kdefrost.data.colors import mode_of

# What Keras itself writes into a `.keras` file, and does not read to load it.
_METADATA = "metadata.json"


def output_name(model: keras.Model) -> str:
    """What a model gives: `"probabilities"` where it ends in a softmax or a sigmoid, else `"outputs"`."""
    return "probabilities" if ends_in_probabilities(model) else "outputs"


def named_outputs(model: keras.Model, run: Callable, class_names: Sequence[str] | None) -> Callable:
    """A model's outputs by name, with the names of its classes.

    Args:
        model: The model.
        run: What gives its outputs `(images, ..., units)`.
        class_names: Names of the classes, if there are any; of a model of one output two, the second its output's.

    Returns:
        A function of images, whose outputs are called as `output_name` says, a column for each class, and
        `"class_names"` `(images, classes)`, a row for each image, because servers split outputs by images.
    """
    if class_names is None:
        return lambda images: {output_name(model): run(images)}
    names = tf.constant([texts(class_names)])

    def named(images):
        outputs = run(images)
        if len(class_names) > outputs.shape[-1]:
            outputs = tf.concat([_of_first(model, outputs), outputs], axis=-1)
        return {output_name(model): outputs, "class_names": tf.repeat(names, tf.shape(outputs)[0], axis=0)}

    return named


def _of_first(model: keras.Model, outputs: tf.Tensor) -> tf.Tensor:
    """The outputs of the first of two classes, from those of the second; of logits such that a softmax tells both."""
    return 1 - outputs if output_name(model) == "probabilities" else tf.zeros_like(outputs)


def texts(class_names: Sequence[str]) -> list[str]:
    """Names of classes as valid text: names of folders may have bytes that are none."""
    return [str(name).encode(errors="backslashreplace").decode() for name in class_names]


def preprocessing(model: keras.Model) -> dict | None:
    """How image files become what a model takes, as kdefrost reads those of a folder.

    Args:
        model: The model.

    Returns:
        What is done, in this order, with the height and width in pixels, and the values that
        result; `None` for a model that takes no images of one size, grey or red, green and blue.
    """
    sizes = model.inputs[0].shape[1:]
    if len(sizes) != 3 or None in sizes or mode_of(sizes[-1]) is None:
        return None
    return {
        "orientation": "turned as EXIF says",
        "color_mode": mode_of(sizes[-1]),
        "height": sizes[0],
        "width": sizes[1],
        "resizing": "stretched, bilinear, antialiased",
        "values": [0, 255],
    }


def write_metadata(file: Path, model: keras.Model, class_names: Sequence[str] | None):
    """Adds what a model says of itself to the `metadata.json` in its `.keras` file.

    Args:
        file: The file, which is written anew.
        model: The model.
        class_names: Names of the classes, if there are any.
    """
    said = {
        "output": output_name(model),
        "class_names": None if class_names is None else texts(class_names),
        "preprocessing": preprocessing(model),
    }
    beside = file.with_name(f"{file.name}.part")
    try:
        with zipfile.ZipFile(file) as former, zipfile.ZipFile(beside, "w") as archive:
            for member in former.infolist():
                with former.open(member) as content, archive.open(copy.copy(member), "w") as written:
                    if member.filename == _METADATA:
                        written.write(json.dumps({**json.load(content), **said}).encode())
                    else:
                        shutil.copyfileobj(content, written)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
