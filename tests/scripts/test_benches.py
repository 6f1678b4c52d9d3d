"""The measurements of scripts/bench.py, at sizes that say nothing of speed."""

import dataclasses
import importlib
import json
import os
import sys

import keras
import numpy as np
import pytest
from conftest import PROJECT, load_script

import kdefrost
from kdefrost.cutting.graph import Graph

# The scripts are no package that is installed.
sys.path.append(str(PROJECT))
growth, in_kdefrost, in_keras, profile, soak, tasks, trials, work = (
    importlib.import_module(f"scripts.benches.{name}")
    for name in ("growth", "in_kdefrost", "in_keras", "profile", "soak", "tasks", "trials", "work")
)
TINY = tasks.Task(
    "wide_resnet_10_1",
    "digits",
    per_class=2,
    drawn_from=4,
    test_per_class=2,
    cuts=2,
    epochs=1,
    seeds=2,
    clone_per_class=2,
    clone_epochs=1,
)


def work_with(source: keras.Model) -> work.Work:
    """The work of a profile of the two ends on 8×8 images."""
    rng = np.random.default_rng(0)
    train, test = ((rng.normal(size=(count, 8, 8, 3)).astype("float32"), np.arange(count) % 3) for count in (18, 12))
    return work.Work(source, train, test, ("image", "pool"), "pool", per_class=4, seeds=1, epochs=1)


@pytest.fixture
def small():
    """Work with a residual network."""
    return work_with(
        kdefrost.models.normalization.with_keras_layers(kdefrost.wide_resnet(10, 1, classes=5, input_shape=(8, 8, 3)))
    )


@pytest.fixture
def short():
    """Work with a network of one convolution."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, padding="same", name="conv1")(inputs))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    return work_with(keras.Model(inputs, layers.Dense(5, activation="softmax", name="output")(x)))


def run_of(way: str, number: int, seconds: list[float], scores: list, **others) -> dict:
    memory = {"loaded": 1_000_000_000, "peak": 1_250_000_000, "rate": 100.0}
    return {
        "way": way,
        "round": number,
        "seconds": dict(zip(profile.PARTS, seconds, strict=True)),
        "scores": scores,
    } | (memory | others)


@pytest.fixture
def results():
    """Made-up numbers of two ways in two rounds, of two cuts with one seed."""
    runs = [
        run_of("keras", 1, [20, 9, 3], [[0.5], [0.6]]),
        run_of("kdefrost", 1, [10, 3, 1], [[0.4], [0.6]], flops=[3e9, 20e9, 40e9]),
        run_of("keras", 2, [30, 9, 2], [[0.5], [0.6]], peak=1_500_000_000),
        run_of("kdefrost", 2, [10, 3, 2], [[0.4], [0.6]], flops=[3e9, 30e9, 30e9], rate=50.0),
    ]
    settings = {"cuts": ["image", "pool"], "last": "pool", "per_class": 64, "seeds": 1, "epochs": 20}
    return {"task": "wide_resnet_16_1", "settings": settings, "runs": runs}


def cells(text: str, first: str) -> list[list[str]]:
    """The rows of a text's tables that begin with a cell, without it."""
    rows = [[cell for cell in line.split("  ") if cell] for line in text.splitlines()]
    return [[cell.strip() for cell in row[1:]] for row in rows if row and row[0] == first]


def test_table_of_hand_computed_numbers(results):
    text = profile.report(results)
    seconds, ratios, rest = cells(text, "Keras, whole model")
    assert seconds == ["25.0 (20.0 to 30.0)", "9.00 (9.00 to 9.00)", "2.50 (2.00 to 3.00)"]
    # Within rounds: 20 / 10 and 30 / 10; 9 / 3 twice; 3 / 1 and 2 / 2.
    assert ratios == ["2.50 (2.00 to 3.00)", "3.00 (3.00 to 3.00)", "2.00 (1.00 to 3.00)"]
    # Differences of 10 and 0 points: their deviation is 10 / √2, and its error that over √2.
    assert rest == ["0.375 (0.250 to 0.500)", "1.00 (1.00 to 1.00)", "55.0", "+5.0 ± 5.0"]
    assert cells(text, "kdefrost")[-1][2:] == ["50.0"]
    # Without the first trials: 0.2 and 0.4 of 100 GFLOP/s, 0.6 and 0.6 of 50.
    assert text.endswith("(trials after the first, which compiles): 0.500 (0.200 to 0.600)")


def test_table_of_a_run_that_was_stopped_pairs_what_there_is(results):
    del results["runs"][3:]
    assert cells(profile.report(results), "Keras, whole model")[1][0] == "2.00 (2.00 to 2.00)"


