"""Networks compared layer by layer."""

import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from kdefrost.cutting.cut import Cut, CutList
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import each_layer
from kdefrost.data.colors import color_advice
from kdefrost.data.examples import Images
from kdefrost.data.sets import read_images
from kdefrost.devices import Strategy, in_scope
from kdefrost.progress import share_bar
from kdefrost.similarity.gram import Indistinct, Plan, Points, check_memory_budget
from kdefrost.similarity.representations import MEASURES, Settings, as_points, compare_points, itemsize
from kdefrost.similarity.result import LayerComparison, LayerwiseSimilarity

PAIRS = ("same", "all")


def layerwise(
    model_a: keras.Model | Sequence[keras.Model],
    model_b: keras.Model | Sequence[keras.Model],
    images: Images | tf.data.Dataset,
    layers: str | int | Sequence[int | str] = "blocks",
    pairs: str = "same",
    measures: Sequence[str] = tuple(MEASURES),
    form: str = "rank",
    overlap_k: int = 30,
    spearman_k: int = 100,
    memory_budget: int = 2**30,
    directory: str | os.PathLike | None = None,
    dtype: str | None = None,
    strategy: Strategy | None = None,
    verbose: bool = True,
) -> LayerwiseSimilarity:
    """Compares two networks layer by layer on the same images.

    Features go from layer to layer; of each network those of one layer are held at a time.

    Args:
        model_a: A functional or sequential Keras model with one image input; or several that differ
            in their seeds, each compared with the one in its place in `model_b`.
        model_b: The other one, or as many.
        images: What both take: an array `(images, …)`, or a `tf.data.Dataset` of batches of images, or
            of pairs with labels, which is read once.
        layers: Where to compare: `"blocks"`, `"layers"`, a number, or a list of indices or names, as
            `cut_points` takes them. The images themselves, cut 0, are only compared where a list
            names them. Where several tensors cross a cut, they make one representation together.
        pairs: `"same"` compares each layer of the one network with the one in its place in the
            other, `"all"` each with each.
        measures: As for `compare`.
        form: As for `compare`.
        overlap_k: As for `compare`.
        spearman_k: As for `compare`.
        memory_budget: Bytes that the features of both networks may take in memory; more goes to disk.
            As many again are taken for the comparison, and for images that are read from a data set.
        directory: Folder for what goes to disk; by default the system's for temporary files.
        dtype: As for `compare`.
        strategy: As for `compare`; under it features are computed too.
        verbose: Whether to show progress.

    Returns:
        A `LayerwiseSimilarity`, in which `_xy` is from `model_a` to `model_b`; NaN where a layer tells nothing,
        as one whose features are all the same, or infinite.

    Raises:
        ValueError: If the models cannot be cut or do not take such images, if layers have no
            counterpart, or another argument is none that `compare` takes.

    Warns:
        UserWarning: If a layer tells nothing, or as `compare`.

    Example:

    ```python
    result = kdefrost.similarity.layerwise(source, target, data.test.images)
    print(result.table())
    result.mean("information_imbalance_xy")  # (layers,)
    ```
    """
    settings = Settings(measures, form, overlap_k, spearman_k, dtype)
    if pairs not in PAIRS:
        raise ValueError(f"`pairs` must be one of {', '.join(PAIRS)}. Received: pairs={pairs!r}")
    check_memory_budget(memory_budget)
    models_a, models_b = _models("model_a", model_a), _models("model_b", model_b)
    if len(models_a) != len(models_b):
        raise ValueError(
            f"`model_a` and `model_b` must be as many models. Received: {len(models_a)} and {len(models_b)}"
        )
    all_cuts_a, all_cuts_b = _layers("model_a", models_a, layers), _layers("model_b", models_b, layers)
    cuts_a, cuts_b = all_cuts_a[0], all_cuts_b[0]
    if pairs == "same" and len(cuts_a) != len(cuts_b):
        raise ValueError(
            f"`layers` must give as many of both models. Received: {len(cuts_a)} of `model_a` and {len(cuts_b)} of "
            '`model_b`; name some that both have, or compare all with all by pairs="all".'
        )
    if directory is not None and not os.path.isdir(directory):
        raise ValueError(f"`directory` must be a folder that exists. Received: directory={directory!r}")
    images = read_images("images", images, memory_budget, directory, verbose)
    settings.check_points(len(images))
    _check_images(images, [*models_a, *models_b])
    walk = _Walk(images, settings, memory_budget, directory)
    comparisons, total = [], len(models_a) * len(cuts_a) * (len(cuts_b) if pairs == "all" else 1)
    with in_scope(strategy), share_bar("Comparing layers", verbose) as report:
        networks = (_networks("model_a", models_a, all_cuts_a), _networks("model_b", models_b, all_cuts_b))
        for number, (a, b) in enumerate(zip(*networks, strict=True)):
            for cut_a, cut_b, values in (walk.all if pairs == "all" else walk.same)(a, b):
                comparisons.append(LayerComparison(number, cut_a.index, cut_b.index, values))
                report(len(comparisons) / total)
    configuration = {"images": len(images), "pairs": pairs, **settings.as_dict()}
    return LayerwiseSimilarity(tuple(cuts_a), tuple(cuts_b), tuple(comparisons), configuration)


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network, what a warning calls it, and the cuts at which it is compared.

    What is found out of a layer once is kept: those that were warned of, and the dtypes that the others need.
    """

    name: str
    model: keras.Model
    cuts: CutList
    told: list[Cut] = dataclasses.field(default_factory=list)
    dtypes: dict[Cut, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Walk:
    """What it takes to go through the layers of two networks; see `layerwise`."""

    images: object
    settings: Settings
    memory_budget: int
    directory: str | os.PathLike | None

    def same(self, a: _Network, b: _Network) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with the one in its place."""
        for of_a, of_b in zip(self._each(a), self._each(b), strict=True):
            x, y = self._points(a, *of_a), self._points(b, *of_b)
            values = self._compare(x, y)
            # Before the next layer's features are made, what is held of these goes.
            del x, y
            yield of_a[0], of_b[0], values

    def all(self, a: _Network, b: _Network) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with each."""
        # One plan for all, so that the products of a layer serve all comparisons.
        widest = max(cut.feature_bytes // 4 for cut in (*a.cuts, *b.cuts))
        for of_a in self._each(a):
            x = self._points(a, *of_a)
            for of_b in self._each(b):
                yield of_a[0], of_b[0], self._compare(x, self._points(b, *of_b), widest)
            del x

    def _each(self, network: _Network) -> Iterator[tuple[Cut, tuple]]:
        return each_layer(network.model, network.cuts, self.images, self.memory_budget // 2, self.directory)

    def _points(self, network: _Network, cut: Cut, features: tuple) -> Points | None:
        """A layer's representation; `None`, with a warning the first time, where it tells nothing."""
        settings = dataclasses.replace(self.settings, dtype=network.dtypes.get(cut, self.settings.dtype))
        try:
            points = as_points(f"`{network.name}` at layer `{cut.name}`", features, settings)
            network.dtypes[cut] = points.squares.dtype.name
            return points
        except Indistinct as error:
            if cut not in network.told:
                warnings.warn(f"{error} Numbers of this layer are NaN.", stacklevel=2)
                network.told.append(cut)
            return None

    def _compare(self, x: Points | None, y: Points | None, width: int | None = None) -> dict[str, float]:
        if x is None or y is None:
            return {number: math.nan for measure in self.settings.measures for number in MEASURES[measure]}
        plan = Plan.within(self.memory_budget, x.count, width or max(x.width, y.width), itemsize(x, y))
        return compare_points(x, y, self.settings, plan)


