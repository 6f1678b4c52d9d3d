"""The command that draws the paper's figures: what it says without running, and what it refuses."""

import re
import shutil
import sys

import pytest
from conftest import load_script


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


def test_too_small_a_disk_is_said_before_anything_is_run(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(SystemExit) as stop:
        run("--figure", "4", "--out", str(tmp_path / "out"))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and re.match(r"error: Sources and clones would take .* GB are free: make room", said)
    assert not (tmp_path / "out").exists()
