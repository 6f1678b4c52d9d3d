"""Scores of cuts without training: raw numbers, and what follows from them."""

import dataclasses
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from kdefrost.cutting.cut import Cut, check_cuts
from kdefrost.files import converted
from kdefrost.results import Result
from kdefrost.statistics import error_over_seeds, mean_over_seeds
from kdefrost.transferability.names import LABELS

if TYPE_CHECKING:
    from kdefrost.transferability import figures, words

# What averaging features over positions takes, which all scores of pooled features share, as `seconds` has it.
POOLING = "pooling"


class _Configuration(TypedDict):
    """What is said of a configuration."""

    sizes: dict[str, int]
    shares: NotRequired[dict[str, float]]
    labels: NotRequired[str]
    source_name: NotRequired[str]
    target: NotRequired[str | None]
    tails: NotRequired[str]


@dataclasses.dataclass(frozen=True)
class CutScores:
    """The scores of a cut on one draw of examples.

    Attributes:
        cut: Index of the cut.
        seed: Seed of the draw and of the random tail.
        scores: By name; higher is better, NaN where features tell nothing.
        seconds: By name, and by `"pooling"`, what each took beyond the pass that makes the features at the cut; 0
            where the draws of two seeds are the same examples and it was there already. The first seed of a cut
            also makes the random tail.
    """

    cut: int
    seed: int
    scores: dict[str, float]
    seconds: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Transferability(Result):
    """Scores of cuts that need no training.

    Attributes:
        cuts: The cuts, in order.
        measured: The raw scores.
        configuration: What they depend on; `"sizes"` has how many examples each score was computed on, `"shares"` the
            largest share of a class that these are, `"labels"` a hash of all labels that they were drawn from.
    """

    KIND = "transferability"
    FORMAT = 1

    cuts: tuple[Cut, ...]
    measured: tuple[CutScores, ...]
    configuration: dict = dataclasses.field(default_factory=dict)

    if TYPE_CHECKING:
        # Bound where the package is put together.
        plot = figures.plot
        summary = words.summary
        table = words.table

    @property
    def names(self) -> list[str]:
        """The names of the scores."""
        return list(self.measured[0].scores)

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({each.seed for each in self.measured})

    def scores(self, name: str) -> np.ndarray:
        """A score of all cuts and seeds.

        Args:
            name: Its name.

        Returns:
            Array `(seeds, cuts)`; higher is better, NaN where features tell nothing.

        Raises:
            ValueError: If there is no such score.
        """
        self._check(name, self.names)
        return self._array(lambda each: each.scores[name])

    def seconds(self, name: str) -> np.ndarray:
        """The seconds that a score took beyond the pass that makes the features at the cut.

        Args:
            name: Its name, or `"pooling"` for what all scores of pooled features share.

        Returns:
            Array `(seeds, cuts)`.

        Raises:
            ValueError: If there is no such score.
        """
        self._check(name, [POOLING, *self.names])
        return self._array(lambda each: each.seconds[name])

    def mean(self, name: str) -> np.ndarray:
        """The mean of `scores` over seeds, an array `(cuts,)`."""
        return mean_over_seeds(self.scores(name))

    def standard_error(self, name: str) -> np.ndarray:
        """The standard error of `mean`, an array `(cuts,)`, NaN with fewer than two numbers."""
        return error_over_seeds(self.scores(name))

    def best_cut(self, name: str) -> Cut | None:
        """The cut of the highest mean of a score, of equal ones the last; `None` where no cut has a number."""
        mean = self.mean(name)
        if np.isnan(mean).all():
            return None
        return self.cuts[int(np.flatnonzero(mean == np.nanmax(mean))[-1])]

    def rows(self) -> list[list]:
        """The scores, a row for each cut and seed, in order; the first row names the columns."""
        layers = {cut.index: cut.name for cut in self.cuts}
        taken = [POOLING, *self.names]
        rows = [["cut", "layer", "seed", *self.names, *(f"{name}_seconds" for name in taken)]]
        for each in sorted(self.measured, key=lambda each: (each.cut, each.seed)):
            numbers = [each.scores[name] for name in self.names] + [each.seconds[name] for name in taken]
            rows.append([each.cut, layers[each.cut], each.seed, *numbers])
        return rows

    def check(self) -> None:
        """Refuses parts that do not fit together, by a `ValueError`."""
        check_cuts(self.cuts)
        told = converted(self.configuration, _Configuration)
        if "all" not in told["sizes"]:
            raise ValueError("it does not say of how many examples its scores are")
        if "shares" in told and not (
            told["shares"].keys() == told["sizes"].keys() and all(0 < share <= 1 for share in told["shares"].values())
        ):
            raise ValueError("it has shares of examples that are none")
        indices, keys = {cut.index for cut in self.cuts}, [(each.cut, each.seed) for each in self.measured]
        if not keys or len(set(keys)) < len(keys):
            raise ValueError("it has no scores, or those of a cut and a seed twice")
        for each in self.measured:
            fits = each.cut in indices and 0 <= each.seed < 2**63 and set(each.scores) == set(self.names)
            if not fits or not {POOLING, *self.names} <= set(each.seconds) or not set(self.names) <= set(LABELS):
                raise ValueError(f"its scores of cut {each.cut} and seed {each.seed} are not those of the others")

    def _check(self, name: str, known: list[str]):
        if name not in known:
            raise ValueError(f"`name` must be one of {', '.join(known)}. Received: name={name!r}")

    def _array(self, number) -> np.ndarray:
        """A number of all that was measured, in its place `(seeds, cuts)`."""
        seeds = {seed: place for place, seed in enumerate(self.seeds)}
        cuts = {cut.index: place for place, cut in enumerate(self.cuts)}
        array = np.full((len(seeds), len(cuts)), np.nan)
        for each in self.measured:
            array[seeds[each.seed], cuts[each.cut]] = number(each)
        return array
