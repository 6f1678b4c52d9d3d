"""Scores of cuts without training: features flow from cut to cut, and at each one all scores are computed."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np

from kdefrost.arguments import as_whole, check_kind
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import Inference, each_layer
from kdefrost.cutting.graph import Graph, has_graph
from kdefrost.cutting.surgery import split
from kdefrost.data.colors import color_advice
from kdefrost.data.sets import read_images
from kdefrost.progress import share_bar
from kdefrost.transferability.at_cut import AtCut, Setting
from kdefrost.transferability.draws import Draw, Sizes
from kdefrost.transferability.names import TAIL_RIDGE, TANGENT_KERNEL, as_scores
from kdefrost.transferability.pooling import as_classes
from kdefrost.transferability.result import CutScores

# What the gradient of an example costs, in forward passes of a batch's.
_GRADIENT = 5


def score_cuts(
    source: keras.Model,
    cuts: Sequence[Cut],
    images: np.ndarray,
    labels: np.ndarray,
    scores: Sequence[str] | None = None,
    seed: int = 0,
    target_network: keras.Model | None = None,
    **options: object,
) -> dict[str, np.ndarray]:
    """Scores the cuts of a source on labelled images, without training anything.

    Args:
        source: The source model.
        cuts: Some of its cuts, of `cut_points`.
        images: What the source takes, an array `(examples, …)`.
        labels: The class of each `(examples,)`, a whole number or a name.
        scores: Names of scores; by default all of `SCORES` but the tangent kernel, the Information Imbalance where
            there is a target network.
        seed: Seed of the parts of the examples that some scores take, and of the random tails, which start as a
            trial's of this seed does.
        target_network: A network trained on the target, which takes the same images.
        **options: As for `each_cut`.

    Returns:
        By name the scores of the cuts `(cuts,)`, in their order: higher is better, NaN where features tell nothing.

    Raises:
        ValueError: If there is no such score, the labels are not of two classes at least, there are no cuts, or the
            source or the target network does not take such images.

    Example:

    ```python
    scores = score_cuts(source, kdefrost.cut_points(source), x, y, ["ridge", "tail_ridge"])
    scores["ridge"]  # (cuts,)
    ```
    """
    names = as_scores(scores, target_network is not None)
    check_kind("cuts", cuts, (list, tuple), "a list of cuts, of cut_points")
    if not cuts or not all(isinstance(cut, Cut) for cut in cuts):
        raise ValueError(f"`cuts` must be a list of one or more cuts, of cut_points. Received: cuts={cuts}")
    images = _as_images(images, source)
    draws = {as_whole("seed", seed, least=0): np.arange(len(images))}
    measured = each_cut(source, cuts, images, labels, draws, names, target_network, **options)
    of_cuts = {each.cut: each.scores for each in measured}
    return {name: np.array([of_cuts[cut.index][name] for cut in cuts]) for name in names}


def each_cut(
    source: keras.Model,
    cuts: Sequence[Cut],
    images,
    labels,
    draws: Mapping[int, np.ndarray],
    names: Sequence[str],
    target_network: keras.Model | None = None,
    batch_size: int = 128,
    tail_examples: int | None = None,
    memory_budget: int = 2**30,
    directory: str | os.PathLike | None = None,
    verbose: bool = False,
) -> Iterator[CutScores]:
    """Scores cuts on several draws of examples, whose features are computed once.

    Args:
        source: As for `score_cuts`.
        cuts: As for `score_cuts`.
        images: As for `score_cuts`, those of all draws.
        labels: Their classes `(examples,)`.
        draws: By seed, the rows of the examples.
        names: Names of scores, of `as_scores`.
        target_network: As for `score_cuts`.
        batch_size: Largest number of examples by whose moments batch normalisations of random tails compute.
        tail_examples: Number of examples that go through random tails; see `Sizes.of`.
        memory_budget: Bytes that features may take in memory, and as many that gradients may take; more features
            go to disk.
        directory: Folder for what goes to disk; by default the system's for temporary files.
        verbose: Whether to show progress.

    Yields:
        The scores of a cut and a seed, cut by cut from the first on.

    Raises:
        ValueError: As `score_cuts`.
    """
    labels = as_classes(labels, len(images), least=2)
    cuts = sorted(cuts, key=lambda cut: cut.index)
    sizes = Sizes.of(cuts, len(np.unique(labels)), tail_examples)
    drawn = {seed: Draw.of(labels, rows, seed, sizes) for seed, rows in draws.items()}
    target = None if target_network is None else _representation(target_network, images, source)
    setting = Setting(source, labels, names, target, batch_size, memory_budget)
    costs = np.cumsum(_costs(cuts, len(images), drawn.values(), names))
    with share_bar("Scoring cuts", verbose) as report:
        each = each_layer(source, cuts, images, memory_budget, directory)
        for cost, (cut, features) in zip(costs, each, strict=True):
            yield from AtCut(setting, cut, features).score(drawn)
            # The next features are made before the name is taken again.
            del features
            report(float(cost / costs[-1]))


def _as_images(images, source: keras.Model) -> np.ndarray:
    """Images as an array of finite numbers that a source takes."""
    images = read_images("images", images, memory_budget=2**62, directory=None)
    expected = tuple(Graph(source).inputs[0].shape[1:])
    if not _takes(expected, images):
        raise ValueError(
            f"`images` must be what the source takes, {expected} each. Received: {images.shape[1:]}"
            f"{color_advice(images.shape[1:], expected)}"
        )
    return images


def _takes(expected: tuple, images) -> bool:
    """Whether examples are of a shape in which some sizes are open."""
    given = images.shape[1:]
    return len(expected) == len(given) and all(e in (None, g) for e, g in zip(expected, given, strict=True))


def _representation(network: keras.Model, images, source: keras.Model) -> np.ndarray:
    """What a network's output layer takes, `(examples, …)`."""
    if not has_graph(network):
        raise ValueError(
            f"`target_network` must be a functional or sequential Keras model that has been built. Received: "
            f"{network!r}"
        )
    expected = tuple(network.inputs[0].shape[1:])
    if not _takes(expected, images):
        raise ValueError(
            f"`target_network` must take what the source takes, {tuple(source.inputs[0].shape[1:])} each. It takes "
            f"{expected}{color_advice(images.shape[1:], expected)}"
        )
    extractor, _ = split(network, cut_points(network)[-1])
    return Inference(extractor)(images)[0]


def _costs(cuts: Sequence[Cut], examples: int, draws, names: Sequence[str]) -> list[float]:
    """About what each cut costs, in multiply-adds: its features, and its random tails."""
    through = sum(
        (TAIL_RIDGE in names) * len(draw.tail) + (TANGENT_KERNEL in names) * _GRADIENT * len(draw.tangent)
        for draw in draws
    )
    before = itertools.chain([cuts[0].multiply_adds], (cut.tail_multiply_adds for cut in cuts))
    # What scores of pooled features take is as much as some multiply-adds more.
    return [
        1 + examples * (earlier - cut.tail_multiply_adds) + through * cut.tail_multiply_adds
        for cut, earlier in zip(cuts, before, strict=False)
    ]
