"""Clones: synthetic stand-ins for a data set, from the crudest to the closest.

A clone has the labels of its original and images that share some of the original's
statistics, class by class, or what passes through an autoencoder's bottleneck, so that a
network trained on it differs from one trained on the original by the input distribution
alone.
"""

import dataclasses
import os
import re

import keras
import numpy as np

from kdefrost import fingerprint, kept
from kdefrost.arguments import as_whole, check_kind
from kdefrost.clones.autoencoders import autoencoder, check_autoencoder, compute_dtype, train_autoencoder
from kdefrost.clones.gaussian import CLONES, sampled
from kdefrost.clones.moments import squared_error
from kdefrost.cutting.features import Inference
from kdefrost.data.channels import channel_statistics
from kdefrost.data.examples import Examples, ImageData
from kdefrost.files import check_folder
from kdefrost.progress import share_bar
from kdefrost.training.recipe import PRESETS, AutoencoderRecipe

# Changed whenever the same settings come to mean another clone.
_FORMAT = 1


def is_clone(name: str) -> bool:
    """Whether `make_clone` knows a name: `isogm`, `gm`, or `ae` and a number."""
    return name in CLONES or bottleneck(name) is not None


def bottleneck(name: str) -> int | None:
    """The bottleneck of an autoencoder clone `ae<k>`, k from 1; None for all other names."""
    match = re.fullmatch(r"ae([1-9]\d*)", str(name))
    return int(match[1]) if match else None


def make_clone(
    name: str,
    data: ImageData,
    seed: int = 0,
    per_class: int | None = None,
    test_per_class: int | None = None,
    recipe: AutoencoderRecipe | None = None,
    directory: str | os.PathLike | None = "saved_models",
    verbose: bool = True,
) -> ImageData:
    """Makes a synthetic stand-in for a data set, or takes the one that was made before.

    `isogm` and `gm`: per class, a Gaussian is fitted to the training images. `isogm` is
    isotropic: the class mean and one variance, the mean of the pixels' variances. `gm` has
    the class mean and the full covariance (divided by the number of images). Train and test
    are samples of the same Gaussians.

    `ae<k>`, such as `ae32`: an autoencoder with a bottleneck of k numbers is trained on the
    training images; train and test are its reconstructions of the original's. A source
    that is trained on it has seen, but for what the bottleneck loses, the original's training
    images with their labels. So it flatters scores on images held out of these, not on the
    original's test images.

    Images are floats, neither clipped nor rounded.

    Args:
        name: One of `CLONES`, or `ae<k>` with k from 1 to the numbers of an image.
        data: The original. For `ae<k>` its images are square, their size is divisible by 8,
            and they have one or three channels.
        seed: Seed of the samples, or of the autoencoder's initialisation and order.
        per_class: Number of training samples per class; by default as the original has. Not
            for `ae<k>`, which has one for each of the original's.
        test_per_class: Number of test samples per class, likewise.
        recipe: How an autoencoder is trained; by default as in the preset `laptop`.
        directory: Folder in which clones are kept, in its `clones`, and trained
            autoencoders, in its `autoencoders`, as large as the images in float32; `None`
            keeps nothing.
        verbose: Whether to print what is done and show a progress bar.

    Returns:
        An `ImageData` with float32 images. Where the numbers are the original's, so are
        the labels, in their order.

    Raises:
        ValueError: If there is no such clone, a class has no image, a number is not
            positive, or an autoencoder cannot take such images or has none so wide a
            bottleneck.

    Example:

    ```python
    digits = kdefrost.load_data("digits")
    clone = kdefrost.make_clone("gm", digits, per_class=100)
    assert clone.train.images.shape == (1000, 8, 8, 1)
    ```
    """
    check_clone(name, data, per_class, test_per_class, seed)
    if recipe is not None:
        check_kind("recipe", recipe, AutoencoderRecipe, "a kdefrost.AutoencoderRecipe, or None")
    if directory is not None:
        check_folder(directory)
    recipe = None if bottleneck(name) is None else resolved(recipe)
    counts = {"per_class": per_class, "test_per_class": test_per_class}
    if directory is None:
        return _make(name, data, seed, counts, recipe, None, verbose)
    settings = clone_settings(name, data, seed, per_class, test_per_class, recipe)
    folder = kept.address(os.path.join(directory, "clones"), f"{name}-{data.name}", settings)
    if kept.is_whole(folder):
        if verbose:
            print(f"Clone: reusing {folder}", flush=True)
        return _read(folder, data, name)
    clone = _make(name, data, seed, counts, recipe, directory, verbose)
    with kept.writing(folder, settings) as beside:
        for part in ("train", "test"):
            examples = getattr(clone, part)
            np.save(beside / f"{part}_images.npy", examples.images)
            np.save(beside / f"{part}_labels.npy", examples.labels)
    return clone


def clone_settings(
    name: str,
    data: ImageData,
    seed: int = 0,
    per_class: int | None = None,
    test_per_class: int | None = None,
    recipe: AutoencoderRecipe | None = None,
) -> dict:
    """All that a clone depends on, as JSON holds it.

    Args:
        name: Name of the clone, as all arguments, as for `make_clone`.
        data: The original; images in files are read once.
        seed: Seed of the clone.
        per_class: Number of training samples per class.
        test_per_class: Number of test samples per class.
        recipe: How an autoencoder is trained.

    Returns:
        A dict.
    """
    issampled = bottleneck(name) is None
    return {
        "clone": name,
        "original": data.name,
        "data": fingerprint.of_content(*data.train, *data.test),
        "seed": int(seed),
        "per_class": per_class and int(per_class),
        "test_per_class": test_per_class and int(test_per_class),
        "autoencoder": None if issampled else _autoencoder_settings(name, data, seed, resolved(recipe)),
        "format": _FORMAT,
    }


