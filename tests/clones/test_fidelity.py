"""Fidelity: identities, cases computed by hand, invariances, and numbers reached by two routes."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy import linalg

import kdefrost
from kdefrost.clones import moments
from kdefrost.clones.fidelity import Reference
from kdefrost.clones.moments import frechet_distance, moment_errors, sampling_errors, squared_error


@pytest.fixture(scope="module")
def digits():
    return kdefrost.load_data("digits")


@pytest.fixture(scope="module")
def classifier(digits):
    """An untrained one: identities hold through any."""
    keras.utils.set_random_seed(0)
    network = kdefrost.wide_resnet(10, 1, classes=10, input_shape=(8, 8, 1))
    return kdefrost.standardized(network, digits.train.images)


@pytest.fixture(scope="module")
def reference(digits, classifier):
    return Reference(digits, classifier)


@pytest.fixture
def small():
    """Forty images of 3×4×2 numbers in four classes, with unlike channels."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = rng.normal(size=(40, 3, 4, 2)) * [10, 40] + [100, 60] + 20 * labels[:, None, None, None]
    return kdefrost.Examples(images.astype(np.float32), labels)


def _errors(clone, original):
    return moment_errors(clone, original, *kdefrost.channel_statistics(original.images))


def _around_means(examples, factor):
    """Images whose distance from their class's mean is multiplied."""
    images = examples.images.astype(np.float64)
    for label in np.unique(examples.labels):
        members = examples.labels == label
        images[members] = (1 - factor) * images[members].mean(axis=0) + factor * images[members]
    return examples._replace(images=images.astype(np.float32))


def test_the_original_has_no_errors(reference, digits, classifier):
    result = reference.compare(digits, corresponds=True)
    assert (result.name, result.mean_error, result.covariance_error, result.squared_error) == ("digits", 0, 0, 0)
    assert result.frechet_distance < 1e-9 * reference.baseline().frechet_distance
    outputs = classifier.predict(digits.test.images, verbose=0)
    assert result.accuracy == np.mean(outputs.argmax(axis=1) == digits.test.labels)


def test_without_correspondence_there_is_no_squared_error(reference, digits):
    assert reference.compare(digits, corresponds=False).squared_error is None


def test_the_baseline_is_the_originals_accuracy_and_chance(reference, digits):
    baseline, again = reference.baseline(), reference.baseline(seed=1)
    assert baseline.name == "digits" and baseline.squared_error is None
    assert baseline.accuracy == reference.compare(digits, corresponds=True).accuracy
    assert 0 < baseline.frechet_distance != again.frechet_distance
    # The same images in training and test leave no distance, if all are drawn.
    same = Reference(dataclasses.replace(digits, test=digits.train), _classifier(digits))
    clone = kdefrost.make_clone("gm", digits, directory=None, verbose=False)
    assert same.baseline().frechet_distance < 1e-9 * same.compare(clone, corresponds=False).frechet_distance


def _classifier(data):
    """Eight random features of an image, and an output."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Flatten(), keras.layers.Dense(8), keras.layers.Dense(len(data.classes), "softmax")]
    return keras.Sequential([keras.Input(data.image_shape), *layers])


def test_features_are_what_enters_the_output_layer(digits):
    model = _classifier(digits)
    clone = kdefrost.make_clone("isogm", digits, directory=None, verbose=False)
    kernel = model.layers[1].kernel.numpy().astype(np.float64)
    features = [data.test.images.reshape(360, -1) @ kernel for data in (clone, digits)]
    got = Reference(digits, model).compare(clone, corresponds=False).frechet_distance
    np.testing.assert_allclose(got, frechet_distance(*features), rtol=1e-4)


def test_moments_computed_by_hand():
    """Class 0 has the numbers 0 and 2, class 1 has 4 and 8; the clone's are 1 and 3, and 4 and 4."""
    labels = np.array([0, 0, 1, 1])
    original, clone = (
        kdefrost.Examples(np.array(numbers, np.float32).reshape(4, 1, 1, 1), labels)
        for numbers in ([0, 2, 4, 8], [1, 3, 4, 4])
    )
    # Means 1 and 6 less 2 in units of 2: -0.5 and 2; the clone's 0 and 1. Variances 1/4 and 1; 1/4 and 0.
    got = moment_errors(clone, original, mean=np.float32([2]), deviation=np.float32([2]))
    np.testing.assert_allclose(got, [np.sqrt((0.25 + 1) / (0.25 + 4)), np.sqrt(1 / (1 / 16 + 1))], rtol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.5, 3.0])
