"""The defroster: which trials run, on what, and that the numbers depend on nothing else."""

import contextlib
import json
import sqlite3

import keras
import numpy as np
import pytest
from conftest import RECIPE, scores_of

import kdefrost
from kdefrost import training
from kdefrost.trials.store import read_answers


@pytest.fixture(scope="module")
def finished(run_profile, tmp_path_factory):
    """A folder in which the trials at cut 2 are finished, and which no test goes on with."""
    directory = tmp_path_factory.mktemp("finished")
    run_profile(directory=directory, cuts=[2])
    return directory


def test_every_cut_size_and_seed_is_tried_once(whole):
    wanted = {(cut, size, seed) for cut in range(3) for size in (2, 5) for seed in range(2)}
    assert {trial.key for trial in whole.trials} == wanted and len(whole.trials) == len(wanted)
    assert np.isfinite(whole.scores(5)).all() and whole.scores(5).shape == (2, 3)


def test_the_same_seeds_give_the_same_scores_whatever_ran_before(run_profile, whole):
    assert scores_of(run_profile()) == scores_of(whole, {1, 2})
    part = scores_of(run_profile(cuts=[2], per_class=5, seeds=[1]))
    assert part == {key: scores_of(whole)[key] for key in part} and len(part) == 1


def test_only_training_from_scratch_does_not_depend_on_the_source(run_profile, whole, small):
    other = keras.models.clone_model(small)
    kdefrost.reinitialize(other, seed=5)
    one, another = scores_of(whole), scores_of(run_profile(cuts=[0, 2], source=other))
    different = {key[0] for key in another if one[key] != another[key]}
    assert different == {2} and another.keys() == scores_of(whole, {0, 2}).keys()


def test_the_source_is_untouched(run_profile, residual):
    weights, config = residual.get_weights(), residual.to_json()
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers]
    run_profile(source=residual, cuts=[3])
    assert residual.to_json() == config
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers] == nodes
    for before, after in zip(weights, residual.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_easy_task_is_learnt(run_profile):
    profile = run_profile(recipe=kdefrost.Recipe(epochs=30, batch_size=16), cuts=[0], per_class=15, seeds=1)
    assert profile.mean(15) > 0.8


def test_a_later_call_runs_only_what_is_missing(run_profile, whole, tmp_path, monkeypatch):
    first = run_profile(directory=tmp_path, seeds=1)
    ran = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: (ran.append(1), fit(*args, **kwargs)))
    second = run_profile(directory=tmp_path, seeds=2)
    assert len(ran) == len(first.trials) == 4 and len(second.trials) == 8
    assert second.trials == run_profile(directory=tmp_path, seeds=2).trials and len(ran) == 4
    assert scores_of(second) == scores_of(whole, {1, 2})


def test_an_interrupt_keeps_the_finished_trials(run_profile, whole, tmp_path, monkeypatch):
    fit, calls = training.fit, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_profile(directory=tmp_path)
    assert len(read_answers(tmp_path, {})) == 3
    monkeypatch.setattr(training, "fit", fit)
    assert scores_of(run_profile(directory=tmp_path)) == scores_of(whole, {1, 2})


def test_a_folder_of_another_configuration_is_refused(run_profile, finished, small, easy):
    with pytest.raises(ValueError, match=r"another configuration \(recipe epochs was 3, now 4\)"):
        run_profile(directory=finished, cuts=[2], recipe=kdefrost.Recipe(epochs=4, batch_size=8))
    with pytest.raises(ValueError, match=r"another configuration.*source was"):
        run_profile(directory=finished, cuts=[2], source=keras.models.clone_model(small))
    with pytest.raises(ValueError, match=r"another configuration.*data test was"):
        run_profile(directory=finished, cuts=[2], test=(easy["test"][0] + 1, easy["test"][1]))
    with pytest.raises(ValueError, match="feature_dtype was 'float32', now 'float16'"):
        run_profile(directory=finished, cuts=[2], feature_dtype="float16")


def test_cuts_are_added_and_what_was_answered_stays_so(run_profile, whole, tmp_path, monkeypatch):
    """In whatever order they come, they have the scores of a run that had them all."""
    first = run_profile(directory=tmp_path, cuts=[2])
    ran, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: (ran.append(1), fit(*args, **kwargs)))
    both = run_profile(directory=tmp_path, cuts=[0, 2])
    assert len(ran) == 4 and [trial for trial in both.trials if trial.cut == 2] == list(first.trials)
    every = run_profile(directory=tmp_path, cuts="blocks")
    assert len(ran) == 8 and scores_of(every) == scores_of(whole)
    assert run_profile(directory=tmp_path, cuts=[2]).trials == first.trials and len(ran) == 8


