"""The SQLite database of a run folder, whose errors are sentences."""

import contextlib
import functools
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from kdefrost.files import versions

# Changed whenever files of before come to mean something else.
_FORMAT = 1
# Seconds to wait for another process to end its writing, of which each takes milliseconds.
_PATIENCE = 60.0
_FACTS = {"format": int, "configuration": dict}
_TABLES = {
    "about": "name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL",
    "answers": """
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        address TEXT NOT NULL UNIQUE,
        question TEXT NOT NULL,
        answer TEXT NOT NULL,
        digest TEXT NOT NULL
    """,
    "claims": "address TEXT PRIMARY KEY, owner TEXT NOT NULL",
}


class Database:
    """A connection to the file, whose errors are sentences.

    Args:
        path: The file.
        has_locks: Whether its file system has working locks, without which no other process may use it.
    """

    def __init__(self, path: Path, has_locks: bool = True):
        self.path = path
        address = f"{path.absolute().as_uri()}?nolock={int(not has_locks)}"
        with self._said():
            # Every statement stands by itself, but where `writing` puts several together.
            self._connection = sqlite3.connect(address, timeout=_PATIENCE, isolation_level=None, uri=True)
            try:
                # What is no text any more is found by its digest.
                self._connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
                # A file that others made runs nothing of its own.
                self._connection.execute("PRAGMA trusted_schema = OFF")
                (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
            except BaseException:
                self._connection.close()
                raise

    def close(self):
        """Ends the connection."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def prepare(self, configuration: dict):
        """Makes the tables where there are none, and notes the configuration where there are no answers yet."""
        with self.writing() as connection:
            for name, columns in _TABLES.items():
                connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
            if not self.check(configuration):
                about = {"format": _FORMAT, "configuration": configuration, "versions": versions()}
                texts = {name: json.dumps(value, indent=1) for name, value in about.items()}
                rows = [(name, text, digest_of(name, text)) for name, text in texts.items()]
                connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?, ?)", rows)

    def check(self, configuration: dict) -> bool:
        """Refuses answers of another configuration.

        Args:
            configuration: What is known of it, as JSON has it.

        Returns:
            Whether there are answers.
        """
        if not self.rows("SELECT name FROM sqlite_master WHERE name = 'answers'"):
            return False
        if not self.rows("SELECT number FROM answers LIMIT 1"):
            return False
        form = self._fact("format")
        if form != _FORMAT:
            raise ValueError(
                f"{self.path} is of another version of kdefrost (format {form}, here {_FORMAT}). Choose "
                "another folder, or go on with the version that wrote it."
            )
        kept = self._fact("configuration")
        different = [name for name, value in configuration.items() if kept.get(name) != value]
        if different:
            changes = "; ".join(_change(name, kept.get(name), configuration[name]) for name in different)
            raise ValueError(
                f"The folder {self.path.parent} holds results of another configuration ({changes}). Choose another "
                "folder, or delete this one."
            )
        return True

    def _fact(self, name: str):
        """A fact of the folder, refused where it is not there or not as it was written."""
        for text, digest in self.rows("SELECT value, digest FROM about WHERE name = ?", name):
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                value = json.loads(text)
                if digest_of(name, text) == digest and isinstance(value, _FACTS[name]):
                    return value
        raise ValueError(f"{self.path} is damaged: its {name} is not as it was written. {_WAY_OUT}")

    def rows(self, statement: str, *values) -> list[tuple]:
        """What a question to the database gives."""
        with self._said():
            return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, *values):
        """Makes one change, on disk before this returns."""
        with self.writing() as connection:
            connection.execute(statement, values)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Puts changes together, which are all on disk at the end of `with`, or none of them."""
        with self._said():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        # What SQLite says of a damaged file may hold bytes of it that are no text.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorname", "").startswith(_OF_THE_DISK):
                raise OSError(
                    f"{self.path} could not be read or written ({error}). Make room there, or make it writable, and "
                    "give the same command again: the trials that have finished are kept",
                ) from error
            raise ValueError(f"{self.path} is damaged ({error}). {_WAY_OUT}") from error


# How SQLite's errors begin that say nothing of what is in the file.
_OF_THE_DISK = (
    "SQLITE_BUSY",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_LOCKED",
    "SQLITE_NOLFS",
    "SQLITE_PERM",
    "SQLITE_PROTOCOL",
    "SQLITE_READONLY",
)
# What to do about a damaged file.
_WAY_OUT = (
    "Copy what can be read of it by SQLite's own command, sqlite3 trials.sqlite .recover | sqlite3 whole.sqlite, and "
    "put that in its place; or move it away, and the trials run again."
)


def digest_of(*texts: str) -> str:
    """What tells whether texts are as they were written."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _change(name: str, kept, now) -> str:
    """What differs, of settings with names those alone that do."""
    if isinstance(kept, dict) and isinstance(now, dict):
        names = [key for key in now if kept.get(key) != now[key]] or [key for key in kept if key not in now]
        return ", ".join(_change(f"{name} {key}", kept.get(key), now.get(key)) for key in names)
    return f"{name} was {kept!r}, now {now!r}"
