"""Sources: trained once, kept, and reused."""

import dataclasses
import functools
import json
import shutil

import keras
import numpy as np
import pytest
from conftest import tiny

import kdefrost
from kdefrost import sources
from kdefrost.clones import making

RECIPE = kdefrost.Recipe(epochs=1)


@pytest.fixture(scope="module", autouse=True)
def _tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kdefrost.MODELS, "tiny", tiny)
        yield


def train_in(directory, name="gm", **arguments):
    """A source of the digits, trained in a folder or found there."""
    defaults = {"model": "tiny_1_1", "recipe": RECIPE, "directory": directory, "verbose": False}
    return kdefrost.train_source(name, kdefrost.load_data("digits"), **{**defaults, **arguments})


@pytest.fixture
def train(tmp_path):
    return functools.partial(train_in, tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which a source was trained, and the source; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_in(folder)


@pytest.fixture
def first(trained, tmp_path):
    """The source that was trained, of which this test's folder has a copy."""
    folder, network = trained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return network


def _equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_a_source_that_is_kept_is_taken_and_none_is_trained(first, tmp_path):
    given = {"target": kdefrost.load_data("digits"), "model": "tiny_1_1", "recipe": RECIPE, "directory": tmp_path}
    assert _equal(kdefrost.kept_source("gm", **given), first)
    assert kdefrost.kept_source("gm", **given, seed=1) is None and kdefrost.kept_source("isogm", **given) is None
    assert len(list(tmp_path.glob("sources/*"))) == 1


def test_the_same_source_is_reused_and_another_is_not(train, first, tmp_path, monkeypatch):
    assert len(list(tmp_path.glob("sources/gm-digits-tiny_1_1-*/model.keras"))) == 1
    trained = []
    monkeypatch.setattr(sources, "_train", lambda *args: trained.append(1) or 0.5)
    assert _equal(train(), first) and not trained
    train(seed=1)
    train(recipe=kdefrost.Recipe(epochs=2))
    train("isogm")
    assert len(trained) == 3 and len(list(tmp_path.glob("sources/*"))) == 4


def test_networks_of_several_seeds_share_one_clone(train, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_train", lambda *args: 0.5)
    train(seed=0)
    train(seed=1)
    assert len(list(tmp_path.glob("clones/*"))) == 1
    train(seed=1, clone_seed=1)
    assert len(list(tmp_path.glob("clones/*"))) == 2 and len(list(tmp_path.glob("sources/*"))) == 3


def test_what_is_kept_says_what_it_is(first, tmp_path):
    (path,) = tmp_path.glob("sources/*/manifest.json")
    report = json.loads(path.read_text())
    assert report["source"] == "gm" and report["clone"]["original"] == "digits" and report["recipe"]["epochs"] == 1
    assert 0 <= report["test_accuracy"] <= 1 and "keras" in report["versions"]
    assert not list(tmp_path.rglob("*.part*"))


def test_a_damaged_kept_source_is_trained_anew(train, first, tmp_path):
    (path,) = tmp_path.glob("sources/*/model.keras")
    path.write_bytes(b"half a file")
    with pytest.warns(
        UserWarning, match=r"is damaged \(a file of it is not as it was written\)\. It is made anew; what"
    ):
        assert _equal(train(), first)
    (aside,) = tmp_path.glob("sources/*.damaged/model.keras")
    assert aside.read_bytes() == b"half a file" and aside.parent.name == f"{path.parent.name}.damaged"


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 2 GiB"), TypeError("Unknown layer: 'Later'")])
def test_a_whole_kept_source_that_keras_cannot_load_is_refused_and_left(error, train, first, tmp_path, monkeypatch):
    def load(*_, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(keras.models, "load_model", load)
        with pytest.raises(ValueError, match=rf"is as it was written, but Keras {keras.__version__} .*{error}\. Go on"):
            train()
    # What could not be loaded is where it was, and nothing was trained.
    monkeypatch.setattr(sources, "_train", None)
    assert _equal(train(), first) and not list(tmp_path.glob("sources/*.damaged"))


def test_a_data_set_of_the_same_name_with_other_images_is_another_source(train, monkeypatch):
    trained = []
    monkeypatch.setattr(sources, "_train", lambda *args: trained.append(1) or 0.5)
    digits = kdefrost.load_data("digits")
    fewer = dataclasses.replace(digits, name="photos", train=digits.train.take(slice(100)))
    for data in (digits, fewer, fewer):
        monkeypatch.setattr(sources, "load_data", lambda *args, data=data: data)
        train("photos")
    assert len(trained) == 2


def test_a_data_set_itself_can_be_the_source_whatever_its_name(train, monkeypatch):
    monkeypatch.setattr(sources, "_train", lambda *args: 0.5)
    monkeypatch.setattr(sources, "load_data", None)
    digits = kdefrost.load_data("digits")
    three = dataclasses.replace(digits, name="gm", classes=("0", "1", "2"), train=digits.train.take(slice(9)))
    assert train(three).output_shape == (None, 3)


def test_a_changed_clone_is_another_source(train, monkeypatch):
    trained = []
    monkeypatch.setattr(sources, "_train", lambda *args: trained.append(1) or 0.5)
    train()
    monkeypatch.setattr(making, "_FORMAT", making._FORMAT + 1)
    train()
    assert len(trained) == 2


def test_a_killed_training_leaves_nothing(train, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "_train", killed)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert not list(tmp_path.glob("sources/*"))


def test_a_data_set_can_be_the_source(train, tmp_path):
    train("digits")
    assert len(list(tmp_path.glob("sources/digits-tiny_1_1-*/model.keras"))) == 1


def test_an_autoencoder_clone_can_be_the_source(train, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_train", lambda *args: 0.5)
    recipe = kdefrost.AutoencoderRecipe(epochs=1, warmup_epochs=0)
    train("ae2", autoencoder=recipe)
    folders = sorted(path.parent.name for path in tmp_path.glob("*/*"))
    assert folders == ["autoencoders", "clones", "sources"]
    # Another recipe of the autoencoder is another clone, and another source.
    made = []
    monkeypatch.setattr(sources, "make_clone", lambda name, target, *_, **options: made.append(options) or target)
    train("ae2", autoencoder=recipe)
    assert not made
    train("ae2", autoencoder=kdefrost.AutoencoderRecipe(epochs=2, warmup_epochs=0))
    assert len(made) == 1


def test_a_bottleneck_that_the_images_do_not_have_is_refused(train):
    with pytest.raises(
        ValueError, match="no clone ae100 of 'digits': `bottleneck` must be a whole number from 1 to 64"
    ):
        train("ae100")


def test_unknown_sources_and_other_shapes(train, monkeypatch):
    with pytest.raises(
        ValueError, match=r"Source 'gn' is no clone \(isogm, gm, ae<k>\), no \.keras file and no data set"
    ):
        train("gn")
    part = kdefrost.Examples(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    other = kdefrost.ImageData("other", part, part, ("a", "b"))
    monkeypatch.setattr(sources, "load_data", lambda *args: other)
    with pytest.raises(
        ValueError, match=r"Source 'other' has images of shape \(4, 4, 1\), target 'digits' of \(8, 8, 1\)"
    ):
        train("other")


def test_size_of_a_source():
    assert kdefrost.source_size("gm", kdefrost.load_data("digits")) == (10, 1437)


def test_a_source_of_other_colours_comes_in_those_of_the_target():
    """Digits, which are grey, as a source for colour images of their size."""
    part = kdefrost.Examples(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]))
    target = kdefrost.ImageData("photos", part, part, ("a", "b"))
    assert kdefrost.source_size("digits", target) == (10, 1437)
