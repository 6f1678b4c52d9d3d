"""Scores of features and labels, each by a second route: leaving out, maximising, the definition."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import KNeighborsClassifier

from kdefrost.transferability import h_score, kernel_ridge, logme, nearest_mean, nearest_neighbors, ridge
from kdefrost.transferability.leave_one_out import STRENGTHS
from kdefrost.transferability.pooling import pooled, standardized, tells, varied

ACCURACIES = (ridge, nearest_mean, nearest_neighbors)


def make(examples: int, width: int, shift: float = 1.0, classes: int = 3, seed: int = 0):
    """Features of classes that differ in their means, in units and offsets that differ from column to column."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(examples) % classes)
    means = shift * rng.normal(size=(classes, width))
    features = (means[labels] + rng.normal(size=(examples, width))) * rng.uniform(0.1, 10, width) + rng.normal(
        size=width
    )
    return features, labels


# More examples than features, and fewer.
SHAPES = pytest.mark.parametrize("shape", [(30, 4), (24, 40)], ids=str)


def ridge_by_leaving_out(kernel, scale, labels):
    """The accuracy of a kernel's ridge with an intercept, each example predicted by one of all the others."""
    answers, results = (labels[:, None] == np.unique(labels)).astype(float), []
    for strength in np.multiply(STRENGTHS, scale):
        predictions, relative = [], []
        for out in range(len(labels)):
            rest = np.delete(np.arange(len(labels)), out)
            # Of the others: the intercept is free, the sum of the coefficients zero.
            system = np.ones((len(labels), len(labels)))
            system[:-1, :-1] = kernel[np.ix_(rest, rest)] + strength * np.eye(len(rest))
            system[-1, -1] = 0
            *coefficients, intercept = np.linalg.solve(system, np.vstack([answers[rest], np.zeros(3)]))
            predictions.append(kernel[out, rest] @ coefficients + intercept)
            relative.append(predictions[-1] - answers[rest].mean(axis=0) + answers.mean(axis=0))
        right = np.mean(np.argmax(relative, axis=1) == labels)
        results.append((np.square(answers - predictions).sum(), right))
    return min(results)[1]


@pytest.mark.parametrize("shift", [0.0, 0.7])
@SHAPES
def test_ridge_is_what_leaving_out_gives(shape, shift):
    features, labels = make(*shape, shift)
    x = standardized(features)
    scale = np.square(x).sum() / min(x.shape)
    assert ridge(features, labels) == ridge_by_leaving_out(x @ x.T, scale, labels)


@SHAPES
def test_kernel_ridge_is_what_leaving_out_gives(shape):
    features, labels = make(*shape, 0.7)
    kernel = np.square(features @ features.T / 50 + 1)
    scale = (np.trace(kernel) - kernel.mean(axis=0).sum()) / len(kernel)
    assert kernel_ridge(kernel, labels) == ridge_by_leaving_out(kernel, scale, labels)


def test_a_linear_kernel_gives_what_features_give():
    features, labels = make(20, 30, 0.7)
    x = standardized(features)
    assert kernel_ridge(x @ x.T, labels) == kernel_ridge(3 * x @ x.T + 5, labels)
    # As many eigenvalues in either, so that strengths are the same but for the one that centring makes zero.
    assert kernel_ridge(x @ x.T, labels) == ridge(features, labels)


@SHAPES
def test_the_nearest_mean_is_what_leaving_out_gives(shape):
    features, labels = make(*shape, 0.7)
    x, right = standardized(features), []
    for out in range(len(x)):
        rest = np.delete(np.arange(len(x)), out)
        means = [x[rest][labels[rest] == label].mean(axis=0) for label in range(3)]
        right.append(np.argmin([np.linalg.norm(x[out] - mean) for mean in means]) == labels[out])
    assert nearest_mean(features, labels) == np.mean(right)


@SHAPES
def test_neighbors_are_what_leaving_out_gives(shape):
    features, labels = make(*shape, 0.7)
    x, right = standardized(features), []
    for out in range(len(x)):
        rest = np.delete(np.arange(len(x)), out)
        near = KNeighborsClassifier(5).fit(x[rest], labels[rest])
        order = rest[near.kneighbors(x[[out]], return_distance=False)[0]]
        votes = np.bincount(labels[order], minlength=3)
        answer = next(label for label in labels[order] if votes[label] == votes.max())
        right.append(answer == labels[out])
    assert nearest_neighbors(features, labels) == np.mean(right)


def test_the_nearest_mean_by_hand():
    """Without itself, the last one is 0.1 from the mean of class 0 and 10.1 from that of its own."""
    features, labels = np.array([[0.0], [1.0], [10.0], [11.0], [0.4]]), np.array([0, 0, 1, 1, 1])
    assert nearest_mean(features, labels) == 4 / 5


@pytest.mark.parametrize("score", ACCURACIES, ids=lambda score: score.__name__)
def test_an_example_that_is_alone_in_its_class_is_never_right(score):
    labels = np.array([0] * 6 + [1] * 6 + [2])
    features = np.eye(3)[labels] + 1e-3 * np.random.default_rng(0).normal(size=(13, 3))
    assert score(features, labels) == pytest.approx(12 / 13, abs=1e-12)


