"""Springs against frozen layers: whether the ones tell where to cut the others."""

import dataclasses
import math

import numpy as np
from scipy import stats

from kdefrost.compliance.strengths import strength_text
from kdefrost.cutting.cut import Cut
from kdefrost.statistics import over_seeds
from kdefrost.tables import format_difference
from kdefrost.training.tasks import Objective


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """Scores of networks whose layers before a cut were held, and of those whose layers were frozen and cached.

    Attributes:
        cuts: The cuts that both have.
        held: Scores with springs `(seeds, cuts)` that are `"reported"`, and those `"choosing"` a cut: of the
            validation set where there is one. At cut 0, plain training.
        frozen: Scores of the defrosting profile, likewise. At cut 0 they are those with springs.
        strength: λ of the springs.
        on: The set of the scores that are reported.
        objective: The metric, and which way it is better.
    """

    cuts: tuple[Cut, ...]
    held: dict[str, np.ndarray]
    frozen: dict[str, np.ndarray]
    strength: float
    on: str
    objective: Objective

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation over the cuts of the two means that are reported.

        Cut 0 is left out, where both are the same training. NaN where there are fewer than three
        cuts, or one of the means is the same at all.
        """
        layered = [place for place, cut in enumerate(self.cuts) if cut.frozen_layers]
        means = [scores["reported"].mean(axis=0)[layered] for scores in (self.held, self.frozen)]
        if len(layered) < 3 or any(np.ptp(mean) == 0 for mean in means):
            return math.nan
        return float(stats.spearmanr(*means).statistic)

    @property
    def predicted(self) -> Cut:
        """The cut with the best mean of the choosing scores with springs; of equal ones the last."""
        return self._best(self.held)

    @property
    def best(self) -> Cut:
        """The cut with the best mean of the profile's choosing scores; of equal ones the last."""
        return self._best(self.frozen)

    def loss(self) -> np.ndarray:
        """How much worse the profile's reported scores are at the predicted cut than at its best, `(seeds,)`."""
        best, predicted = (self.cuts.index(cut) for cut in (self.best, self.predicted))
        frozen = self.frozen["reported"]
        return self.objective.sign * (frozen[:, best] - frozen[:, predicted])

    def sentence(self) -> str:
        """Says whether the springs tell where to cut."""
        cuts = sum(bool(cut.frozen_layers) for cut in self.cuts)
        known = math.isfinite(self.correlation)
        ranks = f"rank correlation with the profile over {cuts} cuts {self.correlation:.2f}; " if known else ""
        start = f"λ = {strength_text(self.strength)}: {ranks}the springs predict "
        if self.predicted == self.best:
            return f"{start}its best cut, {self.best.index}."
        ((mean, error),) = over_seeds(-self.objective.sign * self.loss()[:, None])
        return (
            f"{start}cut {self.predicted.index}, where it is {format_difference(self.objective.name, mean, error)} its "
            f"best, cut {self.best.index}."
        )

    def _best(self, scores: dict[str, np.ndarray]) -> Cut:
        # A training that diverged has no number, and is the worst.
        worth = np.nan_to_num(self.objective.sign * scores["choosing"].mean(axis=0), nan=-np.inf)
        return self.cuts[int(np.flatnonzero(worth == worth.max())[-1])]
