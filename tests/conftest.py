"""What all tests share: the seed, the plot backend, tiny networks and tiny data."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As the scripts do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf

import kdefrost

PROJECT = Path(__file__).resolve().parent.parent
matplotlib.use("agg")
# A second device for distribution strategies, on the same cores.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def two_devices():
    """A strategy of two replicas, one on each device."""
    # The only one of several replicas that a process may train under; also that of `--devices`.
    return kdefrost.devices.strategy_for(["CPU:0", "CPU:1"])


def load_script(name: str, **constants):
    """A script's `main`, without starting an interpreter, with some of its constants replaced."""
    path = PROJECT / "scripts" / name
    namespace, folders = {"__name__": "script", "__file__": str(path)}, list(sys.path)
    # Where Python looks first when it runs a script, and then, once the script's head has seen to it.
    sys.path[:0] = [str(path.parent), str(PROJECT)]
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


@pytest.fixture
def residual():
    """A residual network on 8×8×1 images of three classes."""
    return kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))


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


def make_small():
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


@pytest.fixture
def easy():
    """Sets of 8×8×1 images of three classes that differ in brightness."""
    return {name: make_easy(size, seed) for seed, (name, size) in enumerate({"train": 60, "test": 45}.items())}


def make_easy(size: int, seed: int):
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    images = rng.normal(size=(size, 8, 8, 1)) + labels[:, None, None, None]
    return images.astype("float32"), labels
