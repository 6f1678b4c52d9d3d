"""Profiles of several sources side by side: their tables, and the script that makes them."""

import csv
import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import load_script

import kdefrost
from kdefrost_commands.folding import fit

# Shares of right answers (seeds, cuts); both are the same at cut 0, as training from scratch is.
CRUDE = np.array([[0.50, 0.54, 0.52, 0.46, 0.30], [0.52, 0.57, 0.53, 0.47, 0.31]])
CLOSE = np.array([[0.50, 0.55, 0.60, 0.68, 0.66], [0.52, 0.56, 0.62, 0.70, 0.69]])
CONFIGURATION = {
    "format": 2,
    "task": {"kind": "classification", "units": 3, "loss": "sparse_categorical_crossentropy"},
    "data": {"train": "a", "test": "b"},
    "recipe": {"epochs": 60},
}


def make_profile(cuts, scores, name, sizes=(4, 16)):
    """A profile from an array (seeds, cuts), at larger sizes a tenth better; NaN where untried."""
    trials = [
        kdefrost.Trial(cut.index, size, seed, {"accuracy": score + 0.1 * step}, {"accuracy": score}, 1.0)
        for step, size in enumerate(sizes)
        for seed, row in enumerate(scores)
        for cut, score in zip(cuts, row, strict=True)
        if np.isfinite(score)
    ]
    objective = kdefrost.Objective("accuracy", "max")
    return kdefrost.DefrostProfile(cuts, tuple(trials), objective, {**CONFIGURATION, "source_name": name})


@pytest.fixture
def cuts(residual_cuts):
    return residual_cuts


@pytest.fixture
def crude(cuts):
    return make_profile(cuts, CRUDE, "isogm")


@pytest.fixture
def close(cuts):
    return make_profile(cuts, CLOSE, "gm")


@pytest.fixture
def comparison(crude, close):
    return kdefrost.Comparison({"isogm": crude, "gm": close})


def test_a_table_has_a_row_per_cut_and_a_column_per_source(comparison):
    head, *rows = comparison.rows(4)
    assert head == ["cut", "after layer", "frozen", "isogm", "gm"]
    assert [row[:3] for row in rows] == [
        ["0", "image (scratch)", "0/10"],
        ["1", "conv1", "1/10"],
        ["2", "group1_block1", "3/10"],
        ["3", "group2_block1", "6/10"],
        ["4", "pool (vanilla)", "9/10"],
    ]
    # Two seeds 0.03 apart: their mean scatters by half of that.
    assert rows[1][3] == "55.5 ± 1.5 *" and rows[3][4] == "69.0 ± 1.0 *"
    assert rows[0][3] == rows[0][4] == "51.0 ± 1.0  "


def test_marks_and_scores_are_the_profiles(comparison, crude, close):
    for size in (4, 16):
        columns = list(zip(*comparison.rows(size)[1:], strict=True))[3:]
        assert [list(column) for column in columns] == [crude.cells(size), close.cells(size)]


def test_summary_says_each_profiles_sentence_under_its_size(comparison, crude, close):
    summary = comparison.summary()
    for size in (4, 16):
        says = f"{size} per class:\nisogm: {crude.sentence(size)}\ngm: {close.sentence(size)}"
        assert f"Test accuracy in %, {size} per class\n" in summary and says in summary
    assert (
        "Mean ± standard error over 2 seeds, differences paired by seed. * best cut, chosen by accuracy on the "
        "validation set; ~ not told apart from it." in summary
    )


def test_markdown_has_the_same_tables_and_sentences(comparison, close):
    text = comparison.markdown()
    assert "| cut | after layer | frozen | isogm | gm |\n| --: | --- | --: | --: | --: |\n" in text
    assert "| 3 | group2_block1 | 6/10 | 46.5 ± 0.5 | **69.0 ± 1.0** |" in text
    assert f"- gm: {close.sentence(16)}" in text and "Bold: best cut, chosen by accuracy" in text


