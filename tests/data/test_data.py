"""Data sets: digits, TensorFlow Datasets, folders, IDC; channel statistics, and what cannot be had."""

import os

import numpy as np
import pytest
from PIL import Image

import kdefrost
from kdefrost.data.channels import channel_statistics
from kdefrost.data.image_files import ImageFiles


def write(root, classes, size=(4, 6)):
    """Writes class folders of so many grey images, each of a value of its own."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", size[::-1], 10 * number).save(root / name / f"{number}.png")


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
    mean, deviation = channel_statistics(images)
    assert mean.dtype == deviation.dtype == np.float32 and mean.shape == deviation.shape == (3,)
    standardized = (images - mean) / deviation
    assert standardized.dtype == np.float32
    np.testing.assert_allclose(standardized.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(standardized.std(axis=(0, 1, 2)), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(deviation, [*images[..., :2].std(axis=(0, 1, 2)), 1], rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1e6])
def test_a_constant_channel_of_any_value_has_deviation_one(value):
    mean, deviation = channel_statistics(np.full((50, 3, 3, 1), value, np.float32))
    assert mean == np.float32(value) and deviation == 1


def test_a_small_deviation_far_from_zero_is_not_lost():
    images = 1e4 + np.random.default_rng(0).normal(size=(200, 5, 5, 2))
    np.testing.assert_allclose(channel_statistics(images)[1], images.std(axis=(0, 1, 2)), rtol=1e-6)


def test_statistics_do_not_depend_on_blocks_and_read_files_block_by_block(tmp_path, monkeypatch):
    write(tmp_path, {"a": 7, "b": 4})
    images = kdefrost.load_data(tmp_path, image_size=5).train.images
    expected = channel_statistics(np.asarray(images))
    monkeypatch.setattr("kdefrost.data.channels._BLOCK", 2 * 5 * 5 * 3)
    read, original = [], ImageFiles.__getitem__
    monkeypatch.setattr(ImageFiles, "__getitem__", lambda self, rows: read.append(rows) or original(self, rows))
    np.testing.assert_allclose(channel_statistics(images), expected, rtol=1e-6)
    assert all(rows == 0 or rows.stop - rows.start == 2 for rows in read) and len(read) == 1 + -(-len(images) // 2)


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


def test_hold_out_never_takes_all_of_a_class():
    labels = np.repeat([0, 1, 2], [1, 2, 10])
    examples = kdefrost.Examples(np.zeros((13, 1, 1, 1)), labels)
    for share in (0.1, 0.9):
        rest, held_out = kdefrost.hold_out(examples, share=share)
        np.testing.assert_array_equal(np.bincount(held_out.labels), [0, 1, round(10 * share)])
        np.testing.assert_array_equal(np.bincount(rest.labels), [1, 1, 10 - round(10 * share)])


def test_hold_out_of_groups_divides_none_and_balances_classes():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(60), 10))
    labels = rng.integers(0, 3, 600)
    examples = kdefrost.Examples(np.arange(600.0)[:, None, None, None], labels)
    for names in (groups, np.array([f"patient {group}" for group in groups])):
        rest, held_out = kdefrost.hold_out(examples, share=0.2, seed=1, groups=names)
        sides = [set(groups[part.images.ravel().astype(int)]) for part in (rest, held_out)]
        assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 60
        np.testing.assert_allclose(np.bincount(held_out.labels) / np.bincount(labels), 0.2, atol=0.05)
    again = kdefrost.hold_out(examples, share=0.2, seed=1, groups=names)[1]
    other = kdefrost.hold_out(examples, share=0.2, seed=2, groups=names)[1]
    np.testing.assert_array_equal(held_out.images, again.images)
    assert not np.array_equal(held_out.images, other.images)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_hold_out_of_few_groups_leaves_every_class(share):
    """Class 1 is of patients 2 and 3 alone, one of which must stay; patient 0 has one image."""
    groups = np.repeat([0, 1, 2, 3], [1, 4, 4, 4])
    labels = np.repeat([0, 1], [5, 8])
    for seed in range(5):
        examples = kdefrost.Examples(np.zeros((13, 1, 1, 1)), labels)
        rest, held_out = kdefrost.hold_out(examples, share, seed, groups)
        assert len(held_out.labels) and set(rest.labels) == {0, 1}


@pytest.mark.parametrize("counts", [[2] * 10, [3, 30]], ids=str)
def test_hold_out_of_groups_takes_classes_smaller_than_the_number_of_folds(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    examples = kdefrost.Examples(np.zeros((len(labels), 1, 1, 1)), labels)
    rest, held_out = kdefrost.hold_out(examples, share=0.05, groups=np.arange(len(labels)))
    assert len(held_out.labels) and set(rest.labels) == set(labels)


def test_groups_that_cannot_be_set_aside_are_refused():
    examples = kdefrost.Examples(np.zeros((4, 1, 1, 1)), np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match=r"`groups` must name the group of each of the 4 examples.*shape \(3,\)"):
        kdefrost.hold_out(examples, groups=np.arange(3))
    for groups in ([0, 0, 0, 0], [0, 0, 1, 1]):
        with pytest.raises(
            ValueError, match=r"each class is of two groups.*groups=None or load_data\(split=\"random\"\)"
        ):
            kdefrost.hold_out(examples, groups=np.array(groups))


def test_an_unknown_data_set_gets_the_nearest_names():
    with pytest.raises(ValueError, match=r"no data set 'cifra10'.*`digits`, `idc`.*nearest names: .*cifar10"):
        kdefrost.load_data("cifra10")
    with pytest.raises(ValueError, match=r"no data set 'idcs'.*nearest names: idc"):
        kdefrost.load_data("idcs")
    with pytest.raises(ValueError, match=r"no data set '/no/photos'.*the path of an existing folder of images"):
        kdefrost.load_data("/no/photos")


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
    assert kdefrost.load_data("mixed", data_dir=tmp_path).image_shape == (64, 64, 3)
    grey = kdefrost.load_data("mixed", data_dir=tmp_path, image_size=(6, 8), color_mode="grayscale")
    np.testing.assert_array_equal(grey.train.images, data.train.images[..., :1])


def test_digits_are_resized():
    data, large = kdefrost.load_data("digits"), kdefrost.load_data("digits", image_size=(16, 24))
    assert large.train.images.shape == (1437, 16, 24, 1) and large.train.images.dtype == np.uint8
    np.testing.assert_array_equal(large.train.labels, data.train.labels)
    same = kdefrost.load_data("digits", image_size=8)
    np.testing.assert_array_equal(same.train.images, data.train.images)
    # Averaged over blocks of 8 × 8 pixels, an image keeps its mean but for rounding and the triangle's tails.
    single = kdefrost.load_data("digits", image_size=1).train.images.ravel()
    assert np.corrcoef(single, data.train.images.mean(axis=(1, 2, 3)))[0, 1] > 0.8


@pytest.mark.parametrize("image_size", [0, (4, -1), (4, 5, 6), 2.5, "ab", (4, None)])
def test_an_image_size_that_is_none_is_refused(image_size):
    with pytest.raises(ValueError, match=r"`image_size` must be a positive whole number, or two.*image_size="):
        kdefrost.load_data("digits", image_size=image_size)


def test_a_folder_gives_files_of_which_a_fixed_fifth_of_each_class_is_the_test_set(tmp_path, monkeypatch):
    write(tmp_path / "zdjęcia", {"kot": 10, "żaba": 5, "jeż": 1})
    monkeypatch.setattr(Image, "open", lambda *args: pytest.fail("An image was opened before it was asked for."))
    data = kdefrost.load_data(tmp_path / "zdjęcia")
    again = kdefrost.load_data(str(tmp_path / "zdjęcia"))
    monkeypatch.undo()
    assert data.name == "zdjęcia" and data.classes == ("jeż", "kot", "żaba") and data.groups is None
    assert isinstance(data.train.images, ImageFiles) and data.image_shape == (224, 224, 3)
    np.testing.assert_array_equal(np.bincount(data.train.labels), [1, 8, 4])
    np.testing.assert_array_equal(np.bincount(data.test.labels), [0, 2, 1])
    assert data.train.images.fingerprint == again.train.images.fingerprint
    values = np.sort(np.concatenate([part.images[part.labels == 1, 0, 0, 0] for part in loaded(data)]))
    np.testing.assert_array_equal(values, 10 * np.arange(10))


def loaded(data):
    """Train and test with their images in memory."""
    return [kdefrost.Examples(np.asarray(part.images), part.labels) for part in (data.train, data.test)]


def test_a_folder_of_parts_keeps_them(tmp_path):
    write(tmp_path / "train", {"a": 3, "b": 2, "c": 1})
    write(tmp_path / "val", {"b": 4})
    data = kdefrost.load_data(tmp_path, image_size=(3, 2), color_mode="grayscale")
    assert data.train.images.shape == (6, 3, 2, 1) and data.test.images.shape == (4, 3, 2, 1)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 2] and data.test.labels.tolist() == [1, 1, 1, 1]
    assert np.asarray(data.test.images)[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_a_folder_without_a_test_image_is_refused(tmp_path):
    write(tmp_path / "single", {"a": 1, "b": 1})
    write(tmp_path / "parts" / "train", {"a": 2, "b": 2})
    (tmp_path / "parts" / "test").mkdir()
    for folder in ("single", "parts"):
        with pytest.raises(ValueError, match=rf"no image to test on in .*{folder}: add images, at least two"):
            kdefrost.load_data(tmp_path / folder)


def test_hold_out_leaves_files_unread(tmp_path, monkeypatch):
    write(tmp_path, {"a": 10, "b": 10})
    train = kdefrost.load_data(tmp_path, image_size=4).train
    array = kdefrost.Examples(np.asarray(train.images), train.labels)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *args: pytest.fail("An image was opened before it was asked for."))
        parts = [kdefrost.hold_out(train, 0.25), kdefrost.hold_out(train, 0.25, groups=np.arange(16) % 6)]
    expected = [kdefrost.hold_out(array, 0.25), kdefrost.hold_out(array, 0.25, groups=np.arange(16) % 6)]
    for lazy, eager in zip(sum(parts, ()), sum(expected, ()), strict=True):
        assert isinstance(lazy.images, ImageFiles)
        np.testing.assert_array_equal(lazy.images, eager.images)
        np.testing.assert_array_equal(lazy.labels, eager.labels)


def test_corrupt_files_are_named_when_read_or_left_out_with_one_warning(tmp_path, capsys):
    write(tmp_path, {"a": 10, "b": 10})
    broken = [tmp_path / "a" / f"broken{number}.jpg" for number in range(4)]
    for path in broken:
        path.write_text("not an image")
    data = kdefrost.load_data(tmp_path, image_size=4)
    assert len(data.train.labels) + len(data.test.labels) == 24
    with pytest.raises(ValueError, match=r"broken\d.jpg cannot be read \(it is no image\)"):
        loaded(data)
    message = r"4 of 24 image files in .* are left out: a/broken0.jpg, a/broken1.jpg, a/broken2.jpg, …$"
    with pytest.warns(UserWarning, match=message) as caught:
        skipped = kdefrost.load_data(tmp_path, image_size=4, on_corrupt="skip")
    assert len(caught) == 1 and caught[0].filename == __file__
    assert capsys.readouterr().err == ""
    for path in broken:
        path.unlink()
    whole = kdefrost.load_data(tmp_path, image_size=4, on_corrupt="skip")
    for one, other in zip(loaded(skipped), loaded(whole), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_class_of_corrupt_files_alone_is_refused(tmp_path):
    write(tmp_path, {"a": 3, "b": 0})
    (tmp_path / "b" / "1.jpg").touch()
    with (
        pytest.warns(UserWarning, match=r"1 of 4 image files .*: b/1.jpg$"),
        pytest.raises(ValueError, match=r"no readable image of class 'b' to train on"),
    ):
        kdefrost.load_data(tmp_path, on_corrupt="skip")


def write_patients(root, patients=12):
    """Writes patches, of which one in four is positive; patient 8000 has no positive one, and a small one."""
    for patient in range(8000, 8000 + patients):
        write(root / str(patient), {"0": 6} if patient == 8000 else {"0": 6, "1": 2}, size=(50, 50))
    Image.new("RGB", (50, 7), (200, 100, 50)).save(root / "8000" / "0" / "small.PNG")


def test_patients_are_on_one_side_only(tmp_path):
    write_patients(tmp_path)
    data = kdefrost.load_data("idc", data_dir=tmp_path)
    assert data.classes == ("negative", "positive") and data.name == "idc" and data.image_shape == (50, 50, 3)
    assert len(data.groups) == len(data.train.labels) and data.train.labels.dtype.kind == "i"
    inside = set(data.groups)
    # Patient 8000 has 7 patches, the others 8: test has all of those patients of whom train has none.
    outside = {str(8000 + patient) for patient in range(12)} - inside
    assert 1 < len(outside) < 5 and len(data.test.labels) == sum(7 if name == "8000" else 8 for name in outside)
    assert set(data.test.labels) == {0, 1}


def test_patches_split_at_random_have_no_groups_and_small_ones_are_stretched(tmp_path):
    write_patients(tmp_path / "idc")
    data = kdefrost.load_data("idc", tmp_path, split="random", image_size=(10, 12), on_corrupt="skip")
    assert data.groups is None
    np.testing.assert_array_equal(np.bincount(data.train.labels), [58, 18])
    np.testing.assert_array_equal(np.bincount(data.test.labels), [15, 4])
    images = np.concatenate([part.images for part in loaded(data)])
    assert images.shape == (95, 10, 12, 3)
    colored = images[images[..., 0].max(axis=(1, 2)) == 200]
    np.testing.assert_array_equal(colored, np.broadcast_to(np.uint8([200, 100, 50]), (1, 10, 12, 3)))


def test_arguments_of_folders_and_patches_are_checked(tmp_path):
    write_patients(tmp_path, patients=1)
    with pytest.raises(ValueError, match=r"`split` must be 'patient' or 'random'.*split='patch'"):
        kdefrost.load_data("idc", tmp_path, split="patch")
    with pytest.raises(ValueError, match=r"`on_corrupt` must be 'raise' or 'skip'.*on_corrupt='ignore'"):
        kdefrost.load_data("idc", tmp_path, on_corrupt="ignore")
    with pytest.raises(ValueError, match=r"`color_mode` must be 'rgb' or 'grayscale'.*color_mode='gray'"):
        kdefrost.load_data("idc", tmp_path, color_mode="gray")
    with pytest.raises(ValueError, match=r"`data_dir` \(--data-dir\) must be the folder of the IDC patches.*None"):
        kdefrost.load_data("idc")
    with pytest.raises(ValueError, match="no readable image of class 'positive' to train on"):
        kdefrost.load_data("idc", tmp_path)


def test_real_idc():
    folder = os.environ.get("KDEFROST_IDC_DIR")
    if not folder:
        pytest.skip("The IDC patches are not there; KDEFROST_IDC_DIR names the folder of the patients' folders.")
    patches = {
        name: sum(len(files) for *_, files in os.walk(os.path.join(folder, name))) for name in os.listdir(folder)
    }
    for split in ("patient", "random"):
        data = kdefrost.load_data("idc", data_dir=folder, split=split)
        both = np.concatenate([data.train.labels, data.test.labels])
        np.testing.assert_array_equal(np.bincount(both), [7500, 2694])
        np.testing.assert_allclose(np.bincount(data.test.labels) / np.bincount(both), 0.2, atol=0.05)
        assert data.image_shape == (50, 50, 3) and data.test.images.shape == (len(data.test.labels), 50, 50, 3)
        assert data.train.images[::100].shape[1:] == (50, 50, 3)
    # Who is in train is there with all patches, so that none is left for test.
    groups = kdefrost.load_data("idc", data_dir=folder).groups
    trained_on = dict(zip(*np.unique(groups, return_counts=True), strict=True))
    assert len(patches) == 279 and 200 < len(trained_on) < 279
    assert trained_on == {name: patches[name] for name in trained_on}


def test_real_cifar10(cifar10):
    assert cifar10.train.images.shape == (50000, 32, 32, 3) and cifar10.test.images.shape == (10000, 32, 32, 3)
    assert cifar10.train.images.dtype == np.uint8 and cifar10.classes[3] == "cat"
    np.testing.assert_array_equal(np.bincount(cifar10.train.labels), 5000)
    np.testing.assert_array_equal(np.bincount(cifar10.test.labels), 1000)
    # The channel means that everybody normalises CIFAR-10 with.
    means = cifar10.train.images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=1e-4)


def test_a_pair_of_arrays_is_held_out_too():
    images, labels = np.arange(20)[:, None], np.arange(20) % 2
    rest, aside = kdefrost.hold_out((images, labels), share=0.2)
    assert len(aside.labels) == 4 and sorted([*rest.images[:, 0], *aside.images[:, 0]]) == list(range(20))
    with pytest.raises(ValueError, match=r"`examples` must be a pair \(images, labels\). Received: ndarray"):
        kdefrost.hold_out(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("part", ["train", "test", "validation"])
def test_images_that_are_no_numbers_are_in_no_data(part, value):
    """A clone, a source and a fidelity would be made of them without a word."""
    images, labels = np.zeros((6, 2, 2, 1)), np.arange(6) % 2
    broken = images.copy()
    broken[4, 0, 1] = value
    parts = {name: kdefrost.Examples(images, labels) for name in ("train", "test", "validation")}
    with pytest.raises(ValueError, match=rf"examples of `{part}` must be finite.*in example 4,"):
        kdefrost.ImageData("mine", classes=("a", "b"), **{**parts, part: kdefrost.Examples(broken, labels)})


def test_statistics_of_images_that_are_no_numbers_are_refused():
    images = np.ones((5, 2, 2, 1), np.float32)
    images[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"examples of `images` must be finite.*in example 3,"):
        channel_statistics(images)
