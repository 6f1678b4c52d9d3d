"""H-score: the share of the features' variance that lies between classes, with a shrunken covariance."""

import numpy as np
import scipy.linalg
from sklearn.covariance import ledoit_wolf

from kdefrost.transferability.pooling import labelled, varied


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """The regularised H-score: tr(Σ_α⁻¹ (1 − α) Σ_B).

    Σ_B is the covariance of the class means, each as often as its class has examples, and Σ_α = (1 − α) Σ + α μ 1
    the covariance of the features shrunk to μ = tr Σ / features by Ledoit and Wolf's α (Ibrahim, Ponomareva &
    Mazumder, 2021, arXiv:2110.06893). Without shrinkage it is the H-score of Bao et al. (2019).

    Args:
        features: Features `(examples, features)`; those that are the same for all examples are left out.
        labels: The class of each example `(examples,)`.

    Returns:
        The score, from 0 to the number of classes less one.

    Raises:
        ValueError: If the features tell nothing, or there is not one label for each example.

    Example:

    >>> labels = np.arange(60) % 3
    >>> noise = np.random.default_rng(0).normal(size=(60, 3))
    >>> h_score(3 * np.eye(3)[labels] + noise, labels) > h_score(noise, labels)
    True
    """
    features, labels = labelled(features, labels)
    features = varied(features)
    centred = features - features.mean(axis=0)
    classes, counts = np.unique(labels, return_counts=True)
    means = np.stack([centred[labels == label].mean(axis=0) for label in classes])
    between = means * np.sqrt(counts / len(labels))[:, None]
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    # The trace of Σ_α⁻¹ Bᵀ B is a sum over the rows of B.
    return float((1 - shrinkage) * np.sum(between @ scipy.linalg.pinvh(covariance) * between))