@pytest.mark.parametrize("score", ACCURACIES, ids=lambda score: score.__name__)
def test_accuracies_do_not_depend_on_units_order_or_names_of_classes(score):
    features, labels = make(40, 6, 0.7)
    order = np.random.default_rng(1).permutation(40)
    again = (features * 7 - 3)[order]
    assert score(again, 10 - 3 * labels[order]) == score(features, labels)
    assert score(np.hstack([features, np.full((40, 1), 5.0)]), labels) == score(features, labels)
    assert 0 < score(features, labels) <= 1


@pytest.mark.parametrize("width", [10, 100])
@pytest.mark.parametrize("score", ACCURACIES, ids=lambda score: score.__name__)
def test_noise_is_about_as_good_as_a_guess(score, width):
    """Nothing of the label of an example that is left out comes in by means of all, however many features there are."""
    scores = [score(*make(60, width, shift=0.0, seed=seed)) for seed in range(12)]
    # Four standard errors.
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.07)


@pytest.mark.parametrize("shift", [0.3, 2.0])
@SHAPES
def test_logme_is_the_largest_evidence(shape, shift):
    features, labels = make(*shape, shift)
    features = features / features.std()
    found = []
    for label in range(3):
        y = (labels == label).astype(float)

        def surprise(logarithms, y=y):
            alpha, beta = np.exp(logarithms)
            covariance = features @ features.T / alpha + np.eye(len(y)) / beta
            size = np.linalg.slogdet(2 * np.pi * covariance)[1]
            return (size + y @ np.linalg.solve(covariance, y)) / (2 * len(y))

        starts = [(alpha, beta) for alpha in (-2.0, 2.0, 6.0) for beta in (0.0, 3.0)]
        options = {"bounds": [(-20, 20)] * 2, "method": "Nelder-Mead", "tol": 1e-10}
        found.append(min(minimize(surprise, start, **options).fun for start in starts))
    assert logme(features, labels) == pytest.approx(-np.mean(found), abs=1e-6)


def test_logme_does_not_depend_on_scale_and_rotation():
    features, labels = make(30, 5)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    assert logme(7 * features @ rotation, labels) == pytest.approx(logme(features, labels), rel=1e-6)
    # A column that repeats others has no news.
    assert np.isfinite(logme(np.hstack([features, features]), labels))


@pytest.mark.parametrize(
    "features", [np.zeros((6, 2)), np.eye(3)[[0, 1, 2] * 2], np.eye(6)], ids=["nothing", "all", "own"]
)
def test_logme_of_features_that_tell_nothing_or_all_is_a_number(features):
    assert np.isfinite(logme(features, np.arange(6) % 3))


def test_logme_of_no_features_is_the_evidence_of_noise():
    """By hand: N/2 log(N / 2π|y|²) − N/2 per example, with |y|² = N/3."""
    assert logme(np.zeros((6, 2)), np.arange(6) % 3) == pytest.approx(0.5 * np.log(3 / (2 * np.pi)) - 0.5)


@SHAPES
def test_h_score_is_its_definition(shape):
    features, labels = make(*shape)
    estimate = LedoitWolf().fit(features)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    between = np.cov(means, rowvar=False, bias=True)
    expected = (1 - estimate.shrinkage_) * np.trace(np.linalg.inv(estimate.covariance_) @ between)
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-9)
    assert h_score(-5 * features + 3, labels) == pytest.approx(expected, rel=1e-9)


def test_h_score_of_many_examples_is_the_share_of_variance_between_classes():
    """Of one feature, by hand: means ±1 and deviation 1 have half of the variance 2 between classes."""
    labels = np.arange(20000) % 2
    features = (2.0 * labels - 1 + np.random.default_rng(0).normal(size=20000))[:, None]
    assert h_score(features, labels) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("score", [logme, h_score, ridge, nearest_mean, nearest_neighbors], ids=lambda s: s.__name__)
def test_features_that_tell_more_have_a_higher_score(score):
    scores = [score(*make(60, 8, shift)) for shift in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores) and scores[0] < scores[2]


@pytest.mark.parametrize("score", [logme, h_score, ridge, nearest_mean, nearest_neighbors], ids=lambda s: s.__name__)
@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 1], [0, 1, 2, 3]], ids=str)
def test_the_fewest_examples_have_a_number(score, labels):
    labels = np.array(labels)
    assert np.isfinite(score(np.random.default_rng(0).normal(size=(len(labels), 7)), labels))


def test_features_are_averaged_over_positions():
    rng = np.random.default_rng(0)
    image, first, sequence, vector = (rng.normal(size=(5, *shape)) for shape in [(4, 3, 2), (2, 4, 3), (6, 7), (8,)])
    vectors = pooled((image, first, sequence, vector), [-1, 1, -1, -1])
    expected = [image.mean(axis=(1, 2)), first.mean(axis=(2, 3)), sequence.mean(axis=1), vector]
    np.testing.assert_allclose(vectors, np.hstack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("value", "tell"), [(1.0, False), (np.nan, False), (np.inf, False), (None, True)])
def test_what_tells_examples_apart(value, tell):
    features = np.full((4, 2), 3.0, np.float32)
    if value is None:
        features[1, 1] = 4
    elif not np.isfinite(value):
        features[:, 1] = [1, 2, 3, value]
    assert tells(features) == tell


def test_rounding_does_not_vary():
    features = np.stack([1e6 + 1e-3 * np.arange(4), np.arange(4)], axis=1)
    assert varied(features).shape == (4, 1) and standardized(features).std() == pytest.approx(1)