def test_images_scaled_around_their_class_means(small, factor):
    mean_error, covariance_error = _errors(_around_means(small, factor), small)
    assert mean_error < 1e-6
    np.testing.assert_allclose(covariance_error, abs(factor**2 - 1), rtol=1e-5)


def test_a_shift_is_an_error_of_the_means_alone(small):
    mean, deviation = kdefrost.channel_statistics(small.images)
    mean_error, covariance_error = _errors(small._replace(images=small.images + 0.1 * deviation), small)
    standardised = (small.images - mean) / deviation
    means = np.stack([standardised[small.labels == label].mean(axis=0) for label in range(4)])
    np.testing.assert_allclose(mean_error, 0.1 * np.sqrt(means.size) / np.linalg.norm(means), rtol=1e-4)
    assert covariance_error < 1e-5


@pytest.mark.parametrize("strip", [1, 7, 24, 1000])
def test_errors_are_those_of_whole_covariance_matrices(small, strip, monkeypatch):
    """The other route: NumPy's covariances in float64, of standardised images."""
    monkeypatch.setattr(moments, "_STRIP", strip)
    rng = np.random.default_rng(1)
    clone = kdefrost.Examples(rng.normal(80, 30, (60, 3, 4, 2)).astype(np.float32), np.arange(60) % 4)
    mean, deviation = kdefrost.channel_statistics(small.images)
    means, covariances = {}, {}
    for part in (clone, small):
        numbers = ((part.images.astype(np.float64) - mean) / deviation).reshape(len(part.images), -1)
        classes = [numbers[part.labels == label] for label in range(4)]
        means[len(numbers)] = np.stack([members.mean(axis=0) for members in classes])
        covariances[len(numbers)] = np.stack([np.cov(members.T, bias=True) for members in classes])
    expected = [np.linalg.norm(moment[60] - moment[40]) / np.linalg.norm(moment[40]) for moment in (means, covariances)]
    np.testing.assert_allclose(_errors(clone, small), expected, rtol=1e-5)


def test_errors_do_not_depend_on_the_originals_units(small):
    clone = _around_means(small, 1.5)
    clone = clone._replace(images=clone.images + np.float32(7))
    factor, shift = np.float32([3, 0.25]), np.float32([-50, 200])
    others = [part._replace(images=part.images * factor + shift) for part in (clone, small)]
    np.testing.assert_allclose(_errors(*others), _errors(clone, small), rtol=1e-4)


def test_covariances_of_large_means_do_not_cancel(small):
    """Float32 keeps seven digits: means that are subtracted first take none of the covariance's."""
    far = small._replace(images=(small.images / 1000 + 100).astype(np.float32))
    scaled = _around_means(far, 2.0)
    got = moment_errors(scaled, far, mean=np.float32([0, 0]), deviation=np.float32([1, 1]))
    np.testing.assert_allclose(got[1], 3, rtol=1e-2)


@pytest.mark.parametrize("name", ["isogm", "gm"])
def test_errors_of_samples_are_as_large_as_expected(digits, name):
    """Of a clone that is taken for the original, other samples: their errors are chance alone."""
    original, samples = (
        kdefrost.make_clone(name, digits, seed=seed, per_class=500, directory=None, verbose=False) for seed in (0, 1)
    )
    statistics = kdefrost.channel_statistics(original.train.images)
    # Both scatter around the Gaussian, so their difference has twice the expected square.
    expected = np.sqrt(2) * np.array(sampling_errors(original.train, *statistics))
    got = moment_errors(samples.train, original.train, *statistics)
    np.testing.assert_allclose(got, expected, rtol=0.1)


