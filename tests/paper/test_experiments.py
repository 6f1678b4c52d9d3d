"""The paper's table, what presets make of it, and what figures have in common."""

import math

import pytest

from kdefrost.paper import FIGURES, SCALES, work_of
from kdefrost.paper.experiments import FULL, SCRATCH, Pairs, Springs, Transfer, numbers_of
from kdefrost.paper.work import Run
from kdefrost.training.recipe import Recipe

PAPER, LAPTOP, SMOKE = SCALES["paper"], SCALES["laptop"], SCALES["smoke"]


def transfers(number):
    """Source, target, sizes and repeats of a figure's profiles."""
    return [(each.source, each.target, each.per_class, each.repeats) for each in FIGURES[number].transfers]


def test_the_figures_are_drawn_from_what_the_paper_says():
    assert list(FIGURES) == [1, 3, 4, 5, 6, 7, 8, 9]
    assert transfers(1) == [
        ("ae256", "cifar10", (128,), 5),
        ("imagenet", "idc", (10_000,), 5),
        ("cifar10", "gm", (32,), 5),
        ("ae256", "cifar10", (FULL,), 5),
    ]
    assert transfers(3) == [
        ("gm", "cifar10", (2**4, 2**6, 2**8, 2**10, FULL), 20),
        ("imagenet", "idc", (500, 5000, 10_000, 50_000), 5),
    ]
    assert transfers(4) == [(source, "cifar10", (384,), 5) for source in ("isogm", "gm", "ae256")]
    assert transfers(6) == [(source, "cifar10", (FULL,), 5) for source in ("isogm", "gm", "ae1024")]
    assert transfers(7) == [
        ("isogm", "cifar10", (8, 64, 256, 1024, FULL), 5),
        ("ae4", "cifar10", (4, 16, 64, 256, 512), 5),
        ("ae32", "cifar10", (64, 128, 256, 384, 512), 5),
        ("ae256", "cifar10", (128, 256, 512, 2048, FULL), 5),
    ]
    assert FIGURES[5].springs == Springs("gm", "cifar10", layers=10, repeats=5)
    compared = {6: ("isogm", "gm", "ae1024"), 8: ("isogm", "ae4", "ae32", "ae256"), 9: ("isogm", "gm", "ae256")}
    for number, sources in compared.items():
        assert FIGURES[number].pairs == tuple(Pairs(source, "cifar10", 5) for source in sources)


def test_the_papers_preset_is_the_papers_recipe():
    for recipe in (PAPER.source, PAPER.tails, PAPER.full, PAPER.medical.recipe):
        assert recipe == Recipe(200, 128, 0.1, 0.9, 5e-4, schedule="cosine")
    assert (PAPER.model, PAPER.cuts, PAPER.compared_images) == ("wide_resnet_28_4", "blocks", 10_000)
    assert (PAPER.autoencoder.epochs, PAPER.autoencoder.warmup_epochs, PAPER.autoencoder.batch_size) == (500, 100, 256)
    assert (PAPER.medical.network, PAPER.medical.image_size, 2 * PAPER.medical.test_per_class) == (
        "ResNet18",
        224,
        10**4,
    )
    assert PAPER.holds_out == 0
    assert all(PAPER.figure(number) == figure for number, figure in FIGURES.items())


def test_a_preset_stands_in_for_names_sizes_and_repeats():
    assert LAPTOP.figure(6).transfers[2] == Transfer("ae256", "cifar10", (FULL,), 3)
    # 16, 64, 256 and 1024, of which the last is run as 256, once.
    assert LAPTOP.figure(3).transfers[0] == Transfer("gm", "cifar10", (16, 64, 256, FULL), 3)
    assert SMOKE.figure(1).transfers[2] == Transfer("digits", "gm", (4,), 2)
    assert SMOKE.figure(5).springs == Springs("gm", "digits", layers=6, repeats=2)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_sources_of_a_figure_stay_apart_and_sizes_grow_with_the_papers(scale):
    for number, paper in FIGURES.items():
        figure = scale.figure(number)
        for part in ("transfers", "pairs"):
            theirs, ours = ({each.source for each in getattr(each, part)} for each in (paper, figure))
            assert len(theirs) == len(ours)
        for transfer in figure.transfers:
            sizes = [math.inf if size is FULL else size for size in transfer.per_class]
            assert sizes == sorted(set(sizes))
    assert scale is SMOKE or scale.figure(4).transfers[0].repeats >= 3


def test_figures_share_run_folders_networks_and_pairs():
    figures = [PAPER.figure(number) for number in (3, 4, 6, 7)]
    work = work_of(figures, PAPER)
    folders = [run.folder(PAPER) for run in work.runs]
    assert len(folders) == len(set(folders))
    gm = next(run for run in work.runs if (run.source, run.target) == ("gm", "cifar10"))
    assert gm.folder(PAPER) == "gm-cifar10-wide_resnet_28_4-200epochs"
    # All images: 20 seeds for Figure 3, of which Figure 6 takes 5.
    assert dict(gm.repeats) == {16: 20, 64: 20, 256: 20, 1024: 20, FULL: 20, 384: 5}
    assert sum(run.source == SCRATCH for run in work.runs) == 1
    isogm = next(run for run in work.runs if run.source == "isogm")
    assert dict(isogm.repeats) == {384: 5, FULL: 5, 8: 5, 64: 5, 256: 5, 1024: 5}
    alone = [len(work_of([figure], PAPER).networks) for figure in figures]
    assert len(work.networks) < sum(alone)
    eight, nine = (work_of([PAPER.figure(number)], PAPER) for number in (8, 9))
    both = work_of([PAPER.figure(8), PAPER.figure(9)], PAPER)
    assert len(both.pairs) == len(eight.pairs) + len(nine.pairs) - 10


def test_the_two_networks_of_a_pair_and_all_pairs_have_seeds_of_their_own():
    work = work_of([PAPER.figure(9)], PAPER)
    assert work.networks == tuple(
        dict.fromkeys(
            network
            for source in ("isogm", "gm", "ae256")
            for seed in range(5)
            for network in ((source, seed), ("cifar10", 1000 + seed))
        )
    )


def test_sizes_with_as_many_seeds_are_run_in_one_call_and_all_images_by_themselves():
    run = Run("gm", "cifar10", PAPER.tails, ((16, 20), (384, 5), (64, 20), (FULL, 20)))
    assert list(run.calls()) == [([16, 64], 20), ([384], 5), ([FULL], 20)]


def test_figures_are_asked_for_by_their_numbers():
    assert numbers_of(["7", "3", "7"]) == [3, 7]
    assert numbers_of(["all"]) == list(FIGURES)
    words = r"`figure` \(--figure\) must be numbers of these, or all: 1 \(Diverse.*9 \(Other.*Received: 2 x"
    with pytest.raises(ValueError, match=words):
        numbers_of(["2", "3", "x"])
