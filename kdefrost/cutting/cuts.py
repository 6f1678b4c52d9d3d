"""Where a model can be cut, and the models on both sides of a cut.

A cut is a set of tensors that separates the model's input from its output. Cuts come from
the graph of layer calls, not from the list `model.layers`, in which parallel branches
interleave and nested models hide their layers. Nothing here changes the model that it is
given: both sides of a cut are new models of new layers.
"""

import dataclasses
import difflib
import math
from collections.abc import Sequence

import keras
import numpy as np

from kdefrost.cutting.cut import Cut, CutList
from kdefrost.cutting.ends import check_ends
from kdefrost.cutting.graph import Call, Graph, Tensor
from kdefrost.cutting.output import output_position, read_output

_RANDOM = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


def cut_points(
    model: keras.Model, cuts: "str | int | Sequence[int | str | Cut]" = "blocks", features: bool | None = None
) -> CutList:
    """Lists the places at which a model can be cut.

    Models that are nested in the model are opened up. Between two layers with kernels lie
    often several places that one tensor alone crosses (after a convolution, its
    normalisation, its activation). One cut stands for them: at the output of a merge of
    branches where there is one, else at the last tensor before the next kernel. The last
    cut lies right before the output layer, or at the end of a model that ends in features.

    The output layer is the last layer with a kernel, if all goes through it, one vector of an
    example comes out, and it is dense without activation or of one unit, with nothing after
    it but other units or another shape; or if the model ends in a softmax or sigmoid. What ends
    otherwise, as in a dense layer with a ReLU or in `UnitNormalization`, ends in features. The
    printed list says which was taken; logits and an embedding without activation look alike.

    Args:
        model: A functional or sequential Keras model with one input and one output. A layer
            that it calls several times is counted at each call; where some calls lie before
            a cut and some after it, the extractor and the tail each have a copy.
        cuts: `"blocks"` for every place that a single tensor crosses; `"layers"` for one
            after every layer with a kernel, also inside residual blocks and parallel
            branches, where several tensors cross; a number to take so many of the blocks,
            spread evenly by the training cost that they leave, both ends among them; or a
            list of cuts, of the blocks' indices, or of layer names of either.
        features: Whether the model ends in features, all of which stay, and a new output layer
            comes after them; `False` where its last layer with a kernel is the output layer,
            which is trained anew at every cut. By default it is concluded, or as a list of cuts has it.

    Returns:
        A list of `Cut`, from the input to the output; printed, it is a table.

    Raises:
        ValueError: If the model cannot be cut, `cuts` names one that does not exist, or `features` is False of
            a model that can have no output layer.

    Example:

    >>> [cut.name for cut in kdefrost.cut_points(kdefrost.wide_resnet(10, 1))]
    ['image', 'conv1', 'group1_block1', 'group2_block1', 'pool']
    """
    graph = cuttable(model, _features_of(cuts) if features is None else features)
    if isinstance(cuts, str) and cuts == "layers":
        return _describe(graph, _places(graph, single=False))
    every = _describe(graph, _places(graph, single=True))
    if isinstance(cuts, str) and cuts == "blocks":
        return every
    if isinstance(cuts, (int, np.integer)) and not isinstance(cuts, bool):
        return _spread(every, int(cuts))
    if isinstance(cuts, str) or not isinstance(cuts, Sequence):
        raise ValueError(
            f'`cuts` must be "blocks", "layers", a number, or a list of indices or layer names. Received: {cuts!r}'
        )
    return _pick(graph, every, cuts)


