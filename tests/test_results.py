"""What all results have in common: data frames, files and tables that hold every number."""

import csv
import dataclasses
import io
import json
import math
import sys

import pandas
import pytest

import kdefrost
from kdefrost.results import as_csv, joined_rows

NAN = math.nan


def _profile(cuts):
    """Two metrics on two sets; a training that diverged, and a cut that was not tried with the second seed."""
    scores = {(0, 0): 0.5, (1, 0): NAN, (2, 0): 2 / 3, (0, 1): 0.1, (2, 1): 1.0}
    trials = [
        kdefrost.Trial(cut, 4, seed, {"accuracy": score, "auc": score / 2}, {"accuracy": 1 - score, "auc": 0.0}, 1 / 3)
        for (cut, seed), score in scores.items()
    ]
    configuration = {"recipe": {"epochs": 3}, "cuts": [[0, 0, "8×8×1"]], "task": {"kind": "classification", "units": 3}}
    return kdefrost.DefrostProfile(cuts, tuple(trials), kdefrost.Objective("accuracy", "max"), configuration)


def _compliance(cuts):
    """Without springs, with soft and with rigid ones; on one set."""
    trials = [
        kdefrost.ComplianceTrial(
            layers, strength, 4, seed, {"accuracy": seed / 3}, None, [1 / 3], [2 / 3], [0.9, NAN], 2.0
        )
        for layers, strength in ((0, 0.0), (1, 0.1), (1, math.inf))
        for seed in (0, 1)
    ]
    objective = kdefrost.Objective("accuracy", "max")
    return kdefrost.ComplianceProfile({"conv2d": 1}, cuts[1:], tuple(trials), objective, {"normalization": False})


def _similarity(cuts):
    """Two networks at two layers each, over two pairs."""
    comparisons = [
        kdefrost.LayerComparison(pair, cut.index, cut.index, {"cka": cut.index / 3, "neighborhood_overlap": NAN})
        for pair in (0, 1)
        for cut in cuts[1:]
    ]
    return kdefrost.LayerwiseSimilarity(cuts[1:], cuts[1:], tuple(comparisons), {"pairs": "same"})


def _transferability(cuts):
    """Two scores of two seeds, one of which tells nothing at one cut."""
    measured = [
        kdefrost.CutScores(cut.index, seed, {"logme": -1 / 3, "ridge": NAN if cut.index else 2 / 3}, seconds)
        for cut in cuts
        for seed, seconds in enumerate([{"pooling": 0.1, "logme": 0.5, "ridge": 0.25}] * 2)
    ]
    return kdefrost.Transferability(cuts, tuple(measured), {"sizes": {"all": 24}})


MAKERS = {
    kdefrost.DefrostProfile: _profile,
    kdefrost.ComplianceProfile: _compliance,
    kdefrost.LayerwiseSimilarity: _similarity,
    kdefrost.Transferability: _transferability,
}


@pytest.fixture(params=MAKERS, ids=lambda kind: kind.__name__)
def result(request, small):
    return MAKERS[request.param](tuple(kdefrost.cut_points(small)))


def _as_text(value) -> str:
    """A number as a CSV file has it."""
    return "" if value is None else str(value)


def test_a_data_frame_has_the_rows_and_columns_of_the_file(result):
    head, *rows = result.rows()
    frame = result.to_dataframe()
    assert list(frame.columns) == head and len(frame) == len(rows) > 0
    for row, values in zip(rows, frame.itertuples(index=False), strict=True):
        for expected, value in zip(row, values, strict=True):
            assert value == expected or (pandas.isna(value) and pandas.isna(expected))
    numbers = frame.select_dtypes("number").columns
    assert {"seed", "pair"} & set(numbers) and not {"layer", "layer_a"} & set(numbers)


def test_numbers_of_a_set_that_there_is_not_are_missing_in_a_data_frame(small):
    profile = _profile(tuple(kdefrost.cut_points(small)))
    trials = tuple(dataclasses.replace(trial, validation=None) for trial in profile.trials)
    frame = dataclasses.replace(profile, trials=trials).to_dataframe()
    assert frame["validation_accuracy"].isna().all() and frame["test_accuracy"].notna().sum() == 4
    assert frame["validation_accuracy"].dtype == float


def test_without_pandas_a_data_frame_is_refused_in_a_sentence(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="`to_dataframe` needs pandas: pip install pandas"):
        result.to_dataframe()


def test_saved_and_loaded_nothing_is_lost(result, tmp_path):
    """As text, in which what is no number equals itself, and a list no tuple."""
    result.save(tmp_path / "result.json")
    assert repr(type(result).load(tmp_path / "result.json")) == repr(result)
    for other in MAKERS:
        if other is not type(result):
            with pytest.raises(ValueError, match=rf"result\.json is not a {other.KIND} of this version"):
                other.load(tmp_path / "result.json")


def test_a_file_says_what_it_holds_and_in_which_format(result, tmp_path):
    path = tmp_path / "result.json"
    result.save(path)
    first = path.read_text().splitlines()[1]
    assert first == f' "kdefrost_{result.KIND.split()[0]}": {result.FORMAT},'
    path.write_text(path.read_text().replace(first, first.replace(f"{result.FORMAT},", "0,"), 1))
    with pytest.raises(ValueError, match=rf"not a {result.KIND} of this version of kdefrost \(format {result.FORMAT}"):
        type(result).load(path)


def test_of_what_was_changed_no_result_is_made(result, tmp_path):
    """By the digest; and once that is deleted by what no result has."""
    path = tmp_path / "result.json"
    result.save(path)
    values = json.loads(path.read_text())
    values["configuration"]["seen"] = 1
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"result\.json is not as it was written.* delete its `sha256`"):
        type(result).load(path)
    del values["sha256"]
    path.write_text(json.dumps(values))
    assert type(result).load(path).configuration["seen"] == 1
    for change, words in {"cuts": "array", "layers_a": "array", "other": "has other"}.items():
        if change in values or change == "other":
            path.write_text(json.dumps({**values, change: 5}))
            with pytest.raises(ValueError, match=rf"result\.json is damaged: .*{words}"):
                type(result).load(path)


def test_all_examples_there_are_come_after_every_number_of_them(small):
    profile = _profile(tuple(kdefrost.cut_points(small)))
    trials = [dataclasses.replace(trial, per_class=size) for trial in profile.trials for size in (None, 16, 4)]
    rows = dataclasses.replace(profile, trials=tuple(trials)).rows()[1:]
    assert [row[2] for row in rows[:6]] == [4, 4, 16, 16, None, None] and [row[3] for row in rows[:6]] == [0, 1] * 3


def test_a_csv_file_has_every_number_as_it_is(result, tmp_path):
    result.save_csv(tmp_path / "result.csv")
    with (tmp_path / "result.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert [head, *rows] == [list(map(_as_text, row)) for row in result.rows()]


def test_text_goes_through_csv_whatever_is_in_it():
    rows = [["cut", "layer"], [0, 'a, "b"'], [1, "zwei\nZeilen"], [math.inf, None], [0.1, "größer"]]
    text = as_csv(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == [list(map(_as_text, row)) for row in rows]
    assert as_csv([]) == "" and "\r" not in text


def test_rows_of_several_results_have_a_name_in_front(result):
    own_head, *own = result.rows()
    head, *rows = joined_rows({"a": result, "b": result}, "source")
    assert head == ["source", *own_head]
    assert repr(rows) == repr([[name, *row] for name in "ab" for row in own])
