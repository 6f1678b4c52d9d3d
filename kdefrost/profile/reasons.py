"""What a search says: the curve over all cuts, what it took, why it ended, and why it left cuts out."""

import numpy as np
from scipy import stats

from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import fit_blocks
from kdefrost.profile.curve import curve_over_depth
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.search import SETTLED, Searched
from kdefrost.tables import duration, format_difference, in_percent


def curve(profile: DefrostProfile, per_class: int | None = None, on: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """The objective's curve over all cuts, tried or not, that the scores of the tried ones suggest.

    Neighbouring cuts score alike; how far, see `profile.curve.curve_over_depth`.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.
        on: `"test"`, or `"validation"`.

    Returns:
        The mean over the tried seeds or folds that is expected, and its standard deviation, each `(cuts,)`.

    Raises:
        ValueError: As `DefrostProfile.scores`, or if no score is a number.
    """
    scores = profile.objective.sign * profile.scores(per_class, on)
    if not np.isfinite(scores).any():
        raise ValueError(f"No trial with per_class={per_class} has a number for its {profile.objective.name}.")
    fitted = curve_over_depth(np.where(np.isfinite(scores), scores, np.nan))
    return profile.objective.sign * fitted.mean, fitted.deviation


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
    scores = profile.objective.sign * profile.scores(per_class, profile.chosen_on)
    if not np.isfinite(scores).any():
        return []
    mean, tried = fit_blocks(np.where(np.isfinite(scores), scores, np.nan)).mean, np.isfinite(scores).any(axis=0)
    expected, deviation = profile.curve(per_class, profile.chosen_on)
    expected, best = profile.objective.sign * expected, np.nanmax(mean)
    sentences = []
    for run in _runs(~tried):
        neighbours = [column for column in (run[0] - 1, run[-1] + 1) if 0 <= column < len(tried)]
        short = best - max(mean[column] for column in neighbours)
        chance = max(stats.norm.sf(best, expected[column], max(deviation[column], 1e-12)) for column in run)
        takes = duration(sum(_seconds(profile, per_class, profile.cuts[column]) for column in run))
        sentences.append(
            f"{_named([profile.cuts[column] for column in run])} not tried: at the cost of {takes} for one trial"
            f"{' each' if len(run) > 1 else ''}, {'they' if len(run) > 1 else 'it'} would have to be "
            f"{_better(profile, short, len(neighbours))} (by the curve a chance of {_percent(chance)}"
            f"{', for the likeliest of them' if len(run) > 1 else ''})."
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


def _better(profile: DefrostProfile, short: float, neighbours: int) -> str:
    """By how much what was not tried would have to be better than the better of its neighbours."""
    name, others = profile.objective.name, "neighbours" if neighbours > 1 else "neighbour"
    if short <= 0:
        return "better than the best cut, which is next to them" if neighbours > 1 else "better than the best cut"
    amount = format_difference(name, short).removesuffix(" above")
    return f"{amount} better than their {others}" if in_percent(name) else f"better than their {others} by {amount}"


def _percent(chance: float) -> str:
    return "under 1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


def _seconds(profile: DefrostProfile, per_class: int | None, cut: Cut) -> float:
    """What a trial at a cut would take, as those of the nearest tried cut before or after it did."""
    size = profile.size(per_class)
    cuts = {each.index: each for each in profile.cuts}
    took = {}
    for trial in profile.trials:
        if trial.per_class == size:
            took[trial.cut] = min(took.get(trial.cut, np.inf), trial.seconds)
    # Of cuts that leave next to nothing to train the seconds are all overhead.
    nearest = min(took, key=lambda index: abs(cuts[index].tail_multiply_adds - cut.tail_multiply_adds))
    ratio = cut.tail_multiply_adds / max(1, cuts[nearest].tail_multiply_adds)
    return took[nearest] * (max(1.0, ratio) if cuts[nearest].tail_share > 0.01 else 1.0)