def calls_before(model: keras.Model, layers: Cut | int) -> list[Call]:
    """Lists the layer calls before a cut.

    Args:
        model: The model.
        layers: A cut of the model; or the number of layers with kernels, those of the output included,
            that lie before the place.

    Returns:
        The calls, in an order in which they can be computed.

    Raises:
        ValueError: If there is no such cut, or there are not as many layers.
    """
    graph = Graph(model)
    if isinstance(layers, Cut):
        return graph.between(graph.inputs, find(graph, layers))
    places = [tensors for _, tensors in _places(graph, single=False)]
    every = sum(bool(call.kernels) for call in graph.calls)
    if not 0 <= layers <= every:
        raise ValueError(
            f"`layers` must be from 0 to {every}, the number of layers with kernels. Received: layers={layers}"
        )
    # After the output layer there is no cut.
    return graph.between(graph.inputs, [*places, graph.outputs][min(layers, len(places))])


def cuttable(model, features: bool | None = None) -> Graph:
    """Reads the graph of a model that can be cut.

    Args:
        model: The model.
        features: As for `cut_points`.

    Returns:
        Its `Graph`, whose `features` is known.

    Raises:
        ValueError: If it has several inputs or outputs, takes inputs of any size, or has no layer with weights; or
            if `features` does not fit.
    """
    graph = Graph(model)
    check_ends(graph)
    if None in graph.inputs[0].shape[1:]:
        raise ValueError(
            f"`model` must take inputs of one size, but it takes {graph.inputs[0].shape}. Give it one: inputs = "
            "keras.Input((height, width, channels)); model = keras.Model(inputs, model(inputs))."
        )
    if not any(call.kernels for call in graph.calls):
        raise ValueError(f"`model` has no layer with weights: there is nothing to freeze. Received: {model.name}")
    graph.features = read_output(graph, features)
    return graph


def _features_of(cuts) -> bool | None:
    """What a list of cuts has for `features`; `None` of anything else."""
    listed = isinstance(cuts, Sequence) and not isinstance(cuts, str)
    return next((cut.features for cut in cuts if isinstance(cut, Cut)), None) if listed else None


def _places(graph: Graph, single: bool) -> list[tuple[int, list[Tensor]]]:
    """One `(position, crossing tensors)` for each number of frozen kernels; with `single` where one tensor crosses."""
    crossing, places, frozen = graph.crossing(), {}, 0
    for position in range(output_position(graph) + 1):
        places.setdefault(frozen, []).append((position, crossing[position]))
        if position < len(graph.calls):
            frozen += bool(graph.calls[position].kernels)
    chosen = [_representative(graph, group, last=frozen == max(places)) for frozen, group in places.items()]
    return [place for place in chosen if not single or len(place[1]) == 1]


def _representative(graph: Graph, places: list, last: bool) -> tuple[int, list[Tensor]]:
    """The one of several places with the same kernels before them that stands for all."""
    if places[0][0] == 0:
        return places[0]
    # What is random in training belongs to the tail that trains.
    while len(places) > 1 and isinstance(graph.calls[places[-1][0] - 1].operation, _RANDOM):
        places = places[:-1]
    single = [place for place in places if len(place[1]) == 1]
    merges = [place for place in single if len(graph.calls[place[0] - 1].inputs) > 1]
    if merges and not last:
        return merges[-1]
    return (single or places)[-1]


def _describe(graph: Graph, places: list[tuple[int, list[Tensor]]]) -> CutList:
    layers = sum(bool(call.kernels) for call in graph.calls) + graph.features
    params, multiply_adds = _params(graph.calls), sum(call.multiply_adds for call in graph.calls)
    cuts = CutList()
    for index, (position, tensors) in enumerate(places):
        before = graph.calls[:position]
        cuts.append(
            Cut(
                index=index,
                name=_place_name(before[-1] if before else None, tensors),
                tensors=tuple(tensor.reference for tensor in tensors),
                shapes=tuple(tensor.shape[1:] for tensor in tensors),
                frozen_layers=sum(bool(call.kernels) for call in before),
                layers=layers,
                frozen_params=_params(before),
                params=params,
                tail_multiply_adds=sum(call.multiply_adds for call in graph.calls[position:]),
                multiply_adds=multiply_adds,
                features=graph.features,
            )
        )
    return cuts