def check_clone(
    name: str, data: ImageData, per_class: int | None = None, test_per_class: int | None = None, seed: int = 0
) -> None:
    """Refuses a clone that cannot be made, as `make_clone` does, before anything is computed.

    Args:
        name: Name of the clone, as all arguments, as for `make_clone`.
        data: The original.
        per_class: Number of training samples per class.
        test_per_class: Number of test samples per class.
        seed: Seed of the clone.

    Raises:
        ValueError: As `make_clone`.
    """
    as_whole("seed", seed, least=0)
    check_kind("data", data, ImageData, "an ImageData, as of kdefrost.load_data")
    if not is_clone(name):
        known = ", ".join(CLONES)
        raise ValueError(
            f"There is no clone {name!r}: it must be one of {known}, or ae<k> with k from 1, such as ae32."
        )
    if data.test is None:
        raise ValueError("`data` must have test images, which a clone has too: load it with a `test_share` above 0.")
    for argument, value in {"per_class": per_class, "test_per_class": test_per_class}.items():
        if value is not None and bottleneck(name) is not None:
            raise ValueError(
                f"`{argument}` is for the clones {', '.join(CLONES)}; {name} has one image for each of the original's. "
                f"Received: {argument}={value}"
            )
        if value is not None:
            as_whole(argument, value, least=1)
    if bottleneck(name) is not None:
        try:
            check_autoencoder(bottleneck(name), data.image_shape)
        except ValueError as error:
            raise ValueError(f"There is no clone {name} of {data.name!r}: {error}") from error
        return
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    if not counts.all():
        raise ValueError(f"Class {data.classes[int(counts.argmin())]!r} of {data.name!r} has no training image.")


def _make(name, data: ImageData, seed: int, counts: dict, recipe, directory, verbose: bool) -> ImageData:
    if verbose:
        print(f"Making the clone {name} of {data.name} …", flush=True)
    if recipe is None:
        return _as_clone(name, data, *sampled(name, data, seed, **counts))
    return _reconstructed(name, data, _autoencoder(name, data, seed, recipe, directory, verbose), verbose)


def _read(folder, data: ImageData, name: str) -> ImageData:
    train, test = (
        Examples(*(np.load(folder / f"{part}_{which}.npy") for which in ("images", "labels")))
        for part in ("train", "test")
    )
    return _as_clone(name, data, train, test)


def _as_clone(name: str, data: ImageData, train: Examples, test: Examples) -> ImageData:
    # Samples are nobody's; reconstructions are of whom the original was.
    groups = None if bottleneck(name) is None else data.groups
    parts = {"train": train, "test": test, "validation": None}
    return dataclasses.replace(data, name=f"{name}-{data.name}", groups=groups, **parts)


def resolved(recipe: AutoencoderRecipe | None) -> AutoencoderRecipe:
    """The recipe of an autoencoder as this machine follows it.

    Args:
        recipe: The recipe; `None` is that of the preset `laptop`.

    Returns:
        The recipe with the precision that is computed in.
    """
    recipe = PRESETS["laptop"].autoencoder if recipe is None else recipe
    return dataclasses.replace(recipe, dtype=compute_dtype(recipe))


def _autoencoder_settings(name: str, data: ImageData, seed: int, recipe: AutoencoderRecipe) -> dict:
    return {
        "images": fingerprint.of_content(data.train.images),
        "architecture": fingerprint.of_layer(autoencoder(bottleneck(name), data.image_shape)),
        "recipe": dataclasses.asdict(recipe),
        "seed": int(seed),
        "format": _FORMAT,
    }


def _autoencoder(name, data: ImageData, seed: int, recipe: AutoencoderRecipe, directory, verbose) -> keras.Model:
    """The trained autoencoder of a clone, trained now or before."""

    def train() -> keras.Model:
        with share_bar(f"Training the autoencoder {name}", verbose) as report:
            return train_autoencoder(data.train.images, bottleneck(name), recipe, seed, on_progress=report)

    if directory is None:
        return train()
    settings = _autoencoder_settings(name, data, seed, recipe)
    folder = kept.address(os.path.join(directory, "autoencoders"), f"{name}-{data.name}", settings)
    model = kept.load_model(folder)
    if model is None:
        model = train()
        with kept.writing(folder, settings) as beside:
            model.save(beside / "model.keras")
    elif verbose:
        print(f"Autoencoder: reusing {folder}", flush=True)
    return model


def _reconstructed(name: str, data: ImageData, model: keras.Model, verbose: bool) -> ImageData:
    """Every image of a data set as an autoencoder gives it back, with its label."""
    infer, total = Inference(model), len(data.train.labels) + len(data.test.labels)
    done, parts = 0, []
    with share_bar(f"Reconstructing {data.name}", verbose) as report:

        def on_progress(examples: int):
            nonlocal done
            done += examples
            report(done / total)

        for images, labels in (data.train, data.test):
            (reconstructions,) = infer(images, on_progress=on_progress)
            parts.append(Examples(reconstructions, labels))
    if verbose:
        lost = squared_error(parts[1].images, data.test.images, channel_statistics(data.train.images)[1])
        print(f"{name} loses {100 * lost:.1f} % of the variance of the test images.", flush=True)
    return _as_clone(name, data, *parts)
