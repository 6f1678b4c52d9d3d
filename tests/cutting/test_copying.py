"""Copies of layers: with the functions, classes and states that they hold, or in place where there can be none."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.cutting.layers import Borrowed

layers = keras.layers
SCALE = 3.0
IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")


def scaled(x):
    return x / SCALE


class Shifted(layers.Layer):
    """Its configuration does not tell by how much it shifts."""

    def __init__(self, shift=0.0, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale + self.shift

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return super().get_config()


class Nameless(Shifted):
    """It has no configuration at all."""

    def get_config(self):
        raise NotImplementedError


class Generous(layers.Layer):
    """Its configuration gives more than its constructor takes."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.doubled = units, 2 * units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="glorot_uniform", name="kernel")

    def call(self, x):
        return x @ self.kernel

    def get_config(self):
        return {**super().get_config(), "units": self.units, "doubled": self.doubled}


def with_layer(layer, shape=(8, 8, 3)):
    """A network in which one layer stands between two with kernels."""
    inputs = keras.Input(shape)
    x = layer(layers.Conv2D(3, 3, padding="same", name="before")(inputs))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="after")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="answer")(x))


def assert_parity(model, x, cuts="blocks", **options):
    """Both sides of each cut compute what the model computes; the model is as it was."""
    expected, weights = model.predict(x, verbose=0), [np.array(weight) for weight in model.get_weights()]
    for cut in kdefrost.cut_points(model, cuts):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(x)), expected, rtol=1e-5, atol=1e-6, err_msg=cut.name)
        np.testing.assert_allclose(kdefrost.join(extractor, tail)(x), expected, rtol=1e-5, atol=1e-6)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Lambda(lambda v: tf.nn.l2_normalize(v, 3)),
        lambda: layers.Lambda(lambda v: v / SCALE),
        lambda: layers.Lambda(lambda v: tf.nn.relu(v), output_shape=(8, 8, 3)),
        lambda: layers.Lambda(scaled),
        lambda: layers.Lambda(functools.partial(tf.multiply, SCALE)),
        lambda: layers.Conv2D(3, 1, activation=scaled),
        lambda: layers.Conv2D(3, 1, activation=lambda v: tf.sin(v) / SCALE),
        lambda: layers.Conv2D(3, 1, kernel_initializer=lambda shape, dtype=None: tf.ones(shape) / SCALE),
        lambda: layers.TimeDistributed(layers.Lambda(lambda v: v * SCALE)),
        lambda: layers.TimeDistributed(layers.Dense(3, activation=scaled)),
        lambda: Generous(3),
    ],
)
def test_a_layer_with_functions_of_the_users_own_computes_the_same_on_both_sides_of_every_cut(make):
    assert_parity(with_layer(make()), IMAGES)


def test_functions_keep_their_names_and_two_of_one_name_are_told_apart():
    def makes(factor):
        def scaled(v):
            return v * factor

        return scaled

    twice, thrice = makes(2.0), makes(3.0)
    inputs = keras.Input((4,))
    x = layers.Dense(4, activation=thrice)(layers.Dense(4, activation=twice)(inputs))
    assert_parity(keras.Model(inputs, layers.Dense(2)(x)), IMAGES[:, 0, 0, :1].repeat(4, axis=1))
    assert twice.__name__ == thrice.__name__ == "scaled"


