"""Comparisons of two networks, kept on disk and found there again."""

import os
from pathlib import Path

import keras

from kdefrost import fingerprint, kept
from kdefrost.similarity.networks import layerwise
from kdefrost.similarity.representations import Settings
from kdefrost.similarity.result import LayerwiseSimilarity


def kept_layerwise(
    model_a: keras.Model,
    model_b: keras.Model,
    images,
    directory: str | os.PathLike,
    layers="blocks",
    memory_budget: int = 2**30,
    verbose: bool = True,
) -> LayerwiseSimilarity:
    """Compares two networks as `layerwise` does by default, or takes the comparison that was made before.

    Args:
        model_a: A network, as all arguments but one as for `layerwise`.
        model_b: The other one.
        images: What both take, an array.
        directory: Folder in which comparisons are kept.
        layers: Where to compare.
        memory_budget: Bytes that features may take, and again what is computed from them.
        verbose: Whether to show progress.

    Returns:
        The `LayerwiseSimilarity`.

    Raises:
        ValueError: As `layerwise`.
    """
    settings = {
        "source": fingerprint.of_model(model_a),
        "target": fingerprint.of_model(model_b),
        "images": fingerprint.of_content(images),
        "layers": layers,
        **Settings().as_dict(),
    }
    place = kept.address(Path(directory), "pair", settings)
    if not kept.is_whole(place):
        result = layerwise(model_a, model_b, images, layers, memory_budget=memory_budget, verbose=verbose)
        with kept.writing(place, settings) as beside:
            result.save(beside / "similarity.json")
    return LayerwiseSimilarity.load(place / "similarity.json")
