"""Trials of compliance as the defroster runs them, on tiny networks."""

import math

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.compliance.measuring import FeatureComparison, measured_layers
from kdefrost.compliance.policy import under_springs

RECIPE = kdefrost.Recipe(epochs=3, batch_size=16, learning_rate=0.05)


def _defroster(source, directory=None, **given):
    return kdefrost.Defroster(source, RECIPE, directory=directory, **given)


@pytest.fixture(scope="module")
def source():
    """A residual network other than what trials start from."""
    network = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    kdefrost.reinitialize(network, 77)
    return network


@pytest.fixture(scope="module")
def chain():
    """A network of four layers with kernels before the output, all but the first normalised; traced fast."""
    layers = keras.layers
    stack = [keras.Input((8, 8, 1)), layers.Conv2D(6, 3, padding="same", activation="relu")]
    for strides in (2, 1, 2):
        stack += [layers.Conv2D(6, 3, strides=strides, padding="same"), layers.BatchNormalization(), layers.ReLU()]
    network = keras.Sequential([*stack, layers.Flatten(), layers.Dense(3, activation="softmax")])
    # Not what trials start from.
    kdefrost.reinitialize(network, 77)
    return network


@pytest.fixture(scope="module")
def held(chain, easy):
    """Compliance where three layers are held by ever stronger springs, and the source's weights before."""
    before = chain.get_weights()
    strengths = [0, 1e-1, 1e2, 1e8, math.inf]
    compliance = _defroster(chain).compliance(
        easy["train"], easy["test"], strengths=strengths, layers=3, per_class=16, seeds=2, verbose=False
    )
    return compliance, before


def _keys(source, strengths, layers, seeds):
    """`(layers, strength, per_class, seed)` of the questions, in their order."""
    cuts = kdefrost.cut_points(source)
    questions = under_springs(source, cuts, strengths, layers, 8, seeds, RECIPE)
    assert {(question.cut, question.compared) for question in questions} <= {(0, (1, 3, 6, 9))}
    return [(q.springs.layers, q.springs.strength, q.per_class, q.seed) for q in questions]


