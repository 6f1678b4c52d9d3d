"""The command that compares networks, as a user types it."""

import contextlib
import csv
import io
import json
import sys

import numpy as np
import pytest
from conftest import load_script, tiny

import kdefrost

COMMAND = ["--src", "isogm", "gm", "isogm", "--preset", "smoke", "--model", "tiny_1_1", "--seeds", "1"]
FIGURES = [f"{name}.{ending}" for name in ("imbalance", "similarity", "plane") for ending in ("png", "svg")]
FILES = [*FIGURES, "similarity-isogm.json", "similarity-gm.json", "similarity.csv", "similarity.md"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the command; what it keeps is elsewhere than a user's."""
    folder = tmp_path_factory.mktemp("similarity")

    def run(*arguments):
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setitem(kdefrost.MODELS, "tiny", tiny)
            patch.setattr(sys, "argv", ["similarity.py", *COMMAND, "--out", str(folder / "out"), *arguments])
            load_script("similarity.py", PROJECT=folder)()
        return printed.getvalue(), folder / "out"

    return run


@pytest.fixture(scope="module")
def result(run):
    return run()


def test_figures_tables_and_their_numbers_from_one_command(result):
    printed, out = result
    assert {path.name for path in out.iterdir() if path.is_file()} == set(FILES)
    lines = printed.splitlines()
    assert lines[0] == "digits: networks are compared on 360 test images."
    assert lines[-len(FILES) - 1 :] == ["Written:", *(f"  {out / name}" for name in FILES)]
    gm = kdefrost.LayerwiseSimilarity.load(out / "similarity-gm.json")
    assert [cut.name for cut in gm.layers_a] == ["first", "pool"]
    assert f"  1  first        {first_cka(out, 'isogm')}  {gm.cells('cka')[0]}" in printed
    assert f"| 1 | first | {first_cka(out, 'isogm')} | {gm.cells('cka')[0]} |" in (out / "similarity.md").read_text()
    with (out / "similarity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["isogm"] * 2 + ["gm"] * 2
    assert float(rows[2]["cka"]) == gm.values("cka")[0, 0]


def first_cka(out, source: str) -> str:
    return kdefrost.LayerwiseSimilarity.load(out / f"similarity-{source}.json").cells("cka")[0]


def test_the_numbers_are_the_networks(result):
    """The other route: the kept networks, their features of the test images at the last cut, and the measure."""
    _, out = result
    digits = kdefrost.load_data("digits")
    features = []
    for name in ("gm", "digits"):
        (path,) = (out.parent / "saved_models" / "sources").glob(f"{name}-*/model.keras")
        network = kdefrost.standardized(kdefrost.load_source(path), digits.train.images)
        extractor, _ = kdefrost.split(network, "pool")
        features.append(extractor.predict(digits.test.images, verbose=0))
    gm = kdefrost.LayerwiseSimilarity.load(out / "similarity-gm.json")
    expected = kdefrost.similarity.compare(*features)
    for name, value in expected.items():
        assert gm.values(name)[0, -1] == pytest.approx(value, abs=2e-3), name


def test_the_two_networks_of_a_pair_start_from_different_weights(result):
    """Training from the same start on data that share their labels would leave them alike."""
    manifests = (result[1].parent / "saved_models" / "sources").glob("*/manifest.json")
    seeds = {report["source"]: report["seed"] for report in (json.loads(path.read_text()) for path in manifests)}
    assert seeds == {"isogm": 0, "gm": 0, "digits": 1000}


def test_what_was_done_is_not_done_again(run, result, monkeypatch):
    monkeypatch.setattr(kdefrost.sources, "_train", None)
    monkeypatch.setattr("kdefrost.similarity.networks.compare_points", None)
    printed, _ = run()
    assert printed.count("Source: reusing") == 3
    # The tables are those of before.
    assert printed[printed.index("Information imbalance") :] == result[0][result[0].index("Information imbalance") :]


def test_two_devices_share_the_work(run, result, monkeypatch):
    """Networks are there, and comparisons go on under the strategy."""
    used, layerwise = [], kdefrost.similarity.layerwise

    def noted(*arguments, **options):
        used.append(kdefrost.devices.in_use().num_replicas_in_sync)
        return layerwise(*arguments, **options)

    monkeypatch.setattr("kdefrost.similarity.kept_pairs.layerwise", noted)
    run("--layers", "pool", "--devices", "CPU:0", "CPU:1")
    assert used == [2, 2]


def test_an_interrupt_ends_in_a_sentence(monkeypatch):
    main = load_script("similarity.py")
    monkeypatch.setattr(sys, "argv", ["similarity.py", "--src", "gm"])
    monkeypatch.setitem(main.__globals__, "run", lambda arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit, match="Trained networks and finished comparisons are kept"):
        main()


def test_of_very_many_test_images_a_sample_is_taken():
    names = load_script("similarity.py", MOST_IMAGES=5).__globals__
    part = kdefrost.Examples(np.arange(20).reshape(20, 1, 1, 1), np.zeros(20, int))
    sample = names["test_images"](kdefrost.ImageData("many", part, part, ("a",)))
    assert len(set(sample.ravel())) == 5 and (np.diff(sample.ravel()) > 0).all()


def test_layers_are_words_numbers_or_names():
    parse = load_script("similarity.py").__globals__["command"].indices_or_names
    assert [parse(["blocks"]), parse(["5"]), parse(["conv1", "7"])] == ["blocks", 5, ["conv1", 7]]


def test_help_teaches(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["similarity.py", "--help"])
    with pytest.raises(SystemExit):
        load_script("similarity.py")()
    shown = capsys.readouterr().out
    for word in ("examples:", "--src isogm gm ae256 --tgt cifar10 --seeds 3", "Information Imbalance both ways"):
        assert word in shown