def test_table_says_where_the_only_trial_compiles(results):
    for run in results["runs"][1::2]:
        run["flops"] = run["flops"][:1]
    assert "(the only trial, compiling included): 0.0450 (0.0300 to 0.0600)" in profile.report(results)


def test_table_of_other_ways_alone_has_no_ratios(results):
    del results["runs"][1::2]
    text = profile.report(results)
    assert "times kdefrost's" not in text and cells(text, "Keras, whole model")[-1][2:] == ["55.0"]


def check_outcome(outcome: dict, work):
    assert json.loads(json.dumps(outcome)) == outcome
    assert set(outcome["seconds"]) == set(profile.PARTS) and min(outcome["seconds"].values()) > 0
    assert np.shape(outcome["scores"]) == (len(work.cuts), work.seeds)
    # Of 12 test images.
    assert all(round(12 * score, 4) in range(13) for score in np.ravel(outcome["scores"]))
    assert outcome["peak"] > 0 and outcome["loaded"] > 0


@pytest.mark.parametrize("way", ["keras", "predict", "kdefrost"])
def test_ways_run_the_same_trials(short, way):
    before = short.source.get_weights()
    module, function = tasks.WAYS[way].module, tasks.WAYS[way].function
    outcome = getattr(importlib.import_module(f"scripts.benches.{module}"), function)(short)
    check_outcome(outcome, short)
    assert ("flops" in outcome) == (way == "kdefrost")
    assert all((old == new).all() for old, new in zip(before, short.source.get_weights(), strict=True))


@pytest.mark.parametrize("function", ["whole_model", "cached_features"])
def test_ways_by_hand_train_on_the_subsets_of_kdefrost(short, monkeypatch, function):
    taken = []
    monkeypatch.setattr(in_keras, "_train", lambda model, x, y, test, work: taken.append((x, y, test[0])) or 0.5)
    outcome = getattr(in_keras, function)(dataclasses.replace(short, cuts=("conv1",), seeds=3))
    assert outcome["scores"] == [[0.5, 0.5, 0.5]]
    conv1 = keras.Model(short.source.input, short.source.get_layer("conv1").output)
    for seed, (x, y, test_x) in enumerate(taken):
        rows = kdefrost.subset(short.train[1], 4, seed)
        images, test_images = short.train[0][rows], short.test[0]
        if function == "cached_features":
            images, test_images = (conv1.predict(part, verbose=0) for part in (images, test_images))
        assert (y == short.train[1][rows]).all()
        np.testing.assert_allclose(x, images, atol=1e-5)
        np.testing.assert_allclose(test_x, test_images, atol=1e-5)


def test_whole_model_by_hand_is_frozen_before_the_cut(small, monkeypatch):
    models = []
    monkeypatch.setattr(in_keras, "_train", lambda model, *others: models.append(model) or 0.5)
    in_keras.whole_model(dataclasses.replace(small, cuts=("group1_block1",)))
    frozen = [layer.name for layer in models[0].layers if not layer.trainable]
    assert frozen == [layer.name for layer in small.source.layers][: len(frozen)] and frozen[-1] == "group1_block1"
    for layer in models[0].layers[: len(frozen)]:
        weights = zip(layer.get_weights(), small.source.get_layer(layer.name).get_weights(), strict=True)
        assert all((new == old).all() for new, old in weights)
    later = [model.get_layer("group2_block1_conv1").kernel.numpy() for model in (models[0], small.source)]
    assert np.abs(later[0] - later[1]).max() > 0.1


