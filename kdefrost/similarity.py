"""Similarity of two representations of the same points: how much of one is in the other.

A representation is what one layer of a network makes of some images, `(points, features)`.
Neighbours are Euclidean. A point is never its own neighbour, even where it has an exact
twin; twins are equally far from every other point and nearest to each other. Of points that
are equally far the first is the nearer one.
"""

import dataclasses
import math
import numbers
import os
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from kdefrost.cuts import Cut, CutList, cut_points
from kdefrost.devices import Strategy, in_scope
from kdefrost.features import each_layer
from kdefrost.gram import Plan, Points
from kdefrost.layerwise import LayerComparison, LayerwiseSimilarity
from kdefrost.progress import share_bar
from kdefrost.representations import MEASURES, Settings, as_points, compare_points
from kdefrost.sets import read_images
from kdefrost.storage import blocks

PAIRS = ("same", "all")


def information_imbalance(X, Y, form: str = "rank", dtype: str = "float32") -> float:
    """How little the nearest neighbours in X tell of those in Y: 0 is all, 1 is nothing.

    With j the nearest neighbour of i in X, and rᵢ the rank of j among the neighbours of i in
    Y (1 is the nearest; of those equally far, the number of strictly nearer ones and 1),

        Δ(X → Y) = 2/N² Σᵢ rᵢ

    (Glielmo, Zeni, Cheng, Csányi & Laio, 2022, PNAS Nexus 1(2), pgac039). It is not
    symmetric.

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        form: `"rank"` as above; `"count"` with rᵢ − 1, the number of points strictly nearer
            than j, as Gerace et al. (2023) write it. They differ by 2/N.
        dtype: `"float32"` or `"float64"`, in which distances are computed.

    Returns:
        Δ(X → Y).

    Raises:
        ValueError: If the features do not fit or tell nothing; see `compare`.

    Example:

    >>> X = np.random.default_rng(0).normal(size=(500, 10))
    >>> information_imbalance(X, X[:, :2]) < information_imbalance(X[:, :2], X)
    True
    """
    return compare(X, Y, ["information_imbalance"], form=form, dtype=dtype)["information_imbalance_xy"]


def cka(X, Y, unbiased: bool = False, dtype: str = "float32") -> float:
    """Linear centred kernel alignment: 1 where X and Y are the same but for rotation and scale.

    With K = XXᵀ and L = YYᵀ of centred columns, HSIC(K, L) = Σᵢⱼ Kᵢⱼ Lᵢⱼ = ‖YᵀX‖²_F and

        CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L))

    (Kornblith, Norouzi, Lee & Hinton, 2019, arXiv:1905.00414).

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        unbiased: Whether to take the estimator of HSIC that few points do not bias upwards
            (Song et al., 2012, JMLR 13, equation 5; Nguyen, Raghu & Kornblith, 2021,
            arXiv:2010.15327); it can be below 0, and is NaN with three points, or where all are equally
            far from each other.
        dtype: `"float32"` or `"float64"`, in which products are computed.

    Returns:
        CKA, from 0 to 1 where it is biased.

    Raises:
        ValueError: If the features do not fit or tell nothing; see `compare`.

    Example:

    >>> X = np.random.default_rng(0).normal(size=(500, 10))
    >>> round(cka(X, 3 * X[:, ::-1]), 6)
    1.0
    """
    return compare(X, Y, ["cka"], dtype=dtype)["cka_unbiased" if unbiased else "cka"]


def neighborhood_overlap(X, Y, k: int = 30, dtype: str = "float32") -> float:
    """Share of a point's k nearest neighbours that X and Y have in common, mean over points.

        1/N Σᵢ |kNN_X(i) ∩ kNN_Y(i)| / k

    (Doimo, Glielmo, Ansuini & Laio, 2020, arXiv:2007.03506).

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        k: Number of neighbours, below the number of points.
        dtype: `"float32"` or `"float64"`, in which distances are computed.

    Returns:
        The overlap: 1 where all neighbours are the same, k/(N − 1) where X and Y are
        independent.

    Raises:
        ValueError: If the features do not fit or tell nothing; see `compare`.

    Example:

    >>> X = np.random.default_rng(0).normal(size=(500, 10))
    >>> neighborhood_overlap(X, 3 * X)
    1.0
    """
    return compare(X, Y, ["neighborhood_overlap"], overlap_k=k, dtype=dtype)["neighborhood_overlap"]


