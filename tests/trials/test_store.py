"""The store: nothing finished is lost, nothing is mixed, nothing damaged is taken as true."""

import contextlib
import dataclasses
import json
import math
import re
import sqlite3
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import kdefrost
from kdefrost.trials import presence
from kdefrost.trials import store as stores
from kdefrost.trials.database import digest_of
from kdefrost.trials.question import Answer, Question, Springs
from kdefrost.trials.store import FILE, Store, read_answers

CONFIGURATION = {"source": "abc", "task": {"units": 3, "kind": "classification"}}
RECIPE = kdefrost.Recipe(epochs=3)
QUESTIONS = [Question(cut, cut, 4, seed, RECIPE) for cut in (0, 2) for seed in range(2)]


def _answer(question: Question, score: float = 0.5) -> Answer:
    return Answer(question, {"accuracy": score}, None, 1.25)


ANSWERS = [_answer(question, 0.1 * place) for place, question in enumerate(QUESTIONS)]


@pytest.fixture
def filled(tmp_path):
    """A folder with all answers but the last."""
    with Store(tmp_path, CONFIGURATION) as store:
        for answer in ANSWERS[:-1]:
            store.keep(answer)
    return tmp_path


def _everything(folder) -> dict:
    with Store(folder, CONFIGURATION) as store:
        return dict(store.answers)


def _execute(folder, statement: str, *values):
    with contextlib.closing(sqlite3.connect(folder / FILE)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_what_was_answered_is_there_again_whoever_reads_it(filled):
    expected = {answer.question: answer for answer in ANSWERS[:-1]}
    assert _everything(filled) == expected == read_answers(filled, CONFIGURATION)
    # One file, and no trace of the process that wrote it.
    assert [path.name for path in filled.iterdir()] == [FILE]


def test_every_field_of_a_question_and_an_answer_comes_back(tmp_path):
    springs = Springs(3, math.inf, normalization=True)
    question = dataclasses.replace(QUESTIONS[0], springs=springs, compared=(1, 3))
    observed = {"cosine": [0.1, 1e-17, math.nan], "cka": []}
    answer = Answer(question, {"auc": math.nan, "accuracy": 1 / 3}, {"auc": 0.1 + 0.2}, 0.001, observed)
    with Store(tmp_path, CONFIGURATION) as store:
        store.keep(answer)
    ((asked, again),) = _everything(tmp_path).items()
    # As text, because NaN is not equal to itself.
    assert asked == question and repr(again) == repr(answer)


def test_other_tools_read_the_file(filled):
    """By SQLite's own functions for JSON."""
    rows = _execute(
        filled,
        "SELECT json_extract(question, '$.cut'), json_extract(question, '$.seed'), "
        "json_extract(answer, '$.test.accuracy') FROM answers ORDER BY number",
    )
    assert rows == [(answer.question.cut, answer.question.seed, answer.test["accuracy"]) for answer in ANSWERS[:-1]]


def test_what_the_docs_ask_is_answered_whatever_the_scores(filled):
    """Beside trials that diverged, failed, or were held by rigid springs: NaN and Infinity are no JSON."""
    diverged, rigid, failed = (dataclasses.replace(QUESTIONS[0], seed=seed) for seed in range(7, 10))
    rigid = dataclasses.replace(rigid, springs=Springs(3, math.inf))
    scores = {"accuracy": math.nan, "loss": math.inf}
    with Store(filled, CONFIGURATION) as store:
        store.keep(Answer(diverged, scores, None, 1.0, noticed={"diverged": True}))
        store.keep(_answer(rigid))
        store.keep(Answer(failed, {"accuracy": math.nan}, None, 0.0, failure='OSError: "disk" full'))
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    means, failures = re.findall(r'^sqlite3 [^\n]*trials\.sqlite "\n(.*?)"\n```', text, re.DOTALL | re.MULTILINE)
    assert _execute(filled, means) == [(0, 4, 2, 5.0), (2, 4, 1, 20.0)]
    ((_, question, reason),) = _execute(filled, failures.replace(r"\"", '"'))
    assert json.loads(question)["seed"] == failed.seed and reason == 'OSError: "disk" full'


@pytest.mark.parametrize(
    "change",
    [
        {"cut": 1},
        {"frozen_layers": 5},
        {"per_class": 5},
        {"seed": 7},
        {"recipe": kdefrost.Recipe(epochs=4)},
        {"springs": Springs(0, 0.0)},
        {"springs": Springs(1, 0.1)},
        {"compared": (1,)},
    ],
)
def test_another_question_has_another_address(change):
    question = QUESTIONS[0]
    other = dataclasses.replace(question, **change)
    assert other.address != question.address and other != question
    assert dataclasses.replace(other, **{name: getattr(question, name) for name in change}).address == question.address


def test_each_answer_is_on_disk_as_it_comes(tmp_path):
    with Store(tmp_path, CONFIGURATION) as store:
        for count, answer in enumerate(ANSWERS, start=1):
            store.keep(answer)
            assert len(read_answers(tmp_path, CONFIGURATION)) == count


def test_without_a_folder_it_remembers_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store(None, CONFIGURATION) as store:
        assert store.claim(QUESTIONS[0]) and store.is_any_free(QUESTIONS)
        store.keep(ANSWERS[0])
        assert not store.claim(QUESTIONS[0]) and dict(store.answers) == {QUESTIONS[0]: ANSWERS[0]}
    assert not list(tmp_path.iterdir())


def test_another_configuration_is_refused_and_named(filled):
    other = {**CONFIGURATION, "task": {"units": 4, "kind": "classification"}}
    for read in (lambda: Store(filled, other).__enter__(), lambda: read_answers(filled, other)):
        with pytest.raises(ValueError, match=r"another configuration \(task units was 3, now 4\)\. Choose another"):
            read()
    assert len(_everything(filled)) == 3


def test_of_what_is_not_known_yet_nothing_is_compared(filled):
    assert len(read_answers(filled, {"task": CONFIGURATION["task"]})) == 3


def test_a_folder_without_answers_takes_any_configuration(tmp_path):
    with Store(tmp_path, {"source": "other"}):
        pass
    with Store(tmp_path, CONFIGURATION) as store:
        store.keep(ANSWERS[0])
    assert json.loads(_execute(tmp_path, "SELECT value FROM about WHERE name = 'configuration'")[0][0]) == CONFIGURATION
    assert "tensorflow" in json.loads(_execute(tmp_path, "SELECT value FROM about WHERE name = 'versions'")[0][0])


def test_folders_of_other_versions_are_told(tmp_path, filled):
    (earlier := tmp_path / "earlier").mkdir()
    (earlier / "trials.jsonl").write_text("{}\n")
    for read in (lambda: Store(earlier, CONFIGURATION).__enter__(), lambda: read_answers(earlier, CONFIGURATION)):
        with pytest.raises(ValueError, match=r"trials of an earlier version of kdefrost \(trials\.jsonl\).*Choose"):
            read()
    assert [path.name for path in earlier.iterdir()] == ["trials.jsonl"]
    _execute(filled, "UPDATE about SET value = '9', digest = ? WHERE name = 'format'", digest_of("format", "9"))
    with pytest.raises(ValueError, match=r"of another version of kdefrost \(format 9, here 1\)"):
        _everything(filled)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM about WHERE name = 'configuration'",
        "UPDATE about SET value = 5 WHERE name = 'configuration'",
        "UPDATE about SET value = '[]', digest = '{digest}' WHERE name = 'configuration'",
        "UPDATE about SET digest = x'00' WHERE name = 'format'",
    ],
)
def test_a_store_that_does_not_say_what_it_holds_is_damaged(filled, statement):
    _execute(filled, statement.format(digest=digest_of("configuration", "[]")))
    with pytest.raises(ValueError, match=r"is damaged: its (configuration|format) is not as it was written"):
        read_answers(filled, CONFIGURATION)


