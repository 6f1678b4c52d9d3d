"""The names of the scores, what they are of, and in words."""

from collections.abc import Sequence

from kdefrost.transferability.evidence import logme
from kdefrost.transferability.leave_one_out import nearest_mean, nearest_neighbors, ridge
from kdefrost.transferability.separation import h_score

# Of pooled features and labels.
POOLED = {
    "logme": logme,
    "h_score": h_score,
    "ridge": ridge,
    "nearest_mean": nearest_mean,
    "nearest_neighbors": nearest_neighbors,
}
TAIL_RIDGE, TANGENT_KERNEL, IMBALANCE = "tail_ridge", "tangent_kernel", "information_imbalance"
LABELS = {
    "logme": "LogME",
    "h_score": "H-score",
    "ridge": "ridge",
    "nearest_mean": "nearest mean",
    "nearest_neighbors": "nearest neighbours",
    TAIL_RIDGE: "ridge after the tail",
    TANGENT_KERNEL: "tangent kernel",
    IMBALANCE: "−imbalance to target",
}
SCORES = tuple(LABELS)
# Scores that are the share of examples that are right.
ACCURACIES = ("ridge", "nearest_mean", "nearest_neighbors", TAIL_RIDGE, TANGENT_KERNEL)


def as_scores(names: Sequence[str] | None, has_target: bool) -> tuple[str, ...]:
    """The names of the scores to compute, in the order of `SCORES`.

    Args:
        names: Those that are asked for. By default all but the tangent kernel, which takes far longer than all others.
        has_target: Whether there is a network trained on the target.

    Returns:
        The names.

    Raises:
        ValueError: If there is no such score, or the target network is missing or of no use.
    """
    if names is None:
        names = [name for name in SCORES if name != TANGENT_KERNEL and (has_target or name != IMBALANCE)]
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not listed or not names or any(name not in SCORES for name in names):
        raise ValueError(f"`scores` must be a list of one or more of {', '.join(SCORES)}. Received: scores={names!r}")
    if has_target != (IMBALANCE in names):
        raise ValueError(
            f"`target_network` must be given where `scores` has {IMBALANCE!r}, and there alone. Received: "
            f"scores={list(names)}, {'a' if has_target else 'no'} network"
        )
    return tuple(name for name in SCORES if name in names)
