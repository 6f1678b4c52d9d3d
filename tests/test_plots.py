"""The figure: its lines are the profile's numbers."""

import dataclasses

import numpy as np
import pytest
from matplotlib import pyplot

import kdefrost
from kdefrost import plots


@pytest.fixture
def profile(residual):
    cuts = tuple(kdefrost.cut_points(residual))
    rng = np.random.default_rng(0)
    trials = [
        kdefrost.Trial(cut.index, size, seed, {"accuracy": rng.uniform(), "auc": rng.uniform()}, None, 1.0)
        for cut in cuts
        for size in (4, 16)
        for seed in range(3)
        if (cut.index, size) != (1, 16)
    ]
    return kdefrost.DefrostProfile(cuts, tuple(trials), kdefrost.Objective("accuracy", "max"))


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_lines_errors_and_stars_are_the_profiles(profile):
    ax = profile.plot()
    assert len(ax.containers) == 2
    for container, size in zip(ax.containers, (4, 16), strict=True):
        mean, error = 100 * profile.mean(size), 100 * profile.standard_error(size)
        tried = np.isfinite(mean)
        line, _, (bars,) = container
        np.testing.assert_allclose(line.get_xdata(), np.flatnonzero(tried))
        np.testing.assert_allclose(line.get_ydata(), mean[tried])
        heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(heights, 2 * error[tried])
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    assert [star.get_xdata()[0] for star in stars] == [profile.best_cut(size).index for size in (4, 16)]


def test_larger_sets_are_darker(profile):
    ax = profile.plot()
    light, dark = (np.mean(container[0].get_color()[:3]) for container in ax.containers)
    assert dark < light


def test_axes_name_units_ends_and_sizes(profile):
    ax = profile.plot()
    assert ax.get_ylabel() == "test accuracy (%)" and "cut" in ax.get_xlabel()
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks[0] == "0 (scratch)" and ticks[-1] == "pool 4 (vanilla)" and ticks[2] == "group1_block1 2"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["16", "4", "best cut\n(by test)"]


def test_given_axes_are_used_and_returned(profile):
    _, ax = pyplot.subplots()
    assert plots.plot_profile(profile, ax=ax) is ax


def test_one_seed_and_one_size_can_be_drawn(profile):
    trials = tuple(trial for trial in profile.trials if trial.seed == 0 and trial.per_class == 4)
    ax = dataclasses.replace(profile, trials=trials).plot()
    assert len(ax.containers) == 1


def test_another_metric_is_drawn_in_its_own_unit(profile):
    ax = profile.plot(metric="auc")
    assert ax.get_ylabel() == "test AUC"
    np.testing.assert_allclose(ax.containers[0][0].get_ydata(), profile.mean(4, metric="auc"))


def test_without_classes_sizes_are_of_the_whole_set(profile):
    regression = dataclasses.replace(profile, configuration={"task": {"kind": "regression"}})
    assert regression.plot().get_legend().get_title().get_text() == "training images"


def test_that_lower_is_better_is_on_the_axis(profile):
    lower = dataclasses.replace(profile, objective=kdefrost.Objective("auc", "min"))
    assert lower.plot().get_ylabel() == "test AUC (lower is better)"
    assert lower.plot(metric="accuracy").get_ylabel() == "test accuracy (%)"


def test_chosen_cuts_are_evenly_spaced_under_their_own_numbers(profile):
    cuts = tuple(cut for cut in profile.cuts if cut.index in (0, 3, 4))
    ax = dataclasses.replace(profile, cuts=cuts, trials=tuple(t for t in profile.trials if t.cut in (0, 3, 4))).plot()
    np.testing.assert_array_equal(ax.get_xticks(), [0, 1, 2])
    assert ax.get_xticklabels()[1].get_text() == "group2_block1 3"


def test_long_names_are_cut_short(profile):
    cuts = (*profile.cuts[:-2], dataclasses.replace(profile.cuts[-2], name="a" * 40), profile.cuts[-1])
    label = dataclasses.replace(profile, cuts=cuts).plot().get_xticklabels()[-2].get_text()
    assert label == "a" * 21 + "… 3"
