"""Which source for this target: sources in the order of what the best cut of each scores."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import BlockFit, fit_blocks, near_best_columns, variance_share
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
        difference: The difference from the best source, of scores within seeds or folds (see `fit_blocks`): the mean
            over those that both have where these are the same or there are no other sources; 0 of that itself; NaN
            where no seeds or folds join the two, or it diverged.
        difference_error: The standard error of it.
        near: Whether it is not told apart from the best source, as where no seeds or folds join the two.
    """

    source: str
    cut: Cut
    score: float
    error: float
    difference: float
    difference_error: float
    near: bool


def rank_profiles(profiles: Mapping[str, DefrostProfile], per_class: int | None = None) -> list[Ranked]:
    """Puts sources in the order of the scores at their best cuts, as far as seeds or folds are the same.

    Sources are compared within seeds, or folds, as cuts are: multiple comparisons with the best (Hsu, 1984) in a
    randomised block design; see `DefrostProfile.near_best_cuts`.

    Args:
        profiles: Profiles that differ in nothing but the source, by its name; see `kdefrost.Comparison`.
        per_class: Number of training examples per class.

    Returns:
        A `Ranked` for each source that has a score, the best one first; then those that have seeds or folds in common
        with it, by way of others too; then those that have none; last those that diverged.
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
    return rank_columns(list(scored), list(best_cuts.values()), table, first.objective.sign, share)


def rank_columns(
    sources: Sequence[str], cuts: Sequence[Cut], table: np.ndarray, sign: int, share: Callable
) -> list[Ranked]:
    """Puts sources in the order of their scores, which are compared within blocks.

    Args:
        sources: Their names.
        cuts: The best cut of each.
        table: The scores there `(blocks, sources)`, NaN where there are none.
        sign: 1 where more is better, -1 where less is.
        share: Gives of numbers of blocks what the variance of a block is multiplied by for that of a mean over so
            many; see `variance_share`.

    Returns:
        As `rank_profiles`.
    """
    worth = sign * table
    near = near_best_columns(worth, _CONFIDENCE, share)
    fit = fit_blocks(worth)
    mean = np.nan_to_num(fit.mean, nan=-np.inf, posinf=-np.inf, neginf=-np.inf)
    best = int(np.argmax(mean))
    # Means of sources that nothing joins say nothing of each other. A score that is no number comes last.
    order = np.lexsort((-mean, np.isposinf(fit.spread[best]), np.isneginf(mean)))

    def ranked(column: int) -> Ranked:
        own = _mean(table[:, column], share)
        difference = _difference(table, fit, best, column, sign, share)
        return Ranked(sources[column], cuts[column], *own, *difference, bool(near[column]))

    return [ranked(column) for column in order]


def _difference(
    table: np.ndarray, fit: BlockFit, best: int, column: int, sign: int, share: Callable
) -> tuple[float, float]:
    """How far a source is from the best one, and the standard error of that."""
    spread = fit.spread[best, column]
    if column != best and not np.isfinite(spread):
        return np.nan, np.nan
    there = np.isfinite(table)
    if (there[:, best] == there[:, column]).all():
        return _mean(table[:, column] - table[:, best], share)
    # As of so many blocks in common; see `near_best_columns`.
    error = np.sqrt(2 * fit.variance * share(2 / spread))
    return float(sign * (fit.mean[column] - fit.mean[best])), float(error)


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
        ranking: What `rank_profiles` gives, of two sources or more.

    Returns:
        The sentence.
    """
    first, *others = ranking
    score = format_score(metric, first.score, first.error)
    behind = [
        f"{each.source}, {_behind(metric, each)}{' ~' if each.near else ''} (cut {each.cut.index})" for each in others
    ]
    near = " (~ not told apart from it)" if any(each.near for each in others) else ""
    return f"Best source: {first.source}, {score} at cut {first.cut.index}; then {'; '.join(behind)}{near}."


def _behind(metric: str, ranked: Ranked) -> str:
    """How far a source is from the best one, in words."""
    if np.isfinite(ranked.difference):
        return format_difference(metric, ranked.difference, ranked.difference_error)
    return "no seeds in common" if ranked.near else "diverged"
