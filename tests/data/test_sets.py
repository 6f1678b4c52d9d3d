"""Sets as users give them: arrays and data sets, read once, in memory or not."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdefrost.data.image_files import ImageFiles
from kdefrost.data.sets import hold, read_images, read_sets, take_rows
from kdefrost.data.storage import DiskArray, Rows

X = np.random.default_rng(0).integers(0, 255, (20, 4, 4, 3), np.uint8)
Y = np.arange(20) % 2


def _batches(x=X, y=Y, size=3):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def _generated(*batches):
    """A data set that does not tell its number of batches, nor their shapes."""
    kinds = (tf.uint8, tf.int64)
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_types=kinds)


class Sequence(keras.utils.PyDataset):
    """Keras's own way to batches."""

    def __getitem__(self, index):
        return X, Y


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
        (
            _batches().map(lambda x, y: {"image": x, "label": y}),
            r"Make pairs of them, such as by .*\(each\['image'\], each\['label'\]\)",
        ),
        (_batches().map(lambda x, y: (x, y, y)), r"Weights of single examples are not taken.*x, y, weights: \(x, y\)"),
        ((X, Y, np.ones(20)), r"a pair \(x, y\).*tuple of 3. Weights of single examples are not taken"),
        ([_batches(), _batches()], r"one tf.data.Dataset.* Received: two data sets"),
        (
            _batches().map(lambda x, y: (tf.io.decode_png(tf.strings.as_string(y[0]))[None], y)),
            r"a tf.data.Dataset that can be read to its end. TensorFlow says: ",
        ),
        (_batches().repeat(), "that ends; leave out `repeat`"),
        (_batches().take(0), "that is not empty"),
        (X, r"a pair \(x, y\)"),
        ((X, Y[:3]), "as many labels as examples"),
        ((X[:0], Y[:0]), "at least one"),
        (_generated((X[:0], Y[:0])), "that is not empty"),
        (
            _generated((X[:4], Y[:3])),
            r"as many labels as examples; batch it.*x of shape \(4, 4, 4, 3\), y of shape \(3,\)",
        ),
        (_generated((X[0], Y[0])), "as many labels as examples; batch it"),
        (_batches().map(lambda x, y: (x, tf.sparse.from_dense(y))), "dense tensors both"),
        (_batches().map(lambda x, y: (x, tf.RaggedTensor.from_tensor(y[:, None]))), "dense tensors both"),
        (Sequence(), r"a pair \(x, y\).*Received: Sequence. Put its batches together"),
    ],
    ids=[
        *("unbatched", "without labels", "dict", "pairs by name", "weights", "weights of arrays", "two", "broken"),
        *("endless", "empty", "no pair", "lengths", "nothing", "empty batches"),
        *("fewer labels", "single examples", "sparse", "ragged", "sequence"),
    ],
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
        (_with(np.nan).astype(np.float16), r"The examples of `train` must be finite.*in example 17,"),
        (_with(0).astype(np.float64) * 1e300, r"The examples of `train` must be finite.*in example 0,"),
        (np.ma.masked_equal(X, X[3, 0, 0, 0]), r"The examples of `train` must have no masked values"),
        (X.view([("red", np.uint8)]), r"The examples of `train` must be an array .* of numbers"),
        (Rows(_with(np.nan), np.arange(20)), r"The examples of `train` must be finite.*in example 17,"),
    ],
    ids=[
        *("NaN", "infinite", "bfloat16", "objects", "sizes", "float16", "beyond float32", "masked", "records"),
        "rows",
    ],
)
def test_examples_that_are_no_finite_numbers_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        read_sets(10**6, None, train=(x, Y), test=(X, Y), validation=None)
    if type(x) is np.ndarray and x.dtype.kind in "fU":
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


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (np.array(["cat", "dog"])[Y], r"\((20|None),\) of (<U3|object)"),
        (np.zeros((20, 2, 2)), r"\((20|None), 2, 2\) of float64"),
        (np.array([b"cat", b"dog"])[Y], r"\((20|None),\) of (\|S3|object)"),
    ],
    ids=["texts", "rank 3", "bytes"],
)
def test_labels_that_are_no_numbers_get_one_sentence_however_they_come(labels, received):
    message = rf"Labels of `train` must be numbers \(examples,\) or .*number the classes from 0. Received: {received}"
    for given in ((X, labels), _batches(X, labels)):
        with pytest.raises(ValueError, match=message):
            read_sets(10**6, None, train=given, test=(X, Y), validation=None)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "float16"])
