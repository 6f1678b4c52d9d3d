"""The store: one file of a run folder that remembers every answer as it comes, whoever asked.

It is an SQLite database, `trials.sqlite`, which other tools open too: the table `answers` has a question and its
answer a row, both as JSON. Several processes may use one folder at a time and share its work. SQLite's rollback
journal, its default, needs no more of a file system than locks, and leaves one file to copy; its write-ahead log,
which a folder that several machines share does not bear, would spare less than a millisecond a trial.
"""

import contextlib
import dataclasses
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from kdefrost.files import check_folder, converted, make_folder
from kdefrost.trials.database import Database, digest_of
from kdefrost.trials.presence import Presence
from kdefrost.trials.question import Answer, Question

FILE = "trials.sqlite"
# What kept trials before there was a store.
_EARLIER = "trials.jsonl"


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
        self._database: Database | None = None
        self._presence: Presence | None = None
        self._last = 0

    def __enter__(self):
        if self.directory is None:
            return self
        make_folder(self.directory)
        _refuse_earlier(self.directory)
        self._presence = Presence(self.directory)
        try:
            self._database = Database(self.directory / FILE, self._presence.has_locks)
            self._database.prepare(self.configuration)
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._database is not None:
            # Where nothing can be written it is left: claims of a process that is gone count for nothing.
            with contextlib.suppress(OSError, ValueError):
                self._database.change("DELETE FROM claims WHERE owner = ?", self._presence.owner)
            self._database.close()
        if self._presence is not None:
            self._presence.end()
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
            row = (question.address, *texts, digest_of(question.address, *texts))
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
    presence, database = Presence(directory), None
    try:
        database = Database(directory / FILE, presence.has_locks)
        database.check(json.loads(json.dumps(configuration)))
        rows = database.rows("SELECT address, question, answer, digest FROM answers ORDER BY number")
        answers = (_answer_of(row, database.path) for row in rows)
        return {answer.question: answer for answer in answers if answer is not None}
    finally:
        if database is not None:
            database.close()
        presence.end()


def _answer_of(row: tuple[str, str, str, str], path: Path) -> Answer | None:
    """The answer of a row, `None` and a warning where it is not as it was written."""
    address, question, answer, digest = row
    try:
        if digest_of(address, question, answer) == digest:
            return converted({**json.loads(answer), "question": json.loads(question)}, Answer)
    # What is no text has no digest; brackets may never close.
    except (ValueError, AttributeError, TypeError, RecursionError):
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


def _refuse_earlier(directory: Path):
    if (directory / _EARLIER).exists() and not (directory / FILE).exists():
        raise ValueError(
            f"The folder {directory} holds trials of an earlier version of kdefrost ({_EARLIER}), which this one does "
            "not read. Choose another folder, or go on with the version that wrote them; its profile.json is read."
        )
