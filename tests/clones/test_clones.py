"""Clones: Gaussians have the original's moments, autoencoders give its images back; both are kept."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

import kdefrost
from kdefrost.clones import making
from kdefrost.clones.gaussian import CLONES
from kdefrost.clones.making import bottleneck, is_clone

RECIPE = kdefrost.AutoencoderRecipe(epochs=3, warmup_epochs=1)


@pytest.fixture(scope="module")
def digits():
    return kdefrost.load_data("digits")


def make(*arguments, **options):
    """A clone that is made quietly and not kept."""
    return kdefrost.make_clone(*arguments, **{"directory": None, "verbose": False, "recipe": RECIPE, **options})


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
    keep = digits.train.labels < 3
    three = dataclasses.replace(digits, train=digits.train.take(keep), classes=("0", "1", "2"))
    clone = make("gm", three, per_class=count, test_per_class=1)
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
    clone = make("isogm", digits, per_class=20000, test_per_class=1)
    original, samples = _flat(digits, 4), _flat(clone, 4)
    variance = original.var(axis=0).mean()
    np.testing.assert_allclose(samples.mean(axis=0), original.mean(axis=0), atol=5 * np.sqrt(variance / 20000))
    np.testing.assert_allclose(samples.var(axis=0), variance, rtol=0.06)
    correlations = np.corrcoef(samples.T)[np.triu_indices(64, 1)]
    assert np.abs(correlations).max() < 0.05


def test_samples_of_few_images_stay_in_their_span(digits):
    few = kdefrost.Examples(digits.train.images[:30], np.zeros(30, int))
    data = kdefrost.ImageData("few", few, few, ("only",))
    samples = _flat(make("gm", data, per_class=500), 0)
    assert np.linalg.matrix_rank(samples - _flat(data, 0).mean(axis=0), tol=1e-2) == 29


def test_a_class_of_one_image_gives_that_image(digits):
    one = kdefrost.Examples(digits.train.images[:1], np.zeros(1, int))
    clone = make("gm", kdefrost.ImageData("one", one, one, ("only",)), per_class=3)
    np.testing.assert_allclose(clone.train.images, np.repeat(digits.train.images[:1], 3, axis=0))


@pytest.mark.parametrize("name", ["isogm", "gm"])
def test_labels_are_the_originals_and_images_floats(digits, name):
    clone = make(name, digits)
    assert clone.name == f"{name}-digits" and clone.classes == digits.classes
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(clone, part).labels, getattr(digits, part).labels)
        assert getattr(clone, part).images.shape == getattr(digits, part).images.shape
    assert clone.train.images.dtype == np.float32
    # Neither clipped nor rounded.
    assert clone.train.images.min() < 0 and np.any(clone.train.images % 1)


def test_a_clone_is_fixed_by_its_seed(digits):
    first, again, other = (make("gm", digits, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.images, other.train.images)
    assert not np.array_equal(first.train.images[:360], first.test.images)


def test_whole_numbers_of_numpy_are_whole_numbers(digits, tmp_path):
    one, other = (
        make("isogm", digits, seed=number(3), per_class=number(2), directory=tmp_path) for number in (int, np.int64)
    )
    np.testing.assert_array_equal(one.train.images, other.train.images)
    assert len(list((tmp_path / "clones").iterdir())) == 1


def test_images_in_files_are_known_by_their_pixels(tmp_path):
    """Of a format without compression, in which other images have the same number of bytes."""
    clones_made = []
    for value in (0, 200):
        for name in ("a", "b"):
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            for number in range(3):
                Image.new("L", (8, 8), value + number).save(tmp_path / "photos" / name / f"{number}.bmp")
        data = kdefrost.load_data(tmp_path / "photos", image_size=8, color_mode="grayscale")
        clones_made.append(make("isogm", data, directory=tmp_path / "kept"))
    assert clones_made[1].train.images.mean() - clones_made[0].train.images.mean() > 150


def test_numbers_of_samples(digits):
    clone = make("isogm", digits, per_class=3, test_per_class=2)
    np.testing.assert_array_equal(np.bincount(clone.train.labels), 3)
    np.testing.assert_array_equal(np.bincount(clone.test.labels), 2)


def test_bad_arguments(digits):
    with pytest.raises(ValueError, match="`test_per_class` is for the clones isogm, gm; ae4 has one image for each"):
        make("ae4", digits, test_per_class=3)
    keep = digits.train.labels != 9
    lacking = kdefrost.ImageData(
        "nine", kdefrost.Examples(*(p[keep] for p in digits.train)), digits.test, digits.classes
    )
    with pytest.raises(ValueError, match="Class '9' of 'nine' has no training image"):
        make("gm", lacking)


def test_names_of_autoencoder_clones():
    assert bottleneck("ae1") == 1 and bottleneck("ae1024") == 1024 and bottleneck("gm") is None
    assert is_clone("ae7") and is_clone("isogm") and not is_clone("cifar10") and not is_clone("ae07")


@pytest.fixture(scope="module")
def kept(digits, tmp_path_factory):
    """A folder with a clone of an autoencoder, and the clone as it was made."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, make("ae4", digits, directory=folder)


