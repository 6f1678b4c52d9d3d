"""Where to cut, predicted from networks under springs alone; bound where the package is put together.

Gerace et al. (2023) have no procedure that defrosts by itself and see a way to one in compliant learning: what can be
transferred hardly minds springs. Here all layers are held alike, and those that the target does not pull away from the
source are taken for those that can be frozen. How much that loses is measured in docs/compliance.md.
"""

import math

import numpy as np

from kdefrost.arguments import check_number
from kdefrost.compliance.result import ComplianceProfile
from kdefrost.cutting.cut import Cut
from kdefrost.statistics import error_over_seeds, mean_over_seeds

# Cosine distance in the middle between the source's weights, 0, and weights that know nothing of them, 1.
HALFWAY = 0.5


def harmless_strength(profile: ComplianceProfile) -> float | None:
    """The strength to which λ can be raised while the score does not fall.

    Strengths are gone through from the weakest on. The first at which the mean score, of those that choose, is below
    that without springs by more than the standard error of the paired difference ends it; of a single seed, by
    anything.

    Args:
        profile: A profile with trials without springs, and with springs of several finite strengths.

    Returns:
        The last strength before that; `None` where the weakest springs do harm already.

    Raises:
        ValueError: If there are no trials without springs.
    """
    layers, harmless = profile.counts[-1], None
    has_validation = all(trial.validation is not None for trial in profile.trials)
    cost = profile.cost(layers, "validation" if has_validation else "test")
    mean, error = mean_over_seeds(cost), np.nan_to_num(error_over_seeds(cost))
    for place, strength in enumerate(profile.strengths):
        if strength and math.isfinite(strength):
            if not mean[place] <= error[place]:
                break
            harmless = strength
    return harmless


def predicted_cut(profile: ComplianceProfile, strength: float | None = None, distance: float = HALFWAY) -> Cut | None:
    """The last cut before which all layers stay near the source where springs hold them.

    Args:
        profile: Trainings under springs, of which those with the most layers held count: let these be all before the
            output.
        strength: One of its strengths λ, finite and above 0; by default `harmless_strength`.
        distance: Cosine distance, mean over seeds, up to which a layer counts as near.

    Returns:
        One of the profile's cuts; `None` where not even the layers before the first are near, or no springs are
        harmless: then nothing is to be frozen.

    Raises:
        ValueError: If there are no springs of this strength, or `distance` is no number above 0; or, without a
            strength, no trials without springs.

    Example:

    ```python
    compliance = defroster.compliance((x, y), test=(x_test, y_test), per_class=1000, seeds=3)
    cut = compliance.predicted_cut()
    ```
    """
    check_number("distance", distance)
    if not distance > 0:
        raise ValueError(f"`distance` must be above 0. Received: distance={distance}")
    known = [each for each in profile.strengths if 0 < each < math.inf]
    if strength is not None and strength not in known:
        raise ValueError(f"`strength` must be one of {known}. Received: strength={strength!r}")
    strength = harmless_strength(profile) if strength is None else strength
    if strength is None or not profile.counts:
        return None
    layers, column = profile.counts[-1], profile.strengths.index(strength)
    strayed = [
        number
        for name, number in profile.layers.items()
        if not mean_over_seeds(profile.distances(layers, name))[column] <= distance
    ]
    free = min([*strayed, layers + 1])
    within = [cut for cut in profile.cuts if cut.frozen_layers < free]
    return within[-1] if within else None
