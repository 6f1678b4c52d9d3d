"""Hashes by which exact copies among examples are found."""

import numpy as np
import pytest

from kdefrost import fingerprint
from kdefrost.data.copies import Digests
from kdefrost.data.storage import Rows, collect


def digests_of(*blocks):
    digests = Digests()
    for block in blocks:
        digests.see(block)
    return digests.all


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(7, 4, 4, 3)).astype("float32")


def test_equal_examples_have_equal_hashes_and_others_have_not(images):
    images[5] = images[2]
    digests = digests_of(images)
    assert digests.shape == (7,) and len(np.unique(digests)) == 6 and digests[5] == digests[2]
    images[5, 0, 0, 0] += 1e-6
    assert len(np.unique(digests_of(images))) == 7
    assert digests_of() is None


def test_they_are_the_same_in_whatever_blocks_and_order_in_memory_they_come(images):
    whole = digests_of(images)
    np.testing.assert_array_equal(digests_of(images[:3], images[3:]), whole)
    np.testing.assert_array_equal(digests_of(np.asfortranarray(images)), whole)
    texts = np.array(["a", "bc", "a"])
    assert digests_of(texts)[0] == digests_of(texts)[2] != digests_of(texts)[1]


def test_they_are_taken_while_others_read(images, tmp_path):
    labels, by_print, by_disk = np.arange(7), Digests(), Digests()
    rows = Rows(images, [4, 0, 2])
    plain = fingerprint.of_arrays(rows, labels)
    assert fingerprint.of_arrays(rows, labels, see_first=by_print.see) == plain
    # Of the first array alone.
    np.testing.assert_array_equal(by_print.all, digests_of(images[[4, 0, 2]]))
    collect(images, 0, tmp_path, see=by_disk.see)
    np.testing.assert_array_equal(by_disk.all, digests_of(images))
