"""The store: one file of a run folder that remembers every answer as it comes, whoever asked.

It is an SQLite database, `trials.sqlite`, which other tools open too: the table `answers` has a question and its
answer a row, both as JSON. Several processes may use one folder at a time and share its work. SQLite's rollback
journal, its default, needs no more of a file system than locks, and leaves one file to copy; its write-ahead log,
which a folder that several machines share does not bear, would spare less than a millisecond a trial.
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import os
import sqlite3
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kdefrost.files import check_folder, make_folder, versions
from kdefrost.trials.question import Answer, Question

FILE = "trials.sqlite"
# What kept trials before there was a store.
_EARLIER = "trials.jsonl"
# Changed whenever files of before come to mean something else.
_FORMAT = 1
# Seconds to wait for another process to end its writing, of which each takes milliseconds.
_PATIENCE = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS claims (address TEXT PRIMARY KEY, owner TEXT NOT NULL);
"""


class Store:
    """The answers of one run folder; `with` opens and closes it.

    Args:
        directory: The folder, which is made where it does not exist. `None` remembers while the process runs.
        configuration: All that answers depend on beside their questions, and that one folder must not mix.

    Raises:
        ValueError: If the folder holds answers of another configuration or of an earlier version, or its file is
            damaged.
        OSError: If the file cannot be read or written.
    """

    def __init__(self, directory: str | os.PathLike | None, configuration: dict):
        self.directory = None if directory is None else Path(directory)
        # As JSON has it, because the file's is compared with it.
        self.configuration = json.loads(json.dumps(configuration))
        self._answers: dict[Question, Answer] = {}
        self._database: _Database | None = None
        self._presence: _Presence | None = None
        self._last = 0

    def __enter__(self):
        if self.directory is None:
            return self
        make_folder(self.directory)
        _refuse_earlier(self.directory)
        self._database = _Database(self.directory / FILE)
        try:
            self._database.prepare(self.configuration)
            self._presence = _Presence(self.directory)
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._database is None:
            return
        if self._presence is not None:
            # On a full disk nothing can be written, and claims of a process that is gone count for nothing.
            with contextlib.suppress(OSError):
                self._database.change("DELETE FROM claims WHERE owner = ?", self._presence.owner)
            self._presence.end()
        self._database.close()
        self._database = self._presence = None

    @property
    def answers(self) -> Mapping[Question, Answer]:
        """All answers so far, by their questions, those of other processes among them."""
        if self._database is not None:
            self._read()
        return self._answers

    def claim(self, question: Question) -> bool:
        """Takes a question on, unless it is answered or a process that still runs has taken it on.

        Args:
            question: The question.

        Returns:
            Whether it is now this store's to answer.
        """
        if self._database is None:
            return question not in self._answers
        with self._database.writing() as connection:
            taken = connection.execute("SELECT owner FROM claims WHERE address = ?", (question.address,)).fetchone()
            if taken and taken[0] != self._presence.owner and self._presence.is_there(taken[0]):
                return False
            self._read()
            if question in self._answers:
                return False
            claim = question.address, self._presence.owner
            connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", claim)
        return True

    def is_any_free(self, questions: Iterable[Question]) -> bool:
        """Whether there is one among some questions that no process which still runs has taken on."""
        if self._database is None:
            return True
        owners = dict(self._database.rows("SELECT address, owner FROM claims"))
        busy = {owner for owner in set(owners.values()) - {self._presence.owner} if self._presence.is_there(owner)}
        return any(owners.get(question.address) not in busy for question in questions)

    def keep(self, answer: Answer):
        """Remembers an answer: it is on disk before this returns."""
        question = answer.question
        if self._database is not None:
            texts = json.dumps(dataclasses.asdict(question)), json.dumps(_without_question(answer))
            row = (question.address, *texts, _digest(question.address, *texts))
            with self._database.writing() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO answers (address, question, answer, digest) VALUES (?, ?, ?, ?)", row
                )
                connection.execute("DELETE FROM claims WHERE address = ?", (question.address,))
        self._answers[question] = answer

    def _read(self):
        """Takes over what has come since the last time."""
        rows = self._database.rows("SELECT * FROM answers WHERE number > ? ORDER BY number", self._last)
        for number, *row in rows:
            self._last = number
            answer = _answer_of(row, self._database.path)
            if answer is not None:
                self._answers[answer.question] = answer


def read_answers(directory: Path, configuration: dict) -> dict[Question, Answer]:
    """Reads the answers of a folder, and leaves it as it is.

    Args:
        directory: The folder of a `Store`, which need not exist.
        configuration: What of the configuration is known.

    Returns:
        The answers by their questions, as far as they are whole; a warning names those that are not.

    Raises:
        ValueError: As `Store`.
        OSError: As `Store`.
    """
    check_folder(directory)
    _refuse_earlier(directory)
    if not (directory / FILE).exists():
        return {}
    database = _Database(directory / FILE)
    try:
        database.check(json.loads(json.dumps(configuration)))
        rows = database.rows("SELECT address, question, answer, digest FROM answers ORDER BY number")
        answers = (_answer_of(row, database.path) for row in rows)
        return {answer.question: answer for answer in answers if answer is not None}
    finally:
        database.close()


