"""How far apart two sets of images or features are: errors of their moments, and the Fréchet distance."""

from collections.abc import Iterator

import numpy as np

from kdefrost.data.examples import Examples

# Rows of a covariance that are made at a time.
_STRIP = 512
# Numbers that are subtracted at a time.
_BLOCK = 2**22


def moment_errors(clone: Examples, original: Examples, mean: np.ndarray, deviation: np.ndarray) -> tuple[float, float]:
    """Relative errors of a clone's class means and class covariances.

    With the original's class means as rows of M `(classes, numbers per image)`, its class
    covariances C_c (divided by the number of images), and those of the clone marked by ', in
    Frobenius norms:

        ‖M' − M‖ / ‖M‖   and   √(Σ_c ‖C'_c − C_c‖² / Σ_c ‖C_c‖²).

    One class at a time is held, in float32; no covariance is formed as a whole.

    Args:
        clone: Images and labels; at least one of each class of the original.
        original: Images and labels.
        mean: Mean of each channel that is subtracted first, `(channels,)`.
        deviation: Standard deviation of each channel that is divided by, `(channels,)`.

    Returns:
        `(mean_error, covariance_error)`.

    Raises:
        ValueError: If all class means or all class covariances of the original are zero.
    """
    squares = np.zeros((2, 2))
    for label in np.unique(original.labels):
        (its_mean, its_centred), (own_mean, own_centred) = (
            _mean_and_rest(part, label, mean, deviation) for part in (clone, original)
        )
        squares[0] += np.sum(np.square(its_mean - own_mean)), np.sum(np.square(own_mean))
        for its, own in zip(_covariance_strips(its_centred), _covariance_strips(own_centred), strict=True):
            squares[1] += _symmetric_squares(its - own), _symmetric_squares(own)
    return _relative(squares)


def sampling_errors(original: Examples, mean: np.ndarray, deviation: np.ndarray) -> tuple[float, float]:
    """The errors of `moment_errors` that samples of the original's moments have by chance.

    Of n_c samples of a Gaussian with the covariance C_c, the mean and the covariance are
    expected to be, in squared Frobenius norm,

        tr C_c / n_c   and   (tr(C_c)² + ‖C_c‖²) / n_c

    away from it (the latter to first order in 1 / n_c).

    Args:
        original: Images and labels; as many samples of each class are meant.
        mean: As for `moment_errors`.
        deviation: As for `moment_errors`.

    Returns:
        `(mean_error, covariance_error)`, roots of the expected squares.

    Raises:
        ValueError: As `moment_errors`.
    """
    squares = np.zeros((2, 2))
    for label in np.unique(original.labels):
        class_mean, centred = _mean_and_rest(original, label, mean, deviation)
        trace = np.sum(np.square(centred), dtype=np.float64) / len(centred)
        norm = sum(map(_symmetric_squares, _covariance_strips(centred)))
        squares[0] += trace / len(centred), np.sum(np.square(class_mean))
        squares[1] += (trace**2 + norm) / len(centred), norm
    return _relative(squares)


def squared_error(clone, original, deviation: np.ndarray) -> float:
    """Mean squared error per number, in units of each channel's variance.

    It is the share of the variance that is lost: 0 for the original's own images, 1 for the
    channels' means.

    Args:
        clone: Images `(images, height, width, channels)`.
        original: The images that they stand for, of the same shape.
        deviation: Standard deviation of each channel, `(channels,)`.

    Returns:
        The mean.

    Raises:
        ValueError: If the shapes differ.
    """
    if clone.shape != original.shape:
        raise ValueError(
            f"`clone` must have an image for each of `original`, of shape {original.shape}. Received: {clone.shape}"
        )
    rows = max(1, _BLOCK // int(np.prod(original.shape[1:])))
    total = 0.0
    for start in range(0, len(original), rows):
        block = slice(start, start + rows)
        difference = (clone[block] - original[block].astype(np.float64)) / deviation
        total += float(np.sum(np.square(difference)))
    return total / float(np.prod(original.shape, dtype=np.float64))


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features.

    With means m and covariances C (divided by the number of examples) it is

        ‖m₁ − m₂‖² + tr C₁ + tr C₂ − 2 tr (C₁^½ C₂ C₁^½)^½

    (Dowson & Landau, 1982), as the FID has it (Heusel et al., 2017, arXiv:1706.08500): the
    square of a length. The last trace is the sum of the singular values of R₁R₂ᵀ, with any
    matrices whose Gram matrices RᵀR are the covariances. These are taken from the centred
    features, so that no covariance is formed and no root taken of one, of whatever rank.

    Args:
        features: `(examples, features)`.
        others: `(other examples, features)`.

    Returns:
        The distance, at least 0.

    Raises:
        ValueError: If the sets are not two matrices of as many columns, or hold what is not
            finite.
    """
    if features.ndim != 2 or others.ndim != 2 or features.shape[1] != others.shape[1]:
        raise ValueError(
            "`features` and `others` must be matrices (examples, features) of as many features. Received: shapes "
            f"{features.shape} and {others.shape}"
        )
    if not (np.isfinite(features).all() and np.isfinite(others).all()):
        raise ValueError(
            "`features` and `others` must be finite. Received: infinite or undefined ones; train the model that made "
            "them anew, at a lower learning rate."
        )
    (mean, root), (other_mean, other_root) = map(_mean_and_root, (features, others))
    common = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    distance = np.sum(np.square(mean - other_mean)) + np.sum(np.square(root)) + np.sum(np.square(other_root))
    return max(0.0, float(distance - 2 * common))


def _mean_and_rest(
    examples: Examples, label: int, mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(numbers,)` of a class's standardised images, and those images without it, `(images, numbers)`."""
    images = (examples.images[np.flatnonzero(examples.labels == label)] - mean) / deviation
    images = images.reshape(len(images), -1)
    class_mean = images.mean(axis=0, dtype=np.float64)
    images -= class_mean.astype(np.float32)
    return class_mean, images


def _covariance_strips(centred: np.ndarray) -> Iterator[np.ndarray]:
    """The covariance of centred images `(images, numbers)`, some rows at a time, each from the diagonal on.

    It is symmetric: what lies before the diagonal says nothing new.
    """
    for start in range(0, centred.shape[1], _STRIP):
        yield centred[:, start : start + _STRIP].T @ centred[:, start:] / np.float32(len(centred))


def _symmetric_squares(strip: np.ndarray) -> float:
    """Sum of the squares of a strip `(rows, from the diagonal on)`, and of what mirrors it before the diagonal."""
    squares = np.square(strip)
    return 2 * squares.sum(dtype=np.float64) - squares[:, : len(strip)].sum(dtype=np.float64)


def _relative(squares: np.ndarray) -> tuple[float, float]:
    """Roots of squared errors by squared norms; rows `(error, norm)` of the means and of the covariances."""
    for moment, norm in zip(("class means", "class covariances"), squares[:, 1], strict=True):
        if norm == 0:
            raise ValueError(f"`original` must vary: all its {moment} are zero, and no error can be relative to them.")
    mean_error, covariance_error = np.sqrt(squares[:, 0] / squares[:, 1]).tolist()
    return mean_error, covariance_error


def _mean_and_root(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(features,)` and a matrix `(rank, features)` whose Gram matrix is the covariance."""
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    return mean, np.linalg.qr(features - mean, mode="r") / np.sqrt(len(features))