@pytest.mark.parametrize("column", ["question", "answer", "digest", "address"])
def test_a_flipped_digit_in_a_record_is_found_and_its_trial_asked_again(filled, column):
    (number, text), *_ = _execute(filled, f"SELECT number, {column} FROM answers ORDER BY number DESC")
    place = next(place for place, letter in enumerate(text) if letter.isdigit())
    flipped = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    _execute(filled, f"UPDATE answers SET {column} = ? WHERE number = ?", flipped, number)
    with pytest.warns(UserWarning, match=r"A record of .*trials\.sqlite is damaged and left out; its trial runs again"):
        left = _everything(filled)
    assert left == {answer.question: answer for answer in ANSWERS[:2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Store(filled, CONFIGURATION) as store:
            assert store.claim(ANSWERS[2].question)
            store.keep(ANSWERS[2])
            assert store.answers[ANSWERS[2].question] == ANSWERS[2]


def test_every_flipped_bit_of_the_file_is_found_or_does_no_harm(filled):
    """One bit in every 13 bytes: the right answers, fewer with a warning, or the stated error."""
    path = filled / FILE
    whole, expected = path.read_bytes(), {answer.question: answer for answer in ANSWERS[:-1]}
    outcomes = {"right": 0, "fewer": 0, "refused": 0}
    for place in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                answers = read_answers(filled, CONFIGURATION)
            except (ValueError, OSError) as error:
                assert str(path) in str(error) or str(filled) in str(error)
                outcomes["refused"] += 1
                continue
        assert answers.items() <= expected.items() and (said or answers == expected)
        outcomes["right" if answers == expected else "fewer"] += 1
    print(f"{sum(outcomes.values())} flipped bits: {outcomes}")
    assert outcomes["refused"] > 0 and outcomes["fewer"] > 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"\xff" * 3000,
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:100] + b"\xff" * 5000 + whole[5100:],
        lambda whole: b"half a file",
    ],
    ids=["garbage", "cut short", "garbage inside", "text"],
)
def test_a_damaged_file_is_named_with_what_to_do(filled, damage):
    path = filled / FILE
    path.write_bytes(damage(path.read_bytes()))
    for read in (lambda: _everything(filled), lambda: read_answers(filled, CONFIGURATION)):
        with pytest.raises(ValueError, match=r"trials\.sqlite is damaged \(.*\)\. .*or move it away"):
            read()


