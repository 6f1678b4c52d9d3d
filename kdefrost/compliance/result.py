"""The compliance profile: what it costs to stay near a source, over strengths × held layers × seeds."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np

from kdefrost.arguments import check_kind
from kdefrost.compliance.agreement import Agreement
from kdefrost.cutting.cut import Cut, check_cuts
from kdefrost.profile import DefrostProfile
from kdefrost.profile.checks import are_counts, check_scores
from kdefrost.results import Result
from kdefrost.training.tasks import Objective
from kdefrost.trials.question import Answer

if TYPE_CHECKING:
    from kdefrost.compliance import figures, prediction, words

DISTANCES = {"cosine": "cosine distance", "euclidean": "relative Euclidean distance"}


@dataclasses.dataclass(frozen=True)
class ComplianceTrial:
    """One training of the whole network with its first layers held.

    Attributes:
        layers: Number of layers with kernels that were held.
        strength: λ; infinite where they had the source's values and stayed as they were.
        per_class: Number of training examples per class; `None` for all there are.
        seed: Seed of the subset, the initialisation and the order.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set by metric, `None` without one.
        cosine: Cosine distance to the source of each layer, held or not, the output left out.
        euclidean: Relative Euclidean distance to the source of each, likewise.
        cka: Unbiased linear CKA of the features at each cut with those of the source.
        seconds: Time that training and scoring took.
    """

    layers: int
    strength: float
    per_class: int | None
    seed: int
    test: dict[str, float] | None
    validation: dict[str, float] | None
    cosine: list[float]
    euclidean: list[float]
    cka: list[float]
    seconds: float

    @property
    def key(self) -> tuple[int, float, int | None, int]:
        """What tells trials apart."""
        return self.layers, self.strength, self.per_class, self.seed

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The trial that gave an answer."""
        springs, (_, *rows) = answer.question.springs, answer.question.key
        return cls(
            springs.layers,
            springs.strength,
            *rows,
            answer.test,
            answer.validation,
            **answer.observed,
            seconds=answer.seconds,
        )


@dataclasses.dataclass(frozen=True)
class ComplianceProfile(Result):
    """Raw numbers of the trials of `Defroster.compliance`, all with as many examples per class.

    Attributes:
        layers: By name, in their order, the layers with kernels before the output, whose distances from
            the source were measured, and how many layers with kernels are called up to and with each.
        cuts: The cuts at which features were compared with the source's.
        trials: The finished trials.
        objective: The metric that is shown, and which way it is better.
        configuration: What the numbers depend on.
    """

    KIND = "compliance profile"
    FORMAT = 1

    layers: dict[str, int]
    cuts: tuple[Cut, ...]
    trials: tuple[ComplianceTrial, ...]
    objective: Objective
    configuration: dict = dataclasses.field(default_factory=dict)

    if TYPE_CHECKING:
        # Bound where the package is put together.
        cells = words.cells
        predicted_cut = prediction.predicted_cut
        plot = figures.plot_strengths
        summary = words.summary
        table = words.table

    @property
    def per_class(self) -> int | None:
        """Number of training examples per class; `None` for all there are."""
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
        check_kind("profile", profile, DefrostProfile, "a DefrostProfile")
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

    def rows(self) -> list[list]:
        """The trials, one a row, in order; the first row names the columns."""
        sets = [on for on in ("test", "validation") if all(getattr(t, on) is not None for t in self.trials)]
        head = ["layers", "strength", "per_class", "seed"]
        head += [f"{on}_{metric}" for on in sets for metric in self.metrics]
        head += [f"{kind}_{name}" for kind in DISTANCES for name in self.layers]
        rows = [[*head, *(f"cka_cut_{cut.index}" for cut in self.cuts), "seconds"]]
        for trial in sorted(self.trials, key=lambda trial: trial.key):
            scores = [getattr(trial, on)[metric] for on in sets for metric in self.metrics]
            rows.append([*trial.key, *scores, *trial.cosine, *trial.euclidean, *trial.cka, trial.seconds])
        return rows

    def check(self) -> None:
        """Refuses parts that do not fit together, by a `ValueError`."""
        check_cuts(self.cuts)
        if not self.trials or len({trial.per_class for trial in self.trials}) > 1:
            raise ValueError("its trials are none, or of several sizes")
        if len({trial.key for trial in self.trials}) < len(self.trials):
            raise ValueError("it has a trial twice")
        for trial in self.trials:
            size = 1 if trial.per_class is None else trial.per_class
            fits = len(trial.cosine) == len(trial.euclidean) == len(self.layers) and len(trial.cka) == len(self.cuts)
            if not fits or not are_counts(trial.layers, size - 1, trial.seed) or not trial.strength >= 0:
                raise ValueError(f"its trial {trial.key} has numbers that no trial of it has")
        check_scores([(trial.test, trial.validation) for trial in self.trials], self.objective.name)

    def _values(self, layers: int, of: Callable[[ComplianceTrial], float]) -> np.ndarray:
        """A number of the trials with so many layers held, and of those without springs, `(seeds, strengths)`."""
        if layers not in [0, *self.counts]:
            raise ValueError(f"`layers` must be one of {self.counts}. Received: layers={layers!r}")
        values = np.full((len(self.seeds), len(self.strengths)), np.nan)
        for trial in self.trials:
            if trial.layers in (0, layers):
                values[self.seeds.index(trial.seed), self.strengths.index(trial.strength)] = of(trial)
        return values
