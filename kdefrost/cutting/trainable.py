"""Which cuts have a tail that can be made: of layers that can be copied, because it trains."""

import warnings
from collections.abc import Sequence

import keras

from kdefrost.cutting.copying import try_to_copy
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cuttable, find
from kdefrost.cutting.layers import Uncopyable
from kdefrost.cutting.output import output_position


def trainable_cuts(model: keras.Model, cuts: Sequence[Cut]) -> list[Cut]:
    """Leaves out the cuts after which some layer cannot be copied, with a warning that says why.

    The frozen layers before a cut need not be copied.

    Args:
        model: The model.
        cuts: Cuts of it.

    Returns:
        The cuts that are left; the last one of a model is always among them.
    """
    left, reason = _split_by_reason(model, cuts)
    out = [str(cut.index) for cut in cuts if cut not in left]
    if out:
        warnings.warn(f"{_cuts_text(out)} left out, because what follows must train. {reason}", stacklevel=3)
    return left


def check_trainable(model: keras.Model, cuts: Sequence[Cut]):
    """Refuses cuts after which some layer cannot be copied.

    Args:
        model: The model.
        cuts: Cuts of it.

    Raises:
        ValueError: If there are such; the error is an `Uncopyable`.
    """
    left, reason = _split_by_reason(model, cuts)
    if len(left) < len(cuts):
        raise reason


def _split_by_reason(model: keras.Model, cuts: Sequence[Cut]) -> tuple[list[Cut], Uncopyable | None]:
    """The cuts that have a tail, and why the others have none."""
    graph = cuttable(model, cuts[-1].features)
    for call in reversed(graph.calls[: output_position(graph)]):
        try:
            try_to_copy(call)
        except Uncopyable as error:
            # What lies before this one is after no cut that is left.
            return [cut for cut in cuts if call not in graph.between(find(graph, cut), graph.outputs)], error
    return list(cuts), None


def _cuts_text(indices: list[str]) -> str:
    if len(indices) == 1:
        return f"Cut {indices[0]} is"
    return f"Cuts {indices[0]} to {indices[-1]} are" if len(indices) > 2 else f"Cuts {' and '.join(indices)} are"
