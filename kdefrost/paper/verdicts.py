"""Verdicts on claims, which follow from numbers and their errors.

A verdict is by 95 % intervals over seeds, or over pairs of networks: it holds where the interval lies on the claim's
side, does not where it lies on the other, and is open where it spans both.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kdefrost.paper.estimates import Estimate

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided at this size"
# Points of accuracy that count as none, where the paper says that nothing is lost. Our reading.
NOTHING_LOST = 1.0


class Verdict(NamedTuple):
    """What is decided of a claim.

    Attributes:
        word: `HOLDS`, `FAILS` or `OPEN`.
        leans: Of an open one, `HOLDS` or `FAILS`, by the numbers as they are; `None` where they say nothing.
        repeats: Of an open one, how many would decide it if means and spreads were as they are, infinite of very many;
            `None` where this is not known.
    """

    word: str
    leans: str | None = None
    repeats: float | None = None

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.repeats is None:
            return self.word
        count = "more than 1,000" if self.repeats == math.inf else f"some {self.repeats:.0f}"
        return f"{self.word}: {count} repeats would, if means and spread stay"


class Finding(NamedTuple):
    """What is seen of a claim.

    Attributes:
        subject: Of which transfer, source or measure.
        seen: The numbers, in words.
        verdict: What is decided.
    """

    subject: str
    seen: str
    verdict: Verdict


def decide(estimate: Estimate, above: float = 0.0, comparisons: int = 1) -> Verdict:
    """Whether something is above a number.

    Args:
        estimate: What is known of it.
        above: The number.
        comparisons: Number of such questions of which any may be answered by chance (Bonferroni).

    Returns:
        The verdict.
    """
    low, high = estimate.interval(comparisons)
    if low > above or high < above:
        return Verdict(HOLDS if low > above else FAILS)
    leans = HOLDS if estimate.mean > above else FAILS if estimate.mean < above else None
    return undecided(leans, [estimate.repeats_to_tell(above, comparisons)])


def below(estimate: Estimate, bound: float) -> Verdict:
    """Whether something is below a number."""
    return decide(Estimate(-estimate.mean, estimate.error, estimate.repeats), -bound)


def every(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim that is several at once."""
    return _together(verdicts, FAILS, HOLDS)


def some(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim that something can be."""
    return _together(verdicts, HOLDS, FAILS)


def same(first: Verdict, second: Verdict) -> Verdict:
    """The verdict on a claim that two things are both so, or both not."""
    both = first, second
    word = HOLDS if len({each.leans or each.word for each in both}) == 1 else FAILS
    repeats = [each.repeats for each in both if each.word == OPEN]
    return undecided(word, repeats) if repeats else Verdict(word)


def undecided(leans: str | None, repeats: Sequence[float | None], choose: Callable = max) -> Verdict:
    """An open verdict.

    Args:
        leans: As `Verdict` has it.
        repeats: How many repeats would decide each of the things that it is about, `None` where this is not known.
        choose: `max` where all of them are to be decided, `min` where one is enough.
    """
    return Verdict(OPEN, leans, choose(repeats) if repeats and None not in repeats else None)


def _together(verdicts: Sequence[Verdict], decisive: str, other: str) -> Verdict:
    """One verdict of several, of which a single one can decide one way, and all together the other way."""
    words = [each.word for each in verdicts]
    if decisive in words:
        return Verdict(decisive)
    if words and OPEN not in words:
        return Verdict(other)
    open_ones = [each for each in verdicts if each.word == OPEN]
    if first := [each.repeats for each in open_ones if each.leans == decisive]:
        return undecided(decisive, first, min)
    return undecided(other, [each.repeats for each in open_ones])
