"""Numbers with their errors that the paper's claims are about, computed from results."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from scipy import stats

from kdefrost.compliance import ComplianceProfile
from kdefrost.cutting.cut import Cut
from kdefrost.profile import DefrostProfile
from kdefrost.similarity import LayerwiseSimilarity
from kdefrost.statistics import standard_error

_CONFIDENCE = 0.95
# More repeats than anyone runs.
_MOST_REPEATS = 1000


class Estimate(NamedTuple):
    """A mean over repeats.

    Attributes:
        mean: The mean.
        error: Its standard error, NaN of fewer than two repeats.
        repeats: How many there are.
    """

    mean: float
    error: float
    repeats: int

    @classmethod
    def of(cls, values) -> Self:
        """The mean of some numbers, without those that are NaN."""
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        mean = float(values.mean()) if len(values) else np.nan
        return cls(mean, standard_error(values), len(values))

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Where the true mean is with 95 % confidence, of so many means together, by Student's t.

        Args:
            comparisons: Number of means of which all are to be in their intervals (Bonferroni).

        Returns:
            Its ends; all numbers where nothing tells.
        """
        if self.repeats < 2:
            return -np.inf, np.inf
        reach = float(_quantile(self.repeats, comparisons)) * self.error
        return self.mean - reach, self.mean + reach

    def repeats_to_tell(self, other: float = 0.0, comparisons: int = 1) -> float | None:
        """How many repeats, more than there are, would tell it from a number, if mean and spread were as they are.

        Args:
            other: The number.
            comparisons: As for `interval`.

        Returns:
            The least number at which its interval does not reach the other one, infinite of more than 1,000; `None`
            where it is that number, or fewer than two repeats say nothing of the spread.
        """
        if self.repeats < 2 or self.mean == other:
            return None
        counts = np.arange(self.repeats + 1, _MOST_REPEATS + 1)
        reach = _quantile(counts, comparisons) * self.error * np.sqrt(self.repeats / counts)
        enough = counts[reach < abs(self.mean - other)]
        return float(enough[0]) if len(enough) else np.inf

    def text(self, digits: int = 1, unit: str = "") -> str:
        """Mean ± standard error."""
        error = f" ± {self.error:.{digits}f}" if np.isfinite(self.error) else ""
        # Zeros have no sign.
        return f"{self.mean + 0.0:.{digits}f}{error}{unit}".replace("-", "−")


def _quantile(repeats, comparisons: int):
    """By how many standard errors a mean over so many repeats can be off, on either side."""
    return stats.t.ppf(1 - (1 - _CONFIDENCE) / (2 * comparisons), repeats - 1)


def best_depths(profile: DefrostProfile, per_class: int | None) -> np.ndarray:
    """The number of frozen layers at the best cut of each seed, by the scores that choose.

    Args:
        profile: A profile.
        per_class: A size of it.

    Returns:
        Array `(seeds,)`, NaN of a seed without scores.
    """
    scores = profile.objective.sign * profile.scores(per_class, profile.chosen_on)
    frozen = np.array([cut.frozen_layers for cut in profile.cuts], float)
    tried = np.isfinite(scores).any(axis=1)
    best = np.nanargmax(np.where(tried[:, None], scores, 0.0), axis=1)
    return np.where(tried, frozen[best], np.nan)


def shift(profile: DefrostProfile, smaller: int | None, larger: int | None) -> Estimate:
    """By how many layers the optimum moves from one size to another, paired by seed; below 0 towards the input."""
    return Estimate.of(best_depths(profile, larger) - best_depths(profile, smaller))


def lead(profile: DefrostProfile, per_class: int | None, cut: Cut, other: Cut) -> Estimate:
    """By how many points a cut is better than another by the scores that choose, paired by seed."""
    scores = 100 * profile.objective.sign * profile.scores(per_class, profile.chosen_on)
    return Estimate.of(scores[:, profile.cuts.index(cut)] - scores[:, profile.cuts.index(other)])


def surplus(profile: DefrostProfile, per_class: int | None, vanilla: int | None) -> Estimate:
    """What the best cut at a size has over retraining only the output layer at another, in points, paired by seed."""
    on = profile.reported_on
    best = profile.scores(per_class, on)[:, profile.cuts.index(profile.best_cut(per_class))]
    return Estimate.of(100 * profile.objective.sign * (best - profile.scores(vanilla, on)[:, -1]))


def transferred(profile: DefrostProfile, per_class: int | None) -> np.ndarray:
    """The score of each seed, in points and more being better, at the best cut that freezes something, `(seeds,)`."""
    frozen = [place for place, cut in enumerate(profile.cuts) if cut.frozen_layers]
    chosen = profile.objective.sign * profile.mean(per_class, profile.chosen_on)[frozen]
    scores = profile.scores(per_class, profile.reported_on)[:, frozen[int(np.nanargmax(chosen))]]
    return 100 * profile.objective.sign * scores


def size_of(profile: DefrostProfile, per_class: int | None) -> float:
    """A size as a number of images per class, of all images too."""
    classes = profile.task.get("units", 1)
    return profile.configuration.get("examples", np.nan) / classes if per_class is None else per_class


