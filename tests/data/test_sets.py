"""Sets as users give them: arrays and data sets, read once, in memory or not."""

import numpy as np
import pytest
import tensorflow as tf

from kdefrost.data.image_files import ImageFiles
from kdefrost.data.sets import hold, read_sets, take_rows
from kdefrost.data.storage import DiskArray

X = np.random.default_rng(0).integers(0, 255, (20, 4, 4, 3), np.uint8)
Y = np.arange(20) % 2


def _batches(x=X, y=Y, size=3):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


@pytest.mark.parametrize(("budget", "kind"), [(10**6, np.ndarray), (600, DiskArray)])
def test_a_data_set_is_read_into_memory_or_onto_disk(budget, kind, tmp_path):
    sets = read_sets(budget, tmp_path, train=_batches(), test=(X, Y), validation=None)
    assert list(sets) == ["train", "test"]
    for part in sets.values():
        place = [int(np.flatnonzero((row == X).all(axis=(1, 2, 3)))[0]) for row in part.x[:]]
        assert sorted(place) == list(range(20))
        np.testing.assert_array_equal(part.y, Y[place])
    assert isinstance(sets["train"].x._array, kind)


def test_a_data_set_is_the_same_in_any_order():
    orders = (np.arange(20), np.random.default_rng(0).permutation(20))
    sets = [
        read_sets(10**6, None, train=_batches(X[o], Y[o], n), test=(X, Y), validation=None)
        for o, n in zip(orders, (3, 7), strict=True)
    ]
    np.testing.assert_array_equal(*(part["train"].x[:] for part in sets))
    np.testing.assert_array_equal(*(part["train"].y for part in sets))


def test_a_data_set_that_shuffles_keeps_images_with_labels():
    marked = np.tile(Y[:, None, None, None], (1, 4, 4, 3)).astype(np.uint8)
    sets = read_sets(10**6, None, train=_batches(marked).unbatch().shuffle(20).batch(4), test=(X, Y), validation=None)
    np.testing.assert_array_equal(sets["train"].x[:][:, 0, 0, 0], sets["train"].y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)), "batches .x, y.; batch it"),
        (tf.data.Dataset.from_tensor_slices(X).batch(2), r"Dataset of batches \(x, y\)"),
        (_batches().map(lambda x, y: ({"image": x}, y)), r"Dataset of batches \(x, y\)"),
        (_batches().repeat(), "that ends; leave out `repeat`"),
        (_batches().take(0), "that is not empty"),
        (X, r"a pair \(x, y\)"),
        ((X, Y[:3]), "as many labels as examples"),
        ((X[:0], Y[:0]), "at least one"),
    ],
    ids=["unbatched", "without labels", "dict", "endless", "empty", "no pair", "lengths", "nothing"],
)
def test_bad_sets(given, message):
    with pytest.raises(ValueError, match=f"`train` must .*{message}"):
        read_sets(10**6, None, train=given, test=(X, Y), validation=None)


def _with(value, row=17):
    x = X.astype(np.float32)
    x[row, 1, 2, 0] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (_with(np.nan), r"The examples of `train` must be finite.*in example 17,"),
        (_with(-np.inf, 0), r"The examples of `train` must be finite.*in example 0,"),
        (tf.cast(_with(np.inf), tf.bfloat16), r"The examples of `train` must be finite.*in example 17,"),
        (np.array([*X, None], object)[:20], r"The examples of `train` must be an array .*dtype object"),
        ([*X[:10], *X[10:, :3]], r"The examples of `train` must be of one shape: resize them"),
        (X.astype(str), r"The examples of `train` must be an array .* of numbers"),
    ],
    ids=["NaN", "infinite", "bfloat16", "objects", "sizes", "texts"],
)
def test_examples_that_are_no_finite_numbers_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        read_sets(10**6, None, train=(x, Y), test=(X, Y), validation=None)
    if isinstance(x, np.ndarray) and x.dtype != object:
        numbers = x.dtype.kind == "f"
        with pytest.raises(ValueError, match=message if numbers else "`train` must be .* whose x are numbers"):
            read_sets(10**6, None, train=_batches(x), test=(X, Y), validation=None)


def test_the_largest_numbers_are_finite():
    x = np.full((3, 2), np.finfo(np.float32).max, np.float32)
    sets = read_sets(10**6, None, train=(x, Y[:3]), test=(x, Y[:3]), validation=None)
    np.testing.assert_array_equal(sets["train"].x, x)


def test_a_set_that_is_none_is_named_before_another_is_missed():
    with pytest.raises(ValueError, match=r"`train` must be a pair .*Received: tuple of 3\."):
        read_sets(10**6, None, train=(X, Y, Y), test=None, validation=None)


@pytest.fixture
def files(tmp_path):
    from PIL import Image

    for row, image in enumerate(X):
        Image.fromarray(image).save(tmp_path / f"{row:02}.png")
    return ImageFiles(tmp_path, [f"{row:02}.png" for row in range(20)], (4, 4))


def test_files_are_decoded_once_and_only_the_rows_that_are_used(files, monkeypatch):
    opened = []
    decode = ImageFiles._decode
    monkeypatch.setattr(ImageFiles, "_decode", lambda self, row: (opened.append(int(row)), decode(self, row))[1])
    chosen = take_rows(files, np.array([3, 7, 8]))
    assert not opened
    held = hold(chosen, 10**6, None, False)
    for _ in range(3):
        np.testing.assert_array_equal(held[np.arange(3)], X[[3, 7, 8]])
    assert len(opened) == 3


def test_arrays_are_not_copied():
    chosen = take_rows(X, np.array([3, 7]))
    assert hold(chosen, 0, None, False) is chosen
    np.testing.assert_array_equal(chosen[:], X[[3, 7]])
