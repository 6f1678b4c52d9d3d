"""What a search says: the curve over all cuts, what it took, why it ended, and why it left cuts out."""

import numpy as np
from scipy import stats

from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import fit_blocks
from kdefrost.profile.curve import curve_over_depth
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.search import SETTLED, Searched, seconds_for
from kdefrost.tables import duration, format_difference, in_percent


def curve(profile: DefrostProfile, per_class: int | None = None, on: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """The objective's curve over all cuts, tried or not, that the scores of the tried ones suggest.

    Neighbouring cuts score alike; how far, see `profile.curve.curve_over_depth`.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.
        on: `"test"`, or `"validation"`.

    Returns:
        The mean over the tried seeds or folds that is expected, and its standard deviation, each `(cuts,)`; the latter
        is NaN where the scores are all equal, or only one, and so tell nothing of their spread.

    Raises:
        ValueError: As `DefrostProfile.scores`, or if no score is a number.
    """
    scores = _worths(profile, per_class, on)
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        raise ValueError(f"No trial with per_class={per_class} has a number for its {profile.objective.name}.")
    fitted = curve_over_depth(scores)
    deviation = fitted.deviation if np.ptp(finite) else np.full(len(fitted.mean), np.nan)
    return profile.objective.sign * fitted.mean, deviation


def _worths(profile: DefrostProfile, per_class: int | None, on: str) -> np.ndarray:
    """The scores at one size `(blocks, cuts)`, more being better: NaN where untried, −∞ where a training diverged."""
    scores, size = profile.objective.sign * profile.scores(per_class, on), profile.size(per_class)
    rows = {block: row for row, block in enumerate(profile.blocks)}
    columns = {cut.index: column for column, cut in enumerate(profile.cuts)}
    for trial in profile.trials:
        cell = rows[trial.block], columns[trial.cut]
        if trial.per_class == size and not np.isfinite(scores[cell]):
            scores[cell] = -np.inf
    return scores


def reasons(profile: DefrostProfile, per_class: int | None = None) -> list[str]:
    """Says what a search took, why it ended, and what cuts that were not tried would have to be.

    Args:
        profile: The profile of a search.
        per_class: Number of training examples per class.

    Returns:
        A list of sentences; none where all was asked.
    """
    size = profile.size(per_class)
    searched = next((each for each in profile.searched if each.per_class == size), None)
    if searched is None:
        return []
    return [_course(searched), *_left_out(profile, per_class)]


def _course(searched: Searched) -> str:
    if searched.unit == "share":
        took = f"{100 * searched.spent:.0f} % of the full profile's training, of {100 * searched.budget:.0f} % allowed"
    else:
        took = f"{duration(searched.spent)} of training, of {duration(searched.budget)} allowed"
    if searched.ended == SETTLED:
        return f"The search took {took}: no trial that is left is expected to better the best cut."
    return f"The search took {took}: what trials may still better the best cut are beyond that."


def _left_out(profile: DefrostProfile, per_class: int | None) -> list[str]:
    """A sentence for each run of cuts that were not tried."""
    scores = _worths(profile, per_class, profile.chosen_on)
    mean, tried = fit_blocks(scores).mean, ~np.isnan(scores).all(axis=0)
    best = np.nanmax(mean)
    if not np.isfinite(best):
        return []
    expected, deviation = profile.curve(per_class, profile.chosen_on)
    expected = profile.objective.sign * expected
    sentences = []
    for run in _runs(~tried):
        neighbours = [column for column in (run[0] - 1, run[-1] + 1) if 0 <= column < len(tried)]
        short = best - max(mean[column] for column in neighbours)
        chances = stats.norm.sf(best, expected[run], np.maximum(deviation[run], 1e-12))
        takes = duration(sum(_seconds(profile, per_class, profile.cuts[column]) for column in run))
        sentences.append(
            f"{_named([profile.cuts[column] for column in run])} not tried: at the cost of {takes} for one trial"
            f"{' each' if len(run) > 1 else ''}, {'they' if len(run) > 1 else 'it'} would have to be "
            f"{_better(profile, short, len(neighbours), len(run))}{_chance(chances)}."
        )
    return sentences


def _runs(mask: np.ndarray) -> list[list[int]]:
    """The columns of a mask, those next to each other together."""
    columns = np.flatnonzero(mask)
    return [run.tolist() for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(run)]


def _named(cuts: list[Cut]) -> str:
    if len(cuts) == 1:
        return f"Cut {cuts[0].index} was"
    return f"Cuts {cuts[0].index} {'and' if len(cuts) == 2 else 'to'} {cuts[-1].index} were"


def _better(profile: DefrostProfile, short: float, neighbours: int, cuts: int) -> str:
    """By how much what was not tried would have to be better than the better of its neighbours."""
    name = profile.objective.name
    others = f"{'their' if cuts > 1 else 'its'} {'neighbours' if neighbours > 1 else 'neighbour'}"
    if not np.isfinite(short):
        # There is nothing to be better by where trainings at the neighbours diverged.
        return "better than the best cut"
    if short <= 0:
        return f"better than the best cut, which is next to {'them' if cuts > 1 else 'it'}"
    amount = format_difference(name, short).removesuffix(" above")
    return f"{amount} better than {others}" if in_percent(name) else f"better than {others} by {amount}"


def _chance(chances: np.ndarray) -> str:
    """The chance of the likeliest cut of a run in words, none where scores tell nothing of their spread."""
    if np.isnan(chances).any():
        return ""
    chance = "under 1 %" if chances.max() < 0.01 else f"{100 * chances.max():.0f} %"
    return f" (by the curve a chance of {chance}{', for the likeliest of them' if len(chances) > 1 else ''})"


def _seconds(profile: DefrostProfile, per_class: int | None, cut: Cut) -> float:
    """What a trial at a cut would take, as those of its size did."""
    size, left = profile.size(per_class), {each.index: each.tail_multiply_adds for each in profile.cuts}
    known = [(left[trial.cut], trial.seconds) for trial in profile.trials if trial.per_class == size]
    return seconds_for(cut.tail_multiply_adds, known)
