"""Source models: trained on a clone or a data set once, kept, and reused."""

import dataclasses
import os
import time
from pathlib import Path

import keras
import numpy as np

from kdefrost import fingerprint, kept, training
from kdefrost.arguments import as_path, as_whole, check_kind
from kdefrost.clones.gaussian import CLONES
from kdefrost.clones.making import check_clone, clone_settings, is_clone, make_clone
from kdefrost.cutting.channels import CHANNELS_FIRST, input_format_of
from kdefrost.cutting.ends import check_input
from kdefrost.cutting.features import Inference
from kdefrost.cutting.graph import Graph
from kdefrost.cutting.initialization import reinitialize
from kdefrost.cutting.surgery import join
from kdefrost.data.channels import standardization
from kdefrost.data.colors import mode_of
from kdefrost.data.examples import ImageData
from kdefrost.data.image_files import ImageFiles
from kdefrost.data.images import load_data
from kdefrost.models.networks import build_model
from kdefrost.progress import share_bar
from kdefrost.training.recipe import AutoencoderRecipe, Recipe

# Changed whenever the same settings come to mean another network.
_FORMAT = 3


def train_source(
    name: str | ImageData,
    target: ImageData,
    model: str,
    recipe: Recipe,
    directory: str | os.PathLike,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    autoencoder: AutoencoderRecipe | None = None,
    clone_seed: int = 0,
    verbose: bool = True,
) -> keras.Model:
    """Trains a network on a source data set, or takes the one that was trained before.

    The images are standardised per channel by their own training set's statistics.

    Args:
        name: A clone's name, for that clone of `target`; a data set's, for `load_data`, in the
            target's colours; or a data set itself.
        target: The target data set.
        model: Name of the network, for `build_model`.
        recipe: How to train it.
        directory: Folder in which trained sources are kept, in its `sources`, and clones and
            autoencoders, as `make_clone` says.
        seed: Seed of initialisation and order.
        data_dir: Folder of TensorFlow Datasets.
        autoencoder: How the autoencoder of a clone `ae<k>` is trained, as for `make_clone`.
        clone_seed: Seed of the clone, on which networks of several seeds can be trained.
        verbose: Whether to print what is done and show a progress bar.

    Returns:
        The trained model.

    Raises:
        ValueError: If there is no such clone, data set or network, or the source's images
            differ in shape from the target's.
    """
    name, data = _look_up(name, target, data_dir, clone_seed)
    origin, folder, settings = _address(name, data, target, model, recipe, directory, seed, autoencoder, clone_seed)
    network = kept.load_model(folder)
    if network is not None:
        if verbose:
            print(f"Source: reusing {folder}")
        return network
    if data is None:
        data = make_clone(name, target, clone_seed, recipe=autoencoder, directory=directory, verbose=verbose)
    network = build_model(model, len(data.classes), data.image_shape)
    start = time.perf_counter()
    accuracy = _train(network, data, recipe, seed, verbose)
    report = {"test_accuracy": accuracy, "seconds": round(time.perf_counter() - start, 1)}
    with kept.writing(folder, {**settings, **report}) as beside:
        network.save(beside / "model.keras")
    if verbose:
        print(f"Source {origin}: test accuracy {100 * accuracy:.1f} % on its own data; kept in\n  {folder}")
    return network


def kept_source(
    name: str | ImageData,
    target: ImageData,
    model: str,
    recipe: Recipe,
    directory: str | os.PathLike,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    autoencoder: AutoencoderRecipe | None = None,
    clone_seed: int = 0,
) -> keras.Model | None:
    """Takes the network that `train_source` would take with the same arguments, and trains none.

    Args:
        name: As for `train_source`, like all others.

    Returns:
        The trained model, `None` where none is kept.

    Raises:
        ValueError: As `train_source`.
    """
    name, data = _look_up(name, target, data_dir, clone_seed)
    return kept.load_model(_address(name, data, target, model, recipe, directory, seed, autoencoder, clone_seed)[1])


