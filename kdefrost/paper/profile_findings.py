"""What profiles say of the paper's claims: numbers in words, and a verdict."""

import itertools
from collections.abc import Callable

from kdefrost.paper import estimates
from kdefrost.paper.estimates import Estimate
from kdefrost.paper.experiments import FULL
from kdefrost.paper.panels import title_of
from kdefrost.paper.results import FigureResults
from kdefrost.paper.verdicts import FAILS, HOLDS, NOTHING_LOST, Finding, Verdict, below, decide, every, some, undecided
from kdefrost.profile import DefrostProfile


def _profiles(results: FigureResults) -> list[tuple[str, DefrostProfile]]:
    """The profiles that were run, by source and target."""
    return [
        (f"{title_of(transfer.source)} → {title_of(transfer.target)}", profile)
        for transfer, profile in zip(results.figure.transfers, results.profiles, strict=True)
        if profile is not None
    ]


def _lies(profile: DefrostProfile, size: int | None, wanted: Callable[[int], bool]) -> Verdict:
    """Whether the best cut is among wanted places: open where some near the best are and others are not."""
    best, near = profile.best_cut(size), profile.near_best_cuts(size)
    is_wanted = {cut.index: wanted(profile.cuts.index(cut)) for cut in near}
    word = HOLDS if is_wanted[best.index] else FAILS
    against = [cut for cut in near if is_wanted[cut.index] != is_wanted[best.index]]
    if not against:
        return Verdict(word)
    ahead = [estimates.lead(profile, size, best, cut) for cut in against]
    return undecided(word, [each.repeats_to_tell(comparisons=len(profile.cuts) - 1) for each in ahead])


def _lies_before(*at: tuple[DefrostProfile, int | None]) -> Verdict:
    """Whether the best cut of a profile at a size lies before that of another: open where cuts near them say both."""
    best = [profile.best_cut(size) for profile, size in at]
    is_before = best[0].index < best[1].index
    repeats = []
    for pair in itertools.product(*(profile.near_best_cuts(size) for profile, size in at)):
        if (pair[0].index < pair[1].index) != is_before:
            # One of the two told from its best cut is enough.
            told = [
                estimates.lead(profile, size, ahead, cut).repeats_to_tell(comparisons=len(profile.cuts) - 1)
                for (profile, size), ahead, cut in zip(at, best, pair, strict=True)
                if cut is not ahead
            ]
            repeats.append(undecided(None, told, min).repeats)
    word = HOLDS if is_before else FAILS
    return undecided(word, repeats) if repeats else Verdict(word)


def _best(profile: DefrostProfile, size: int | None) -> str:
    """The best cut of a size in words."""
    best = profile.best_cut(size)
    near = [str(cut.frozen_layers) for cut in profile.near_best_cuts(size) if cut is not best]
    also = f" (not told apart: {', '.join(near)})" if near else ""
    return f"{profile.size_text(size)}: {best.frozen_layers} of {best.layers} layers{also}"


def effective_differently(results: FigureResults) -> list[Finding]:
    """Whether the best cut of each panel lies where the paper has it: late, inside, or at training from scratch."""
    found = []
    wanted = {"a": "late", "b": "inner", "c": "inner", "d": "scratch"}
    for letter, transfer, profile in zip("abcd", results.figure.transfers, results.profiles, strict=True):
        if profile is not None:
            (size,) = profile.per_class
            last = len(profile.cuts) - 1
            places = {"late": range(last - 1, last + 1), "inner": range(1, last), "scratch": range(1)}[wanted[letter]]
            subject = f"({letter}) {title_of(transfer.source)} → {title_of(transfer.target)}"
            found.append(Finding(subject, _best(profile, size), _lies(profile, size, places.__contains__)))
    return found


def moves_back(results: FigureResults) -> list[Finding]:
    """Whether the optimum moves towards the input from the smallest size to the largest."""
    found = []
    for subject, profile in _profiles(results):
        smallest, largest = profile.per_class[0], profile.per_class[-1]
        if smallest == largest:
            continue
        moved = estimates.shift(profile, smallest, largest)
        where = "; ".join(_best(profile, size) for size in profile.per_class)
        words = f"{where}. Seed by seed it moves by {moved.text(unit=' layers')} from the smallest to the largest"
        found.append(Finding(subject, words, _lies_before((profile, largest), (profile, smallest))))
    return found


