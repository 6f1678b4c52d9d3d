"""Export: what is written gives the model's outputs, where kdefrost is not."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny
from PIL import Image, ImageOps

import kdefrost
from kdefrost.data.image_files import ImageFiles
from kdefrost.export import model_card

RECIPE = kdefrost.Recipe(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def trained(easy):
    """A model, the profile that it is the best of, and the sets."""
    keras.utils.set_random_seed(0)
    sets = {name: (x * 9 + 4, y) for name, (x, y) in easy.items()}
    source = kdefrost.standardized(tiny(1, 1, classes=3, input_shape=(8, 8, 1)), sets["train"][0])
    defroster = kdefrost.Defroster(source, recipe=RECIPE, cuts=[1, 2])
    profile = defroster.profile(**sets, per_class=[5, 10], seeds=2, verbose=False)
    return defroster.best_model(profile, per_class=10), profile, sets


# First by TensorFlow, then by Keras.
_ELSEWHERE = """
import sys
import numpy as np
images = np.load(sys.argv[1])
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[2])
outputs = [loaded.serve(images).numpy(), loaded.serve(images[:1]).numpy()]
import keras
model = keras.models.load_model(sys.argv[2] + "/model.keras")
outputs += [model.predict(images, verbose=0), model.predict(images[:1], verbose=0)]
assert "kdefrost" not in sys.modules
np.savez(sys.argv[3], *outputs)
"""


def test_reloaded_elsewhere_it_scores_what_the_profile_says(trained, tmp_path):
    model, profile, sets = trained
    folder = kdefrost.export(model, tmp_path / "mine", profile, per_class=10, class_names=["a", "b", "c"])
    x, y = sets["test"]
    np.save(tmp_path / "images.npy", x)
    arguments = [tmp_path / "images.npy", folder, tmp_path / "outputs.npz"]
    script = [sys.executable, "-c", _ELSEWHERE, *map(str, arguments)]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "outputs.npz") as outputs:
        of_tensorflow, of_keras = [outputs["arr_0"], outputs["arr_1"]], [outputs["arr_2"], outputs["arr_3"]]
    for whole, single in (of_tensorflow, of_keras):
        assert np.mean(whole.argmax(axis=1) == y) == profile.best_trial(10).test["accuracy"]
        np.testing.assert_allclose(whole, model(x), atol=1e-5)
        np.testing.assert_allclose(single, whole[:1], atol=1e-5)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_card_says_what_the_model_is(trained, tmp_path):
    model, profile, _ = trained
    folder = kdefrost.export(model, tmp_path / "mine", profile, class_names=["a", "b", "c"])
    card = (folder / "model_card.md").read_text()
    cut, trial = profile.best_cut(10), profile.best_trial(10)
    for words in (
        "float32 `(batch, 8, 8, 1)`, gives float32 `(batch, 3)`",
        "Classes, in order: a, b, c.",
        f"{cut.index}, after `{cut.name}`",
        f"10 per class, seed {trial.seed} of 0, 1",
        "accuracy on the test set",
        f"{100 * trial.test['accuracy']:.1f} %",
        profile.configuration["source"],
        f"keras {keras.__version__}",
    ):
        assert words in card


@pytest.mark.parametrize(("channels", "mode"), [(1, "grayscale"), (3, "rgb")])
def test_the_card_reads_a_photograph_as_a_folder_is_read(tmp_path, channels, mode):
    inputs = keras.Input((8, 6, channels))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    notes, rng = Image.Exif(), np.random.default_rng(0)
    notes[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (30, 50, 3)).astype(np.uint8)).save(tmp_path / "1.jpg", exif=notes)
    lines = model_card(model).split("```python\n")[1].split("```")[0]
    known = {"Image": Image, "ImageOps": ImageOps, "np": np, "file": tmp_path / "1.jpg"}
    exec(lines, known)
    expected = ImageFiles(tmp_path, ["1.jpg"], (8, 6), mode)
    np.testing.assert_array_equal(known["images"], expected)
    assert known["images"].dtype == np.float32


def test_a_card_of_a_model_that_takes_no_images_reads_none():
    inputs = keras.Input((8,))
    assert "Image" not in model_card(keras.Model(inputs, keras.layers.Dense(2)(inputs)))


def test_any_model_is_exported_without_layers_of_kdefrosts(tmp_path):
    folder = kdefrost.export(tiny(1, 1, classes=3, input_shape=(8, 8, 1)), tmp_path / "mine")
    loaded = keras.models.load_model(folder / "model.keras")
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}


def test_an_earlier_export_is_replaced_and_nothing_else(plain, tmp_path):
    folder = kdefrost.export(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path / "mine")
    kdefrost.export(plain, folder)
    assert "second" in [layer.name for layer in keras.models.load_model(folder / "model.keras").layers]
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="`path` must be a new folder, or one of an earlier export"):
        kdefrost.export(plain, tmp_path / "other")


@keras.saving.register_keras_serializable(package="test")
class _Forgetful(keras.layers.Layer):
    """A layer whose file lacks what it computes with."""

    factor = 1.0

    def call(self, inputs):
        return inputs * self.factor

    @classmethod
    def from_config(cls, config):
        layer = super().from_config(config)
        layer.factor = cls.factor
        cls.factor += 1.0
        return layer


def test_outputs_that_differ_are_refused_and_nothing_is_left(tmp_path):
    model = keras.Sequential([keras.Input((3,)), _Forgetful(), keras.layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"`model` cannot be exported: the (SavedModel|\.keras file) .* gives other outputs"
    ):
        kdefrost.export(model, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_augmentation_inside_the_model_does_nothing_in_what_is_exported(tmp_path):
    layers = keras.layers
    augment = [layers.RandomFlip(), layers.RandomRotation(0.4), layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *augment, layers.Flatten(), layers.Dense(2)])
    folder = kdefrost.export(model, tmp_path / "mine")
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    loaded = tf.saved_model.load(folder)
    np.testing.assert_allclose(loaded.serve(x), model(x, training=False), atol=1e-5)


class _Doubling(keras.layers.Layer):
    """A layer of a user's own, unknown to Keras."""

    def call(self, inputs):
        return 2 * inputs


def test_layers_of_the_users_own_and_functions_are_exported_and_named(tmp_path):
    layers = [_Doubling(), keras.layers.Lambda(lambda x: x + 1, output_shape=(3,)), keras.layers.Dense(2)]
    folder = kdefrost.export(keras.Sequential([keras.Input((3,)), *layers]), tmp_path / "mine")
    assert "not its own, to load it: _Doubling." in (folder / "model_card.md").read_text()


def test_places_in_a_table_are_probed_within_it(tmp_path):
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Embedding(5, 3)(inputs))))
    folder = kdefrost.export(model, tmp_path / "mine")
    places = np.array([[0, 1, 4, 2]], "int32")
    np.testing.assert_allclose(keras.models.load_model(folder / "model.keras")(places), model(places), atol=1e-6)


def test_a_card_says_when_its_scores_chose(trained):
    model, profile, _ = trained
    assert "which flatters them" in kdefrost.export.__globals__["model_card"](model, profile)


def test_class_names_are_as_many_as_outputs(plain, tmp_path):
    with pytest.raises(ValueError, match=r"`class_names` must be 3, one for each output. Received: \['a'\]"):
        kdefrost.export(plain, tmp_path / "mine", class_names=["a"])
