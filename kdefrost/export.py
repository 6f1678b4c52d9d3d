"""Handing a model over: as SavedModel and as `.keras` file, each loaded again and compared, with a model card."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kdefrost.files import versions
from kdefrost.models.normalization import with_keras_layers
from kdefrost.profile import DefrostProfile
from kdefrost.tables import format_score, label_of, markdown

_CARD = "model_card.md"
# Measured; see docs/choice.md.
FLATTERY = "On ten recorded situations the two together came to between -4.2 and +3.3 points."
_KERAS = "model.keras"
# By so much outputs may differ, in the units of the largest: rounding in another order.
_TOLERANCE = 1e-5


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
    and its outputs for batches of one and of three are compared with the model's, before it
    takes its place.

    Args:
        model: A functional or sequential Keras model with one input and one output.
        path: Folder that is to hold `saved_model.pb`, `model.keras` and `model_card.md`. An
            earlier export there is replaced.
        profile: The profile that the model is of, whose facts the card states: those of its
            best trial, not of what may have been trained since.
        per_class: The size that the model was trained with; by default the largest.
        class_names: Names of the classes, for the card.

    Returns:
        The folder.

    Raises:
        ValueError: If `class_names` are not as many as the outputs, `path` is something
            other than an earlier export, or what is loaded again gives other outputs than the
            model.

    Example:

    ```python
    model = defroster.best_model(profile, per_class=256)
    kdefrost.export(model, "saved_models/mine", profile, per_class=256)
    loaded = tf.saved_model.load("saved_models/mine")
    probabilities = loaded.serve(images)
    ```
    """
    path = Path(path)
    outputs = model.outputs[0].shape[-1]
    if class_names is not None and len(class_names) != outputs:
        raise ValueError(f"`class_names` must be {outputs}, one for each output. Received: {list(class_names)}")
    if path.exists() and not (path / _CARD).exists():
        raise ValueError(f"`path` must be a new folder, or one of an earlier export. {path} is something else.")
    path.parent.mkdir(parents=True, exist_ok=True)
    model = with_keras_layers(model)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        beside = Path(scratch) / path.name
        _write_saved_model(model, beside)
        model.save(beside / _KERAS)
        _compare(model, beside)
        (beside / _CARD).write_text(model_card(model, profile, per_class, class_names))
        if path.exists():
            shutil.rmtree(path)
        beside.replace(path)
    return path


def model_card(
    model: keras.Model,
    profile: DefrostProfile | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] | None = None,
) -> str:
    """Describes a model in Markdown: what it takes and gives, where it comes from, and how good it is.

    Args:
        model: The model.
        profile: The profile that it is of.
        per_class: The size that it was trained with; by default the largest.
        class_names: Names of the classes.

    Returns:
        The text.
    """
    title = "Model" if profile is None else f"{profile.configuration['source_name']}, transferred"
    lines = [f"# {title}", "", f"Takes {_shape(model.inputs[0])}, gives {_shape(model.outputs[0])}."]
    if class_names is not None:
        lines.append(f"Classes, in order: {', '.join(class_names)}.")
    own = sorted({type(layer).__name__ for layer in _own_layers(model)})
    if own:
        lines.append(f"Keras needs these layers, which are not its own, to load it: {', '.join(own)}.")
    if profile is not None:
        lines += ["", *_facts(profile, profile.per_class[-1] if per_class is None else per_class)]
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join([*lines, "", *_reading(model.inputs[0]), _USE, f"Written with {packages}.", ""])


_USE = f"""```python
loaded = tf.saved_model.load(folder)  # with TensorFlow alone
outputs = loaded.serve(images)

model = keras.models.load_model(folder + "/{_KERAS}")  # with Keras alone
outputs = model.predict(images)
```
"""


def _reading(taken) -> list[str]:
    """How to read an image file as `load_data` does; nothing for a model that takes no images."""
    sizes = taken.shape[1:]
    modes = {1: "L", 3: "RGB"}
    if len(sizes) != 3 or None in sizes or sizes[-1] not in modes:
        return []
    height, width, channels = sizes
    text = f"""An image file, read as those of a folder that kdefrost trains on, with values from 0 to 255:

```python
with Image.open(file) as image:  # PIL
    # Phones store an upright photograph lying on its side, and note that in the file.
    image = ImageOps.exif_transpose(image).convert("{modes[channels]}")
image = image.resize(({width}, {height}), Image.Resampling.BILINEAR)
images = np.asarray(image, "{taken.dtype}").reshape(1, {height}, {width}, {channels})
```
"""
    return [text]


