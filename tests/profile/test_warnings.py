"""What deserves a word: in results made by hand, each where it should be said and not where it should not."""

import dataclasses

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.card import model_card
from kdefrost.profile.evidence import chance, deepest_as_good, nothing_told_apart, score_error
from kdefrost.profile.warnings import CHECKS

SETS = ("test", "validation")
RECIPE = {"epochs": 60, "batch_size": 8, "learning_rate": 0.1}
# 3 classes of 100 test, 200 validation and 300 training images each.
FACTS = {
    "examples": {"train": 900, "validation": 600, "test": 300},
    "classes": {"train": [300] * 3, "validation": [200] * 3, "test": [100] * 3},
}
# Paired differences of which all are told apart, of three seeds.
CLEAR = np.array([[0.5, 0.6, 0.7, 0.8, 0.9]] * 3) + 1e-4 * np.eye(3, 5)
# And none: cut 3 has the best mean, cut 4 is within its error.
UNCLEAR = np.array([[0.60, 0.70, 0.65, 0.74, 0.70], [0.70, 0.62, 0.66, 0.66, 0.70], [0.66, 0.65, 0.70, 0.69, 0.68]])


@pytest.fixture
def make(residual):
    """Makes a profile from scores `(seeds, cuts)` by size, NaN where a training diverged."""
    cuts = tuple(kdefrost.cut_points(residual))

    def make(by_size, metric="accuracy", units=3, on=SETS, folds=None, facts=FACTS, **more):
        by_size = by_size if isinstance(by_size, dict) else {32: by_size}
        trials = []
        for size, scores in by_size.items():
            for row, values in enumerate(scores):
                for cut, value in zip(cuts, values, strict=False):
                    test, validation = ({metric: float(value)} if each in on else None for each in SETS)
                    block = (row,) if folds is None else (0, 0, row)
                    trials.append(kdefrost.Trial(cut.index, size, block[0], test, validation, 1.0, *block[1:]))
        configuration = {
            "source_name": "a source",
            "recipe": RECIPE,
            "task": {"kind": "classification", "units": units, "loss": "a loss"},
            "examples": 900,
            "facts": facts,
        }
        configuration["task"] |= more.pop("task", {})
        objective = kdefrost.Objective(metric, "max")
        return kdefrost.DefrostProfile(cuts, tuple(trials), objective, {**configuration, **more})

    return make


def said(profile, name):
    return [each.sentence for each in profile.warnings if each.name == name]


def with_facts(**facts):
    return {**FACTS, **facts}


def test_of_a_sound_profile_nothing_is_said(make):
    profile = make({32: CLEAR, 64: CLEAR})
    assert profile.warnings == [] and "Before you believe" not in profile.summary()
    assert profile.plot().get_title(loc="left") == ""


def test_of_a_profile_of_an_earlier_version_nothing_is_said_that_it_does_not_tell(make):
    profile = make(CLEAR, facts={})
    bare = dataclasses.replace(profile, configuration={})
    assert profile.warnings == bare.warnings == []
    assert dataclasses.replace(profile, trials=()).warnings == []


def test_diverged_trainings_by_their_scores_and_by_what_the_run_noticed(make):
    scores = CLEAR.copy()
    scores[0, 1] = np.nan
    words = "their scores say nothing of the cut. A lower learning rate than 0.1 may help."
    assert said(make(scores), "diverged") == [f"1 of 15 trainings diverged at cut 1: {words}"]
    both = with_facts(diverged=[[1, 32, 0], [3, 32, 2]])
    assert said(make(scores, facts=both), "diverged") == [f"2 of 15 trainings diverged at cuts 1 and 3: {words}"]
    undefined = with_facts(undefined=[[1, 32, 0]])
    (sentence,) = said(make(scores, facts=undefined), "diverged")
    assert sentence.startswith("The source gives NaN or infinity to 1 of 15 trainings at cut 1: ")


def test_a_training_that_came_to_no_end_is_not_called_diverged(make):
    scores = CLEAR.copy()
    scores[0, 1] = np.nan
    profile = make(scores, facts=with_facts(failed=[[1, 32, 0]]))
    (sentence,) = said(profile, "failed")
    assert sentence.startswith("1 of 15 trainings came to no end at cut 1, by an error, or because")
    assert not said(profile, "diverged")
    # Of a profile that lacks the trial nothing is said.
    assert not said(make(CLEAR, facts=with_facts(failed=[[1, 99, 0]], diverged=[[1, 99, 0]])), "failed")


