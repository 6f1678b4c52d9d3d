"""What becomes of many models: both sides of cuts are held to the whole, a profile is run, its best model exported."""

import json
import multiprocessing
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import kdefrost
from kdefrost.cutting.trainable import trainable_cuts
from scripts.benches.every_layer import LAYERS, layer_model, numbers_of
from scripts.benches.hub import hub_models

SIDE = 96
# The smallest of each family come first.
# fmt: off
APPLICATIONS = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "NASNetMobile",
    "DenseNet121", "ResNet50", "ResNet50V2", "VGG16", "Xception", "InceptionV3", "ConvNeXtTiny", "InceptionResNetV2",
    "MobileNetV3Large", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5",
    "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2S",
    "EfficientNetV2M", "EfficientNetV2L", "DenseNet169", "DenseNet201", "ResNet101", "ResNet101V2", "ResNet152",
    "ResNet152V2", "VGG19", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge", "NASNetLarge",
)
# fmt: on
KINDS = ("layers", "hub", "applications")


def bench_models(kinds: list[str], out: str):
    """Goes through the models of some kinds, and writes a line of JSON for each as it ends."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=20) as processes, Path(out).open("a") as file:
        asked = [(kind, name) for kind in kinds for name in names_of(kind)]
        for row in processes.imap(examine, asked, chunksize=1):
            print(json.dumps(row), file=file, flush=True)
            print("  ".join(f"{value}" for value in row.values()), flush=True)


def names_of(kind: str) -> list[str]:
    return list({"layers": LAYERS, "hub": hub_models(), "applications": dict.fromkeys(APPLICATIONS)}[kind])


def examine(asked: tuple[str, str]) -> dict:
    """What becomes of one model; where it ends in an error, its first line."""
    kind, name = asked
    start = time.perf_counter()
    row = {"kind": kind, "name": name, "weights": 0, "cuts": 0, "left_out": 0}
    row |= {"parity": None, "profile": None, "export": None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            go_through(kind, name, row)
    # Whatever a model ends in is what is looked for.
    except Exception as error:
        row["ended"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row["seconds"] = round(time.perf_counter() - start, 1)
    return row


def go_through(kind: str, name: str, row: dict):
    """Fills a row step by step, so that it tells how far a model came."""
    model, examples = model_of(kind, name)
    every = kdefrost.cut_points(model)
    cuts = trainable_cuts(model, every)
    row.update(weights=model.count_params(), cuts=len(every), left_out=len(every) - len(cuts))
    if kind != "layers":
        cuts = [cuts[place] for place in sorted({0, len(cuts) // 2, len(cuts) - 1})]
    row["parity"] = max(difference(model, cut, examples) for cut in cuts)
    defroster = kdefrost.Defroster(model, recipe=kdefrost.Recipe(epochs=1), cuts=cuts[-2:])
    labelled = examples, np.arange(len(examples)) % 3
    profile = defroster.profile(labelled, test=labelled, seeds=1, verbose=False)
    row["profile"] = [round(float(score), 3) for score in profile.mean(None, "test")]
    best = defroster.best_model(profile, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        kdefrost.export(best, Path(folder) / "model")
        row["export"] = sorted(path.name for path in (Path(folder) / "model").glob("*.[pk]*"))


def model_of(kind: str, name: str) -> tuple[keras.Model, np.ndarray]:
    """A model and some examples for it."""
    keras.utils.set_random_seed(0)
    if kind == "layers":
        return layer_model(name), numbers_of(LAYERS[name][0], 12)
    if kind == "hub":
        model = hub_models()[name]()
    else:
        model = getattr(keras.applications, name)(weights=None, classes=5, input_shape=(SIDE, SIDE, 3))
    shape = model.input_shape[1:] if not isinstance(model.input_shape, (list, dict)) else (8,)
    return model, np.random.default_rng(0).uniform(0, 255, (12, *shape)).astype("float32")


def difference(model: keras.Model, cut, examples: np.ndarray) -> float:
    """By how much both sides of a cut differ from the whole, in the units of the largest number."""
    extractor, tail = kdefrost.split(model, cut)
    few = tf.constant(examples[:3])
    answers = np.asarray(tail(extractor(few, training=False), training=False))
    expected = np.asarray(model(few, training=False))
    return float(f"{np.abs(answers - expected).max() / max(1.0, np.abs(expected).max()):.1g}")