def test_cuts_that_are_counted_otherwise_are_others(branched, easy, tmp_path):
    """Cut 2 of the blocks lies where cut 2 of the layers does not."""
    places = {}
    for cuts in ("blocks", "layers"):
        cut = next(cut for cut in kdefrost.cut_points(branched, cuts) if cut.index == 2)
        defroster = kdefrost.Defroster(branched, recipe=RECIPE, cuts=[cut], directory=tmp_path)
        profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
        places[cut.frozen_layers] = profile.trials
    assert len(places) == len(read_answers(tmp_path, {})) == 2


def test_rounded_features_are_of_the_cuts_on_their_way(run_profile, tmp_path):
    """In half precision those at a cut depend on the cuts before it, so one folder has trials of the same cuts."""
    run_profile(directory=tmp_path, cuts=[1, 2], feature_dtype="float16", per_class=2, seeds=1)
    with pytest.raises(ValueError, match=r"another configuration.*cuts was"):
        run_profile(directory=tmp_path, cuts=[2], feature_dtype="float16", per_class=2, seeds=1)


def test_the_profile_says_what_it_depends_on(finished, run_profile):
    profile = run_profile(directory=finished, cuts=[2])
    assert profile.configuration["recipe"]["epochs"] == 3 and profile.configuration["cuts"] == [[2, 2, "24"]]
    with contextlib.closing(sqlite3.connect(finished / "trials.sqlite")) as connection:
        about = dict(connection.execute("SELECT name, value FROM about"))
    assert json.loads(about["configuration"])["recipe"]["epochs"] == 3
    assert json.loads(about["versions"])["keras"] == keras.__version__


def test_validation_is_scored_too(run_profile, easy):
    profile = run_profile(validation=easy["train"], test=None, cuts=[2], seeds=1)
    assert profile.trials[0].test is None and 0 <= profile.trials[0].validation["accuracy"] <= 1
    assert profile.chosen_on == "validation" and "Validation accuracy" in profile.summary()
    both = run_profile(validation=easy["train"], cuts=[2], seeds=1)
    assert both.trials[0].validation == profile.trials[0].validation


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


def test_the_profile_is_of_what_was_asked_for(run_profile, finished):
    profile = run_profile(directory=finished, cuts=[2], seeds=1, per_class=5)
    assert [trial.key for trial in profile.trials] == [(2, 5, 0)]


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


def test_a_loss_with_other_settings_is_another_configuration(run_profile, tmp_path):
    losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=logits) for logits in (False, True)]
    run_profile(cuts=[2], per_class=2, seeds=1, directory=tmp_path, loss=losses[0])
    with pytest.raises(ValueError, match="task loss_settings was"):
        run_profile(cuts=[2], per_class=2, seeds=1, directory=tmp_path, loss=losses[1])


def test_the_plan_refuses_a_folder_of_another_configuration(small, easy, finished):
    other = kdefrost.Defroster(small, recipe=kdefrost.Recipe(epochs=9), cuts=[2], directory=finished)
    with pytest.raises(ValueError, match="recipe epochs was 3, now 9"):
        other.plan(**easy, per_class=2, seeds=1)


def test_what_is_no_strategy_is_refused_at_once(residual):
    with pytest.raises(ValueError, match=r"`strategy` must be a tf.distribute.Strategy or None.*'GPU:0'"):
        kdefrost.Defroster(residual, strategy="GPU:0")


def _embedder():
    """Ends in a dense layer without activation: logits, or an embedding."""
    layers = keras.layers
    stack = [layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(5, name="embedding")]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack])


def test_features_of_the_source_are_kept_where_a_user_says_so(easy, tmp_path):
    source, options = _embedder(), {"per_class": 2, "seeds": 1, "verbose": False}
    defroster = kdefrost.Defroster(source, recipe=RECIPE, cuts=[2], directory=tmp_path, features=True)
    assert all(cut.features and cut.layers == 3 for cut in defroster.plan(**easy, **options).cuts)
    profile = defroster.profile(**easy, **options)
    model = defroster.best_model(profile)
    kept = model.get_layer("embedding")
    np.testing.assert_array_equal(kept.kernel, source.get_layer("embedding").kernel)
    assert model.layers[-1].kernel.shape == (5, 3)
    x, y = easy["test"]
    assert np.mean(model.predict(x, verbose=0).argmax(axis=1) == y) == pytest.approx(profile.trials[0].test["accuracy"])
    other = kdefrost.Defroster(source, recipe=RECIPE, cuts=[1], directory=tmp_path)
    with pytest.raises(ValueError, match=r"another configuration .*features"):
        other.profile(**easy, **options)
    with pytest.raises(ValueError, match="from 0 to 1, the number of layers"):
        other.compliance(**easy, layers=2, per_class=2, seeds=1, verbose=False)
    held = defroster.compliance(**easy, strengths=[1.0], layers=2, per_class=2, seeds=1, verbose=False)
    assert list(held.layers)[-1] == "embedding"