def test_the_grid_has_training_without_springs_once(source):
    keys = _keys(source, [0, 0.1, math.inf], None, [0, 1])
    assert keys[:2] == [(0, 0.0, 8, 0), (0, 0.0, 8, 1)]
    assert len(keys) == len(set(keys)) == 2 + 4 * 2 * 2
    assert {key[0] for key in keys} == {0, 1, 3, 6, 9}
    # Frozen weights are compiled apart.
    assert [key[1] for key in keys[2:6]] == [0.1, 0.1, math.inf, math.inf]
    third = kdefrost.cut_points(source)[2]
    assert _keys(source, [0.1], third, [0]) == _keys(source, [0.1], [3], [0]) == [(3, 0.1, 8, 0)]
    assert _keys(source, [0.1], [0, 3], [0]) == [(0, 0.0, 8, 0), (3, 0.1, 8, 0)]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"strengths": []}, "`strengths` must be a list of one or more numbers"),
        ({"strengths": 0.1}, "`strengths` must be a list of one or more numbers"),
        ({"strengths": [0.1, -1]}, "`strengths` must be a number from 0"),
        ({"strengths": [float("nan")]}, "`strengths` must be a number from 0"),
        ({"strengths": [-math.inf]}, "`strengths` must be a number from 0"),
        ({"layers": 10}, "`layers` must be from 0 to 9"),
        ({"layers": -1}, "`layers` must be from 0 to 9"),
        ({"layers": ["conv1"]}, "`layers` must be numbers of layers or cuts"),
        ({"seeds": 0}, "`seeds` must be"),
        ({"per_class": [2, 4]}, "`per_class` must be"),
        ({"per_class": 21}, "`per_class` must be at most 20"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(given, message, source, easy, tmp_path):
    with pytest.raises(ValueError, match=message):
        _defroster(source, tmp_path).compliance(easy["train"], easy["test"], **{"per_class": 4, "seeds": 1, **given})
    assert not list(tmp_path.iterdir())


def test_without_springs_it_is_the_profile_at_cut_0(chain, easy):
    defroster = _defroster(chain, cuts=[0, 2])
    profile = defroster.profile(easy["train"], easy["test"], per_class=8, seeds=2, verbose=False)
    compliance = defroster.compliance(
        easy["train"], easy["test"], strengths=[0, 1e-9], per_class=8, seeds=2, verbose=False
    )
    expected = [trial.test for trial in profile.trials if trial.cut == 0]
    assert [trial.test for trial in compliance.trials if trial.layers == 0] == expected
    agreement = compliance.against(profile, 1e-9)
    np.testing.assert_array_equal(agreement.held["reported"][:, 0], agreement.frozen["reported"][:, 0])


def test_stronger_springs_hold_closer(held):
    compliance, _ = held
    for kind in ("cosine", "euclidean"):
        for layer in range(3):
            distances = compliance.distances(3, layer, kind)[0]
            assert (np.diff(distances[:4]) < 0).all() and distances[3] < 1e-5 and abs(distances[4]) < 1e-12
    free = compliance.distances(3, 3)[0]
    assert (free > 0.5).all()
    # What the first layer gives depends on its kernel alone.
    assert compliance.similarity(3, compliance.cuts[0])[0, -1] == pytest.approx(1.0, abs=1e-5)
    assert compliance.similarity(3, compliance.cuts[0])[0, 3] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(*compliance.scores(3)[:, 3:].T, atol=0.07)


def test_what_is_seen_deviates_with_depth_where_only_normalisations_differ(chain, easy):
    compliance = _defroster(chain).compliance(
        easy["train"], easy["test"], strengths=[math.inf], layers=4, per_class=8, seeds=1, verbose=False
    )
    values = [compliance.similarity(4, cut)[0, 0] for cut in compliance.cuts]
    assert values[0] == pytest.approx(1.0, abs=1e-5) and values == sorted(values, reverse=True) and values[-1] > 0.2


def test_features_are_compared_as_layerwise_compares_them(source, easy):
    """The second route: models built anew between the cuts, for a network with other weights."""
    images, start = easy["test"][0], kdefrost.cut_points(source)[0]
    network = keras.models.clone_model(source)
    kdefrost.reinitialize(network, 5)
    comparison = FeatureComparison(source, start, kdefrost.cut_points(source)[1:], images)
    expected = kdefrost.similarity.layerwise(network, source, images, measures=["cka"])
    for _ in range(2):
        np.testing.assert_allclose(comparison.compare(network), expected.values("cka_unbiased")[0], atol=1e-5)
    assert comparison.compare(source) == pytest.approx([1.0] * 4, abs=1e-5)


def test_normalisations_are_held_if_asked(chain, easy):
    """With scale and offset held too, only moving statistics differ before the cut."""
    defroster = _defroster(chain)
    given = {"strengths": [math.inf], "layers": 3, "per_class": 16, "seeds": 1, "verbose": False}
    kernels, every = (
        defroster.compliance(easy["train"], easy["test"], **given, normalization=held) for held in (False, True)
    )
    assert kernels.configuration["normalization"] is False and every.configuration["normalization"] is True
    seen = [each.similarity(3, each.cuts[1])[0, 0] for each in (kernels, every)]
    assert seen[0] != seen[1]


def test_layers_that_are_called_again_are_held_and_measured_once(easy):
    layers, inputs = keras.layers, keras.Input((8, 8, 1))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    x = shared(shared(layers.Conv2D(4, 3, padding="same", name="first")(inputs)))
    x = layers.Conv2D(4, 3, strides=2, name="third")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    assert measured_layers(model) == {"first": 1, "shared": 2, "third": 4}
    compliance = _defroster(model).compliance(
        easy["train"], easy["test"], strengths=[math.inf], layers=[3, 4], per_class=8, seeds=1, verbose=False
    )
    np.testing.assert_allclose(compliance.distances(3, "shared"), 0, atol=1e-12)
    assert compliance.distances(3, "third")[0, 0] > 0.1 and compliance.distances(4, "third")[0, 0] < 1e-12
    assert compliance.similarity(4, compliance.cuts[-1])[0, 0] == pytest.approx(1.0, abs=1e-4)
    assert "4 layers held" in compliance.summary()


def test_a_network_that_is_dead_is_reported_and_not_lost(source, easy):
    images = easy["test"][0]
    dead = keras.models.clone_model(source)
    dead.set_weights([0 * weight for weight in dead.get_weights()])
    comparison = FeatureComparison(source, kdefrost.cut_points(source)[0], kdefrost.cut_points(source)[1:], images)
    assert np.isnan(comparison.compare(dead)).all()


def test_frozen_weights_start_all_others_as_ever(easy):
    """A PReLU, for which He's method has no rule, draws its start whether or not it is frozen."""
    layers = keras.layers
    slopes = {"alpha_initializer": keras.initializers.RandomNormal()}
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="first"),
            layers.PReLU(name="slopes", **slopes),
            layers.Conv2D(4, 3, name="second"),
            layers.Flatten(),
            layers.Dense(3, name="end"),
        ]
    )
    with pytest.warns(UserWarning, match="No rule of He's method"):
        kdefrost.reinitialize(model, 3)
    free = model.get_layer("second").get_weights()[0]
    coupling = kdefrost.ElasticCoupling(model, keras.models.clone_model(model), ["first", "slopes"])
    coupling.freeze()
    with pytest.warns(UserWarning, match="No rule of He's method"):
        kdefrost.reinitialize(model, 3)
    np.testing.assert_array_equal(model.get_layer("second").get_weights()[0], free)


