"""The figure: its lines are the profile's numbers."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot

import kdefrost
from kdefrost.clones.figures import plot_clones
from kdefrost.drawing import save_figure
from kdefrost.profile import figures as plots


@pytest.fixture
def profile(residual_cuts):
    cuts = residual_cuts
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


def test_scores_without_training_go_to_the_second_of_two_given_axes(profile):
    scores = {4: SimpleNamespace(names=("ridge",), mean=lambda name: np.arange(len(profile.cuts)) ** 2.0)}
    _, (above, below) = pyplot.subplots(2)
    assert plots.plot_profile(profile, ax=[above, below], scores=scores) is above
    (line,) = below.lines
    np.testing.assert_allclose(line.get_ydata() * (len(profile.cuts) - 1) ** 2, scores[4].mean("ridge"))
    for ax, given, words in ((above, scores, "two axes, the second for `scores`"), ([above, below], None, "one axes")):
        with pytest.raises(ValueError, match=f"`ax` must be {words}. Received: {np.size(ax)}"):
            plots.plot_profile(profile, ax=ax, scores=given)


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


@pytest.fixture
def pair(profile):
    """Two sources' profiles, of which the second lacks cut 0 and is otherwise better."""
    better = [
        dataclasses.replace(t, test={name: score + 1 for name, score in t.test.items()})
        for t in profile.trials
        if t.cut
    ]
    return {"isogm": profile, "gm": dataclasses.replace(profile, cuts=profile.cuts[1:], trials=tuple(better))}


def test_of_several_profiles_each_size_has_a_panel_and_each_source_a_line(pair):
    axes = plots.compare_profiles(pair)
    assert [ax.get_title() for ax in axes] == ["4 images per class", "16 images per class"]
    assert axes[0].get_ylabel() == "test accuracy (%)" and axes[1].get_ylabel() == ""
    assert axes[0].get_shared_y_axes().joined(*axes)
    for ax, size in zip(axes, (4, 16), strict=True):
        assert [container.get_label() for container in ax.containers] == ["isogm", "gm"]
        for (line, _, (bars,)), profile in zip(ax.containers, pair.values(), strict=True):
            mean, error = 100 * profile.mean(size), 100 * profile.standard_error(size)
            tried = np.isfinite(mean)
            np.testing.assert_array_equal(line.get_xdata(), np.array([cut.index for cut in profile.cuts])[tried])
            np.testing.assert_allclose(line.get_ydata(), mean[tried])
            heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
            np.testing.assert_allclose(heights, 2 * error[tried])


def test_of_several_profiles_the_best_cuts_are_filled_and_larger(pair):
    for ax, size in zip(plots.compare_profiles(pair), (4, 16), strict=True):
        lines = [container[0] for container in ax.containers]
        best = [line for line in ax.lines if str(line.get_markeredgecolor()) == "black"]
        assert [line.get_xdata()[0] for line in best] == [profile.best_cut(size).index for profile in pair.values()]
        assert [line.get_marker() for line in best] == [line.get_marker() for line in lines] == ["o", "s"]
        for line, mark in zip(lines, best, strict=True):
            assert line.get_markerfacecolor() == "white" and mark.get_markersize() > line.get_markersize()
            np.testing.assert_array_equal(mark.get_markerfacecolor(), line.get_color())
        light, dark = (np.mean(line.get_color()[:3]) for line in lines)
        assert dark < light


