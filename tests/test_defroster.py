"""The defroster: which trials run, on what, and that the numbers depend on nothing else."""

import contextlib
import functools
import json
import sqlite3
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_easy, make_small

import kdefrost
from kdefrost import training
from kdefrost.cutting.features import DISK, MEMORY, RECOMPUTE, FeatureFlow
from kdefrost.cutting.surgery import segment
from kdefrost.trials import engine, tails
from kdefrost.trials import rows as draws
from kdefrost.trials.placement import Costs
from kdefrost.trials.question import Answer
from kdefrost.trials.store import read_answers

RECIPE = kdefrost.Recipe(epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def easy():
    """Sets of 8×8×1 images of three classes that differ in brightness, which no test changes."""
    return {"train": make_easy(60, 0), "test": make_easy(45, 1)}


@pytest.fixture(scope="module")
def small():
    """A sequential source of cuts 0, 1 and 2, whose tails are traced fast."""
    return make_small()


@pytest.fixture(scope="module")
def branched():
    """A source with a shortcut and, by layers, cuts 0 to 3: two tensors cross 2, with normalisations on either side."""
    keras.utils.set_random_seed(0)
    layers, inputs = keras.layers, keras.Input((8, 8, 1))
    first = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(first))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Add()([first, x])))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def run(small, easy):
    """Runs a small profile; arguments replace the defaults."""

    def profile(cuts=(1, 2), directory=None, recipe=RECIPE, source=small, **arguments):
        options = {
            name: arguments.pop(name) for name in ("memory_budget", "feature_dtype", "loss") if name in arguments
        }
        defroster = kdefrost.Defroster(source, recipe=recipe, cuts=cuts, directory=directory, **options)
        defaults = {"train": easy["train"], "test": easy["test"], "per_class": [2, 5], "seeds": 2, "verbose": False}
        return defroster.profile(**{**defaults, **arguments})

    return profile


@pytest.fixture(scope="module")
def whole(run):
    """The profile of all cuts."""
    return run(cuts="blocks")


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    """A folder in which the trials at cut 2 are finished, and which no test goes on with."""
    directory = tmp_path_factory.mktemp("finished")
    run(directory=directory, cuts=[2])
    return directory


def _scores(profile):
    return {trial.key: (trial.test, trial.validation) for trial in profile.trials}


def _at(scores, cuts):
    return {key: value for key, value in scores.items() if key[0] in cuts}


def test_every_cut_size_and_seed_is_tried_once(whole):
    wanted = {(cut, size, seed) for cut in range(3) for size in (2, 5) for seed in range(2)}
    assert {trial.key for trial in whole.trials} == wanted and len(whole.trials) == len(wanted)
    assert np.isfinite(whole.scores(5)).all() and whole.scores(5).shape == (2, 3)


def test_the_same_seeds_give_the_same_scores_whatever_ran_before(run, whole):
    assert _scores(run()) == _at(_scores(whole), {1, 2})
    part = _scores(run(cuts=[2], per_class=5, seeds=[1]))
    assert part == {key: _scores(whole)[key] for key in part} and len(part) == 1


def test_only_training_from_scratch_does_not_depend_on_the_source(run, whole, small):
    other = keras.models.clone_model(small)
    kdefrost.reinitialize(other, seed=5)
    one, another = _scores(whole), _scores(run(cuts=[0, 2], source=other))
    different = {key[0] for key in another if one[key] != another[key]}
    assert different == {2} and another.keys() == _at(one, {0, 2}).keys()


