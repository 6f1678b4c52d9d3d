"""What of a profile is checked when it is read: whether its parts, of the right types each, fit together."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.files import converted
from kdefrost.profile.search import SETTLED, SPENT, Searched
from kdefrost.profile.trial import Trial
from kdefrost.training.recipe import Recipe
from kdefrost.tuning.result import Tuning

_MOST = float(np.finfo(np.float32).max)
_Set = Literal["train", "validation", "test"]


class _Task(TypedDict):
    kind: Literal["classification", "multi-label", "regression"]
    units: int


class _Facts(TypedDict, total=False):
    """What a run noticed, as `facts.facts_of` has it."""

    examples: dict[_Set, int]
    classes: dict[_Set, list[int]]
    copies: list[tuple[int | None, _Set, int, int]]
    constant: list[tuple[int, float]]
    transparent: tuple[int, int]
    diverged: list[tuple[int | None, ...]]
    undefined: list[tuple[int | None, ...]]
    failed: list[tuple[int | None, ...]]


class _Configuration(TypedDict, total=False):
    """What results say of a configuration, as far as it has it."""

    source_name: str
    target: str | None
    source: str
    data: dict[str, str | None]
    recipe: Recipe
    task: _Task
    tails: str
    examples: int
    folds: int | None
    tuning: Tuning | None
    facts: _Facts


def check_configuration(configuration: dict, trials: Sequence[Trial]):
    """Refuses a configuration that has something else in the place of what results say of it.

    Args:
        configuration: That of a profile.
        trials: The profile's trials.

    Raises:
        ValueError: If it has.
    """
    known = converted(configuration, _Configuration)
    if known.get("tuning") is not None:
        known["tuning"].check()
    in_folds = any(trial.fold is not None for trial in trials)
    if known.get("folds") is not None and (not in_folds or known["folds"] < 2):
        raise ValueError(f"it has {known['folds']} folds and trials of none")
    if known.get("task", {}).get("units", 1) < 1:
        raise ValueError("its task has no unit")
    _check_facts(known.get("facts", {}))


def _check_facts(facts: _Facts):
    """Refuses numbers that nothing that was counted has."""
    counted = [*facts.get("examples", {}).values(), *itertools.chain(*facts.get("classes", {}).values())]
    parts = [(part, whole) for *_, part, whole in facts.get("copies", [])] + [facts.get("transparent", (0, 1))]
    shares = [share for _, share in facts.get("constant", [])]
    fits = are_counts(*counted) and all(0 <= part <= whole and whole for part, whole in parts)
    if (
        not fits
        or not all(0 <= share <= 1 for share in shares)
        or not all(facts.get("classes", {"train": [1]}).values())
    ):
        raise ValueError("its facts have numbers that no run counts")


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
