"""The command that measures compliance, on the embedded digits."""

import csv
import sys

import pytest
from conftest import load_script, tiny

import kdefrost

SMALL = ["--src", "gm", "--preset", "smoke", "--model", "tiny_1_1", "--epochs", "1", "--per-class", "8"]


@pytest.fixture
def comply(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(kdefrost.MODELS, "tiny", tiny)
    main = load_script("comply.py", PROJECT=tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["comply.py", *SMALL, *map(str, arguments)])
        main()

    return run


def test_one_number_of_layers(comply, capsys, tmp_path):
    comply("--layers", "3", "--strengths", "0", "0.1", "frozen", "--seeds", "2")
    out = tmp_path / "runs" / "compliance-gm-digits-smoke-8-tiny_1_1-1epochs"
    printed = capsys.readouterr().out
    written = printed.split("Written:\n")[1].split()
    assert all((tmp_path / path).exists() for path in written) and len(written) == 5
    result = kdefrost.ComplianceProfile.load(out / "compliance-3.json")
    assert (result.counts, len(result.trials)) == ([3], 6)
    assert result.configuration["source_name"] == "gm"
    with (out / "compliance-3.csv").open() as file:
        assert len(list(csv.reader(file))) == 7
    assert "3 layers held" in printed and "frozen" in (out / "compliance-3.md").read_text()
    comply("--layers", "3", "--strengths", "0", "0.1", "frozen", "--seeds", "2", "--tensorboard", "board")
    again = capsys.readouterr()
    assert "reusing" in again.out and "Compliance, " not in again.err
    assert len(list((tmp_path / "board").glob("* layers held by */*tfevents*"))) == 6


def test_several_numbers_beside_the_profile(comply, capsys, tmp_path):
    comply("--layers", "1", "3", "--strengths", "0", "0.1", "--seeds", "1", "--out", "here")
    printed = capsys.readouterr().out
    result = kdefrost.ComplianceProfile.load("here/compliance-1-3.json")
    assert result.counts == [1, 3]
    assert (tmp_path / "here" / "agreement-1-3.png").exists() and (tmp_path / "here" / "trials.sqlite").exists()
    assert "Beside the defrosting profile" in printed and "λ = 0.1: the springs predict" in printed