def test_the_source_is_untouched(run, residual):
    weights, config = residual.get_weights(), residual.to_json()
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers]
    run(source=residual, cuts=[3])
    assert residual.to_json() == config
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers] == nodes
    for before, after in zip(weights, residual.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_one_trial_by_the_long_way_round(run, residual, easy):
    """Split, extract, re-initialise and train by hand."""
    cut = kdefrost.cut_points(residual)[3]
    extractor, tail = kdefrost.split(residual, cut, output=3, seed=(draws.INITIALISATION, 1, 3))
    chosen = kdefrost.subset(easy["train"][1], per_class=5, seed=1)
    features = np.asarray(extractor(easy["train"][0][chosen], training=False))
    training.compile_model(tail, RECIPE)
    training.fit(tail, features, easy["train"][1][chosen], RECIPE, seed=(draws.ORDER, 1, 5))
    outputs = tail(extractor(easy["test"][0], training=False), training=False)
    expected = np.mean(np.argmax(outputs, axis=1) == easy["test"][1])
    assert run(source=residual, cuts=[3], per_class=5, seeds=[1]).scores(5) == pytest.approx(expected, abs=1e-6)


def test_an_easy_task_is_learnt(run):
    profile = run(recipe=kdefrost.Recipe(epochs=30, batch_size=16), cuts=[0], per_class=15, seeds=1)
    assert profile.mean(15) > 0.8


def test_a_later_call_runs_only_what_is_missing(run, whole, tmp_path, monkeypatch):
    first = run(directory=tmp_path, seeds=1)
    ran = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: (ran.append(1), fit(*args, **kwargs)))
    second = run(directory=tmp_path, seeds=2)
    assert len(ran) == len(first.trials) == 4 and len(second.trials) == 8
    assert second.trials == run(directory=tmp_path, seeds=2).trials and len(ran) == 4
    assert _scores(second) == _at(_scores(whole), {1, 2})


def test_an_interrupt_keeps_the_finished_trials(run, whole, tmp_path, monkeypatch):
    fit, calls = training.fit, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(directory=tmp_path)
    assert len(read_answers(tmp_path, {})) == 3
    monkeypatch.setattr(training, "fit", fit)
    assert _scores(run(directory=tmp_path)) == _at(_scores(whole), {1, 2})


def test_a_folder_of_another_configuration_is_refused(run, finished, small, easy):
    with pytest.raises(ValueError, match=r"another configuration \(recipe epochs was 3, now 4\)"):
        run(directory=finished, cuts=[2], recipe=kdefrost.Recipe(epochs=4, batch_size=8))
    with pytest.raises(ValueError, match=r"another configuration.*source was"):
        run(directory=finished, cuts=[2], source=keras.models.clone_model(small))
    with pytest.raises(ValueError, match=r"another configuration.*data test was"):
        run(directory=finished, cuts=[2], test=(easy["test"][0] + 1, easy["test"][1]))
    with pytest.raises(ValueError, match="feature_dtype was 'float32', now 'float16'"):
        run(directory=finished, cuts=[2], feature_dtype="float16")


def test_cuts_are_added_and_what_was_answered_stays_so(run, whole, tmp_path, monkeypatch):
    """One by one, in any order, and of blocks and of layers, which are counted apart."""
    first = run(directory=tmp_path, cuts=[2])
    ran, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: (ran.append(1), fit(*args, **kwargs)))
    both = run(directory=tmp_path, cuts=[0, 2])
    assert len(ran) == 4 and [trial for trial in both.trials if trial.cut == 2] == list(first.trials)
    every = run(directory=tmp_path, cuts="blocks")
    assert len(ran) == 8 and _scores(every) == _scores(whole)
    assert run(directory=tmp_path, cuts=[2]).trials == first.trials and len(ran) == 8


def test_cuts_that_are_counted_otherwise_are_others(branched, easy, tmp_path):
    """Cut 1 of the blocks lies where cut 1 of the layers does not."""
    places = {}
    for cuts in ("blocks", "layers"):
        cut = next(cut for cut in kdefrost.cut_points(branched, cuts) if cut.index == 2)
        defroster = kdefrost.Defroster(branched, recipe=RECIPE, cuts=[cut], directory=tmp_path)
        profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
        places[cut.frozen_layers] = profile.trials
    assert len(places) == len(read_answers(tmp_path, {})) == 2


def test_rounded_features_are_of_the_cuts_on_their_way(run, tmp_path):
    """In half precision those at a cut depend on the cuts before it, so one folder has trials of the same cuts."""
    run(directory=tmp_path, cuts=[1, 2], feature_dtype="float16", per_class=2, seeds=1)
    with pytest.raises(ValueError, match=r"another configuration.*cuts was"):
        run(directory=tmp_path, cuts=[2], feature_dtype="float16", per_class=2, seeds=1)