def worth_data(times: float, least: float) -> Callable[[FigureResults], list[Finding]]:
    """Whether the best cut has more than the output layer alone has with so many times the images."""

    def look(results: FigureResults) -> list[Finding]:
        found = []
        for subject, profile in _profiles(results):
            pairs = estimates.growths(profile, times)
            gains = {pair: estimates.surplus(profile, *pair) for pair in pairs}
            if gains:
                told = max(gains, key=lambda pair: gains[pair].mean)
                sizes = [profile.size_text(size) for size in told]
                words = f"best cut with {sizes[0]} less vanilla with {sizes[1]}: {gains[told].text(unit=' points')}"
                found.append(
                    Finding(subject, words, some([decide(gain, least, len(gains)) for gain in gains.values()]))
                )
        return found

    return look


def later_for_better_clones(results: FigureResults) -> list[Finding]:
    """Whether the optimum lies later from each source to the next."""
    named = _profiles(results)
    if len(named) < 2:
        return []
    seen = "; ".join(f"{subject}, {_best(profile, profile.per_class[0])}" for subject, profile in named)
    at = [(profile, profile.per_class[0]) for _, profile in named]
    return [Finding("all", seen, every([_lies_before(*pair) for pair in itertools.pairwise(at)]))]


def scratch_is_best(results: FigureResults) -> list[Finding]:
    """Whether from the first source nothing is to be frozen, at any size."""
    return [
        Finding(
            subject,
            "; ".join(_best(profile, size) for size in profile.per_class),
            every([_lies(profile, size, lambda place: place == 0) for size in profile.per_class]),
        )
        for subject, profile in _profiles(results)[:1]
    ]


def last_is_never_better(results: FigureResults) -> list[Finding]:
    """Whether from the first source freezing all but the output layer is worse than from scratch at all sizes."""
    found = []
    for subject, profile in _profiles(results)[:1]:
        sign, on = 100 * profile.objective.sign, profile.reported_on
        gains = {
            profile.size_text(size): Estimate.of(sign * (scores[:, -1] - scores[:, 0]))
            for size, scores in ((size, profile.scores(size, on)) for size in profile.per_class)
        }
        told = "; ".join(f"{size}: {gain.text(unit=' points')}" for size, gain in gains.items())
        words = f"the last cut less training from scratch, {told}"
        found.append(Finding(subject, words, every([below(gain, 0.0) for gain in gains.values()])))
    return found


def last_is_best(results: FigureResults) -> list[Finding]:
    """Whether from the last source all but the output layer is to be frozen, at all sizes but that of all images."""
    found = []
    for subject, profile in _profiles(results)[-1:]:
        last = len(profile.cuts) - 1
        verdicts = [
            _lies(profile, size, lambda place, last=last: place == last)
            for size in profile.per_class
            if size is not FULL
        ]
        words = "; ".join(_best(profile, size) for size in profile.per_class)
        found.append(Finding(subject, words, every(verdicts)))
    return found


def second_to_last_appears(results: FigureResults) -> list[Finding]:
    """Whether from the third source the optimum is at the cut before the last at some size."""
    found = []
    for subject, profile in _profiles(results)[2:3]:
        place = len(profile.cuts) - 2
        verdicts = [_lies(profile, size, lambda other, place=place: other == place) for size in profile.per_class]
        found.append(Finding(subject, "; ".join(_best(profile, size) for size in profile.per_class), some(verdicts)))
    return found


def early_layers_cost_nothing(results: FigureResults) -> list[Finding]:
    """Whether freezing up to the first cut costs less than what counts as none, at the largest size."""
    found = []
    for subject, profile in _profiles(results)[:1]:
        size, on = profile.per_class[-1], profile.reported_on
        scores = 100 * profile.objective.sign * profile.scores(size, on)
        cost, first = Estimate.of(scores[:, 0] - scores[:, 1]), profile.cuts[1].frozen_layers
        words = f"{profile.size_text(size)}: the first {first} layers cost {cost.text(unit=' points')}"
        found.append(Finding(subject, words, below(cost, NOTHING_LOST)))
    return found


def predictable(results: FigureResults) -> list[Finding]:
    """Whether three cuts that the paper advises to try tell which of all is best: one of them, or by their trend."""
    ways = {
        "the best of three cuts": lambda profile, size, few: few,
        "the maximum of a parabola through the three": lambda profile, size, few: [estimates.guess(profile, size, few)],
    }
    found = []
    for subject, way in ways.items():
        lost = [
            estimates.regret(profile, size, way(profile, size, estimates.few_cuts(profile.cuts)))
            for _, profile in _profiles(results)
            for size in profile.per_class
        ]
        if lost:
            total = Estimate.of(lost)
            words = f"loses {total.text(unit=' points')}, at worst {max(lost):.1f}, in {len(lost)} profiles"
            # Over profiles, of which there are no more.
            found.append(Finding(subject, words, below(total, NOTHING_LOST)._replace(repeats=None)))
    return found
