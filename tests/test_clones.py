"""Clones: their moments are the original's."""

import numpy as np
import pytest

import kdefrost
from kdefrost.clones import CLONES


@pytest.fixture(scope="module")
def digits():
    return kdefrost.load_data("digits")


def _flat(data, label):
    members = data.train.images[data.train.labels == label]
    return members.reshape(len(members), -1).astype(np.float64)


@pytest.mark.parametrize("images", [5, 200], ids=["fewer images than pixels", "more images than pixels"])
def test_gm_root_has_the_covariance_as_gram_matrix(images):
    x = np.random.default_rng(0).normal(size=(images, 30)) @ np.random.default_rng(1).normal(size=(30, 30)) + 100
    mean, root = CLONES["gm"](x)
    np.testing.assert_allclose(mean, x.mean(axis=0))
    np.testing.assert_allclose(root.T @ root, np.cov(x.T, bias=True), atol=1e-10 * np.abs(np.cov(x.T)).max())


def test_gm_has_the_first_two_moments_of_each_class(digits):
    count = 20000
    clone = kdefrost.make_clone("gm", digits, per_class=count, test_per_class=1)
    for label in range(3):
        original, samples = _flat(digits, label), _flat(clone, label)
        # Means scatter by the standard error: five of them are one in a million.
        error = original.std(axis=0) / np.sqrt(count)
        assert np.all(np.abs(samples.mean(axis=0) - original.mean(axis=0)) <= 5 * error + 1e-3)
        wanted, got = np.cov(original.T, bias=True), np.cov(samples.T, bias=True)
        # E|C' - C|² = (tr(C)² + tr(C²)) / n for the covariance C' of n Gaussian samples.
        expected = np.sqrt((np.trace(wanted) ** 2 + np.sum(wanted**2)) / count)
        assert 0.5 * expected < np.linalg.norm(got - wanted) < 1.5 * expected


def test_isogm_has_the_mean_and_one_variance(digits):
    clone = kdefrost.make_clone("isogm", digits, per_class=20000, test_per_class=1)
    original, samples = _flat(digits, 4), _flat(clone, 4)
    variance = original.var(axis=0).mean()
    np.testing.assert_allclose(samples.mean(axis=0), original.mean(axis=0), atol=5 * np.sqrt(variance / 20000))
    np.testing.assert_allclose(samples.var(axis=0), variance, rtol=0.06)
    correlations = np.corrcoef(samples.T)[np.triu_indices(64, 1)]
    assert np.abs(correlations).max() < 0.05


def test_samples_of_few_images_stay_in_their_span(digits):
    few = kdefrost.Examples(digits.train.images[:30], np.zeros(30, int))
    data = kdefrost.ImageData("few", few, few, ("only",))
    samples = _flat(kdefrost.make_clone("gm", data, per_class=500), 0)
    assert np.linalg.matrix_rank(samples - _flat(data, 0).mean(axis=0), tol=1e-2) == 29


def test_a_class_of_one_image_gives_that_image(digits):
    one = kdefrost.Examples(digits.train.images[:1], np.zeros(1, int))
    clone = kdefrost.make_clone("gm", kdefrost.ImageData("one", one, one, ("only",)), per_class=3)
    np.testing.assert_allclose(clone.train.images, np.repeat(digits.train.images[:1], 3, axis=0))


@pytest.mark.parametrize("name", ["isogm", "gm"])
def test_labels_are_the_originals_and_images_floats(digits, name):
    clone = kdefrost.make_clone(name, digits)
    assert clone.name == f"{name}-digits" and clone.classes == digits.classes
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(clone, part).labels, getattr(digits, part).labels)
        assert getattr(clone, part).images.shape == getattr(digits, part).images.shape
    assert clone.train.images.dtype == np.float32
    # Neither clipped nor rounded.
    assert clone.train.images.min() < 0 and np.any(clone.train.images % 1)


def test_a_clone_is_fixed_by_its_seed(digits):
    first, again, other = (kdefrost.make_clone("gm", digits, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.images, other.train.images)
    assert not np.array_equal(first.train.images[:360], first.test.images)


def test_numbers_of_samples(digits):
    clone = kdefrost.make_clone("isogm", digits, per_class=3, test_per_class=2)
    np.testing.assert_array_equal(np.bincount(clone.train.labels), 3)
    np.testing.assert_array_equal(np.bincount(clone.test.labels), 2)


def test_bad_arguments(digits):
    with pytest.raises(ValueError, match="one of isogm, gm"):
        kdefrost.make_clone("gn", digits)
    with pytest.raises(ValueError, match="`per_class` must be at least 1"):
        kdefrost.make_clone("gm", digits, per_class=0)
    keep = digits.train.labels != 9
    lacking = kdefrost.ImageData(
        "nine", kdefrost.Examples(*(p[keep] for p in digits.train)), digits.test, digits.classes
    )
    with pytest.raises(ValueError, match="Class '9' of 'nine' has no training image"):
        kdefrost.make_clone("gm", lacking)


def test_gm_of_real_cifar10(cifar10):
    """Two classes of it: mean and variance of every pixel, and the covariance in directions that matter."""
    keep = cifar10.train.labels < 2
    cars = kdefrost.ImageData("cars", kdefrost.Examples(*(p[keep] for p in cifar10.train)), cifar10.test, ("a", "b"))
    clone = kdefrost.make_clone("gm", cars, per_class=5000, test_per_class=1)
    for label in range(2):
        original, samples = _flat(cars, label), _flat(clone, label)
        error = original.std(axis=0) / np.sqrt(len(samples))
        assert np.max(np.abs(samples.mean(axis=0) - original.mean(axis=0)) / error) < 6
        np.testing.assert_allclose(samples.var(axis=0), original.var(axis=0), rtol=0.15)
        axes = np.linalg.svd(original[:1000] - original.mean(axis=0), full_matrices=False)[2][:20]
        np.testing.assert_allclose((samples @ axes.T).var(axis=0), (original @ axes.T).var(axis=0), rtol=0.15)
