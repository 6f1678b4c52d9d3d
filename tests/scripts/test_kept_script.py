"""The command that lists what is kept and clears it, as a user types it."""

import os
import re
import sys
import time

import pytest
from conftest import load_script

from kdefrost import inventory, kept

SOURCE = {"model": "wide_resnet_10_1", "source": "gm", "recipe": {"epochs": 2}, "seed": 0}
CLONE = {"clone": "gm", "original": "cifar10", "seed": 0}
NAMES = ["sources/gm-digits-wide_resnet_10_1-00000001", "clones/gm-cifar10-00000002"]


@pytest.fixture
def folder(tmp_path):
    """A source that was last used 40 days ago, and a clone of now."""
    for name, settings, days in zip(NAMES, (SOURCE, CLONE), (40, 0), strict=True):
        with kept.writing(tmp_path / name, settings) as beside:
            (beside / "file").write_bytes(bytes(2**20))
        inventory.leave(tmp_path / name)
        then = time.time() - days * 86400
        os.utime(tmp_path / name / "manifest.json", (then, then))
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs the command in the folder; gives what it prints, and the names of what is left."""

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["kept.py", "--directory", str(folder), *options])
        load_script("kept.py")()
        return capsys.readouterr().out, [str(each) for each in inventory.kept_in(folder)]

    return run


def test_without_an_option_it_lists(run, folder):
    printed, left = run()
    head, *rows, _, total = printed.splitlines()
    assert re.split("  +", head) == ["name", "size", "last used"] and left == NAMES
    assert [re.split("  +", row) for row in rows] == [
        [NAMES[0], "1.0 MiB", "40 days ago"],
        ["", "wide_resnet_10_1 trained on gm, 2 epochs, seed 0"],
        [NAMES[1], "1.0 MiB", "just now"],
        ["", "clone gm of cifar10, seed 0"],
    ]
    assert total == f"2.0 MiB in {folder}; the limit is 20 GiB (KDEFROST_KEPT_GIB)."


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--clear", NAMES[1]], NAMES[1:]),
        (["--clear", "all"], NAMES),
        (["--older-than", "30"], NAMES[:1]),
        (["--older-than", "50"], []),
        (["--limit", str(1.5 / 1024)], NAMES[:1]),
        (["--limit", "0"], NAMES),
    ],
)
def test_it_clears_what_it_is_told_to(run, options, gone):
    printed, left = run(*options)
    assert left == [name for name in NAMES if name not in gone]
    *lines, last = printed.splitlines()
    assert lines == [f"Removed {name} (1.0 MiB)." for name in gone]
    assert last == (f"{len(gone)}.0 MiB are free." if gone else "Nothing was removed.")


def test_what_is_in_use_is_said_and_stays(run, folder):
    assert kept.is_whole(folder / NAMES[0])
    printed, _ = run()
    assert "in use" in printed
    printed, left = run("--clear", "all")
    assert left == NAMES[:1] and f"{NAMES[0]} stays: a process that still runs uses it." in printed
    inventory.leave(folder / NAMES[0])


def test_an_empty_folder_is_said(run):
    run("--clear", "all")
    assert run()[0].startswith("Nothing is kept in ")


def test_its_help_teaches(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kept.py", "--help"])
    with pytest.raises(SystemExit):
        load_script("kept.py")()
    printed = " ".join(capsys.readouterr().out.split())
    assert "KDEFROST_KEPT_GIB=50 is another limit" in printed and "python scripts/kept.py --older-than 30" in printed