class _Database:
    """A connection to the file, whose errors are sentences.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._said():
            # Every statement stands by itself, but where `writing` puts several together.
            self._connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            try:
                # What is no text any more is found by its digest.
                self._connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
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
        with self._said():
            self._connection.executescript(_TABLES)
        with self.writing() as connection:
            if not self.check(configuration):
                about = {"format": _FORMAT, "configuration": configuration, "versions": versions()}
                texts = {name: json.dumps(value, indent=1) for name, value in about.items()}
                rows = [(name, text, _digest(name, text)) for name, text in texts.items()]
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
        about = {}
        for name, text, digest in self.rows("SELECT name, value, digest FROM about"):
            if _digest(name, text) != digest:
                raise ValueError(f"{self.path} is damaged: its {name} is not as it was written. {_WAY_OUT}")
            about[name] = json.loads(text)
        if about.get("format") != _FORMAT:
            raise ValueError(
                f"{self.path} is of another version of kdefrost (format {about.get('format')}, here {_FORMAT}). Choose "
                "another folder, or go on with the version that wrote it."
            )
        kept = about["configuration"]
        different = [name for name, value in configuration.items() if kept.get(name) != value]
        if different:
            changes = "; ".join(_change(name, kept.get(name), configuration[name]) for name in different)
            raise ValueError(
                f"The folder {self.path.parent} holds results of another configuration ({changes}). Choose another "
                "folder, or delete this one."
            )
        return True

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
        except sqlite3.OperationalError as error:
            raise OSError(
                errno.EIO,
                f"{self.path} could not be read or written ({error}). Make room there, or make it writable, and give "
                "the same command again: the trials that have finished are kept",
            ) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is damaged ({error}). {_WAY_OUT}") from error


# What to do about a damaged file.
_WAY_OUT = (
    "Copy what can be read of it by SQLite's own command, sqlite3 trials.sqlite .recover | sqlite3 whole.sqlite, and "
    "put that in its place; or move it away, and the trials run again."
)


class _Presence:
    """That this process is at work in a folder: a file that it has locked, which the system unlocks when it is gone.

    Args:
        directory: The folder.

    Attributes:
        owner: The process's name in claims.
    """

    def __init__(self, directory: Path):
        self.owner, self._directory = uuid.uuid4().hex, directory
        self._clear_away()
        self._lock = _locked(self._path(self.owner))
        if self._lock is None:
            warnings.warn(
                f"The file system of {directory} has no working locks: no other process may run trials in this folder "
                "at the same time.",
                stacklevel=4,
            )

    def is_there(self, owner: str) -> bool:
        """Whether the process of a claim is still at work."""
        path = self._path(owner)
        return path.exists() and not _is_free(path)

    def end(self):
        """Ends it."""
        if self._lock is not None:
            self._lock.close()
        self._path(self.owner).unlink(missing_ok=True)

    def _clear_away(self):
        """Deletes the files of processes that are gone."""
        for path in self._directory.glob(f"{_RUNNING}*"):
            if _is_free(path):
                path.unlink(missing_ok=True)

    def _path(self, owner: str) -> Path:
        return self._directory / f"{_RUNNING}{owner}"


_RUNNING = ".running-"


def _locked(path: Path) -> sqlite3.Connection | None:
    """A connection to an empty database that has locked it until it is closed; `None` where there are no locks.

    SQLite's own locks, because the store stands or falls with them.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        connection.close()
        return None
    return connection


def _is_free(path: Path) -> bool:
    """Whether nobody has locked a file."""
    connection = _locked(path)
    if connection is None:
        return False
    connection.close()
    return True


def _answer_of(row: tuple[str, str, str, str], path: Path) -> Answer | None:
    """The answer of a row, `None` and a warning where it is not as it was written."""
    address, question, answer, digest = row
    try:
        if _digest(address, question, answer) == digest:
            return Answer(Question.from_dict(json.loads(question)), **json.loads(answer))
    except (ValueError, KeyError, TypeError):
        pass
    warnings.warn(
        f"A record of {path} is damaged and left out; its trial runs again. It is the one at {address}: "
        f"{_shorten(str(question))}",
        stacklevel=2,
    )
    return None


def _shorten(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:89]}…"


def _without_question(answer: Answer) -> dict:
    return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer) if field.name != "question"}


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _refuse_earlier(directory: Path):
    if (directory / _EARLIER).exists() and not (directory / FILE).exists():
        raise ValueError(
            f"The folder {directory} holds trials of an earlier version of kdefrost ({_EARLIER}), which this one does "
            "not read. Choose another folder, or go on with the version that wrote them; its profile.json is read."
        )


def _change(name: str, kept, now) -> str:
    """What differs, of settings with names those alone that do."""
    if isinstance(kept, dict) and isinstance(now, dict):
        names = [key for key in now if kept.get(key) != now[key]] or [key for key in kept if key not in now]
        return ", ".join(_change(f"{name} {key}", kept.get(key), now.get(key)) for key in names)
    return f"{name} was {kept!r}, now {now!r}"
