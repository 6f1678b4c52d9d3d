"""The measures of similarity as equations, on blocks of rows of Gram matrices and of distances.

A block is of some points i, with a column for each point j of all. What a row gives is
gathered over all blocks, and the last functions here make numbers of it.
"""

import numpy as np
import tensorflow as tf


def closeness(gram, rows, squares, first=None):
    """|xᵢ|² − |xⱼ − xᵢ|² = 2 xᵢ·xⱼ − |xⱼ|², which is the larger the nearer j is to i.

    Args:
        gram: xᵢ·xⱼ `(rows, points)`.
        rows: The points i `(rows,)`.
        squares: |xⱼ|² `(points,)`.
        first: For each point the first one that equals it `(points,)`; `None` where all differ.

    Returns:
        `(rows, points)`: minus infinity of a point to itself, the largest number to its twins. Twins
        are equally close to others, whatever rounding made of their products.
    """
    close = 2.0 * gram - squares
    if first is not None:
        close = tf.gather(close, first, axis=1)
        close = tf.where(tf.gather(first, rows)[:, None] == first, close.dtype.max, close)
    itself = tf.stack([tf.range(tf.shape(rows)[0]), rows], axis=1)
    return tf.tensor_scatter_nd_update(close, itself, tf.fill(tf.shape(rows), tf.constant(-np.inf, close.dtype)))


def nearest(closeness, k: int):
    """The k nearest points of each row, the nearest first, `(rows, k)`; of equally far ones the first."""
    return tf.math.top_k(closeness, k).indices


def nearer(neighbors, closeness):
    """nᵢ `(rows,)`: how many points are strictly nearer to i, by this closeness, than the first of its neighbours."""
    return _count(closeness > _of(neighbors[:, :1], closeness), axis=1)


def shared(neighbors_x, neighbors_y):
    """How many neighbours two representations have in common, `(rows,)`."""
    # In order, those in common stand beside each other, in pairs.
    both = tf.sort(tf.concat([neighbors_x, neighbors_y], axis=1), axis=1)
    return _count(both[:, 1:] == both[:, :-1], axis=1)


def rank_correlation(neighbors, closeness_x, closeness_y):
    """Spearman's ρ between the distances to the same neighbours in X and in Y, `(rows,)`; NaN where all are equal."""
    x, y = (_centred_ranks(_of(neighbors, closeness)) for closeness in (closeness_x, closeness_y))
    return tf.reduce_sum(x * y, 1) / tf.sqrt(tf.reduce_sum(x * x, 1) * tf.reduce_sum(y * y, 1))


def kernel_sums(gram_x, gram_y):
    """What both estimators of HSIC are made of: Σⱼ of KᵢⱼLᵢⱼ, Kᵢⱼ², Lᵢⱼ², Kᵢⱼ and Lᵢⱼ, each `(rows,)`."""
    products = gram_x * gram_y, gram_x * gram_x, gram_y * gram_y, gram_x, gram_y
    return tuple(tf.reduce_sum(product, axis=1) for product in products)


def _of(neighbors, closeness):
    """The closeness of some neighbours, `(rows, k)`."""
    return tf.gather(closeness, neighbors, batch_dims=1)


def _count(condition, axis):
    # As floats, which are summed faster than TensorFlow counts, and exactly up to 16 million.
    return tf.reduce_sum(tf.cast(condition, "float32"), axis)


def _centred_ranks(values):
    """Ranks within rows less their mean `(rows, k)`; equal values have the mean of theirs."""
    in_order = tf.sort(values, axis=1)
    # Half the number of smaller ones and half that of those not larger make the rank, less a half.
    smaller, not_larger = (tf.searchsorted(in_order, values, side) for side in ("left", "right"))
    return 0.5 * tf.cast(smaller + not_larger - tf.shape(values)[1], values.dtype)


def imbalance(nearer: np.ndarray, form: str) -> float:
    """2/N² Σᵢ rᵢ with rᵢ = nᵢ + 1, or 2/N² Σᵢ nᵢ where the form is `"count"`."""
    ranks = nearer + 1 if form == "rank" else nearer
    return float(2 * ranks.mean(dtype=np.float64) / len(ranks))


def overlap(shared: np.ndarray, k: int) -> float:
    """The mean share of k neighbours that are in common."""
    return float(shared.mean(dtype=np.float64) / k)


def mean_correlation(correlations: np.ndarray) -> float:
    """The mean of those that are defined; NaN where none is."""
    defined = correlations[np.isfinite(correlations)]
    return float(defined.mean(dtype=np.float64)) if len(defined) else np.nan


def biased_cka(sums) -> float:
    """CKA with HSIC(K, L) = tr(KHLH), H = 1 − 11ᵀ/N, which centres K and L.

    tr(KHLH) = Σᵢⱼ KᵢⱼLᵢⱼ − 2/N Σᵢ kᵢlᵢ + Σᵢkᵢ Σᵢlᵢ / N², with the sums of rows k = K1 and l = L1.

    Args:
        sums: What `kernel_sums` gives, of all points.
    """
    xy, xx, yy, x, y = (of_rows.astype(np.float64) for of_rows in sums)
    n = len(x)

    def hsic(products, x, y):
        return products.sum() - 2 / n * (x @ y) + x.sum() * y.sum() / n**2

    return _alignment(hsic(xy, x, y), hsic(xx, x, x), hsic(yy, y, y))


def unbiased_cka(sums, squares_x: np.ndarray, squares_y: np.ndarray) -> float:
    """CKA with the unbiased estimator HSIC₁ (Song et al., 2012, JMLR 13, equation 5).

    With K and L without their diagonals and 1 the vector of ones,

        N(N − 3) HSIC₁ = tr(KL) + 1ᵀK1 1ᵀL1 / ((N − 1)(N − 2)) − 2/(N − 2) 1ᵀKL1

    Args:
        sums: What `kernel_sums` gives, of all points.
        squares_x: The diagonal of K `(points,)`.
        squares_y: The diagonal of L.
    """
    xy, xx, yy, x, y, own_x, own_y = (of_rows.astype(np.float64) for of_rows in (*sums, squares_x, squares_y))
    n, x, y = len(x), x - own_x, y - own_y
    if n == 3:
        return np.nan

    def hsic(products, x, y):
        return products.sum() + x.sum() * y.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (x @ y)

    # What is left of points that are all equally far from each other is rounding.
    least_x, least_y = (100 * np.finfo(squares.dtype).eps for squares in (squares_x, squares_y))
    in_x, in_y = hsic(xx - own_x**2, x, x), hsic(yy - own_y**2, y, y)
    if in_x < least_x * xx.sum() or in_y < least_y * yy.sum():
        return np.nan
    return _alignment(hsic(xy - own_x * own_y, x, y), in_x, in_y)


def _alignment(xy: float, xx: float, yy: float) -> float:
    return float(xy / np.sqrt(xx * yy))