def test_an_autoencoder_clone_is_the_originals_images_in_their_order(digits, kept):
    _, clone = kept
    assert clone.name == "ae4-digits" and clone.classes == digits.classes
    for part in ("train", "test"):
        images, original = getattr(clone, part).images, getattr(digits, part).images
        np.testing.assert_array_equal(getattr(clone, part).labels, getattr(digits, part).labels)
        assert images.shape == original.shape and images.dtype == np.float32
        # Each is closer to its own original than to the next one's, on average.
        own = np.mean((images - original) ** 2)
        assert own < np.mean((images - np.roll(original, 1, axis=0)) ** 2) and own < original.var()
    assert np.any(clone.test.images % 1)


def test_a_kept_clone_is_read_and_not_made_again(digits, kept, monkeypatch, capsys):
    folder, clone = kept
    monkeypatch.setattr(making, "_make", None)
    again = make("ae4", digits, directory=folder, verbose=True)
    for part in ("train", "test"):
        for one, other in zip(getattr(again, part), getattr(clone, part), strict=True):
            np.testing.assert_array_equal(one, other)
    assert again.name == clone.name and "Clone: reusing" in capsys.readouterr().out


def test_seed_recipe_name_and_data_are_the_address(digits, kept, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(making, "_make", lambda name, data, *_: made.append(name) or kept[1])
    fewer = dataclasses.replace(digits, test=digits.test.take(slice(1, None)))
    for _ in range(2):
        make("ae4", digits, directory=tmp_path)
        make("ae4", digits, directory=tmp_path, seed=1)
        make("ae4", digits, directory=tmp_path, recipe=kdefrost.AutoencoderRecipe(epochs=4, warmup_epochs=1))
        make("ae5", digits, directory=tmp_path)
        make("ae4", fewer, directory=tmp_path)
        make("gm", digits, directory=tmp_path)
        make("gm", digits, directory=tmp_path, per_class=2)
    assert made == ["ae4", "ae4", "ae4", "ae5", "ae4", "gm", "gm"]


def test_a_clone_of_the_same_seed_is_the_same_and_of_another_is_not(digits, kept):
    clone = kept[1]
    np.testing.assert_array_equal(make("ae4", digits).train.images, clone.train.images)
    assert not np.allclose(make("ae4", digits, seed=1).train.images, clone.train.images, atol=1)


def test_a_damaged_clone_is_made_anew_from_the_kept_autoencoder(digits, kept, monkeypatch):
    folder, clone = kept
    (path,) = (folder / "clones").glob("ae4-digits-*/train_images.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(making, "train_autoencoder", None)
    with pytest.warns(UserWarning, match=r"is damaged \(.*\)\. It is made anew; what was there is now ae4-.*\.damaged"):
        again = make("ae4", digits, directory=folder)
    shutil.rmtree(path.parent.with_name(f"{path.parent.name}.damaged"))
    np.testing.assert_array_equal(again.train.images, clone.train.images)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("name", ["gm", "ae4"])
def test_a_killed_run_leaves_no_half_written_clone(digits, kept, tmp_path, monkeypatch, error, name):
    """It is stopped as the last file is written, before which all others are there."""
    save, saved = np.save, []

    def killed(path, array):
        save(path, array)
        saved.append(path)
        if len(saved) == 4:
            raise error("stopped")

    monkeypatch.setattr(np, "save", killed)
    monkeypatch.setattr(making, "_make", lambda *_: kept[1])
    with pytest.raises(error):
        make(name, digits, directory=tmp_path)
    assert len(saved) == 4 and not list((tmp_path / "clones").iterdir())
    monkeypatch.setattr(np, "save", save)
    assert make(name, digits, directory=tmp_path) is kept[1]


def test_images_of_patients_stay_theirs_only_where_they_are_the_same_images(digits):
    grouped = dataclasses.replace(digits, groups=np.arange(len(digits.train.labels)))
    assert make("gm", grouped).groups is None
    clone = making._as_clone("ae4", grouped, grouped.train, grouped.test)
    np.testing.assert_array_equal(clone.groups, grouped.groups)


def test_gm_of_real_cifar10(cifar10):
    """Two classes, a quarter of their size: mean and variance of every pixel, covariance in directions that matter."""
    keep = cifar10.train.labels < 2
    train = kdefrost.Examples(cifar10.train.images[keep][:, ::4, ::4], cifar10.train.labels[keep])
    test = kdefrost.Examples(cifar10.test.images[:, ::4, ::4], cifar10.test.labels)
    cars = kdefrost.ImageData("cars", train, test, ("a", "b"))
    clone = make("gm", cars, per_class=5000, test_per_class=1)
    for label in range(2):
        original, samples = _flat(cars, label), _flat(clone, label)
        error = original.std(axis=0) / np.sqrt(len(samples))
        assert np.max(np.abs(samples.mean(axis=0) - original.mean(axis=0)) / error) < 6
        np.testing.assert_allclose(samples.var(axis=0), original.var(axis=0), rtol=0.15)
        axes = np.linalg.svd(original[:1000] - original.mean(axis=0), full_matrices=False)[2][:20]
        np.testing.assert_allclose((samples @ axes.T).var(axis=0), (original @ axes.T).var(axis=0), rtol=0.15)
