"""Files and folders: whole or not at all, and sentences where there is no place for them."""

import errno
import json
import os
import platform
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import kdefrost
from kdefrost.drawing import save_figure
from kdefrost.files import (
    check_folder,
    check_writable,
    clear_parts,
    make_folder,
    part_of,
    read_json,
    write_atomically,
    writing,
)
from kdefrost.profile.best_tails import BestTails, _Tail
from kdefrost.trials.store import FILE, Store


@pytest.mark.parametrize("make", [check_folder, make_folder])
@pytest.mark.parametrize("path", ["file", "file/folder", "file/deep/folder"])
def test_a_folder_that_cannot_be_is_a_sentence(make, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        ValueError, match=rf"`directory` \(--out\) must be a folder .* Received: {path} \(.*no folder\)"
    ):
        make(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_to_nothing_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"`directory` \(--out\) must be a folder"):
        make_folder(tmp_path / "link")


def test_a_folder_is_made_once_with_all_above_it(tmp_path):
    for _ in range(2):
        assert make_folder(tmp_path / "a" / "b").is_dir()


def test_a_defroster_refuses_it_before_it_reads_any_data(residual, tmp_path):
    (tmp_path / "file").write_text("mine")
    defroster = kdefrost.Defroster(residual, directory=tmp_path / "file")
    for ask in (defroster.profile, defroster.plan, defroster.compliance):
        with pytest.raises(ValueError, match=r"`directory` \(--out\) must be a folder"):
            ask(None, test=None, per_class=2)


def test_what_is_written_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.json"
    write_atomically(path, "{}")
    with pytest.raises(RuntimeError), writing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert read_json(path) == {} and os.listdir(tmp_path) == ["file.json"]


def test_a_full_disk_is_a_sentence_that_leaves_nothing(tmp_path):
    path = tmp_path / "file.json"
    write_atomically(path, "{}")
    told = r"file\.json could not be written \(No space left on device\)\. Make room"
    with pytest.raises(OSError, match=told), writing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert read_json(path) == {} and os.listdir(tmp_path) == ["file.json"]


def test_a_folder_that_cannot_be_written_is_refused_and_none_is_made(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "board", "tensorboard", "--tensorboard")

    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    told = rf"`tensorboard` \(--tensorboard\) must be .*Received: .*board \({tmp_path}: Read-only file system\)"
    with pytest.raises(ValueError, match=told):
        check_writable(tmp_path / "new" / "board", "tensorboard", "--tensorboard")
    assert not os.listdir(tmp_path)


def test_figures_and_results_are_written_so_too(tmp_path, monkeypatch):
    """To a device that is always full."""
    from matplotlib.figure import Figure

    full = tmp_path / "full"
    full.mkdir()
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    profile = kdefrost.DefrostProfile((), (), kdefrost.Objective("accuracy", "max"))
    for write in (
        lambda: save_figure(Figure(), full / "figure.png"),
        lambda: profile.save(full / "profile.json"),
        lambda: profile.save_csv(full / "profile.csv"),
        lambda: BestTails(full)._keep(_Tail("", kdefrost.Trial(0, 4, 0, {"accuracy": 0.5}, None, 1.0), [np.ones(3)])),
    ):
        with pytest.raises(OSError, match=r"could not be written \(No space left\)\. Make room there"):
            write()
    assert not os.listdir(full)


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps("text"), "[" * 100_000], ids=["cut off", "list", "text", "deep"]
)
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "damaged.json").write_text(text)
    with pytest.raises(ValueError, match=r"damaged\.json is damaged: .* Delete it, or choose another folder"):
        read_json(tmp_path / "damaged.json")


def test_a_store_clears_away_what_a_killed_process_had_begun_to_write(tmp_path, start):
    killed = start(
        """
        import os, pathlib
        from kdefrost.files import writing
        with writing(pathlib.Path(path)) as file:
            file.write(b"half")
            os._exit(9)
        """,
        path=str(tmp_path / "tail-5.npz"),
    )
    killed.join()
    assert killed.exitcode == 9
    (part,) = tmp_path.iterdir()
    with Store(tmp_path, {}):
        assert not part.exists()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_a_running_process_or_another_machine_writes_is_left(tmp_path):
    ours, gone = part_of(tmp_path / "it"), subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    machine = platform.node()
    theirs, dead = (tmp_path / f"it.{name}.{gone.pid}.part" for name in (f"{machine}x", machine))
    for path in (ours, theirs, dead, tmp_path / "mine.part", tmp_path / f"it.{machine}.mine.part"):
        path.touch()
    clear_parts(tmp_path, "other")
    assert dead.exists()
    clear_parts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        ours.name,
        theirs.name,
        "mine.part",
        f"it.{machine}.mine.part",
    }
