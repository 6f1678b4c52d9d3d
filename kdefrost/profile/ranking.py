"""Which source for this target: sources in the order of what the best cut of each scores."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import near_best_columns, variance_share
from kdefrost.profile.result import DefrostProfile
from kdefrost.statistics import variance_over_seeds
from kdefrost.tables import format_difference, format_score

_CONFIDENCE = 0.95


class Ranked(NamedTuple):
    """A source in its place.

    Attributes:
        source: Its name.
        cut: Its best cut, as its profile chose it.
        score: The mean score there, on the set that is reported.
        error: The standard error of it.
        difference: The mean difference from the best source, over the seeds or folds that both have, 0 of that itself.
        difference_error: The standard error of it.
        near: Whether it is not told apart from the best source.
    """

    source: str
    cut: Cut
    score: float
    error: float
    difference: float
    difference_error: float
    near: bool


def rank_sources(profiles: Mapping[str, DefrostProfile], per_class: int | None = None) -> list[Ranked]:
    """Puts sources in the order of the scores at their best cuts.

    Sources are compared within seeds, or folds, as cuts are: multiple comparisons with the best (Hsu, 1984) in a
    randomised block design; see `DefrostProfile.near_best_cuts`.

    Args:
        profiles: Profiles that differ in nothing but the source, by its name; see `kdefrost.Comparison`.
        per_class: Number of training examples per class.

    Returns:
        A `Ranked` for each source that has a score, the best one first.
    """
    scored = {name: profile for name, profile in profiles.items() if profile.is_scored(per_class, profile.reported_on)}
    if not scored:
        return []
    best_cuts = {name: profile.best_cut(per_class) for name, profile in scored.items()}
    blocks = sorted({block for profile in scored.values() for block in profile.blocks})
    table = np.full((len(blocks), len(scored)), np.nan)
    for column, (name, profile) in enumerate(scored.items()):
        scores = profile.scores(per_class, profile.reported_on)[:, profile.cuts.index(best_cuts[name])]
        table[[blocks.index(block) for block in profile.blocks], column] = scores
    first = next(iter(scored.values()))
    # Of all examples there are, other seeds are other folds of the same ones.
    sets = 1 if first.size(per_class) is None else len({block[0] for block in blocks})
    share = functools.partial(variance_share, folds=first.folds, sets=sets)
    worth = first.objective.sign * table
    near = near_best_columns(worth, _CONFIDENCE, share)
    # A score that is no number comes last.
    order = np.argsort(-np.nan_to_num(np.nanmean(worth, axis=0), nan=-np.inf, posinf=-np.inf), kind="stable")
    names = list(scored)

    def ranked(column: int) -> Ranked:
        own = _mean(table[:, column], share)
        return Ranked(
            names[column],
            best_cuts[names[column]],
            *own,
            *_mean(table[:, column] - table[:, order[0]], share),
            bool(near[column]),
        )

    return [ranked(column) for column in order]


def _mean(values: np.ndarray, share) -> tuple[float, float]:
    """Mean and standard error of what is there of some blocks."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan
    return float(values.mean()), float(np.sqrt(variance_over_seeds(values[:, None])[0] * share(len(values))))


def ranking_sentence(metric: str, ranking: list[Ranked]) -> str:
    """Says in a sentence which source is best, how far the others are behind, and which are not told apart from it.

    Args:
        metric: Name of the metric.
        ranking: What `rank_sources` gives, of two sources or more.

    Returns:
        The sentence.
    """
    first, *others = ranking
    score = format_score(metric, first.score, first.error)
    behind = [
        f"{each.source}, {format_difference(metric, each.difference, each.difference_error)}"
        f"{' ~' if each.near else ''} (cut {each.cut.index})"
        for each in others
    ]
    near = " (~ not told apart from it)" if any(each.near for each in others) else ""
    return f"Best source: {first.source}, {score} at cut {first.cut.index}; then {'; '.join(behind)}{near}."
