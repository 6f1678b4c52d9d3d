"""What an exported model says of itself: read back by TensorFlow and from the archive, it is what the model gives."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.signature import output_name

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
NAMES = ["cat", "Größe ж 猫", "two\nlines, and a comma"]


def _ending(units: int, activation: str | None) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation)])


def _named(folder, x=X) -> dict:
    """The outputs of the signature."""
    loaded = tf.saved_model.load(folder)
    return {name: value.numpy() for name, value in loaded.signatures["serving_default"](tf.constant(x)).items()}


def _metadata(folder) -> dict:
    with zipfile.ZipFile(folder / "model.keras") as archive:
        assert archive.testzip() is None
        return json.loads(archive.read("metadata.json"))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_and_class_names_are_read_back(activation, tmp_path):
    model = _ending(3, activation)
    folder = kdefrost.export(model, tmp_path / "mine", class_names=NAMES)
    for x in (X, X[:1]):
        named = _named(folder, x)
        assert named.keys() == {"probabilities", "class_names"}
        np.testing.assert_allclose(named["probabilities"], model.predict(x, verbose=0), atol=1e-6)
        assert [[name.decode() for name in row] for row in named["class_names"]] == [NAMES] * len(x)
    metadata = _metadata(folder)
    assert metadata["keras_version"] == keras.__version__
    assert (metadata["output"], metadata["class_names"], metadata["preprocessing"]) == ("probabilities", NAMES, None)
    # The file still loads where no code may run.
    loaded = keras.models.load_model(folder / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_a_model_of_one_output_has_a_column_for_each_of_two_classes(activation, tmp_path):
    model = _ending(1, activation)
    folder = kdefrost.export(model, tmp_path / "mine", class_names=["no", "yes"])
    named, expected = _named(folder), model.predict(X, verbose=0)
    assert named["class_names"].tolist() == [[b"no", b"yes"]] * 4
    if activation is None:
        # Of logits, such that a softmax gives what a sigmoid would.
        probabilities, expected = keras.ops.softmax(named["outputs"]), keras.ops.sigmoid(expected)
    else:
        probabilities = named["probabilities"]
    np.testing.assert_allclose(probabilities, np.hstack([1 - expected, expected]), atol=1e-6)
    loaded = tf.saved_model.load(folder)
    np.testing.assert_allclose(loaded.serve(X), model.predict(X, verbose=0), atol=1e-6)


def test_a_regression_has_outputs_alone(tmp_path):
    model = _ending(2, None)
    folder = kdefrost.export(model, tmp_path / "mine")
    named = _named(folder)
    assert named.keys() == {"outputs"}
    np.testing.assert_allclose(named["outputs"], model.predict(X, verbose=0), atol=1e-6)
    assert _metadata(folder)["output"] == "outputs" and _metadata(folder)["class_names"] is None


@pytest.mark.parametrize(("channels", "mode"), [(1, "grayscale"), (3, "rgb")])
def test_metadata_say_how_images_are_read(channels, mode, tmp_path):
    layers = [keras.Input((6, 8, channels)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    folder = kdefrost.export(keras.Sequential(layers), tmp_path / "mine")
    said = _metadata(folder)["preprocessing"]
    assert (said["height"], said["width"], said["color_mode"], said["values"]) == (6, 8, mode, [0, 255])


def test_bytes_that_are_no_text_are_written_out(tmp_path):
    folder = kdefrost.export(_ending(2, "softmax"), tmp_path / "mine", class_names=["caf\udce9", 7])
    assert _metadata(folder)["class_names"] == ["caf\\udce9", "7"]
    assert _named(folder)["class_names"][0].tolist() == [b"caf\\udce9", b"7"]


def _fixed_batch():
    inputs = keras.Input(batch_shape=(4, 6))
    x = keras.ops.reshape(inputs, (4, 3, 2))
    return keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(x)))


def _passing_on():
    """Of two inputs of a nested model, the one that it gives on holds probabilities."""
    inputs, other = keras.Input((2,)), keras.Input((2,))
    nested = keras.Model([other, inputs], keras.layers.Flatten()(inputs))
    taken = keras.Input((3,))
    outputs = nested([keras.layers.Dense(2)(taken), keras.layers.Dense(2, "softmax")(taken)])
    return keras.Model(taken, outputs)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Softmax()]), "probabilities"),
        (lambda: keras.Sequential([keras.Input((3,)), _ending(2, "softmax")]), "probabilities"),
        (
            lambda: keras.Sequential(
                [keras.Input((3,)), keras.layers.Dense(2, "softmax"), keras.layers.Activation("linear")]
            ),
            "probabilities",
        ),
        (_passing_on, "probabilities"),
        (_fixed_batch, "probabilities"),
        (lambda: _ending(2, "tanh"), "outputs"),
        (lambda: keras.Sequential([keras.Input((3,)), keras.layers.Flatten()]), "outputs"),
    ],
    ids=["a layer", "nested", "then linear", "nested, passing on", "a fixed batch", "tanh", "no numbers made"],
)
def test_probabilities_are_known_by_how_a_model_ends(model, name):
    assert output_name(model()) == name
