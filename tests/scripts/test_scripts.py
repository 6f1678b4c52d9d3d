"""The command line, as a user types it."""

import json
import os
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import PROJECT, load_script, tiny
from PIL import Image

import kdefrost
from kdefrost.trials.store import read_answers

SCRIPT = PROJECT / "scripts" / "profile.py"
SMALL = ["--preset", "smoke", "--model", "tiny_1_1", "--per-class", "4", "--seeds", "1", "--epochs", "1"]


def run(*arguments, script=SCRIPT, cwd=None):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=cwd
    )


def in_one_line(printed: str) -> str:
    """Sentences as they are, wherever their lines end."""
    return " ".join(printed.split())


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """Runs the script in this process, and gives what it prints; what it keeps is elsewhere than a user's."""
    monkeypatch.setitem(kdefrost.MODELS, "tiny", tiny)
    main = load_script("profile.py", PROJECT=tmp_path)

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["profile.py", *map(str, arguments)])
        main()
        return capsys.readouterr()

    return run_here


def test_a_profile_from_one_command_and_more_seeds_later(run_here, tmp_path):
    """The same again, for which nothing runs, and then by an interpreter and a process that it starts."""
    source, out = tmp_path / "source.keras", tmp_path / "out"
    tiny(1, 1, classes=10, input_shape=(8, 8, 1)).save(source)
    command = ["--src", source, "--tgt", "digits", "--preset", "smoke", "--cuts", "1", "pool", "--out", out]
    first = run_here(*command, "--seeds", "1")
    files = {"profile.png", "profile.svg", "profile.csv", "profile.json", "report.html", "trials.sqlite"}
    assert {path.name for path in out.iterdir()} == files | {"tail-4.npz", "tail-16.npz"}
    answers = read_answers(out, {})
    assert len(answers) == 2 * 2 * 1
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "360 examples of the test set, which has chosen nothing" in report and "Confusion matrix" in report
    assert "--seeds 2</code>" in report
    assert "per class, seed" not in run_here(*command, "--seeds", "1").err
    second = run(*command, "--seeds", "2", "--jobs", "1", "--tensorboard", tmp_path / "board")
    assert second.returncode == 0, second.stderr
    assert len(list((tmp_path / "board").glob("cut *, * per class, seed */*tfevents*"))) == 8
    for seed, (printed, progress) in enumerate([(first.out, first.err), (second.stdout, second.stderr)]):
        sizes = "digits: 10 classes, 1295 to train on, 142 to choose the cut on, 360 to test on images."
        assert sizes in in_one_line(printed)
        # Two seeds may not tell the two cuts apart.
        advice = ("Freeze the first", "Nothing tells these cuts apart")
        assert any(each in in_one_line(printed) for each in advice) and str(out / "profile.png") in printed
        assert printed.endswith(f"  {out / 'report.html'}\n")
        assert f"per class, seed {seed}" in progress and "left" in progress
        # Nothing but the bar, not even of the other process.
        assert all("left" in line for line in re.split("[\r\n]+", progress) if line.strip())
    assert answers.items() <= read_answers(out, {}).items()
    profile = kdefrost.DefrostProfile.load(out / "profile.json")
    assert len(profile.trials) == 8 and profile.chosen_on == "validation" and profile.per_class == [4, 16]
    assert profile.configuration["seeds"] == 2 and profile.configuration["source_name"] == str(source)
    assert "keras" in profile.configuration["versions"]


def test_scores_without_training_come_first(run_here, tmp_path):
    source, out = tmp_path / "source.keras", tmp_path / "out"
    tiny(1, 1, classes=10, input_shape=(8, 8, 1)).save(source)
    command = ["--src", source, "--tgt", "digits", "--preset", "smoke", "--cuts", "1", "pool", "--out", out]
    printed = run_here(*command, "--seeds", "1", "--epochs", "1", "--scores").out
    assert printed.index("Scores without training") < printed.index("Test accuracy")
    endings, written = ("png", "svg", "csv", "json"), {path.name for path in out.iterdir()}
    assert {f"scores-{size}.{ending}" for size in (4, 16) for ending in endings} <= written
    for size in (4, 16):
        scores = kdefrost.Transferability.load(out / f"scores-{size}.json")
        assert str(out / f"scores-{size}.csv") in printed
        assert in_one_line(scores.summary()) in in_one_line(printed)
        assert scores.configuration["per_class"] == size and len(scores.cuts) == 2
        assert scores.configuration["source_name"] == str(source) and scores.configuration["target"] == "digits"


