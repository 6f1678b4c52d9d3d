"""Similarity of two representations of the same points: how much of one is in the other.

A representation is what one layer of a network makes of some images, `(points, features)`.
Neighbours are Euclidean. A point is never its own neighbour, even where it has an exact
twin; twins are equally far from every other point and nearest to each other. Of points that
are equally far the first is the nearer one.
"""

from collections.abc import Sequence

from kdefrost.devices import Strategy
from kdefrost.similarity.gram import Plan, check_memory_budget
from kdefrost.similarity.representations import MEASURES, Features, Settings, as_points, compare_points, itemsize


def information_imbalance(X: Features, Y: Features, form: str = "rank", dtype: str | None = None) -> float:
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
        dtype: `"float32"` or `"float64"`, in which distances are computed; by default as for `compare`.

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


def cka(X: Features, Y: Features, unbiased: bool = False, dtype: str | None = None) -> float:
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
        dtype: `"float32"` or `"float64"`, in which products are computed; by default as for `compare`.

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


def neighborhood_overlap(X: Features, Y: Features, k: int = 30, dtype: str | None = None) -> float:
    """Share of a point's k nearest neighbours that X and Y have in common, mean over points.

        1/N Σᵢ |kNN_X(i) ∩ kNN_Y(i)| / k

    (Doimo, Glielmo, Ansuini & Laio, 2020, arXiv:2007.03506).

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        k: Number of neighbours, below the number of points.
        dtype: `"float32"` or `"float64"`, in which distances are computed; by default as for `compare`.

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


def neighbor_spearman(X: Features, Y: Features, k: int = 100, dtype: str | None = None) -> float:
    """Rank correlation of the distances to a point's k nearest neighbours in X with those in Y.

    For each point i, Spearman's ρ over its k nearest neighbours in X of their distances from
    i in X and in Y, equal distances having the mean of their ranks; the mean over points
    (after Gerace et al., 2023, appendix C). Points whose neighbours are all equally far in
    either have no correlation and are left out.

    Args:
        X: Features `(points, …)`: an array or a tensor.
        Y: Features of the same points `(points, …)`.
        k: Number of neighbours, from 2 to below the number of points.
        dtype: `"float32"` or `"float64"`, in which distances are computed; by default as for `compare`.

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
    X: Features,
    Y: Features,
    measures: Sequence[str] = tuple(MEASURES),
    form: str = "rank",
    overlap_k: int = 30,
    spearman_k: int = 100,
    memory_budget: int = 2**30,
    dtype: str | None = None,
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
        dtype: `"float32"` or `"float64"`, to compute in. By default each representation is taken in the former
            where this puts the neighbours of a sample of its points in their order, else in the latter: where
            neighbours are nearer to each other than about a thousandth of the points' spread, as in tight
            clusters or beside a point that is far off. On processors that round float32 in products, TensorFlow
            does not with `tf.config.experimental.enable_tensor_float_32_execution(False)`, and float32 does for more.
        strategy: The `tf.distribute.Strategy` over whose replicas blocks of rows are spread; by
            default the one in whose `scope()` this is called.

    Returns:
        By name, what `MEASURES` lists for the measures: `_xy` is from X to Y, `_yx` back.

    Raises:
        ValueError: If X and Y have different or fewer than three points, not as many as a
            measure takes neighbours, features that are not finite, or points that are all the
            same; or if another argument is none of those above.

    Warns:
        UserWarning: If neighbours are so near to each other that float64 does not tell them apart.

    Example:

    >>> r = np.random.default_rng(0)
    >>> X = r.normal(size=(500, 10))
    >>> kdefrost.similarity.compare(X, X + 0.1 * r.normal(size=X.shape), ["cka"])
    {'cka': 0.99..., 'cka_unbiased': 0.99...}
    """
    check_memory_budget(memory_budget)
    settings = Settings(measures, form, overlap_k, spearman_k, dtype)
    x, y = (as_points(name, value, settings, strategy) for name, value in (("`X`", X), ("`Y`", Y)))
    plan = Plan.within(memory_budget, x.count, max(x.width, y.width), itemsize(x, y))
    return compare_points(x, y, settings, plan, strategy)
