"""What of a profile is checked when it is read: whether its parts, of the right types each, fit together."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.files import converted
from kdefrost.profile.search import SETTLED, SPENT, Searched
from kdefrost.profile.trial import Trial
from kdefrost.tuning.result import Tuning

_MOST = float(np.finfo(np.float32).max)


class _Task(TypedDict, total=False):
    kind: str
    units: int


class _Configuration(TypedDict, total=False):
    """What results say of a configuration, as far as it has it."""

    source_name: str
    target: str | None
    source: str
    data: dict[str, str | None]
    recipe: dict[str, int | float | str]
    task: _Task
    tails: str
    examples: int
    folds: int | None
    tuning: Tuning | None


def check_configuration(configuration: dict):
    """Refuses a configuration that has something else in the place of what results say of it.

    Args:
        configuration: That of a profile.

    Raises:
        ValueError: If it has.
    """
    tuning = converted(configuration, _Configuration).get("tuning")
    if tuning is not None:
        tuning.check()


def check_trials(trials: Sequence[Trial], cuts: Sequence[Cut], objective: str):
    """Refuses trials that cannot be those of one profile.

    Args:
        trials: The trials.
        cuts: The profile's cuts.
        objective: Name of its objective.

    Raises:
        ValueError: If one is there twice, has a number that none can have, or lacks a score that others have.
    """
    indices = {cut.index for cut in cuts}
    for trial in trials:
        numbers = trial.seed, trial.repeat or 0, trial.fold or 0, 0 if trial.per_class is None else trial.per_class - 1
        if trial.cut not in indices or not are_counts(*numbers) or not 0 <= trial.seconds < math.inf:
            raise ValueError(f"its trial {trial.key} has numbers that no trial of its cuts has")
    if len({trial.key for trial in trials}) < len(trials):
        raise ValueError("it has a trial twice")
    if len({part is None for trial in trials for part in (trial.repeat, trial.fold)}) > 1:
        raise ValueError("some of its trials are of folds and some are not")
    check_scores([(trial.test, trial.validation) for trial in trials], objective)


def check_scores(sets: Sequence[tuple[dict[str, float] | None, dict[str, float] | None]], objective: str):
    """Refuses scores that are not of the same metrics, or that nothing can be chosen by.

    Args:
        sets: For each trial its scores on the test set and on the validation set, by metric.
        objective: Name of the metric that chooses.

    Raises:
        ValueError: If they are.
    """
    if not sets:
        return
    if not any(all(scores is not None for scores in each) for each in zip(*sets, strict=True)):
        raise ValueError("its trials have no set in common that they are scored on")
    metrics = {frozenset(scores) for each in sets for scores in each if scores is not None}
    if len(metrics) > 1 or objective not in next(iter(metrics)):
        raise ValueError(f"its trials have not all scores of the same metrics, {objective} among them")
    values = [value for each in sets for scores in each if scores is not None for value in scores.values()]
    # Metrics are computed in float32, and squares of these are no more than float64 holds.
    if any(_MOST < abs(value) < math.inf for value in values):
        raise ValueError("its trials have scores that are beyond all metrics")


def check_searched(searched: Sequence[Searched]):
    """Refuses what a search says in words or numbers that no search has.

    Args:
        searched: How the search of each size went.

    Raises:
        ValueError: If it does.
    """
    for each in searched:
        known = each.unit in ("share", "seconds") and each.ended in (SETTLED, SPENT)
        if not known or not all(0 <= number < math.inf for number in (each.budget, each.spent)):
            raise ValueError(f"its search of the size {each.per_class} has numbers or words that no search has")


def are_counts(*numbers: int) -> bool:
    """Whether numbers are such as memory can count by."""
    return all(0 <= number < 2**63 for number in numbers)
