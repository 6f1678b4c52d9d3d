"""Features that hardly differ from example to example."""

import numpy as np
import pytest

from kdefrost.cutting.constancy import Constancy


def share_of(*parts, batch=64):
    rows = [slice(start, min(start + batch, len(parts[0]))) for start in range(0, len(parts[0]), batch)]
    batches = [(each, [part[each] for part in parts]) for each in rows]
    constancy = Constancy(len(parts[0]))
    # They are handed on as they are.
    assert all(passed is given for (_, passed), (_, given) in zip(constancy.watch(iter(batches)), batches, strict=True))
    return constancy.share


def brute_force(part, step):
    chosen = part[::step].reshape(len(part[::step]), -1).astype("float64")
    return np.mean(chosen.std(axis=0) <= 0.01 * np.sqrt(np.mean(chosen**2)))


def test_by_hand():
    rng = np.random.default_rng(0)
    features = np.ones((40, 4), "float32")
    features[:, 2] += rng.normal(0, 1e-3, 40)
    features[:, 3] += rng.normal(0, 0.5, 40)
    assert share_of(features) == 0.75
    assert share_of(np.zeros((40, 4))) == 1 and share_of(rng.normal(size=(40, 4))) == 0
    # Of two tensors, all features together: 3 of 4 and none of 12.
    assert share_of(features, rng.normal(size=(40, 2, 2, 3))) == 3 / 16


def test_a_large_mean_takes_nothing_from_the_exactness():
    rng = np.random.default_rng(0)
    almost = 1e4 + rng.normal(0, [1.0, 1.0, 500.0], (100, 3))
    assert share_of(almost.astype("float32")) == pytest.approx(2 / 3)


@pytest.mark.parametrize("batch", [7, 64, 3000])
def test_of_many_examples_some_that_are_spread_evenly_tell_it_whatever_the_batches(batch):
    rng = np.random.default_rng(1)
    # Examples in the order of their classes: the first thousand are all the same.
    features = np.repeat(rng.normal(size=(3, 2, 3)), 1000, axis=0) * [[[1, 1, 0]]]
    assert share_of(features, batch=batch) == brute_force(features, 3000 // 100) == 1 / 3
    assert share_of(features[:1000], batch=batch) == 1


def test_too_few_examples_numbers_that_are_none_and_texts_tell_nothing():
    assert share_of(np.zeros((9, 3))) is None
    assert share_of(np.full((20, 3), np.nan)) == share_of(np.array([[np.inf], [-np.inf]] * 10)) == 0
    assert share_of(np.array([["a"]] * 20)) is None