def test_the_profile_says_what_it_depends_on(finished, run):
    profile = run(directory=finished, cuts=[2])
    assert profile.configuration["recipe"]["epochs"] == 3 and profile.configuration["cuts"] == [[2, 2, "24"]]
    with contextlib.closing(sqlite3.connect(finished / "trials.sqlite")) as connection:
        about = dict(connection.execute("SELECT name, value FROM about"))
    assert json.loads(about["configuration"])["recipe"]["epochs"] == 3
    assert json.loads(about["versions"])["keras"] == keras.__version__


def test_validation_is_scored_too(run, easy):
    profile = run(validation=easy["train"], test=None, cuts=[2], seeds=1)
    assert profile.trials[0].test is None and 0 <= profile.trials[0].validation["accuracy"] <= 1
    assert profile.chosen_on == "validation" and "Validation accuracy" in profile.summary()
    both = run(validation=easy["train"], cuts=[2], seeds=1)
    assert both.trials[0].validation == profile.trials[0].validation


def test_data_sets_of_batches_are_arrays(run, whole, easy):
    batches = {name: tf.data.Dataset.from_tensor_slices(part).batch(7) for name, part in easy.items()}
    once = _scores(run(cuts=[2], **batches))
    again = {name: part.unbatch().shuffle(60).batch(9) for name, part in batches.items()}
    assert _scores(run(cuts=[2], **again)) == once
    # Other examples are drawn than of arrays, which are in an order of their own.
    assert once.keys() == _at(_scores(whole), {2}).keys()


def test_subsets_are_balanced_nested_and_seeded():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    small, large, other = (kdefrost.subset(labels, size, seed) for size, seed in ((3, 1), (9, 1), (9, 2)))
    np.testing.assert_array_equal(np.bincount(labels[large]), 9)
    assert set(small) < set(large) and set(large) != set(other)


def test_the_plan_leaves_out_what_is_finished(small, easy, finished):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], directory=finished)
    plan = defroster.plan(easy["train"], test=easy["test"], per_class=[2, 5], seeds=3)
    assert [question.key for question in plan.questions] == [(2, 2, 2), (2, 5, 2)]


def test_the_plan_does_not_depend_on_weights_that_are_yet_to_be_trained(small, easy, finished):
    untrained = keras.models.clone_model(small)
    kdefrost.reinitialize(untrained, seed=5)
    given = {"train": easy["train"], "test": easy["test"], "per_class": [2, 5], "seeds": 3, "trained": False}
    defroster = kdefrost.Defroster(untrained, recipe=RECIPE, cuts=[2], directory=finished)
    assert [question.key for question in defroster.plan(**given).questions] == [(2, 2, 2), (2, 5, 2)]
    with pytest.raises(ValueError, match=r"another configuration \(source was"):
        defroster.plan(**{**given, "trained": True})
    with pytest.raises(ValueError, match="recipe epochs was 3, now 9"):
        kdefrost.Defroster(untrained, recipe=kdefrost.Recipe(epochs=9), cuts=[2], directory=finished).plan(**given)


def test_the_profile_is_of_what_was_asked_for(run, finished):
    profile = run(directory=finished, cuts=[2], seeds=1, per_class=5)
    assert [trial.key for trial in profile.trials] == [(2, 5, 0)]


def test_a_diverged_training_is_told(run, capsys):
    recipe = kdefrost.Recipe(epochs=2, learning_rate=1e30, weight_decay=1.0)
    run(cuts=[2], recipe=recipe, per_class=5, seeds=1)
    assert "Training diverged at cut 2, 5 per class, seed 0" in capsys.readouterr().out


def _question(plan, key):
    return next(question for question in plan.questions if question.key == key)


def test_the_plan_counts_what_would_run(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[0, 4])
    plan = defroster.plan(easy["train"], test=easy["test"], per_class=[2, 5], seeds=3)
    assert len(plan.questions) == 12 and plan.task.units == 3 and plan.evaluated == 45
    used = np.concatenate([kdefrost.subset(easy["train"][1], 5, seed) for seed in range(3)])
    assert plan.trained == len(np.unique(used))
    assert plan.feature_bytes(plan.cuts[1]) == 4 * 64 * (plan.trained + 45)
    # Three classes, five images of each, three epochs, forward and twice that backward.
    whole = plan.cuts[0].multiply_adds
    scratch = _question(plan, (0, 5, 0))
    assert plan.training_flops(scratch) == 3 * 2 * whole * 5 * 3 * 3
    assert plan.flops(scratch) == plan.training_flops(scratch) + 2 * whole * 45


