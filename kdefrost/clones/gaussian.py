"""Gaussian clones: samples of a Gaussian for each class."""

import numpy as np

from kdefrost.data.examples import Examples, ImageData

# So many samples are made at a time, to bound memory.
_BLOCK = 1000


def sampled(
    name: str, data: ImageData, seed: int, per_class: int | None, test_per_class: int | None
) -> tuple[Examples, Examples]:
    """Samples one Gaussian per class, for a training and a test set.

    Args:
        name: Key of `CLONES`.
        data: The original, whose classes have the moments.
        seed: Seed of the samples.
        per_class: Number of training samples per class; `None` for the original's labels.
        test_per_class: Number of test samples per class, likewise.

    Returns:
        `(training, test)`.
    """
    classes = len(data.classes)
    labels = [_labels(data.train.labels, per_class, classes), _labels(data.test.labels, test_per_class, classes)]
    images = [np.empty((len(wanted), *data.image_shape), np.float32) for wanted in labels]
    for label in range(classes):
        members = data.train.images[np.flatnonzero(data.train.labels == label)]
        mean, root = CLONES[name](members.reshape(len(members), -1).astype(np.float64))
        for part in range(2):
            rng = np.random.default_rng((seed, label, part))
            rows = np.flatnonzero(labels[part] == label)
            for block in np.array_split(rows, -(-len(rows) // _BLOCK) or 1):
                samples = _sample(mean, root, len(block), rng)
                images[part][block] = samples.reshape(len(block), *data.image_shape)
    train, test = (Examples(x, y) for x, y in zip(images, labels, strict=True))
    return train, test


def _labels(originals: np.ndarray, per_class: int | None, classes: int) -> np.ndarray:
    return originals if per_class is None else np.tile(np.arange(classes), per_class)


def _isotropic(images: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean `(pixels,)` and standard deviation of an isotropic Gaussian."""
    return images.mean(axis=0), float(np.sqrt(images.var(axis=0).mean()))


def _full(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(pixels,)` and a matrix `(rank, pixels)` whose Gram matrix is the covariance.

    With the centred images as rows of X, `n` of them, the covariance is XᵀX / n, so X / √n
    is such a matrix as it stands, of whatever rank. With more images than pixels, its
    triangular factor from X = QR is smaller and has the same Gram matrix. The covariance
    itself is never formed, which would square its condition number.
    """
    mean = images.mean(axis=0)
    centred = images - mean
    n, pixels = centred.shape
    root = np.linalg.qr(centred, mode="r") if n > pixels else centred
    return mean, root / np.sqrt(n)


def _sample(mean: np.ndarray, root: float | np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Samples `(count, pixels)` of the Gaussian with that mean and covariance rootᵀ root."""
    if isinstance(root, float):
        return mean + root * rng.standard_normal((count, len(mean)))
    return mean + rng.standard_normal((count, len(root))) @ root


CLONES = {"isogm": _isotropic, "gm": _full}
