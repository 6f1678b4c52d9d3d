"""Source models: trained on a clone or a data set once, kept, and reused."""

import dataclasses
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from kdefrost import fingerprint, training
from kdefrost.clones import CLONES, make_clone
from kdefrost.cuts import join
from kdefrost.data import ImageData, channel_statistics, load_data
from kdefrost.features import Inference
from kdefrost.initialization import reinitialize
from kdefrost.models import build_model, load_source
from kdefrost.recipe import Recipe
from kdefrost.trials import versions, write_atomically

# Changed whenever the same settings come to mean another network.
_FORMAT = 1


def train_source(
    name: str,
    target: ImageData,
    model: str,
    recipe: Recipe,
    directory: str | os.PathLike,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    verbose: bool = True,
) -> keras.Model:
    """Trains a network on a source data set, or takes the one that was trained before.

    The images are standardised per channel by their own training set's statistics.

    Args:
        name: A clone's name, for that clone of `target`, or a data set's, for `load_data`.
        target: The target data set.
        model: Name of the network, for `build_model`.
        recipe: How to train it.
        directory: Folder in which trained sources are kept.
        seed: Seed of clone, initialisation and order.
        data_dir: Folder of TensorFlow Datasets.
        verbose: Whether to print what is done and show a progress bar.

    Returns:
        The trained model.

    Raises:
        ValueError: If there is no such clone, data set or network, or the source's images
            differ in shape from the target's.
    """
    settings = {
        "source": name,
        "clone_of": {"name": target.name, "data": fingerprint.of_arrays(target.train.images, target.train.labels)}
        if name in CLONES
        else None,
        "image_shape": list(target.image_shape),
        "model": model,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "format": _FORMAT,
    }
    origin = f"{name}-{target.name}" if name in CLONES else name
    path = Path(directory) / f"{origin.replace('/', '-')}-{model}-{fingerprint.of_settings(settings)[:8]}.keras"
    kept = _load_kept(path, verbose)
    if kept is not None:
        return kept
    is_clone = name in CLONES
    source_data = _clone(name, target, seed, verbose) if is_clone else _other_data(name, target, data_dir)
    network = build_model(model, len(source_data.classes), source_data.image_shape)
    start = time.perf_counter()
    accuracy = _train(network, source_data, recipe, seed, verbose)
    report = {**settings, "test_accuracy": accuracy, "seconds": round(time.perf_counter() - start, 1)}
    _keep(network, path, {**report, "versions": versions()})
    if verbose:
        print(f"Source {origin}: test accuracy {100 * accuracy:.1f} % on its own data; kept in {path}")
    return network


def source_size(name: str, target: ImageData, data_dir: str | os.PathLike | None = None) -> tuple[int, int]:
    """Says how large a source is, without making it where it is a clone.

    Args:
        name: A clone's name or a data set's, as for `train_source`.
        target: The target data set.
        data_dir: Folder of TensorFlow Datasets.

    Returns:
        `(classes, training images)`.

    Raises:
        ValueError: If there is no such source, or its images differ in shape from the
            target's.
    """
    data = target if name in CLONES else _other_data(name, target, data_dir)
    return len(data.classes), len(data.train.labels)


def standardized(model: keras.Model, images) -> keras.Model:
    """Puts before a model what gives images mean 0 and deviation 1 in each channel.

    Args:
        model: A model that was trained on such images.
        images: Images `(examples, height, width, channels)` whose mean and deviation are
            taken, over all their pixels.

    Returns:
        A new model that takes images as they are; `model` is not changed.
    """
    inputs = keras.Input(model.inputs[0].shape[1:], name="image")
    return join(keras.Model(inputs, _standardization(images)(inputs)), model)


def _standardization(images) -> keras.layers.Normalization:
    mean, deviation = channel_statistics(images)
    return keras.layers.Normalization(mean=mean.tolist(), variance=np.square(deviation).tolist(), name="standardize")


def _load_kept(path: Path, verbose: bool) -> keras.Model | None:
    if not path.exists():
        return None
    try:
        model = load_source(path)
    except ValueError as error:
        print(f"{error}. It is trained anew.")
        return None
    if verbose:
        print(f"Source: reusing {path}")
    return model


def _clone(name: str, target: ImageData, seed: int, verbose: bool) -> ImageData:
    if verbose:
        print(f"Making the clone {name} of {target.name} …", flush=True)
    return make_clone(name, target, seed=seed)


def _other_data(name: str, target: ImageData, data_dir) -> ImageData:
    """A source that is a data set of its own."""
    try:
        data = load_data(name, data_dir)
    except ValueError as error:
        clones = ", ".join(CLONES)
        raise ValueError(f"Source {name!r} is no clone ({clones}), no .keras file and no data set. {error}") from error
    if data.image_shape != target.image_shape:
        raise ValueError(
            f"Source {name!r} has images of shape {data.image_shape}, target {target.name!r} of {target.image_shape}; "
            "take a source with images of the same shape."
        )
    return data


def _train(network: keras.Model, data: ImageData, recipe: Recipe, seed: int, verbose: bool) -> float:
    """Trains a new network in place and returns its accuracy on the test set."""
    # Training on a compiled twin leaves the network that is kept free of an optimiser.
    twin = keras.models.clone_model(network)
    reinitialize(twin, seed)
    whole = keras.Sequential([keras.Input(data.image_shape), _standardization(data.train.images), twin])
    training.compile_model(whole, recipe)
    bar = tqdm(
        total=1.0,
        desc=f"Training source on {data.name}",
        disable=not verbose,
        bar_format="{desc} {percentage:3.0f}% |{bar:20}| {elapsed} gone, {remaining} left",
    )
    with bar:
        training.fit(whole, *data.train, recipe, seed, on_progress=lambda share: bar.update(share - bar.n))
    network.set_weights(twin.get_weights())
    (outputs,) = Inference(whole)(data.test.images)
    return float(np.mean(outputs.argmax(axis=1) == data.test.labels))


def _keep(network: keras.Model, path: Path, report: dict):
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.part.keras")
    network.save(beside)
    write_atomically(path.with_suffix(".json"), json.dumps(report, indent=2) + "\n")
    beside.replace(path)
