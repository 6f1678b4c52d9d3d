"""The compliance profile: what it costs to stay near a source, over strengths × held layers × seeds."""

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from kdefrost.compliance_trials import ComplianceTrial
from kdefrost.cuts import Cut
from kdefrost.profile import DefrostProfile
from kdefrost.tables import align, format_difference, format_score, in_percent, label_of
from kdefrost.tasks import Objective
from kdefrost.trials import read_json, write_atomically

_FORMAT = 1
DISTANCES = {"cosine": "cosine distance", "euclidean": "relative Euclidean distance"}


@dataclasses.dataclass(frozen=True)
class ComplianceProfile:
    """Raw numbers of the trials of `Defroster.compliance`, all with as many examples per class.

    Attributes:
        layers: By name, in their order, the layers with kernels before the output, whose distances from
            the source were measured, and how many layers with kernels are called up to and with each.
        cuts: The cuts at which features were compared with the source's.
        trials: The finished trials.
        objective: The metric that is shown, and which way it is better.
        configuration: What the numbers depend on.
    """

    layers: dict[str, int]
    cuts: tuple[Cut, ...]
    trials: tuple[ComplianceTrial, ...]
    objective: Objective
    configuration: dict = dataclasses.field(default_factory=dict)

    @property
    def per_class(self) -> int:
        """Number of training examples per class."""
        return self.trials[0].per_class

    @property
    def counts(self) -> list[int]:
        """The numbers of layers that were held, in order, without 0."""
        return sorted({trial.layers for trial in self.trials} - {0})

    @property
    def strengths(self) -> list[float]:
        """The strengths λ, in order; 0 is plain training, infinity the limit of frozen weights."""
        return sorted({trial.strength for trial in self.trials})

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({trial.seed for trial in self.trials})

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, the objective first."""
        first = self.trials[0]
        return sorted(first.test or first.validation, key=lambda name: name != self.objective.name)

    @property
    def reported_on(self) -> str:
        """The set whose scores are shown: `"test"`, or `"validation"` where there is none."""
        return "test" if all(trial.test is not None for trial in self.trials) else "validation"

    def scores(self, layers: int, on: str | None = None, metric: str | None = None) -> np.ndarray:
        """The scores with so many layers held.

        Args:
            layers: One of `counts`.
            on: `"test"` or `"validation"`; by default the set that is reported.
            metric: Name of the metric, by default the objective's.

        Returns:
            Array `(seeds, strengths)`, NaN where there is no score. Training without springs is the same
            whatever the number of layers.

        Raises:
            ValueError: If there are no such trials, scores or metric.
        """
        on, metric = on or self.reported_on, metric or self.objective.name
        if on not in ("test", "validation") or any(getattr(trial, on) is None for trial in self.trials):
            raise ValueError(f"`on` must be a set with scores, test or validation. Received: on={on!r}")
        if metric not in self.metrics:
            raise ValueError(f"`metric` must be one of {', '.join(self.metrics)}. Received: metric={metric!r}")
        return self._values(layers, lambda trial: getattr(trial, on)[metric])

    def distances(self, layers: int, layer: int | str = 0, kind: str = "cosine") -> np.ndarray:
        """How far the weights of a layer lie from the source's, with so many layers held.

        Args:
            layers: One of `counts`.
            layer: Place or name of a layer of `layers`, by default the first.
            kind: `"cosine"` for 1 − cos, `"euclidean"` for ‖w − w_source‖ / ‖w_source‖.

        Returns:
            Array `(seeds, strengths)`.

        Raises:
            ValueError: If there are no such trials, layer or distance.
        """
        if kind not in DISTANCES:
            raise ValueError(f"`kind` must be one of {', '.join(DISTANCES)}. Received: kind={kind!r}")
        place = list(self.layers).index(layer) if layer in self.layers else layer
        if not isinstance(place, int) or not 0 <= place < len(self.layers):
            raise ValueError(
                f"`layer` must be a name or a place of {', '.join(self.layers)}. Received: layer={layer!r}"
            )
        return self._values(layers, lambda trial: getattr(trial, kind)[place])

    def similarity(self, layers: int, cut: Cut) -> np.ndarray:
        """Unbiased linear CKA of the features at a cut with the source's, with so many layers held.

        Args:
            layers: One of `counts`.
            cut: One of `cuts`.

        Returns:
            Array `(seeds, strengths)`.

        Raises:
            ValueError: If there are no such trials, or features were not compared at that cut.
        """
        if cut not in self.cuts:
            names = ", ".join(f"{each.index} (`{each.name}`)" for each in self.cuts)
            raise ValueError(f"`cut` must be one of those at which features were compared: {names}. Received: {cut!r}")
        place = self.cuts.index(cut)
        return self._values(layers, lambda trial: trial.cka[place])

    def cost(self, layers: int, on: str | None = None) -> np.ndarray:
        """How much worse the objective is than without springs, seed by seed.

        Args:
            layers: One of `counts`.
            on: As for `scores`.

        Returns:
            Array `(seeds, strengths)`, positive where the springs do harm.

        Raises:
            ValueError: If there is nothing without springs, or as `scores`.
        """
        if 0.0 not in self.strengths:
            raise ValueError("What springs cost is known where there are trials with a strength of 0.")
        scores = self.objective.sign * self.scores(layers, on)
        return scores[:, :1] - scores

    def deepest_cut(self, layers: int) -> Cut | None:
        """The last cut before which all layers are held, where so many are; `None` where there is none."""
        within = [cut for cut in self.cuts if cut.frozen_layers <= layers]
        return within[-1] if within else None

    def against(self, profile: DefrostProfile, strength: float) -> "Agreement":
        """Holds the scores with one strength against a defrosting profile, cut by cut.

        Args:
            profile: A profile of the same source and sets, with trials of the same size.
            strength: One of `strengths`, above 0.

        Returns:
            An `Agreement` over the cuts and seeds that both have.

        Raises:
            ValueError: If they are of other sources, sets or recipes, or have nothing in common.
        """
        for fact in ("source", "data", "recipe", "task"):
            if self.configuration.get(fact) != profile.configuration.get(fact):
                raise ValueError(f"`profile` must be of the same {fact} as what it is compared with.")
        if strength not in self.strengths or strength == 0:
            raise ValueError(f"`strength` must be one of {self.strengths}, above 0. Received: {strength}")
        seeds = [seed for seed in self.seeds if seed in profile.seeds]
        counts = [0, *self.counts] if 0.0 in self.strengths else self.counts
        cuts = [cut for cut in profile.cuts if cut.frozen_layers in counts]
        if not seeds or len(cuts) < 2 or self.per_class not in profile.per_class:
            raise ValueError("`profile` must have a size, a seed and two cuts in common with what it is compared with.")
        sets = {"reported": self.reported_on, "choosing": profile.chosen_on}
        rows, columns = [profile.seeds.index(seed) for seed in seeds], [profile.cuts.index(cut) for cut in cuts]
        return Agreement(
            cuts=tuple(cuts),
            held={name: self._at(cuts, strength, seeds, on) for name, on in sets.items()},
            frozen={name: profile.scores(self.per_class, on)[rows][:, columns] for name, on in sets.items()},
            strength=strength,
            on=self.reported_on,
            objective=self.objective,
        )

    def _at(self, cuts: list[Cut], strength: float, seeds: list[int], on: str) -> np.ndarray:
        """Scores with the layers before each cut held `(seeds, cuts)`; before cut 0 there are none."""
        columns = [
            self.scores(cut.frozen_layers, on)[:, self.strengths.index(strength if cut.frozen_layers else 0.0)]
            for cut in cuts
        ]
        return np.stack(columns, axis=1)[[self.seeds.index(seed) for seed in seeds]]

    def table(self, layers: int) -> str:
        """The numbers with so many layers held as text, a row per strength; see `cells`."""
        return align(self.cells(layers))

    def cells(self, layers: int) -> list[list[str]]:
        """The numbers with so many layers held as cells of a table, mean ± standard error over seeds.

        Args:
            layers: One of `counts`, or 0 for training without springs alone.

        Returns:
            A list of rows, the first one the heads: the strength; the objective, and by how much it differs from
            that without springs, paired over seeds; cosine and relative Euclidean distance of the first
            layer, and of the held layers' mean; CKA at the deepest cut before which all layers are held.
        """
        held = [name for name, number in self.layers.items() if number <= layers]
        numbers = [self.distances(layers, 0, kind) for kind in DISTANCES]
        heads = [f"{label}, first layer" for label in DISTANCES.values()]
        if held:
            numbers += [np.mean([self.distances(layers, name, kind) for name in held], axis=0) for kind in DISTANCES]
            heads += [f"{label}, mean of held" for label in DISTANCES.values()]
        cut = self.deepest_cut(layers)
        if cut is not None:
            numbers.append(self.similarity(layers, cut))
            heads.append(f"CKA at cut {cut.index}")
        scores = [format_score(self.objective.name, *pair) for pair in over_seeds(self.scores(layers))]
        columns = [scores, *([_plain(*pair) for pair in over_seeds(number)] for number in numbers)]
        heads = [f"{self.reported_on} {label_of(self.objective.name)}", *heads]
        if 0.0 in self.strengths:
            points = in_percent(self.objective.name)
            heads.insert(1, f"against λ = 0{', points' if points else ''}")
            columns.insert(1, self._changes(layers, 100 if points else 1))
        return [["λ", *heads], *map(list, zip(map(strength_text, self.strengths), *columns, strict=True))]

    def _changes(self, layers: int, unit: int) -> list[str]:
        """By how much the objective differs from that without springs, for each strength; of none nothing."""
        changes = over_seeds(-unit * self.objective.sign * self.cost(layers))
        texts = [f"{mean:+.3g} ± {error:.2g}" if math.isfinite(error) else f"{mean:+.3g}" for mean, error in changes]
        return [text if strength else "" for text, strength in zip(texts, self.strengths, strict=True)]

    def summary(self) -> str:
        """All numbers of held layers as text, a table for each."""
        if not self.trials:
            return "No trials have finished."
        spread = f"Mean ± standard error over {len(self.seeds)} seeds" if len(self.seeds) > 1 else "One seed"
        parts = [f"{count} layers held\n\n{self.table(count)}\n" for count in self.counts or [0]]
        return "\n".join([*parts, f"{spread}, {self.per_class} per class."])

    def rows(self) -> list[list]:
        """The trials, one a row, in order; the first row names the columns."""
        sets = [on for on in ("test", "validation") if all(getattr(t, on) is not None for t in self.trials)]
        head = [
            "layers",
            "strength",
            "per_class",
            "seed",
            *(f"{on}_{metric}" for on in sets for metric in self.metrics),
        ]
        head += [f"{kind}_{name}" for kind in DISTANCES for name in self.layers]
        rows = [[*head, *(f"cka_cut_{cut.index}" for cut in self.cuts), "seconds"]]
        for trial in sorted(self.trials, key=lambda trial: trial.key):
            scores = [getattr(trial, on)[metric] for on in sets for metric in self.metrics]
            rows.append([*trial.key, *scores, *trial.cosine, *trial.euclidean, *trial.cka, trial.seconds])
        return rows

    def plot(self, layers: int | None = None, ax=None):
        """Draws accuracy and first-layer distance against the strength; see `kdefrost.compliance_plots`."""
        # Matplotlib is imported only by those who draw.
        from kdefrost import compliance_plots

        return compliance_plots.plot_strengths(self, layers, ax=ax)

    def save(self, path: str | os.PathLike):
        """Writes the result to a JSON file, in which an infinite strength is `Infinity`."""
        values = {"kdefrost_compliance": _FORMAT, **dataclasses.asdict(self)}
        write_atomically(Path(path), json.dumps(values, indent=1) + "\n")

    def save_csv(self, path: str | os.PathLike):
        """Writes the trials to a CSV file, one a row."""
        file = io.StringIO(newline="")
        csv.writer(file, lineterminator="\n").writerows(self.rows())
        write_atomically(Path(path), file.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ComplianceProfile":
        """Reads a result from the file that `save` wrote.

        Args:
            path: The JSON file.

        Returns:
            A `ComplianceProfile`.

        Raises:
            ValueError: If the file is damaged or not such a result.
        """
        values = read_json(Path(path))
        if values.get("kdefrost_compliance") != _FORMAT:
            raise ValueError(f"{path} is not a compliance profile of this version of kdefrost (format {_FORMAT}).")
        try:
            return cls(
                layers=values["layers"],
                cuts=tuple(map(Cut.from_dict, values["cuts"])),
                trials=tuple(ComplianceTrial(**trial) for trial in values["trials"]),
                objective=Objective(**values["objective"]),
                configuration=values["configuration"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error

    def _values(self, layers: int, of: Callable[[ComplianceTrial], float]) -> np.ndarray:
        """A number of the trials with so many layers held, and of those without springs, `(seeds, strengths)`."""
        if layers not in [0, *self.counts]:
            raise ValueError(f"`layers` must be one of {self.counts}. Received: layers={layers!r}")
        values = np.full((len(self.seeds), len(self.strengths)), np.nan)
        for trial in self.trials:
            if trial.layers in (0, layers):
                values[self.seeds.index(trial.seed), self.strengths.index(trial.strength)] = of(trial)
        return values


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


def strength_text(strength: float) -> str:
    """A strength as text: `frozen` where it is infinite."""
    return "frozen" if math.isinf(strength) else f"{strength:g}"


def over_seeds(values: np.ndarray) -> list[tuple[float, float]]:
    """Means and standard errors over seeds.

    Args:
        values: Array `(seeds, …)`, NaN where there is nothing.

    Returns:
        `(mean, standard error)` of each column, of the seeds that have it; the error is NaN with fewer than two.
    """
    pairs = []
    for column in values.T:
        there = column[~np.isnan(column)]
        error = there.std(ddof=1) / math.sqrt(len(there)) if len(there) > 1 else math.nan
        pairs.append((float(there.mean()) if len(there) else math.nan, float(error)))
    return pairs


def _plain(mean: float, error: float) -> str:
    """A number with three places after the point, ± its error; where both are smaller, their powers of ten."""
    known = math.isfinite(error)
    if 0 < max(abs(mean), error if known else 0.0) < 1e-3:
        return f"{mean:.1e} ± {error:.0e}" if known else f"{mean:.1e}"
    return f"{mean:.3f} ± {error:.3f}" if known else f"{mean:.3f}"