def test_a_guess_by_hand(make):
    # Shares 0.6, 0.3 and 0.1 of 300.
    uneven = with_facts(classes={"test": [180, 90, 30], "train": [300] * 3})
    level = chance(make(CLEAR, facts=uneven), 32)
    assert level == (
        pytest.approx(0.6),
        pytest.approx(np.sqrt(0.6 * 0.4 / 300)),
        "naming the most frequent class each time",
    )
    level = chance(make(CLEAR, metric="balanced_accuracy", facts=uneven), 32)
    assert level[:2] == (pytest.approx(1 / 3), pytest.approx(np.sqrt(2 / 9 * (1 / 180 + 1 / 90 + 1 / 30)) / 3))
    two = with_facts(classes={"test": [40, 60], "train": [300] * 2})
    level = chance(make(CLEAR, metric="auc", units=2, facts=two), 32)
    assert level[:2] == (0.5, pytest.approx(np.sqrt(101 / (12 * 40 * 60))))
    # Each seed has a sample of its own; folds hold all examples of the size out in turn.
    sampled = chance(make(CLEAR, facts=uneven, task={"test_per_class": 50}), 32)
    assert sampled[:2] == (pytest.approx(1 / 3), pytest.approx(np.sqrt(2 / 9 / 90)))
    folds = chance(make(CLEAR, facts=uneven, on=["validation"], folds=3), 32)
    assert folds[:2] == (pytest.approx(1 / 3), pytest.approx(np.sqrt(2 / 9 / 96)))
    assert chance(make(CLEAR, facts={}), 32)[:2] == (pytest.approx(1 / 3), None)
    assert chance(make(CLEAR, metric="top_two"), 32) is None
    assert chance(make(CLEAR, task={"kind": "regression", "units": 1}), 32) is None


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auc"])
def test_the_errors_of_guesses_are_those_of_simulated_ones(make, metric):
    drawn, few = np.random.default_rng(0).random((4000, 70)), 20
    if metric == "accuracy":
        simulated = (drawn < 50 / 70).mean(axis=1)
    elif metric == "balanced_accuracy":
        simulated = ((drawn[:, :few] < 0.5).mean(axis=1) + (drawn[:, few:] < 0.5).mean(axis=1)) / 2
    else:
        # Of all pairs of one of each class, the share in the right order.
        simulated = (drawn[:, :few, None] < drawn[:, None, few:]).mean(axis=(1, 2))
    level = chance(make(CLEAR, metric=metric, units=2, facts=with_facts(classes={"test": [few, 50]})), 32)
    # Mean and deviation of 4,000 draws, within four standard errors of theirs.
    assert abs(simulated.mean() - level.score) < 4 * level.error / np.sqrt(4000)
    assert simulated.std() == pytest.approx(level.error, rel=4 / np.sqrt(8000))


def test_chance_at_all_cuts_at_some_and_at_none(make):
    # 1/3 of 300: a standard error of 2.72 points, twice that is 5.4 points above 33.3 %.
    low = CLEAR * 0 + [0.30, 0.33, 0.385, 0.34, 0.32] + 1e-4 * np.eye(3, 5)
    (sentence,) = said(make(low), "chance")
    assert sentence == (
        "Nothing is seen to be learnt with 32 images per class: the best accuracy, 38.5 %, is not two standard errors "
        "(5.4 points) above 33.3 %, what a guess scores."
    )
    assert not said(make(low), "some at chance")
    higher = low + np.array([0, 0, 0.01, 0, 0])
    (sentence,) = said(make({16: higher, 32: CLEAR}), "some at chance")
    assert sentence.startswith(
        "Cuts 0, 1, 3 and 4 do no better than guessing with 16 images per class: accuracy is not"
    )
    assert not said(make(higher), "chance")
    # Without knowing how many images there are, only what is no better than the guess itself.
    (sentence,) = said(make(higher, facts={}), "some at chance")
    assert sentence == (
        "Cuts 0, 1 and 4 do no better than guessing with 32 images per class: accuracy is not above 33.3 %, what a "
        "guess scores."
    )