def neighbor_spearman(X, Y, k: int = 100, dtype: str = "float32") -> float:
    """Rank correlation of the distances to a point's k nearest neighbours in X with those in Y.

    For each point i, Spearman's ρ over its k nearest neighbours in X of their distances from
    i in X and in Y, equal distances having the mean of their ranks; the mean over points
    (after Gerace et al., 2023, appendix C). Points whose neighbours are all equally far in
    either have no correlation and are left out.

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        k: Number of neighbours, from 2 to below the number of points.
        dtype: `"float32"` or `"float64"`, in which distances are computed.

    Returns:
        The mean of ρ, from -1 to 1. It is not symmetric.

    Raises:
        ValueError: If the features do not fit or tell nothing; see `compare`.

    Example:

    >>> X = np.random.default_rng(0).normal(size=(500, 10))
    >>> neighbor_spearman(X, 3 * X)
    1.0
    """
    return compare(X, Y, ["neighbor_spearman"], spearman_k=k, dtype=dtype)["neighbor_spearman_xy"]


def compare(
    X,
    Y,
    measures: Sequence[str] = tuple(MEASURES),
    form: str = "rank",
    overlap_k: int = 30,
    spearman_k: int = 100,
    memory_budget: int = 2**30,
    dtype: str = "float32",
    strategy: Strategy | None = None,
) -> dict[str, float]:
    """Computes several measures of two representations' similarity in one pass.

    The Gram matrices are made once for all measures. Where half of both fits the memory
    budget, as of 10,000 points in float32 it does by default, each product of two points is
    computed once; else a strip of rows at a time. Features need not be in memory.

    Args:
        X: Features of some points `(points, …)`, flattened: an array, a tensor, or what gives
            NumPy arrays for slices of points; or a tuple of such, which make one vector together.
        Y: Features of the same points, likewise.
        measures: Names among `MEASURES`; see the function of each.
        form: Form of `information_imbalance`.
        overlap_k: Number of neighbours of `neighborhood_overlap`.
        spearman_k: Number of neighbours of `neighbor_spearman`.
        memory_budget: Bytes to take beside the features, from some tens of millions on.
        dtype: `"float32"` or `"float64"`, to compute in. Neighbours that are nearer to each other than
            about a thousandth of the points' spread, as in tight clusters, need the latter. On processors
            that round float32 in products, TensorFlow does not with
            `tf.config.experimental.enable_tensor_float_32_execution(False)`.
        strategy: The `tf.distribute.Strategy` over whose replicas blocks of rows are spread; by
            default the one in whose `scope()` this is called.

    Returns:
        By name, what `MEASURES` lists for the measures: `_xy` is from X to Y, `_yx` back.

    Raises:
        ValueError: If X and Y have different or fewer than three points, not as many as a
            measure takes neighbours, features that are not finite, or points that are all the
            same; or if another argument is none of those above.

    Example:

    >>> r = np.random.default_rng(0)
    >>> X = r.normal(size=(500, 10))
    >>> kdefrost.similarity.compare(X, X + 0.1 * r.normal(size=X.shape), ["cka"])
    {'cka': 0.99, 'cka_unbiased': 0.99}
    """
    _check_memory_budget(memory_budget)
    settings = Settings(measures, form, overlap_k, spearman_k, dtype)
    x, y = (as_points(name, value, settings, strategy) for name, value in (("`X`", X), ("`Y`", Y)))
    plan = Plan.within(memory_budget, x.count, max(x.width, y.width), x.squares.itemsize)
    return compare_points(x, y, settings, plan, strategy)