def test_labels_of_any_numbers_are_read(dtype):
    labels = Y.astype(dtype)
    for given in ((X, labels), _batches(X, labels), _generated((X[:7], Y[:7]), (X[7:7], Y[7:7]), (X[7:], Y[7:]))):
        part = read_sets(10**6, None, train=given, test=(X, Y), validation=None)["train"]
        place = [int(np.flatnonzero((row == X).all(axis=(1, 2, 3)))[0]) for row in part.x[:]]
        np.testing.assert_array_equal(part.y, Y[place])


def test_batches_of_several_shapes_are_a_sentence():
    with pytest.raises(ValueError, match=r"one shape.*batches of \(4, 4, 3\) with labels \(\) and of \(3, 4, 3\)"):
        read_sets(10**6, None, train=_generated((X, Y), (X[:, 1:], Y)), test=(X, Y), validation=None)
    images = tf.data.Dataset.from_generator(lambda: iter([X, X[:, 1:]]), output_signature=tf.TensorSpec((None,) * 4))
    with pytest.raises(ValueError, match=r"`images` must be of one shape.*of \(4, 4, 3\) and of \(3, 4, 3\)"):
        read_images("images", images, 10**6, None)


def _endless():
    """Batches of two without end, as a generator gives them, which tells nothing of its length."""
    pairs = ((X[[n % 20, (n + 1) % 20]], Y[[n % 20, (n + 1) % 20]]) for n in itertools.count())
    return tf.data.Dataset.from_generator(lambda: pairs, output_types=(tf.uint8, tf.int64))


def test_a_data_set_without_end_is_told_of_and_stopped(monkeypatch, capsys):
    monkeypatch.setattr("kdefrost.data.sets._SAID_AFTER", 3)
    monkeypatch.setattr("kdefrost.data.sets._MOST_BATCHES", 5)
    with pytest.raises(
        ValueError, match=r"`train` must be .* that ends; it has given 5 batches.*dataset.take\(steps\)"
    ):
        read_sets(10**6, None, train=_endless(), test=(X, Y), validation=None)
    assert "`train` has given 3 batches and goes on" in capsys.readouterr().out
    images = _endless().map(lambda x, y: tf.ensure_shape(x, (None, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"`images` must be .* that ends; it has given 5 batches"):
        read_images("images", images, 10**6, None)


@pytest.mark.parametrize("given", [_endless, lambda: _batches(size=2).repeat()], ids=["generator", "repeat"])
def test_steps_stop_a_data_set_without_end(given, monkeypatch, capsys):
    monkeypatch.setattr("kdefrost.data.sets._MOST_BATCHES", 5)
    sets = read_sets(10**6, None, steps=7, train=given(), test=(X, Y), validation=_batches(size=4))
    assert [len(part.y) for part in sets.values()] == [14, 20, 20] and capsys.readouterr().out == ""


def test_a_data_set_that_ends_is_read_to_its_end_whatever_it_tells(monkeypatch):
    monkeypatch.setattr("kdefrost.data.sets._MOST_BATCHES", 5)
    for given, count in ((_batches(size=1), 20), (_generated(*[(X[:2], Y[:2])] * 5), 10)):
        assert len(read_sets(10**6, None, train=given, test=None, validation=None)["train"].y) == count


@pytest.mark.parametrize("steps", [0, True, 2.5, -1])
def test_steps_that_are_none_are_refused(steps):
    with pytest.raises(ValueError, match=rf"`steps` must be a whole number of batches, at least 1.*steps={steps}"):
        read_sets(10**6, None, steps=steps, train=_batches(), test=(X, Y), validation=None)


def test_steps_are_for_data_sets():
    with pytest.raises(ValueError, match=r"`steps` are for a tf.data.Dataset"):
        read_sets(10**6, None, steps=3, train=(X, Y), test=None, validation=None)
