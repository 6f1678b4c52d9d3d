"""What all tests share: the seed, the plot backend, tiny networks and tiny data."""

import copy
import math
import multiprocessing
import os
import runpy
import sys
import textwrap
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As the scripts do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from matplotlib import pyplot

import kdefrost

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = kdefrost.Recipe(epochs=3, batch_size=8)
# How many files each test of a reader makes; more of them, and others each time, where the environment says so.
_FUZZES = os.environ.get("KDEFROST_FUZZ")
FUZZED = settings(
    max_examples=int(_FUZZES or 2000),
    derandomize=_FUZZES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
matplotlib.use("agg")
# A second device for distribution strategies, on the same cores.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# Files that take longest. Were one of them dealt out last, a single process would work on it to the end.
FIRST = (
    "test_tour.py",
    "test_scripts.py",
    "test_architectures.py",
    "test_optimizers.py",
    "test_benches.py",
    "test_cluster.py",
    "test_search.py",
    "test_coupling.py",
    "test_folds.py",
    "test_export.py",
    "test_examples.py",
    "test_layerwise.py",
    "test_fuzzed_images.py",
    "test_half_precision.py",
    "test_imagenet.py",
    "test_experiment.py",
    "test_fuzzed_results.py",
)


def pytest_collection_modifyitems(items):
    """Puts the files that take longest before all others, so that processes end together."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    """Matplotlib warns of many, in whichever test comes to draw one more."""
    yield
    pyplot.close("all")


@pytest.fixture(scope="session")
def two_devices():
    """A strategy of two replicas, one on each device."""
    # The only one of several replicas that a process may train under; also that of `--devices`.
    return kdefrost.devices.strategy_for(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def forking():
    """A context of processes as new interpreters that have imported TensorFlow, which takes most of their time.

    They begin as those of `spawn` do, with what is pickled for them, as copies of a process that has done nothing else.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["keras", "tensorflow", "sklearn.model_selection", "scipy.stats", "matplotlib.pyplot"]
    )
    return context


@pytest.fixture(scope="session")
def start(forking, tmp_path_factory):
    """Starts a process that runs a program's text, in which the names that are given are defined."""

    def start(program, **names):
        path = tmp_path_factory.mktemp("program") / "program.py"
        path.write_text(textwrap.dedent(program))
        process = forking.Process(target=runpy.run_path, args=(str(path), names, "__main__"))
        process.start()
        return process

    return start


def load_script(name: str, **constants):
    """The `main` of a script's command, without starting an interpreter, with some of its constants replaced."""
    path = PROJECT / "scripts" / "program" / "kdefrost_commands" / name
    # Of measurements, the script itself.
    path = path if path.exists() else PROJECT / "scripts" / name
    namespace, folders = {"__name__": "script", "__file__": str(path)}, list(sys.path)
    # Where Python looks first when it runs a script.
    sys.path.insert(0, str(path.parent))
    exec(compile(path.read_text(), path, "exec"), namespace)
    sys.path[:] = folders
    namespace.update(constants)
    return namespace["main"]


@pytest.fixture(scope="session")
def cifar10():
    """The real CIFAR-10, where it is prepared: `TFDS_DATA_DIR` names the folder."""
    import tensorflow_datasets as tfds

    if not tfds.builder("cifar10", try_gcs=False).is_prepared():
        pytest.skip("CIFAR-10 is not prepared; TFDS_DATA_DIR names the folder where it is.")
    return kdefrost.load_data("cifar10")


@pytest.fixture(scope="session")
def residual():
    """A residual network on 8×8×1 images of three classes, which no test changes."""
    keras.utils.set_random_seed(0)
    model = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))
    before, trained = model.get_weights(), len(model.trainable_variables)
    yield model
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
    assert len(model.trainable_variables) == trained and not model.compiled


@pytest.fixture(scope="session")
def residual_cuts(residual):
    """Its cuts 0 to 4, for results that are made up."""
    return tuple(kdefrost.cut_points(residual))


@pytest.fixture
def plain():
    """A plain sequential network on 8×8×1 images of three classes."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", name="first"),
            layers.ReLU(name="first_relu"),
            layers.Conv2D(6, 3, strides=2, name="second"),
            layers.BatchNormalization(name="second_bn"),
            layers.ReLU(name="second_relu"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="third"),
        ]
    )


@pytest.fixture(scope="session")
def small():
    """A sequential source of cuts 0, 1 and 2 for 8×8×1 images, whose tails are traced fast; the same each time."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(6, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="session")