BAD = {
    "too many per class": ({"per_class": 21}, r"`per_class` must be at most 20, .* of class 0"),
    "zero per class": ({"per_class": 0}, r"`per_class` must be whole numbers, at least 1"),
    "no size": ({"per_class": []}, r"`per_class` must be whole numbers"),
    "no test sample": ({"test_per_class": 0}, r"`test_per_class` must be whole numbers, at least 1"),
    "budget in words": ({"memory_budget": "2 GiB"}, r"`memory_budget` must be a whole number of bytes"),
    "features of other numbers": ({"feature_dtype": "int8"}, r"`feature_dtype` must be one of float32, float16, bf"),
    "zero seeds": ({"seeds": 0}, r"`seeds` must be a number of repeats"),
    "negative seed": ({"seeds": [-1]}, r"`seeds` must be"),
    "nothing to score on": ({"test": None}, r"`test`, `validation` or both"),
    "lengths differ": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros(2, int))}, r"`test` must have as many labels"),
    "empty": ({"test": (np.zeros((0, 8, 8, 1)), np.zeros(0, int))}, r"`test` must have .* at least one"),
    "labels not whole": ({"test": (np.zeros((3, 8, 8, 1)), np.full(3, 0.5))}, r"Labels of `test` must be whole"),
    "one-hot labels": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros((3, 3), int))}, r"Labels of `test` must be whole"),
    "label too large": (
        {"test": (np.zeros((3, 8, 8, 1)), np.array([0, 1, 3]))},
        r"`test` must be from 0 to 2, for 3 classes",
    ),
    "label negative": (
        {"test": (np.zeros((3, 8, 8, 1)), np.array([0, -1, 2]))},
        r"`test` must be from 0 to 2, for 3 classes",
    ),
    "other images": ({"test": (np.zeros((3, 9, 9, 1)), np.zeros(3, int))}, r"shape \(9, 9, 1\), but the source takes"),
    "not a pair": ({"test": np.zeros((3, 8, 8, 1))}, r"`test` must be a pair"),
    "last class without examples": ({"classes": 4, "per_class": 1}, r"Class 3 has no example"),
    "class without examples": (
        {"train": (np.zeros((4, 8, 8, 1)), np.array([0, 0, 2, 2])), "per_class": 1},
        r"Class 1 has no example",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input(run, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(**arguments)


def test_an_unbatched_data_set_is_refused(run, easy):
    with pytest.raises(ValueError, match="Dataset of batches"):
        run(test=tf.data.Dataset.from_tensor_slices(easy["test"]))


def _graph_of(model):
    return [type(layer).__module__.split(".")[0] for layer in model.layers]


@pytest.mark.parametrize(("network", "cut"), [("residual", 6), ("branched", 0), ("branched", 2)])
def test_the_best_model_scores_what_the_profile_says(request, easy, network, cut):
    source = request.getfixturevalue(network)
    defroster = kdefrost.Defroster(source, recipe=RECIPE, cuts=[kdefrost.cut_points(source, "layers")[cut]])
    profile = defroster.profile(**easy, per_class=[2, 5], seeds=2, verbose=False)
    for size in (2, 5):
        model = defroster.best_model(profile, per_class=size)
        outputs = model.predict(easy["test"][0], batch_size=7, verbose=0)
        accuracy = np.mean(outputs.argmax(axis=1) == easy["test"][1])
        assert accuracy == profile.best_trial(size).test["accuracy"]
        assert model.input_shape == source.input_shape and model.output_shape == (None, 3)
        assert set(_graph_of(model)) == {"keras"}


def test_a_tail_that_is_not_kept_is_trained_again_to_the_same_scores(small, easy, tmp_path, monkeypatch):
    arguments = {"per_class": 5, "seeds": 2, "verbose": False}
    first = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path)
    kept = first.best_model(first.profile(**easy, **arguments), per_class=5)
    fits = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: (fits.append(1), fit(*args, **kwargs)))
    later = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path)
    profile = later.profile(**easy, **arguments)
    from_disk = later.best_model(profile, per_class=5)
    assert not fits
    (tmp_path / "tail-5.npz").unlink()
    again = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path)
    again.profile(**easy, **arguments)
    trained_again = again.best_model(profile, per_class=5, verbose=False)
    assert len(fits) == 1
    x = easy["test"][0]
    for model in (from_disk, trained_again):
        np.testing.assert_allclose(model(x), kept(x), atol=1e-6)


