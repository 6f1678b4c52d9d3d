"""The progress bar over all trials."""

from collections.abc import Callable

from tqdm import tqdm

from kdefrost.cutting.cut import Cut
from kdefrost.tables import format_score, label_of
from kdefrost.trials.plan import Plan
from kdefrost.trials.question import Answer, Question


class ProgressBar:
    """One bar over all trials, in units of their work.

    Args:
        plan: The plan of the trials.
        verbose: Whether to show it.
    """

    def __init__(self, plan: Plan, verbose: bool):
        # What a trial costs beside its arithmetic, as seen on two cores, in operations.
        self.work = {question: plan.flops(question) + 5e9 for question in plan.questions}
        self.last, self.objective = plan.cuts[-1].index, plan.task.objective.name
        # What one example's features cost on the way to each cut, and where they come from.
        self.plan, self.before = plan, plan.cuts[0].multiply_adds
        self.bar = tqdm(
            total=sum(self.work.values()) + self._features_work(plan.held_at(self._last_cut())),
            disable=not verbose,
            smoothing=0.02,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed} gone, {remaining} left{postfix}",
        )
        self.score, self.done, self.on = None, {}, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def begin_features(self, cut: Cut) -> Callable[[int], None]:
        """Names the cut whose features are computed, and gives what to call with numbers of examples done."""
        if self.plan.held_at(cut) is not cut:
            return lambda examples: None
        self.bar.set_postfix_str(f"features at cut {cut.index} of {self.last}")
        work, self.before = 2 * (self.before - cut.tail_multiply_adds), cut.tail_multiply_adds
        return lambda examples: self._move(examples * work)

    def _last_cut(self) -> Cut:
        last = max(question.cut for question in self.plan.questions)
        return next(cut for cut in self.plan.cuts if cut.index == last)

    def _features_work(self, cut: Cut | None) -> int:
        """What carrying all features on to a cut costs, in operations."""
        examples = self.plan.trained + self.plan.evaluated
        return 0 if cut is None else 2 * (cut.multiply_adds - cut.tail_multiply_adds) * examples

    def advance(self, question: Question, share: float):
        """Moves on to where a share of a trial's training is done."""
        if question not in self.done:
            scored = self.score is not None
            last = (
                f", last {self.on} {label_of(self.objective)} {format_score(self.objective, self.score)}"
                if scored
                else ""
            )
            self.bar.set_postfix_str(f"{self._where(question)}{last}")
        self._move((share - self.done.get(question, 0.0)) * self.work[question] * 0.95)
        self.done[question] = share

    def end(self, answer: Answer):
        """Moves on to a trial's end."""
        self.leave_out(answer.question)
        for on, scores in (("test", answer.test), ("validation", answer.validation)):
            if scores is not None:
                self.on, self.score = on, scores[self.objective]
                break

    def leave_out(self, question: Question):
        """Moves on past a trial that another process has taken on."""
        self._move(self.work[question] * (1 - 0.95 * self.done.pop(question, 0.0)))

    def _where(self, question: Question) -> str:
        return str(question).replace(f"cut {question.cut},", f"cut {question.cut} of {self.last},")

    def _move(self, work: float):
        # Rounding must not take it past its end, of which it would warn.
        self.bar.update(min(work, self.bar.total - self.bar.n))
