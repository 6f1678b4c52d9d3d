"""Where to cut, predicted from networks under springs alone; bound where the package is put together.

Gerace et al. (2023) have no procedure that defrosts by itself and see a way to one in compliant learning: what can be
transferred hardly minds springs. What that is worth, and that it costs more than the profile, is measured in
docs/compliance.md.
"""

import math

import numpy as np

from kdefrost.compliance.result import ComplianceProfile
from kdefrost.cutting.cut import Cut
from kdefrost.profile.choice import best_column


def predicted_cut(profile: ComplianceProfile, strength: float | None = None) -> Cut | None:
    """The cut before which layers can be held with the best score.

    It takes more trainings of the whole network than a defrosting profile takes in tails: to find a cut, take
    `Defroster.search`.

    Args:
        profile: Trainings with the layers before each of several cuts held, as `Defroster.compliance` has them by
            default; without springs too, if nothing is to be held where that is best.
        strength: One of its strengths λ above 0; by default the largest finite one.

    Returns:
        One of the profile's cuts, by the mean of the scores that choose: those of the validation set where there is
        one; of equal ones the last. `None` where no springs do better.

    Raises:
        ValueError: If there are no springs of this strength, none of a finite one where it is not said, or the layers
            before no cut were held.

    Example:

    ```python
    compliance = defroster.compliance((x, y), test=(x_test, y_test), per_class=1000, seeds=3)
    cut = compliance.predicted_cut(strength=1.0)
    ```
    """
    known = [each for each in profile.strengths if each > 0]
    if strength is None:
        strength = _strongest(known)
    if strength not in known:
        raise ValueError(f"`strength` must be one of {known}. Received: strength={strength!r}")
    cuts = [cut for cut in profile.cuts if cut.frozen_layers in profile.counts]
    if not cuts:
        raise ValueError(
            "The layers before no cut were held, so that no cut can be predicted: give `layers` of cuts to "
            f"`Defroster.compliance`. Received: {profile.counts} layers held"
        )
    on = "test" if any(trial.validation is None for trial in profile.trials) else "validation"
    place = profile.strengths.index(strength)
    columns = {cut: profile.scores(cut.frozen_layers, on)[:, place] for cut in cuts}
    if 0.0 in profile.strengths:
        columns = {None: profile.scores(profile.counts[0], on)[:, profile.strengths.index(0.0)], **columns}
    # A training that diverged has no number, and is the worst.
    worth = np.nan_to_num(profile.objective.sign * np.stack(list(columns.values()), axis=1), nan=-np.inf)
    return list(columns)[best_column(worth)]


def _strongest(strengths: list[float]) -> float:
    """The largest finite one of strengths above 0."""
    finite = [each for each in strengths if math.isfinite(each)]
    if not finite:
        or_frozen = ", or say `strength=math.inf` for frozen layers" if strengths else ""
        raise ValueError(
            "No springs of finite strength were trained, so that none predict a cut: give `strengths` above 0 to "
            f"`Defroster.compliance`{or_frozen}. Received: strength=None"
        )
    return max(finite)
