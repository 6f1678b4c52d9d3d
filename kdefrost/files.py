"""Files that are there whole or not at all, the folders that they are in, and what they say of versions."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from kdefrost.arguments import as_path

_PART = ".part"
# What some system takes for more than a part of a name, or not at all; and the names that Windows keeps for devices.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff<>:"/\\|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# Bytes of a name; systems take 255, of which endings and what is written beside need some.
_LONGEST = 120
# How the names of what was damaged end.
ASIDE = ".damaged"
_Kind = TypeVar("_Kind")


def read_json(path: Path) -> dict:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ValueError: If the file is damaged.
        OSError: If there is none, or it may not be read.
    """
    _check_readable(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    # Brackets that never close.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it, or choose another folder.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object. Delete it, or choose another folder.")
    return values


def _check_readable(path: Path):
    """Refuses to read what is no file, by a sentence."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if not path.is_file():
        raise IsADirectoryError(f"{path} is no file; name the file that is in it.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} may not be read: allow it, or take another.")


def converted(values, kind: type[_Kind]) -> _Kind:
    """Makes a dataclass of what `dataclasses.asdict` and JSON made of it, and takes no value of another type.

    Args:
        values: What JSON held; what has a default need not be there.
        kind: The dataclass.

    Returns:
        The object, lists where it has tuples as tuples, whole numbers where it has others as such.

    Raises:
        ValueError: If a value is missing or does not fit, with its place.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def json_digest(values) -> str:
    """What tells whether values of JSON are as they were written."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Gives a file to write to, which is at its place, whole, at the end of `with`, or not at all.

    Args:
        path: Its place.

    Yields:
        The file, open for bytes.

    Raises:
        OSError: If it could not be written, as where the disk is full; nothing is left of it.
    """
    beside = part_of(path)
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "Make room there and give the same command again, or choose" if is_full else "Choose"
        # Without its number, so that it reads as a sentence.
        raise OSError(
            f"{path} could not be written ({error.strerror or error}). {advice} another folder; what was there before "
            "is as it was"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(path: Path, text: str):
    """Writes a text so that the file is there whole or not at all; see `writing`."""
    with writing(path) as file:
        file.write(text.encode())


def file_name(text: str) -> str:
    """The name of a file or folder that any system can have and people can read, from a text of whatever kind.

    Args:
        text: What it is to say, such as the name of a data set.

    Returns:
        The text, with dashes in the place of what cannot be in a name; a longer one ends in its digest. It is a single
        part of a path, and never one that leads out of a folder.
    """
    name = _NOT_IN_NAMES.sub("-", text).lstrip(". -").rstrip(". ")
    if len(name.encode()) > _LONGEST:
        ending = f"-{hashlib.sha256(os.fsencode(text)).hexdigest()[:8]}"
        name = name.encode()[: _LONGEST - len(ending)].decode(errors="ignore") + ending
    if not name or _DEVICES.fullmatch(name):
        name = f"_{name}"
    return name


def set_aside(path: Path, reason: str, then: str):
    """Gives what is damaged another name, so that it is made anew and can be looked at; a warning says so.

    Args:
        path: A file or a folder.
        reason: What is wrong with it.
        then: What is done about it.
    """
    aside, where = path.with_name(f"{path.name}{ASIDE}"), "cannot be set aside"
    # It may be another user's, and another process that found the same may have been faster.
    with contextlib.suppress(OSError):
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
        path.rename(aside)
        where = f"is now {aside.name}"
    warnings.warn(f"{path} is damaged ({reason}). {then}; what was there {where}.", stacklevel=3)


def part_of(path: Path) -> Path:
    """Where this process writes what is at its place when it is whole, a file or a folder: beside it."""
    return path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}{_PART}")


def clear_parts(directory: Path, name: str = "*"):
    """Deletes what processes of this machine that were killed had begun to write.

    Args:
        directory: The folder in which it lies.
        name: What it was to become, as a pattern of `glob`.
    """
    for part in left_parts(directory, name):
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def left_parts(directory: Path, name: str) -> list[Path]:
    """What processes of this machine that were killed left as `part_of` names it.

    Args:
        directory: As for `clear_parts`.
        name: As for `clear_parts`.

    Returns:
        The paths.
    """
    parts = directory.glob(f"{name}.{glob.escape(platform.node())}.*{_PART}")
    of_processes = ((part, part.suffixes[-2].removeprefix(".")) for part in parts)
    return [part for part, process in of_processes if process.isdigit() and not _is_running(int(process))]


def _is_running(process: int) -> bool:
    # On Windows the question would end the process.
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def check_folder(directory: str | os.PathLike, name: str = "directory", option: str = "--out") -> Path:
    """Refuses as a folder for results what is none.

    Args:
        directory: The folder, which need not be there.
        name: What an error calls it in Python.
        option: What an error calls it on the command line.

    Returns:
        The folder itself, or the one above it that is there.

    Raises:
        ValueError: If it is something else, or lies in something else.
    """
    path = as_path(name, directory).absolute()
    there = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not there.is_dir():
        raise _no_folder(directory, f"{there} is no folder", name, option)
    return there


def check_writable(directory: str | os.PathLike, name: str, option: str):
    """Refuses as a folder for results what is none, or cannot be written in; nothing of it is made.

    Args:
        directory: As for `check_folder`, like the others.
        name: What an error calls it in Python.
        option: What an error calls it on the command line.

    Raises:
        ValueError: If it is such.
    """
    there = check_folder(directory, name, option)
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise _no_folder(directory, f"{there}: {error.strerror}", name, option) from error


def make_folder(directory: str | os.PathLike) -> Path:
    """Makes a folder for results, unless it is there.

    Args:
        directory: The folder.

    Returns:
        Its path.

    Raises:
        ValueError: If it cannot be made.
    """
    check_folder(directory)
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(directory, error.strerror) from error
    return Path(directory)


def _no_folder(directory: str | os.PathLike, reason: str, name: str = "directory", option: str = "--out") -> ValueError:
    return ValueError(
        f"`{name}` ({option}) must be a folder that is there or can be made. Received: {directory} ({reason})"
    )


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that scores depend on."""
    packages = ("tensorflow", "keras", "numpy")
    return {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}}
