"""Means and standard errors over seeds, of what is there."""

import math

import numpy as np


def mean_over_seeds(values: np.ndarray) -> np.ndarray:
    """The mean of each column.

    Args:
        values: Array `(seeds, …)`, NaN where there is nothing.

    Returns:
        Array `(…,)`, NaN where a column has nothing.
    """
    return np.array([column.mean() if len(column) else math.nan for column in _there(values)])


def error_over_seeds(values: np.ndarray) -> np.ndarray:
    """The standard error of `mean_over_seeds`, an array `(…,)`, NaN with fewer than two values in a column."""
    return np.array([standard_error(column) for column in _there(values)])


def variance_over_seeds(values: np.ndarray) -> np.ndarray:
    """The unbiased variance of each column, an array `(…,)`, NaN with fewer than two values in a column."""
    return np.array([column.var(ddof=1) if len(column) > 1 else math.nan for column in _there(values)])


def standard_error(values: np.ndarray) -> float:
    """The standard error of the mean of some numbers `(n,)`, NaN with fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else math.nan


def over_seeds(values: np.ndarray) -> list[tuple[float, float]]:
    """`(mean, standard error)` of each column of an array `(seeds, …)`; see the two."""
    pairs = zip(mean_over_seeds(values), error_over_seeds(values), strict=True)
    return [(float(mean), float(error)) for mean, error in pairs]


def _there(values: np.ndarray) -> list[np.ndarray]:
    """The columns, without what is NaN."""
    return [column[~np.isnan(column)] for column in values.T]