def test_copies(make):
    profile = make(CLEAR, facts=with_facts(copies=[[32, "test", 12, 300], [32, "validation", 3, 600]]))
    assert said(profile, "copies") == [
        "Exact copies of images that were trained on are among the test images, 12 of 300 at most, and flatter the "
        "scores: leave them out.",
        "Exact copies of images that were trained on are among the validation images, 3 of 600 at most, and favour "
        "cuts that learn by heart: leave them out.",
    ]
    (by_folds,) = said(
        make(CLEAR, on=["validation"], folds=3, facts=with_facts(copies=[[32, "validation", 2, 32]])), "copies"
    )
    assert (
        "among those that a fold holds out, 2 of 32 at most, and flatter the scores: keep copies together" in by_folds
    )
    # Not one in two thousand moves no tenth of a percent.
    assert not said(make(CLEAR, facts=with_facts(copies=[[32, "test", 4, 10000]])), "copies")
    assert said(make(CLEAR, facts=with_facts(copies=[[32, "test", 5, 10000]])), "copies")


def test_nothing_told_apart_leads(make):
    profile = make({16: CLEAR, 32: UNCLEAR})
    assert nothing_told_apart(profile, 32) and not nothing_told_apart(profile, 16)
    assert profile.best_cut(32).index == 3
    assert profile.sentence(32) == (
        "Nothing tells these cuts apart with 32 images per class; take cut 4, it trains fastest: freeze the first 9 of "
        "10 layers, up to `pool`. There accuracy is 69 %; the best mean is 70 %, at cut 3."
    )
    assert profile.sentence(16).startswith("Freeze the first 9 of 10 layers")
    (warning,) = [each for each in profile.warnings if each.name == "not told apart"]
    assert warning.sizes == (32,) and warning.sentence.startswith("Nothing tells the cuts apart with 32 images per cl")
    # The summary says it once, where it names a cut.
    assert profile.summary().count("Nothing tells") == 1
    assert "32 per class: Nothing tells these cuts apart" in profile.summary()


def test_of_cuts_not_told_apart_none_is_taken_that_is_worse_by_more_than_a_standard_error(make):
    scores = np.array([[0.60, 0.90, 0.75, 0.74, 0.40], [0.50, 0.50, 0.78, 0.80, 0.60]])
    profile = make(scores)
    assert nothing_told_apart(profile) and profile.best_cut() == profile.cuts[3]
    assert deepest_as_good(profile) == profile.cuts[3]
    assert "take cut 3, it trains fastest of those within a standard error of the best mean: " in profile.sentence()
    assert "There accuracy is 77 %; no other mean is better." in profile.sentence()


def test_one_seed_says_nothing_of_cuts(make):
    profile = make(UNCLEAR[:1])
    assert not nothing_told_apart(profile) and not said(profile, "not told apart")
    assert profile.sentence().startswith("Freeze the first")


def test_constant_features(make):
    facts = with_facts(constant=[[1, 0.97], [2, 0.55], [4, 1.0]])
    (sentence,) = said(make(CLEAR, facts=facts), "constant features")
    assert sentence.startswith("At cuts 1 and 4 97 to 100 % of the features hardly differ from image to image, by less")
    assert not said(make(CLEAR, facts=with_facts(constant=[[1, 0.6]])), "constant features")


def test_a_set_that_is_too_small_to_choose_by(make):
    few = with_facts(examples={**FACTS["examples"], "validation": 20})
    # √(0.9 · 0.1 / 20) is 6.7 points, √(0.65 · 0.35 / 20) 10.7: more than between any two.
    assert score_error(make(CLEAR, facts=few), 0.9) == pytest.approx(np.sqrt(0.09 / 20))
    assert not said(make(CLEAR, facts=few), "small set to choose by")
    near = CLEAR * 0 + [0.5, 0.6, 0.7, 0.85, 0.9] + 1e-4 * np.eye(3, 5)
    assert said(make(near, facts=few), "small set to choose by") == [
        "20 validation images leave accuracy a standard error of 6.7 points, which is more than the best cut is from "
        "cut 3 with 32 images per class: hold out more, or choose by folds."
    ]
    (sentence,) = said(make(UNCLEAR, facts=few), "small set to choose by")
    assert "10.3 points, which is more than the best cut is from all others" in sentence
    for fine in (make(near), make(near, on=["validation"], folds=3, facts=few), make(near, metric="auc", facts=few)):
        assert not said(fine, "small set to choose by")
    # Where the test set chooses it is that which is small.
    few = with_facts(examples={"train": 900, "test": 20})
    assert said(make(near, on=["test"], facts=few), "small set to choose by")[0].startswith("20 test images leave")
    assert not said(make(near, on=["test"], facts=few, task={"test_per_class": 5}), "small set to choose by")


