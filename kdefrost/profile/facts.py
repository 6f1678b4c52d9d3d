"""Facts that only a run can know and that a profile keeps, because they say how far its scores are to be believed."""

from collections.abc import Sequence

from kdefrost.trials.experiment import Experiment
from kdefrost.trials.question import Answer


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


def _copies(answers: Sequence[Answer]) -> list[list]:
    most = {}
    for answer in answers:
        for on, counted in answer.noticed.get("copies", {}).items():
            key = answer.question.per_class, on
            most[key] = max(most.get(key, counted), counted, key=_share)
    return [[*key, *counted] for key, counted in most.items()]


def _constant(answers: Sequence[Answer]) -> list[list]:
    least = {}
    for answer in answers:
        share = answer.noticed.get("constant")
        if share is not None:
            least[answer.question.cut] = min(share, least.get(answer.question.cut, share))
    return [[cut, share] for cut, share in sorted(least.items())]


def _share(counted: list[int]) -> float:
    return counted[0] / max(1, counted[1])
