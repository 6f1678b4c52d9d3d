"""What takes long to make, kept on disk under a content address and found again there."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras

from kdefrost import fingerprint
from kdefrost.files import clear_parts, file_name, part_of, versions, write_atomically
from kdefrost.models.loading import load_source

_MANIFEST = "manifest.json"


def address(directory: str | os.PathLike, name: str, settings: dict) -> Path:
    """The folder of what is made from some settings.

    Args:
        directory: Folder of all that is kept.
        name: What people call it.
        settings: All that it depends on, as JSON holds it.

    Returns:
        A path, in which there may be nothing yet.
    """
    return Path(directory) / f"{file_name(name)}-{fingerprint.of_settings(settings)[:8]}"


def is_whole(folder: Path) -> bool:
    """Whether a folder holds what was kept there, every file as it was written.

    Says so where there is something that is damaged.
    """
    if not folder.exists():
        return False
    whole = _matches_manifest(folder)
    if not whole:
        print(f"{folder} is damaged. It is made anew.")
    return whole


def load_model(folder: Path) -> keras.Model | None:
    """The model that is kept in a folder as `model.keras`.

    Args:
        folder: The folder.

    Returns:
        The model; `None`, and a line that says so, if it is damaged or this version of Keras
        cannot read it; `None` if there is none.
    """
    if not is_whole(folder):
        return None
    try:
        return load_source(folder / "model.keras")
    except ValueError as error:
        print(f"{error}. It is made anew.")
        shutil.rmtree(folder)
        return None


@contextlib.contextmanager
def writing(folder: Path, report: dict) -> Iterator[Path]:
    """Gives a folder to write files in, which is at its place, whole, at the end of `with`, or not at all.

    Args:
        folder: Its place; what is damaged there is replaced.
        report: What the manifest says beside the digests of the files and the versions of
            packages, as JSON holds it.

    Yields:
        The folder beside it to write the files in.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_parts(folder.parent, glob.escape(folder.name))
    beside = part_of(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        digests = {path.name: _digest(path) for path in sorted(beside.iterdir())}
        manifest = {**report, "versions": versions(), "sha256": digests}
        write_atomically(beside / _MANIFEST, json.dumps(manifest, indent=2) + "\n")
        _put(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put(beside: Path, folder: Path):
    """Gives a written folder its place, unless a process beside this one was faster."""
    if folder.exists() and not _matches_manifest(folder):
        shutil.rmtree(folder)
    try:
        beside.replace(folder)
    except OSError:
        if not _matches_manifest(folder):
            raise


def _matches_manifest(folder: Path) -> bool:
    try:
        digests = json.loads((folder / _MANIFEST).read_text())["sha256"]
        return bool(digests) and all(_digest(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
