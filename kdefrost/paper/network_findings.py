"""What pairs of networks, and networks under springs, say of the paper's claims: numbers in words, and a verdict."""

import itertools
from collections.abc import Callable, Sequence

from kdefrost.compliance.strengths import strength_text
from kdefrost.cutting.cut import Cut
from kdefrost.paper import estimates
from kdefrost.paper.estimates import Estimate
from kdefrost.paper.panels import title_of
from kdefrost.paper.results import FigureResults
from kdefrost.paper.verdicts import FAILS, HOLDS, NOTHING_LOST, OPEN, Finding, Verdict, below, decide, every, same

# Up to which two layers count as almost equivalent. Our reading.
_EQUIVALENT = 0.1
IMBALANCE = "information_imbalance_xy"
_WORDS = {IMBALANCE: "II", "cka": "CKA", "neighbor_spearman_xy": "Spearman", "neighborhood_overlap": "overlap"}


def compliant(results: FigureResults) -> list[Finding]:
    """Whether springs of any strength cost less than what counts as none."""
    if results.compliance is None:
        return []
    compliance = results.compliance
    costs = {strength: estimates.cost_of_strength(compliance, strength) for strength in compliance.strengths[1:]}
    # The one that may cost most, on which the verdict hangs.
    worst = max(costs, key=lambda strength: costs[strength].interval()[1])
    words = f"at λ = {strength_text(worst)}, which may cost most: {costs[worst].text(unit=' points')} lost"
    return [Finding("accuracy", words, every([below(cost, NOTHING_LOST) for cost in costs.values()]))]


def far_without_springs(results: FigureResults) -> list[Finding]:
    """Whether the first layer is as far from the source's as the paper says where nothing holds it."""
    if results.compliance is None:
        return []
    free = estimates.first_distance(results.compliance, 0.0)
    low, high = free.interval()
    word = FAILS if not low <= 0.6 <= high else OPEN if high - low > 0.2 else HOLDS
    return [Finding("first layer, λ = 0", free.text(3), Verdict(word))]


def nears(results: FigureResults) -> list[Finding]:
    """Whether the first layer comes nearer to the source's with each strength."""
    if results.compliance is None:
        return []
    distances = [estimates.first_distance(results.compliance, each) for each in results.compliance.strengths]
    falls = all(b.mean <= a.mean for a, b in itertools.pairwise(distances))
    words = ", ".join(f"{each.mean:.2g}" for each in distances)
    return [Finding("first layer, by λ", words, Verdict(HOLDS if falls else FAILS))]


def deeper_is_less_alike(numbers: dict[str, int]) -> Callable[[FigureResults], list[Finding]]:
    """Whether numbers rise with depth, or fall where their sign is −1."""

    def look(results: FigureResults) -> list[Finding]:
        found = []
        for source, similarity in results.similarities.items():
            for number, sign in numbers.items():
                rank = estimates.rank_by_depth(similarity, number)
                signed = Estimate(sign * rank.mean, rank.error, rank.repeats)
                words = f"rank correlation with depth {rank.text(2)}"
                found.append(Finding(f"{title_of(source)}, {_WORDS[number]}", words, decide(signed)))
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


def equivalent_up_to(place: int, depth_in: Callable[[Sequence[Cut]], int]) -> Callable[[FigureResults], list[Finding]]:
    """Whether a source's layers are almost equivalent to the target's, up to a depth that is told by the cuts."""

    def look(results: FigureResults) -> list[Finding]:
        if place >= len(results.similarities):
            return []
        source, similarity = list(results.similarities.items())[place]
        depth = depth_in(similarity.layers_a)
        highest = estimates.at_depth(similarity, IMBALANCE, depth)
        words = f"Information Imbalance at most {highest.text(3)} up to layer {depth}"
        return [Finding(title_of(source), words, below(highest, _EQUIVALENT))]

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
            if not steps:
                continue
            words = "; ".join(f"{title_of(a)} to {title_of(b)} {gap.text(3)}" for (a, b), gap in steps.items())
            signed = [decide(Estimate(sign * gap.mean, gap.error, gap.repeats)) for gap in steps.values()]
            found.append(Finding(_WORDS[number], f"mean over layers, {words}", every(signed)))
        return found

    return look


def agrees_with_similarity(results: FigureResults) -> list[Finding]:
    """Whether of two sources the one whose layers are more alike to the target's is the better one."""
    found, similarities = [], results.similarities
    scores = {
        transfer.source: estimates.transferred(profile, profile.per_class[0])
        for transfer, profile in zip(results.figure.transfers, results.profiles, strict=True)
        if profile is not None
    }
    for a, b in itertools.pairwise(similarities):
        alike = estimates.gap(similarities[b], similarities[a], IMBALANCE)
        better = Estimate.of(scores[b] - scores[a])
        words = f"mean Information Imbalance {alike.text(3)}, best cut {better.text(unit=' points')}"
        verdict = same(below(alike, 0.0), decide(better))
        found.append(Finding(f"{title_of(a)} to {title_of(b)}", words, verdict))
    return found
