"""Profiles by kdefrost, through its public interface."""

import functools

import kdefrost
from scripts.benches.measuring import measured, memory
from scripts.benches.work import Work


def profiles(work: Work, **options) -> dict:
    """Runs the profile of all cuts, of the later half, and of the last one.

    Features flow from cut to cut, so the cost of some cuts is not that of these cuts in a longer profile.

    Args:
        work: The work.
        **options: Further arguments of `Defroster.profile`.

    Returns:
        What `cut_by_cut` returns, without the seconds of each cut, and where all runs in this process
        `"flops"`: the operations per second of the trials at the first cut, seed by seed, of which the
        first compiles too. Memory is that of this process alone.
    """
    runs, seconds, peaks = {}, {}, {}
    loaded = memory("VmRSS")
    for part, cuts in work.parts.items():
        seconds[part], peaks[part] = measured(functools.partial(_profile, work, cuts, options, runs, part))
    defroster, profile = runs["whole"]
    plan = defroster.plan(work.train, test=work.test, per_class=work.per_class, seeds=work.seeds, verbose=False)
    first = [trial for trial in profile.trials if trial.cut == profile.cuts[0].index]
    scores = profile.scores(work.per_class, on="test", metric="accuracy").T.tolist()
    operations = {question.key: plan.flops(question) for question in plan.questions}
    rates = {} if options else {"flops": [operations[trial.key] / trial.seconds for trial in first]}
    return {"seconds": seconds, "loaded": loaded, "peak": peaks["whole"], "scores": scores, **rates}


def _profile(work: Work, cuts: tuple[str, ...], options: dict, runs: dict, part: str):
    defroster = kdefrost.Defroster(work.source, work.recipe, cuts=list(cuts))
    profile = defroster.profile(
        work.train, test=work.test, per_class=work.per_class, seeds=work.seeds, verbose=False, **options
    )
    runs[part] = defroster, profile
