"""Facts that only a run can know and that a profile keeps, because they say how far its scores are to be believed."""

from collections.abc import Iterable, Sequence

from kdefrost.profile.trial import Trial
from kdefrost.trials.experiment import Experiment
from kdefrost.trials.question import Answer

_STATES = ("diverged", "undefined", "failed")


def facts_of(experiment: Experiment, answers: Sequence[Answer]) -> dict:
    """What a profile keeps of the data and of what was noticed in its trials, as JSON has it.

    Args:
        experiment: What all trials have in common.
        answers: Those of the profile.

    Returns:
        `"examples"`, their number by set; `"classes"`, by set the number of each class where there are classes;
        `"diverged"`, `"undefined"` and `"failed"`, the keys of such trials; `"copies"`, for each size and set that is
        scored `[per_class, set, copies, scored]` of the trial with most; `"transparent"`, `[images, of]` of the trial
        with most; `"constant"`, for each cut `[cut, share]` of its trial with least.
    """
    facts = {
        "examples": {name: len(part.y) for name, part in experiment.sets.items()},
        "classes": experiment.class_counts,
        "copies": _copies(answers),
        "constant": _constant(answers),
    }
    for state in ("diverged", "undefined"):
        facts[state] = [list(each.question.key) for each in answers if state in each.noticed]
    facts["failed"] = [list(each.question.key) for each in answers if each.failure is not None]
    transparent = [each.noticed["transparent"] for each in answers if "transparent" in each.noticed]
    return facts | ({"transparent": max(transparent, key=_share)} if transparent else {})


def joined_facts(parts: Sequence[dict], trials: Sequence[Trial]) -> dict:
    """The facts of a profile whose trials are some of other profiles', which were run on the same data.

    Args:
        parts: What the others keep, as `facts_of` has it.
        trials: The trials.

    Returns:
        What their profile keeps: nothing of trials, sizes and cuts that are none of its own.
    """
    # What is of the data is the same in all.
    joined = {name: value for part in parts for name, value in part.items()}
    keys = {trial.key for trial in trials}
    sizes, cuts = {trial.per_class for trial in trials}, {trial.cut for trial in trials}

    def held(name: str) -> list:
        return [each for part in parts for each in part.get(name, [])]

    own = {state: [list(key) for key in dict.fromkeys(map(tuple, held(state))) if key in keys] for state in _STATES}
    own["copies"] = _most(((size, on), counted) for size, on, *counted in held("copies") if size in sizes)
    own["constant"] = _least((cut, share) for cut, share in held("constant") if cut in cuts)
    if "transparent" in joined:
        own["transparent"] = max((part["transparent"] for part in parts if "transparent" in part), key=_share)
    return joined | {name: value for name, value in own.items() if name in joined}


def _copies(answers: Sequence[Answer]) -> list[list]:
    return _most(
        ((answer.question.per_class, on), counted)
        for answer in answers
        for on, counted in answer.noticed.get("copies", {}).items()
    )


def _most(counts: Iterable[tuple[tuple, list[int]]]) -> list[list]:
    """Of each size and set the count with the largest share."""
    most = {}
    for key, counted in counts:
        most[key] = max(most.get(key, counted), counted, key=_share)
    return [[*key, *counted] for key, counted in most.items()]


def _constant(answers: Sequence[Answer]) -> list[list]:
    noticed = ((answer.question.cut, answer.noticed.get("constant")) for answer in answers)
    return _least((cut, share) for cut, share in noticed if share is not None)


def _least(shares: Iterable[tuple[int, float]]) -> list[list]:
    """Of each cut the least share, in the order of the cuts."""
    least = {}
    for cut, share in shares:
        least[cut] = min(share, least.get(cut, share))
    return [[cut, share] for cut, share in sorted(least.items())]


def _share(counted: list[int]) -> float:
    return counted[0] / max(1, counted[1])
