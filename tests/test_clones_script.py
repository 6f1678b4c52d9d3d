"""The command that shows clones, as a user types it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kdefrost

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = PROJECT / "scripts" / "clones.py"


def run(*arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What the command says, and the folder of what it writes."""
    out = tmp_path_factory.mktemp("clones") / "out"
    return run("--preset", "smoke", "--clones", "isogm", "gm", "isogm", "--out", out), out


def test_a_figure_a_table_and_their_numbers_from_one_command(result):
    process, out = result
    assert process.returncode == 0, process.stderr
    names = ["clones.png", "clones.svg", "clones.csv", "clones.json"]
    assert {path.name for path in out.iterdir()} == set(names)
    lines = process.stdout.splitlines()
    assert lines[0] == "digits: 10 classes, 1437 training and 360 test images."
    assert lines[-5:] == ["Written:", *(f"  {out / name}" for name in names)]
    (head,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["mean", "covariance"]]
    rows = [line.split() for line in lines[head + 1 : head + 4]]
    assert [row[0] for row in rows] == ["digits", "isogm-digits", "gm-digits"]
    assert all(row[3] == "–" and row[-1] == "%" for row in rows)


def test_table_csv_and_json_have_the_same_numbers(result):
    process, out = result
    values = json.loads((out / "clones.json").read_text())
    assert values["target"] == "digits" and values["seed"] == 0 and "keras" in values["versions"]
    digits, isogm, gm = values["fidelities"]
    assert gm["covariance_error"] < isogm["covariance_error"] and digits["accuracy"] > 0.5
    with (out / "clones.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, fidelity in zip(rows, values["fidelities"], strict=True):
        assert row.pop("name") == fidelity.pop("name") and row.pop("squared_error") == ""
        assert {key: float(value) for key, value in row.items()} | {"squared_error": None} == fidelity
        shown = f"{fidelity['mean_error']:.3f}", f"{100 * fidelity['accuracy']:.1f} %"
        assert all(number in process.stdout for number in shown)


def test_the_numbers_are_the_clones(result):
    """The other route: the clone that the package makes, compared with the digits here."""
    values = json.loads((result[1] / "clones.json").read_text())["fidelities"][2]
    digits = kdefrost.load_data("digits")
    clone = kdefrost.make_clone("gm", digits, seed=0, directory=None, verbose=False)
    statistics = kdefrost.channel_statistics(digits.train.images)
    errors = kdefrost.fidelity.moment_errors(clone.train, digits.train, *statistics)
    np.testing.assert_allclose([values["mean_error"], values["covariance_error"]], errors, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clones", "gn"], "error: There is no clone 'gn': it must be one of isogm, gm, or ae<k>"),
        (["--clones", "gm", "ae0"], "error: There is no clone 'ae0'"),
        (["--tgt", "digit"], "error: There is no data set 'digit'"),
        (["--tgt", "idc", "--data-dir", "no/such"], "error: `data_dir` (--data-dir) must be the folder of the IDC"),
    ],
)
def test_mistakes_end_in_one_sentence_before_anything_is_trained(arguments, message, monkeypatch, tmp_path):
    main = _main()
    monkeypatch.setattr(kdefrost, "train_source", None)
    monkeypatch.setattr(sys, "argv", ["clones.py", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert str(stop.value).startswith(message) and "\n" not in str(stop.value)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_ends_in_a_sentence(monkeypatch):
    main = _main()
    monkeypatch.setattr(sys, "argv", ["clones.py"])
    monkeypatch.setitem(main.__globals__, "run", lambda arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit, match="What was trained to its end is kept"):
        main()


def test_of_many_classes_the_first_that_have_test_images_are_drawn():
    names = _main().__globals__
    labels = np.array([13, 2, 2, *range(3, 13), 1])
    images = np.arange(14).reshape(14, 1, 1, 1)
    examples = kdefrost.Examples(images, labels)
    data = kdefrost.ImageData("many", examples, examples, tuple("abcdefghijklmno"))
    assert names["drawn_classes"](data) == list("bcdefghijk")
    np.testing.assert_array_equal(names["first_images"](data).ravel(), [13, 1, *range(3, 11)])


def test_help_teaches():
    result = run("--help")
    assert result.returncode == 0
    for word in ("examples:", "--tgt cifar10 --clones isogm gm ae4 ae32 ae256", "(isogm gm ae4 ae32)"):
        assert word in result.stdout


def _main():
    """The script's `main`, without starting an interpreter."""
    namespace = {"__name__": "script", "__file__": str(SCRIPT)}
    path = list(sys.path)
    exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), namespace)
    sys.path[:] = path
    return namespace["main"]
