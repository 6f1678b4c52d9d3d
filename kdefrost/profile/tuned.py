"""What a profile says of the tuning of its recipe; its property is bound where the package is put together."""

import numpy as np

from kdefrost.profile.choice import variance_share
from kdefrost.profile.result import DefrostProfile
from kdefrost.statistics import variance_over_seeds
from kdefrost.tables import format_difference, label_of, listed
from kdefrost.tuning.result import Tuning
from kdefrost.tuning.space import describe


def tuning(profile: DefrostProfile) -> Tuning | None:
    """How the recipe was tuned; `None` where it was given."""
    values = profile.configuration.get("tuning")
    return None if values is None else Tuning.from_dict(values)


def tuned_gain(profile: DefrostProfile, on: str | None = None, at_best: bool = False) -> tuple[float, float]:
    """What the chosen recipe scores above the one to start from, and the standard error of that.

    Paired over seeds, or folds, for which the error is corrected as that of a profile is.

    Args:
        profile: A profile whose recipe was tuned.
        on: `"validation"` or `"test"`; by default the set that is reported.
        at_best: Whether at the best of the tuned cuts by each recipe, instead of the mean over all.

    Returns:
        The mean over sizes and draws, and its standard error, NaN with one draw.

    Raises:
        ValueError: If its recipe was not tuned.
    """
    found = profile.tuning
    if found is None:
        raise ValueError('The recipe of this profile was not tuned: ask for one by Defroster(recipe="tuned").')
    gains, seeds = found.gains(on, at_best), [draw for _, draw in found.draws]
    # Sizes of one seed share examples: they count as one draw.
    means = np.array([gains[[each == seed for each in seeds]].mean() for seed in sorted(set(seeds))])
    sets = 1 if None in profile.per_class else len({seed[0] for seed in seeds})
    variance = variance_over_seeds(means[:, None])[0]
    return float(means.mean()), float(np.sqrt(variance * variance_share(len(means), profile.folds, sets)))


def tuned_lines(profile: DefrostProfile) -> list[str]:
    """What was tuned, what that gained and moved, and what it cost, in sentences; none where nothing was."""
    found = profile.tuning
    if found is None:
        return []
    cuts = f"cut{'s' if len(found.cuts) > 1 else ''} {listed(found.cuts)}"
    tried = f"{len(found.recipes)} recipes at {cuts}, on {profile.chooser()}"
    cost = f"{len(found.trials)} trials, {_operations(found.flops)}, {found.seconds:.0f} s of training"
    if found.best == 0:
        return [f"Tuned: of {tried}, none does better than the one to start from ({cost}).", ""]
    on = "the test set" if found.reported_on == "test" else f"{profile.chooser()} themselves, which flatters it"
    gain, best = (format_difference(found.objective.name, *tuned_gain(profile, at_best=b)) for b in (False, True))
    moved = f"{_moved(found.best_cut(0), found.best_cut(found.best))}, and there it is {best}"
    metric = label_of(found.objective.name)
    return [
        f"Tuned: of {tried}, the best has {describe(found.recipe, found.recipes[0])} ({cost}).",
        f"There its mean {metric} is {gain} that of the recipe to start from, on {on}; {moved}.",
        "",
    ]


def _moved(before: int, after: int) -> str:
    if before == after:
        return f"the best of these cuts is {after} by either"
    return f"the best of these cuts is {after} by it, {before} by the other"


def _operations(flops: float) -> str:
    return f"{flops / 1e12:.2g} TFLOP" if flops >= 1e11 else f"{flops / 1e9:.2g} GFLOP"