def _models(name: str, given) -> list[keras.Model]:
    models = list(given) if isinstance(given, (list, tuple)) else [given]
    if not models:
        raise ValueError(f"`{name}` must be a model, or a list of one or more. Received: an empty list")
    return models


def _networks(name: str, models: list[keras.Model], cuts: list[CutList]) -> list[_Network]:
    names = [name] if len(models) == 1 else [f"{name}[{number}]" for number in range(len(models))]
    return [_Network(*network) for network in zip(names, models, cuts, strict=True)]


def _layers(name: str, models: list[keras.Model], layers) -> list[CutList]:
    """For each model the cuts at which it is compared, the same in all but for names that Keras gives by itself."""
    listed = not isinstance(layers, (str, int, np.integer))
    first = cut_points(models[0], layers)
    # A list's names are those of the first model.
    others = [cut_points(model, [cut.index for cut in first] if listed else layers) for model in models[1:]]
    for model, cuts in zip(models[1:], others, strict=True):
        if [(cut.index, cut.shapes) for cut in cuts] != [(cut.index, cut.shapes) for cut in first]:
            raise ValueError(
                f"The models of `{name}` must have layers of the same shapes, and differ in their weights alone. "
                f"Received: {models[0].name} with {[cut.shape_text for cut in first]} and {model.name} with "
                f"{[cut.shape_text for cut in cuts]}"
            )
    chosen = [CutList(cut for cut in cuts if listed or cut.index > 0) for cuts in (first, *others)]
    if not chosen[0]:
        raise ValueError(f"`layers` must give one or more of `{name}`, beside its input. Received: layers={layers!r}")
    return chosen


def _check_images(images, models: list[keras.Model]):
    for model in models:
        if tuple(model.inputs[0].shape[1:]) != tuple(images.shape[1:]):
            raise ValueError(
                f"`images` must be what both models take, {tuple(model.inputs[0].shape[1:])} each. Received: "
                f"{tuple(images.shape[1:])}{color_advice(images.shape[1:], model.inputs[0].shape[1:])}"
            )
