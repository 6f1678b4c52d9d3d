"""LogME: the evidence of linear models of the labels, at its maximum."""

import numpy as np
import scipy.linalg

from kdefrost.transferability.pooling import labelled

# The ratio of the precisions stays within this factor of the largest eigenvalue: beyond, the evidence is flat, or grows
# without end because the features give the labels exactly.
_RANGE = 1e10
_ITERATIONS, _CHANGE = 1000, 1e-8


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """The logarithm of the maximum evidence of the labels, per example, the mean over classes.

    Of each class k, targets y of one for its examples and zero for others are taken for y = F w + noise, with
    w ~ N(0, 1/α) and noise ~ N(0, 1/β). With the eigenvalues σᵢ of F Fᵀ, the projections zᵢ of y on its
    eigenvectors and t = α/β the evidence, at its maximum over β, is

        log p(y) = N/2 log(N / 2πq) − ½ Σᵢ log(1 + σᵢ/t) − N/2
               q = yᵀ(1 + F Fᵀ/t)⁻¹y = Σᵢ zᵢ² t/(σᵢ + t) + |y|² − |z|²

    and t is that of MacKay's fixed point, γ = Σᵢ σᵢ/(σᵢ + t), α = γ/|m|², β = (N − γ)/|F m − y|² (You, Liu, Wang
    & Long, 2021, arXiv:2102.11005; the iteration: You et al., 2022, arXiv:2110.10545). As there, features are
    neither centred nor given a constant column.

    Args:
        features: F `(examples, features)`.
        labels: The class of each example `(examples,)`.

    Returns:
        The score, higher where a linear model tells the classes better.

    Raises:
        ValueError: If the features are no finite numbers, or there is not one label for each example.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> tells, noise = np.eye(3)[labels], rng.normal(size=(60, 3))
    >>> logme(tells + noise, labels) > logme(noise, labels)
    True
    """
    features, labels = labelled(features, labels, must_vary=False)
    targets = (labels[:, None] == np.unique(labels)).astype(np.float64)
    vectors, singular, _ = scipy.linalg.svd(features, full_matrices=False)
    there = singular > singular.max() * len(features) * np.finfo(float).eps
    eigenvalues = np.square(singular[there])[:, None]
    squares = np.square(vectors[:, there].T @ targets)
    outside = np.maximum(np.square(targets).sum(axis=0) - squares.sum(axis=0), 0.0)
    ratio = _ratio_of_precisions(eigenvalues, squares, outside, len(features))
    quadratic = (squares * ratio / (eigenvalues + ratio)).sum(axis=0) + outside
    n = len(features)
    spread = np.log1p(eigenvalues / ratio).sum(axis=0)
    return float(np.mean(n * np.log(n / (2 * np.pi * quadratic)) - spread - n) / (2 * n))


def _ratio_of_precisions(eigenvalues, squares, outside, examples: int) -> np.ndarray:
    """t = α/β of each class `(classes,)`, at the fixed point."""
    if not len(eigenvalues):
        return np.ones(squares.shape[1])
    least, most = eigenvalues.max() / _RANGE, eigenvalues.max() * _RANGE
    ratio = np.full(squares.shape[1], eigenvalues.mean())
    for _ in range(_ITERATIONS):
        gamma = (eigenvalues / (eigenvalues + ratio)).sum(axis=0)
        weights = (eigenvalues * squares / np.square(eigenvalues + ratio)).sum(axis=0)
        residuals = (squares * np.square(ratio / (eigenvalues + ratio))).sum(axis=0) + outside
        # Labels of which the features tell nothing have weights of no size.
        with np.errstate(divide="ignore"):
            new = np.clip(gamma * residuals / ((examples - gamma) * weights), least, most)
        done = np.abs(new - ratio) <= _CHANGE * ratio
        ratio = new
        if done.all():
            break
    return ratio
