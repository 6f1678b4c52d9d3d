"""Stores that are cut off, changed at random or edited: right answers, fewer with a warning, or the stated error."""

import contextlib
import dataclasses
import json
import math
import sqlite3
import warnings

from conftest import FUZZED, JUNK, damaged, edited, places_in
from hypothesis import given
from hypothesis import strategies as st

import kdefrost
from kdefrost.trials.database import digest_of
from kdefrost.trials.question import Answer, Fold, Question, Springs
from kdefrost.trials.store import FILE, Store, read_answers

CONFIGURATION = {"source": "abc", "task": {"units": 3}}
RECIPE = kdefrost.Recipe(epochs=3)
ANSWERS = [
    Answer(Question(0, 0, 4, 0, RECIPE), {"accuracy": 0.5}, None, 1.25),
    Answer(Question(2, 3, None, 1, RECIPE, fold=Fold(0, 3)), {"accuracy": 0.25}, {"accuracy": 1.0}, 1e-3),
    Answer(Question(2, 3, 4, 1, RECIPE, Springs(3, math.inf), (1, 3)), None, {"accuracy": 0.0}, 2.0, {"cka": [0.5]}),
]
EXPECTED = {answer.question: answer for answer in ANSWERS}


def _fill(folder):
    with Store(folder, CONFIGURATION) as store:
        for answer in ANSWERS:
            store.keep(answer)
    return folder / FILE


def _read(folder, opens: bool) -> tuple[dict | None, int]:
    """The answers, `None` where a sentence that names the file refuses it, and how many records were warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            if not opens:
                return read_answers(folder, CONFIGURATION), len(said)
            with Store(folder, CONFIGURATION) as store:
                return dict(store.answers), len(said)
        except (ValueError, OSError) as error:
            assert str(folder) in str(error), error
            return None, len(said)


def test_a_file_with_any_damage_gives_right_answers_or_is_refused(tmp_path):
    path = _fill(tmp_path)
    whole, outcomes = path.read_bytes(), {"right": 0, "fewer": 0, "refused": 0}

    @FUZZED
    @given(damaged(whole), st.booleans())
    def read(content, opens):
        path.write_bytes(content)
        answers, warned = _read(tmp_path, opens)
        path.with_name(f"{FILE}-journal").unlink(missing_ok=True)
        if answers is None:
            outcomes["refused"] += 1
        else:
            assert answers.items() <= EXPECTED.items()
            # An empty file is an empty database.
            assert len(answers) + warned >= len(EXPECTED) or not answers
            outcomes["right" if answers == EXPECTED else "fewer"] += 1

    read()
    print(outcomes)
    assert min(outcomes["right"], outcomes["refused"]) > 50
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_edited_records_are_what_they_say_or_left_out(tmp_path):
    path = _fill(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT number, address, question, answer FROM answers").fetchall()
        facts = connection.execute("SELECT name, value FROM about").fetchall()
    records = [({"question": json.loads(asked), "answer": json.loads(said)}, *row) for *row, asked, said in rows]
    places = [(number, place) for number, (values, *_) in enumerate(records) for place in places_in(values)]
    outcomes = {"read": 0, "fewer": 0, "refused": 0}

    def edit(connection, number, place, change, junk):
        values, row, address = records[number]
        values = edited(values, place, change, junk)
        texts = [json.dumps(values.get(name)) for name in ("question", "answer")]
        changed = [*texts, digest_of(address, *texts), row]
        connection.execute("UPDATE answers SET question = ?, answer = ?, digest = ? WHERE number = ?", changed)

    def replace(connection, name, junk, signed):
        """A fact by another; what is no text is so in the file."""
        text = junk if isinstance(junk, (str, bytes)) else json.dumps(junk)
        digest = digest_of(name, text) if signed and isinstance(text, str) else "abc"
        connection.execute("UPDATE about SET value = ?, digest = ? WHERE name = ?", [text, digest, name])

    changes = st.sampled_from(["replace", "drop", "repeat", "add", "scale"])
    edits = st.builds(lambda at, *how: lambda to: edit(to, *at, *how), st.sampled_from(places), changes, JUNK)
    names = st.sampled_from([name for name, _ in facts])
    others = st.builds(lambda *how: lambda to: replace(to, *how), names, JUNK | st.binary(max_size=4), st.booleans())
    whole = path.read_bytes()

    @FUZZED
    @given(edits | edits | others, st.booleans())
    def read(change, opens):
        path.write_bytes(whole)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            # Nothing of it need be on disk.
            connection.execute("PRAGMA synchronous = OFF")
            change(connection)
        answers, warned = _read(tmp_path, opens)
        if answers is None:
            outcomes["refused"] += 1
            return
        outcomes["read" if len(answers) == len(EXPECTED) else "fewer"] += 1
        # A question may have become one of the others.
        assert len(EXPECTED) - 1 <= len(answers) and len(answers) + warned >= len(EXPECTED) - 1
        for question, answer in answers.items():
            assert str(question) and question.address and question == answer.question
            assert dataclasses.asdict(answer)["seconds"] is not None

    read()
    print(outcomes)
    assert min(outcomes.values()) > 50
