"""The command that asks an exported model about photographs, as a user types it."""

import sys

import keras
import numpy as np
import pytest
from conftest import PROJECT, load_script
from PIL import Image

import kdefrost
from kdefrost.data.image_files import ImageFiles

NAMES = ["red", "grün", "blue"]
PHOTOS = ["upright.jpg", "turned.jpg", "clear.png", "palette.gif", "grey.png", "deep.png"]


def _model(channels: int, activation: str | None = "softmax", units: int = 3) -> keras.Model:
    """A model whose answers differ from place to place of an image."""
    layers = keras.layers
    kernel = keras.initializers.RandomNormal(stddev=0.3, seed=units)
    dense = layers.Dense(units, activation, kernel_initializer=kernel)
    return keras.Sequential([keras.Input((6, 8, channels)), layers.Rescaling(1 / 127.5, -1), layers.Flatten(), dense])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Image files of all the kinds that are read otherwise; the working folder is theirs."""
    rng, notes = np.random.default_rng(0), Image.Exif()
    notes[0x0112] = 6
    pixels = rng.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    pixels[:10] //= 3
    colours = Image.fromarray(pixels[..., :3])
    colours.save(tmp_path / "upright.jpg")
    colours.save(tmp_path / "turned.jpg", exif=notes)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    colours.convert("P").save(tmp_path / "palette.gif", transparency=3)
    colours.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(photos, monkeypatch, capsys):
    """Exports a model, asks it by the command, and gives the lines, without the photographs' names."""

    def run(model, names, asked):
        kdefrost.export(model, photos / "mine", class_names=names)
        monkeypatch.setattr(sys, "argv", ["predict.py", "mine", *asked])
        load_script("predict.py")()
        lines = [line.split(": ", 1) for line in capsys.readouterr().out.splitlines()]
        assert [photo for photo, _ in lines] == asked
        return [words.split(", ") for _, words in lines]

    return run


def _expected(model, photos, asked) -> np.ndarray:
    """What the model gives for the files, as training reads them."""
    _, height, width, channels = model.input_shape
    images = ImageFiles(photos, asked, (height, width), {1: "grayscale", 3: "rgb"}[channels])
    return model.predict(np.asarray(images).astype("float32"), verbose=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_printed_is_what_the_model_gives_for_images_as_training_reads_them(channels, run, photos):
    model = _model(channels)
    lines, expected = run(model, NAMES, PHOTOS), _expected(model, photos, PHOTOS)
    assert not np.allclose(expected[0], expected[1], atol=0.01)
    for words, probabilities in zip(lines, expected, strict=True):
        order = np.argsort(-probabilities)
        assert [word.split()[0] for word in words] == [NAMES[place] for place in order]
        assert [word.split()[2] for word in words] == ["%"] * 3
        printed = [float(word.split()[1]) for word in words]
        np.testing.assert_allclose(printed, 100 * probabilities[order], atol=0.051)


def test_one_unit_of_two_classes_names_both(run, photos):
    model = _model(3, "sigmoid", 1)
    (words,), ((of_second,),) = run(model, ["no", "yes"], PHOTOS[:1]), _expected(model, photos, PHOTOS[:1])
    by_name = {name: float(value) for name, value, _ in map(str.split, words)}
    assert by_name == pytest.approx({"no": 100 * (1 - of_second), "yes": 100 * of_second}, abs=0.051)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_without_names_there_are_numbers_and_outputs_keep_their_order(activation, run, photos):
    model = _model(3, activation, 7)
    (words,), (outputs,) = run(model, None, PHOTOS[:1]), _expected(model, photos, PHOTOS[:1])
    order = np.argsort(-outputs)[:5] if activation else np.arange(5)
    assert [int(word.split()[0]) for word in words] == list(order)
    factor, tolerance = (100, {"abs": 0.051}) if activation else (1, {"rel": 1e-3})
    assert [float(word.split()[1]) for word in words] == pytest.approx(list(factor * outputs[order]), **tolerance)


def test_the_function_alone_needs_no_kdefrost(photos, start):
    kdefrost.export(_model(3), photos / "mine", class_names=NAMES)
    text = (PROJECT / "scripts" / "program" / "kdefrost_commands" / "predict.py").read_text()
    copied = "def predict(" + text.split("def predict(")[1].split("\ndef ")[0]
    program = f"""
import sys
from collections.abc import Iterator
{copied}
kind, (answer,) = predict({str(photos / "mine")!r}, [{str(photos / "turned.jpg")!r}])
assert kind == "probabilities" and {{name for name, _ in answer}} == {set(NAMES)!r}
assert not {{"kdefrost", "kdefrost_commands"}} & sys.modules.keys()
"""
    elsewhere = start(program)
    elsewhere.join()
    assert elsewhere.exitcode == 0


def test_a_file_that_cannot_be_read_is_named_after_what_was_answered(photos, monkeypatch, capsys):
    kdefrost.export(_model(3), photos / "mine", class_names=NAMES)
    (photos / "broken.jpg").write_bytes((photos / "upright.jpg").read_bytes()[:400])
    Image.fromarray(np.ones((4, 4), np.float32)).save(photos / "deeper.tif")
    for broken in ("broken.jpg", "deeper.tif"):
        monkeypatch.setattr(sys, "argv", ["predict.py", "mine", "upright.jpg", broken])
        with pytest.raises(SystemExit) as stop:
            load_script("predict.py")()
        printed = capsys.readouterr()
        assert stop.value.code == 1 and printed.out.startswith("upright.jpg: ") and printed.out.count("\n") == 1
        assert printed.err.startswith(f"error: The image file {broken} cannot be read: ")
