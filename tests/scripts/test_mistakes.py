"""Commands that are typed wrong, or go wrong: one line on standard error, and an exit code that tells which it was."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import PROJECT, load_script, tiny
from PIL import Image

import kdefrost

SCRIPTS = ["bench.py", "clones.py", "compare.py", "comply.py", "kept.py", "predict.py", "profile.py", "reproduce.py"]
SCRIPTS += ["similarity.py"]
# What each is given that needs something, before the mistakes; of the digits and of small networks.
SMALL = ["--preset", "smoke", "--model", "tiny_1_1"]
GIVEN = {
    "profile.py": ["--src", "gm", "--preset", "smoke", "--out", "out"],
    "clones.py": ["--preset", "smoke", "--out", "out"],
    "comply.py": ["--src", "gm", *SMALL, "--layers", "3", "--per-class", "8", "--out", "out"],
    "similarity.py": ["--src", "gm", *SMALL, "--out", "out"],
    "compare.py": ["--out", "out"],
    "bench.py": [],
    "kept.py": [],
    "predict.py": [],
    "reproduce.py": ["--out", "out"],
}
MISTAKES = {
    "profile.py": {
        "--src gn": "Source 'gn' is no clone (isogm, gm, ae<k>)",
        "--src ae65": "There is no clone ae65 of 'digits': `bottleneck` must be a whole number from 1 to 64",
        "--src missing.keras": "There is no source file missing.keras",
        "--src corrupt.keras": "corrupt.keras cannot be read as a .keras model",
        "--src vector.keras": "vector.keras must take images (height, width, channels); it takes (5,)",
        "--src two.keras": "`model` must have one input and one output. Received 2 inputs",
        "--src lambda.keras": "holds Python code of a Lambda layer ('doubling')",
        "--src imagenet:MobileNetV9": "There is no ImageNet model 'MobileNetV9'",
        "--src imagenet:MobileNet --weights no.h5": "There is no weights file no.h5",
        "--src gm --weights w.h5": "--weights is for an imagenet source",
        "--src gm --inputs standardized": "--inputs is for a .keras source",
        "--src gm --trust": "--trust is for a .keras source",
        "--src x.keras --model wide_resnet_16_1": "--model names a network to train",
        "--tgt digit": "There is no data set 'digit'",
        "--tgt file.txt": "is a file, and must be a folder of images",
        "--tgt empty": "sub-folders of images",
        "--tgt idc": "`data_dir` (--data-dir) must be the folder of the IDC patches",
        "--tgt photos --parts train": "--parts must be such as train=fold1",
        "--tgt photos --parts train=gone": "gone",
        "--image-size 0": "`image_size` must be a positive whole number",
        "--model wrn": "There is no model 'wrn'",
        "--per-class 500": "`per_class` must be at most 139",
        "--per-class 0": "`per_class` must be whole numbers, at least 1",
        "--per-class few": "--per-class: invalid int value: 'few'",
        "--seeds 0": "`seeds` must be",
        "--epochs 0": "`epochs` must be a whole number, at least 1",
        "--cuts 1 42": "There is no cut 42: they run from 0 to 4",
        "--cuts 1": "`cuts` as a number must be at least 2",
        "--folds 1": "--folds: must be a whole number, at least 2, or none, not 1",
        "--folds some": "--folds: must be a whole number, at least 2, or none, not some",
        "--patience 0": "--patience: must be a whole number, at least 1",
        "--search 2": "--search: must be a share of the full profile",
        "--search --patience 1": "--search chooses by itself",
        "--tune --tails both": "--tune gives new and pretrained tails a recipe each",
        "--tails old": "--tails: invalid choice: 'old'",
        "--preset huge": "--preset: invalid choice: 'huge'",
        "--memory lots": "--memory: must be a positive number, not lots",
        "--metrics acuracy": "There is no metric 'acuracy'",
        "--objective auc": "`objective` must be one of the metrics (accuracy)",
        "--jobs 0": "`jobs` must be",
        "--devices GPU:0": "The devices must be different ones of CPU:0, CPU:1",
        "--export photos": "--export must be a new folder",
        "--out file.txt": "`directory` (--out) must be a folder",
        "--out file.txt/runs --dry-run": "`directory` (--out) must be a folder",
        "--tensorboard file.txt": "`tensorboard` (--tensorboard) must be a folder that is there or can be made",
        "--colour": "unrecognized arguments: --colour",
    },
    "clones.py": {
        "--clones gn": "There is no clone 'gn': it must be one of isogm, gm, or ae<k>",
        "--clones gm ae0": "There is no clone 'ae0'",
        "--seed -1": "`seed` must be a whole number, at least 0. Received: seed=-1",
        "--tgt digit": "There is no data set 'digit'",
        "--tgt idc --data-dir no/such": "`data_dir` (--data-dir) must be the folder of the IDC",
        "--out file.txt": "`directory` (--out) must be a folder",
    },
    "comply.py": {
        "--layers 99": "`layers` must be from 0 to 3",
        "--layers x": "--layers must be numbers, or blocks",
        "--layers 2 3": "--layers, where there are several numbers, must be of those that a cut freezes",
        "--strengths -1": "`strengths` must be a number from 0",
        "--strengths nan": "`strengths` must be a number from 0",
        "--strengths inf": "write frozen",
        "--strengths stiff": "must be a number or frozen, not stiff",
        "--per-class 0": "`per_class` must be whole numbers",
        "--per-class 99999": "`per_class` must be at most",
        "--seeds 0": "`seeds` must be",
        "--epochs 0": "`epochs` must be a whole number",
        "--src a.keras": "--src must be a clone or a data set",
        "--tensorboard file.txt/board": "file.txt is no folder",
    },
    "similarity.py": {
        "--src gn": "Source 'gn' is no clone",
        "--src gm my.keras": "--src must be clones or data sets, on which networks are trained here.",
        "--seeds 0": "--seeds and --memory must be positive. Received: 0 and 2.0",
        "--memory -1": "--seeds and --memory must be positive",
        "--layers conv9": "There is no cut 'conv9'",
        "--model wide_resnet_9_1": "`depth` must be a whole number, at least 10",
        "--tgt digit": "There is no data set 'digit'",
        "--devices GPU:0": "The devices must be different ones of CPU:0, CPU:1",
    },
    "compare.py": {
        "": "the following arguments are required: DIR",
        "empty": "There is no empty/profile.json, nor search.json",
        "good broken": "broken/profile.json is damaged",
        "good --names a b": "--names must be 1, one for each folder",
        "good empty --scores": "There is no scores.json, nor one of a size that all folders have, in good, empty",
        "good good": "The sources must have different names; they are gm, gm",
        "good --out file.txt": "`directory` (--out) must be a folder",
    },
    "bench.py": {
        "speed": "invalid choice: 'speed'",
        "profile --seeds 0": "--seeds: must be a whole number, at least 1, not 0",
        "profile --out file.txt": "--out: must be a new file in an existing folder, not file.txt",
        "ranking --setting nowhere": "--setting: invalid choice: 'nowhere'",
        "choice --only nowhere": "--only: invalid choice: 'nowhere'",
    },
    "kept.py": {
        "--directory gone": "--directory must be a folder. Received: gone",
        "--directory empty --clear gm": "--clear must be names of what is kept, or all. Received: gm; kept is nothing",
        "--older-than -1": "--older-than: must be at least 0, not -1",
        "--limit much": "--limit: invalid number value: 'much'",
        "--limit 1 --clear all": "not allowed with argument",
    },
    "predict.py": {
        "good": "the following arguments are required: PHOTO",
        "gone photos/ant/1.png": "MODEL must be a folder that --export or kdefrost.export has written. Received: gone",
        "good photos/ant/1.png": "MODEL must be a folder that --export or kdefrost.export has written. Received: good",
        "vectors photos/ant/2.png": "PHOTO must be image files. Received: photos/ant/2.png, which is none",
        "vectors photos": "PHOTO must be image files. Received: photos, which is none",
        "vectors photos/ant/1.png": "MODEL must take single images of one size, with 1 or 3 channels",
    },
    "reproduce.py": {
        "--page gone.md": "--page must be a file in Markdown, such as docs/paper.md. Received: gone.md",
        "--page file.txt": "The page must have sections of these figures",
        "--page page.md --figure 5": "The page must have sections of these figures",
        "--page page.md": "The folder (--out) must have results of the preset `smoke` in figure-N",
        "--figure 2": "must be numbers of these, or all: 1",
        "--preset huge": "--preset: invalid choice: 'huge'",
        "--idc gone": "There is no folder gone; `idc` (--idc) must be the folder of the breast cancer patches",
        "--figure 1 --idc gone": "There is no folder gone; `idc` (--idc) must be",
        "--figure 3 --idc photos": "`idc` (--idc) must be the folder of the breast cancer patches",
        "--figure 1 --weights no.h5": "There is no weights file no.h5. It takes the weights without top of MobileNetV2",
        "--jobs 0": "`jobs` must be",
        "--out file.txt": "`directory` (--out) must be a folder",
    },
}
ROWS = [(script, arguments) for script, mistakes in MISTAKES.items() for arguments in mistakes]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with files of which something is wrong."""
    place, layers = tmp_path_factory.mktemp("typed"), keras.layers
    for folder in ("empty", "good", "broken", "photos/ant", "photos/bee"):
        (place / folder).mkdir(parents=True)
    for folder in ("ant", "bee"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / "photos" / folder / "1.png")
    (place / "file.txt").touch()
    (place / "page.md").write_text("## Figure 4: old\n")
    (place / "corrupt.keras").write_bytes(b"PK\x03\x04")
    vectors = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    vectors.save(place / "vector.keras")
    kdefrost.export(vectors, place / "vectors")
    doubling = layers.Lambda(lambda x: 2 * x, name="doubling")
    keras.Sequential([keras.Input((8, 8, 1)), doubling, layers.Flatten(), layers.Dense(2)]).save(place / "lambda.keras")
    inputs = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Add()(inputs)))).save(place / "two.keras")
    (place / "broken" / "profile.json").write_text("{")
    recorded = kdefrost.DefrostProfile.load(PROJECT / "docs" / "gm-cifar10" / "profile.json")
    recorded.save(place / "good" / "profile.json")
    return place


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Runs a script in this process, and gives its exit code and what it says on standard error."""
    monkeypatch.chdir(place)
    monkeypatch.setitem(kdefrost.MODELS, "tiny", tiny)
    # Mistakes show before anything is trained.
    monkeypatch.setattr(kdefrost, "train_source", None)

    def run(script: str, *arguments: str, **constants):
        monkeypatch.setattr(sys, "argv", [script, *GIVEN[script], *arguments])
        with pytest.raises(SystemExit) as stop:
            load_script(script, PROJECT=place, **constants)()
        return stop.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(("script", "arguments"), ROWS)
def test_mistakes_end_in_one_line_and_with_2(script, arguments, run, place):
    code, said = run(script, *arguments.split())
    assert code == 2 and re.fullmatch(r"error: [^\n]+\n", said), said
    assert MISTAKES[script][arguments] in said
    assert not (place / "out").exists()


@pytest.mark.parametrize("script", ["clones.py", "comply.py", "profile.py", "reproduce.py", "similarity.py"])
def test_variables_that_cannot_be_are_mistakes_of_each_command_that_trains(script, run, monkeypatch, place):
    for name, value in (("KDEFROST_KEPT_GIB", "20GB"), ("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            code, said = run(script)
        assert code == 2 and re.fullmatch(rf"error: The environment variable {name} must [^\n]+\n", said), said
    assert not (place / "out").exists()


def test_a_mistake_is_all_that_a_terminal_shows(place):
    command = [sys.executable, PROJECT / "scripts" / "compare.py", "empty"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: There is no empty/profile.json") and done.stderr.count("\n") == 1


@pytest.fixture
def command():
    """The module that all scripts have in common."""
    return load_script("compare.py").__globals__["command"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("The disk is full.\n  Make room."), "The disk is full. Make room."),
        (ValueError("`model` diverged."), "`model` diverged."),
        (FileNotFoundError("There is no weights file."), "There is no weights file."),
        (RuntimeError("broken"), "RuntimeError: broken (--debug shows where)"),
        (MemoryError(), "MemoryError (--debug shows where)"),
        (OSError(), "OSError (--debug shows where)"),
    ],
)
def test_what_fails_at_work_ends_with_1(error, said, command, capsys):
    def work():
        raise error

    with pytest.raises(SystemExit) as stop:
        command.main(lambda: work)
    assert stop.value.code == 1 and capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize("error", [ImportError("KerasHub is not installed."), PermissionError("It may not be read.")])
def test_what_is_no_mistake_of_the_user_ends_with_1_before_the_work_too(error, command, capsys):
    def check():
        raise error

    with pytest.raises(SystemExit) as stop:
        command.main(check)
    assert stop.value.code == 1 and capsys.readouterr().err == f"error: {error}\n"


def test_a_training_that_fails_ends_with_1_and_has_a_traceback_where_asked_for(run, monkeypatch):
    def train_source(*arguments, **options):
        raise OSError("No room.")

    monkeypatch.setattr(kdefrost, "train_source", train_source)
    arguments = ["--cuts", "3", "4", "--per-class", "4", "--seeds", "1", "--out", "begun"]
    assert run("profile.py", *arguments) == (1, "error: No room.\n")
    code, said = run("profile.py", *arguments, "--debug")
    assert code == 1 and said.endswith("\nerror: No room.\n")
    assert said.startswith("Traceback (most recent call last)") and "in train_source" in said


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_how_to_see_a_traceback(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as stop:
        load_script(script)()
    assert stop.value.code == 0 and "--debug" in capsys.readouterr().out


def test_no_script_is_left_out():
    assert {path.name for path in (PROJECT / "scripts").glob("*.py")} == set(SCRIPTS) == MISTAKES.keys()
