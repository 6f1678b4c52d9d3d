"""Figures of compliance: what is drawn where, and how it is called."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib import pyplot

import kdefrost
from kdefrost.compliance.agreement import Agreement
from kdefrost.compliance.figures import plot_agreement, plot_strengths

OBJECTIVE = kdefrost.Objective("accuracy", "max")


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture
def compliance():
    trials = [
        kdefrost.ComplianceTrial(
            3 if strength else 0,
            strength,
            8,
            seed,
            {"accuracy": accuracy + seed / 10},
            None,
            [distance],
            [0.5],
            [0.9],
            1.0,
        )
        for strength, accuracy, distance in ((0.0, 0.5, 1.0), (0.001, 0.6, 0.4), (1.0, 0.7, 0.1), (math.inf, 0.8, 0.0))
        for seed in (0, 1)
    ]
    return kdefrost.ComplianceProfile({"conv1": 1}, (), tuple(trials), OBJECTIVE)


def _points(ax):
    """The drawn points of each of the axes' lines, those of error bars' caps left out."""
    lines = [container.lines[0] for container in ax.containers]
    return [(line.get_xdata().tolist(), np.round(line.get_ydata(), 6).tolist()) for line in lines]


def test_two_axes_over_the_decades_with_the_ends_apart(compliance):
    ax, twin = compliance.plot()
    assert _points(ax) == [([-3.0, 0.0], [65.0, 75.0]), ([-4.0, 1.0], [55.0, 85.0])]
    assert _points(twin) == [([-3.0, 0.0], [0.4, 0.1]), ([-4.0, 1.0], [1.0, 0.0])]
    ticks = dict(zip(ax.get_xticks().tolist(), [label.get_text() for label in ax.get_xticklabels()], strict=True))
    assert ticks[-4.0] == "0" and ticks[1.0] == "frozen" and ticks[-3.0] == "$10^{-3}$"
    assert ax.get_ylabel() == "test accuracy (%)"
    assert twin.get_ylabel() == "cosine distance, first layer"
    assert ax.get_xlabel() == "strength λ of the springs on the first 3 layers"


def test_error_bars_are_standard_errors_over_seeds(compliance):
    ax, _ = compliance.plot()
    (low, high) = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(100 * np.std([0.6, 0.7], ddof=1) / math.sqrt(2))


def test_noise_does_not_fill_the_figure(compliance):
    """Scores that differ by a point are shown within ten."""
    flat = [dataclasses.replace(trial, test={"accuracy": 0.7 + trial.seed / 100}) for trial in compliance.trials]
    ax, _ = dataclasses.replace(compliance, trials=tuple(flat)).plot()
    low, high = ax.get_ylim()
    assert high - low == pytest.approx(10.0) and low < 70 and high > 71


def test_the_other_distance_and_given_axes(compliance):
    given = pyplot.subplots()[1]
    ax, twin = plot_strengths(compliance, 3, kind="euclidean", ax=given)
    assert ax is given and twin.get_ylabel().startswith("relative Euclidean distance")
    assert _points(twin)[0][1] == [0.5, 0.5]


def test_what_cannot_be_drawn(compliance):
    ends = dataclasses.replace(compliance, trials=tuple(t for t in compliance.trials if t.strength in (0.0, math.inf)))
    with pytest.raises(ValueError, match="`kind` must be one of cosine, euclidean"):
        plot_strengths(compliance, kind="angle")
    with pytest.raises(ValueError, match="nothing to draw between"):
        ends.plot()
    several = dataclasses.replace(
        compliance, trials=(*compliance.trials, dataclasses.replace(compliance.trials[2], layers=1))
    )
    with pytest.raises(ValueError, match="`layers` must say which number of held layers to draw"):
        several.plot()


def test_held_and_frozen_against_the_cut(residual_cuts):
    cuts = residual_cuts[:3]
    held, frozen = np.array([[0.5, 0.6, 0.7]] * 2), np.array([[0.5, 0.55, 0.65]] * 2)
    reported = {"reported": frozen, "choosing": frozen}
    agreements = [
        Agreement(cuts, {"reported": held - drop}, reported, strength, "test", OBJECTIVE)
        for strength, drop in ((0.1, 0.0), (1.0, 0.1))
    ]
    ax = plot_agreement(agreements)
    assert [y for _, y in _points(ax)] == [[50, 55, 65], [50, 60, 70], [40, 50, 60]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["image 0", "conv1 1", "group1_block1 2"]
    assert ax.get_ylabel() == "test accuracy (%)"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["frozen, cached\n(defrosting profile)", "held, λ = 0.1", "held, λ = 1"]
    with pytest.raises(ValueError, match="one or more of the same cuts"):
        plot_agreement([])
    with pytest.raises(ValueError, match="one or more of the same cuts"):
        plot_agreement([agreements[0], dataclasses.replace(agreements[1], cuts=cuts[:2])])
    assert len(plot_agreement(agreements * 5).containers) == 11


def test_strengths_within_a_decade_are_named_themselves(compliance):
    trials = [dataclasses.replace(t, strength=0.003) for t in compliance.trials if t.strength == 0.001]
    ends = [t for t in compliance.trials if t.strength in (0.0, math.inf)]
    ax, _ = dataclasses.replace(compliance, trials=(*trials, *ends)).plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.003", "frozen"]