def _look_up(name: str | ImageData, target: ImageData, data_dir, clone_seed: int) -> tuple[str, ImageData | None]:
    """A source's name, and its images where it is no clone of the target, which is not made yet."""
    check_kind("target", target, ImageData, "an ImageData, as of kdefrost.load_data")
    if isinstance(name, ImageData):
        return name.name, name
    if not is_clone(name):
        return name, _other_data(name, target, data_dir)
    check_clone(name, target, seed=clone_seed)
    return name, None


def _address(name, data, target, model, recipe, directory, seed, autoencoder, clone_seed) -> tuple[str, Path, dict]:
    """What people call a source, the folder in which its network is kept, and all that it depends on."""
    check_kind("recipe", recipe, Recipe, "a kdefrost.Recipe")
    as_whole("seed", seed, least=0)
    settings = {
        "source": name,
        "clone": clone_settings(name, target, clone_seed, recipe=autoencoder) if data is None else None,
        "data": None if data is None else [len(data.classes), fingerprint.of_content(*data.train)],
        "model": model,
        "recipe": dataclasses.asdict(recipe),
        "seed": int(seed),
        "format": _FORMAT,
    }
    origin = f"{name}-{target.name}" if data is None else data.name
    return origin, kept.address(as_path("directory", directory) / "sources", f"{origin}-{model}", settings), settings


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
    if is_clone(name):
        check_clone(name, target)
    data = target if is_clone(name) else _other_data(name, target, data_dir)
    return len(data.classes), len(data.train.labels)


def standardized(model: keras.Model, images: np.ndarray | ImageFiles) -> keras.Model:
    """Puts before a model what gives images mean 0 and deviation 1 in each channel.

    Args:
        model: A model that was trained on such images.
        images: Images as the model takes them, `(examples, height, width, channels)` or with the channels
            first, whose mean and deviation are taken, over all their pixels.

    Returns:
        A new model that takes images as they are; `model` is not changed.

    Raises:
        ValueError: If `model` has no graph of layers or several inputs, or `images` are no images of finite numbers.
    """
    graph = Graph(model)
    check_input(graph)
    inputs = keras.Input(model.inputs[0].shape[1:], name="image")
    axis = 1 if input_format_of(graph) == CHANNELS_FIRST else -1
    return join(keras.Model(inputs, standardization(images, axis=axis)(inputs)), model)


def _other_data(name: str, target: ImageData, data_dir) -> ImageData:
    """A source that is a data set of its own."""
    try:
        # In the target's colours, whichever the source's own are.
        data = load_data(name, data_dir, None, mode_of(target.image_shape[2]))
    except ValueError as error:
        clones = ", ".join([*CLONES, "ae<k>"])
        raise ValueError(f"Source {name!r} is no clone ({clones}), no .keras file and no data set. {error}") from error
    if data.image_shape != target.image_shape:
        raise ValueError(
            f"Source {name!r} has images of shape {data.image_shape}, target {target.name!r} of {target.image_shape}; "
            "take a source with images of the same shape, or load them with `image_size` and `color_mode`."
        )
    return data


def _train(network: keras.Model, data: ImageData, recipe: Recipe, seed: int, verbose: bool) -> float:
    """Trains a new network in place and returns its accuracy on the test set."""
    # Training on a compiled twin leaves the network that is kept free of an optimiser.
    twin = keras.models.clone_model(network)
    reinitialize(twin, seed)
    whole = keras.Sequential([keras.Input(data.image_shape), standardization(data.train.images), twin])
    training.compile_model(whole, recipe)
    with share_bar(f"Training source on {data.name}", verbose) as report:
        training.fit(whole, *data.train, recipe, seed, on_progress=report)
    network.set_weights(twin.get_weights())
    (outputs,) = Inference(whole)(data.test.images)
    return float(np.mean(outputs.argmax(axis=1) == data.test.labels))