def test_model_by_hand_has_new_weights_and_the_layers_of_the_source(small):
    source = small.source
    source.get_layer("final_bn").momentum = 0.99
    whole = in_keras.new_model(source, source.input, "pool", classes=3)
    assert [type(layer) for layer in whole.layers] == [type(layer) for layer in source.layers]
    assert whole.output_shape == (None, 3)
    kernels = [model.get_layer("conv1").kernel.numpy() for model in (whole, source)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    assert whole.get_layer("final_bn").momentum == 0.9
    tail = in_keras.new_model(source, source.get_layer("pool").output, "pool", classes=3)
    assert tail.count_params() == 64 * 3 + 3


def trained_like(model: keras.Model) -> keras.Model:
    """Gives normalisations statistics, scales and offsets as training would, which are no identity."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def mobilenet():
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False, pooling="avg")


def preprocessing():
    """Layers before a strided window of even size, on images of odd size."""
    layers = keras.layers
    statistics = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 1.0, 9.0])
    convolution = layers.Conv2D(4, 4, 2, "same")
    return keras.Sequential([keras.Input((9, 7, 3)), layers.Rescaling(0.5, -1.0), statistics, convolution])


@pytest.mark.parametrize("make", [lambda: kdefrost.wide_resnet(10, 1), mobilenet, preprocessing])
def test_converted_networks_give_the_same_numbers(make):
    torch = pytest.importorskip("torch")
    in_torch = importlib.import_module("scripts.benches.in_torch")
    model = trained_like(make())
    graph, images = Graph(model), np.random.default_rng(1).normal(size=(5, *model.input_shape[1:])).astype("float32")
    outputs = in_torch.infer(in_torch.Part(graph, graph.inputs[0], graph.outputs[0]), torch.from_numpy(images), 2)
    if "softmax" in str(model.layers[-1].get_config().get("activation")):
        outputs = outputs.softmax(dim=1)
    expected = model(images, training=False).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(outputs.numpy(), expected, atol=2e-4 * np.abs(expected).max())


def test_layers_without_conversion_are_refused():
    pytest.importorskip("torch")
    in_torch = importlib.import_module("scripts.benches.in_torch")
    graph = Graph(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(name="flat")]))
    with pytest.raises(ValueError, match="Layer `flat` \\(Flatten\\) has no conversion"):
        in_torch.Part(graph, graph.inputs[0], graph.outputs[0])


def test_torch_runs_the_same_trials(short):
    pytest.importorskip("torch")
    in_torch = importlib.import_module("scripts.benches.in_torch")
    check_outcome(in_torch.cached_features(short), short)


def test_torch_trains_as_kdefrost():
    """From the same weights, in few steps of a falling learning rate, each on all examples."""
    torch = pytest.importorskip("torch")
    in_torch = importlib.import_module("scripts.benches.in_torch")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 6)).astype("float32"), np.arange(12) % 3
    layers = keras.layers
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.ReLU(), layers.Dense(3, "softmax")])
    data = work.Work(model, (x, y), (x, y), (), "", per_class=4, seeds=1, epochs=5)
    graph = Graph(model)
    module = in_torch.Part(graph, graph.inputs[0], graph.outputs[0])
    kdefrost.training.compile_model(model, data.recipe)
    kdefrost.training.fit(model, x, y, data.recipe, seed=0)
    in_torch._train(module, torch.from_numpy(x), torch.from_numpy(y), data)
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).softmax(dim=1).detach(), model.predict(x, verbose=0), atol=1e-5
    )


def test_profile_in_processes_of_their_own(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(tasks.TASKS, "tiny", TINY)
    out = tmp_path / "raw.json"
    command = ["bench.py", "profile", "--task", "tiny", "--rounds", "1", "--ways", "kdefrost", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, "--cuts", "group2_block1", "pool", "--seeds", "1"])
    main = load_script("bench.py")
    main()
    printed = capsys.readouterr().out
    raw = json.loads(out.read_text())
    assert raw["settings"] == {
        "cuts": ["group2_block1", "pool"],
        "last": "pool",
        "per_class": 2,
        "seeds": 1,
        "epochs": 1,
    }
    (run,) = raw["runs"]
    assert np.shape(run["scores"]) == (2, 1) and run["rate"] > 0 and run["peak"] >= run["loaded"]
    assert "round 1 of 1, kdefrost:" in printed and profile.report(raw) in printed
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "--out: must be a new file" in capsys.readouterr().err


def test_what_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setitem(tasks.WAYS, "torch", dataclasses.replace(tasks.WAYS["torch"], needs="no_such_package"))
    assert profile.installed(["keras", "torch"]) == ["keras"]
    assert "PyTorch, cached features is left out: pip install no_such_package" in capsys.readouterr().out


def test_images_are_balanced_and_standardised(tmp_path):
    work.write_images(TINY, kdefrost.load_data("digits"), tmp_path)
    (x, y), (test_x, test_y) = work.read_images(tmp_path)
    assert np.bincount(y).tolist() == [4] * 10 and np.bincount(test_y).tolist() == [2] * 10
    assert x.dtype == test_x.dtype == np.float32 and abs(x.mean()) < 0.1 and abs(x.std() - 1) < 0.1


def test_straight_line_by_hand():
    constant, slope, deviation = growth.straight_line(np.array([1, 2, 4, 8]), np.array([5.0, 7.0, 11.0, 19.0]))
    np.testing.assert_allclose([constant, slope, deviation], [3, 2, 0], atol=1e-12)
    # The line through 1, 3 and 2 is 1.5 + 0.5 x: 1.5, 2 and 2.5 with 1, 3 and 2 at 0, 1 and 2.
    np.testing.assert_allclose(growth.straight_line(np.arange(3), np.array([1.0, 3.0, 2.0])), [1.5, 0.5, 0.5])


def made_up() -> list[dict]:
    """A profile that takes 2 s, and 1 s for each trial, and 0.1 s for each image per class; and more in round 2."""
    return [
        {
            "round": number,
            **size,
            "seconds": number * (2 + size["cuts"] * size["seeds"] + 0.1 * size["per_class"]),
            "feature_seconds": 0.5,
            "passes": 1.0,
        }
        for number in (1, 2)
        for size in growth.sizes()
    ]


def test_growth_is_varied_one_at_a_time():
    sizes = growth.sizes()
    assert len(sizes) == 10 and growth.USUAL in sizes
    assert all(sum(size[name] != growth.USUAL[name] for name in size) <= 1 for size in sizes)
    text = growth.report(made_up())
    # Medians are 1.5 times round 1: (2 + 3.2 + 2 cuts), (2 + 8 + 0.1 images) and (2 + 3.2 + 4 seeds).
    assert "7.80 s + 3 s per cut: at most 0.0 % off" in text
    assert "15.00 s + 0.15 s per image of each class: at most 0.0 % off" in text
    assert "7.80 s + 6 s per seed: at most 0.0 % off" in text


def test_growth_figure_shows_medians_and_ranges():
    from matplotlib import pyplot

    figure = growth.draw(made_up())
    cuts, *_ = figure.axes
    line, points = cuts.get_lines()[:2]
    np.testing.assert_allclose(points.get_ydata(), 1.5 * (5.2 + 2 * np.array([1, 2, 4, 8])))
    np.testing.assert_allclose(line.get_ydata(), points.get_ydata())
    (_, _, (bars,)) = cuts.containers[0]
    np.testing.assert_allclose(next(bar[:, 1] for bar in bars.get_segments()), [7.2, 14.4])
    labels = [ax.get_xlabel().splitlines()[0] for ax in figure.axes]
    assert labels == list(growth.LABELS.values()) and cuts.get_ylabel() == "time of the profile (s)"
    pyplot.close(figure)


def test_cuts_of_any_number_cost_alike():
    source = kdefrost.wide_resnet(16, 1)
    shares = {cut.name: cut.tail_share for cut in kdefrost.cut_points(source)}
    for count in growth.VARIED["cuts"]:
        names = growth.spread_cuts(source, count)
        assert len(names) == count and abs(np.mean([shares[name] for name in names]) - 0.5) < 0.06


def test_features_pass_once_whatever_the_number_of_cuts(residual, easy):
    with growth.feature_pass() as features:
        defroster = kdefrost.Defroster(residual, kdefrost.Recipe(epochs=1), cuts=["group2_block1", "pool"])
        defroster.profile(easy["train"], test=easy["test"], per_class=2, seeds=1, verbose=False)
    assert features["passes"] == pytest.approx(1, abs=0.01) and features["feature_seconds"] > 0


def test_trials_are_weighed_one_by_one():
    memories, seconds = trials.run_trials(kdefrost.wide_resnet(10, 1), ("group2_block1", "pool"), seeds=2)
    assert len(memories) == len(seconds) == 4 and min(memories) > 0 and min(seconds) > 0


@pytest.mark.parametrize(
    ("words", "rounds"), [([], [5, 5]), (["--rounds", "2"], [2, 2]), (["head", "--rounds", "3"], [3])]
)
def test_rounds_reach_the_measurements(monkeypatch, words, rounds):
    training, asked = importlib.import_module("scripts.benches.training"), []
    for name in ("bench_training", "bench_head"):
        monkeypatch.setattr(training, name, lambda rounds: asked.append(rounds))
    monkeypatch.setattr(sys, "argv", ["bench.py", *words])
    load_script("bench.py")()
    assert asked == rounds


def test_a_soak_finds_what_grows():
    looks = [{"trial": trial, "memory": 100 + trial / 50 * (trial > 20), "files": 7} for trial in range(10, 110, 10)]
    # As the last look is, when workers have ended, and the first ones, while tails are compiled.
    looks.append({"trial": 100, "memory": 0, "files": 0})
    assert soak.growth(looks, "memory") == pytest.approx(20) and soak.growth(looks, "files") == pytest.approx(0)


def test_a_soak_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    *looks, ended = soak.soak(20)
    assert [each["trial"] for each in looks] == [10, 20, *([] if ended["trial"] == 20 else [30])]
    assert ended["files"] <= before and ended["folder"] == 2
    assert "20 trials of one defroster in two runs, at once" in soak.say("at once", [*looks, ended])
