"""Verdicts on claims, which follow from numbers and their errors.

A verdict is by 95 % intervals over seeds, or over pairs of networks: it holds where the interval lies on the claim's
side, does not where it lies on the other, and is open where it spans both.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kdefrost.paper.estimates import Estimate

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided at this size"
# Points of accuracy that count as none, where the paper says that nothing is lost. Our reading.
NOTHING_LOST = 1.0


class Finding(NamedTuple):
    """What is seen of a claim.

    Attributes:
        subject: Of which transfer, source or measure.
        seen: The numbers, in words.
        verdict: `HOLDS`, `FAILS` or `OPEN`.
    """

    subject: str
    seen: str
    verdict: str


def decide(estimate: Estimate, above: float = 0.0, comparisons: int = 1) -> str:
    """Whether something is above a number.

    Args:
        estimate: What is known of it.
        above: The number.
        comparisons: Number of such questions of which any may be answered by chance (Bonferroni).

    Returns:
        The verdict.
    """
    low, high = estimate.interval(comparisons)
    if low == high == above:
        return OPEN
    return HOLDS if low > above else FAILS if high < above else OPEN


def below(estimate: Estimate, bound: float) -> str:
    """Whether something is below a number."""
    return decide(Estimate(-estimate.mean, estimate.error, estimate.repeats), -bound)


def every(verdicts: Sequence[str]) -> str:
    """The verdict on a claim that is several at once."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts or not verdicts else HOLDS


def some(verdicts: Sequence[str]) -> str:
    """The verdict on a claim that something can be."""
    return HOLDS if HOLDS in verdicts else OPEN if OPEN in verdicts or not verdicts else FAILS
