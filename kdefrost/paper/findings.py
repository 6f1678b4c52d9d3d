"""What results say of the paper's claims: numbers in words, and a verdict that follows from them.

A verdict is by 95 % intervals over seeds, or over pairs of networks: it holds where the interval lies on the claim's
side, does not where it lies on the other, and is open where it spans both.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kdefrost.compliance.strengths import strength_text
from kdefrost.paper import estimates
from kdefrost.paper.estimates import Estimate
from kdefrost.paper.experiments import FULL
from kdefrost.paper.panels import title_of
from kdefrost.paper.results import FigureResults
from kdefrost.profile import DefrostProfile

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided at this size"
# Points of accuracy that count as none, where the paper says that nothing is lost. Our reading, like the next.
NOTHING_LOST = 1.0
# Information Imbalance up to which two layers count as almost equivalent.
_EQUIVALENT = 0.1
IMBALANCE = "information_imbalance_xy"


class Finding(NamedTuple):
    """What is seen of a claim.

    Attributes:
        subject: Of which transfer, source or measure.
        seen: The numbers, in words.
        verdict: `HOLDS`, `FAILS` or `OPEN`.
    """

    subject: str
    seen: str
    verdict: str


def decide(estimate: Estimate, above: float = 0.0) -> str:
    """Whether something is above a number."""
    low, high = estimate.interval
    if low == high == above:
        return OPEN
    return HOLDS if low > above else FAILS if high < above else OPEN


def _below(estimate: Estimate, bound: float) -> str:
    return decide(Estimate(-estimate.mean, estimate.error, estimate.repeats), -bound)


def _all(verdicts: Sequence[str]) -> str:
    """The verdict on a claim that is several at once."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts or not verdicts else HOLDS


def _any(verdicts: Sequence[str]) -> str:
    """The verdict on a claim that something can be."""
    return HOLDS if HOLDS in verdicts else OPEN if OPEN in verdicts or not verdicts else FAILS


def _profiles(results: FigureResults) -> list[tuple[str, DefrostProfile]]:
    """The profiles that were run, by source and target."""
    return [
        (f"{title_of(transfer.source)} → {title_of(transfer.target)}", profile)
        for transfer, profile in zip(results.figure.transfers, results.profiles, strict=True)
        if profile is not None
    ]


def _lies(profile: DefrostProfile, size: int | None, wanted: Callable[[int], bool]) -> str:
    """Whether the best cut is among wanted places: open where some near the best are and others are not."""
    near = [wanted(profile.cuts.index(cut)) for cut in profile.near_best_cuts(size)]
    return HOLDS if all(near) else OPEN if any(near) else FAILS


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
        words = f"{where}. From the smallest to the largest it moves by {moved.text(unit=' layers')}"
        found.append(Finding(subject, words, _below(moved, 0.0)))
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
                found.append(Finding(subject, words, _any([decide(gain, least) for gain in gains.values()])))
        return found

    return look


def later_for_better_clones(results: FigureResults) -> list[Finding]:
    """Whether the optimum lies later from each source to the next."""
    named = _profiles(results)
    if len(named) < 2:
        return []
    depths = [estimates.best_depths(profile, profile.per_class[0]) for _, profile in named]
    moved = [Estimate.of(b - a) for a, b in itertools.pairwise(depths)]
    seen = "; ".join(f"{subject}, {_best(profile, profile.per_class[0])}" for subject, profile in named)
    steps = " and ".join(each.text() for each in moved)
    return [Finding("all", f"{seen}. Steps of {steps} layers", _all([decide(each) for each in moved]))]


def scratch_is_best(results: FigureResults) -> list[Finding]:
    """Whether from the first source nothing is to be frozen, at any size."""
    return [
        Finding(
            subject,
            "; ".join(_best(profile, size) for size in profile.per_class),
            _all([_lies(profile, size, lambda place: place == 0) for size in profile.per_class]),
        )
        for subject, profile in _profiles(results)[:1]
    ]


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
        found.append(Finding(subject, words, _all(verdicts)))
    return found


def compliant(results: FigureResults) -> list[Finding]:
    """Whether springs of any strength cost less than what counts as none."""
    if results.compliance is None:
        return []
    compliance = results.compliance
    costs = {strength: estimates.cost_of_strength(compliance, strength) for strength in compliance.strengths[1:]}
    worst = max(costs, key=lambda strength: costs[strength].mean)
    words = f"at most {costs[worst].text(unit=' points')} lost, at λ = {strength_text(worst)}"
    return [Finding("accuracy", words, _all([_below(cost, NOTHING_LOST) for cost in costs.values()]))]


def far_without_springs(results: FigureResults) -> list[Finding]:
    """Whether the first layer is as far from the source's as the paper says where nothing holds it."""
    if results.compliance is None:
        return []
    free = estimates.first_distance(results.compliance, 0.0)
    low, high = free.interval
    verdict = OPEN if low <= 0.6 <= high and high - low > 0.2 else HOLDS if low <= 0.6 <= high else FAILS
    return [Finding("first layer, λ = 0", free.text(3), verdict)]


