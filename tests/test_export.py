"""Export: what is written gives the model's outputs, where kdefrost is not."""

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
images = np.load(inputs)
import tensorflow as tf
loaded = tf.saved_model.load(folder)
outputs = [loaded.serve(images).numpy(), loaded.serve(images[:1]).numpy()]
import keras
model = keras.models.load_model(folder + "/model.keras")
outputs += [model.predict(images, verbose=0), model.predict(images[:1], verbose=0)]
assert "kdefrost" not in sys.modules
np.savez(saved, *outputs)
"""


def test_reloaded_elsewhere_it_scores_what_the_profile_says(trained, tmp_path, start):
    model, profile, sets = trained
    folder = kdefrost.export(model, tmp_path / "mine", profile, per_class=10, class_names=["a", "b", "c"])
    x, y = sets["test"]
    np.save(tmp_path / "images.npy", x)
    names = {"inputs": tmp_path / "images.npy", "folder": folder, "saved": tmp_path / "outputs.npz"}
    elsewhere = start(_ELSEWHERE, **{name: str(path) for name, path in names.items()})
    elsewhere.join()
    assert elsewhere.exitcode == 0
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


def _text_model():
    """Words that are looked up, of a vocabulary that `adapt` learnt."""
    inputs = keras.Input((1,), dtype="string")
    words = keras.layers.TextVectorization(output_sequence_length=5)
    words.adapt(["one good word", "and another good one"])
    x = keras.layers.Flatten()(keras.layers.Embedding(12, 3)(words(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2)(x)), np.array([["a good word"], ["another"], ["unknown"]], object)


def _string_lookup():
    lookup = keras.layers.StringLookup(num_oov_indices=0)
    lookup.adapt(["red", "green", "blue"])
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Embedding(3, 3)(lookup(inputs))))
    return model, np.array(["blue", "red"], object)


def _integer_lookup():
    lookup = keras.layers.IntegerLookup(num_oov_indices=0)
    lookup.adapt(np.array([[30, 70, 90]]))
    inputs = keras.Input((3,), dtype="int64")
    x = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(lookup(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2)(x)), np.array([[30, 90, 70]])


def _hashing():
    inputs = keras.Input((2,), dtype="string")
    x = keras.layers.Flatten()(keras.layers.Embedding(7, 2)(keras.layers.Hashing(7)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2)(x)), np.array([["any", "words"]], object)


def _adapted():
    inputs, values = keras.Input((4,)), np.random.default_rng(0).normal(3, 2, size=(50, 4))
    bins, scale = keras.layers.Discretization(num_bins=3), keras.layers.Normalization()
    for layer in (bins, scale):
        layer.adapt(values)
    x = keras.layers.Concatenate()([scale(inputs), keras.ops.cast(bins(inputs), "float32")])
    return keras.Model(inputs, keras.layers.Dense(2)(x)), values[:5].astype("float32")


def _uint8_resized():
    """Keras resizes whole numbers otherwise when it is called than in a graph, `predict`'s for one."""
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, -1)(keras.layers.Resizing(8, 8)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)), images


def _dense(shape=(3,), dtype="float32", layer_dtype="float32", batch=None, name="images"):
    inputs = keras.Input(batch_shape=(batch, *shape), dtype=dtype, name=name)
    x = keras.layers.Dense(4, activation="relu", dtype=layer_dtype)(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, dtype=layer_dtype)(x))


def _quantized():
    model = _dense()
    for layer in model.layers[1:]:
        layer.quantize("int8")
    return model, np.ones((2, 3), "float32")


def _of_one_batch():
    inputs = keras.Input(batch_shape=(4, 6))
    x = keras.ops.reshape(inputs, (4, 3, 2))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x))), np.ones((4, 6), "float32")


def _of_any_size():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(x)), np.ones((2, 9, 7, 3), "float32")


def _undefined():
    """Outputs that are no numbers are no difference."""
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.ops.log(keras.layers.Dense(2)(inputs) - 1e9)), np.ones((2, 3), "float32")


ANY = {
    "text": _text_model,
    "words": _string_lookup,
    "numbers that are looked up": _integer_lookup,
    "words that are hashed": _hashing,
    "adapted": _adapted,
    "uint8, resized": _uint8_resized,
    "bool": lambda: (_dense(dtype="bool"), np.array([[True, False, True]])),
    "int32": lambda: (_dense(dtype="int32"), np.array([[1, 20, -3]], "int32")),
    "bfloat16": lambda: (_dense(layer_dtype="bfloat16"), np.ones((2, 3), "float32")),
    "mixed float16": lambda: (_dense(layer_dtype="mixed_float16"), np.ones((2, 3), "float32")),
    "float64": lambda: (_dense(dtype="float64", layer_dtype="float64"), np.ones((2, 3))),
    "quantized": _quantized,
    "a fixed batch": _of_one_batch,
    "any size": _of_any_size,
    "letters": lambda: (_dense(name="bild größe"), np.ones((2, 3), "float32")),
    "undefined": _undefined,
}


def _python(card: str) -> str:
    """All code of a card."""
    return "\n".join(part.split("```")[0] for part in card.split("```python\n")[1:])


