"""Questions, *how well does the tail after this cut do, trained so on these examples?*, and their answers."""

import dataclasses
import math
from typing import Self

from kdefrost import fingerprint
from kdefrost.cutting.cut import Cut
from kdefrost.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Springs:
    """Springs that hold the first layers of what is trained near the source's; see `ElasticCoupling`.

    Attributes:
        layers: How many layers with kernels are held.
        strength: λ; infinite where they have the source's values and stay as they are.
        normalization: Whether scale and offset of normalisations among them are held too.
    """

    layers: int
    strength: float
    normalization: bool = False

    @property
    def are_rigid(self) -> bool:
        """Whether they hold the weights where the source has them."""
        return math.isinf(self.strength)


@dataclasses.dataclass(frozen=True)
class Question:
    """What one trial answers; what all trials of a run have in common is its `Experiment`.

    Attributes:
        cut: Index of the cut.
        frozen_layers: Number of layers with kernels before it: cuts of blocks and of layers are counted apart.
        per_class: Number of training examples per class.
        seed: Seed of the subset, the initialisation and the order.
        recipe: How the tail is trained.
        springs: What holds the tail's first layers; `None` for nothing.
        compared: Numbers of layers with kernels after which what the trained network makes of images is compared with
            what the source makes of them.
    """

    cut: int
    frozen_layers: int
    per_class: int
    seed: int
    recipe: Recipe
    springs: Springs | None = None
    compared: tuple[int, ...] = ()

    @classmethod
    def at(
        cls,
        cut: Cut,
        per_class: int,
        seed: int,
        recipe: Recipe,
        springs: Springs | None = None,
        compared: tuple[int, ...] = (),
    ) -> Self:
        """The question at a cut."""
        return cls(cut.index, cut.frozen_layers, per_class, seed, recipe, springs, compared)

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Makes a question from what `dataclasses.asdict` and JSON made of it."""
        springs = values["springs"] and Springs(**values["springs"])
        recipe, compared = Recipe(**values["recipe"]), tuple(values["compared"])
        return cls(**{**values, "recipe": recipe, "springs": springs, "compared": compared})

    @property
    def key(self) -> tuple[int, int, int]:
        """`(cut index, per_class, seed)`, what tells trials of one profile apart."""
        return self.cut, self.per_class, self.seed

    @property
    def rows(self) -> tuple[int, int]:
        """`(per_class, seed)`, on which the training examples depend."""
        return self.per_class, self.seed

    @property
    def address(self) -> str:
        """The content address: a hash of all that is asked."""
        return fingerprint.of_settings(dataclasses.asdict(self))

    def __str__(self) -> str:
        held = ""
        if self.springs is not None:
            strength = "rigid springs" if self.springs.are_rigid else f"λ = {self.springs.strength:g}"
            held = f"{self.springs.layers} layers held by {strength}, "
        return f"{held or f'cut {self.cut}, '}{self.per_class} per class, seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        question: The question.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set by metric, `None` without one.
        seconds: Time that training and evaluation took; the first trial of a cut in a run
            also compiles its tail.
        observed: What was measured of the trained network beside its scores, by name.
    """

    question: Question
    test: dict[str, float] | None
    validation: dict[str, float] | None
    seconds: float
    observed: dict[str, list[float]] = dataclasses.field(default_factory=dict)
