"""The report: what is in the file, and that it is the profile's."""

import ast
import configparser
import dataclasses
import inspect
import math
import shlex
import sys

import html5lib
import numpy as np
import pytest
from conftest import PROJECT, load_script

import kdefrost
from kdefrost.profile import ProfileWarning
from kdefrost.profile.search import Searched
from kdefrost.reporting.figure import figure_of
from kdefrost.reporting.page import page
from kdefrost.reporting.steps import next_steps

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert(1)</script>"&'


def parse(html: str):
    """The tree of a page, which must be without a fault."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(tree, name: str):
    (found,) = (each for each in tree.iter("section") if each.get("id") == name)
    return found


def tables_of(element) -> list[list[list[str]]]:
    return [[[text_of(cell) for cell in row] for row in table.iter("tr")] for table in element.iter("table")]


def make_profile(cuts, sizes=(4, 16), metrics=("accuracy", "auc"), objective=None, seeds=3, validation=True, **more):
    """A profile of random scores, whose cut 1 was not tried with the largest of several sizes."""
    rng = np.random.default_rng(0)

    def scores():
        return {metric: float(rng.uniform(0.4, 0.9)) for metric in metrics}

    trials = [
        kdefrost.Trial(cut.index, size, seed, scores(), scores() if validation else None, rng.uniform(1, 9))
        for cut in cuts
        for size in sizes
        for seed in range(seeds)
        if len(sizes) == 1 or (cut.index, size) != (1, sizes[-1])
    ]
    objective = objective or kdefrost.Objective(metrics[0], "max")
    return kdefrost.DefrostProfile(tuple(cuts), tuple(trials), objective, **more)


@pytest.fixture
def cuts(small):
    return kdefrost.cut_points(small)


@pytest.fixture
def profile(cuts):
    return make_profile(cuts)


def test_the_file_has_the_sentences_and_all_scores_of_the_profile(profile, tmp_path):
    path = kdefrost.report(profile, tmp_path / "report.html")
    tree = parse(path.read_text(encoding="utf-8"))
    found = text_of(section(tree, "findings"))
    for size in profile.per_class:
        assert profile.sentence(size).replace("`", "") in found
    tables = tables_of(section(tree, "scores"))
    assert len(tables) == len(profile.metrics) == 2
    for metric, (head, *rows) in zip(profile.metrics, tables, strict=True):
        assert head[-2:] == ["4 per class", "16 per class"]
        assert [row[:2] for row in rows] == [[str(cut.index), cut.name] for cut in profile.cuts]
        for column, size in ((-2, 4), (-1, 16)):
            assert [row[column] for row in rows] == [cell.strip() for cell in profile.cells(size, metric)]
    assert "* best cut, chosen by accuracy on the validation set" in text_of(section(tree, "scores"))


def test_differences_from_the_best_cut_are_those_of_the_raw_scores(profile):
    ((_, *rows),) = tables_of(section(parse(page(profile)), "told-apart"))
    scores, best = 100 * profile.scores(4), profile.best_cut(4)
    near = profile.near_best_cuts(4)
    for row, cut in zip(rows, profile.cuts, strict=True):
        differences = scores[:, cut.index] - scores[:, best.index]
        mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(len(differences))
        expected = f"{'−' if mean < 0 else '+'}{abs(mean):.1f} ± {error:.1f}{' ~' if cut in near else ''}"
        assert row[2] == ("best *" if cut is best else expected)
    assert rows[1][3] == "–"


def test_what_it_took_is_the_mean_of_the_trials(profile):
    part = section(parse(page(profile)), "cost")
    ((_, *rows),) = tables_of(part)
    for row, cut in zip(rows, profile.cuts, strict=True):
        took = [trial.seconds for trial in profile.trials if (trial.cut, trial.per_class) == (cut.index, 4)]
        assert row[:3] == [str(cut.index), f"{100 * cut.tail_share:.1f} %", f"{sum(took) / 3:.1f}"]
    assert f"{len(profile.trials)} trials" in text_of(part) and rows[1][3] == "–"


def test_numbers_lie_over_the_marks_that_matplotlib_drew(profile):
    figure = figure_of(profile)
    tree = html5lib.HTMLParser(namespaceHTMLElements=False).parseFragment(figure.svg)
    drawn = {
        (round(float(use.get("x")), 3), round(float(use.get("y")), 3)) for use in tree.iter(f"{SVG}use") if use.get("x")
    }
    assert len(figure.points) == 5
    assert {(round(point.x, 3), round(point.y, 3)) for point in figure.points} <= drawn
    best = profile.best_cut(16)
    (text,) = (
        point.text
        for point in figure.points
        if "16 per class" in point.text and "the best cut" in point.text and "not" not in point.text
    )
    assert text == (
        f"Cut {best.index}, {best.name}, 16 per class: accuracy "
        f"{profile.cells(16)[best.index].strip(' *')} %, the best cut"
    )
    assert figure.svg.startswith("<svg") and figure_of(profile) == figure


def test_the_file_needs_nothing_else(profile):
    tree = parse(page(profile))
    addresses = [
        element.get(name) for element in tree.iter() for name in ("src", "href", "data", "action") if element.get(name)
    ]
    assert all(address.startswith("data:") for address in addresses)
    assert tree.get("lang") == "en" and not list(tree.iter("link"))
    named = {element.get("name") for element in tree.iter("meta")}
    assert {"viewport", "color-scheme"} <= named
    drawing = next(element for element in tree.iter("div") if element.get("role") == "img")
    assert drawing.get("aria-label").startswith("Accuracy against the cut")


def test_whatever_is_in_names_stays_text(profile):
    cuts = tuple(dataclasses.replace(cut, name=EVIL) for cut in profile.cuts)
    names = {"source_name": EVIL, "target": EVIL, "command": ["python", "profile.py", "--src", EVIL]}
    evil = dataclasses.replace(profile, cuts=cuts, configuration={**names, "task": {"loss": EVIL}})
    tree = parse(page(evil))
    (script,) = tree.iter("script")
    assert "alert" not in script.text
    assert text_of(section(tree, "configuration")).count(EVIL) == 3
    assert f"{EVIL} → {EVIL}" in text_of(next(tree.iter("h1"))) and EVIL in text_of(section(tree, "scores"))


@pytest.mark.parametrize(
    "more",
    {
        "one seed": {"seeds": 1},
        "one size": {"sizes": (4,)},
        "all examples": {"sizes": (None,), "configuration": {"examples": 24}},
        "no test set's choice": {"validation": False},
        "regression": {
            "metrics": ("mean_squared_error",),
            "objective": kdefrost.Objective("mean_squared_error", "min"),
            "configuration": {"task": {"kind": "regression", "units": 2, "loss": "mean_squared_error"}},
        },
        "multi-label": {"configuration": {"task": {"kind": "multi-label", "units": 3, "loss": "binary_crossentropy"}}},
        "searched": {
            "searched": (Searched(4, 0.25, "share", 0.2, "settled"), Searched(16, 0.25, "share", 0.2, "spent"))
        },
    }.items(),
    ids=lambda named: named[0],
)
def test_other_profiles_have_a_report_too(cuts, more):
    profile = make_profile(cuts, **more[1])
    tree = parse(page(profile))
    rows = tables_of(section(tree, "scores"))[0][1:]
    size = profile.per_class[0]
    assert [row[4] for row in rows] == [cell.strip() for cell in profile.cells(size)]
    assert profile.sentence(size).replace("`", "") in text_of(section(tree, "findings"))


def test_a_profile_without_a_number_has_a_report_too(cuts):
    trials = tuple(kdefrost.Trial(cut.index, 4, 0, {"loss": math.nan}, None, 1.0) for cut in cuts)
    profile = kdefrost.DefrostProfile(tuple(cuts), trials, kdefrost.Objective("loss", "min"))
    assert "No trial has a number" in text_of(section(parse(page(profile)), "findings"))


def test_folds_are_not_called_seeds(cuts):
    trials = [
        kdefrost.Trial(cut.index, None, 0, None, {"accuracy": 0.5 + cut.index / 10 + fold / 50}, 1.0, 0, fold)
        for cut in cuts
        for fold in range(3)
    ]
    profile = kdefrost.DefrostProfile(tuple(cuts), tuple(trials), kdefrost.Objective("accuracy", "max"))
    tree = parse(page(profile))
    assert "differences within folds" in text_of(section(tree, "told-apart"))
    assert "folds=3" in text_of(section(tree, "next"))


def test_warnings_stand_before_the_figure(profile, monkeypatch):
    said = [ProfileWarning("few", "Few images.", "few"), ProfileWarning("one", "One seed.", "one")]
    monkeypatch.setattr(kdefrost.DefrostProfile, "warnings", [])
    assert 'id="warnings"' not in page(profile)
    monkeypatch.setattr(kdefrost.DefrostProfile, "warnings", said)
    html = page(profile)
    assert [item.text for item in section(parse(html), "warnings").iter("li")] == ["Few images.", "One seed."]
    assert html.index('id="findings"') < html.index('id="warnings"') < html.index('id="figure"')


def test_measured_profiles_have_their_reports():
    for name in ("imagenet-cifar10/search", "imagenet-idc/profile"):
        profile = kdefrost.DefrostProfile.load(PROJECT / "docs" / f"{name}.json")
        tables = tables_of(section(parse(page(profile)), "scores"))
        assert [row[4] for row in tables[0][1:]] == [cell.strip() for cell in profile.cells(profile.per_class[0])]


def test_lines_of_python_are_calls_of_a_defroster(profile):
    profile = dataclasses.replace(profile, configuration={"data": {"train": "a", "test": "b", "validation": "c"}})
    more, search, model = (step.code for step in next_steps(profile))
    expected = {"test": "test", "validation": "validation", "per_class": [4, 16]}
    for line, method, own in (
        (more, "profile", {"seeds": 6}),
        (search, "search", {"seeds": 3, "budget": 0.25}),
    ):
        call = ast.parse(line).body[0].value
        assert call.func.attr == method and call.args[0].id == "train"
        given = {word.arg: getattr(word.value, "id", None) or ast.literal_eval(word.value) for word in call.keywords}
        assert given == {**expected, **own}
        inspect.signature(getattr(kdefrost.Defroster, method)).bind(None, "train", **given)
    assert "per_class=16" in model and ast.parse(model)


@pytest.mark.parametrize("searched", [False, True])
def test_commands_are_the_users_own_with_one_thing_changed(cuts, searched, monkeypatch):
    parse_arguments = load_script("profile.py").__globals__["parse_arguments"]
    words = [
        "--src",
        "gm",
        "--tgt",
        "my photos",
        "--per-class",
        "4",
        "16",
        "--seeds",
        "3",
        "--out",
        "runs/a/which/has/a/rather/long/name",
    ]
    words += ["--search", "0.5"] if searched else ["--patience", "2"]
    ends = (Searched(4, 0.5, "share", 0.2, "settled"),) if searched else ()
    configuration = {"command": ["python", "scripts/profile.py", *words], "target": "my photos"}
    profile = make_profile(cuts, configuration=configuration, searched=ends)

    def arguments(line: str) -> dict:
        # As a shell reads lines that end in a backslash.
        python, script, *rest = shlex.split(line.replace("\\\n", ""))
        assert (python, script) == ("python", "scripts/profile.py")
        monkeypatch.setattr(sys, "argv", [script, *rest])
        return vars(parse_arguments())

    given = arguments(shlex.join(configuration["command"]))
    more, other, model = (arguments(step.code) for step in next_steps(profile))
    assert more == {**given, "seeds": 6}
    assert next_steps(profile)[0].code.count("\n") == 1
    assert other == {**given, **({"search": None} if searched else {"search": 0.25, "patience": None, "out": None})}
    assert model == {**given, "export": "saved_models/my photos"}


@pytest.mark.parametrize(
    ("called", "line"),
    [
        ("python kdefrost/scripts/profile.py", "python kdefrost/scripts/predict.py 'saved_models/my cats' photo.jpg"),
        ("kdefrost profile", "kdefrost predict 'saved_models/my cats' photo.jpg"),
        ("python -m program profile", "python -m program predict 'saved_models/my cats' photo.jpg"),
    ],
)
def test_an_exported_model_is_asked_by_the_command_beside(cuts, called, line):
    command = [*called.split(), "--src", "gm", "--export=saved_models/my cats"]
    profile = make_profile(cuts, configuration={"command": command})
    assert next_steps(profile)[-1].code == line


def test_what_cannot_be_reported_is_refused(profile, small, easy, tmp_path):
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="`profile` must have finished trials"):
        kdefrost.report(dataclasses.replace(profile, trials=()), path)
    for given in ({"model": small}, {"examples": easy["test"]}, {"model": small, "outputs": [[1.0]]}):
        received = ", ".join(name for name in ("model", "examples", "outputs") if name in given)
        with pytest.raises(ValueError, match=rf"together with either `model` or `outputs`.* Received: {received}$"):
            kdefrost.report(profile, path, **given)
    with pytest.raises(ValueError, match=r"`outputs` must be \(examples, units\), with 45 examples.*\(44, 3\)"):
        kdefrost.report(profile, path, examples=easy["test"], outputs=np.ones((44, 3)))
    with pytest.raises(ValueError, match="no trials with per_class=5"):
        kdefrost.report(profile, path, small, easy["test"], per_class=5)
    with pytest.raises(ValueError, match="`class_names` must be a list of 3"):
        kdefrost.report(profile, path, small, easy["test"], class_names=["a", "b"])
    assert not path.exists()


def test_templates_are_installed():
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    folder, pattern = PROJECT / "kdefrost" / "reporting", settings["options.package_data"]["kdefrost.reporting"]
    files = {path for path in folder.rglob("*") if path.is_file() and path.suffix in (".html", ".css", ".js")}
    assert files and files == set(folder.glob(pattern))
