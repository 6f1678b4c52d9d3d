"""The command that ranks sources without training, from the scores that are in their folders."""

import sys

import pytest
from conftest import load_script

import kdefrost
from kdefrost.transferability.result import POOLING


@pytest.fixture
def folders(tmp_path, residual_cuts):
    """Scores of two sources in folders of one name: of three sizes, of which two are there for both."""
    for source, score in (("crude", 0.4), ("close", 0.6)):
        folder = tmp_path / source / "run"
        folder.mkdir(parents=True)
        measured = [
            kdefrost.CutScores(cut.index, seed, {"ridge": score + 0.01 * cut.index}, {POOLING: 0.0, "ridge": 0.0})
            for cut in residual_cuts
            for seed in (0, 1)
        ]
        told = {"sizes": {"all": 30}, "examples": 60, "source_name": source}
        scores = kdefrost.Transferability(residual_cuts, tuple(measured), told)
        for size in (4, 8):
            scores.save(folder / f"scores-{size}.json")
    scores.save(folder / "scores-16.json")
    return [str(tmp_path / source / "run") for source in ("crude", "close")]


def test_sources_are_ranked_by_the_scores_that_all_have(folders, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["compare.py", *folders, "--scores", "--out", str(out)])
    load_script("compare.py")()
    said = capsys.readouterr().out
    sentence = "Best source: close, 64.0 ± 0.0 % at cut 4; then crude, 20.0 ± 0.0 points below (cut 4)."
    assert " ".join(said.split()).count(sentence) == 2 and said.count("Written:") == 1
    assert max(len(line) for line in said.split("Written:")[0].splitlines()) <= 80
    names = {f"ranking-scores-{size}.{ending}" for size in (4, 8) for ending in ("png", "svg", "csv")}
    assert {path.name for path in out.iterdir()} == names and all(str(out / name) in said for name in names)