def test_the_best_model_needs_the_data_and_its_own_profile(small, plain, easy):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile(**easy, per_class=2, seeds=1, verbose=False)
    with pytest.raises(ValueError, match="Call `profile` with the data first"):
        kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).best_model(profile, per_class=2)
    other = kdefrost.Defroster(plain, recipe=RECIPE, cuts=[1])
    other.profile(**easy, per_class=2, seeds=1, verbose=False)
    with pytest.raises(ValueError, match=r"`profile` is not of this .* had another source and cuts"):
        other.best_model(profile, per_class=2)
    x, y = easy["train"]
    defroster.profile((x, 2 - y), test=easy["test"], per_class=2, seeds=1, verbose=False)
    with pytest.raises(ValueError, match="had another data"):
        defroster.best_model(profile, per_class=2)


def test_features_are_let_go_before_those_of_the_next_cut_are_made(run, branched, monkeypatch):
    advance, alive = FeatureFlow.advance, []

    def watched(flow, cut, place, on_progress):
        before = [weakref.ref(part) for part in flow.features["train"]]
        advance(flow, cut, place, on_progress)
        if cut.index in (2, 3):
            alive.append(any(part() is not None for part in before))

    monkeypatch.setattr(FeatureFlow, "advance", watched)
    run(source=branched, cuts=kdefrost.cut_points(branched, "layers")[1:], per_class=5, seeds=1)
    assert alive == [False, False]


class _MadeUp:
    """Ends trials in an order of its own, with scores of its own."""

    def __init__(self, scores):
        self.scores = scores

    def release(self):
        pass

    def run(self, assignments, on_progress):
        questions = {assignment.question.key: assignment.question for assignment in assignments}
        assert questions.keys() == self.scores.keys()
        for key, score in self.scores.items():
            yield Answer(questions[key], {"accuracy": score}, None, 1.0), [np.array(score)]


def test_the_best_tail_is_kept_in_whatever_order_trials_end(residual, easy, monkeypatch):
    # When cut 4 has been tried with both seeds, cut 2 has been with one, and leads.
    runner = _MadeUp({(2, 5, 0): 0.9, (4, 5, 0): 0.6, (4, 5, 1): 0.6, (2, 5, 1): 0.1})
    monkeypatch.setattr(engine, "make_executor", lambda *_: contextlib.nullcontext(runner))
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[2, 4])
    profile = defroster.profile(**easy, per_class=5, seeds=2, verbose=False)
    assert profile.best_cut(5).index == 4
    assert defroster._tails.find(profile.best_trial(5)) == [np.array(0.6)]


def _costs_for(place: str):
    """Costs under which all that exceeds the memory budget goes to one place."""
    costs = Costs(compute=float(place == DISK), write=0.1, read=0.0, read_held=0.0)
    return lambda *_: lambda *_: costs


@pytest.fixture(scope="module")
def run_branched(run, branched):
    """Runs a profile of all cuts between layers."""
    cuts = kdefrost.cut_points(branched, "layers")[1:]
    return functools.partial(run, source=branched, cuts=cuts, per_class=5, seeds=1)


@pytest.fixture(scope="module")
def in_memory(run_branched):
    """The scores of a profile whose features are all in memory."""
    return _scores(run_branched())


@pytest.mark.parametrize("place", [DISK, RECOMPUTE])
def test_the_memory_budget_changes_no_score(run_branched, in_memory, place, monkeypatch):
    monkeypatch.setattr(engine, "measured_costs", _costs_for(place))
    # For nothing, or for the features at cut 3 only.
    for budget in (0, 50_000):
        assert _scores(run_branched(memory_budget=budget)) == in_memory