def test_csv_has_all_trials_of_all_sources(comparison, crude, close, tmp_path):
    comparison.save_csv(tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(crude.trials) + len(close.trials) == 40
    assert rows[23] == {
        "source": "gm",
        "cut": "0",
        "layer": "image",
        "per_class": "16",
        "seed": "1",
        "test_accuracy": "0.62",
        "validation_accuracy": "0.52",
        "seconds": "1.0",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["compare.csv"]


def test_cuts_and_seeds_that_some_lack_are_left_open(cuts, crude):
    fewer = make_profile((cuts[2], cuts[4]), CLOSE[:1, [2, 4]], "gm")
    comparison = kdefrost.Comparison({"gm": fewer, "isogm": crude})
    assert comparison.cuts == list(cuts)
    assert [row[3].strip() for row in comparison.rows(4)[1:]] == ["–", "–", "60.0 ~", "–", "66.0 *"]
    assert "over 1 to 2 seeds" in comparison.summary()


def test_scratch_counts_a_seed_once_whichever_sources_have_it(comparison, cuts):
    fewer = make_profile(cuts, CLOSE[:1], "gm")
    both = {"isogm": make_profile(cuts, CRUDE, "isogm"), "gm": fewer}
    assert kdefrost.Comparison(both).scratch(4) == pytest.approx(0.51)
    assert comparison.scratch(4) == pytest.approx(0.51) and comparison.scratch(16) == pytest.approx(0.61)
    without = make_profile(cuts[2:], CLOSE[:, 2:], "gm")
    assert np.isnan(kdefrost.Comparison({"gm": without}).scratch(4))


def test_a_lower_objective_is_named_as_such(crude):
    lower = dataclasses.replace(crude, objective=kdefrost.Objective("accuracy", "min"))
    assert "Test accuracy in %, lower is better, 4 per class" in kdefrost.Comparison({"isogm": lower}).summary()


def _configured(profile, part, **values):
    known = profile.configuration
    return dataclasses.replace(profile, configuration={**known, part: {**known[part], **values}})


def _renamed(profile, index, **values):
    cuts = [dataclasses.replace(cut, **values) if cut.index == index else cut for cut in profile.cuts]
    return dataclasses.replace(profile, cuts=tuple(cuts))


def _of_one_size(profile):
    return dataclasses.replace(profile, trials=tuple(t for t in profile.trials if t.per_class == 4))


def _without_validation(profile):
    return dataclasses.replace(profile, trials=tuple(dataclasses.replace(t, validation=None) for t in profile.trials))


def _with_auc(profile):
    return dataclasses.replace(
        profile, trials=tuple(dataclasses.replace(t, test={**t.test, "auc": 0.5}) for t in profile.trials)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_of_one_size, "'gm' has per_class [4], 'isogm' has [4, 16]"),
        (_with_auc, "'gm' has metrics ['accuracy', 'auc'], 'isogm' has ['accuracy']"),
        (_without_validation, "'gm' has the cut chosen on test, 'isogm' has validation"),
        (
            lambda profile: dataclasses.replace(profile, objective=kdefrost.Objective("accuracy", "min")),
            "'gm' has objective accuracy (min), 'isogm' has accuracy (max)",
        ),
        (
            lambda profile: _renamed(profile, 2, name="block_5"),
            "'gm' has cut 2 block_5 (3/10 layers, 8×8×16), 'isogm' has group1_block1 (3/10 layers, 8×8×16)",
        ),
        (
            lambda profile: _renamed(profile, 3, shapes=((4, 4, 64),)),
            "'gm' has cut 3 group2_block1 (6/10 layers, 4×4×64), 'isogm' has group2_block1 (6/10 layers, 4×4×32)",
        ),
        (lambda profile: _configured(profile, "recipe", epochs=30), "'gm' has the recipe's epochs 30, 'isogm' has 60"),
        (lambda profile: _configured(profile, "task", test_per_class=9, loss="x"), "'gm' has the task's loss x, "),
        (lambda profile: _configured(profile, "data", test="c"), "'gm' has test data (format 2) c, 'isogm' has b"),
    ],
)
def test_what_differs_in_more_than_the_source_is_refused(crude, close, change, words):
    with pytest.raises(ValueError, match=re.escape(f"`profiles` must differ in nothing but the source: {words}")):
        kdefrost.Comparison({"isogm": crude, "gm": change(close)})