@pytest.mark.parametrize("cls", [Shifted, Nameless])
def test_a_frozen_layer_that_cannot_be_copied_computes_where_it_lies(cls):
    model = with_layer(cls(shift=2.5))
    model.layers[2].scale.assign([1.0, 2.0, 3.0])
    expected = model.predict(IMAGES, verbose=0)
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1])
    np.testing.assert_allclose(tail(extractor(IMAGES)), expected, rtol=1e-5)
    # Its weights are its own: what is done to either does nothing to the other.
    borrowed = next(layer for layer in extractor.layers if isinstance(layer, Borrowed))
    assert not borrowed.trainable_variables and not extractor.trainable_variables
    assert model.layers[2].trainable_variables
    model.layers[2].scale.assign([0.0, 0.0, 0.0])
    np.testing.assert_allclose(tail(extractor(IMAGES)), expected, rtol=1e-5)
    joined = kdefrost.join(extractor, tail)
    np.testing.assert_allclose(joined.predict(IMAGES, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize(("cls", "reason"), [(Shifted, "leaves something out"), (Nameless, "does not make it again")])
def test_a_layer_that_must_train_and_cannot_be_copied_is_named_with_the_reason(cls, reason):
    model = with_layer(cls(shift=2.5, name="mine"))
    with pytest.raises(ValueError, match=rf"(?s)`mine` \({cls.__name__}\) cannot be copied: .*{reason}"):
        kdefrost.split(model, 0)


def test_a_wrapper_around_such_a_layer_is_held_to_the_original_too():
    inputs = keras.Input((2, 4))
    x = layers.TimeDistributed(Shifted(shift=2.5))(layers.Dense(4)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(3)(layers.Flatten()(x))))
    with pytest.raises(ValueError, match=r"\(TimeDistributed\) cannot be copied: .*leaves something out"):
        kdefrost.split(model, 0)


def test_looking_at_a_layer_leaves_its_state_as_it_is():
    class Counting(layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

        def call(self, x):
            self.count.assign_add(1.0)
            return x + 0.0

    model = with_layer(Counting())
    before = float(model.layers[2].count)
    kdefrost.split(model, 0)
    assert float(model.layers[2].count) == before


def test_a_defroster_goes_on_with_the_cuts_that_are_possible():
    model = with_layer(Shifted(shift=2.5, name="mine"))
    with pytest.warns(UserWarning, match=r"Cut 0 is left out, because what follows must train\. Layer `mine`"):
        defroster = kdefrost.Defroster(model, recipe=kdefrost.Recipe(epochs=1))
    assert [cut.index for cut in defroster.cuts] == [1, 2]
    examples = IMAGES, np.arange(6) % 3
    profile = defroster.profile(examples, test=examples, seeds=1, verbose=False)
    best = defroster.best_model(profile, verbose=False)
    # Its score by the other route: the model that is handed over answers as the trial did.
    accuracy = np.mean(best.predict(IMAGES, verbose=0).argmax(axis=1) == examples[1])
    assert accuracy == pytest.approx(profile.best_trial().test["accuracy"])


def test_each_of_several_tensors_of_one_layer_crosses_by_itself():
    inputs = keras.Input((8, 3))
    sequence, h, c = layers.LSTM(5, return_sequences=True, return_state=True)(inputs)
    states = keras.Model(inputs, layers.Dense(3)(layers.LSTM(5)(sequence, initial_state=[h, c])))
    assert_parity(states, IMAGES[:, 0], "layers")
    inputs = keras.Input((8,))
    encoder, other = layers.Dense(6, name="encoder"), layers.Dense(6)
    both = [encoder(inputs[:, :4]), encoder(inputs[:, 4:])]
    siamese = keras.Model(inputs, layers.Dense(3)(layers.Concatenate()([other(both[0]), other(both[1])])))
    assert_parity(siamese, IMAGES[:, 0, :, 0], "layers")


def test_a_model_for_batches_of_one_size_is_cut_for_batches_of_any():
    inputs = keras.Input(batch_shape=(16, 8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    expected = model(np.concatenate([IMAGES, IMAGES, IMAGES])[:16])[:6]
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(IMAGES)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "layer", [lambda x: keras.ops.reshape(x, (16, 8, 3)), layers.LSTM(4, stateful=True, return_sequences=True)]
)
def test_a_layer_that_holds_to_its_batch_size_is_named(layer):
    inputs = keras.Input(batch_shape=(16, 8, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(inputs))))
    with pytest.raises(ValueError, match=r"built for batches of 16, and its layer `(reshape|lstm)\w*` .* keras\.Input"):
        kdefrost.cut_points(model)


def adapted(make, taken, data):
    layer = make()
    layer.adapt(data)
    inputs = keras.Input((4,), dtype=taken)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(12, 3)(layer(inputs))))), data


WORDS = np.array([["a", "b", "c", "d"], ["b", "b", "x", "a"]])
NUMBERS = np.array([[3, 5, 7, 9], [3, 3, 9, 11]])


@pytest.mark.parametrize(
    ("make", "taken", "data"),
    [
        (lambda: layers.Discretization(num_bins=5), "float32", IMAGES[:, 0, :4, 0]),
        (layers.IntegerLookup, "int64", NUMBERS),
        (layers.StringLookup, "string", WORDS),
        (lambda: layers.StringLookup(vocabulary=["a", "b"]), "string", None),
    ],
)
def test_what_adapt_has_learnt_is_on_both_sides_of_every_cut(make, taken, data):
    if data is None:
        layer, data = make(), WORDS
        inputs = keras.Input((4,), dtype=taken)
        model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(12, 3)(layer(inputs)))))
    else:
        model, data = adapted(make, taken, data)
    data = tf.constant(data)
    expected = model(data)
    assert np.abs(expected - expected[0]).max() > 0
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(data)), expected, rtol=1e-5, atol=1e-6)


def test_vectorized_text_and_normalised_numbers_are_carried():
    text = layers.TextVectorization(output_mode="tf_idf")
    text.adapt(["red fox", "blue fox", "red dog"])
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(4)(text(inputs))))
    data = tf.constant(["red red dog", "cat"])
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(data)), model(data), rtol=1e-5, atol=1e-6)
    normal = layers.Normalization()
    normal.adapt(5 + IMAGES)
    assert_parity(with_layer(normal), IMAGES)


