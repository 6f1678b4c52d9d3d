"""Which processes are at work in a run folder."""

import sqlite3
import uuid
import warnings
from pathlib import Path

from kdefrost.files import clear_parts

_RUNNING = ".running-"
# What SQLite has beside a file that is locked; it is no database, and stays where the process is killed.
_JOURNAL = "-journal"
# Another process that begins may take a file that is not locked yet for one of a process that is gone.
_TRIES = 5


class Presence:
    """That this process is at work in a folder: a file that it has locked, which the system unlocks when it is gone.

    The locks are SQLite's own, because the store stands or falls with them. Where the file system has none, a warning
    says so.

    Args:
        directory: The folder.
        alone: What no other process may do there at the same time where there are no locks, for a warning; `None` for
            none.

    Attributes:
        owner: The process's name in claims.
        has_locks: Whether the file system has working locks.
    """

    def __init__(self, directory: Path, alone: str | None = "run trials in this folder"):
        self._directory = directory
        for _ in range(_TRIES):
            self.owner = uuid.uuid4().hex
            self._lock, reason = _lock(self._path(self.owner))
            if self._lock is not None and self._path(self.owner).exists():
                break
            self._leave()
        # A folder that cannot be written is another matter, of which the database's own errors speak.
        self.has_locks = self._lock is not None or reason.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))
        self._clear_away()
        if not self.has_locks and alone is not None:
            warnings.warn(
                f"The file system of {directory} has no working locks: no other process may {alone} at the same time.",
                stacklevel=4,
            )

    def is_there(self, owner: str) -> bool:
        """Whether the process of a claim is still at work."""
        path = self._path(owner)
        return path.exists() and not _is_free(path)

    def end(self):
        """Ends it."""
        self._leave()
        self._clear_away()

    def _leave(self):
        """Lets go of the own file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._path(self.owner).unlink(missing_ok=True)

    def _clear_away(self):
        """Deletes the files of processes that are gone, and what they had begun to write."""
        clear_parts(self._directory)
        for path in _files(self._directory):
            if _is_free(path):
                path.unlink(missing_ok=True)
                path.with_name(path.name + _JOURNAL).unlink(missing_ok=True)

    def _path(self, owner: str) -> Path:
        return self._directory / f"{_RUNNING}{owner}"


def is_used(directory: Path) -> bool:
    """Whether a process that still runs is at work in a folder."""
    return not all(_is_free(path) for path in _files(directory))


def _files(directory: Path) -> list[Path]:
    """The files of processes that are or were at work in a folder."""
    return [path for path in directory.glob(f"{_RUNNING}*") if not path.name.endswith(_JOURNAL)]


def _lock(path: Path) -> tuple[sqlite3.Connection | None, str]:
    """A connection to an empty database that has locked it until it is closed; `None` and why where it could not."""
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        return None, error.sqlite_errorname
    return connection, ""


def _is_free(path: Path) -> bool:
    """Whether nobody has locked a file."""
    connection, _ = _lock(path)
    if connection is not None:
        connection.close()
    return connection is not None
