"""Questions, *how well does the tail after this cut do, trained so on these examples?*, and their answers."""

import dataclasses
import functools
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
class Fold:
    """A part of a trial's examples that is held out, and scored on in the place of a validation set.

    Attributes:
        number: Which fold, counted from 0.
        folds: How many there are.
        repeat: Which partition into folds, counted from 0.
    """

    number: int
    folds: int
    repeat: int = 0


# How a tail starts: all of it new, or with the source's weights in all but the output layer.
TAILS = ("new", "pretrained")


@dataclasses.dataclass(frozen=True)
class Question:
    """What one trial answers; what all trials of a run have in common is its `Experiment`.

    Attributes:
        cut: Index of the cut.
        frozen_layers: Number of layers with kernels before it: cuts of blocks and of layers are counted apart.
        per_class: Number of training examples per class; `None` for all there are.
        seed: Seed of the subset, the folds, the initialisation and the order.
        recipe: How the tail is trained.
        springs: What holds the tail's first layers; `None` for nothing.
        compared: Numbers of layers with kernels after which what the trained network makes of images is compared with
            what the source makes of them.
        fold: Which of these examples are held out; `None` for none.
        tail: How the tail starts, one of `TAILS`.
    """

    cut: int
    frozen_layers: int
    per_class: int | None
    seed: int
    recipe: Recipe
    springs: Springs | None = None
    compared: tuple[int, ...] = ()
    fold: Fold | None = None
    tail: str = "new"

    @classmethod
    def at(cls, cut: Cut, *asked: object, **others: object) -> Self:
        """The question at a cut, with all else as the class takes it."""
        return cls(cut.index, cut.frozen_layers, *asked, **others)

    @property
    def key(self) -> tuple[int | None, ...]:
        """`(cut index, per_class, seed)`, and with folds repeat and fold: what tells trials of one profile apart."""
        return self.cut, self.per_class, *self.draw

    @property
    def rows(self) -> tuple[int | None, int, Fold | None]:
        """`(per_class, seed, fold)`, on which the training examples depend."""
        return self.per_class, self.seed, self.fold

    @property
    def draw(self) -> tuple[int, ...]:
        """`(seed,)`, with folds repeat and fold too: the seeds of all that is drawn, whatever the cut and the size."""
        return (self.seed,) if self.fold is None else (self.seed, self.fold.repeat, self.fold.number)

    @property
    def build(self) -> tuple:
        """What a tail at the cut is compiled for; the strength of springs is set trial by trial, unless rigid."""
        springs = self.springs
        coupled = None if springs is None else (springs.layers, springs.are_rigid, springs.normalization)
        return self.recipe, self.tail, coupled

    @functools.cached_property
    def address(self) -> str:
        """The content address: a hash of all that is asked."""
        return fingerprint.of_settings(dataclasses.asdict(self))

    def __str__(self) -> str:
        held = ""
        if self.springs is not None:
            strength = "rigid springs" if self.springs.are_rigid else f"λ = {self.springs.strength:g}"
            held = f"{self.springs.layers} layers held by {strength}, "
        size = "all images" if self.per_class is None else f"{self.per_class} per class"
        fold = "" if self.fold is None else f", fold {self.fold.number + 1} of {self.fold.folds}"
        again = f", repeat {self.fold.repeat}" if self.fold is not None and self.fold.repeat else ""
        return f"{held or f'cut {self.cut}, '}{size}, seed {self.seed}{fold}{again}"


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
        noticed: What says how far the scores are to be believed, where there is something: `"diverged"`, that the
            training did; `"undefined"`, that the source gave it NaN or infinity; `"copies"`, by set how many of how
            many examples that it was scored on are exact copies of ones that it was trained on; `"transparent"`, of
            how many of its images transparency hid colours; `"constant"`, the share of the features at its cut that
            are nearly the same for all examples.
        failure: Why the trial came to no end and its scores are not-a-number; `None` where it did.
    """

    question: Question
    test: dict[str, float] | None
    validation: dict[str, float] | None
    seconds: float
    observed: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    noticed: dict = dataclasses.field(default_factory=dict)
    failure: str | None = None