def test_the_plan_says_where_features_are_held(residual, easy, monkeypatch):
    def plan(place, **options):
        monkeypatch.setattr(engine, "measured_costs", _costs_for(place))
        return kdefrost.Defroster(residual, recipe=RECIPE, **options).plan(**easy, per_class=5, seeds=1)

    again = plan(RECOMPUTE, memory_budget=0)
    assert {again.held_at(cut) for cut in again.cuts} == {again.cuts[0]}
    # The whole model forward, and the tail backward.
    tail = again.cuts[3].tail_multiply_adds
    whole = again.cuts[3].multiply_adds
    assert again.training_flops(_question(again, (3, 5, 0))) == 2 * (whole + 2 * tail) * 15 * 3
    on_disk = plan(DISK, memory_budget=0)
    assert on_disk.places == {0: MEMORY, 1: DISK, 2: DISK, 3: DISK, 4: DISK}
    assert on_disk.training_flops(_question(on_disk, (3, 5, 0))) == 2 * 3 * tail * 15 * 3
    for options in ({}, {"memory_budget": 10**6}):
        roomy = plan(RECOMPUTE, **options)
        assert [roomy.held_at(cut) for cut in roomy.cuts] == list(roomy.cuts)


def test_features_in_half_precision_teach_the_same(run, residual):
    def scores(**options):
        return run(source=residual, cuts=[3], per_class=5, **options).scores(per_class=5)

    exact = scores()
    for dtype in ("float16", "bfloat16"):
        assert np.abs(scores(feature_dtype=dtype) - exact).max() < 0.15
    assert np.abs(scores(seeds=[5, 6]) - exact).max() > 0.15


def test_batch_norm_of_tails_keeps_up_with_few_steps(easy):
    """With Keras's own momentum the statistics would stay near their start, and the answers be guesses."""
    layers = keras.layers
    slow = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(momentum=0.999),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    scores = []
    for momentum in (0.9, 0.999):
        recipe = kdefrost.Recipe(epochs=40, batch_size=64, batch_norm_momentum=momentum)
        defroster = kdefrost.Defroster(slow, recipe=recipe, cuts=[0])
        scores.append(defroster.profile(**easy, per_class=20, seeds=1, verbose=False).mean(20)[0])
    assert scores[0] > scores[1] + 0.1


def _targets(easy, make):
    return {name: (x, make(x, y)) for name, (x, y) in easy.items()}


def test_regression_chooses_the_lowest_error(small, easy):
    sets = _targets(easy, lambda x, y: x.mean(axis=(1, 2, 3)))
    recipe = kdefrost.Recipe(epochs=20, batch_size=16, learning_rate=0.003)
    defroster = kdefrost.Defroster(small, recipe=recipe, cuts="blocks")
    profile = defroster.profile(**sets, per_class=40, seeds=2, verbose=False)
    assert profile.metrics == ["mean_squared_error", "mean_absolute_error"]
    assert profile.best_cut(40).index == profile.cuts[int(profile.mean(40).argmin())].index
    model = defroster.best_model(profile, per_class=40)
    x, y = sets["test"]
    outputs = np.asarray(model(x))[:, 0]
    scores = profile.best_trial(40).test
    assert np.mean((outputs - y) ** 2) == pytest.approx(scores["mean_squared_error"], rel=1e-4)
    assert np.mean(abs(outputs - y)) == pytest.approx(scores["mean_absolute_error"], rel=1e-4)


def test_several_targets_and_labels(small, easy):
    both = _targets(easy, lambda x, y: np.stack([y / 3, -y / 3], axis=1))
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], loss="huber", metrics=["mean_absolute_error"])
    model = defroster.best_model(defroster.profile(**both, per_class=9, seeds=1, verbose=False), 9)
    assert model.output_shape == (None, 2) and model.layers[-1].activation is keras.activations.linear
    labels = _targets(easy, lambda x, y: np.stack([y > 0, y > 1], axis=1).astype(int))
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile(**labels, per_class=9, seeds=1, verbose=False)
    assert profile.metrics == ["binary_accuracy", "auc"]
    assert defroster.best_model(profile, 9).layers[-1].activation is keras.activations.sigmoid