def test_gm_is_closer_than_isogm_in_the_second_moment(reference, digits):
    isogm, gm = (
        reference.compare(kdefrost.make_clone(name, digits, directory=None, verbose=False), corresponds=False)
        for name in ("isogm", "gm")
    )
    chance = reference.baseline()
    assert gm.covariance_error < 0.5 * isogm.covariance_error
    np.testing.assert_allclose(gm.covariance_error, chance.covariance_error, rtol=0.2)
    for clone in (isogm, gm):
        np.testing.assert_allclose(clone.mean_error, chance.mean_error, rtol=0.2)
    assert gm.name == "gm-digits" and gm.squared_error is None


def test_an_original_that_does_not_vary_is_refused(small):
    constant = small._replace(images=np.full_like(small.images, 5))
    with pytest.raises(ValueError, match="`original` must vary: all its class means are zero"):
        _errors(small, constant)
    one_each = kdefrost.Examples(small.images[:4], small.labels[:4])
    with pytest.raises(ValueError, match="all its class covariances are zero"):
        _errors(small, one_each)


def test_squared_error_is_in_units_of_each_channels_variance(small, monkeypatch):
    deviation = np.float32([10, 40])
    assert squared_error(small.images + deviation / 2, small.images, deviation) == pytest.approx(0.25, rel=1e-5)
    # One channel wrong by its deviation, of two.
    assert squared_error(small.images + np.float32([10, 0]), small.images, deviation) == pytest.approx(0.5, rel=1e-5)
    monkeypatch.setattr(moments, "_BLOCK", 7 * 24)
    assert squared_error(small.images + deviation / 2, small.images, deviation) == pytest.approx(0.25, rel=1e-5)


def test_channel_means_lose_all_of_the_variance(digits):
    images = digits.train.images
    mean, deviation = kdefrost.channel_statistics(images)
    lost = squared_error(np.broadcast_to(mean, images.shape), images, deviation)
    assert lost == pytest.approx(1, rel=1e-5)


def test_noise_on_corresponding_images_is_the_squared_error(reference, digits):
    deviation = kdefrost.channel_statistics(digits.train.images)[1]
    rng = np.random.default_rng(0)
    noisy = digits.test._replace(images=digits.test.images + 0.3 * deviation * rng.normal(size=(360, 8, 8, 1)))
    result = reference.compare(dataclasses.replace(digits, name="ae", test=noisy), corresponds=True)
    # The mean of 23,040 squares scatters by a hundredth of it.
    assert result.squared_error == pytest.approx(0.09, rel=0.05)
    assert result.covariance_error == 0 and result.frechet_distance > 1e-6


def test_squared_error_needs_as_many_images(small):
    with pytest.raises(ValueError, match=r"`clone` must have an image for each of `original`, of shape \(40, 3, 4, 2"):
        squared_error(small.images[:3], small.images, np.float32([1, 1]))


def _with_moments(mean, covariance, count=50):
    """Features that have a mean and a covariance exactly."""
    centred = np.random.default_rng(0).normal(size=(count, len(mean)))
    centred -= centred.mean(axis=0)
    white = np.sqrt(count) * np.linalg.qr(centred)[0]
    return white @ linalg.sqrtm(np.asarray(covariance, float)).real + mean


def test_frechet_distance_in_one_dimension():
    """(m₁ − m₂)² + (s₁ − s₂)²: 3² + (2 − 5)²."""
    first, second = _with_moments([1.0], [[4.0]]), _with_moments([4.0], [[25.0]], count=30)
    assert frechet_distance(first, second) == pytest.approx(18, rel=1e-12)


def test_frechet_distance_of_commuting_covariances():
    """Σ (s₁ − s₂)² over common axes: (1 − 2)² + (3 − 1)²; and means 2 apart in one of them."""
    first, second = _with_moments([0, 0], np.diag([1, 9])), _with_moments([2, 0], np.diag([4, 1]))
    assert frechet_distance(first, second) == pytest.approx(4 + 1 + 4, rel=1e-12)


