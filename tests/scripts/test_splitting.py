"""Which images of a target train, choose and test."""

import argparse
import dataclasses

import keras
import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

import kdefrost
from kdefrost_commands import splitting


def _data(per_class: int, classes: int = 2, test: bool = False):
    labels = np.repeat(np.arange(classes), per_class)
    examples = kdefrost.data.Examples(np.zeros((len(labels), 2, 2, 1), np.uint8), labels)
    names = tuple(map(str, range(classes)))
    return kdefrost.data.ImageData("mine", examples, examples if test else None, names)


def _arguments(**given):
    defaults = {"per_class": None, "folds": None, "seeds": None, "patience": None, "tgt": "mine", "jobs": None}
    return argparse.Namespace(**{**defaults, **given})


def _chosen(data, is_folder=True, **given):
    tgt = str(PROJECT) if is_folder else "digits"
    return splitting.choose_trials(data, kdefrost.PRESETS["laptop"], _arguments(tgt=tgt, **given))


def test_all_images_of_a_small_folder_train_and_choose(capsys):
    chosen = _chosen(_data(75))
    assert chosen["train"].labels.shape == (150,) and chosen["test"] is chosen["validation"] is None
    assert chosen["folds"] == 3 and chosen["per_class"] is None and chosen["seeds"] == 1 and chosen["patience"] == 1
    # 15 images tell an accuracy of a half to ± √(1/4 / 15) = 13 points.
    assert "15 images, would tell an accuracy to ± 13 points" in capsys.readouterr().out


def test_a_large_folder_is_held_out(capsys):
    """A tenth of 11,200 images tells an accuracy of a half to ± 1.49 points."""
    chosen = _chosen(_data(5600, test=True))
    assert "folds" not in chosen and len(chosen["validation"].labels) == 1120 and chosen["per_class"] is None
    assert capsys.readouterr().out == ""


def test_a_folder_without_test_images_gets_some_where_a_part_is_held_out():
    chosen = _chosen(_data(100), folds="none")
    assert [len(chosen[name].labels) for name in ("train", "validation", "test")] == [144, 16, 40]


def test_a_class_with_few_images_has_fewer_folds():
    assert _chosen(_data(2))["folds"] == 2
    assert _chosen(_data(50), per_class=[2, 8])["folds"] == 2
    assert "folds" not in _chosen(_data(1, test=True))


def test_all_cuts_are_tried_where_that_is_asked_for():
    assert _chosen(_data(75), patience="none")["patience"] is None
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1, or none"):
        splitting.patience_or_none("0")


def test_what_is_asked_for_goes_first():
    chosen = _chosen(_data(75, test=True), is_folder=False, folds=3, seeds=2, patience=4)
    assert (chosen["folds"], chosen["seeds"], chosen["patience"], chosen["per_class"]) == (3, 2, 4, None)


def test_sets_with_images_to_spare_are_held_out():
    chosen = _chosen(_data(75, test=True), is_folder=False)
    assert "folds" not in chosen and chosen["per_class"] == [4, 32] and len(chosen["validation"].labels) == 16


def test_a_folder_beside_a_set_of_its_name_is_not_the_target(tmp_path, monkeypatch):
    """As results of an earlier command may be, where `--out` has the target's name."""
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "idc", "photos"):
        (tmp_path / name).mkdir()
    assert [splitting.is_folder(name) for name in ("digits", "idc", "photos", "nowhere")] == [False, False, True, False]


@pytest.mark.parametrize("text", ["1", "0"])
def test_folds_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="at least 2, or none"):
        splitting.folds_or_none(text)


def _with_validation(per_class: int):
    data = _data(per_class, test=True)
    return dataclasses.replace(data, validation=data.train.take(slice(0, 6)))


def test_a_validation_part_chooses_and_all_training_images_train(capsys):
    for folds in (None, "none"):
        chosen = _chosen(_with_validation(75), folds=folds)
        assert "folds" not in chosen and len(chosen["train"].labels) == 150 and len(chosen["validation"].labels) == 6
        assert "The 6 validation images choose the cut" in capsys.readouterr().out


def test_folds_that_are_asked_for_leave_a_validation_part_out(capsys):
    chosen = _chosen(_with_validation(75), folds=3)
    assert chosen["folds"] == 3 and chosen["validation"] is None and len(chosen["train"].labels) == 150
    assert "the 6 validation images are left out" in capsys.readouterr().out


def test_parts_in_words():
    assert splitting.as_parts(None) is None and splitting.as_parts(["none"]) == {}
    assert splitting.as_parts(["train=fold1", "test=a=b"]) == {"train": "fold1", "test": "a=b"}
    with pytest.raises(ValueError, match=r"--parts must be such as train=fold1 test=fold2, or none. Received: fold1"):
        splitting.as_parts(["fold1"])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("own", [True, False], ids=["folder", "set"])
def test_a_target_has_the_colours_that_its_source_takes(tmp_path, channels, own):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / name / "1.png")
    inputs = keras.Input((8, 8, channels))
    source = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    given = {"src": "mine.keras", "data_dir": None, "image_size": None, "split": "patient", "on_corrupt": "raise"}
    target = str(tmp_path) if own else "digits"
    data = splitting.load_target(argparse.Namespace(tgt=target, parts=None, **given), source)
    assert data.image_shape == (8, 8, channels)


def test_a_source_with_channels_first_is_told_what_to_put_before_it():
    layers = keras.layers
    convolution = layers.Conv2D(4, 3, data_format="channels_first")
    source = keras.Sequential([keras.Input((3, 8, 8)), convolution, layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"mine\.keras must take images with channels last; it takes \(3, 8, 8\)"):
        splitting.load_target(argparse.Namespace(src="mine.keras", image_size=None), source)
