"""How far a trained network has strayed from the source: its weights layer by layer, its features cut by cut."""

import itertools
import math
from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import calls_before, cut_points
from kdefrost.cutting.features import Inference
from kdefrost.cutting.surgery import segment, tail_of
from kdefrost.similarity import cka
from kdefrost.training.coupling import pair_layers

# Features are compared on so many images: they weigh in the time of a trial, and more change CKA little.
COMPARED_IMAGES = 1000


def measured_layers(source: keras.Model, features: bool | None = None) -> dict[str, int]:
    """The layers whose distances from the source are measured: all with kernels before the output.

    Args:
        source: The source model.
        features: As for `cut_points`.

    Returns:
        By the layer's name, in order, how many layers with kernels are called up to and with its first call.
    """
    last = cut_points(source, features=features)[-1]
    calls = [call.name for call in calls_before(source, last) if call.kernels]
    return {pair.name: calls.index(pair.name) + 1 for pair in pair_layers(source, source, last)}


class Straying:
    """Measures how far networks have strayed from a source; it can be sent to other processes.

    Args:
        cuts: Cuts at which features are compared with the source's, in order.
        features: Whether the source ends in features; see `cut_points`.
    """

    def __init__(self, cuts: Sequence[Cut], features: bool | None = None):
        self._cuts, self._features, self._comparison = tuple(cuts), features, None

    def __reduce__(self):
        return Straying, (self._cuts, self._features)

    def __call__(self, source: keras.Model, model: keras.Model, features: dict[str, tuple]) -> dict[str, list[float]]:
        """Measures one network.

        Args:
            source: The source model, each time the same.
            model: A network like the source up to its last cut, with the names of its layers.
            features: Images by the name of the set, each time the same: a sample of those of the test set, else of
                the validation set, is what the networks are shown.

        Returns:
            `"cosine"` and `"euclidean"`, the distances of each layer's weights, and `"cka"` of the features at each
            cut.
        """
        start, *_, last = cut_points(source, features=self._features)
        if self._comparison is None:
            self._comparison = FeatureComparison(source, start, self._cuts, _sample(features))
        pairs = pair_layers(model, source, last.frozen_layers)
        return {
            "cosine": [pair.cosine_distance() for pair in pairs],
            "euclidean": [pair.relative_distance() for pair in pairs],
            "cka": self._comparison.compare(model),
        }


def _sample(features: dict[str, tuple]) -> np.ndarray:
    """Images to compare features on, the same ones for all trials."""
    (given,) = features.get("test") or features["validation"]
    rows = np.random.default_rng(0).permutation(len(given))[:COMPARED_IMAGES]
    return given[np.sort(rows)]


class FeatureComparison:
    """What networks like the source make of some images, from cut to cut.

    The layers between the cuts are built and traced once, and take the weights of each network in turn.

    Args:
        source: The source model.
        start: Its cut 0.
        cuts: Cuts at which features are compared, in order.
        images: Images as the source takes them.
    """

    def __init__(self, source: keras.Model, start: Cut, cuts: Sequence[Cut], images: np.ndarray):
        self._images = images
        self._segments = [segment(source, *ends) for ends in itertools.pairwise([start, *cuts])]
        self._runs = [Inference(between) for between in self._segments]
        # Flat, with the names of the layers of the segments.
        self._source = tail_of(source, start)

    def compare(self, model: keras.Model) -> list[float]:
        """Compares a model with the source.

        Args:
            model: A flat model whose layers before the last cut have the source's names.

        Returns:
            Unbiased linear CKA of its features with those of the source, at each cut; NaN where the
            one or the other are all alike or no numbers.
        """
        ours, theirs, values = (self._images,), (self._images,), []
        for between, run in zip(self._segments, self._runs, strict=True):
            ours, theirs = (self._through(between, run, *each) for each in ((model, ours), (self._source, theirs)))
            values.append(_similarity(_flat(ours), _flat(theirs)))
        return values

    @staticmethod
    def _through(between: keras.Model, run: Inference, model: keras.Model, features: tuple) -> tuple:
        names = {layer.name for layer in model.layers}
        for layer in between.layers:
            if layer.weights:
                # A layer that is called before this part too has here a name apart from its input's.
                name = layer.name if layer.name in names else layer.name.removeprefix("tail_")
                layer.set_weights(model.get_layer(name).get_weights())
        return run(*features)


def _similarity(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased CKA; NaN of features that say nothing, as those of a network that is dead or has diverged."""
    try:
        return cka(x, y, unbiased=True)
    except ValueError:
        return math.nan


def _flat(features: tuple) -> np.ndarray:
    """All numbers of a point in one row."""
    return np.concatenate([part.reshape(len(part), -1) for part in features], axis=1)