def layerwise(
    model_a: keras.Model | Sequence[keras.Model],
    model_b: keras.Model | Sequence[keras.Model],
    images,
    layers: str | int | Sequence[int | str] = "blocks",
    pairs: str = "same",
    measures: Sequence[str] = tuple(MEASURES),
    form: str = "rank",
    overlap_k: int = 30,
    spearman_k: int = 100,
    memory_budget: int = 2**30,
    directory: str | os.PathLike | None = None,
    dtype: str = "float32",
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
        A `LayerwiseSimilarity`, in which `_xy` is from `model_a` to `model_b`.

    Raises:
        ValueError: If the models cannot be cut or do not take such images, if layers have no
            counterpart, or as `compare`.

    Example:

    >>> result = kdefrost.similarity.layerwise(source, target, data.test.images)
    >>> result.mean("information_imbalance_xy")
    array([0.05, 0.11, 0.16, 0.29, 0.35, 0.47, 0.49])
    """
    settings = Settings(measures, form, overlap_k, spearman_k, dtype)
    if pairs not in PAIRS:
        raise ValueError(f"`pairs` must be one of {', '.join(PAIRS)}. Received: pairs={pairs!r}")
    _check_memory_budget(memory_budget)
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
        for number, (a, b) in enumerate(
            zip(zip(models_a, all_cuts_a, strict=True), zip(models_b, all_cuts_b, strict=True), strict=True)
        ):
            for cut_a, cut_b, values in (walk.all if pairs == "all" else walk.same)(a, b):
                comparisons.append(LayerComparison(number, cut_a.index, cut_b.index, values))
                report(len(comparisons) / total)
    configuration = {"images": len(images), "pairs": pairs, **settings.as_dict()}
    return LayerwiseSimilarity(tuple(cuts_a), tuple(cuts_b), tuple(comparisons), configuration)


@dataclasses.dataclass(frozen=True)
class _Walk:
    """What it takes to go through the layers of two networks; see `layerwise`.

    A network is a model and the cuts at which it is compared.
    """

    images: object
    settings: Settings
    memory_budget: int
    directory: str | os.PathLike | None

    def same(self, a: tuple, b: tuple) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with the one in its place."""
        for of_a, of_b in zip(self._each(*a), self._each(*b), strict=True):
            x, y = self._points("model_a", *of_a), self._points("model_b", *of_b)
            values = self._compare(x, y, max(x.width, y.width))
            # Before the next layer's features are made, what is held of these goes.
            del x, y
            yield of_a[0], of_b[0], values

    def all(self, a: tuple, b: tuple) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with each."""
        # One plan for all, so that the products of a layer serve all comparisons.
        widest = max(cut.feature_bytes // 4 for cut in (*a[1], *b[1]))
        for of_a in self._each(*a):
            x = self._points("model_a", *of_a)
            for of_b in self._each(*b):
                yield of_a[0], of_b[0], self._compare(x, self._points("model_b", *of_b), widest)
            del x

    def _each(self, model: keras.Model, cuts: CutList) -> Iterator[tuple[Cut, tuple]]:
        return each_layer(model, cuts, self.images, self.memory_budget // 2, self.directory)

    def _points(self, name: str, cut: Cut, features: tuple) -> Points:
        return as_points(f"`{name}` at layer `{cut.name}`", features, self.settings)

    def _compare(self, x: Points, y: Points, width: int) -> dict[str, float]:
        plan = Plan.within(self.memory_budget, x.count, width, x.squares.itemsize)
        return compare_points(x, y, self.settings, plan)


def _models(name: str, given) -> list[keras.Model]:
    models = list(given) if isinstance(given, (list, tuple)) else [given]
    if not models:
        raise ValueError(f"`{name}` must be a model, or a list of one or more. Received: an empty list")
    return models


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
                f"{tuple(images.shape[1:])}"
            )
    # A ReLU makes a number of what is none.
    if images.dtype.kind == "f" and not all(np.isfinite(block).all() for block in blocks(images)):
        raise ValueError("`images` must be finite. Received: infinite or undefined pixels")


def _check_memory_budget(memory_budget):
    known = isinstance(memory_budget, numbers.Real) and not isinstance(memory_budget, bool)
    if not known or not 0 < memory_budget < math.inf:
        raise ValueError(f"`memory_budget` must be a positive number of bytes. Received: {memory_budget=}")
