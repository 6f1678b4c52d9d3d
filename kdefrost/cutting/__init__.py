"""Cutting: all of a model's surgery.

    costs            what a layer costs, and what of it is learnt to compute with, by a rule for each class
    masks            masks of padded sequences, which cross a cut as tensors do
    graph            a model's layer calls, read once: what is called with what, where one tensor crosses
    channels         which axis of a tensor has the channels
    ends             what a model must begin and end in
    output           which layer is a model's output layer, or whether it ends in features
    cut              a place between layers (`Cut`, `CutList`)
    cuts             the places at which a model can be cut (`cut_points`)
    quantization     quantised layers as layers of floats
    objects          the functions, classes and objects of the user's that a layer holds
    layers           a copy of one layer with all that it has learnt, and what stands in where there can be none
    copying          the same layer calls on other tensors, in new layers
    precision        in which numbers layers compute
    surgery          the models on both sides of a cut, between two cuts, and joined (`split`, `join`)
    initialization   He's method, layer by layer (`reinitialize`)
    trainable        which cuts have a tail that can be made
    constancy        whether features differ from example to example, told as they pass
    features         what the frozen layers make of a data set, passed from cut to cut

The source model is never changed.
"""

from kdefrost.cutting.cut import Cut, CutList
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.initialization import reinitialize
from kdefrost.cutting.surgery import join, split

__all__ = ["Cut", "CutList", "cut_points", "join", "reinitialize", "split"]
