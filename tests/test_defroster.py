"""The defroster: which trials run, on what, and that the numbers depend on nothing else."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import defroster as module

RECIPE = kdefrost.Recipe(epochs=3, batch_size=8)


@pytest.fixture
def run(residual, easy):
    """Runs a small profile; arguments replace the defaults."""

    def profile(cuts="blocks", directory=None, recipe=RECIPE, source=residual, **arguments):
        defroster = kdefrost.Defroster(source, recipe=recipe, cuts=cuts, directory=directory)
        defaults = {"train": easy["train"], "test": easy["test"], "per_class": [2, 5], "seeds": 2, "verbose": False}
        return defroster.profile(**{**defaults, **arguments})

    return profile


def _scores(profile):
    return {trial.key: (trial.test, trial.validation) for trial in profile.trials}


def test_every_cut_size_and_seed_is_tried_once(run):
    profile = run()
    wanted = {(cut, size, seed) for cut in range(5) for size in (2, 5) for seed in range(2)}
    assert {trial.key for trial in profile.trials} == wanted and len(profile.trials) == len(wanted)
    assert np.isfinite(profile.scores(5)).all() and profile.scores(5).shape == (2, 5)


def test_the_same_seeds_give_the_same_scores_whatever_ran_before(run):
    whole = _scores(run())
    assert _scores(run()) == whole
    part = _scores(run(cuts=[3, 1], per_class=5, seeds=[1]))
    assert part == {key: whole[key] for key in part} and len(part) == 2


def test_the_source_is_untouched(run, residual):
    weights, config = residual.get_weights(), residual.to_json()
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers]
    run()
    assert residual.to_json() == config
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in residual.layers] == nodes
    for before, after in zip(weights, residual.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_one_trial_by_the_long_way_round(run, residual, easy):
    """Split, extract, re-initialise and train by hand."""
    from kdefrost import training

    cut = kdefrost.cut_points(residual)[2]
    extractor, tail = kdefrost.split(residual, cut, output=3, seed=(module._INITIALISATION, 1, 2))
    chosen = kdefrost.subset(easy["train"][1], per_class=5, seed=1)
    features = extractor(easy["train"][0][chosen], training=False)
    training.compile_model(tail, RECIPE)
    training.fit(tail, features, easy["train"][1][chosen], RECIPE, seed=(module._ORDER, 1, 5))
    outputs = tail(extractor(easy["test"][0], training=False), training=False)
    expected = np.mean(np.argmax(outputs, axis=1) == easy["test"][1])
    assert run(cuts=[2], per_class=5, seeds=[1]).trials[0].test == pytest.approx(expected, abs=1e-6)


def test_an_easy_task_is_learnt(run, residual):
    profile = run(recipe=kdefrost.Recipe(epochs=30, batch_size=16), cuts=[0], per_class=15, seeds=1)
    assert profile.trials[0].test > 0.8


def test_a_later_call_runs_only_what_is_missing(run, tmp_path, monkeypatch):
    first = run(directory=tmp_path, seeds=1)
    ran = []
    fit = module.training.fit
    monkeypatch.setattr(module.training, "fit", lambda *args, **kwargs: (ran.append(1), fit(*args, **kwargs)))
    second = run(directory=tmp_path, seeds=2)
    assert len(ran) == len(first.trials) == 10 and len(second.trials) == 20
    assert second.trials == run(directory=tmp_path, seeds=2).trials and len(ran) == 10
    assert _scores(second) == _scores(run())


def test_an_interrupt_keeps_the_finished_trials(run, tmp_path, monkeypatch):
    fit, calls = module.training.fit, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    monkeypatch.setattr(module.training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(directory=tmp_path)
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 3
    monkeypatch.setattr(module.training, "fit", fit)
    assert _scores(run(directory=tmp_path)) == _scores(run())


def test_a_folder_of_another_configuration_is_refused(run, tmp_path, easy):
    run(directory=tmp_path, cuts=[4], seeds=1)
    with pytest.raises(ValueError, match=r"another configuration.*recipe was"):
        run(directory=tmp_path, cuts=[4], recipe=kdefrost.Recipe(epochs=4, batch_size=8))
    with pytest.raises(ValueError, match=r"another configuration.*cuts was"):
        run(directory=tmp_path, cuts=[3])
    other = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match=r"another configuration.*source was"):
        run(directory=tmp_path, cuts=[4], source=other)
    with pytest.raises(ValueError, match=r"another configuration.*data was"):
        run(directory=tmp_path, cuts=[4], test=(easy["test"][0] + 1, easy["test"][1]))


def test_configuration_names_versions_and_recipe(run, tmp_path):
    run(directory=tmp_path, cuts=[4], seeds=1)
    configuration = json.loads((tmp_path / "configuration.json").read_text())
    assert configuration["recipe"]["epochs"] == 3 and configuration["versions"]["keras"] == keras.__version__


def test_validation_is_scored_too(run, easy):
    profile = run(validation=easy["train"], test=None, cuts=[4], seeds=1)
    assert profile.trials[0].test is None and 0 <= profile.trials[0].validation <= 1
    assert profile.chosen_on == "validation" and "Validation accuracy" in profile.summary()
    both = run(validation=easy["train"], cuts=[4], seeds=1)
    assert both.trials[0].validation == profile.trials[0].validation


def test_data_sets_of_batches_are_arrays(run, easy):
    batches = {name: tf.data.Dataset.from_tensor_slices(part).batch(7) for name, part in easy.items()}
    assert _scores(run(cuts=[3], **batches)) == _scores(run(cuts=[3]))


def test_a_sequential_source_is_cut_too(run, plain):
    assert run(source=plain, seeds=1).scores(5).shape == (1, 3)


def test_subsets_are_balanced_nested_and_seeded():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    small, large, other = (kdefrost.subset(labels, size, seed) for size, seed in ((3, 1), (9, 1), (9, 2)))
    np.testing.assert_array_equal(np.bincount(labels[large]), 9)
    assert set(small) < set(large) and set(large) != set(other)


def test_the_plan_leaves_out_what_is_finished(run, residual, easy, tmp_path):
    run(directory=tmp_path, cuts=[4], seeds=1)
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[4], directory=tmp_path)
    plan = defroster.plan(easy["train"], test=easy["test"], per_class=[2, 5], seeds=2)
    assert plan.trials == ((4, 2, 1), (4, 5, 1))


def test_the_profile_is_of_what_was_asked_for(run, tmp_path):
    run(directory=tmp_path, cuts=[4], seeds=2)
    profile = run(directory=tmp_path, cuts=[4], seeds=1, per_class=5)
    assert [trial.key for trial in profile.trials] == [(4, 5, 0)]


def test_a_diverged_training_is_told(run, capsys):
    recipe = kdefrost.Recipe(epochs=2, learning_rate=1e30, weight_decay=1.0)
    run(cuts=[4], recipe=recipe, per_class=5, seeds=1)
    assert "Training diverged at cut 4, 5 per class, seed 0" in capsys.readouterr().out


def test_the_plan_counts_what_would_run(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[0, 4])
    plan = defroster.plan(easy["train"], test=easy["test"], per_class=[2, 5], seeds=3)
    assert len(plan.trials) == 12 and plan.classes == 3 and plan.evaluated == 45
    used = np.concatenate([kdefrost.subset(easy["train"][1], 5, seed) for seed in range(3)])
    assert plan.trained == len(np.unique(used))
    assert plan.feature_bytes(plan.cuts[1]) == 4 * 64 * (plan.trained + 45)
    # Three classes, five images of each, three epochs, forward and twice that backward.
    whole = plan.cuts[0].multiply_adds
    assert plan.training_flops((0, 5, 0)) == 3 * 2 * whole * 5 * 3 * 3
    assert plan.flops((0, 5, 0)) == plan.training_flops((0, 5, 0)) + 2 * whole * 45


BAD = {
    "too many per class": ({"per_class": 21}, r"`per_class` must be at most 20, .* of class 0"),
    "zero per class": ({"per_class": 0}, r"`per_class` must be whole numbers, at least 1"),
    "no size": ({"per_class": []}, r"`per_class` must be whole numbers"),
    "zero seeds": ({"seeds": 0}, r"`seeds` must be a number of repeats"),
    "negative seed": ({"seeds": [-1]}, r"`seeds` must be"),
    "nothing to score on": ({"test": None}, r"`test`, `validation` or both"),
    "lengths differ": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros(2, int))}, r"`test` must have as many labels"),
    "empty": ({"test": (np.zeros((0, 8, 8, 1)), np.zeros(0, int))}, r"`test` must have .* at least one"),
    "labels not whole": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros(3))}, r"Labels of `test` must be whole"),
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