def test_one_hot_labels_are_labels(run, whole, easy):
    one_hot = _targets(easy, lambda x, y: np.eye(3)[y])
    assert _scores(run(cuts=[2], **one_hot)) == _at(_scores(whole), {2})
    by_loss = run(cuts=[2], **one_hot, loss="categorical_crossentropy")
    np.testing.assert_allclose(by_loss.scores(5), whole.scores(5)[:, 2:])


def test_the_output_can_be_a_model(small, easy):
    head = keras.Sequential(
        [keras.Input((24,)), keras.layers.Dense(5, name="hidden"), keras.layers.Dense(3, "softmax")]
    )
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], output=head)
    profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
    assert defroster.best_model(profile, 5).get_layer("hidden").units == 5


def test_class_weights_pull_the_answers(residual, easy):
    answers = []
    for weights in ({0: 1.0, 1: 0.0, 2: 0.0}, {0: 0.0, 1: 0.0, 2: 1.0}):
        defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[4], class_weight=weights)
        profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
        answers.append(defroster.best_model(profile, 5).predict(easy["test"][0], verbose=0).argmax(axis=1))
    assert (answers[0] == 0).all() and (answers[1] == 2).all()


def test_each_seed_is_scored_on_a_balanced_test_sample_of_its_own(run, easy, monkeypatch):
    seen = []
    scores = kdefrost.Task.scores
    monkeypatch.setattr(kdefrost.Task, "scores", lambda task, y, out: (seen.append(y), scores(task, y, out))[1])
    run(cuts=[2], per_class=5, seeds=2, test_per_class=4)
    samples = [labels for labels in seen if len(labels) == 12]
    assert len(samples) == 2 and all((np.bincount(labels) == 4).all() for labels in samples)
    rows = [draws.draw_test_sample({"test": easy["test"][1]}, 4, seed) for seed in (0, 1)]
    assert not np.array_equal(*rows)
    assert draws.draw_test_sample({"test": easy["test"][1]}, None, 0) is None
    # No more than the smallest class has.
    assert len(draws.draw_test_sample({"test": easy["test"][1]}, 5000, 0)) == 45


def test_weights_of_classes_are_of_the_trials_own_set(small, easy):
    """The same trial with the same weights, whichever other seeds run."""
    x, y = easy["train"]
    few = np.concatenate([np.flatnonzero(y == 0)[:5], np.flatnonzero(y > 0)])
    scores = []
    for seeds in (1, [0, 1, 2]):
        defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], class_weight="balanced")
        profile = defroster.profile((x[few], y[few]), easy["test"], per_class=4, seeds=seeds, verbose=False)
        scores.append(_scores(profile)[2, 4, 0])
    assert scores[0] == scores[1]


def test_frozen_layers_that_run_again_do_not_drop_out():
    layers = keras.layers
    source = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dropout(0.5),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    cuts = kdefrost.cut_points(source)
    frozen = segment(source, cuts[0], cuts[2])
    whole = tails._in_a_row(frozen, kdefrost.split(source, cuts[2], output=3, seed=0)[1])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(whole(x, training=True), whole(x, training=False))


def test_a_model_built_again_goes_on_in_the_same_folder(easy, tmp_path):
    """Keras numbers the names of layers as a process goes on."""
    weights = None
    for seeds in (1, 2):
        inputs = keras.Input((8, 8, 1))
        hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
        source = keras.Model(inputs, keras.layers.Dense(3)(hidden))
        weights = weights or source.get_weights()
        source.set_weights(weights)
        defroster = kdefrost.Defroster(source, recipe=RECIPE, cuts=[1], directory=tmp_path)
        profile = defroster.profile(**easy, per_class=2, seeds=seeds, verbose=False)
    assert len(profile.trials) == 2


def test_a_loss_with_other_settings_is_another_configuration(run, tmp_path):
    losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=logits) for logits in (False, True)]
    run(cuts=[2], per_class=2, seeds=1, directory=tmp_path, loss=losses[0])
    with pytest.raises(ValueError, match="task loss_settings was"):
        run(cuts=[2], per_class=2, seeds=1, directory=tmp_path, loss=losses[1])


def test_the_plan_refuses_a_folder_of_another_configuration(small, easy, finished):
    other = kdefrost.Defroster(small, recipe=kdefrost.Recipe(epochs=9), cuts=[2], directory=finished)
    with pytest.raises(ValueError, match="recipe epochs was 3, now 9"):
        other.plan(**easy, per_class=2, seeds=1)


