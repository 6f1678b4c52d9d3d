"""The plan: what answering some questions takes."""

import dataclasses

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.features import RECOMPUTE, held_bytes
from kdefrost.training.tasks import Task
from kdefrost.trials.question import Question


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a profile would run.

    Attributes:
        cuts: The cuts.
        examples: By question, of those that are not answered yet, the number of examples that its trial is trained on.
        task: What the tails are trained for.
        trained: Number of different examples that some trial is trained on.
        evaluated: Number of examples that each trial is evaluated on.
        places: By cut index, where its features are, one of `features.PLACES`.
        feature_dtype: One of `features.FEATURE_DTYPES`, in which they are held.
    """

    cuts: tuple[Cut, ...]
    examples: dict[Question, int]
    task: Task
    trained: int
    evaluated: int
    places: dict[int, str]
    feature_dtype: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that are not answered yet, each of which takes a trial."""
        return tuple(self.examples)

    def training_flops(self, question: Question) -> float:
        """Floating-point operations of training one trial: forward, and twice that backward."""
        seen = self.examples[question] * question.recipe.epochs
        return 2 * (3 * self._tail(question) + self._again(question)) * seen

    def flops(self, question: Question) -> float:
        """Floating-point operations of one trial, evaluation included."""
        return self.training_flops(question) + 2 * (self._tail(question) + self._again(question)) * self.evaluated

    def feature_bytes(self, cut: Cut) -> int:
        """Bytes of all features at a cut."""
        return held_bytes(cut, self.feature_dtype) * (self.trained + self.evaluated)

    def held_at(self, cut: Cut) -> Cut | None:
        """The cut whose features a trial at `cut` starts from; `None` where it starts from the images."""
        kept = [c for c in self.cuts if c.index <= cut.index and self.places[c.index] != RECOMPUTE]
        return kept[-1] if kept else None

    def _tail(self, question: Question) -> int:
        return self._cut(question).tail_multiply_adds

    def _again(self, question: Question) -> int:
        """Multiply-adds of the frozen layers that run anew at each step."""
        cut = self._cut(question)
        held = self.held_at(cut)
        return (cut.multiply_adds if held is None else held.tail_multiply_adds) - cut.tail_multiply_adds

    def _cut(self, question: Question) -> Cut:
        return next(cut for cut in self.cuts if cut.index == question.cut)