def test_finished_trials_are_not_run_again(chain, easy, tmp_path, monkeypatch):
    given = {"layers": 3, "per_class": 4, "seeds": 1, "verbose": False}
    first = _defroster(chain, tmp_path).compliance(easy["train"], easy["test"], strengths=[0, 0.1], **given)
    second = _defroster(chain, tmp_path).compliance(easy["train"], easy["test"], strengths=[0, 0.1, 10.0], **given)
    assert second.trials[:2] == first.trials
    monkeypatch.setattr("kdefrost.trials.tails.Tail", None)
    third = _defroster(chain, tmp_path).compliance(easy["train"], easy["test"], strengths=[0.1, 10.0], **given)
    assert third.trials == second.trials[1:]
    # Whatever else is asked in the folder: other cuts to compare at, normalisations held too.
    monkeypatch.undo()
    compliance = _defroster(chain, tmp_path).compliance
    held = compliance(easy["train"], easy["test"], strengths=[0, 0.1], normalization=True, **given)
    monkeypatch.setattr("kdefrost.trials.tails.Tail", None)
    for normalization, expected in ((False, first), (True, held)):
        again = compliance(easy["train"], easy["test"], strengths=[0, 0.1], normalization=normalization, **given)
        assert again.trials == expected.trials
    assert held.trials[0] == first.trials[0] and held.trials[1].cosine != first.trials[1].cosine


def test_a_trial_does_not_depend_on_those_before_it(chain, easy, held):
    alone = _defroster(chain).compliance(
        easy["train"], easy["test"], strengths=[1e8], seeds=[1], layers=3, per_class=16, verbose=False
    )
    (again,) = [trial for trial in held[0].trials if trial.key == alone.trials[0].key]
    assert (again.test, again.cosine, again.cka) == (
        alone.trials[0].test,
        alone.trials[0].cosine,
        alone.trials[0].cka,
    )


def test_without_a_test_set_it_reports_the_validation_set(chain, easy):
    compliance = _defroster(chain).compliance(
        easy["train"], None, easy["test"], strengths=[0, 1.0], layers=1, per_class=4, seeds=1, verbose=False
    )
    assert compliance.reported_on == "validation" and compliance.scores(1).shape == (1, 2)


def test_the_source_is_never_changed(chain, held):
    _, before = held
    assert all(np.array_equal(*pair) for pair in zip(chain.get_weights(), before, strict=True))
    assert all(variable.trainable for variable in chain.trainable_variables) and len(chain.trainable_variables) > 5


def test_two_devices_comply_as_one(plain, easy, two_devices):
    recipe = kdefrost.Recipe(epochs=2, batch_size=8, learning_rate=0.01)
    trials = []
    for strategy in (None, two_devices):
        defroster = kdefrost.Defroster(plain, recipe=recipe, cuts=[0, 2], strategy=strategy)
        compliance = defroster.compliance(
            easy["train"], easy["test"], strengths=[1, math.inf], layers=2, per_class=5, seeds=1, verbose=False
        )
        trials.append(compliance.trials)
    for one, two in zip(*trials, strict=True):
        np.testing.assert_allclose(two.cosine, one.cosine, atol=1e-5)
        np.testing.assert_allclose(two.euclidean, one.euclidean, atol=1e-5)
        np.testing.assert_allclose(two.cka, one.cka, atol=1e-5)
