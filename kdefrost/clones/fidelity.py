"""Fidelity: how far a clone is from its original, in measures that put clones in order.

Images are measured in units of the original: from each channel its mean over the
original's training images is subtracted, and their difference is divided by its standard
deviation, for the clone as for the original.
"""

import dataclasses

import keras
import numpy as np

from kdefrost.clones.moments import frechet_distance, moment_errors, sampling_errors, squared_error
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import Inference
from kdefrost.cutting.surgery import split
from kdefrost.data.channels import channel_statistics
from kdefrost.data.examples import ImageData


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How far a clone is from its original.

    Attributes:
        name: The clone's name.
        mean_error: Relative error of the class means of the training images; see
            `moment_errors`.
        covariance_error: Relative error of the class covariances of the training images;
            see `moment_errors`.
        squared_error: Share of the test images' variance that is lost; see `squared_error`.
            `None` where images do not correspond.
        frechet_distance: Distance from the original's test images to the clone's, seen
            through a classifier of the original; see `frechet_distance`. Distances seen
            through two classifiers are not comparable.
        accuracy: That classifier's accuracy on the clone's test images, from 0 to 1.
    """

    name: str
    mean_error: float
    covariance_error: float
    squared_error: float | None
    frechet_distance: float
    accuracy: float


class Reference:
    """An original, to which clones are compared.

    What all comparisons need, the original's channel statistics and the features of its
    test images, is computed once. Features are what enters the classifier's output layer.

    Args:
        original: The original.
        classifier: A model trained on it, from images as they are to its classes; see
            `standardized`.

    Raises:
        ValueError: If the original lacks a class or has a label out of range, or the
            classifier does not fit it.

    Example:

    ```python
    reference = Reference(digits, kdefrost.standardized(network, digits.train.images))
    reference.compare(kdefrost.make_clone("gm", digits), corresponds=False).accuracy  # such as 0.95
    ```
    """

    def __init__(self, original: ImageData, classifier: keras.Model):
        _check_labels("original", original)
        _check_classifier(classifier, original)
        self.original = original
        self._statistics = channel_statistics(original.train.images)
        self._extractor, self._output = map(Inference, split(classifier, cut_points(classifier)[-1]))
        self._features = self._extract(original.test.images)

    def compare(self, clone: ImageData, corresponds: bool) -> Fidelity:
        """Measures how far a clone is from the original.

        Args:
            clone: A clone of it.
            corresponds: Whether the clone's i-th image stands for the original's i-th, as an
                autoencoder's does.

        Returns:
            A `Fidelity`.

        Raises:
            ValueError: If the clone has images of another shape, other classes, no training
                image of a class, a label out of range, or labels that differ although its
                images correspond.
        """
        self._check_clone(clone, corresponds)
        mean_error, covariance_error = moment_errors(clone.train, self.original.train, *self._statistics)
        lost = squared_error(clone.test.images, self.original.test.images, self._statistics[1]) if corresponds else None
        features = self._extract(clone.test.images)
        return Fidelity(
            name=clone.name,
            mean_error=mean_error,
            covariance_error=covariance_error,
            squared_error=lost,
            frechet_distance=self._distance(features),
            accuracy=self._accuracy(features, clone.test.labels),
        )

    def baseline(self, seed: int = 0) -> Fidelity:
        """Says what a clone that had it all right would score, by which the others are read.

        Its accuracy is the original's. Its errors are those that samples of the original's
        moments have by chance; see `sampling_errors`. Its distance is that from the original's
        test images to as many of its training images of each class, or all where there are
        fewer: what lies between two samples of one distribution, and what the classifier's
        having seen one of them adds.

        Args:
            seed: Seed of the draw of these training images.

        Returns:
            A `Fidelity` without a squared error.
        """
        train, test = self.original.train, self.original.test
        rng = np.random.default_rng(seed)
        counts = np.bincount(test.labels)
        drawn = [rng.permutation(np.flatnonzero(train.labels == label))[:count] for label, count in enumerate(counts)]
        sample = self._extract(train.take(np.sort(np.concatenate(drawn))).images)
        mean_error, covariance_error = sampling_errors(train, *self._statistics)
        return Fidelity(
            name=self.original.name,
            mean_error=mean_error,
            covariance_error=covariance_error,
            squared_error=None,
            frechet_distance=self._distance(sample),
            accuracy=self._accuracy(self._features, test.labels),
        )

    def _extract(self, images) -> np.ndarray:
        """Features `(images, …)`."""
        (features,) = self._extractor(images)
        return features

    def _distance(self, features: np.ndarray) -> float:
        return frechet_distance(*(part.reshape(len(part), -1) for part in (features, self._features)))

    def _accuracy(self, features: np.ndarray, labels: np.ndarray) -> float:
        (outputs,) = self._output(features)
        return float(np.mean(outputs.argmax(axis=1) == labels))

    def _check_clone(self, clone: ImageData, corresponds: bool):
        original = self.original
        if clone.image_shape != original.image_shape or clone.classes != original.classes:
            raise ValueError(
                f"`clone` must have the images' shape and the classes of {original.name!r}, {original.image_shape} and "
                f"{len(original.classes)} classes. Received: {clone.name!r} with {clone.image_shape} and "
                f"{len(clone.classes)} classes; take a clone that was made of it."
            )
        _check_labels("clone", clone)
        if corresponds and not np.array_equal(clone.test.labels, original.test.labels):
            raise ValueError(
                f"`clone` must have the test labels of {original.name!r}, in their order, where images correspond. "
                f"Received: {clone.name!r} with others; say corresponds=False."
            )


def _check_labels(argument: str, data: ImageData):
    """Refuses labels that are no class, and classes without a training image."""
    for part in ("train", "test"):
        labels = getattr(data, part).labels
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(data.classes):
            raise ValueError(
                f"`{argument}` must have labels from 0 to {len(data.classes) - 1}, one for each of its classes. "
                f"Received: {data.name!r}, whose {part} set has {_span(labels)}"
            )
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    if not counts.all():
        raise ValueError(
            f"`{argument}` must have training images of every class. Received: {data.name!r}, without any of class "
            f"{data.classes[int(counts.argmin())]!r}"
        )


def _span(labels: np.ndarray) -> str:
    return f"labels from {labels.min()} to {labels.max()}" if len(labels) else "none"


def _check_classifier(classifier: keras.Model, original: ImageData):
    takes, gives = classifier.input_shape[1:], classifier.output_shape[1:]
    if takes != original.image_shape or gives != (len(original.classes),):
        raise ValueError(
            f"`classifier` must take {original.name!r}'s images {original.image_shape} and give one number for each of "
            f"its {len(original.classes)} classes. Received: a model from {takes} to {gives}"
        )
