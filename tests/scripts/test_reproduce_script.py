"""The command that draws the paper's figures: what it says without running, and what it refuses."""

import re
import shutil
import sys

import pytest
from conftest import load_script

import kdefrost
from kdefrost.paper import SCALES, FigureResults


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        main = load_script("reproduce.py", PROJECT=tmp_path)
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *arguments])
        main()
        return capsys.readouterr().out

    return run


def test_a_list_says_what_each_figure_is_drawn_from(run):
    said = run("--figure", "3", "5", "6", "--preset", "laptop", "--list")
    for line in (
        "Figure 3: Effect of the size of the target set",
        "  profiles gm → cifar10, 16 64 256 all per class, 3 seeds",
        "  profiles imagenet → idc, 50 200 500 1500 per class, 3 seeds",
        "  trainings on cifar10 with 10 layers held near gm, 3 seeds",
        "  3 pairs of networks, trained on ae256 and on cifar10",
    ):
        assert line in said.splitlines()


def test_a_dry_run_says_what_figures_take_and_what_the_preset_reduces(run):
    said = run("--figure", "4", "5", "--preset", "laptop", "--dry-run")
    head, four, five, together, *_ = said.splitlines()
    assert head.split()[:4] == ["figure", "trials", "PFLOP", "hours"]
    assert "  python scripts/reproduce.py --figure 4 --preset laptop" in said.splitlines()
    assert [row.split()[1] for row in (four, five, together)] == ["48", "18", "66"]
    assert "wide_resnet_28_4" in said and "two cores without AVX-512" in said


def test_what_trains_nothing_minds_no_variable_of_trainings(run, tmp_path, monkeypatch):
    monkeypatch.setenv("KDEFROST_KEPT_GIB", "20GB")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    assert "Figure 4" in run("--figure", "4", "--list") and "--figure 4" in run("--figure", "4", "--dry-run")


def test_a_page_gets_the_sections_of_figures_that_are_asked_for(run, tmp_path, residual_cuts):
    numbers = {"information_imbalance_xy": 0.1, "cka": 0.9, "neighbor_spearman_xy": 0.9, "neighborhood_overlap": 0.9}
    comparisons = tuple(kdefrost.LayerComparison(0, cut.index, cut.index, numbers) for cut in residual_cuts)
    similarity = kdefrost.LayerwiseSimilarity(residual_cuts, residual_cuts, comparisons, {"pairs": "same"})
    for number in (8, 9):
        results = FigureResults(SCALES["smoke"].figure(number), (), {"isogm": similarity})
        results.save(tmp_path / "out" / f"figure-{number}")
    page = tmp_path / "page.md"
    page.write_text("## Figure 8: old\n\n## Figure 9: old\n")
    assert str(page) in run("--page", str(page), "--figure", "8", "--out", str(tmp_path / "out"))
    assert "Preset `smoke`: 1 pairs of networks" in page.read_text()
    assert page.read_text().endswith("|\n\n## Figure 9: old\n")


def test_too_small_a_disk_is_said_before_anything_is_run(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(SystemExit) as stop:
        run("--figure", "4", "--out", str(tmp_path / "out"))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and re.match(r"error: Sources and clones would take .* GB are free: make room", said)
    assert not (tmp_path / "out").exists()
