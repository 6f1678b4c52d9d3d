"""What panels of the paper's figures show on the axis of depth."""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

import kdefrost
from kdefrost.paper.panels import depth_of, downsampling, draw_sizes

CUTS = tuple(kdefrost.cut_points(kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))))


def make(cuts) -> kdefrost.DefrostProfile:
    trials = tuple(
        kdefrost.Trial(cut.index, 4, seed, {"accuracy": 0.5 + cut.index / 10 + seed / 100}, None, 1.0)
        for cut in cuts
        for seed in range(2)
    )
    return kdefrost.DefrostProfile(cuts, trials, kdefrost.Objective("accuracy", "max"), {})


def test_layers_are_counted_in_whole_numbers():
    # Of axes as narrow as those of the paper's figures, of few layers and of many.
    for stretch in (1, 5):
        cuts = tuple(dataclasses.replace(cut, frozen_layers=stretch * cut.frozen_layers) for cut in CUTS)
        ax = Figure(figsize=(2.4, 2)).add_subplot()
        draw_sizes(ax, make(cuts))
        ticks = ax.get_xticks()
        assert len(ticks) > 2 and (ticks == np.round(ticks)).all()


def test_pooling_at_the_end_is_no_downsampling():
    # Cuts after 0, 1, 3, 6 and 9 layers with kernels, of 8×8, 8×8, 8×8, 4×4 pixels and pooled.
    profile = make(CUTS)
    assert depth_of(profile).tolist() == [0, 1, 3, 6, 9]
    assert downsampling(profile) == [6]
