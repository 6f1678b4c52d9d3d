"""Whether a dtype is wide enough for some points: above all, whether it tells apart those near to each other.

Distances come of scalar products, whose rounding is a share of the points' squares: neighbours that are much nearer
to each other than to the mean are drowned in it. How near is too near depends on all that rounds, so it is seen from
a sample: the order in which the products put some points' neighbours, against their distances by differences.
"""

import itertools

import numpy as np

# Points of the sample, within so many numbers, but no fewer than the least.
_MOST, _LEAST, _NUMBERS = 512, 32, 2**24
# So many neighbours of each are put in order.
_NEIGHBORS = 5
# Of more points than this share they may not be out of order.
_SHARE = 0.01
# Distances whose squares are as equal as this, by the bytes of a number, are not told apart by the features themselves.
_EQUAL = {4: 1e-6, 8: 1e-9}
# A point that has more than this share of all squares outweighs what unbiased CKA is made of.
_OUTWEIGHING = 0.9


def float32_suffices(points) -> bool:
    """Whether points in float32 give the measures that they give in float64.

    Args:
        points: The `Points`, in float32.
    """
    squares = points.squares.astype(np.float64)
    return squares.max() <= _OUTWEIGHING * squares.sum() and tells_neighbors(points)


def tells_neighbors(points) -> bool:
    """Whether the products of points, in the dtype in which these are, put neighbours in their order.

    Points that equal each other are none of their neighbours here: they are known without products.

    Args:
        points: The `Points`.
    """
    size = min(_MOST, max(_LEAST, _NUMBERS // points.width), points.count)
    rows = np.sort(np.random.default_rng(0).choice(points.count, size, replace=False))
    neighbors = points.nearest(rows, _NEIGHBORS)
    lost = [_is_out_of_order(points, row, others) for row, others in zip(rows, neighbors, strict=True)]
    return np.mean(lost) <= _SHARE


def _is_out_of_order(points, row: int, others: np.ndarray) -> bool:
    """Whether some of the others, given from the nearest on, is farther than the next."""
    here, *there = (points.features_of(place) for place in (row, *others))
    # Scaled before they are squared, which could be too large.
    far = [np.square((other.astype(np.float64) - here) * points.scale).sum() for other in there]
    return any(a > b * (1 + _EQUAL[here.itemsize]) for a, b in itertools.pairwise(far))