def growths(profile: DefrostProfile, least: float) -> list[tuple[int | None, int | None]]:
    """Pairs of sizes of which the second is so many times the first, or more."""
    sizes = profile.per_class
    return [
        (smaller, larger)
        for smaller, larger in itertools.combinations(sizes, 2)
        if size_of(profile, larger) >= least * size_of(profile, smaller)
    ]


def few_cuts(cuts: Sequence[Cut], count: int = 3) -> list[Cut]:
    """The cuts that the paper advises to try, evenly from the one before the last to the first down-sampling.

    Args:
        cuts: All cuts of a profile.
        count: How many to take.

    Returns:
        At most so many cuts.
    """
    first = next((number for number, (a, b) in enumerate(itertools.pairwise(cuts), 1) if shrinks(a, b)), 0)
    # The last place at which an untrained layer follows that is not the output layer.
    last = len(cuts) - 2
    places = np.unique(np.linspace(min(first, last), last, count).round().astype(int))
    return [cuts[place] for place in places]


def guess(profile: DefrostProfile, per_class: int | None, among: list[Cut]) -> Cut:
    """The cut at which a parabola through the scores that choose, of some cuts, has its maximum over all cuts.

    Its argument is the number of frozen layers.
    """
    scores = profile.objective.sign * profile.mean(per_class, profile.chosen_on)
    places = [profile.cuts.index(cut) for cut in among]
    depth = np.array([cut.frozen_layers for cut in profile.cuts], float)
    curve = np.polyfit(depth[places], scores[places], deg=min(2, len(places) - 1))
    return profile.cuts[int(np.argmax(np.polyval(curve, depth)))]


def regret(profile: DefrostProfile, per_class: int | None, among: list[Cut]) -> float:
    """What is lost, in points, where only some cuts are tried and the best of them is taken.

    Both are chosen by the scores that choose, and judged by those that are reported.
    """
    sign, on = profile.objective.sign, profile.reported_on
    chosen = sign * profile.mean(per_class, profile.chosen_on)
    places = [profile.cuts.index(cut) for cut in among]
    taken = places[int(np.argmax(chosen[places]))]
    reported = sign * profile.mean(per_class, on)
    return float(100 * (reported[int(np.nanargmax(chosen))] - reported[taken]))


def jumps(similarity: LayerwiseSimilarity, number: str) -> Estimate:
    """By how much a number rises more from layer to layer at a down-sampling than elsewhere, over pairs of networks.

    The pooling at the end is neither.
    """
    values, cuts = similarity.values(number), similarity.layers_a
    rises = np.diff(values, axis=1)
    maps = [has_maps(after) for after in cuts[1:]]
    down = np.array([shrinks(a, b) for a, b in itertools.pairwise(cuts)]) & maps
    level = ~down & maps
    if not down.any() or not level.any():
        return Estimate.of([])
    return Estimate.of(rises[:, down].mean(axis=1) - rises[:, level].mean(axis=1))


def rank_by_depth(similarity: LayerwiseSimilarity, number: str) -> Estimate:
    """Spearman's correlation of a number with depth, over pairs of networks."""
    depth = [cut.frozen_layers for cut in similarity.layers_a]
    return Estimate.of([stats.spearmanr(depth, row).statistic for row in similarity.values(number)])


def at_depth(similarity: LayerwiseSimilarity, number: str, layers: int) -> Estimate:
    """The highest value of a number up to so many layers, over pairs of networks."""
    up_to = [cut.frozen_layers <= layers for cut in similarity.layers_a]
    return Estimate.of(similarity.values(number)[:, up_to].max(axis=1)) if any(up_to) else Estimate.of([])


def gap(first: LayerwiseSimilarity, second: LayerwiseSimilarity, number: str) -> Estimate:
    """By how much a number, its mean over layers, is higher for one source than for another, paired by number."""
    ours, theirs = (each.values(number).mean(axis=1) for each in (first, second))
    count = min(len(ours), len(theirs))
    return Estimate.of(ours[:count] - theirs[:count])


def cost_of_strength(compliance: ComplianceProfile, strength: float) -> Estimate:
    """What springs cost against training without, in points, paired by seed; below 0 they gain."""
    (layers,) = compliance.counts
    scores = 100 * compliance.objective.sign * compliance.scores(layers)
    column = compliance.strengths.index(strength)
    return Estimate.of(scores[:, compliance.strengths.index(0.0)] - scores[:, column])


def first_distance(compliance: ComplianceProfile, strength: float) -> Estimate:
    """Cosine distance of the first layer's weights from the source's."""
    (layers,) = compliance.counts
    return Estimate.of(compliance.distances(layers)[:, compliance.strengths.index(strength)])


def before_downsampling(cuts: Sequence[Cut]) -> int:
    """The number of layers before the last cut at which features have the resolution of those at the first one."""
    return next((before.frozen_layers for before, after in itertools.pairwise(cuts) if shrinks(before, after)), 0)


def all_but_last(cuts: Sequence[Cut]) -> int:
    """The number of layers before the last cut but two, of those that are compared."""
    return cuts[max(0, len(cuts) - 3)].frozen_layers


def has_maps(cut: Cut) -> bool:
    """Whether features at a cut have height and width."""
    return len(cut.shapes[0]) == 3


def shrinks(before: Cut, after: Cut) -> bool:
    """Whether features lose resolution and still have height and width, or are pooled."""
    a, b = before.shapes[0], after.shapes[0]
    return has_maps(before) and (not has_maps(after) or b[0] < a[0])