def _facts(profile: DefrostProfile, per_class: int | None) -> list[str]:
    cut, on, known = profile.best_cut(per_class), profile.reported_on, profile.configuration
    trial = profile.best_trial(per_class) if profile.folds is None else None
    seeds, objective = ", ".join(map(str, profile.seeds)), label_of(profile.objective.name)
    chosen = "cut" if trial is None else "cut and seed"
    rows = [
        ("source", known.get("source_name", "not named")),
        ("target", known.get("target", "not named")),
        ("cut", f"{cut.index}, after `{cut.name}`: {cut.frozen_layers} of {cut.layers} layers frozen"),
        ("trained on", profile.size_text(per_class) + (f", seed {trial.seed} of {seeds}" if trial else "")),
        ("recipe", ", ".join(f"{name} {value}" for name, value in known.get("recipe", {}).items()) or "unknown"),
        (f"{chosen} chosen by", f"{objective} on {profile.chooser()}"),
        ("fingerprint of the source", known.get("source", "unknown")),
        ("fingerprints of the data", ", ".join(f"{k} {v}" for k, v in known.get("data", {}).items()) or "unknown"),
    ]
    own = [] if trial is None else ["this model"]
    scores = [["metric", *own, f"its cut, {_blocks(profile)}", "scratch", "only the output layer"]]
    for metric in profile.metrics:
        own = [] if trial is None else [format_score(metric, getattr(trial, on)[metric])]
        scores.append([f"{profile.set_name(on)} {label_of(metric)}", *own, *_cut_scores(profile, per_class, metric)])
    facts, scores = (markdown(table, left=range(len(table[0]))) for table in ([("", ""), *rows], scores))
    return [facts, "", scores, "", _note(profile)]


def _cut_scores(profile: DefrostProfile, per_class: int | None, metric: str) -> list[str]:
    """The scores of a metric at the best cut and at both ends."""
    on, cuts = profile.reported_on, profile.cuts
    mean, error = profile.mean(per_class, on, metric), profile.standard_error(per_class, on, metric)
    at = cuts.index(profile.best_cut(per_class))
    ends = [
        format_score(metric, mean[i], error[i]) if there and np.isfinite(mean[i]) else "not tried"
        for i, there in ((0, cuts[0].index == 0), (-1, cuts[-1].frozen_layers == cuts[-1].layers - 1))
    ]
    return [format_score(metric, mean[at], error[at]), *ends]


def _blocks(profile: DefrostProfile) -> str:
    """Of how much a mean is taken."""
    count = len(profile.blocks)
    if profile.folds is not None:
        return f"{count} folds"
    return f"{count} seed{'s' if count > 1 else ''}"


def _note(profile: DefrostProfile) -> str:
    """How to read the scores."""
    on = profile.reported_on
    if profile.folds is None:
        flattery = (
            " Cut and seed were chosen by these very scores, which flatters them." if profile.chosen_on == on else ""
        )
        return f"± is the standard error over seeds.{flattery}"
    flattery = (
        " The cut was chosen by these very scores, which flatters them; that they are of fewer examples does the "
        f"opposite. {FLATTERY}"
        if profile.chosen_on == on
        else ""
    )
    return (
        "The scores are means over folds, of networks that were trained on the rest of the examples; this model was "
        f"trained on all of them after the cut was chosen, and has no score of its own. ± is the standard error, "
        f"corrected for what the folds have in common.{flattery}"
    )


def _shape(tensor) -> str:
    return f"{tensor.dtype} `({', '.join('batch' if size is None else str(size) for size in tensor.shape)})`"


def _write_saved_model(model: keras.Model, folder: Path):
    """Writes the model in inference mode, in which augmentation layers inside it do nothing."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    taken = model.inputs[0]
    signature = tf.TensorSpec((None, *taken.shape[1:]), taken.dtype, name="images")
    archive.add_endpoint("serve", lambda images: model(images, training=False), [signature])
    archive.write_out(folder, verbose=False)


def _compare(model: keras.Model, folder: Path):
    """Loads both again and holds them to the model, for two batch sizes."""
    # Its functions work only as long as it is there itself.
    saved_model = tf.saved_model.load(str(folder))
    own = {type(layer).__name__: type(layer) for layer in _own_layers(model)}
    # A file that was written here a moment ago may hold the user's own functions.
    loaded_file = keras.models.load_model(folder / _KERAS, custom_objects=own, compile=False, safe_mode=False)
    ways = {
        "SavedModel": saved_model.serve,
        ".keras file": lambda images: loaded_file(images, training=False),
    }
    rng = np.random.default_rng(0)
    for size in (1, 3):
        shape = (size, *model.inputs[0].shape[1:])
        # Whole numbers may be places in a table, of which 0 and 1 are there.
        largest = 255 if model.inputs[0].dtype.startswith(("float", "bfloat", "uint8")) else 2
        images = tf.cast(rng.uniform(0, largest, shape), model.inputs[0].dtype)
        expected = np.asarray(model(images, training=False))
        for name, loaded in ways.items():
            difference = np.abs(np.asarray(loaded(images)) - expected).max() / max(1.0, np.abs(expected).max())
            if not difference <= _TOLERANCE:
                raise ValueError(
                    f"`model` cannot be exported: the {name} that was written gives other outputs than it "
                    f"(by {difference:.2g} of the largest). A layer of its own may not save all that it needs."
                )


def _own_layers(model: keras.Model) -> list:
    """The layers that are not Keras's."""
    return [layer for layer in model.layers if not type(layer).__module__.startswith("keras.")]