@pytest.mark.parametrize("name", ANY)
def test_whatever_keras_computes_is_exported_and_loads_as_the_card_says(name, tmp_path):
    model, values = ANY[name]()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "image.png")
    card = (kdefrost.export(model, tmp_path / "mine") / "model_card.md").read_text()
    known = {"folder": tmp_path / "mine", "file": tmp_path / "image.png", "texts": values.tolist()}
    known["images"] = tf.constant(values)
    exec(_python(card), known)
    expected = model.predict(known["images"], verbose=0, batch_size=len(values))
    np.testing.assert_allclose(known["outputs"].astype("float64"), expected.astype("float64"), atol=1e-6)
    of_tensorflow = known["loaded"].serve(known["images"]).numpy()
    np.testing.assert_allclose(of_tensorflow.astype("float64"), expected.astype("float64"), atol=1e-6)


class _Noisy(keras.layers.Layer):
    """A layer that draws numbers whenever it is called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.draws = keras.random.SeedGenerator(3)

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.draws)


def test_a_model_that_draws_numbers_is_not_compared(tmp_path):
    model = keras.Sequential([keras.Input((3,)), _Noisy(), keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match="gives other outputs each time that it is run"):
        folder = kdefrost.export(model, tmp_path / "mine")
    x, kernel = np.ones((20_000, 3), "float32"), model.layers[1].kernel.numpy()
    loaded = tf.saved_model.load(folder)
    for way in (loaded.serve, keras.models.load_model(folder / "model.keras", {"_Noisy": _Noisy})):
        np.testing.assert_allclose(np.asarray(way(x)).mean(axis=0), x[0] @ kernel, atol=0.05)


class _Losing(keras.layers.Layer):
    """A layer whose state is neither a variable nor in its configuration."""

    def __init__(self, shift=0.0, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, inputs):
        return inputs + self.shift


def test_what_a_file_loses_is_caught(tmp_path):
    model = keras.Sequential([keras.Input((3,)), _Losing(0.5), keras.layers.Dense(2)])
    model.layers[0].get_config = lambda: {"name": "losing", "shift": 0.0}
    with pytest.raises(ValueError, match=r"the \.keras file that was written gives other outputs"):
        kdefrost.export(model, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


class _Untold(keras.layers.Layer):
    """A layer whose configuration lacks an argument of its constructor."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(shape=(3, units), name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel

    def get_config(self):
        return keras.layers.Layer.get_config(self)


class _Silent(keras.layers.Layer):
    """A layer that refuses to be saved."""

    def call(self, inputs):
        return 2 * inputs

    def get_config(self):
        raise NotImplementedError("no configuration")


def _saved_model_layer(tmp_path):
    _dense().export(tmp_path / "inner", verbose=False)
    return keras.layers.TFSMLayer(tmp_path / "inner", call_endpoint="serve")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda _: _Untold(4, name="untold"), r"cannot load again this model \(TypeError"),
        (lambda _: _Silent(), r"cannot write this model \(NotImplementedError: no configuration\)"),
        (_saved_model_layer, "cannot "),
    ],
    ids=["an argument", "no configuration", "a SavedModel"],
)
@pytest.mark.parametrize("fused", [False, True])
def test_where_keras_has_no_file_the_saved_model_is_handed_over(layer, reason, fused, tmp_path):
    normalization = kdefrost.models.BatchNormalization if fused else keras.layers.BatchNormalization
    model = keras.Sequential([keras.Input((3,)), layer(tmp_path), normalization()])
    if fused:
        reason = (
            r"Keras cannot copy _(Untold|Silent) by its configuration, nor write it"
            if layer is not _saved_model_layer
            else ""
        )
    with pytest.warns(UserWarning, match=f"mine holds the SavedModel alone, without `model.keras`: .*{reason}"):
        folder = kdefrost.export(model, tmp_path / "mine")
    assert sorted(path.name for path in folder.glob("model*")) == ["model_card.md"]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    card = (folder / "model_card.md").read_text()
    assert "There is no `model.keras`: " in card and "load_model" not in card
    known = {"folder": str(folder), "images": x}
    exec(_python(card), known)
    np.testing.assert_allclose(known["outputs"], model.predict(x, verbose=0), atol=1e-6)