def test_a_search_and_its_scores_of_one_size(run_here, tmp_path):
    source, out = tmp_path / "source.keras", tmp_path / "out"
    tiny(1, 1, classes=10, input_shape=(8, 8, 1)).save(source)
    command = [
        "--src",
        source,
        "--tgt",
        "digits",
        "--preset",
        "smoke",
        "--per-class",
        "4",
        "--epochs",
        "1",
        "--out",
        out,
    ]
    printed = run_here(*command, "--search", "0.5", "--scores").out
    assert "The search took" in in_one_line(printed) and str(out / "search.png") in printed
    files = {path.name for path in out.iterdir()}
    assert {"search.json", "search.csv", "search.svg", "scores.json", "report.html"} <= files
    assert "profile.json" not in files
    searched = kdefrost.DefrostProfile.load(out / "search.json")
    assert searched.searched[0].budget == 0.5 and searched.searched[0].spent <= 0.5
    # All trials of the profile that follows are of one folder with those of the search.
    answers = read_answers(out, {})
    run_here(*command)
    assert answers.items() <= read_answers(out, {}).items() and (out / "profile.json").exists()


def test_a_users_command_goes_on_where_it_was(tmp_path):
    """The README's kind of command, a clone as source, in a fresh checkout, then with one more seed."""
    for folder in ("scripts", "kdefrost"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    # By which a clone is known: without it, sources would be those of the working folder.
    shutil.copy(PROJECT / "setup.cfg", tmp_path)
    script, out = tmp_path / "scripts" / "profile.py", tmp_path / "R"
    size = ["--preset", "smoke", "--per-class", "4", "16", "--cuts", "3", "4", "--epochs", "1"]
    outputs, ran = [], []
    for seeds in (1, 2):
        done = run("--src", "gm", "--tgt", "digits", *size, "--seeds", seeds, "--out", out, script=script)
        assert done.returncode == 0, done.stderr
        outputs.append(done)
        ran.append(kdefrost.DefrostProfile.load(out / "profile.json").trials)
    assert [len(trials) for trials in ran] == [4, 8]
    # The time that each took, too: nothing ran again.
    assert set(map(str, ran[0])) <= set(map(str, ran[1]))
    first, second = outputs
    assert "per class, seed 0" in first.stderr and "Training source" in first.stderr
    assert "per class, seed 1" in second.stderr and "per class, seed 0" not in second.stderr
    assert "Source: reusing" in second.stdout
    assert len(list((tmp_path / "saved_models" / "sources").iterdir())) == 1


@pytest.fixture
def photos(tmp_path):
    """A folder of images of three classes, `<class>/*.png`."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(["ant", "bee", "wasp"]):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(20):
            image = rng.integers(0, 100, (40, 30, 3)) + 70 * label
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_from_imagenet_to_a_folder_of_images_and_an_exported_model(photos, run_here, tmp_path):
    network = keras.applications.MobileNet((32, 32, 3), alpha=0.25, include_top=False, weights=None)
    network.save_weights(tmp_path / "mobilenet.weights.h5")
    source = ["--src", "imagenet:MobileNet:0.25", "--weights", tmp_path / "mobilenet.weights.h5", "--image-size", "32"]
    size = [
        "--per-class",
        "3",
        "--seeds",
        "2",
        "--epochs",
        "2",
        "--cuts",
        "conv_pw_12_relu",
        "global_average_pooling2d",
    ]
    folders = ["--out", tmp_path / "out", "--export", tmp_path / "exported"]
    # So that Keras counts the names of layers from the first on, as where nothing ran before.
    keras.utils.clear_session(free_memory=False)
    metrics = ["--metrics", "accuracy", "auc", "--objective", "auc"]
    printed = run_here(*source, "--tgt", photos, *size, *folders, *metrics, "--folds", "none")
    assert "Test AUC" in printed.out and "chosen by AUC" in printed.out and str(tmp_path / "exported") in printed.out
    profile = kdefrost.DefrostProfile.load(tmp_path / "out" / "profile.json")
    assert profile.metrics == ["auc", "accuracy"] and len(profile.trials) == 4
    test = kdefrost.load_data(photos, image_size=32).test
    outputs = keras.models.load_model(tmp_path / "exported" / "model.keras").predict(np.asarray(test.images), verbose=0)
    accuracy = np.mean(outputs.argmax(axis=1) == test.labels)
    assert accuracy == profile.best_trial(3).test["accuracy"]
    assert "ant, bee, wasp" in (tmp_path / "exported" / "model_card.md").read_text()


def test_a_folder_of_few_images_is_used_whole(photos, users_model, run_here, tmp_path):
    """As a user types it, with nothing said of sizes: folds choose, and the exported model has seen all images."""
    users_model.save(tmp_path / "mine.keras")
    source = ["--src", tmp_path / "mine.keras"]
    command = [*source, "--tgt", photos, "--epochs", "2", "--out", tmp_path / "out", "--export", tmp_path / "exported"]
    cuts = ["--cuts", "1", "2"]
    printed = in_one_line(run_here(*command, *cuts).out)
    images = len(kdefrost.load_data(photos, image_size=16, test_share=0).train.labels)
    assert "all images serve to train and to choose, by 3 folds" in printed
    assert f"{images} to train and to choose the cut on" in printed and f"all {images} examples" in printed
    profile = kdefrost.DefrostProfile.load(tmp_path / "out" / "profile.json")
    assert profile.folds == 3 and profile.per_class == [None] and profile.reported_on == "validation"
    assert f"is that of cut {profile.best_cut().index}, the best mean." in printed
    card = (tmp_path / "exported" / "model_card.md").read_text()
    assert f"all {images} examples" in card and "held-out folds" in card and "has no score of its own" in card
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"{images} examples that the folds held out in turn" in report
    both = run_here(*command, *cuts, "--tails", "both", "--folds", "2", "--export", tmp_path / "exported").out
    assert "Side by side" in both and "pretrained tails" in both
    assert {"new", "pretrained", "compare.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    held_out = run_here(*command, *cuts, "--folds", "none", "--per-class", "3", "--out", tmp_path / "held")
    held_out = in_one_line(held_out.out)
    assert "to choose the cut on" in held_out and "to test on" in held_out and "serve to train" not in held_out


def test_readmes_lines_for_a_users_own_model_and_folder(photos, users_model, tmp_path, monkeypatch):
    """The very lines, run where a model and a folder of those names are."""
    section = (PROJECT / "README.md").read_text().split("## Your own model and images")[1]
    lines = section.split("```python\n")[1].split("```")[0]
    assert len([line for line in lines.splitlines() if line and not line.startswith("import")]) <= 8
    monkeypatch.chdir(tmp_path)
    users_model.save("my_model.keras")
    names = {}
    exec(lines, names)
    profile, model = names["profile"], names["model"]
    loaded = keras.models.load_model("saved_models/photos/model.keras")
    data = names["data"]
    assert data.test is None and profile.folds == 3 and profile.configuration["examples"] == len(data.train.labels)
    outputs = [each.predict(np.asarray(data.train.images), verbose=0) for each in (model, loaded)]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert outputs[0].shape == (len(data.train.labels), 3)


@pytest.fixture
def users_model():
    """A model as many users build theirs: rescaling, a base model, and a classifier."""
    base = tiny(1, 1, classes=10, input_shape=(16, 16, 3))
    base = keras.Model(base.input, base.get_layer("pool").output, name="base")
    inputs = keras.Input((16, 16, 3))
    x = base(keras.layers.Rescaling(1 / 127.5, -1.0)(inputs), training=False)
    return keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(x))


def test_two_devices_share_the_work(run_here, tmp_path, monkeypatch, two_devices):
    """From a source that is trained to a model that is exported."""
    used, fit = [], kdefrost.training.fit
    monkeypatch.setattr(
        kdefrost.training, "fit", lambda model, *args, **kwargs: (used.append(model), fit(model, *args, **kwargs))
    )
    folders = ["--out", tmp_path / "out", "--export", tmp_path / "exported"]
    # The tails of both cuts have a batch normalisation.
    run_here("--src", "isogm", *SMALL, "--cuts", "0", "1", *folders, "--devices", "CPU:0", "CPU:1")
    assert [model.distribute_strategy.num_replicas_in_sync for model in used] == [2] * 3
    assert len(kdefrost.DefrostProfile.load(tmp_path / "out" / "profile.json").trials) == 2
    assert '"synchronized": false' in keras.models.load_model(tmp_path / "exported" / "model.keras").to_json()


def test_dry_run_says_what_would_run_and_writes_nothing(run_here, tmp_path):
    source = tmp_path / "source.keras"
    kdefrost.wide_resnet(10, 1, classes=10, input_shape=(8, 8, 1)).save(source)
    # At the cuts after the first: 3.1, 3.1, 1.6 and 0.2 MiB.
    size = ["--preset", "smoke", "--memory", "0.002"]
    printed = run_here("--src", source, *size, "--out", tmp_path / "out", "--dry-run").out
    assert "The last layer is taken for the output layer" in printed
    for word in ("20 trials", "TFLOP", "group2_block1", "features", "MiB", "GFLOP/s", "Profile: about"):
        assert word in printed
    places = [line.split("MiB")[1].strip() for line in printed.splitlines() if "MiB" in line]
    assert places[0] == "the images themselves" and places[3:] == ["in memory", "in memory"]
    assert set(places[1:3]) <= {"on disk", "no, again from the images", "no, again from cut 1"}
    assert not (tmp_path / "out").exists()


def test_dry_run_counts_the_autoencoder_of_a_clone(run_here):
    flops = load_script("profile.py").__globals__["autoencoder_flops"]
    data, preset = kdefrost.load_data("digits"), kdefrost.PRESETS["smoke"]
    assert flops("gm", data, preset) == 0
    # Convolutions of the encoder, by kernel and positions; those of the decoder are as many.
    convolutions = 9 * (1 * 32 * 16 + 32 * 32 * 16 + 32 * 64 * 4 + 64 * 64 * 4 + 64 * 64 * 1)
    assert flops("ae5", data, preset) == 6 * 2 * (convolutions + 64 * 5) * 2 * 1437
    printed = run_here("--src", "ae5", *SMALL, "--cuts", "1", "2", "--dry-run").out
    assert "Autoencoder: about" in printed and "Source: about" in printed


def test_from_an_autoencoder_clone_to_an_exported_model(run_here, tmp_path):
    out, exported = tmp_path / "out", tmp_path / "exported"
    printed = run_here("--src", "ae2", *SMALL, "--cuts", "1", "2", "--out", out, "--export", exported).out
    assert "The source sees the images that choose the cut" in printed and "Source ae2-digits: test" in printed
    profile = kdefrost.DefrostProfile.load(out / "profile.json")
    assert len(profile.trials) == 2 and profile.configuration["source_name"] == "ae2"
    kept = {path.parent.name for path in (tmp_path / "saved_models").glob("*/*/manifest.json")}
    assert len(kept) == 3 and (exported / "model.keras").exists()


def test_an_interrupt_ends_in_a_sentence(monkeypatch):
    main = load_script("profile.py")
    monkeypatch.setattr(sys, "argv", ["profile.py", "--src", "gm"])
    monkeypatch.setitem(main.__globals__, "run", lambda arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit, match="Finished trials and sources are kept"):
        main()


def test_help_teaches():
    result = run("--help")
    assert result.returncode == 0
    for word in ("examples:", "--src gm --tgt cifar10", "--dry-run", "only the trials that are missing run"):
        assert word in result.stdout


@pytest.mark.parametrize("name", ["clones.py", "compare.py", "comply.py", "profile.py", "similarity.py"])
def test_scripts_find_kdefrost_and_leave_pythons_own_profile_module_alone(name, tmp_path):
    """Its head, run from another folder."""
    head = (PROJECT / "scripts" / name).read_text().split("from kdefrost_commands")[0]
    copy = PROJECT / "scripts" / f"_head_{tmp_path.name}_{name}"
    what = "cProfile.__file__, profile.__file__, importlib.util.find_spec('kdefrost').origin"
    copy.write_text(f"{head}import cProfile, profile, importlib.util\nprint({what}, sep='\\n')\n")
    try:
        result = run(script=copy, cwd=tmp_path)
    finally:
        copy.unlink()
    assert result.returncode == 0, result.stderr
    *pythons, package = result.stdout.splitlines()
    assert str(PROJECT) not in "".join(pythons) and package == str(PROJECT / "kdefrost" / "__init__.py")


def test_readme_names_the_commands_that_are_run():
    readme = (PROJECT / "README.md").read_text()
    for command in ("python scripts/profile.py --src gm --tgt digits", "python -m pytest"):
        assert command in readme
    assert json.loads((PROJECT / "docs" / "gm-cifar10" / "profile.json").read_text())["trials"]


def test_tuning_is_planned_with_all_recipes(run_here, tmp_path):
    source = tmp_path / "source.keras"
    tiny(1, 1, classes=10, input_shape=(8, 8, 1)).save(source)
    command = ["--src", source, "--tgt", "digits", *SMALL[:2], *SMALL[4:], "--cuts", "1", "pool", "--folds", "2"]
    command += ["--tune", "--out", tmp_path / "out"]
    # 12 recipes at both cuts, with two folds each.
    assert "\n48 trials, " in run_here(*command, "--dry-run").out