def nears(results: FigureResults) -> list[Finding]:
    """Whether the first layer comes nearer to the source's with each strength."""
    if results.compliance is None:
        return []
    distances = [estimates.first_distance(results.compliance, each) for each in results.compliance.strengths]
    falls = all(b.mean <= a.mean for a, b in itertools.pairwise(distances))
    words = ", ".join(f"{each.mean:.2g}" for each in distances)
    return [Finding("first layer, by λ", words, HOLDS if falls else FAILS)]


def deeper_is_less_alike(numbers: dict[str, int]) -> Callable[[FigureResults], list[Finding]]:
    """Whether numbers rise with depth, or fall where their sign is −1."""

    def look(results: FigureResults) -> list[Finding]:
        found = []
        for source, similarity in results.similarities.items():
            for number, sign in numbers.items():
                rank = estimates.rank_by_depth(similarity, number)
                signed = Estimate(sign * rank.mean, rank.error, rank.repeats)
                words = f"rank correlation with depth {rank.text(2)}"
                found.append(Finding(f"{title_of(source)}, {_word(number)}", words, decide(signed)))
        return found

    return look


def jumps_at_downsampling(results: FigureResults) -> list[Finding]:
    """Whether steps of the Information Imbalance are larger at down-samplings than elsewhere."""
    found = []
    for source, similarity in results.similarities.items():
        more = estimates.jumps(similarity, IMBALANCE)
        words = f"a step at a down-sampling is {more.text(3)} more than one elsewhere"
        found.append(Finding(title_of(source), words, decide(more)))
    return found


def equivalent_up_to(place: int, layers: int | None) -> Callable[[FigureResults], list[Finding]]:
    """Whether a source's layers, up to some or all but the last two cuts, are almost equivalent to the target's."""

    def look(results: FigureResults) -> list[Finding]:
        if place >= len(results.similarities):
            return []
        source, similarity = list(results.similarities.items())[place]
        cuts = similarity.layers_a
        depth = cuts[max(0, len(cuts) - 3)].frozen_layers if layers is None else layers
        highest = estimates.at_depth(similarity, IMBALANCE, depth)
        words = f"Information Imbalance at most {highest.text(3)} up to layer {depth}"
        return [Finding(title_of(source), words, _below(highest, _EQUIVALENT))]

    return look


def ordered(numbers: dict[str, int]) -> Callable[[FigureResults], list[Finding]]:
    """Whether each source is more alike than the one before; a sign of −1 is for numbers that then fall."""

    def look(results: FigureResults) -> list[Finding]:
        found, sources = [], list(results.similarities)
        for number, sign in numbers.items():
            steps = {
                (a, b): estimates.gap(results.similarities[b], results.similarities[a], number)
                for a, b in itertools.pairwise(sources)
            }
            words = "; ".join(f"{title_of(a)} to {title_of(b)} {gap.text(3)}" for (a, b), gap in steps.items())
            signed = [decide(Estimate(sign * gap.mean, gap.error, gap.repeats)) for gap in steps.values()]
            found.append(Finding(_word(number), f"mean over layers, {words}", _all(signed)))
        return found

    return look


def agrees_with_similarity(results: FigureResults) -> list[Finding]:
    """Whether of two sources the one whose layers are more alike to the target's is the better one."""
    found, similarities = [], results.similarities
    scores = {
        transfer.source: estimates.transferred(profile, profile.per_class[0])
        for transfer, profile in zip(results.figure.transfers, results.profiles, strict=True)
    }
    for a, b in itertools.pairwise(similarities):
        alike = estimates.gap(similarities[b], similarities[a], IMBALANCE)
        better = Estimate.of(scores[b] - scores[a])
        words = f"mean Information Imbalance {alike.text(3)}, best cut {better.text(unit=' points')}"
        verdicts = _below(alike, 0.0), decide(better)
        agree = OPEN if OPEN in verdicts else HOLDS if verdicts[0] == verdicts[1] else FAILS
        found.append(Finding(f"{title_of(a)} to {title_of(b)}", words, agree))
    return found


def predictable(results: FigureResults) -> list[Finding]:
    """Whether the best of three cuts, as the paper advises to try them, is as good as the best of all."""
    lost = [
        estimates.regret(profile, size, estimates.few_cuts(profile.cuts))
        for _, profile in _profiles(results)
        for size in profile.per_class
    ]
    if not lost:
        return []
    total = Estimate.of(lost)
    words = (
        f"the best of three cuts loses {total.text(unit=' points')}, at worst {max(lost):.1f}, in {len(lost)} profiles"
    )
    return [Finding("three cuts", words, _below(total, NOTHING_LOST))]


def _word(number: str) -> str:
    return {IMBALANCE: "II", "cka": "CKA", "neighbor_spearman_xy": "Spearman", "neighborhood_overlap": "overlap"}[
        number
    ]
