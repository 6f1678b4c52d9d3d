"""Holding out a part of the training examples, to choose on."""

import warnings

import numpy as np

from kdefrost.arguments import as_whole, check_number
from kdefrost.data.examples import Examples


def hold_out(
    examples: Examples, share: float = 0.1, seed: int = 0, groups: np.ndarray | None = None
) -> tuple[Examples, Examples]:
    """Sets some examples of each class, or whole groups of examples, aside.

    With groups, one fold of scikit-learn's `StratifiedGroupKFold` is set aside: of
    `round(1 / share)` folds (at least 2, at most as many as there are groups, or images of
    the largest class), whose classes are as balanced as whole groups allow, the first that
    leaves some of every class. Any share above 0.4 therefore comes to about a half.

    Args:
        examples: A pair of images and labels, `(examples, …)` and `(examples,)`. `ImageFiles`
            stay unread.
        share: Share of each class that is set aside, above 0 and below 1; at least one,
            but never all. With groups, about that share of the images.
        seed: Seed of the draw.
        groups: The group that each example is of, `(examples,)`; None draws single examples.

    Returns:
        `(rest, held_out)`.

    Raises:
        ValueError: If `share` is out of its range, or `groups` is not one for each example
            or does not allow any to be set aside.
    """
    if not isinstance(examples, Examples):
        if not isinstance(examples, (tuple, list)) or len(examples) != 2:
            raise ValueError(f"`examples` must be a pair (images, labels). Received: {type(examples).__name__}")
        examples = Examples(*map(np.asarray, examples))
    check_number("share", share)
    as_whole("seed", seed, least=0)
    if not 0 < share < 1:
        raise ValueError(f"`share` must be above 0 and below 1. Received: share={share}")
    aside = draw(examples.labels, share, seed, groups)
    return examples.take(~aside), examples.take(aside)


def draw(labels: np.ndarray, share: float, seed: int, groups: np.ndarray | None) -> np.ndarray:
    """Mask `(examples,)` of those that are set aside."""
    if groups is not None:
        return _draw_groups(labels, share, seed, np.asarray(groups))
    rng = np.random.default_rng(seed)
    aside = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        aside[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return aside


def _draw_groups(labels: np.ndarray, share: float, seed: int, groups: np.ndarray) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    if groups.shape != labels.shape:
        raise ValueError(
            f"`groups` must name the group of each of the {len(labels)} examples. Received: groups of shape "
            f"{groups.shape}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    folds = min(max(2, round(1 / share)), len(np.unique(groups)), counts.max(initial=0))
    if folds > 1:
        with warnings.catch_warnings():
            # It warns of classes with fewer images than folds, which some fold then lacks.
            warnings.simplefilter("ignore", UserWarning)
            split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
            for rest, aside in split:
                if len(aside) and np.isin(classes, labels[rest]).all():
                    return np.isin(np.arange(len(labels)), aside)
    raise ValueError(
        "Whole groups (patients) can be set aside only where each class is of two groups or more; here, of "
        f"{len(np.unique(groups))} groups, none leaves every class: set single images aside, by groups=None or "
        'load_data(split="random").'
    )
