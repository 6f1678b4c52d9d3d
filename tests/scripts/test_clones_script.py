"""The command that shows clones, as a user types it."""

import argparse
import contextlib
import csv
import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from conftest import load_script, tiny

import kdefrost


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What the command prints, and the folder of what it writes; what it keeps is elsewhere than a user's."""
    folder = tmp_path_factory.mktemp("clones")
    size = ["--preset", "smoke", "--clones", "isogm", "gm", "ae2", "isogm", "--out", str(folder / "out")]
    printed = io.StringIO()
    smoke = dataclasses.replace(kdefrost.PRESETS["smoke"], model="tiny_1_1", source=kdefrost.Recipe(epochs=20))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setitem(kdefrost.MODELS, "tiny", tiny)
        patch.setitem(kdefrost.PRESETS, "smoke", smoke)
        patch.setattr(sys, "argv", ["clones.py", *size])
        load_script("clones.py", PROJECT=folder)()
    return printed.getvalue(), folder / "out"


def test_a_figure_a_table_and_their_numbers_from_one_command(result):
    printed, out = result
    names = ["clones.png", "clones.svg", "clones.csv", "clones.json"]
    assert {path.name for path in out.iterdir()} == set(names)
    lines = printed.splitlines()
    assert lines[0] == "digits: 10 classes, 1437 training and 360 test images."
    assert lines[-5:] == ["Written:", *(f"  {out / name}" for name in names)]
    (head,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["mean", "covariance"]]
    rows = [line.split() for line in lines[head + 1 : head + 5]]
    assert [row[0] for row in rows] == ["digits", "isogm-digits", "gm-digits", "ae2-digits"]
    assert [row[3] == "–" for row in rows] == [True, True, True, False] and all(row[-1] == "%" for row in rows)


def test_table_csv_and_json_have_the_same_numbers(result):
    printed, out = result
    values = json.loads((out / "clones.json").read_text())
    assert values["target"] == "digits" and values["seed"] == 0 and "keras" in values["versions"]
    digits, isogm, gm, ae2 = values["fidelities"]
    assert gm["covariance_error"] < isogm["covariance_error"] and digits["accuracy"] > 0.5
    # An untrained autoencoder gives back something near the mean image.
    assert 0.2 < ae2["squared_error"] < 1.5 and values["autoencoder_recipe"]["epochs"] == 2
    with (out / "clones.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, fidelity in zip(rows, values["fidelities"], strict=True):
        assert row.pop("name") == fidelity.pop("name")
        assert {key: float(value) if value else None for key, value in row.items()} == fidelity
        shown = f"{fidelity['mean_error']:.3f}", f"{100 * fidelity['accuracy']:.1f} %"
        assert all(number in printed for number in shown)


def test_the_numbers_are_the_clones(result):
    """The other route: the class means of the clone that the package makes, compared with the digits' here."""
    values = json.loads((result[1] / "clones.json").read_text())["fidelities"][2]
    digits = kdefrost.load_data("digits")
    clone = kdefrost.make_clone("gm", digits, seed=0, directory=None, verbose=False)
    mean, deviation = kdefrost.channel_statistics(digits.train.images)
    means = [
        np.array([(part.images[part.labels == label].mean(axis=0) - mean) / deviation for label in range(10)])
        for part in (clone.train, digits.train)
    ]
    expected = np.linalg.norm(means[0] - means[1]) / np.linalg.norm(means[1])
    assert values["mean_error"] == pytest.approx(expected, rel=1e-5)


def test_an_interrupt_ends_in_a_sentence(monkeypatch):
    main = load_script("clones.py")
    monkeypatch.setattr(sys, "argv", ["clones.py"])
    monkeypatch.setitem(main.__globals__, "run", lambda arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit, match="What was trained to its end is kept"):
        main()


def test_of_many_classes_the_first_that_have_test_images_are_drawn():
    names = load_script("clones.py").__globals__
    labels = np.array([13, 2, 2, *range(3, 13), 1])
    images = np.arange(14).reshape(14, 1, 1, 1)
    examples = kdefrost.Examples(images, labels)
    data = kdefrost.ImageData("many", examples, examples, tuple("abcdefghijklmno"))
    assert names["drawn_classes"](data) == list("bcdefghijk")
    np.testing.assert_array_equal(names["first_images"](data).ravel(), [13, 1, *range(3, 11)])


def test_help_teaches(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["clones.py", "--help"])
    with pytest.raises(SystemExit):
        load_script("clones.py")()
    shown = capsys.readouterr().out
    for word in ("examples:", "--tgt cifar10 --clones isogm gm ae4 ae32 ae256", "(isogm gm ae4 ae32)"):
        assert word in shown


def test_each_command_has_a_folder_of_its_own():
    names = load_script("clones.py").__globals__

    def name(arguments, clones):
        return names["command"].out_folder(None, names["name_parts"](arguments, clones)).name

    arguments = argparse.Namespace(tgt="some/photos", preset="smoke", image_size=None, seed=0)
    assert name(arguments, ["gm", "ae4"]) == "clones-photos-smoke-gm-ae4"
    arguments.seed, arguments.image_size = 1, 48
    assert name(arguments, ["gm"]) == "clones-photos-smoke-48px-gm-seed1"
