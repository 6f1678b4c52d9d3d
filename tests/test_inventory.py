"""What is kept: listed, held to its limit, and never taken from who uses it."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import textwrap
import time

import pytest

from kdefrost import inventory, kept
from kdefrost.trials.presence import Presence

SOURCE = {"model": "wide_resnet_10_1", "source": "gm", "recipe": {"epochs": 2}, "seed": 0}
DAY = 86400


def _keep(directory, kind, number, size=1000, days=0, uses=False):
    """Keeps a file of some bytes, as if it had been used so many days ago, by a process that is gone."""
    folder = directory / kind / f"thing-{number:08x}"
    with kept.writing(folder, SOURCE) as beside:
        (beside / "file").write_bytes(b"x" * size)
    if not uses:
        inventory.leave(folder)
    then = time.time() - days * DAY
    os.utime(folder / "manifest.json", (then, then))
    return folder


def _names(directory):
    return [each.path.name[-1] for each in inventory.kept_in(directory)]


def test_what_is_kept_is_listed_with_size_age_and_purpose(tmp_path):
    _keep(tmp_path, "sources", 1, 5000, days=3)
    _keep(tmp_path, "clones", 2, uses=True)
    source, clone = inventory.kept_in(tmp_path)
    manifest = source.path / "manifest.json"
    assert str(source) == "sources/thing-00000001" and source.bytes == 5000 + manifest.stat().st_size
    assert inventory.age_of(source) == "3 days ago" and inventory.age_of(clone) == "just now"
    assert source.purpose == "wide_resnet_10_1 trained on gm, 2 epochs, seed 0"
    assert "its manifest is damaged" in clone.purpose and (source.is_used, clone.is_used) == (False, True)
    assert inventory.size_of([source._replace(bytes=740 * 2**20)] * 2) == "1.4 GiB"


@pytest.mark.parametrize(
    ("kind", "manifest", "purpose"),
    [
        ("clones", {"clone": "gm", "original": "cifar10", "seed": 1}, "clone gm of cifar10, seed 1"),
        ("autoencoders", {"recipe": {"epochs": 15}, "seed": 0}, "autoencoder of such clones, 15 epochs, seed 0"),
        ("sources", [], "not known: its manifest is damaged"),
    ],
)
def test_a_manifest_says_what_something_is_for(tmp_path, kind, manifest, purpose):
    (_keep(tmp_path, kind, 1) / "manifest.json").write_text(json.dumps(manifest))
    assert inventory.kept_in(tmp_path)[0].purpose == purpose


def test_what_was_used_longest_ago_goes_first_and_what_is_used_stays(tmp_path):
    for number, days in ((1, 2), (2, 5), (3, 1), (4, 9)):
        _keep(tmp_path, inventory.KINDS[number % 3], number, days=days)
    every = inventory.kept_in(tmp_path)
    assert _names(tmp_path) == ["4", "2", "1", "3"]
    (oldest,) = tmp_path.glob("*/thing-00000004")
    with contextlib.closing(_Using(oldest)):
        gone = inventory.keep_within(tmp_path, sum(each.bytes for each in every) - 1500)
        assert [each.path.name[-1] for each in gone] == ["2", "1"]
        assert sorted(_names(tmp_path)) == ["3", "4"]
    assert not inventory.keep_within(tmp_path, 10**6)
    assert len(inventory.keep_within(tmp_path, 0)) == 2 and _names(tmp_path) == []


class _Using(Presence):
    """As another process would be at work in a folder."""

    def __init__(self, folder):
        super().__init__(folder, None)

    def close(self):
        self.end()


def test_who_begins_to_use_it_while_it_is_removed_has_it_back(tmp_path, monkeypatch):
    folder = _keep(tmp_path, "clones", 1)
    (thing,) = inventory.kept_in(tmp_path)
    answers = iter([False, True])
    monkeypatch.setattr(inventory, "is_used", lambda _: next(answers))
    assert not inventory.remove(thing) and (folder / "file").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_damaged_goes_before_what_is_old(tmp_path):
    _keep(tmp_path, "clones", 1, days=9)
    (_keep(tmp_path, "clones", 2) / "file").unlink()
    with pytest.warns(UserWarning, match="damaged"):
        assert not kept.is_whole(tmp_path / "clones" / "thing-00000002")
    first, second = inventory.kept_in(tmp_path)
    assert first.is_aside and not second.is_aside and inventory.remove(first)
    assert inventory.kept_in(tmp_path) == [second]


def test_what_is_written_is_held_to_the_limit(tmp_path, monkeypatch, capsys):
    for number, days in ((1, 5), (2, 3)):
        _keep(tmp_path, "clones", number, 10_000, days)
    room = sum(each.bytes for each in inventory.kept_in(tmp_path)) + 1000
    monkeypatch.setenv("KDEFROST_KEPT_GIB", str(room / 2**30))
    assert capsys.readouterr().out == "" and len(_names(tmp_path)) == 2
    _keep(tmp_path, "sources", 3, 10_000)
    said = capsys.readouterr().out
    assert said.startswith("Removed clones/thing-00000001 (0.0 MiB, last used 5 days ago): what is kept in")
    assert said.endswith("(KDEFROST_KEPT_GIB).\n") and len(said.splitlines()) == 1
    # What is larger than the limit by itself is there as long as who made it uses it.
    _keep(tmp_path, "clones", 4, size=40_000, uses=True)
    assert _names(tmp_path) == ["4"]


def test_only_what_was_kept_is_ever_removed(tmp_path):
    """Exports, people's own files, and folders of other names stay."""
    others = [
        tmp_path / "mine" / "model.keras",
        tmp_path / "sources" / "notes.txt",
        tmp_path / "sources" / "my-model" / "x",
    ]
    others += [tmp_path / "clones" / "thing-0000000a" / "file", tmp_path / "pairs" / "pair-0000000b" / "manifest.json"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    _keep(tmp_path, "sources", 1)
    assert len(inventory.keep_within(tmp_path, 0)) == 1 and all(path.exists() for path in others)


@pytest.mark.parametrize("text", ["many", "-1", "nan"])
def test_a_limit_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv("KDEFROST_KEPT_GIB", text)
    with pytest.raises(ValueError, match=rf"KDEFROST_KEPT_GIB must be a number of GiB, .* Received: '{text}'"):
        inventory.limit()


@pytest.mark.parametrize(("text", "gib"), [("", 20), ("0.5", 0.5), ("inf", float("inf")), ("0", 0)])
def test_a_limit_is_a_number_of_gib(text, gib, monkeypatch):
    monkeypatch.setenv("KDEFROST_KEPT_GIB", text)
    assert inventory.limit() == gib * 2**30


def test_what_another_process_uses_stays_until_it_is_killed(tmp_path):
    folder = _keep(tmp_path, "clones", 1)
    script = f"""
        import pathlib, sys
        from kdefrost import kept
        print(kept.is_whole(pathlib.Path({str(folder)!r})), flush=True)
        sys.stdin.read()
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        (thing,) = inventory.kept_in(tmp_path)
        assert thing.is_used and not inventory.keep_within(tmp_path, 0)
        process.kill()
    assert len(inventory.keep_within(tmp_path, 0)) == 1 and not folder.exists()


def test_what_killed_processes_left_is_cleared(tmp_path):
    left = tmp_path / "clones" / f"thing-00000001.{platform.node()}.999999999.part"
    left.mkdir(parents=True)
    assert inventory.kept_in(tmp_path) == [] and not left.exists()


def test_a_limit_that_is_none_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv(inventory.LIMIT, "20GB")
    for look in (kept.is_whole, kept.load_model):
        with pytest.raises(ValueError, match=inventory.LIMIT):
            look(tmp_path / "sources" / "thing")
