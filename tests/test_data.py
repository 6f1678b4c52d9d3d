"""Data sets: the embedded digits, TensorFlow Datasets, standardisation, and what cannot be had."""

import numpy as np
import pytest

import kdefrost


def test_digits():
    data = kdefrost.load_data("digits")
    assert data.train.images.shape == (1437, 8, 8, 1) and data.test.images.shape == (360, 8, 8, 1)
    assert data.train.images.dtype == np.uint8 and data.classes == tuple("0123456789")
    assert np.bincount(data.train.labels).min() >= 139 and np.bincount(data.test.labels).min() >= 35
    again = kdefrost.load_data("digits")
    np.testing.assert_array_equal(data.test.images, again.test.images)


def test_standardised_channels_have_mean_zero_and_deviation_one():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (30, 4, 4, 3)).astype(np.uint8)
    images[..., 2] = 7
    train, test = (kdefrost.Examples(part, np.zeros(len(part), int)) for part in (images[:20], images[20:]))
    data = kdefrost.ImageData("random", train, test, ("only",)).standardized()
    assert data.train.images.dtype == np.float32
    np.testing.assert_allclose(data.train.images.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(data.train.images.std(axis=(0, 1, 2)), [1, 1, 0], atol=1e-6)
    mean, deviation = images[:20].mean(axis=(0, 1, 2)), images[:20].std(axis=(0, 1, 2))
    expected = (images[20:] - mean) / np.where(deviation > 0, deviation, 1)
    np.testing.assert_allclose(data.test.images, expected, atol=1e-5)


def test_hold_out_takes_a_share_of_each_class_and_loses_nothing():
    labels = np.repeat([0, 1, 2], [50, 20, 3])
    examples = kdefrost.Examples(np.arange(73.0)[:, None, None, None], labels)
    rest, held_out = kdefrost.hold_out(examples, share=0.1)
    np.testing.assert_array_equal(np.bincount(held_out.labels), [5, 2, 1])
    both = np.concatenate([rest.images, held_out.images]).ravel()
    np.testing.assert_array_equal(np.sort(both), np.arange(73))
    assert rest.smallest_class == 2
    with pytest.raises(ValueError, match="`share`"):
        kdefrost.hold_out(examples, share=1.0)


def test_an_unknown_data_set_gets_the_nearest_names():
    with pytest.raises(ValueError, match=r"no data set 'cifra10'.*`digits`.*nearest names: .*cifar10"):
        kdefrost.load_data("cifra10")


def test_a_set_without_labels_is_refused(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    builder = tfds.testing.DummyDataset(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: builder)
    with pytest.raises(ValueError, match="must have images with one label each"):
        kdefrost.load_data("dummy_dataset")


def test_what_cannot_be_downloaded_ends_in_one_sentence(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def no_network(*args, **kwargs):
        raise OSError("no route to host\nand more lines")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", no_network)
    message = r"'cifar10' is not in .*cifar10.*failed \(no route to host\).*--data-dir or TFDS_DATA_DIR.*--tgt digits"
    with pytest.raises(FileNotFoundError, match=message):
        kdefrost.load_data("cifar10", data_dir=tmp_path)


def test_images_of_different_sizes_are_resized(tmp_path):
    """A prepared set of TensorFlow Datasets, read without network."""
    import tensorflow_datasets as tfds

    class Mixed(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples(4), "validation": self._generate_examples(2)}

        def _generate_examples(self, count):
            for number in range(count):
                yield number, {"image": np.full((10 + number, 12, 3), 40 * number, np.uint8), "label": number % 2}

    Mixed(data_dir=tmp_path).download_and_prepare()
    data = kdefrost.load_data("mixed", data_dir=tmp_path, image_size=(6, 8))
    assert data.train.images.shape == (4, 6, 8, 3) and data.test.images.shape == (2, 6, 8, 3)
    assert sorted(data.train.images[:, 0, 0, 0].tolist()) == [0, 40, 80, 120] and data.train.images.dtype == np.uint8


def test_real_cifar10(cifar10):
    assert cifar10.train.images.shape == (50000, 32, 32, 3) and cifar10.test.images.shape == (10000, 32, 32, 3)
    assert cifar10.train.images.dtype == np.uint8 and cifar10.classes[3] == "cat"
    np.testing.assert_array_equal(np.bincount(cifar10.train.labels), 5000)
    np.testing.assert_array_equal(np.bincount(cifar10.test.labels), 1000)
    # The channel means that everybody normalises CIFAR-10 with.
    means = cifar10.train.images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=1e-4)