@pytest.fixture
def pair():
    """Two sets of correlated features."""
    rng = np.random.default_rng(3)
    return [rng.normal(size=(count, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6) for count in (80, 50)]


def test_frechet_distance_by_the_root_of_the_product(pair):
    """The other route, right where both covariances have full rank."""
    (m1, c1), (m2, c2) = ((x.mean(axis=0), np.cov(x.T, bias=True)) for x in pair)
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(*pair) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_symmetric_and_zero_to_itself(pair):
    first, second = pair
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-12)
    assert 0 <= frechet_distance(first, first[::-1]) < 1e-12 * np.sum(first.var(axis=0))


def test_rotation_and_translation_of_both_change_nothing(pair):
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    moved = [x @ rotation + 10 for x in pair]
    assert frechet_distance(*moved) == pytest.approx(frechet_distance(*pair), rel=1e-9)


def test_translation_of_one_adds_its_square(pair):
    first, _ = pair
    assert frechet_distance(first, first + np.array([3, 0, 4, 0, 0, 0])) == pytest.approx(25, rel=1e-9)


def test_frechet_distance_with_fewer_examples_than_features():
    """Rank 2 in 40 dimensions: the same numbers as in the plane that they are rotated out of."""
    rng = np.random.default_rng(7)
    plane = [rng.normal(size=(count, 2)) @ rng.normal(size=(2, 2)) for count in (9, 5)]
    axes = np.linalg.qr(rng.normal(size=(40, 2)))[0].T
    assert frechet_distance(*(x @ axes for x in plane)) == pytest.approx(frechet_distance(*plane), rel=1e-9)
    # In planes that have no direction in common the roots have no product: traces alone.
    both = np.linalg.qr(rng.normal(size=(40, 4)))[0].T
    first, second = plane[0] @ both[:2], plane[1] @ both[2:]
    means = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    expected = means + np.sum(first.var(axis=0)) + np.sum(second.var(axis=0))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_single_example_has_no_covariance():
    assert frechet_distance(np.ones((1, 3)), np.zeros((1, 3))) == pytest.approx(3)


def test_bad_features():
    with pytest.raises(ValueError, match=r"matrices \(examples, features\) of as many.*\(4, 3\) and \(4, 2\)"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"must be finite.*at a lower learning rate"):
        frechet_distance(np.full((4, 2), np.nan), np.zeros((4, 2)))


def test_clones_of_something_else_are_refused(reference, digits, classifier):
    others = {
        r"`clone` must have the images' shape and the classes of 'digits', \(8, 8, 1\)": dataclasses.replace(
            digits, name="other", train=digits.train._replace(images=digits.train.images[:, :4])
        ),
        "and 9 classes; take a clone that was made of it": dataclasses.replace(digits, classes=digits.classes[:9]),
        "`clone` must have labels from 0 to 9.* whose train set has labels from 1 to 10": dataclasses.replace(
            digits, train=digits.train._replace(labels=digits.train.labels + 1)
        ),
        "whose test set has none": dataclasses.replace(digits, test=digits.test.take(slice(0))),
        "`clone` must have training images of every class.* without any of class '3'": dataclasses.replace(
            digits, train=digits.train.take(digits.train.labels != 3)
        ),
        "`clone` must have the test labels of 'digits', in their order": dataclasses.replace(
            digits, test=digits.test.take(slice(None, None, -1))
        ),
    }
    for message, clone in others.items():
        with pytest.raises(ValueError, match=message):
            reference.compare(clone, corresponds=True)
    # Samples may be in any order, and as many as one likes.
    fewer = dataclasses.replace(digits, test=digits.test.take(slice(99, None, -1)))
    outputs = classifier.predict(fewer.test.images, verbose=0)
    assert reference.compare(fewer, corresponds=False).accuracy == np.mean(outputs.argmax(axis=1) == fewer.test.labels)


def test_originals_and_classifiers_that_do_not_fit_are_refused(digits, classifier):
    with pytest.raises(ValueError, match="`original` must have training images of every class"):
        Reference(dataclasses.replace(digits, train=digits.train.take(digits.train.labels != 3)), classifier)
    three = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match=r"`classifier` must take 'digits''s images.*each of its 10 classes.*\(3,\)"):
        Reference(digits, three)
