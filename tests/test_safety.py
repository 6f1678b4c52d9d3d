"""What comes from elsewhere runs no code, leads out of no folder, and is never there by half."""

import ast
import itertools
import json
import os
import pickle
import platform
import shutil
import signal
import sys
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import PROJECT, RECIPE, load_script, tiny

import kdefrost
from kdefrost import kept
from kdefrost.files import file_name

layers = keras.layers
# The function has the name of its module.
exporting = sys.modules["kdefrost.export"]
CODE = [*(PROJECT / "kdefrost").rglob("*.py"), *(PROJECT / "scripts").rglob("*.py")]
NAMES = {
    "up": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "drive": "C:\\Windows\\system32",
    "dots": "..",
    "dot": ".",
    "hidden": ".bashrc",
    "empty": "",
    "spaces": "   ",
    "device": "CON",
    "device with ending": "nul.txt",
    "other device": "LPT1",
    "long": "x" * 300,
    "long and wide": "é🦆" * 150,
    "emoji": "🦆🦢",
    "lines": "two\nlines\r\n",
    "tab and bell": "a\tb\a",
    "nothing": "a\0b",
    "colour": "\x1b[31mred\x1b[0m",
    "wild": 'a*b?c<d>e|f"g',
    "surrogate": os.fsdecode(b"caf\xe9"),
    "separator": "a\u2028b\u2029c",
    "option": "-rf",
    "end": "name. . ",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_from_data_is_one_part_of_a_path_that_any_system_can_have(name, tmp_path):
    made = file_name(name)
    assert made not in ("", ".", "..") and Path(made).name == made and not made.startswith((".", "-"))
    assert len(made.encode()) <= 121 and not set(made) & set('<>:"/\\|?*')
    assert all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in made)
    (tmp_path / made).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [made]
    assert file_name(made) == made


def test_names_are_kept_where_they_can_be_and_long_ones_are_told_apart():
    assert file_name("gm-digits-smoke_2.0 (new)") == "gm-digits-smoke_2.0 (new)" and file_name("🦆") == "🦆"
    assert file_name("cifar10/plain:1.0") == "cifar10-plain-1.0" and file_name("CON") == "_CON"
    assert file_name("../../evil") == "evil" and file_name("two\nlines") == "two-lines"
    assert file_name("x" * 300) != file_name("x" * 301)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_is_kept_and_what_runs_stays_in_its_folder(name, tmp_path):
    place = kept.address(tmp_path / "kept", name, {"seed": 0})
    assert place.parent == tmp_path / "kept"
    with kept.writing(place, {}) as beside:
        (beside / "file").write_text("whole")
    assert kept.is_whole(place)
    out = load_script("compare.py").__globals__["command"].out_folder(None, ["gm", name, "laptop"])
    assert out.parent == Path("runs") and (tmp_path / out).resolve().parent == (tmp_path / "runs").resolve()


