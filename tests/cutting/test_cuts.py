"""Cuts: where they lie, and that both sides of each are the model."""

import dataclasses
import itertools
import json
import re

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.cutting.surgery import segment, tail_of
from kdefrost.files import converted


def _branched():
    """Two branches that are concatenated, then a squeeze-and-excitation gate."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(x)
    left = layers.Conv2D(4, 1, name="left")(x)
    right = layers.DepthwiseConv2D(3, padding="same", name="right")(x)
    x = layers.Concatenate(name="merge")([left, right])
    x = layers.BatchNormalization(name="merge_bn")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="output")(x))


@pytest.fixture(scope="module")
def residual():
    """That of all tests, but one for all tests here."""
    return kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))


@pytest.fixture(params=["residual", "plain", "branched"])
def model(request):
    model = _branched() if request.param == "branched" else request.getfixturevalue(request.param)
    rng = np.random.default_rng(0)
    # Moving statistics of a trained network are not the trivial ones.
    model.set_weights([rng.uniform(0.1, 0.6, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(5, 8, 8, 1)).astype("float32")


def test_cuts_of_the_wide_resnet_by_hand():
    cuts = kdefrost.cut_points(kdefrost.wide_resnet(16, 1))
    assert [cut.name for cut in cuts] == [
        "image",
        "conv1",
        "group1_block1",
        "group1_block2",
        "group2_block1",
        "group2_block2",
        "group3_block1",
        "pool",
    ]
    assert [cut.index for cut in cuts] == list(range(8))
    assert [cut.frozen_layers for cut in cuts] == [0, 1, 3, 5, 8, 10, 13, 15]
    assert {cut.layers for cut in cuts} == {16}
    assert cuts[4].shapes == ((16, 16, 32),) and cuts[4].feature_bytes == 4 * 16 * 16 * 32
    assert cuts[1].frozen_params == 3 * 3 * 3 * 16


def test_cuts_of_a_plain_network_keep_normalisation_with_its_convolution(plain):
    assert [cut.name for cut in kdefrost.cut_points(plain)[1:]] == ["first_relu", "flat"]
    assert [cut.frozen_layers for cut in kdefrost.cut_points(plain)] == [0, 1, 2]


def test_a_cut_before_a_kernel_lies_after_the_activation():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="first"),
            layers.BatchNormalization(name="first_bn"),
            layers.ReLU(name="first_relu"),
            layers.Conv2D(4, 3, name="second"),
            layers.ReLU(name="second_relu"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(2, name="output"),
        ]
    )
    assert [cut.name for cut in kdefrost.cut_points(model)[1:]] == ["first_relu", "pool"]


def test_cuts_of_a_branched_network_lie_where_one_tensor_crosses():
    names = [cut.name for cut in kdefrost.cut_points(_branched())]
    assert names == ["image", "stem_relu", "merge", "pool"]


def test_multiply_adds_by_hand(plain):
    cuts = kdefrost.cut_points(plain)
    first, second, third = 8 * 8 * 9 * 4, 3 * 3 * 9 * 4 * 6, 54 * 3
    assert cuts[0].multiply_adds == first + second + third
    assert [cut.tail_multiply_adds for cut in cuts] == [first + second + third, second + third, third]


def test_multiply_adds_of_a_transposed_convolution_go_by_its_input():
    layers = keras.layers
    upsampling = layers.Conv2DTranspose(5, 3, strides=2, name="up")
    model = keras.Sequential([keras.Input((4, 4, 2)), upsampling, layers.GlobalAveragePooling2D(), layers.Dense(1)])
    assert kdefrost.cut_points(model)[0].multiply_adds == 4 * 4 * 9 * 2 * 5 + 5


def test_both_sides_of_every_cut_are_the_model(model, images):
    expected = model(images, training=False)
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        features = extractor(images, training=False)
        assert tuple(features.shape[1:]) == cut.shapes[0]
        np.testing.assert_allclose(tail(features, training=False), expected, atol=1e-5)
        joined = kdefrost.join(extractor, tail)
        np.testing.assert_allclose(joined(images, training=False), expected, atol=1e-5)
        assert joined.input_shape == model.input_shape


def test_segments_in_a_row_are_the_extractor(model, images):
    cuts = kdefrost.cut_points(model)
    features = images
    for start, stop in itertools.pairwise(cuts):
        features = segment(model, start, stop)(features, training=False)
    extractor, _ = kdefrost.split(model, cuts[-1])
    np.testing.assert_allclose(features, extractor(images, training=False), atol=1e-6)


def test_splitting_and_training_leaves_the_source_untouched(model, images):
    weights = [weight.copy() for weight in model.get_weights()]
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers]
    config, trainable = model.to_json(), [layer.trainable for layer in model.layers]
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut, seed=1)
        joined = kdefrost.join(extractor, tail)
        # So that it matters to the source at no cut how these are trained.
        copies = {id(variable) for part in (extractor, tail, joined) for variable in part.variables}
        assert not copies & {id(variable) for variable in model.variables}
    # At the last cut they are.
    joined.trainable = True
    joined.compile("sgd", loss="sparse_categorical_crossentropy")
    joined.fit(images, np.zeros(len(images), int), verbose=0)
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers] == nodes
    assert model.to_json() == config and [layer.trainable for layer in model.layers] == trainable
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_extractor_is_frozen_and_tail_trains_whatever_the_source_says(plain):
    plain.trainable = False
    extractor, tail = kdefrost.split(plain, kdefrost.cut_points(plain)[1], seed=0)
    assert extractor.trainable_weights == []
    assert len(tail.trainable_weights) == sum(w.trainable for w in tail.weights) > 0
    assert not plain.trainable


def test_new_output_has_the_number_of_classes(model, images):
    for cut in kdefrost.cut_points(model):
        _, tail = kdefrost.split(model, cut, output=5, seed=0)
        assert tail.output.shape == (None, 5)
        outputs = tail(np.ones((2, *cut.shapes[0]), "float32"), training=False)
        np.testing.assert_allclose(np.sum(outputs, axis=1), 1, rtol=1e-5)


def test_last_cut_leaves_only_the_output_layer(model):
    _, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1], output=4, seed=0)
    assert [tuple(weight.shape)[-1] for weight in tail.trainable_weights] == [4, 4]


def test_reinitialisation_is_hes_and_fixed_by_the_seed():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 8)),
            layers.Conv2D(64, 3, name="conv"),
            layers.DepthwiseConv2D(5, depth_multiplier=8, name="depthwise"),
            layers.BatchNormalization(name="bn"),
            layers.Conv2DTranspose(32, 2, name="transposed"),
            layers.Dense(1000, name="dense"),
        ]
    )
    model.set_weights([np.full(weight.shape, 7.0) for weight in model.get_weights()])
    kdefrost.reinitialize(model, 3)
    first = model.get_weights()
    kernels = {layer: model.get_layer(layer).get_weights()[0] for layer in ("conv", "depthwise", "transposed", "dense")}
    for name, fan_in in {"conv": 9 * 8, "depthwise": 25, "transposed": 4 * 512, "dense": 32}.items():
        np.testing.assert_allclose(kernels[name].std(), np.sqrt(2 / fan_in), rtol=0.05)
        np.testing.assert_array_equal(model.get_layer(name).get_weights()[1], 0)
    for weights, value in zip(model.get_layer("bn").get_weights(), (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(weights, value)
    kdefrost.reinitialize(model, 4)
    assert not np.array_equal(model.get_weights()[0], first[0])
    kdefrost.reinitialize(model, 3)
    for before, after in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_reinitialisation_fixes_dropout_too():
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5)])
    masks = []
    for _ in range(2):
        kdefrost.reinitialize(model, 5)
        masks.append(np.asarray(model(np.ones((1, 50)), training=True)))
    np.testing.assert_array_equal(*masks)


def test_weights_without_a_rule_start_from_their_own_initialiser_and_that_is_said():
    normal = keras.initializers.RandomNormal(stddev=3.0)
    slope = keras.layers.PReLU(alpha_initializer=normal, name="slope")
    model = keras.Sequential([keras.Input((1000,)), slope, keras.layers.Dense(2)])
    drawn = []
    for seed in (0, 1, 0):
        slope.set_weights([np.full(1000, 7.0)])
        with pytest.warns(UserWarning, match="their own initialisers: slope/alpha"):
            kdefrost.reinitialize(model, seed)
        drawn.append(slope.get_weights()[0])
    np.testing.assert_allclose(drawn[0].std(), 3, rtol=0.1)
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


class _TwoAtATime(keras.layers.Layer):
    """A layer that makes other weights when it is built again."""

    made = 0

    def build(self, shape):
        type(self).made += 1
        for _ in range(self.made):
            self.add_weight(shape=(3,), name="odd")

    def call(self, inputs):
        return inputs


def test_a_layer_that_cannot_be_made_anew_is_refused():
    model = keras.Sequential([keras.Input((3,)), _TwoAtATime(name="odd_layer"), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`odd_layer` \(_TwoAtATime\) has weights \(odd\)"):
        kdefrost.reinitialize(model, 0)


def test_kernels_inside_attention_are_hes():
    attention = keras.layers.MultiHeadAttention(4, 32, name="attention")
    inputs = keras.Input((9, 200))
    model = keras.Model(inputs, attention(inputs, inputs))
    kdefrost.reinitialize(model, 0)
    for variable in attention.variables:
        fan_in = 4 * 32 if "output" in variable.path else 200
        expected = np.sqrt(2 / fan_in) if variable.name == "kernel" else 0
        np.testing.assert_allclose(np.std(variable), expected, rtol=0.03)


def test_lambdas_are_copied():
    double = keras.layers.Lambda(lambda x: 2 * x, output_shape=(3,))
    first = keras.layers.Dense(3, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((3,)), first, double, keras.layers.Dense(2)])
    extractor, _ = kdefrost.split(model, kdefrost.cut_points(model)[1])
    np.testing.assert_array_equal(extractor(np.ones((1, 3))), 2)


def test_dropout_before_the_next_kernel_stays_with_the_tail():
    layers = keras.layers
    hidden, output = layers.Dense(4, activation="relu", name="hidden"), layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), hidden, layers.Dropout(0.5), layers.GaussianNoise(0.1), output])
    assert [cut.name for cut in kdefrost.cut_points(model)[1:]] == ["hidden"]


def test_the_list_of_cuts_prints_as_a_table(residual):
    lines = str(kdefrost.cut_points(residual)).splitlines()
    assert len(lines) == 7 and "cost left" in lines[0] and "output layer" in lines[-1]
    cut = kdefrost.cut_points(residual)[2]
    for cell in ("group1_block1", "8×8×16", "3/10", f"{cut.frozen_params:,}", f"{100 * cut.tail_share:.1f} %", "4,096"):
        assert cell in lines[3]


def test_an_output_can_be_a_layer_or_a_model(model, images):
    for cut in kdefrost.cut_points(model):
        _, tail = kdefrost.split(model, cut, output=keras.layers.Dense(2, activation="sigmoid", name="both"), seed=0)
        assert tail.output_shape == (None, 2) and tail.layers[-1].activation is keras.activations.sigmoid
    width = kdefrost.cut_points(model)[-1].shapes[0][-1]
    head_inputs = keras.Input((width,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(head_inputs)
    head = keras.Model(head_inputs, keras.layers.Dense(1, name="value")(hidden))
    _, tail = kdefrost.split(model, kdefrost.cut_points(model)[-1], output=head, seed=0)
    assert tail.output_shape == (None, 1) and [layer.name for layer in tail.layers[-2:]] == ["hidden", "value"]
    assert tail.layers[-1] is not head.layers[-1]


def test_an_output_model_must_fit(residual):
    head = keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"`output` takes \[\(7,\)\], but the features before it have the shape \(64,\)"
    ):
        kdefrost.split(residual, kdefrost.cut_points(residual)[1], output=head)


def test_cuts_after_layers_inside_a_residual_block(residual):
    cuts = kdefrost.cut_points(residual, "layers")
    inside = next(cut for cut in cuts if len(cut.tensors) == 2)
    assert inside.shapes[0] == inside.shapes[1] == (8, 8, 16) and inside.name == "group1_block1_pre2_relu"
    assert inside.feature_bytes == 2 * 4 * 8 * 8 * 16
    assert kdefrost.cut_points(residual, [inside]) == [inside]


def test_scratch_is_before_the_preprocessing_and_its_statistics_stay():
    layers = keras.layers
    normalise = layers.Normalization(mean=3.0, variance=4.0, name="normalise")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), normalise, layers.Conv2D(2, 3, name="conv"), layers.Flatten(), layers.Dense(2)]
    )
    cut = kdefrost.cut_points(model)[0]
    tail = tail_of(model, cut, seed=0)
    first = keras.Model(tail.inputs[0], tail.get_layer("normalise").output)
    np.testing.assert_allclose(first(np.full((1, 8, 8, 1), 5.0)), 1.0)


def test_cuts_by_number_are_spread_by_cost_with_both_ends():
    model = kdefrost.wide_resnet(28, 1)
    every = kdefrost.cut_points(model)
    chosen = kdefrost.cut_points(model, 5)
    assert len(chosen) == 5 and chosen[0] == every[0] and chosen[-1] == every[-1]
    shares = np.array([cut.tail_share for cut in chosen])
    np.testing.assert_allclose(shares, np.linspace(1, shares[-1], 5), atol=0.06)
    assert kdefrost.cut_points(model, 99) == every


def test_cuts_by_index_and_name_come_in_order(residual):
    every = kdefrost.cut_points(residual)
    assert kdefrost.cut_points(residual, ["group2_block1", 1, 3]) == [every[1], every[3]]
    assert kdefrost.cut_points(residual, every[::2]) == every[::2]


def test_a_cut_of_another_model_is_refused(residual, plain):
    with pytest.raises(ValueError, match="is not a cut of this model"):
        kdefrost.split(plain, kdefrost.cut_points(residual)[2])


@pytest.mark.parametrize("output", [0, 2.5, True, "ten"])
def test_output_must_be_a_number_of_classes(plain, output):
    with pytest.raises(ValueError, match="`output` must be a number of classes"):
        kdefrost.split(plain, kdefrost.cut_points(plain)[1], output=output)


def test_join_refuses_shapes_that_do_not_fit(plain):
    cuts = kdefrost.cut_points(plain)
    extractor, _ = kdefrost.split(plain, cuts[1])
    _, tail = kdefrost.split(plain, cuts[2])
    with pytest.raises(ValueError, match="`tail` takes features of shape"):
        kdefrost.join(extractor, tail)


def test_a_cut_survives_json(residual):
    for cut in kdefrost.cut_points(residual):
        assert converted(json.loads(json.dumps(dataclasses.asdict(cut))), kdefrost.Cut) == cut


def test_adapted_preprocessing_is_copied_with_its_statistics(images):
    normalise = keras.layers.Normalization(name="normalise")
    normalise.adapt(images + 5)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), normalise, keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(2)]
    )
    extractor, tail = kdefrost.split(model, kdefrost.cut_points(model)[1])
    np.testing.assert_allclose(tail(extractor(images)), model(images), atol=1e-6)
    joined = kdefrost.join(extractor, tail)
    np.testing.assert_allclose(joined(images), model(images), atol=1e-6)


def test_a_nested_model_of_any_size_has_the_size_that_it_is_called_with(images):
    open_inputs = keras.Input((None, None, 1))
    base = keras.Model(open_inputs, keras.layers.Conv2D(4, 3, name="conv")(open_inputs), name="base")
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(base(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3)(x)))
    cuts = kdefrost.cut_points(model, "layers")
    assert [cut.shapes for cut in cuts] == [((8, 8, 1),), ((4,),), ((3,),)]
    assert cuts[0].multiply_adds == 6 * 6 * 9 * 4 + 4 * 3 + 3 * 2
    extractor, tail = kdefrost.split(model, cuts[1])
    np.testing.assert_allclose(tail(extractor(images)), model(images), atol=1e-6)
    with pytest.raises(ValueError, match=r"must take inputs of one size, but it takes \(None, None, None, 1\)"):
        kdefrost.cut_points(base)


def test_whole_number_images_into_a_nested_model_are_cast():
    base = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="conv"), keras.layers.Flatten()])
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(2)(base(inputs)))
    raw = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1), np.uint8)
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extractor(raw)), model(raw), rtol=1e-5)


def test_features_with_positions_of_any_rank_are_pooled():
    for layer, shape in ((keras.layers.Conv1D, (9, 2)), (keras.layers.Conv3D, (4, 4, 4, 1))):
        model = keras.Sequential([keras.Input(shape), layer(4, 2), layer(3, 2)])
        _, tail = kdefrost.split(model, kdefrost.cut_points(model)[1], output=5)
        assert tail.output_shape == (None, 5)


def test_a_cut_can_be_named(residual):
    for name in (2, "group1_block1"):
        extractor, _ = kdefrost.split(residual, name)
        assert extractor.output_shape == (None, 8, 8, 16)
    with pytest.raises(ValueError, match="There is no cut 'block9'"):
        kdefrost.split(residual, "block9")


def test_a_model_of_several_inputs_says_how_it_becomes_one_of_one():
    """The code of the error, run: for images, and for whole numbers that are looked up in a table."""
    layers, images = keras.layers, keras.Input((6, 6, 1), name="images")
    words = keras.Input((3,), dtype="int32", name="words")
    read = [layers.Flatten()(layers.Conv2D(2, 3)(images)), layers.Flatten()(layers.Embedding(10, 4)(words))]
    model = keras.Model([images, words], layers.Dense(2)(layers.Concatenate()(read)))
    with pytest.raises(ValueError, match=r"2 inputs: images \(6, 6, 1\), words \(3,\)") as caught:
        kdefrost.cut_points(model)
    code = re.search(r"divided among them: (.*)\. Its examples are (x = .*), of the parts", str(caught.value))
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(5, 6, 6, 1)), rng.integers(0, 10, (5, 3))]
    names = {"keras": keras, "np": np, "model": model, "parts": parts}
    for line in reversed(code.groups()):
        exec(line, names)
    assert [cut.frozen_layers for cut in kdefrost.cut_points(names["model"])] == [0, 2]
    np.testing.assert_allclose(names["model"](names["x"].astype("float32")), model(parts), atol=1e-6)


def test_inputs_that_are_of_no_fixed_size_are_not_made_one():
    layers, inputs = keras.layers, [keras.Input((None, 4)), keras.Input((4,))]
    added = layers.Add()([layers.GlobalAveragePooling1D()(inputs[0]), inputs[1]])
    with pytest.raises(ValueError, match="Make a model of one input that divides it among them"):
        kdefrost.cut_points(keras.Model(inputs, layers.Dense(2)(added)))