def test_transparency_and_small_classes(make):
    facts = with_facts(transparent=[3, 96], classes={"train": [4, 30, 2], "test": [100, 4, 100]})
    profile = make(CLEAR, facts=facts)
    (sentence,) = said(profile, "transparency")
    assert sentence.startswith("Transparency hid colours in 3 of 96 training images, and they were taken as they are s")
    assert said(profile, "small classes") == [
        "2 of 3 classes have fewer than 5 training images (fewest class 2, 2): what is found of them is chance.",
        "1 of 3 classes has fewer than 5 test images (class 1: 4): what is found of it is chance.",
    ]
    assert not said(make(CLEAR, facts=with_facts(classes={"train": [5] * 3})), "small classes")


def test_few_steps(make):
    big = {**RECIPE, "batch_size": 96}
    (sentence,) = said(make({16: CLEAR, 32: CLEAR, 33: CLEAR}, recipe=big), "few steps")
    assert sentence == (
        "An epoch is a single step with 16 and 32 images per class, and a training 60 steps: a `batch_size` below 96 "
        "gives more."
    )
    assert not said(make(CLEAR, recipe={**RECIPE, "batch_size": 95}), "few steps")
    assert "with all 900 images" in said(make({None: CLEAR}, recipe={**RECIPE, "batch_size": 900}), "few steps")[0]
    # Without classes sizes are numbers of images; one unit stands for two classes.
    numbers = {"kind": "regression", "units": 1}
    assert "with 32 images, and" in said(make(CLEAR, recipe={**RECIPE, "batch_size": 32}, task=numbers), "few steps")[0]
    label = {"kind": "multi-label", "units": 1}
    assert not said(make(CLEAR, recipe={**RECIPE, "batch_size": 63}, task=label), "few steps")
    assert said(make(CLEAR, recipe={**RECIPE, "batch_size": 64}, task=label), "few steps")


@pytest.fixture
def grave(make):
    """A profile that deserves all words but those of a guess at some cuts."""
    facts = {
        "examples": {"train": 900, "validation": 20, "test": 300},
        "classes": {"train": [300, 300, 3], "test": [100] * 3},
        "diverged": [[0, 16, 0]],
        "copies": [[16, "test", 12, 300]],
        "constant": [[1, 0.95]],
        "transparent": [5, 48],
    }
    return make({16: UNCLEAR - 0.4, 32: UNCLEAR}, facts=facts, recipe={**RECIPE, "batch_size": 60})


def test_the_most_grave_comes_first(grave):
    names = list(dict.fromkeys(each.name for each in grave.warnings))
    assert names == [name for name in CHECKS if name not in ("failed", "some at chance")]


def test_saved_and_loaded_it_says_the_same(grave, tmp_path):
    grave.save(tmp_path / "profile.json")
    assert kdefrost.DefrostProfile.load(tmp_path / "profile.json").warnings == grave.warnings


def test_they_are_in_summary_and_card_each_with_its_size(grave):
    summary, at = grave.summary(), grave.summary().index("Before you believe it:")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    cards = {size: model_card(model, grave, size) for size in (16, 32)}
    for each in grave.warnings:
        assert summary.count(f"- {each.sentence}\n") == (each.name != "not told apart")
        for size, card in cards.items():
            assert card.count(f"- {each.sentence}\n") == (not each.sizes or size in each.sizes)
    assert at < summary.index("16 per class: Nothing tells these cuts apart")


def test_a_figure_says_the_gravest_in_few_words_where_no_data_are(grave):
    ax = grave.plot()
    lines = ax.get_title(loc="left").splitlines()
    assert lines[:3] == [
        "! 1 of 30 trainings diverged",
        "! 16 per class: no cut beats guessing",
        "! 12 of 300 test images also trained on",
    ]
    left = len(grave.warnings) - 4
    assert len(lines) == 5 and lines[-1] == f"! and {left} more: see the summary"
    ax.figure.canvas.draw()
    title = ax._left_title.get_window_extent()
    assert title.y0 >= ax.get_window_extent().y1 and title.y1 <= ax.figure.bbox.y1
    assert max(len(each.short) for each in grave.warnings) < 60
