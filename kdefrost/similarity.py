"""Similarity of two representations of the same points: how much of one is in the other.

A representation is what one layer of a network makes of some images, `(points, features)`.
Neighbours are Euclidean. A point is never its own neighbour, even where it has an exact
twin; twins are equally far from every other point and nearest to each other. Of points that
are equally far the first is the nearer one.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from kdefrost import measures as of
from kdefrost.cuts import Cut, CutList, cut_points
from kdefrost.devices import spread
from kdefrost.features import each_layer
from kdefrost.gram import Plan, Points
from kdefrost.layerwise import LayerComparison, LayerwiseSimilarity
from kdefrost.progress import share_bar
from kdefrost.sets import read_images

# What each measure gives: from X to Y and back where it has a direction.
MEASURES = {
    "information_imbalance": ("information_imbalance_xy", "information_imbalance_yx"),
    "cka": ("cka", "cka_unbiased"),
    "neighborhood_overlap": ("neighborhood_overlap",),
    "neighbor_spearman": ("neighbor_spearman_xy", "neighbor_spearman_yx"),
}
FORMS, DTYPES, PAIRS = ("rank", "count"), ("float32", "float64"), ("same", "all")
# Of a block of rows, and of the arrays of its size that are made of it, so many bytes at a time: more would not stay
# in the caches.
_BLOCK_BYTES, _BLOCK_ARRAYS = 2**26, 12


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
            arXiv:2010.15327); it can be below 0, and is NaN with three points.
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
    strategy: tf.distribute.Strategy | None = None,
) -> dict[str, float]:
    """Computes several measures of two representations' similarity in one pass.

    The Gram matrices are made once for all measures. Where both fit the memory budget, as
    those of 10,000 points in float32 do by default, each product of two points is computed
    once; else a strip of rows at a time. Features need not be in memory.

    Args:
        X: Features of some points `(points, …)`, flattened: an array, a tensor, or what gives
            NumPy arrays for slices of points; or a list of such, which make one vector together.
        Y: Features of the same points, likewise.
        measures: Names among `MEASURES`; see the function of each.
        form: Form of `information_imbalance`.
        overlap_k: Number of neighbours of `neighborhood_overlap`.
        spearman_k: Number of neighbours of `neighbor_spearman`.
        memory_budget: Bytes to take beside the features.
        dtype: `"float32"` or `"float64"`, to compute in.
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
    strategy: tf.distribute.Strategy | None = None,
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
            As many again are taken for the comparison.
        directory: Folder for what goes to disk; by default the system's for temporary files.
        dtype: As for `compare`.
        strategy: As for `compare`.
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
    cuts_a, cuts_b = _layers("model_a", models_a, layers), _layers("model_b", models_b, layers)
    if pairs == "same" and len(cuts_a) != len(cuts_b):
        raise ValueError(
            f"`layers` must give as many of both models. Received: {len(cuts_a)} of `model_a` and {len(cuts_b)} of "
            '`model_b`; name some that both have, or compare all with all by pairs="all".'
        )
    images = read_images("images", images, memory_budget, directory, verbose)
    settings.check_points(len(images))
    _check_images(images, [*models_a, *models_b])
    walk = _Walk(images, cuts_a, cuts_b, settings, memory_budget, directory, strategy)
    comparisons, layers = [], len(cuts_a) * (len(cuts_b) if pairs == "all" else 1)
    with share_bar("Comparing layers", verbose) as report:
        for number, networks in enumerate(zip(models_a, models_b, strict=True)):
            for cut_a, cut_b, numbers in (walk.all if pairs == "all" else walk.same)(*networks):
                comparisons.append(LayerComparison(number, cut_a.index, cut_b.index, numbers))
                report(len(comparisons) / (layers * len(models_a)))
    configuration = {"images": len(images), "pairs": pairs, **settings.as_dict()}
    return LayerwiseSimilarity(tuple(cuts_a), tuple(cuts_b), tuple(comparisons), configuration)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the numbers of a comparison depend on beside the representations.

    Args:
        measures: As for `compare`, as all arguments.
        form: Form of the information imbalance.
        overlap_k: Number of neighbours of the overlap.
        spearman_k: Number of neighbours of the rank correlation.
        dtype: To compute in.

    Raises:
        ValueError: If one is none of what `compare` takes.
    """

    measures: Sequence[str] = tuple(MEASURES)
    form: str = "rank"
    overlap_k: int = 30
    spearman_k: int = 100
    dtype: str = "float32"

    def __post_init__(self):
        measures = self.measures
        if isinstance(measures, str) or not measures or any(measure not in MEASURES for measure in measures):
            raise ValueError(
                f"`measures` must be a list of one or more of {', '.join(MEASURES)}. Received: measures={measures!r}"
            )
        object.__setattr__(self, "measures", tuple(measure for measure in MEASURES if measure in measures))
        for name, known in {"form": FORMS, "dtype": DTYPES}.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}"
                )

    def as_dict(self) -> dict:
        """The settings as JSON holds them."""
        return {**dataclasses.asdict(self), "measures": list(self.measures)}

    @property
    def neighbors(self) -> dict[str, int]:
        """How many neighbours each measure takes that takes any."""
        numbers = {
            "information_imbalance": 1,
            "neighborhood_overlap": self.overlap_k,
            "neighbor_spearman": self.spearman_k,
        }
        return {measure: k for measure, k in numbers.items() if measure in self.measures}

    def check_points(self, count: int):
        """Refuses numbers of neighbours that so many points do not have."""
        named = {"neighborhood_overlap": ("overlap_k", 1), "neighbor_spearman": ("spearman_k", 2)}
        for measure, k in self.neighbors.items():
            argument, least = named.get(measure, ("", 1))
            if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not least <= k < count:
                raise ValueError(
                    f"`k` of {measure} (`{argument}` of `compare`) must be a whole number from {least} to {count - 1}, "
                    f"below the number of points. Received: {k!r}"
                )


def as_points(name: str, features, settings: Settings, strategy: tf.distribute.Strategy | None = None) -> Points:
    """Makes a representation ready to be compared.

    Args:
        name: What an error calls it.
        features: As `compare` takes them.
        settings: How it will be compared.
        strategy: As for `compare`.

    Returns:
        Its `Points`.

    Raises:
        ValueError: As `compare`.
    """
    several = isinstance(features, (list, tuple)) and bool(features) and hasattr(features[0], "shape")
    parts = [_as_array(name, part) for part in (features if several else [features])]
    counts = sorted({len(part) for part in parts})
    if len(counts) > 1 or counts[0] < 3:
        raise ValueError(f"{name} must have at least three points, in all its parts. Received: {counts} points")
    settings.check_points(counts[0])
    return Points(name, parts, settings.dtype, strategy)


def compare_points(
    x: Points, y: Points, settings: Settings, plan: Plan, strategy: tf.distribute.Strategy | None = None
) -> dict[str, float]:
    """Computes what `compare` does, of representations that are ready for it.

    Args:
        x: One.
        y: The other.
        settings: How they are compared.
        plan: How their Gram matrices are made.
        strategy: As for `compare`.

    Returns:
        As `compare`.

    Raises:
        ValueError: If they have different points.
    """
    if x.count != y.count:
        raise ValueError(f"{x.name} and {y.name} must have the same points. Received: {x.count} and {y.count} of them")
    blocks = list(_blocks_of_rows(x, y, settings, plan, strategy))
    numbers = {}
    for measure in settings.measures:
        of_rows = [np.concatenate(parts) for parts in zip(*(block[measure] for block in blocks), strict=True)]
        numbers |= zip(MEASURES[measure], _numbers(measure, of_rows, x, y, settings), strict=True)
    return numbers


def _blocks_of_rows(x: Points, y: Points, settings: Settings, plan: Plan, strategy) -> Iterator[dict]:
    """What the rows of each block give for each measure."""
    known = [(points.squares, points.first) for points in (x, y)]
    twins = tuple(first is not None for _, first in known)
    given = [value for pair in known for value in pair if value is not None]
    of_block = spread(_row_function(settings, twins), strategy)
    size = max(1, _BLOCK_BYTES // (_BLOCK_ARRAYS * x.count * x.squares.itemsize))
    start = 0
    for strips in zip(x.strips(plan), y.strips(plan), strict=True):
        rows = range(0, len(strips[0]), size)
        tasks = ((*(strip[row : row + size] for strip in strips), start + row, *given) for row in rows)
        yield from of_block(tasks)
        start += len(strips[0])


@functools.lru_cache(maxsize=64)
def _row_function(settings: Settings, twins: tuple[bool, bool]):
    """The function of rows of two Gram matrices, and of what is known of the points, as TensorFlow traces it."""

    def function(gram_x, gram_y, start, *given):
        given = iter(given)
        known_x, known_y = ((next(given), next(given) if has_twins else None) for has_twins in twins)
        return _of_rows(gram_x, gram_y, start, known_x, known_y, settings)

    return function


def _of_rows(gram_x, gram_y, start, known_x: tuple, known_y: tuple, settings: Settings) -> dict:
    """What some rows of two Gram matrices, from row `start` on, give for each measure.

    Of each representation the squares and first equals of its points are known.
    """
    rows = start + tf.range(tf.shape(gram_x)[0])
    given = {"cka": of.kernel_sums(gram_x, gram_y)} if "cka" in settings.measures else {}
    if not settings.neighbors:
        return given
    most = max(settings.neighbors.values())
    close_x, close_y = of.closeness(gram_x, rows, *known_x), of.closeness(gram_y, rows, *known_y)
    near_x, near_y = of.nearest(close_x, most), of.nearest(close_y, most)
    for measure, k in settings.neighbors.items():
        of_x, of_y = near_x[:, :k], near_y[:, :k]
        if measure == "neighborhood_overlap":
            given[measure] = (of.shared(of_x, of_y),)
        elif measure == "neighbor_spearman":
            given[measure] = of.rank_correlation(of_x, close_x, close_y), of.rank_correlation(of_y, close_y, close_x)
        else:
            given[measure] = of.nearer(of_x, close_y), of.nearer(of_y, close_x)
    return given


def _numbers(measure: str, of_rows: list[np.ndarray], x: Points, y: Points, settings: Settings) -> tuple[float, ...]:
    """The numbers of a measure, from what the rows of all points gave."""
    if measure == "cka":
        return of.biased_cka(of_rows), of.unbiased_cka(of_rows, x.squares, y.squares)
    if measure == "neighborhood_overlap":
        return (of.overlap(*of_rows, settings.overlap_k),)
    if measure == "neighbor_spearman":
        return tuple(map(of.mean_correlation, of_rows))
    return tuple(of.imbalance(nearer, settings.form) for nearer in of_rows)


def _as_array(name: str, features):
    """Features that give NumPy arrays for slices of points."""
    if tf.is_tensor(features) or keras.ops.is_tensor(features):
        features = keras.ops.convert_to_numpy(features)
    if not (hasattr(features, "shape") and hasattr(features, "dtype")):
        features = np.asarray(features)
    if len(features.shape) < 2 or 0 in features.shape[1:] or features.dtype.kind not in "fiubV":
        raise ValueError(
            f"{name} must be an array of numbers (points, features), with features. Received: shape "
            f"{tuple(features.shape)}, dtype {features.dtype}"
        )
    return features


@dataclasses.dataclass(frozen=True)
class _Walk:
    """What it takes to go through the layers of two networks; see `layerwise`."""

    images: object
    cuts_a: CutList
    cuts_b: CutList
    settings: Settings
    memory_budget: int
    directory: str | os.PathLike | None
    strategy: tf.distribute.Strategy | None

    def same(self, a: keras.Model, b: keras.Model) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with the one in its place."""
        for of_a, of_b in zip(self._each(a, self.cuts_a), self._each(b, self.cuts_b), strict=True):
            yield of_a[0], of_b[0], self._compare(self._points("model_a", *of_a), self._points("model_b", *of_b))

    def all(self, a: keras.Model, b: keras.Model) -> Iterator[tuple[Cut, Cut, dict]]:
        """Compares each layer with each."""
        for of_a in self._each(a, self.cuts_a):
            # Its products serve all layers of the other network.
            x = self._points("model_a", *of_a)
            for of_b in self._each(b, self.cuts_b):
                yield of_a[0], of_b[0], self._compare(x, self._points("model_b", *of_b))
            del x

    def _each(self, model: keras.Model, cuts: CutList) -> Iterator[tuple[Cut, list]]:
        return each_layer(model, cuts, self.images, self.memory_budget // 2, self.directory)

    def _points(self, name: str, cut: Cut, features: list) -> Points:
        return as_points(f"`{name}` at layer `{cut.name}`", features, self.settings, self.strategy)

    def _compare(self, x: Points, y: Points) -> dict[str, float]:
        width = max(cut.feature_bytes // 4 for cut in (*self.cuts_a, *self.cuts_b))
        plan = Plan.within(self.memory_budget, x.count, width, x.squares.itemsize)
        return compare_points(x, y, self.settings, plan, self.strategy)


def _models(name: str, given) -> list[keras.Model]:
    models = list(given) if isinstance(given, (list, tuple)) else [given]
    if not models:
        raise ValueError(f"`{name}` must be a model, or a list of one or more. Received: an empty list")
    return models


def _layers(name: str, models: list[keras.Model], layers) -> CutList:
    """The cuts at which models are compared, the same in all of them."""
    of_models = [cut_points(model, layers) for model in models]
    for cuts in of_models:
        if [(cut.name, cut.shapes) for cut in cuts] != [(cut.name, cut.shapes) for cut in of_models[0]]:
            raise ValueError(f"The models of `{name}` must have the same layers, and differ in their weights alone.")
    listed = not isinstance(layers, (str, int, np.integer))
    chosen = CutList(cut for cut in of_models[0] if listed or cut.index > 0)
    if not chosen:
        raise ValueError(f"`layers` must give one or more of `{name}`, beside its input. Received: layers={layers!r}")
    return chosen


def _check_images(images, models: list[keras.Model]):
    for model in models:
        if tuple(model.inputs[0].shape[1:]) != tuple(images.shape[1:]):
            raise ValueError(
                f"`images` must be what both models take, {tuple(model.inputs[0].shape[1:])} each. Received: "
                f"{tuple(images.shape[1:])}"
            )


def _check_memory_budget(memory_budget):
    if isinstance(memory_budget, bool) or not memory_budget > 0:
        raise ValueError(f"`memory_budget` must be a positive number of bytes. Received: {memory_budget=}")