def _place_name(last: Call | None, tensors: list[Tensor]) -> str:
    """The layer that makes the one tensor that crosses, or else the last layer before the cut."""
    name, call, _ = tensors[0].reference if len(tensors) == 1 or last is None else last.outputs[0].reference
    return f"{name}:{call + 1}" if call else name


def _params(calls: list[Call]) -> int:
    """Number of weights of the layers that are called, each once."""
    weights = {id(weight): weight for call in calls for weight in getattr(call.operation, "weights", [])}
    return sum(math.prod(weight.shape) for weight in weights.values())


def _pick(graph: Graph, every: CutList, wanted: Sequence[int | str | Cut]) -> CutList:
    """The cuts of a list, in their order."""
    if not wanted:
        raise ValueError("`cuts` must name at least one cut. Received an empty list.")
    if all(isinstance(cut, Cut) for cut in wanted):
        for cut in wanted:
            find(graph, cut)
            if cut.features not in (None, graph.features):
                raise ValueError(
                    f"`features` must be what the cuts have, all alike. Received: features={graph.features} for cut "
                    f"{cut.index} (`{cut.name}`), which has features={cut.features}; take cuts of cut_points(model, "
                    f"features={graph.features})."
                )
        known = {dataclasses.replace(cut, features=graph.features) for cut in wanted}
        return CutList(sorted(known, key=lambda cut: cut.index))
    chosen = {_look_up(every, word).index for word in wanted}
    return CutList(every[index] for index in sorted(chosen))


def find(graph: Graph, cut: Cut) -> list[Tensor]:
    """Finds the tensors of a graph that cross a cut.

    Args:
        graph: The graph of the model that the cut is from.
        cut: The cut.

    Returns:
        The tensors.

    Raises:
        ValueError: If it is not a cut of that model.
    """
    by_reference = {tensor.reference: tensor for tensor in graph.tensors}
    found = [by_reference.get(reference) for reference in cut.tensors]
    if any(t is None or t.shape[1:] != shape for t, shape in zip(found, cut.shapes, strict=True)):
        raise ValueError(f"Cut {cut.index} (`{cut.name}`) is not a cut of this model; take one of its cut_points.")
    return found


def _spread(every: CutList, count: int) -> CutList:
    """So many cuts, evenly spaced in the training cost that they leave, both ends among them."""
    if count < 2:
        raise ValueError(f"`cuts` as a number must be at least 2, for the two ends. Received: cuts={count}")
    if count >= len(every):
        return every
    inner, chosen = list(every[1:-1]), [every[0], every[-1]]
    for share in np.linspace(every[0].tail_share, every[-1].tail_share, count)[1:-1]:
        nearest = min(inner, key=lambda cut: abs(cut.tail_share - share))
        inner.remove(nearest)
        chosen.append(nearest)
    return CutList(sorted(chosen, key=lambda cut: cut.index))


def _look_up(every: CutList, wanted: int | str) -> Cut:
    """The cut with an index or a layer name."""
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer, str)):
        raise ValueError(
            f"Each of `cuts` must be an index or a layer name, or each a `Cut` of cut_points. Received: {wanted!r}"
        )
    by_key = {key: cut for cut in every for key in (cut.index, cut.name)}
    if wanted in by_key:
        return by_key[wanted]
    if isinstance(wanted, str):
        near = difflib.get_close_matches(wanted, [cut.name for cut in every], n=3, cutoff=0.0)
        nearest = ", ".join(f"`{name}` ({by_key[name].index})" for name in near)
    else:
        near = sorted(every, key=lambda cut: abs(cut.index - wanted))[:2]
        nearest = ", ".join(f"{cut.index} (`{cut.name}`)" for cut in sorted(near, key=lambda cut: cut.index))
    raise ValueError(f"There is no cut {wanted!r}: they run from 0 to {every[-1].index}. The nearest: {nearest}.")
