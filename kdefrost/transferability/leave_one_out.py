"""Accuracies of simple classifiers, each example judged by all others, in closed form.

Deviations, by which features are divided, are taken of all examples: they know nothing of labels. An example that is
alone in its class is never right: without it there is no such class.
"""

import numpy as np
import scipy.linalg
from sklearn.neighbors import NearestNeighbors

from kdefrost.transferability.pooling import as_classes, labelled, standardized

# Strengths of a ridge, in units of the mean eigenvalue.
STRENGTHS = tuple(10.0**power for power in range(-6, 3))
NEIGHBORS = 5


def ridge(features: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of a ridge regression of the classes on standardised features, with an intercept.

    Targets are one for the class of an example and zero for others. With the hat matrix H of a strength the residual of
    an example that was left out is (yᵢ − ŷᵢ) / (1 − Hᵢᵢ) (Allen, 1974, Technometrics 16(1)); of `STRENGTHS` the one
    counts whose residuals have the smallest squares. The answer is the class of the largest prediction, in which
    the share that a class has among the other examples is replaced by its share among all: a class is rarer where
    one of its own is left out, by which alone weak features would be worse than a guess.

    Args:
        features: Features `(examples, features)`.
        labels: The class of each example `(examples,)`.

    Returns:
        The share of examples that are right, from 0 to 1.

    Raises:
        ValueError: If the features tell nothing, or there is not one label for each example.

    Example:

    >>> labels = np.arange(60) % 3
    >>> ridge(np.eye(3)[labels], labels)
    1.0
    """
    features, labels = labelled(features, labels)
    vectors, singular, _ = scipy.linalg.svd(standardized(features), full_matrices=False)
    return _ridge_accuracy(vectors, np.square(singular), labels)


def kernel_ridge(kernel: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of a ridge regression of the classes with a kernel; see `ridge`.

    Args:
        kernel: The kernel of all pairs of examples `(examples, examples)`.
        labels: The class of each example `(examples,)`.

    Returns:
        The share of examples that are right, from 0 to 1.

    Raises:
        ValueError: If the kernel is no square matrix of finite numbers, or there is not one label for each example.

    Example:

    >>> labels = np.arange(60) % 3
    >>> kernel_ridge((labels[:, None] == labels).astype(float), labels)
    1.0
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or len(kernel) != kernel.shape[1] or not len(kernel) or kernel.dtype.kind not in "biuf":
        raise ValueError(f"`kernel` must be numbers (examples, examples). Received: {kernel.shape} of {kernel.dtype}")
    kernel, labels = kernel.astype(np.float64), as_classes(labels, len(kernel))
    if not np.isfinite(kernel).all():
        raise ValueError("`kernel` must be finite numbers. Received NaN or infinity.")
    centred = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    eigenvalues, vectors = scipy.linalg.eigh(centred)
    return _ridge_accuracy(vectors, np.maximum(eigenvalues, 0.0), labels)


def nearest_mean(features: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of the nearest class mean of standardised features.

    The mean m of n examples without one of them, x, is off from it by (x − m) n / (n − 1).

    Args:
        features: Features `(examples, features)`.
        labels: The class of each example `(examples,)`.

    Returns:
        The share of examples that are right, from 0 to 1.

    Raises:
        ValueError: If the features tell nothing, or there is not one label for each example.

    Example:

    >>> labels = np.arange(60) % 3
    >>> nearest_mean(np.eye(3)[labels], labels)
    1.0
    """
    features, labels = labelled(features, labels)
    features = standardized(features)
    classes, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([features[own == place].mean(axis=0) for place in range(len(classes))])
    squares = np.square(means).sum(axis=1) - 2 * features @ means.T + np.square(features).sum(axis=1)[:, None]
    rows = np.arange(len(own))
    with np.errstate(divide="ignore"):
        factor = np.square(counts / (counts - 1.0))[own]
    # The difference of large squares can come out below zero.
    squares = np.maximum(squares, 0.0)
    alone = counts[own] == 1
    squares[rows[alone], own[alone]] = np.inf
    squares[rows[~alone], own[~alone]] *= factor[~alone]
    return float(np.mean(squares.argmin(axis=1) == own))


def nearest_neighbors(features: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of the five nearest neighbours of standardised features.

    The class of most neighbours is the answer; where several have as many, that of the nearest one among theirs.

    Args:
        features: Features `(examples, features)`.
        labels: The class of each example `(examples,)`.

    Returns:
        The share of examples that are right, from 0 to 1.

    Raises:
        ValueError: If the features tell nothing, or there is not one label for each example.

    Example:

    >>> labels = np.arange(60) % 3
    >>> nearest_neighbors(np.eye(3)[labels], labels)
    1.0
    """
    features, labels = labelled(features, labels)
    features = standardized(features)
    classes, own = np.unique(labels, return_inverse=True)
    count = min(NEIGHBORS, len(own) - 1)
    # Without points given, none is its own neighbour.
    near = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(return_distance=False)
    # A nearer one weighs more by too little to outvote another.
    weights = 1.0 + 2.0 ** -np.arange(2, count + 2) / (count + 1)
    votes = np.zeros((len(own), len(classes)))
    np.add.at(votes, (np.arange(len(own))[:, None], own[near]), weights)
    return float(np.mean(votes.argmax(axis=1) == own))


def _ridge_accuracy(vectors: np.ndarray, eigenvalues: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy at the best strength.

    Args:
        vectors: Eigenvectors of the kernel, which is centred, `(examples, rank)`.
        eigenvalues: Its eigenvalues `(rank,)`.
        labels: The class of each example `(examples,)`.
    """
    n, found = len(labels), []
    classes, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    targets = np.eye(len(classes))[own]
    shares = targets.mean(axis=0)
    projected, squares = vectors.T @ targets, np.square(vectors)
    among_others = (counts - targets) / (n - 1)
    for strength in np.multiply(STRENGTHS, eigenvalues.mean()):
        kept = eigenvalues / (eigenvalues + strength)
        fitted = shares + vectors @ (kept[:, None] * projected)
        residuals = (targets - fitted) / (1 - 1 / n - squares @ kept)[:, None]
        answers = targets - residuals - among_others + shares
        answers[np.arange(n), own] = np.where(counts[own] == 1, -np.inf, answers[np.arange(n), own])
        found.append((float(np.square(residuals).sum()), float(np.mean(answers.argmax(axis=1) == own))))
    return min(found, key=lambda each: each[0])[1]