def test_what_tensorflow_cannot_write_is_said(tmp_path):
    """It takes no name that begins with a bar."""
    dense = keras.layers.Dense(2, name="_dense")
    dense.build((None, 3))
    model = keras.Sequential([keras.Input((3,)), dense])
    with pytest.raises(ValueError, match=r"TensorFlow cannot write it as a SavedModel \(ValueError: '_dense/"):
        kdefrost.export(model, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


class _Unrunnable(keras.layers.Layer):
    """Says of what shape it is, and cannot be run."""

    def compute_output_spec(self, inputs):
        """As what comes in."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def call(self, inputs):
        """Raises an error."""
        raise TypeError("that is not how it is done")


def test_what_a_layer_raises_is_said_and_not_where_alone(tmp_path):
    model = keras.Sequential([keras.Input((3,)), _Unrunnable()])
    with pytest.raises(
        ValueError, match=r"\(TypeError: Exception encountered when calling .*that is not how it is done"
    ):
        kdefrost.export(model, tmp_path / "mine")


def test_a_functional_model_with_one_input_and_one_output_is_asked_for(tmp_path):
    for unbuilt in (keras.Sequential([keras.layers.Dense(2)]), keras.Model()):
        with pytest.raises(ValueError, match="`model` must be a functional model, or a sequential one that was built"):
            kdefrost.export(unbuilt, tmp_path / "mine")
    inputs = [keras.Input((3,), name="left"), keras.Input((3,), name="right")]
    both = keras.layers.Add()(inputs)
    for model, name in (
        (keras.Model(inputs, both), r"one input. Received: \['left', 'right'\]"),
        (keras.Model(inputs[0], [keras.layers.Dense(1)(inputs[0]), keras.layers.Dense(2)(inputs[0])]), "one output"),
    ):
        with pytest.raises(ValueError, match=f"`model` must have {name}"):
            kdefrost.export(model, tmp_path / "mine")


_MODULE = """
import keras

def doubled(x):
    return 2 * x

class Shift(keras.layers.Layer):
    def __init__(self, by, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, shape):
        self.built = True

    def call(self, inputs):
        return inputs + self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}

    def compute_output_shape(self, shape):
        return shape

class Halves(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 0.5, dtype)

@keras.saving.register_keras_serializable(package="ours")
class Registered(Shift):
    pass
"""


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A module of a user's own."""
    (tmp_path / "ours.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ours", raising=False)
    import ours

    return ours


def test_the_cards_lines_load_what_is_the_users_own_in_another_process(ours, tmp_path, start):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            layers.TimeDistributed(ours.Shift(1)),
            ours.Registered(2),
            layers.Dense(4, activation=ours.doubled, kernel_initializer=ours.Halves()),
            layers.Lambda(lambda x: x + 1),
        ]
    )
    card = (kdefrost.export(model, tmp_path / "mine") / "model_card.md").read_text()
    for line in ("from ours import Halves", "from ours import Registered", "from ours import doubled"):
        assert line in card
    assert 'custom_objects={"Halves": Halves, "Shift": Shift, "doubled": doubled}, safe_mode=False)' in card
    x = np.random.default_rng(0).normal(size=(3, 2, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    script = f"""
import sys
import numpy as np
images, folder = np.load({str(tmp_path / "x.npy")!r}), {str(tmp_path / "mine")!r}
{_python(card)}
np.testing.assert_allclose(outputs, loaded.serve(images), atol=1e-6)
assert "kdefrost" not in sys.modules
np.save({str(tmp_path / "outputs.npy")!r}, outputs)
"""
    elsewhere = start(script)
    elsewhere.join()
    assert elsewhere.exitcode == 0
    by_hand = 2 * (x + 3).sum(axis=2, keepdims=True).repeat(4, axis=2) * 0.5 + 1
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), by_hand, rtol=1e-5)


def test_what_cannot_be_imported_is_named_on_the_card(tmp_path):
    class Inner(keras.layers.Layer):
        def call(self, inputs):
            return inputs + 1

    card = model_card(keras.Sequential([keras.Input((3,)), Inner()]))
    assert "# Inner must be here" in card and 'custom_objects={"Inner": Inner})' in card
    assert "import Inner" not in card and "safe_mode" not in card


def test_a_card_says_when_its_scores_chose(trained):
    model, profile, _ = trained
    assert "which flatters them" in kdefrost.export.__globals__["model_card"](model, profile)


def test_class_names_are_as_many_as_outputs(plain, tmp_path):
    for names in (["a"], "abc"):
        with pytest.raises(ValueError, match=r"`class_names` must be a list of 3, one for each output. Received: "):
            kdefrost.export(plain, tmp_path / "mine", class_names=names)


def test_a_model_of_one_output_has_two_classes_or_one_name():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    assert "Classes, in order: 3, 7. The output is of the second, 7." in model_card(model, class_names=[3, 7])
    assert "Classes, in order: height.\n" in model_card(model, class_names=["height"])


def test_a_card_is_written_whatever_bytes_a_name_has_and_where_a_link_leads(plain, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for _ in range(2):
        folder = kdefrost.export(plain, tmp_path / "link", class_names=["кот", "caf\udce9", "c"])
    assert folder.is_symlink() and (tmp_path / "mine" / "saved_model.pb").exists()
    assert "in order: кот, caf\\udce9, c." in (folder / "model_card.md").read_text(encoding="utf-8")


def test_numbers_that_are_looked_up_are_of_the_table(tmp_path):
    """As where several inputs were made one of floats, of which some are places in a table."""
    inputs, layers = keras.Input((3,)), keras.layers
    looked_up = layers.Flatten()(layers.Embedding(10, 4)(keras.ops.cast(inputs, "int32")))
    model = keras.Model(inputs, layers.Dense(2)(looked_up))
    kdefrost.export(model, tmp_path / "mine")
    x = np.array([[0.0, 5.0, 9.0]], np.float32)
    loaded = tf.saved_model.load(tmp_path / "mine")
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-6)
