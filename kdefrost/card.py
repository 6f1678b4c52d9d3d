"""What an exported model takes and gives, how it is loaded, where it comes from, and how good it is."""

from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.cutting.objects import held
from kdefrost.data.colors import COLOR_MODES
from kdefrost.files import versions
from kdefrost.profile import DefrostProfile
from kdefrost.signature import output_name, preprocessing
from kdefrost.tables import format_score, label_of, markdown

KERAS_FILE = "model.keras"
# Measured; see docs/choice.md.
FLATTERY = "On eleven recorded situations the two together came to between -4.2 and +3.3 points."


def model_card(
    model: keras.Model,
    profile: DefrostProfile | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] | None = None,
    missing: str | None = None,
) -> str:
    """Describes a model in Markdown: what it takes and gives, where it comes from, and how good it is.

    Args:
        model: The model.
        profile: The profile that it is of.
        per_class: The size that it was trained with; by default the largest.
        class_names: Names of the classes.
        missing: Why there is no `.keras` file beside it; `None` where there is one.

    Returns:
        The text.
    """
    title = "Model" if profile is None else f"{profile.configuration.get('source_name', 'A network')}, transferred"
    lines = [f"# {title}", "", f"Takes {_shape(model.inputs[0])}, gives {_shape(model.outputs[0])}."]
    if class_names is not None:
        # Names of folders may have several lines.
        names = [" ".join(str(name).split()) for name in class_names]
        of_second = len(names) > model.outputs[0].shape[-1]
        of_which = f" The output is of the second, {names[1]}." if of_second else ""
        lines.append(f"Classes, in order: {', '.join(names)}.{of_which}")
    if profile is not None:
        lines += ["", *_facts(profile, profile.per_class[-1] if per_class is None else per_class)]
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    loading = _keras_lines(model) if missing is None else [f"There is no `{KERAS_FILE}`: {missing}", ""]
    texts = [*_reading(model), *_texts(model.inputs[0]), _SAVED_MODEL, *_named(model, class_names), *loading]
    return "\n".join([*lines, "", *texts, f"Written with {packages}.", ""])


_SAVED_MODEL = """With TensorFlow alone; `folder` is the one that this card is in:

```python
import tensorflow as tf

loaded = tf.saved_model.load(folder)
outputs = loaded.serve(images)
```
"""


def _named(model: keras.Model, class_names: Sequence[str] | None) -> list[str]:
    """How to have the outputs by name."""
    name, names = output_name(model), class_names is not None
    lines = [f'{name} = named["{name}"].numpy()']
    if names:
        lines.append('class_names = [name.decode() for name in named["class_names"].numpy()[0]]')
    code = "\n".join(lines)
    return [
        f"""By name{", a column for each class, with the classes' names" if names else ""}:

```python
named = loaded.signatures["serving_default"](tf.constant(images))
{code}
```
"""
    ]


def _keras_lines(model: keras.Model) -> list[str]:
    """How Keras loads the file of a model, with what it needs of the user's own."""
    own, batch = own_objects(model), model.inputs[0].shape[0]
    unknown = ", ".join(f'"{name}": {thing.__name__}' for name, thing in own.items() if not _is_registered(thing))
    arguments = [f", custom_objects={{{unknown}}}" if unknown else ""]
    arguments.append(", safe_mode=False" if holds_code(model) else "")
    words = ["With Keras alone:"]
    if own:
        words = [f"Keras needs what is not its own, to load it: {', '.join(thing.__name__ for thing in own.values())}."]
    if holds_code(model):
        words.append("The file holds a function (of a Lambda layer), which runs where it is loaded.")
    return [
        " ".join(words),
        "",
        "```python",
        "import keras",
        *sorted({_import_line(thing) for thing in own.values()}),
        "",
        f'model = keras.models.load_model(f"{{folder}}/{KERAS_FILE}"{"".join(arguments)})',
        f"outputs = model.predict(images{'' if batch is None else f', batch_size={batch}'})",
        "```",
        "",
        "The file is a zip archive, whose `metadata.json` says the classes and how image files are read.",
        "",
    ]


def own_objects(model: keras.Model) -> dict[str, object]:
    """The classes and functions in a model's configuration that are not Keras's, by the names that they have there."""
    named = {name for name, _ in _serialized(model.get_config())}
    # An object without a name is in no configuration.
    found = [thing for thing in held(model) if hasattr(thing, "__name__")]
    known = {keras.saving.get_registered_name(thing): thing for thing in found}
    return {name: thing for name, thing in sorted(known.items()) if name in named}


def holds_code(model: keras.Model) -> bool:
    """Whether a model's configuration holds Python code, which Keras loads only with `safe_mode=False`."""
    return any(kind == "__lambda__" for _, kind in _serialized(model.get_config()))


