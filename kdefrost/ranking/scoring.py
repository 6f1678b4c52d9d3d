"""Scores sources on the images of a target, without training tails."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kdefrost.arguments import check_kind
from kdefrost.data.examples import Labelled
from kdefrost.data.sets import read_sets
from kdefrost.data.storage import machine_memory
from kdefrost.defroster import Defroster
from kdefrost.ranking.result import SourceRanking
from kdefrost.training.labels import as_labels, kind_of, strata
from kdefrost.transferability.names import IMBALANCE, POOLED
from kdefrost.transferability.pooling import with_numbers

_EXPECTED = "a dict by name of models, or of Defrosters"


def rank_sources(
    sources: Mapping[str, keras.Model | Defroster],
    train: Labelled,
    per_class: int | None = None,
    seeds: int | Sequence[int] = 10,
    scores: Sequence[str] | None = None,
    target_network: keras.Model | None = None,
    classes: int | None = None,
    verbose: bool = True,
    steps: int | None = None,
) -> SourceRanking:
    """Ranks sources for a target without training tails, by scores of their features and the labels alone.

    How far such a ranking is that of the profiles is measured in docs/ranking.md. Sources that take images of another
    size are scored each by its `Defroster.transferability`, whose results a `SourceRanking` takes.

    Args:
        sources: Source models, or `Defroster`s where something is to be said of their cuts, by name. All take the
            images of `train`.
        train: The target's images and their classes, as for `Defroster.transferability`.
        per_class: Number of examples per class of each draw; by default half of those of the smallest class, so that
            draws tell how much the scores are the particular examples; where classes are uneven, errors are rather too
            large.
        seeds: Number of draws, from seed 0 on, or their seeds.
        scores: Names among `kdefrost.transferability.SCORES`; by default those of pooled features, and with a
            `target_network` the Information Imbalance.
        target_network: A network trained on the target; see `Defroster.transferability`.
        classes: As for `Defroster.profile`.
        verbose: Whether to show a progress bar for each source.
        steps: As for `Defroster.profile`.

    Returns:
        A `SourceRanking`.

    Raises:
        ValueError: If `sources` are none, or as `Defroster.transferability`.

    Example:

    ```python
    ranking = kdefrost.rank_sources({"mine": source, "another": model}, (x, y), seeds=5)
    print(ranking.summary())
    ranking.ranking("logme")[0].source
    ```
    """
    check_kind("sources", sources, Mapping, _EXPECTED)
    if not sources:
        raise ValueError(f"`sources` must be {_EXPECTED}. Received: none")
    for source in sources.values():
        check_kind("sources", source, (keras.Model, Defroster), _EXPECTED)
    defrosters = {name: each if isinstance(each, Defroster) else Defroster(each) for name, each in sources.items()}
    # Once, because a data set that shuffles gives each source others.
    (examples,) = read_sets(machine_memory() // 4, None, verbose, steps, train=with_numbers(train)).values()
    if per_class is None:
        per_class = max(1, _smallest_class(examples.y) // 2)
    if scores is None:
        scores = [*POOLED, *([] if target_network is None else [IMBALANCE])]
    given = {"scores": scores, "target_network": target_network, "classes": classes, "verbose": verbose}
    return SourceRanking(
        {name: each.transferability(examples, per_class, seeds, **given) for name, each in defrosters.items()}
    )


def _smallest_class(labels: np.ndarray) -> int:
    """Number of examples of the smallest class."""
    kind = kind_of(labels)
    return int(np.unique(strata(as_labels("train", labels, kind), kind), return_counts=True)[1].min())