def test_adapters_of_low_rank_train_and_what_they_are_added_to_stays():
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, name="hidden")
    model = keras.Model(inputs, layers.Dense(3, name="answer")(layers.Dense(4, name="next")(hidden(inputs))))
    hidden.enable_lora(2)
    hidden.lora_kernel_b.assign(np.ones((2, 5)))
    x = IMAGES[:, 0, 0, :1].repeat(6, axis=1)
    assert_parity(model, x)
    _, tail = kdefrost.split(model, 0, output=3, seed=1)
    new = tail.get_layer("hidden")
    np.testing.assert_array_equal(new._kernel, hidden._kernel)
    np.testing.assert_array_equal(new.bias, hidden.bias)
    np.testing.assert_array_equal(new.lora_kernel_b, np.zeros((2, 5)))
    assert np.std(new.lora_kernel_a) > 0 and not np.array_equal(new.lora_kernel_a, hidden.lora_kernel_a)
    trained = {weight.name for weight in new.trainable_variables}
    assert trained == {"lora_kernel_a", "lora_kernel_b", "bias"}


@pytest.mark.parametrize("kind", ["dense", "einsum", "embedding"])
def test_quantized_layers_stay_frozen_and_are_floats_where_they_train(kind):
    inputs = keras.Input((6,))
    x = layers.Reshape((2, 3))(inputs)
    layer = {
        "dense": layers.Dense(5, activation="relu"),
        "einsum": layers.EinsumDense("abc,cd->abd", output_shape=(2, 5), bias_axes="d"),
        "embedding": layers.Embedding(4, 5),
    }[kind]
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layer(x))))
    data = np.random.default_rng(0).uniform(0, 3.9, (16, 6)).astype("float32")
    exact = model.predict(data, verbose=0)
    layer.quantize("int8")
    quantized = np.asarray(model(data))
    # Frozen they compute with the same whole numbers …
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1])
    np.testing.assert_allclose(tail(extractor(data)), quantized, rtol=1e-5, atol=1e-6)
    # … and in a tail with floats that are these over their scales, near what they were.
    _, tail = kdefrost.split(model, 0)
    assert np.abs(tail(data) - exact).max() < 0.02 * np.abs(exact).max()
    with warnings.catch_warnings():
        # There is no rule for an embedding's table.
        warnings.filterwarnings("ignore", "No rule of He's method")
        _, tail = kdefrost.split(model, 0, output=3, seed=0)
    assert {weight.dtype for weight in tail.trainable_variables} == {"float32"}
    assert (tail.layers[2].get_weights()[0] != 0).all()


def test_weights_quantized_in_other_ways_are_refused_in_a_tail():
    inputs = keras.Input((6,))
    layer = layers.Dense(4, name="small")
    model = keras.Model(inputs, layers.Dense(3)(layer(inputs)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer.quantize("int4")
    with pytest.raises(ValueError, match=r"`small` \(Dense\) cannot be copied: .* quantized to int4.* int8 can"):
        kdefrost.split(model, 0)


def test_a_saved_graph_goes_frozen_and_not_into_a_tail(tmp_path):
    inputs = keras.Input((6,))
    keras.Model(inputs, layers.Dense(4, activation="relu")(inputs)).export(tmp_path / "saved", verbose=False)
    saved = layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve", name="saved")
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(4)(saved(layers.Dense(6)(inputs)))))
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1])
    np.testing.assert_allclose(tail(extractor(x)), model(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"`saved` \(TFSMLayer\) cannot be copied: its weights are those of a file"):
        kdefrost.split(model, 0)


def test_what_keras_itself_cannot_make_again_is_borrowed_or_refused():
    model = with_layer(layers.RandomShear(0.1, 0.1, name="shear"))
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1])
    assert any(isinstance(layer, Borrowed) for layer in extractor.layers)
    expected = model(IMAGES, training=False)
    np.testing.assert_allclose(tail(extractor(IMAGES)), expected, rtol=1e-5, atol=1e-6)
    with pytest.warns(UserWarning, match=r"Cut 0 is left out, .*`shear` \(RandomShear\) cannot be copied"):
        assert len(kdefrost.Defroster(model).cuts) == 2


def test_a_cut_that_is_named_and_impossible_is_refused_before_any_training():
    model = with_layer(Shifted(shift=2.5, name="mine"))
    with pytest.raises(ValueError, match=r"`mine` \(Shifted\) cannot be copied"):
        kdefrost.Defroster(model, cuts=[0, 2])
    defroster = kdefrost.Defroster(model, cuts=[1, 2])
    with pytest.raises(ValueError, match=r"`mine` \(Shifted\) cannot be copied"):
        # Compliance trains the whole network.
        defroster.compliance((IMAGES, np.arange(6) % 3), (IMAGES, np.arange(6) % 3), per_class=1, verbose=False)


def test_a_layer_is_held_to_its_copy_once():
    class Counted(layers.Conv2D):
        eager = 0

        def call(self, x):
            Counted.eager += isinstance(x, tf.Tensor) and tf.executing_eagerly()
            return super().call(x)

    model = with_layer(Counted(3, 1))
    for cut in kdefrost.cut_points(model):
        kdefrost.join(*kdefrost.split(model, cut))
    assert Counted.eager == 2