def _serialized(config) -> list[tuple[str, str]]:
    """The names and kinds of all objects in a configuration."""
    if not isinstance(config, (dict, list, tuple)):
        return []
    inside = config.values() if isinstance(config, dict) else config
    found = [pair for value in inside for pair in _serialized(value)]
    if isinstance(config, dict) and "class_name" in config:
        kind = config["class_name"]
        name = config.get("config") if kind == "function" else config.get("registered_name") or kind
        found.append((str(name), kind))
    return found


def _is_registered(thing) -> bool:
    return keras.saving.get_registered_object(keras.saving.get_registered_name(thing)) is not None


def _import_line(thing) -> str:
    """Where a class or function comes from, as code."""
    if thing.__module__ == "__main__" or thing.__qualname__ != thing.__name__:
        return f"# {thing.__name__} must be here, as it is where the model was made."
    return f"from {thing.__module__} import {thing.__name__}"


def _texts(taken) -> list[str]:
    """How to hand over texts; nothing for a model that takes none."""
    if taken.dtype != "string":
        return []
    shape = ", ".join("-1" if size is None else str(size) for size in (None, *taken.shape[1:]))
    return [
        f"""Texts, from a list of them:

```python
import tensorflow as tf

images = tf.reshape(tf.constant(texts), [{shape}])
```
"""
    ]


def _reading(model: keras.Model) -> list[str]:
    """How to read an image file as `load_data` does; nothing for a model that takes no images."""
    read = preprocessing(model)
    if read is None:
        return []
    height, width, (mode, channels) = read["height"], read["width"], COLOR_MODES[read["color_mode"]]
    text = f"""An image file, read as those of a folder that kdefrost trains on, with values from 0 to 255:

```python
import numpy as np
from PIL import Image, ImageOps

with Image.open(file) as image:
    # Phones store an upright photograph lying on its side, and note that in the file.
    image = ImageOps.exif_transpose(image).convert("{mode}")
image = image.resize(({width}, {height}), Image.Resampling.BILINEAR)
images = np.asarray(image, "{model.inputs[0].dtype}").reshape(1, {height}, {width}, {channels})
```
"""
    return [text]


def _facts(profile: DefrostProfile, per_class: int | None) -> list[str]:
    cut, on, known = profile.best_cut(per_class), profile.reported_on, profile.configuration
    trial = profile.best_trial(per_class) if profile.folds is None else None
    tried = sorted({t.seed for t in profile.trials if (t.cut, t.per_class) == (cut.index, profile.size(per_class))})
    seeds, objective = ", ".join(map(str, tried)), label_of(profile.objective.name)
    chosen = "cut" if trial is None else "cut and seed"
    rows = [
        ("source", known.get("source_name", "not named")),
        ("target", known.get("target", "not named")),
        ("cut", f"{cut.index}, after `{cut.name}`: {cut.frozen_layers} of {cut.layers} layers frozen"),
        ("trained on", profile.size_text(per_class) + (f", seed {trial.seed} of {seeds}" if trial else "")),
        ("recipe", ", ".join(f"{name} {value}" for name, value in known.get("recipe", {}).items()) or "unknown"),
        (f"{chosen} chosen by", f"{objective} on {profile.chooser()}{_searched(profile, per_class)}"),
        ("fingerprint of the source", known.get("source", "unknown")),
        ("fingerprints of the data", ", ".join(f"{k} {v}" for k, v in known.get("data", {}).items()) or "unknown"),
    ]
    own = [] if trial is None else ["this model"]
    scores = [["metric", *own, f"its cut, {_blocks(profile, per_class)}", "scratch", "only the output layer"]]
    for metric in profile.metrics:
        own = [] if trial is None else [format_score(metric, getattr(trial, on)[metric])]
        scores.append([f"{profile.set_name(on)} {label_of(metric)}", *own, *_cut_scores(profile, per_class, metric)])
    facts, scores = (markdown(table, left=range(len(table[0]))) for table in ([("", ""), *rows], scores))
    return [facts, "", scores, "", _note(profile), *_cautions(profile, profile.size(per_class))]


def _cautions(profile: DefrostProfile, size: int | None) -> list[str]:
    """What deserves a word of the profile, or of this size of it."""
    said = [f"- {each.sentence}" for each in profile.warnings if not each.sizes or size in each.sizes]
    return ["", "Before you believe these scores:", "", *said] if said else []


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


def _blocks(profile: DefrostProfile, per_class: int | None) -> str:
    """Of how much the mean at the best cut is taken."""
    at, size = profile.best_cut(per_class).index, profile.size(per_class)
    count = sum((trial.cut, trial.per_class) == (at, size) for trial in profile.trials)
    return f"{count} {'seed' if profile.folds is None else 'fold'}{'s' if count > 1 else ''}"


def _searched(profile: DefrostProfile, per_class: int | None) -> str:
    """That a search has tried some cuts alone; nothing where all was asked."""
    if not profile.searched:
        return ""
    size = profile.size(per_class)
    tried = len({trial.cut for trial in profile.trials if trial.per_class == size})
    return f", by a search that tried {tried} of {len(profile.cuts)} cuts"


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