def test_half_precision_sources_are_trained_and_scored(easy):
    for policy in ("mixed_float16", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            inputs = keras.Input((8, 8, 1))
            hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
            source = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
            defroster = kdefrost.Defroster(source, recipe=RECIPE)
            profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
            assert np.isfinite(profile.mean(5)).all()
            defroster.best_model(profile, 5)
        finally:
            keras.config.set_dtype_policy("float32")


def test_an_output_that_does_not_fit_the_labels_is_refused_before_training(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, output=keras.layers.Dense(2))
    with pytest.raises(ValueError, match=r"`output` must give one vector of 3 numbers .* it gives \(2,\)"):
        defroster.plan(**easy, per_class=2)
    with pytest.raises(ValueError, match="`class_weight` must be"):
        kdefrost.Defroster(residual, recipe=RECIPE, class_weight="blanced").plan(**easy, per_class=2)


def test_targets_that_make_the_training_diverge_are_told(small, easy, capsys):
    sets = _targets(easy, lambda x, y: 1e4 * x.mean(axis=(1, 2, 3)))
    kdefrost.Defroster(small, recipe=RECIPE, cuts=[0]).profile(**sets, per_class=40, seeds=1, verbose=False)
    assert "Training diverged at cut 0, 40 per class, seed 0" in capsys.readouterr().out


def test_one_label_that_holds_or_not_is_of_two_classes(small, easy):
    sets = _targets(easy, lambda x, y: (y == 2).astype(int))
    defroster = kdefrost.Defroster(
        small, recipe=RECIPE, cuts=[2], loss="binary_crossentropy", class_weight={0: 1, 1: 2}
    )
    profile = defroster.profile(**sets, per_class=9, seeds=1, verbose=False)
    assert "9 per class: Freeze" in profile.summary()
    plan = defroster.plan(**sets, per_class=9, seeds=1)
    assert {question.key: count for question, count in plan.examples.items()} == {(2, 9, 0): 18}


@pytest.mark.parametrize("memory_budget", [2**31, 0])
def test_two_devices_give_the_profile_of_one(easy, branched, two_devices, memory_budget, monkeypatch):
    """With features that are kept, and with frozen layers that run in each step."""
    monkeypatch.setattr(engine, "measured_costs", _costs_for(RECOMPUTE))
    recipe, cut = (
        kdefrost.Recipe(epochs=3, batch_size=7, learning_rate=0.01),
        kdefrost.cut_points(branched, "layers")[2],
    )
    profiles, models = [], []
    for strategy in (None, two_devices):
        options = {"metrics": ["sparse_categorical_crossentropy", "accuracy"], "memory_budget": memory_budget}
        defroster = kdefrost.Defroster(branched, recipe=recipe, cuts=[cut], strategy=strategy, **options)
        profiles.append(defroster.profile(**easy, per_class=[5], seeds=1, verbose=False))
        models.append(defroster.best_model(profiles[-1], 5))
    name = "sparse_categorical_crossentropy"
    one, two = ([trial.test[name] for trial in profile.trials] for profile in profiles)
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert models[1].to_json() == models[0].to_json() and '"synchronized": false' in models[1].to_json()
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    assert all(isinstance(weight.value, tf.Variable) for weight in models[1].weights)
    images = easy["test"][0]
    np.testing.assert_allclose(models[1](images), models[0](images), atol=1e-4)


def test_without_a_strategy_that_of_the_scope_trains(run, two_devices, monkeypatch):
    used, fit = [], training.fit
    monkeypatch.setattr(
        training,
        "fit",
        lambda model, *args, **kwargs: (used.append(model.distribute_strategy), fit(model, *args, **kwargs)),
    )
    with two_devices.scope():
        run(cuts=[2], per_class=2, seeds=1)
    assert used == [two_devices]


def test_what_is_no_strategy_is_refused_at_once(residual):
    with pytest.raises(ValueError, match=r"`strategy` must be a tf.distribute.Strategy or None.*'GPU:0'"):
        kdefrost.Defroster(residual, strategy="GPU:0")
