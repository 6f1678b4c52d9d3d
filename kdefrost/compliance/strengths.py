"""Strengths of springs: from no springs to rigid ones."""

import math
from collections.abc import Sequence

import numpy as np

from kdefrost.training.coupling import check_strength

# Closer where they take hold. The recipe's weight decay of 5e-4 pulls held weights to 0 as hard as λ = 2.5e-4 pulls
# them to the source's.
STRENGTHS = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0, math.inf)


def check_strengths(strengths: Sequence[float]):
    """Refuses what are no strengths.

    Args:
        strengths: Values of λ, infinity for weights that are frozen.

    Raises:
        ValueError: If it is no list of such numbers.
    """
    if isinstance(strengths, str) or not isinstance(strengths, (Sequence, np.ndarray)) or not len(strengths):
        raise ValueError(f"`strengths` must be a list of one or more numbers. Received: strengths={strengths!r}")
    for strength in strengths:
        if not isinstance(strength, float) or strength != math.inf:
            check_strength(strength, "strengths")


def strength_text(strength: float) -> str:
    """A strength as text: `frozen` where it is infinite."""
    return "frozen" if math.isinf(strength) else f"{strength:g}"
