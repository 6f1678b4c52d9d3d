"""Trials of compliance: a whole network trained anew with its first layers held near the source."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from kdefrost.compliance import ElasticCoupling, check_strength, pair_layers
from kdefrost.cuts import Cut, calls_before, cut_points, segment, tail_of
from kdefrost.features import Inference
from kdefrost.progress import share_bar
from kdefrost.recipe import Recipe
from kdefrost.similarity import cka
from kdefrost.tails import Experiment, Tail
from kdefrost.tasks import Task

# From no springs to rigid ones, closer where they take hold. The recipe's weight decay of 5e-4 pulls held weights
# to 0 as hard as λ = 2.5e-4 pulls them to the source's.
STRENGTHS = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0, math.inf)
# Features are compared on so many images: they weigh in the time of a trial, and more change CKA little.
COMPARED_IMAGES = 1000


@dataclasses.dataclass(frozen=True)
class ComplianceTrial:
    """One training of the whole network with its first layers held.

    Attributes:
        layers: Number of layers with kernels that were held.
        strength: λ; infinite where they had the source's values and stayed as they were.
        per_class: Number of training examples per class.
        seed: Seed of the subset, the initialisation and the order.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set by metric, `None` without one.
        cosine: Cosine distance to the source of each layer, held or not, the output left out.
        euclidean: Relative Euclidean distance to the source of each, likewise.
        cka: Unbiased linear CKA of the features at each cut with those of the source.
        seconds: Time that training and scoring took.
    """

    layers: int
    strength: float
    per_class: int
    seed: int
    test: dict[str, float] | None
    validation: dict[str, float] | None
    cosine: list[float]
    euclidean: list[float]
    cka: list[float]
    seconds: float

    @property
    def key(self) -> tuple[int, float, int, int]:
        """What tells trials apart."""
        return self.layers, self.strength, self.per_class, self.seed


def trial_keys(
    source: keras.Model, cuts: Sequence[Cut], strengths: Sequence[float], layers, per_class: int, seeds: Sequence[int]
) -> list[tuple[int, float, int, int]]:
    """The keys of all trials, those with no springs once whatever the number of layers.

    Args:
        source: The source model.
        cuts: Its cuts, for the default numbers of layers.
        strengths: Values of λ, infinity for weights that are frozen.
        layers: A number of layers or a cut, or several; `None` for the cuts.
        per_class: Number of training examples per class.
        seeds: The seeds.

    Returns:
        A list of `(layers, strength, per_class, seed)`.

    Raises:
        ValueError: If a strength or a number of layers cannot be.
    """
    if isinstance(strengths, str) or not isinstance(strengths, (Sequence, np.ndarray)) or not len(strengths):
        raise ValueError(f"`strengths` must be a list of one or more numbers. Received: strengths={strengths!r}")
    for strength in strengths:
        if not isinstance(strength, float) or strength != math.inf:
            check_strength(strength, "strengths")
    counts = _counts(source, [cut.frozen_layers for cut in cuts] if layers is None else layers)
    pairs = {(count, float(strength)) if strength else (0, 0.0) for count in counts if count for strength in strengths}
    pairs |= {(0, 0.0) for count in counts if not count and layers is not None}
    return [(*pair, per_class, seed) for pair, seed in sorted(itertools.product(sorted(pairs), seeds), key=_order)]


def _order(pair_and_seed) -> tuple:
    """Seed by seed, so that what was stopped has all strengths of some seeds."""
    (count, strength), seed = pair_and_seed
    return count, math.isinf(strength), seed, strength


def _counts(source: keras.Model, layers) -> list[int]:
    several = isinstance(layers, Sequence) and not isinstance(layers, str)
    counts = []
    for wanted in layers if several else [layers]:
        if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer, Cut)):
            raise ValueError(f"`layers` must be numbers of layers or cuts. Received: layers={layers!r}")
        # The output layer is new, whatever the source's.
        most = cut_points(source)[-1].frozen_layers
        count = wanted.frozen_layers if isinstance(wanted, Cut) else int(wanted)
        if not 0 <= count <= most:
            raise ValueError(
                f"`layers` must be from 0 to {most}, the number of layers with kernels before the output. Received: "
                f"layers={layers!r}"
            )
        calls_before(source, wanted)
        counts.append(count)
    return counts


def measured_layers(source: keras.Model) -> dict[str, int]:
    """The layers whose distances from the source are measured: all with kernels before the output.

    Args:
        source: The source model.

    Returns:
        By the layer's name, in order, how many layers with kernels are called up to and with its first call.
    """
    last = cut_points(source)[-1]
    calls = [call.name for call in calls_before(source, last) if call.kernels]
    return {pair.name: calls.index(pair.name) + 1 for pair in pair_layers(source, source, last)}


class TrialRunner:
    """Runs trials of compliance for one source.

    Args:
        source: The source model.
        cuts: Cuts at which features are compared with the source's, in order.
        task: What is learnt.
        recipe: How to train.
        class_weight: Weights of the classes in the loss.
        normalization: Whether scale and offset of normalisations are held too.
    """

    def __init__(
        self, source: keras.Model, cuts: Sequence[Cut], task: Task, recipe: Recipe, class_weight, normalization: bool
    ):
        self.source, self.cuts, self.task, self.recipe = source, cuts, task, recipe
        self.class_weight, self.normalization = class_weight, normalization

    def run(self, keys: Sequence[tuple[int, float, int, int]], examples, verbose: bool) -> Iterator[ComplianceTrial]:
        """Runs trials, compiling once for each number of layers, and once more where they are frozen.

        Args:
            keys: `(layers, strength, per_class, seed)` of each, in the order of `trial_keys`.
            examples: Images, labels, rows and samples, as the defroster gathers them.
            verbose: Whether to show a progress bar.

        Yields:
            Each trial as it ends.
        """
        start = cut_points(self.source)[0]
        features = {name: (images,) for name, images in examples.images.items()}
        experiment = Experiment(self.source, self.task, self.recipe, examples.labels, self.class_weight)
        comparison = FeatureComparison(self.source, start, self.cuts, _sample(examples.images))
        done = 0
        with share_bar(f"Compliance, {len(keys)} trials", verbose) as report:
            for (count, frozen), group in itertools.groupby(keys, key=lambda key: (key[0], math.isinf(key[1]))):
                couple = functools.partial(self._couple, count, frozen)
                tail = Tail(experiment, start, start, features, couple)
                for key in group:
                    if not frozen:
                        tail.coupling.strength = key[1]
                    advance = functools.partial(_advance, report, done, len(keys))
                    rows, sample = examples.rows[key[2:]], examples.samples[key[3]]
                    trial = tail.run((0, *key[2:]), rows, sample, advance)
                    yield self._measured(key, trial, tail.model, comparison)
                    done += 1
                    report(done / len(keys))

    def _couple(self, count: int, frozen: bool, model: keras.Model) -> ElasticCoupling:
        coupling = ElasticCoupling(model, self.source, count, normalization=self.normalization)
        if frozen:
            coupling.freeze()
        return coupling

    def _measured(self, key, trial, model: keras.Model, comparison: "FeatureComparison") -> ComplianceTrial:
        last = cut_points(self.source)[-1].frozen_layers
        pairs = pair_layers(model, self.source, last)
        return ComplianceTrial(
            *key,
            test=trial.test,
            validation=trial.validation,
            cosine=[pair.cosine_distance() for pair in pairs],
            euclidean=[pair.relative_distance() for pair in pairs],
            cka=comparison.compare(model),
            seconds=trial.seconds,
        )


def _advance(report, done: int, trials: int, share: float):
    report((done + 0.95 * share) / trials)


def _sample(images: dict) -> np.ndarray:
    """Images to compare features on, the same ones for all trials."""
    given = images.get("test", images.get("validation"))
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
