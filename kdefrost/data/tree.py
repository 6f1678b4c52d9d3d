"""Files and sub-folders below a folder, and what keeps a folder from being gone through."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

# Names of what systems put beside people's own files begin so.
_HIDDEN = (".", "__MACOSX")


def subfolders(folder: Path) -> tuple[str, ...]:
    """Sorted names of the sub-folders that are not hidden."""
    return tuple(sorted(entry.name for entry in _entries(folder) if _is_folder(entry)))


def files_below(root: Path, folder: str) -> list[str]:
    """Files in a folder and below that are not hidden, links followed.

    Args:
        root: A folder.
        folder: One below it.

    Returns:
        Sorted paths relative to `root`.

    Raises:
        ValueError: If a link leads to a folder above it, or nowhere.
        OSError: If a folder cannot be listed.
    """
    return sorted(_walk(root, folder, (Path(os.path.realpath(root)),)))


def printable(name: str) -> str:
    """A name in which bytes that are no text stand as numbers, so that it can be written anywhere."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _walk(root: Path, folder: str, above: tuple[Path, ...]) -> Iterator[str]:
    """Files in a folder and below; the folders above it are known by where they really are."""
    place = Path(os.path.realpath(root / folder))
    if any(each.is_relative_to(place) for each in above):
        raise ValueError(
            f"The folder {root / folder} leads by a link to {place}, of which it is a part, so that its images have no "
            "end: remove the link."
        )
    for entry in _entries(root / folder):
        path = f"{folder}/{entry.name}"
        if _is_folder(entry):
            yield from _walk(root, path, (*above, place))
        else:
            yield path


def _entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder and not hidden."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(_HIDDEN)]
    except OSError as error:
        raise _unreadable(folder, error) from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        is_folder = entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise _unreadable(entry.path, error) from error
        is_folder = False
    # With an ending it is a file's, of which more is said where that is read.
    if not is_folder and not PurePath(entry.name).suffix and entry.is_symlink() and not os.path.exists(entry.path):
        raise ValueError(
            f"{entry.path} is a link to {os.readlink(entry.path)}, which is not there or the link itself: mend it, or "
            "remove it."
        )
    return is_folder


def _unreadable(path, error: OSError) -> OSError:
    return OSError(error.errno, f"{path} cannot be looked into ({error.strerror}): allow it, or take it away")