def tapering():
    """A sequential source of cuts 0 to 4 for 8×8×1 images, each tail cheaper than the one before and traced fast."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.Conv2D(4, 3, strides=2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(12, activation="relu"),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="session")
def branched():
    """A source with a shortcut and, by layers, cuts 0 to 3: two tensors cross 2, with normalisations on either side."""
    keras.utils.set_random_seed(0)
    layers, inputs = keras.layers, keras.Input((8, 8, 1))
    first = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(first))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Add()([first, x])))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs)


def tiny(depth, width, classes, input_shape):
    """A convolution and a residual block; in `kdefrost.MODELS`, a network to train by name where any would do."""
    layers = keras.layers
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(inputs)
    y = layers.Conv2D(8, 3, padding="same", name="block_conv1")(x)
    y = kdefrost.models.BatchNormalization(name="block_bn")(y)
    y = layers.ReLU(name="block_relu")(y)
    y = layers.Conv2D(8, 3, padding="same", name="block_conv2")(y)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="block")([x, y]))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="output")(x))


@pytest.fixture(scope="session")
def easy():
    """Sets of 8×8×1 images of three classes that differ in brightness, which nothing can change."""
    return {"train": make_easy(60, 0), "test": make_easy(45, 1)}


def make_easy(size: int, seed: int):
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    images = (rng.normal(size=(size, 8, 8, 1)) + labels[:, None, None, None]).astype("float32")
    for array in (images, labels):
        array.flags.writeable = False
    return images, labels


@pytest.fixture(scope="session")
def run_profile(small, easy):
    """Runs a small profile; arguments replace the defaults."""

    def run(cuts=(1, 2), directory=None, recipe=RECIPE, source=small, **arguments):
        own = ("memory_budget", "feature_dtype", "loss", "features")
        options = {name: arguments.pop(name) for name in own if name in arguments}
        defroster = kdefrost.Defroster(source, recipe=recipe, cuts=cuts, directory=directory, **options)
        defaults = {**easy, "per_class": [2, 5], "seeds": 2, "verbose": False}
        return defroster.profile(**{**defaults, **arguments})

    return run


@pytest.fixture(scope="session")
def whole(run_profile):
    """The profile of all cuts."""
    return run_profile(cuts="blocks")


def scores_of(profile, cuts=None):
    """The scores of a profile's trials by their keys, at some cuts or at all."""
    return {trial.key: (trial.test, trial.validation) for trial in profile.trials if cuts is None or trial.cut in cuts}


def damaged(whole: bytes):
    """Files that were this one, cut off, with bits flipped, or with others put in, left out or replaced; or another."""
    place, some = st.integers(0, len(whole) - 1), st.binary(max_size=24)

    def flipped(bits):
        content = bytearray(whole)
        for at, bit in bits:
            content[at] ^= 1 << bit
        return bytes(content)

    def replaced(start, count, content):
        return whole[:start] + content + whole[start + count :]

    return (
        st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=3).map(flipped)
        | st.builds(replaced, place, st.integers(0, 64), some)
        | place.map(lambda end: whole[:end])
        | st.binary(max_size=200)
    )


# What may stand in the place of a value of JSON.
_NUMBERS = [-1, 0, 1, 2, 10**30, -(10**400), 0.5, math.nan, math.inf, -math.inf]
JUNK = st.sampled_from([None, True, *_NUMBERS, "", "x", "min", [], {}, [[]], [1], {"a": 1}, ["x"]])


def places_in(value, above=()):
    """The places of all values inside one of JSON, each as the keys and numbers that lead there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*above, key)
        yield from places_in(each, (*above, key))


def edited(values, place, change, junk):
    """Values of JSON with one of them left out, there twice or another; the same where there is none at the place."""
    values, junk = copy.deepcopy(values), copy.deepcopy(junk)
    inside = values
    try:
        for key in place[:-1]:
            inside = inside[key]
        before = inside[place[-1]]
    except (KeyError, IndexError, TypeError):
        return values
    # Of a text that another change put there, no part can be changed.
    if not isinstance(inside, (dict, list)):
        return values
    if change == "drop":
        del inside[place[-1]]
    elif change == "repeat" and isinstance(inside, list):
        inside.insert(place[-1], before)
    elif change == "add" and isinstance(before, dict):
        before["x"] = junk
    elif change == "scale" and isinstance(before, (int, float)):
        inside[place[-1]] = before * 10**6 if isinstance(before, int) else before * 1e300
    else:
        inside[place[-1]] = junk
    return values
