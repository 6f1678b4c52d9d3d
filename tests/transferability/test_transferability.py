"""Scores of all cuts: each is what its function gives by hand, and what cannot be scored is said."""

import dataclasses

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost import similarity
from kdefrost import transferability as functions
from kdefrost.cutting.features import Inference
from kdefrost.transferability.draws import Draw, Sizes
from kdefrost.transferability.names import ACCURACIES, LABELS, POOLED
from kdefrost.transferability.pooling import pooled
from kdefrost.transferability.tails import RandomTail


@pytest.fixture(scope="module")
def target(easy):
    """A network of another width on the same images."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def result(small, easy, target):
    """All scores, of two seeds."""
    defroster = kdefrost.Defroster(small)
    options = {"per_class": 8, "seeds": 2, "scores": functions.SCORES, "target_network": target, "verbose": False}
    return defroster.transferability(easy["train"], **options)


def test_each_score_is_what_its_function_gives(result, small, easy, target):
    images, labels = easy["train"]
    representation = Inference(kdefrost.split(target, kdefrost.cut_points(target)[-1])[0])(images)[0]
    assert result.names == list(functions.SCORES) and result.seeds == [0, 1]
    for seed in result.seeds:
        rows = kdefrost.subset(labels, 8, seed)
        for place, cut in enumerate(result.cuts):
            features = Inference(kdefrost.split(small, cut)[0])(images[rows])
            vectors = pooled(features, [-1])
            expected = {name: function(vectors, labels[rows]) for name, function in POOLED.items()}
            tail = RandomTail(small, cut, batch_size=128)
            tail.start(seed)
            expected["tail_ridge"] = functions.ridge(tail.features(features), labels[rows])
            expected["tangent_kernel"] = functions.kernel_ridge(tail.tangent_kernel(features, 2**30), labels[rows])
            compared = similarity.information_imbalance(features[0], representation[rows])
            expected["information_imbalance"] = -compared
            for name, value in expected.items():
                # An accuracy of 24 examples may turn by one where rounding decides.
                tolerance = 1.01 / 24 if name in ACCURACIES[3:] else 1e-4
                assert result.scores(name)[seed, place] == pytest.approx(value, abs=tolerance), (name, cut.name)
            assert all(result.seconds(name)[seed, place] > 0 for name in result.names)


def test_a_plain_function_gives_the_same_of_one_draw(result, small, easy):
    images, labels = easy["train"]
    rows = kdefrost.subset(labels, 8, 1)
    cuts = result.cuts[::-1]
    scores = functions.score_cuts(small, cuts, images[rows], labels[rows], ["ridge", "tail_ridge", "logme"], seed=1)
    assert list(scores) == ["logme", "ridge", "tail_ridge"]
    for name, values in scores.items():
        np.testing.assert_allclose(values, result.scores(name)[1, ::-1], rtol=1e-4)
    named = np.array(["ant", "bee", "cat"])[labels[rows]]
    again = functions.score_cuts(small, cuts, images[rows], named, ["ridge", "logme"], seed=1)
    assert all(again[name].tolist() == scores[name].tolist() for name in again)


def test_draws_of_all_examples_are_scored_once(small, easy, capsys):
    result = kdefrost.Defroster(small, cuts=[1, 2]).transferability(easy["train"], seeds=2)
    assert result.names == [*POOLED, "tail_ridge"]
    assert "Scoring cuts" in (shown := capsys.readouterr().err) and "left" in shown
    for name in POOLED:
        assert len(np.unique(result.scores(name)[:, 0])) == 1 and (result.seconds(name)[1] == 0).all()
    assert (result.seconds("tail_ridge") > 0).all()
    assert result.configuration["sizes"]["all"] == result.configuration["sizes"]["tail_ridge"] == 60


def test_features_need_not_fit_in_memory(small, easy, tmp_path):
    results = [
        kdefrost.Defroster(small, directory=tmp_path / name, memory_budget=budget).transferability(
            easy["train"], verbose=False
        )
        for name, budget in (("memory", 2**30), ("disk", 0))
    ]
    for name in results[0].names:
        np.testing.assert_allclose(results[0].scores(name), results[1].scores(name), rtol=1e-6)


def test_two_tensors_that_cross_are_one_vector(branched, easy):
    cut = kdefrost.cut_points(branched, "layers")[2]
    images, labels = easy["train"]
    features = Inference(kdefrost.split(branched, cut)[0])(images)
    vectors = np.hstack([part.mean(axis=(1, 2)) for part in features])
    scores = functions.score_cuts(branched, [cut], images, labels, ["h_score"])
    assert len(features) == 2 and vectors.shape == (60, 8)
    assert scores["h_score"][0] == pytest.approx(functions.h_score(vectors, labels), rel=1e-4)


def test_labels_of_two_classes_by_one_output(small, easy):
    images, labels = easy["train"]
    defroster = kdefrost.Defroster(small, cuts=[2], output=1)
    result = defroster.transferability((images, labels > 1), scores=["ridge"], verbose=False)
    assert 0.6 < result.scores("ridge")[0, 0] <= 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda y: np.linspace(0, 1, len(y)), "one class for each example, .*Received: regression"),
        (lambda y: np.stack([y > 0, y > 1, y >= 0], axis=1).astype(int), "Received: multi-label"),
        (lambda y: np.zeros(len(y), int), "two classes"),
    ],
    ids=["numbers", "several labels", "one class"],
)
def test_labels_that_are_no_classes_are_refused(small, easy, labels, message):
    images, y = easy["train"]
    with pytest.raises(ValueError, match=message):
        kdefrost.Defroster(small).transferability((images, labels(y)), verbose=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": ["leep"]}, r"`scores` must be a list of one or more of logme, .*\['leep'\]"),
        ({"scores": "ridge"}, "`scores` must be a list"),
        ({"scores": []}, "`scores` must be a list"),
        ({"scores": ["information_imbalance"]}, "`target_network` must be given .* no network"),
        ({"per_class": [2, 4]}, "`per_class` must be one number"),
        ({"per_class": 100}, "`per_class` must be at most 20"),
        ({"seeds": 0}, "`seeds`"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_refused(small, easy, options, message):
    with pytest.raises(ValueError, match=message):
        kdefrost.Defroster(small).transferability(easy["train"], verbose=False, **options)


def test_a_target_network_must_be_of_use_and_take_the_images(small, easy, target):
    defroster = kdefrost.Defroster(small)
    with pytest.raises(ValueError, match="and there alone"):
        defroster.transferability(easy["train"], scores=["ridge"], target_network=target, verbose=False)
    other = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(16, 16, 1))
    with pytest.raises(ValueError, match=r"`target_network` must take what the source takes, \(8, 8, 1\) each"):
        defroster.transferability(easy["train"], target_network=other, verbose=False)


@pytest.mark.parametrize(
    "labels", [np.zeros(60, int), np.zeros(59, int), np.linspace(0, 1, 60)], ids=["one", "few", "no"]
)
def test_a_plain_function_refuses_labels_that_are_none(small, easy, labels):
    with pytest.raises(ValueError, match="`labels` must be the class of each of the 60 examples"):
        functions.score_cuts(small, kdefrost.cut_points(small), easy["train"][0], labels)


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["dead", "undefined"])
def test_features_that_tell_nothing_have_no_score_and_a_warning(small, easy, target, value):
    source = keras.models.clone_model(small)
    source.set_weights([np.full_like(weight, value) for weight in small.get_weights()])
    cuts = kdefrost.cut_points(source)[1:2]
    with pytest.warns(UserWarning, match=r"Cut 1 \(.*\) has scores that are NaN: the pooled features are NaN") as said:
        scores = functions.score_cuts(source, cuts, *easy["train"], functions.SCORES, target_network=target)
    assert len(said) == 1 and all(np.isnan(values).all() for values in scores.values())


def test_a_class_with_one_example_has_scores(small, easy):
    images, labels = easy["train"]
    rows = np.flatnonzero((labels != 2) | (np.arange(60) == 2))
    result = kdefrost.Defroster(small, cuts=[0, 2]).transferability((images[rows], labels[rows]), verbose=False)
    assert all(np.isfinite(result.scores(name)).all() for name in result.names)


def test_as_many_examples_go_through_tails_as_can_be_afforded(residual):
    cuts = kdefrost.cut_points(residual)
    dear = [dataclasses.replace(cut, tail_multiply_adds=10**9) for cut in cuts[:4]]
    assert Sizes.of(dear, 10) == (37, 37, 100) and Sizes.of(dear, 1000) == (2, 2, 2)
    assert Sizes.of(cuts[-1:], 2, tail_examples=5000) == (2500, 500, 500)
    labels = np.arange(600) % 3
    draw = Draw.of(labels, np.arange(300, 600), 0, Sizes(20, 10, 50))
    assert [len(rows) for rows in draw] == [300, 60, 30, 150]
    assert set(draw.tangent) <= set(draw.tail) <= set(draw.compared) <= set(draw.all)
    assert (np.bincount(labels[draw.tail]) == 20).all()


def test_scores_under_a_strategy_are_those_without(small, easy, two_devices):
    names = ["ridge", "tail_ridge"]
    plain = kdefrost.Defroster(small).transferability(easy["train"], scores=names, verbose=False)
    shared = kdefrost.Defroster(small, strategy=two_devices).transferability(easy["train"], scores=names, verbose=False)
    for name in names:
        np.testing.assert_allclose(plain.scores(name), shared.scores(name), atol=1.01 / 60)


def test_a_result_says_which_cut_is_highest(result):
    lines = result.table().splitlines()
    assert len(lines) == 1 + len(result.cuts) + 1 and all(LABELS[name] in lines[0] for name in result.names)
    for name in result.names:
        mean = result.mean(name)
        best = result.best_cut(name)
        assert mean[result.cuts.index(best)] == mean.max() and (mean[result.cuts.index(best) + 1 :] < mean.max()).all()
    assert result.table().count("*") == len(result.names)
    summary = result.summary()
    assert "Mean ± standard error over 2 seeds." in summary and "Computed on 24 examples." in summary
    sizes = {**result.configuration["sizes"], "tail_ridge": 12}
    fewer = dataclasses.replace(result, configuration={"sizes": sizes})
    assert "Computed on 24 examples, ridge after the tail on 12 of them." in fewer.summary()
    with pytest.raises(ValueError, match="`name` must be one of logme"):
        result.scores("accuracy")


def test_a_figure_has_a_panel_for_each_score(result):
    axes = result.plot()
    assert len(axes) == len(result.names)
    for ax, name in zip(axes, result.names, strict=True):
        unit = 100 if name in ACCURACIES else 1
        line, star = ax.lines[0], ax.lines[-1]
        np.testing.assert_allclose(line.get_ydata(), unit * result.mean(name))
        assert star.get_xdata()[0] == result.cuts.index(result.best_cut(name))
        assert ax.get_ylabel().startswith(LABELS[name])
    with pytest.raises(ValueError, match="`axes` must be 8"):
        result.plot(axes[:2])
