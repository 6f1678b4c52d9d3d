"""The policy of compliance: the whole network anew, with its first layers held by springs of every strength."""

import itertools
from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.compliance.strengths import check_strengths
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import calls_before, cut_points
from kdefrost.training.recipe import Recipe
from kdefrost.trials.question import Question, Springs


def under_springs(
    source: keras.Model,
    cuts: Sequence[Cut],
    strengths: Sequence[float],
    layers,
    per_class: int,
    seeds: Sequence[int],
    recipe: Recipe,
    normalization: bool = False,
) -> list[Question]:
    """The questions of all strengths and numbers of layers; no springs once whatever the number of layers.

    Args:
        source: The source model.
        cuts: Its cuts, where features are compared, and for the default numbers of layers.
        strengths: Values of λ, infinity for weights that are frozen.
        layers: A number of layers or a cut, or several; `None` for the cuts.
        per_class: Number of training examples per class.
        seeds: The seeds.
        recipe: How to train.
        normalization: Whether scale and offset of normalisations are held too.

    Returns:
        A list of `Question`s, those together that one compiled network serves.

    Raises:
        ValueError: If a strength or a number of layers cannot be.
    """
    check_strengths(strengths)
    features = cuts[0].features
    counts = _counts(source, [cut.frozen_layers for cut in cuts] if layers is None else layers, features)
    pairs = {(count, float(strength)) if strength else (0, 0.0) for count in counts if count for strength in strengths}
    pairs |= {(0, 0.0) for count in counts if not count and layers is not None}
    start = cut_points(source, features=features)[0]
    compared = tuple(cut.frozen_layers for cut in cuts if cut.frozen_layers)
    questions = [
        Question.at(start, per_class, seed, recipe, Springs(*pair, normalization and pair[0] > 0), compared)
        for pair, seed in itertools.product(pairs, seeds)
    ]
    return sorted(questions, key=_order)


def _order(question: Question) -> tuple:
    """Seed by seed, so that what was stopped has all strengths of some seeds."""
    springs = question.springs
    return springs.layers, springs.are_rigid, question.seed, springs.strength


def _counts(source: keras.Model, layers, features: bool) -> list[int]:
    several = isinstance(layers, Sequence) and not isinstance(layers, str)
    if several and not layers:
        raise ValueError("`layers` must be one or more numbers of layers or cuts. Received: none")
    counts = []
    for wanted in layers if several else [layers]:
        if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer, Cut)):
            raise ValueError(f"`layers` must be numbers of layers or cuts. Received: layers={layers!r}")
        # The output layer is new, whatever the source's.
        most = cut_points(source, features=features)[-1].frozen_layers
        count = wanted.frozen_layers if isinstance(wanted, Cut) else int(wanted)
        if not 0 <= count <= most:
            raise ValueError(
                f"`layers` must be from 0 to {most}, the number of layers with kernels before the output. Received: "
                f"layers={layers!r}"
            )
        calls_before(source, wanted)
        counts.append(count)
    return counts