def test_a_damaged_configuration_is_named(filled):
    _execute(filled, "UPDATE about SET value = replace(value, 'abc', 'abd') WHERE name = 'configuration'")
    with pytest.raises(ValueError, match=r"trials\.sqlite is damaged: its configuration is not as it was written"):
        _everything(filled)


def test_a_full_disk_is_a_sentence_and_what_was_kept_stays(filled):
    with Store(filled, CONFIGURATION) as store:
        # As many pages as there are: the next one finds the disk full.
        (pages,) = store._database.rows("PRAGMA page_count")[0]
        store._database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match=r"trials\.sqlite could not be read or written \(database or disk is full\)"):
            for seed in range(1000):
                store.keep(_answer(dataclasses.replace(QUESTIONS[0], seed=seed)))
        kept = dict(store.answers)
    assert _everything(filled) == kept and len(kept) > 3
    assert [path.name for path in filled.iterdir()] == [FILE]


def test_two_stores_share_the_questions(tmp_path):
    with Store(tmp_path, CONFIGURATION) as one, Store(tmp_path, CONFIGURATION) as other:
        assert one.claim(QUESTIONS[0]) and one.claim(QUESTIONS[0]) and not other.claim(QUESTIONS[0])
        assert other.is_any_free(QUESTIONS) and not other.is_any_free(QUESTIONS[:1]) and one.is_any_free(QUESTIONS[:1])
        assert other.claim(QUESTIONS[1])
        one.keep(ANSWERS[0])
        assert other.answers == {QUESTIONS[0]: ANSWERS[0]}
        for store in (one, other):
            assert not store.claim(QUESTIONS[0])
    # Neither holds on to what it has not answered.
    with Store(tmp_path, CONFIGURATION) as later:
        assert later.claim(QUESTIONS[1])


def test_a_store_that_is_gone_holds_no_question(tmp_path):
    """As where its process was killed: nothing was taken back, and the system has unlocked its file."""
    gone = Store(tmp_path, CONFIGURATION).__enter__()
    assert gone.claim(QUESTIONS[0])
    gone._presence._lock.close()
    gone._database.close()
    assert len(list(tmp_path.glob(".running-*"))) == 1
    with Store(tmp_path, CONFIGURATION) as store:
        assert store.is_any_free(QUESTIONS[:1]) and store.claim(QUESTIONS[0])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_many_stores_that_begin_at_once_take_every_question_once(tmp_path):
    questions = [dataclasses.replace(QUESTIONS[0], seed=seed) for seed in range(40)]
    taken, errors = [], []

    def work():
        try:
            with Store(tmp_path, CONFIGURATION) as store:
                for question in questions:
                    if store.claim(question):
                        store.keep(_answer(question, question.seed))
                        taken.append(question)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(threads)} stores at once, {len(taken)} answers to {len(questions)} questions")
    assert not errors and sorted(taken, key=questions.index) == questions
    assert _execute(tmp_path, "SELECT count(*), max(number) FROM answers") == [(40, 40)]


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(presence, "_lock", lambda path: (None, "SQLITE_IOERR_LOCK"))
    with (
        pytest.warns(UserWarning, match="has no working locks: no other process may run trials in this folder"),
        Store(tmp_path, CONFIGURATION) as store,
    ):
        assert store.claim(QUESTIONS[0])
        store.keep(ANSWERS[0])
    monkeypatch.undo()
    assert read_answers(tmp_path, CONFIGURATION) == {QUESTIONS[0]: ANSWERS[0]}


def test_ten_thousand_answers_are_read_once(tmp_path):
    """Each look at the answers reads what is new alone."""
    with Store(tmp_path, CONFIGURATION) as store:
        with store._database.writing() as connection:
            rows = []
            for seed in range(10_000):
                question = dataclasses.replace(QUESTIONS[0], seed=seed)
                asked = json.dumps(dataclasses.asdict(question))
                answered = json.dumps(stores._without_question(_answer(question, seed)))
                digest = digest_of(question.address, asked, answered)
                rows.append((question.address, asked, answered, digest))
            insert = "INSERT INTO answers (address, question, answer, digest) VALUES (?, ?, ?, ?)"
            connection.executemany(insert, rows)
        assert len(store.answers) == 10_000
        read = []
        store._database.rows = lambda statement, *values: read.append(values) or []
        assert np.mean([answer.test["accuracy"] for answer in store.answers.values()]) == 4999.5
        assert read == [(10_000,)]
