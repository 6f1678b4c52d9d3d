"""The policy of a search: what is worth asking for its cost, and when it is enough."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kdefrost.profile.curve import curve_over_depth
from kdefrost.trials.question import Answer, Question

# Shares of the whole network's training cost that are left after the cuts that are tried first, beside the last cut:
# a few, from next to last to early ones, as the paper has it in its "Efficient Defrosting Protocol".
_FIRST = (0.1, 0.25, 0.5)
# A question that is expected to gain less, in deviations of the noise, is not asked.
_LEAST_GAIN = 0.003
# Added to each share of the cost, for what a trial takes beside its arithmetic.
_OVERHEAD = 0.002
# What a search ends by: nothing that is left is expected to gain anything, or nothing that may is within the budget.
SETTLED, SPENT = "settled", "spent"


@dataclasses.dataclass(frozen=True)
class Searched:
    """How a search of one size went.

    Attributes:
        per_class: Number of training examples per class; `None` for all there are.
        budget: What it was allowed, in `unit`.
        unit: `"share"` of the training operations of the full profile of that size, or `"seconds"` of training.
        spent: What its trials took, in `unit`.
        ended: `"settled"` where nothing that was left was expected to gain anything, `"spent"` where nothing that may
            gain was within the budget.
    """

    per_class: int | None
    budget: float
    unit: str
    spent: float
    ended: str


class Budget(NamedTuple):
    """What the questions of one size may cost.

    Attributes:
        amount: In `unit`.
        unit: `"share"` of what all of them cost, or `"seconds"`.
        costs: By question, the operations of its training.
    """

    amount: float
    unit: str
    costs: Mapping[Question, float]

    def spent(self, answers: Sequence[Answer]) -> float:
        """What some answers took."""
        if self.unit == "seconds":
            return sum(answer.seconds for answer in answers)
        return sum(self.costs[answer.question] for answer in answers) / sum(self.costs.values())

    def price(self, question: Question, answers: Sequence[Answer]) -> float:
        """What a question would take; seconds are as the answers say, none before the first."""
        if self.unit == "share":
            return self.costs[question] / sum(self.costs.values())
        return seconds_for(self.costs[question], [(self.costs[each.question], each.seconds) for each in answers])


def seconds_for(cost: float, known: Sequence[tuple[float, float]]) -> float:
    """What a trial of some cost would take at least, as others did.

    Args:
        cost: Its operations, or whatever is in proportion to them.
        known: Of other trials `(cost, seconds)`.

    Returns:
        The seconds that the cheapest took, which are mostly compilation and evaluation, and beyond it as many per
        operation as the others did at least; 0 where none is known.
    """
    if not known:
        return 0.0
    least, overhead = min(known)
    rates = [(seconds - overhead) / (each - least) for each, seconds in known if each > least and seconds > overhead]
    return overhead + min(rates, default=0.0) * max(0.0, cost - least)


def budgets(
    budget: float | datetime.timedelta, questions: Sequence[Question], cost: Callable[[Question], float]
) -> dict[int | None, Budget]:
    """Divides a budget among sizes, by what their full profiles cost.

    Args:
        budget: A share of the training operations of the full profile, or the time that its trials may take.
        questions: All that can be asked.
        cost: Gives the operations of a question's training.

    Returns:
        The `Budget` of each size.

    Raises:
        ValueError: If the budget is none, or below the cheapest question.
    """
    is_time = isinstance(budget, datetime.timedelta)
    amount = budget.total_seconds() if is_time else budget
    if isinstance(amount, bool) or not isinstance(amount, (int, float, np.number)) or not 0 < amount < np.inf:
        raise ValueError(
            "`budget` must be a positive share of what the full profile costs, such as 0.25, or a datetime.timedelta. "
            f"Received: budget={budget!r}"
        )
    if not is_time and amount > 1:
        raise ValueError(
            "`budget` must be at most 1, the full profile; time is given as a datetime.timedelta, such as "
            f"datetime.timedelta(minutes=10). Received: budget={budget!r}"
        )
    costs = {question: cost(question) for question in questions}
    total = sum(costs.values())
    of_size = {size: {q: c for q, c in costs.items() if q.per_class == size} for size in _sizes(questions)}
    if not is_time:
        for mine in of_size.values():
            cheapest = min(mine, key=mine.get)
            least = mine[cheapest] / sum(mine.values())
            if amount < least:
                raise ValueError(
                    f"`budget` must be at least {least:.2g}, the share of its cheapest question ({cheapest}). "
                    f"Received: budget={budget!r}"
                )
        return {size: Budget(float(amount), "share", mine) for size, mine in of_size.items()}
    return {size: Budget(amount * sum(mine.values()) / total, "seconds", mine) for size, mine in of_size.items()}


def _sizes(questions: Sequence[Question]) -> list[int | None]:
    return list(dict.fromkeys(question.per_class for question in questions))


class Search:
    """The policy that asks what is expected to better the best cut most for its cost.

    First a few cuts are tried, late ones, which are cheap, and one or two early ones. From then on each question is
    the one whose score is expected to gain most (`Curve.gain`) per operation: that of a cut that was not tried, where
    the curve over depth leaves open that it is better, or another seed or fold of one that is near the best. Each size
    has a search of its own.

    It is a function of the answers alone, so that a search that was interrupted goes on to the same end; questions
    that are answered already are counted as if they were asked.

    Args:
        budgets: The `Budget` of each size.
        worth: What an answer is worth, more being better.
        at_once: How many questions of a size are asked at once.
    """

    def __init__(self, budgets: Mapping[int | None, Budget], worth: Callable[[Answer], float], at_once: int = 1):
        self._courses = {size: _Course(budget, worth, at_once) for size, budget in budgets.items()}

    def __call__(self, answers: Mapping[Question, Answer]) -> list[Question]:
        return [question for course in self._courses.values() for question in course.follow(answers)[0]]

    def outlook(self, answers: Mapping[Question, Answer]) -> tuple[dict[Question, float], float]:
        """What the budgets leave at most: by question which share of it may be asked, and beside that seconds.

        A budget of time leaves no shares: of whose questions its seconds will be is not known. They are those of
        trials, compilation included; the features on the way to them are not in what is left.
        """
        shares, seconds = {}, 0.0
        for course in self._courses.values():
            more, time = course.left(answers)
            shares, seconds = shares | more, seconds + time
        return shares, seconds

    def result(self, answers: Mapping[Question, Answer]) -> tuple[Searched, ...]:
        """How it went, once all that it asks is answered."""
        return tuple(course.result(size, answers) for size, course in self._courses.items())


class _Course:
    """The search of one size."""

    def __init__(self, budget: Budget, worth: Callable[[Answer], float], at_once: int):
        self._budget, self._worth, self._at_once = budget, worth, at_once
        cuts = sorted({question.cut for question in budget.costs})
        draws = sorted({question.draw for question in budget.costs})
        self._shape = len(draws), len(cuts)
        self._places = {each: (draws.index(each.draw), cuts.index(each.cut)) for each in budget.costs}
        self._cells = {cell: question for question, cell in self._places.items()}
        left = np.array([self._share(self._cells[0, column]) for column in range(len(cuts))])
        columns = [len(cuts) - 1, *(int(np.abs(left - share).argmin()) for share in _FIRST)]
        self._start = [self._cells[0, column] for column in dict.fromkeys(columns)]
        # What was decided after which answers: each time it follows them from the first on.
        self._decided = {}

    def follow(self, answers: Mapping[Question, Answer]) -> tuple[list[Question], str | None]:
        """All questions so far, those of the present step among them, and by what it has ended, if it has."""
        asked = self._first()
        while all(question in answers for question in asked):
            known = [answers[question] for question in asked]
            key = tuple((answer.question, self._worth(answer), answer.seconds) for answer in known)
            if key not in self._decided:
                self._decided[key] = self._next(known)
            following, ended = self._decided[key]
            if ended is not None:
                return asked, ended
            asked = [*asked, *following]
        return asked, None

    def left(self, answers: Mapping[Question, Answer]) -> tuple[dict[Question, float], float]:
        """What the budget leaves; see `Search.outlook`."""
        asked, ended = self.follow(answers)
        budget = self._budget
        # What this step asks is not left.
        spent = budget.spent([answers[question] for question in asked if question in answers])
        ahead = [question for question in asked if question not in answers]
        left = 0.0 if ended else max(0.0, budget.amount - spent - sum(budget.price(each, []) for each in ahead))
        if budget.unit == "seconds":
            return {}, left
        return dict.fromkeys(budget.costs, left), 0.0

    def result(self, size: int | None, answers: Mapping[Question, Answer]) -> Searched:
        asked, ended = self.follow(answers)
        budget = self._budget
        return Searched(size, budget.amount, budget.unit, budget.spent([answers[q] for q in asked]), ended)

    def _first(self) -> list[Question]:
        """The last cut, and a few of those before it as far as it is known what they take."""
        if self._budget.unit == "seconds":
            return self._start[:1]
        asked = []
        for question in self._start:
            total = sum(self._budget.price(each, []) for each in [*asked, question])
            if not asked or total <= self._budget.amount:
                asked.append(question)
        return asked

    def _next(self, known: list[Answer]) -> tuple[list[Question], str | None]:
        """What to ask after some answers, or by what it ends."""
        left = self._budget.amount - self._budget.spent(known)
        scores = np.full(self._shape, np.nan)
        for answer in known:
            scores[self._places[answer.question]] = self._worth(answer)
        if self._budget.unit == "seconds" or not np.isfinite(scores).any():
            # Of time it is known from one to the next what it takes. Where all trainings diverge nothing is learnt.
            waiting = self._start if np.isfinite(scores).any() else sorted(self._budget.costs, key=self._share)
            for question in waiting:
                if np.isnan(scores[self._places[question]]) and self._budget.price(question, known) <= left:
                    return [question], None
        if not np.isfinite(scores).any():
            return [], SPENT
        return self._gainful(scores, known, left)

    def _gainful(self, scores: np.ndarray, known: list[Answer], left: float) -> tuple[list[Question], str | None]:
        """The questions that are expected to gain most for their cost."""
        asked, missed = [], False
        for _ in range(self._at_once):
            curve = curve_over_depth(scores)
            gains = {cell: curve.gain(*cell) for cell in self._open(scores)}
            worth_it = [cell for cell, gain in gains.items() if gain >= _LEAST_GAIN * curve.noise]
            prices = {cell: self._budget.price(self._cells[cell], known) for cell in worth_it}
            within = [cell for cell in worth_it if prices[cell] <= left]
            missed |= len(within) < len(worth_it)
            if not within:
                break
            best = max(within, key=lambda cell: gains[cell] / (self._share(self._cells[cell]) + _OVERHEAD))
            asked.append(self._cells[best])
            left -= prices[best]
            # What else to ask meanwhile: as if it came out as expected.
            scores[best] = curve.expected[best]
        return asked, None if asked else SPENT if missed else SETTLED

    def _open(self, scores: np.ndarray) -> list[tuple[int, int]]:
        """The first question of each cut without a score; no block is begun while another waits for its second one."""
        missing = np.isnan(scores)
        count = (~missing).sum(axis=1)
        cells = [(int(missing[:, column].argmax()), int(column)) for column in np.flatnonzero(missing.any(axis=0))]
        begun = [cell for cell in cells if count[cell[0]]]
        return begun if (count[1:] == 1).any() and begun else cells

    def _share(self, question: Question) -> float:
        """A question's cost as a share of that of the dearest."""
        return self._budget.costs[question] / max(self._budget.costs.values())