def test_of_several_profiles_scratch_is_a_level(pair, profile):
    axes = plots.compare_profiles(pair)
    for ax, size in zip(axes, (4, 16), strict=True):
        (level,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(level.get_ydata(), 100 * profile.mean(size)[0])
        ticks = [label.get_text() for label in ax.get_xticklabels()]
        assert ticks == [label.get_text() for label in profile.plot().get_xticklabels()]
    labels = ["isogm", "gm", "best cut\n(by test)", "scratch (cut 0)"]
    assert [text.get_text() for text in axes[-1].get_legend().get_texts()] == labels
    assert axes[0].get_legend() is None
    (ax, _) = plots.compare_profiles({"gm": pair["gm"]})
    assert not [line for line in ax.lines if line.get_linestyle() == "--"]


def test_of_several_profiles_given_axes_are_used_and_must_be_one_for_each_size(pair):
    _, axes = pyplot.subplots(2, 1)
    assert list(plots.compare_profiles(pair, axes=axes)) == list(axes)
    with pytest.raises(ValueError, match=r"`axes` must be 2, one for each size \(\[4, 16\]\). Received: 1"):
        plots.compare_profiles(pair, axes=axes[0])


def test_of_several_profiles_a_size_at_which_all_diverged_has_no_best(profile):
    diverged = tuple(
        dataclasses.replace(t, test={"accuracy": np.nan, "auc": 0.5}) if t.per_class == 4 else t for t in profile.trials
    )
    first, second = plots.compare_profiles({"gm": dataclasses.replace(profile, trials=diverged)})
    assert len(second.lines) > len(first.lines)


def test_a_figure_is_written_whole(profile, tmp_path):
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        save_figure(profile.plot().figure, tmp_path / f"profile.{ending}")
        assert (tmp_path / f"profile.{ending}").read_bytes().startswith(start)
    assert {path.name for path in tmp_path.iterdir()} == {"profile.png", "profile.svg"}


@pytest.fixture
def pictures():
    """Two rows of three images of 4×4×3 pixels, of which the second goes beyond the range of pixels."""
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    return {"cifar10": original, "gm": rng.normal(128, 200, (3, 4, 4, 3)).astype(np.float32)}


def test_pictures_lie_where_their_row_and_class_are_named(pictures):
    ax = plot_clones(pictures, ["cat", "dog", "ship"])
    (drawn,) = ax.images
    pixels = np.asarray(drawn.get_array())
    assert pixels.shape == (2 * 4 + 1, 3 * 4 + 2, 3) and drawn.get_interpolation() == "none"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cifar10", "gm"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog", "ship"]
    # Pixels lie around whole numbers: an image of four of them around its middle.
    left, right, bottom, top = drawn.get_extent()
    assert (left, top) == (-0.5, -0.5) and (right, bottom) == (13.5, 8.5)
    for row, y in zip(pictures.values(), ax.get_yticks(), strict=True):
        for image, x in zip(row, ax.get_xticks(), strict=True):
            place = pixels[int(y - 1.5) : int(y + 2.5), int(x - 1.5) : int(x + 2.5)]
            np.testing.assert_array_equal(place, np.rint(np.clip(image, 0, 255)))
    np.testing.assert_array_equal(pixels[4], 255)
    np.testing.assert_array_equal(pixels[:, [4, 9]], 255)


def test_drawing_leaves_the_images_as_they_are(pictures):
    before = pictures["gm"].copy()
    plot_clones(pictures, ["cat", "dog", "ship"])
    np.testing.assert_array_equal(pictures["gm"], before)


def test_pictures_of_one_channel_are_grey(pictures):
    grey = {name: images[..., :1] for name, images in pictures.items()}
    pixels = np.asarray(plot_clones(grey, "abc").images[0].get_array())
    np.testing.assert_array_equal(pixels[:4, :4], np.repeat(grey["cifar10"][0], 3, axis=-1))


def test_long_class_names_are_slanted_and_cut_short(pictures):
    plain = plot_clones(pictures, ["cat", "dog", "ship"])
    slanted = plot_clones(pictures, ["cat", "dog", "a" * 40])
    assert [label.get_rotation() for label in slanted.get_xticklabels()] == [45, 45, 45]
    assert [label.get_rotation() for label in plain.get_xticklabels()] == [0, 0, 0]
    assert slanted.get_xticklabels()[2].get_text() == "a" * 21 + "…"


def test_pictures_are_square_and_go_where_they_are_asked_to(pictures):
    _, ax = pyplot.subplots()
    assert plot_clones(pictures, "abc", ax=ax) is ax
    assert ax.get_aspect() == 1


def test_pictures_that_are_not_one_of_each_class_are_refused(pictures):
    for rows in ({}, {**pictures, "ae": pictures["gm"][:, :2]}, {"gm": pictures["gm"][..., :2]}):
        with pytest.raises(ValueError, match=r"`rows` must have one image for each of the 3 `classes` in every row"):
            plot_clones(rows, "abc")
    with pytest.raises(ValueError, match=r"of the 2 .*Received: \{'cifar10': \(3, 4, 4, 3\)"):
        plot_clones(pictures, "ab")
