"""What figures take: held to numbers by hand, and to what is refused."""

import pytest

from kdefrost.paper import SCALES
from kdefrost.paper.experiments import Figure, Pairs, Transfer
from kdefrost.paper.planning import Cost, cost_of, reductions

LAPTOP, PAPER = SCALES["laptop"], SCALES["paper"]
# Multiply-adds of Wide-ResNet-16-1 on 32×32×3 images by hand: first convolution; then three groups of two blocks.
FIRST = 32 * 32 * 9 * 3 * 16
GROUP_1 = 4 * 32 * 32 * 9 * 16 * 16
HALVES = 16 * 16 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
GROUP_2 = HALVES + 2 * 16 * 16 * 9 * 32 * 32
GROUP_3 = 8 * 8 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) + 2 * 8 * 8 * 9 * 64 * 64
OUTPUT = 64 * 10
WHOLE = FIRST + GROUP_1 + GROUP_2 + GROUP_3 + OUTPUT


def test_a_pair_and_its_networks_by_hand():
    figure = Figure(0, "", pairs=(Pairs("isogm", "cifar10", 1),))
    networks = 2 * 6 * WHOLE * LAPTOP.source.epochs * 50_000
    numbers = 3 * 32 * 32 * 16 + 2 * 16 * 16 * 32 + 8 * 8 * 64 + 64
    compared = 2 * 4000**2 * numbers + 2 * 2 * WHOLE * 4000
    cost = cost_of([figure], LAPTOP)
    assert cost.flops == pytest.approx(networks + compared, rel=1e-12)
    # Two networks, one comparison; the clone is kept in float32.
    assert cost.pieces == 3 and cost.trials == 0
    assert cost.kept == pytest.approx(60_000 * 3072 * 4 + 2 * 4 * 175_000, rel=1e-2) and cost.tails == 0


def test_a_profile_by_hand():
    """64 images of each of 10 classes for 30 epochs, three seeds, with 5,000 images to choose and 10,000 to test on."""
    cost = cost_of([Figure(0, "", (Transfer("isogm", "cifar10", (64,), 3),))], LAPTOP)
    group_2, group_3 = GROUP_2 + GROUP_3 + OUTPUT, GROUP_3 + OUTPUT
    after_3 = group_2
    after_4, after_5 = group_2 - HALVES, group_3
    after_6 = 2 * 8 * 8 * 9 * 64 * 64 + OUTPUT
    tails = WHOLE + after_3 + after_4 + after_5 + after_6 + OUTPUT
    trained = 3 * tails * (6 * 640 * 30 + 2 * 15_000)
    features = 2 * (WHOLE - OUTPUT) * (3 * 640 + 15_000)
    source = 6 * WHOLE * 5 * 50_000
    assert cost.trials == 18
    assert cost.flops == pytest.approx(trained + features + source, rel=1e-12)
    # Those at the first cut after the images.
    assert cost.features == (3 * 640 + 15_000) * 32 * 32 * 16 * 4


def test_what_figures_share_is_counted_once():
    figures = [LAPTOP.figure(number) for number in (4, 6)]
    together, alone = cost_of(figures, LAPTOP), [cost_of([figure], LAPTOP) for figure in figures]
    # The networks of three sources, and an autoencoder.
    assert sum(cost.flops for cost in alone) - together.flops > 3 * 6 * WHOLE * 5 * 50_000
    assert together.trials == sum(cost.trials for cost in alone)
    assert together == cost_of([*figures, *figures], LAPTOP)


def test_time_is_of_operations_and_of_pieces():
    cost = Cost(flops=2 * LAPTOP.rate, pieces=3) + Cost(features=5) + Cost(features=2, kept=4, tails=3)
    assert cost.seconds(LAPTOP) == pytest.approx(2 + 3 * LAPTOP.overhead)
    assert (cost.features, cost.kept, cost.tails, cost.disk) == (5, 4, 3, 7)


def test_a_preset_says_what_it_reduces():
    rows = {row[0]: row[1:] for row in reductions(LAPTOP, PAPER)}
    assert rows["network"] == ("wide_resnet_28_4", "wide_resnet_16_1")
    assert rows["cuts"] == ("blocks", "0 3 4 5 6 7") and rows["repeats"][1] == "3"
    assert "CIFAR-10" not in rows and len(reductions(PAPER, PAPER)) == 1