def test_settings_that_one_profile_does_not_state_are_not_held_against_it(crude, close):
    unsaid = dataclasses.replace(close, configuration={"data": {"test": "of another version"}})
    assert kdefrost.Comparison({"isogm": crude, "gm": unsaid}).per_class == [4, 16]


def test_a_cut_is_held_to_the_profile_that_has_it(cuts, crude, close):
    """The first profile lacks the cut at which the two others differ."""
    first = make_profile(cuts[:2], CRUDE[:, :2], "first")
    with pytest.raises(ValueError, match=r"'gm' has cut 4 last .*, 'isogm' has pool"):
        kdefrost.Comparison({"first": first, "isogm": crude, "gm": _renamed(close, 4, name="last")})


def test_nothing_to_compare_is_refused(crude):
    with pytest.raises(ValueError, match="`profiles` must hold one or more profiles by name"):
        kdefrost.Comparison({})
    with pytest.raises(ValueError, match="`profiles` must have finished trials; 'gm' has none"):
        kdefrost.Comparison({"isogm": crude, "gm": dataclasses.replace(crude, trials=())})


@pytest.fixture
def folders(crude, close, tmp_path):
    """Folders as `scripts/profile.py` leaves them."""
    paths = []
    for profile in (crude, close):
        folder = tmp_path / profile.configuration["source_name"]
        folder.mkdir()
        profile.save(folder / "profile.json")
        paths.append(folder)
    return paths


def test_a_search_is_compared_where_there_is_no_full_profile(folders):
    load, full = load_script("compare.py").__globals__["load"], folders[0] / "profile.json"
    profile = load(folders[0])
    full.rename(folders[0] / "search.json")
    assert load(folders[0]) == profile
    (folders[0] / "search.json").unlink()
    with pytest.raises(ValueError, match=r"There is no .*profile.json, nor search.json"):
        load(folders[0])


def test_one_command_from_folders_to_figure_and_tables(folders, comparison, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _run(monkeypatch, *folders, "--out", "out")
    names = ("compare.png", "compare.svg", "compare.md", "compare.csv")
    paths = "".join(f"  {Path('out') / name}\n" for name in names)
    assert capsys.readouterr().out == f"{fit(comparison.summary())}\n\nWritten:\n{paths}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "](compare.png)" in text and text.endswith(comparison.markdown())


def test_other_names_are_taken_in_the_folders_order(folders, tmp_path, monkeypatch, capsys):
    _run(monkeypatch, *folders, "--names", "one variance", "covariances", "--out", tmp_path / "out")
    assert "one variance   covariances\n" in capsys.readouterr().out


def test_what_is_not_named_is_called_by_its_folder(crude, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    dataclasses.replace(crude, configuration={}).save(folder / "profile.json")
    _run(monkeypatch, folder, "--out", tmp_path / "out")
    assert f"{folder}: Freeze the first 1 of 10 layers" in " ".join(capsys.readouterr().out.split())


def test_help_teaches(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--help")
    shown = capsys.readouterr().out
    for word in ("examples:", "scripts/compare.py runs/isogm runs/gm", "--names", "runs/compare"):
        assert word in shown


def _run(monkeypatch, *arguments):
    """The script, without starting an interpreter."""
    main = load_script("compare.py")
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, arguments)])
    main()