def test_a_data_set_and_classes_of_bad_names_pass_through_a_run(tmp_path, monkeypatch):
    """From a clone that is kept to a card: only the folders that are named have files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(kdefrost.MODELS, "tiny", tiny)
    rng, labels = np.random.default_rng(0), np.arange(12) % 3
    part = kdefrost.Examples(rng.integers(0, 255, (12, 8, 8, 1)).astype(np.uint8), labels)
    classes = ("../../evil", "two\nlines", "🦆" * 200)
    data = kdefrost.ImageData("../../../evil", part, part, classes)
    arguments = {"recipe": RECIPE, "directory": tmp_path / "kept", "verbose": False}
    source = kdefrost.train_source("gm", data, "tiny_1_1", **arguments)
    defroster = kdefrost.Defroster(source, RECIPE, cuts=["pool", 0], directory=tmp_path / "run")
    profile = defroster.profile(data.train, folds=2, verbose=False)
    kdefrost.export(source, tmp_path / "exported", profile, class_names=classes)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "run", "exported"}
    assert {path.name.rsplit("-", 1)[0] for path in (tmp_path / "kept").glob("*/*")} == {
        "gm-..-..-..-evil",
        "gm-..-..-..-evil-tiny_1_1",
    }
    lines = (tmp_path / "exported" / "model_card.md").read_text().splitlines()
    assert f"Classes, in order: ../../evil, two lines, {'🦆' * 200}." in lines


class _Touches:
    """What, where it is unpickled, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def lambdas(tmp_path):
    """Files of a model with Lambda layers, and the file that it makes where these run."""
    ran = tmp_path / "ran"
    outer = layers.Lambda(eval(f"lambda x: (open({str(ran)!r}, 'w').close(), x)[1]"), name="outer_one")
    inner = keras.Sequential([keras.Input((8,)), layers.Lambda(lambda x: 2 * x, name="inner_one")], name="inner")
    model = keras.Sequential([keras.Input((8,)), outer, inner, layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    ran.unlink()
    return tmp_path, ran, model


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_lambda_layer_is_named_and_runs_only_where_it_is_trusted(lambdas, ending):
    folder, ran, model = lambdas
    path = folder / f"model.{ending}"
    named = r"code of a Lambda layer \('outer_one' and 'inner_one'\).*`trust=True` \(--trust\)"
    with pytest.raises(ValueError, match=named):
        kdefrost.load_source(path)
    assert not ran.exists()
    trusted = kdefrost.load_source(path, trust=True)
    assert ran.exists()
    x = np.ones((2, 8), np.float32)
    np.testing.assert_allclose(trusted(x), model(x))


def test_the_command_trusts_where_it_is_told_to(lambdas, monkeypatch, capsys):
    """As far as the next mistake, because the model takes no images."""
    folder, ran, _ = lambdas
    for trust, said in (([], "--trust"), (["--trust"], "must take images")):
        monkeypatch.setattr(sys, "argv", ["profile.py", "--src", str(folder / "model.keras"), *trust])
        with pytest.raises(SystemExit) as stop:
            load_script("profile.py")()
        assert stop.value.code == 2 and said in capsys.readouterr().err and ran.exists() == bool(trust)


def test_a_file_that_names_a_function_of_the_system_runs_nothing(tmp_path):
    """The configuration of a layer asks for `os.system` as an activation."""
    keras.Sequential([keras.Input((8,)), layers.Dense(2, activation="relu", name="only")]).save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as good, zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name == "config.json":
                function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
                content = content.replace(b'"activation": "relu"', f'"activation": {json.dumps(function)}'.encode())
                assert b'"system"' in content
            bad.writestr(name, content)
    with pytest.raises(ValueError, match=r"bad\.keras cannot be read"):
        kdefrost.load_source(tmp_path / "bad.keras")


def test_an_archive_that_points_outside_writes_nothing_there(tmp_path):
    """The archives that are read are `.keras` and `.npz` files, out of which nothing is unpacked by name."""
    keras.Sequential([keras.Input((8,)), layers.Dense(2)]).save(tmp_path / "in.keras")
    with zipfile.ZipFile(tmp_path / "in.keras", "a") as file:
        file.writestr("../outside.txt", "outside")
        file.writestr("assets/../../outside.txt", "outside")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    os.rename(tmp_path / "in.keras", tmp_path / "deep" / "er" / "in.keras")
    try:
        kdefrost.load_source(tmp_path / "deep" / "er" / "in.keras")
    except ValueError as error:
        assert "in.keras cannot be read" in str(error)
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "er", "in.keras"}


def test_a_tail_of_pickles_is_made_anew_and_runs_nothing(run_profile, small, easy, tmp_path):
    """In the place of the kept tail lies a file of the same name whose arrays are pickles."""
    profile = run_profile(directory=tmp_path, per_class=2)
    (tail,) = tmp_path.glob("tail-*.npz")
    objects = np.array([_Touches(tmp_path / "ran")], dtype=object)
    with np.load(tail) as file:
        arrays = {name: objects if name != "about" else file[name] for name in file.files}
    assert any(array is objects for array in arrays.values())
    np.savez(tail, **arrays)
    defroster = kdefrost.Defroster(small, RECIPE, cuts=(1, 2), directory=tmp_path)
    again = defroster.profile(**easy, per_class=2, seeds=2, verbose=False)
    assert again.trials == profile.trials
    with pytest.warns(UserWarning, match="is damaged .*The tail is trained again"):
        assert defroster.best_model(again, verbose=False).output_shape == (None, 3)
    assert not (tmp_path / "ran").exists()
    # The file would have: what is refused is what runs.
    pickle.loads(pickle.dumps(objects))
    assert (tmp_path / "ran").exists()


def _write(text: str):
    """Stands for TensorFlow and Keras: files that all say one thing, in several steps."""

    def write(model, run, class_names, folder: Path):
        (folder / "variables").mkdir(parents=True)
        for name in ("saved_model.pb", "variables/data", "variables/index"):
            with (folder / name).open("w") as file:
                file.write(text[:1])
                file.flush()
                file.write(text[1:])

    return write


def _killed_at(step: int, path: Path, model: keras.Model, text: str) -> bool:
    """Exports in a process that is killed at a step on the disk; whether it came so far."""
    with warnings.catch_warnings():
        # Of threads, none of which the process needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if not process:
        steps = itertools.count()

        def kill(event: str, _):
            if event.startswith(("open", "os.", "shutil.")) and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            _export(path, model, text)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def _export(path: Path, model: keras.Model, text: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_with_keras_layers", lambda model: (model, None))
        patch.setattr(exporting, "_write_saved_model", _write(text))
        patch.setattr(exporting, "_written_and_loaded", lambda model, names, file: (file.write_text(text), None))
        patch.setattr(exporting, "_compare", lambda *_: None)
        kdefrost.export(model, path, class_names=[text] * 3)


def _says(path: Path) -> str | None:
    """What an export says that is whole; `None` where there is none."""
    if not path.exists():
        return None
    names = ("saved_model.pb", "variables/data", "variables/index", "model.keras", "model_card.md")
    files = {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}
    assert files.keys() == set(names)
    text = files["saved_model.pb"]
    assert all(text in file for file in files.values())
    return text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Processes are forked.")
@pytest.mark.parametrize("earlier", [None, "earlier"])
def test_an_export_that_is_killed_at_any_step_leaves_none_by_half(earlier, small, tmp_path):
    path, killed, absent = tmp_path / "place" / "mine", 0, 0
    for step in range(1000):
        shutil.rmtree(path.parent, ignore_errors=True)
        if earlier:
            _export(path, small, earlier)
        if not _killed_at(step, path, small, "later"):
            break
        killed += 1
        found = _says(path)
        assert found in (earlier, "later", None)
        absent += found is None
        _export(path, small, "last")
        assert _says(path) == "last" and [each.name for each in path.parent.iterdir()] == ["mine"]
    print(f"{killed} kills; after {absent} of them there was no export")
    assert _says(path) == "later" and killed > 10
    # Between two renamings; all other kills leave the earlier one or the later.
    assert absent <= 1 if earlier else absent < killed


def test_an_export_that_fails_after_one_that_was_killed_in_between_loses_nothing(small, tmp_path, monkeypatch):
    path = tmp_path / "mine"
    _export(path, small, "earlier")
    path.rename(tmp_path / f"mine.former.{platform.node()}.999999999.part")
    monkeypatch.setattr(exporting, "model_card", _no_room)
    with pytest.raises(OSError, match="No room"):
        _export(path, small, "last")
    assert _says(path) == "earlier" and [each.name for each in tmp_path.iterdir()] == ["mine"]


def _no_room(*_):
    raise OSError("No room.")


def _calls() -> Iterator[tuple[str, str, dict[str, str]]]:
    """The calls in all code: the file, what is called, and the arguments by name."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path.name, ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}


def test_nothing_that_is_read_from_a_disk_is_code():
    run = {
        "eval",
        "exec",
        "compile",
        "os.system",
        "os.popen",
        "marshal.load",
        "marshal.loads",
        "yaml.load",
    }
    unpack = {"Unpickler", "extract", "extractall", "unpack_archive"}
    for file, called, options in _calls():
        assert called not in run and called.split(".")[-1] not in unpack, f"{file} calls {called}"
        assert not options.keys() & {"allow_pickle", "shell"}, f"{file}: {called}({options})"
        # What the process that started this one hands over.
        assert called not in ("pickle.load", "pickle.loads") or file == "worker.py"
        # A file that was written a moment ago, and what a user trusts.
        trusted = {("export.py", "False"), ("loading.py", "not trust")}
        assert "safe_mode" not in options or (file, options["safe_mode"]) in trusted
