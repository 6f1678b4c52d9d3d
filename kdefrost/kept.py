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
from kdefrost.files import clear_parts, file_name, part_of, set_aside, versions, write_atomically
from kdefrost.inventory import KINDS, LIMIT, MANIFEST, age_of, keep_within, leave, limit, size_of, use
from kdefrost.models.loading import load_source


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
    """Whether a folder holds what was kept there, every file as it was written, for this process to use.

    Where something of it is damaged, it is set aside, and a warning says so.

    Raises:
        ValueError: As `inventory.limit`, which holds for what would be made.
    """
    # What is wrong with it is to show before what is missing is made.
    limit()
    if not folder.exists():
        return False
    # First, so that nobody removes it between the look and the use.
    use(folder)
    if _matches_manifest(folder):
        return True
    leave(folder)
    if folder.exists():
        set_aside(folder, "a file of it is not as it was written", "It is made anew")
    return False


def load_model(folder: Path) -> keras.Model | None:
    """The model that is kept in a folder as `model.keras`.

    Args:
        folder: The folder.

    Returns:
        The model; `None`, and a warning, if it is damaged; `None` if there is none.

    Raises:
        ValueError: As `is_whole`; or if it is as it was written, and Keras cannot load it, because another version
            wrote it or memory is short.
    """
    if not is_whole(folder):
        return None
    try:
        return load_source(folder / "model.keras")
    except ValueError as error:
        leave(folder)
        raise ValueError(
            f"{folder} is as it was written, but Keras {keras.__version__} cannot load it. {error}. Go on with the "
            f"version in its {MANIFEST}, or with more memory where that is the reason; or remove the folder "
            "(scripts/kept.py --clear), and it is made anew."
        ) from error


@contextlib.contextmanager
def writing(folder: Path, report: dict) -> Iterator[Path]:
    """Gives a folder to write files in, which is at its place, whole, at the end of `with`, or not at all.

    What is kept in the folders of sources, clones and autoencoders is then held to `inventory.limit`: what was used
    longest ago goes, and a line says so.

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
        write_atomically(beside / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        leave(folder)
        _put(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    use(folder)
    if folder.parent.name in KINDS:
        _make_room(folder.parent.parent)


def _make_room(directory: Path):
    most = limit()
    for gone in keep_within(directory, most):
        print(
            f"Removed {gone} ({size_of([gone])}, last used {age_of(gone)}): what is kept in {directory} takes no "
            f"more than {most / 2**30:g} GiB ({LIMIT})."
        )


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
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["sha256"]
        return bool(digests) and all(_digest(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
