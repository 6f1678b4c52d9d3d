"""A table of architectures, each cut everywhere: both sides are the model, and the source stays as it is."""

import keras
import numpy as np
import pytest

import kdefrost
from kdefrost.cutting.surgery import tail_of

layers = keras.layers
SHAPE = (12, 12, 2)


def _conv(x, channels, size=3, **options):
    x = layers.Conv2D(channels, size, padding="same", use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def _classifier(inputs, x):
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def residual():
    return kdefrost.wide_resnet(10, 1, classes=5, input_shape=SHAPE)


def inverted_residual():
    """As MobileNetV2: expansion, depthwise convolution, linear projection, a shortcut between the narrow ends."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4, strides=2)
    for channels in (4, 6):
        y = _conv(x, 8, 1)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y)))
        y = layers.BatchNormalization()(layers.Conv2D(channels, 1)(y))
        x = layers.Add()([x, y]) if channels == x.shape[-1] else y
    return _classifier(inputs, x)


def dense_connections():
    """As DenseNet: every layer sees all before it."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4)
    for _ in range(3):
        x = layers.Concatenate()([x, _conv(_conv(x, 6, 1), 2)])
    return _classifier(inputs, layers.AveragePooling2D(2)(_conv(x, 4, 1)))


def fire():
    """As SqueezeNet: no dense layer; the last convolution makes the classes."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4)
    for _ in range(2):
        squeezed = layers.Conv2D(2, 1, activation="relu")(x)
        expanded = [layers.Conv2D(3, size, padding="same", activation="relu")(squeezed) for size in (1, 3)]
        x = layers.Concatenate()(expanded)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 1)(x))
    return keras.Model(inputs, layers.Activation("softmax")(x))


def inception():
    """Parallel branches of different depth."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4)
    branches = [_conv(x, 2, 1), _conv(_conv(x, 2, 1), 3), _conv(layers.MaxPooling2D(3, 1, padding="same")(x), 2, 1)]
    return _classifier(inputs, _conv(layers.Concatenate()(branches), 4))


def squeeze_and_excitation():
    """As MobileNetV3 and EfficientNet, with activations made of operations and the preprocessing inside."""
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255, offset=[-0.5, -0.4])(inputs)
    x = _conv(x, 4)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = y * keras.ops.relu6(y + 3.0) / 6.0
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(y))
    gate = layers.Conv2D(4, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="relu")(gate))
    return _classifier(inputs, layers.Add()([x, layers.Multiply()([y, gate])]))


def separable():
    """As Xception: separable convolutions and shortcuts with a kernel."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4)
    y = layers.BatchNormalization()(layers.SeparableConv2D(6, 3, padding="same")(layers.ReLU()(x)))
    y = layers.MaxPooling2D(2, padding="same")(y)
    return _classifier(inputs, layers.Add()([y, layers.Conv2D(6, 1, strides=2, padding="same")(x)]))


def plain():
    """As VGG: a sequential chain with two dense layers and dropout."""
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(5, activation="softmax"),
        ]
    )


def transformer():
    """As a vision transformer: patches, attention, layer normalisation."""
    inputs = keras.Input(SHAPE)
    x = layers.Reshape((9, 8))(layers.Conv2D(8, 4, strides=4)(inputs))
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
    y = layers.Dense(8, activation="gelu")(layers.Dense(12)(layers.LayerNormalization()(x)))
    x = layers.GlobalAveragePooling1D()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def nested():
    """As most users build theirs, with one model more inside, and names that occur twice."""
    core = keras.Sequential([keras.Input((12, 12, 4)), layers.Conv2D(4, 3, padding="same", name="conv")], name="core")
    base_inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, padding="same", name="conv")(base_inputs)
    x = layers.Add(name="sum")([x, core(layers.BatchNormalization(name="norm")(x))])
    base = keras.Model(base_inputs, layers.Conv2D(6, 3, name="last")(x), name="base")
    inputs = keras.Input(SHAPE)
    x = base(layers.Rescaling(1 / 127.5, -1.0)(inputs), training=False)
    return _classifier(inputs, x)


def shared():
    """One layer called twice, as a cut can separate its calls."""
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 4)
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    return _classifier(inputs, layers.ReLU()(twice(layers.ReLU()(twice(x)))))


def multi_scale():
    """As U-Net and feature pyramids: a shortcut over a down- and an up-sampling."""
    inputs = keras.Input(SHAPE)
    fine = _conv(inputs, 4)
    coarse = _conv(fine, 6, strides=2)
    x = layers.Conv2DTranspose(4, 2, strides=2)(_conv(coarse, 6))
    return _classifier(inputs, _conv(layers.Concatenate()([fine, x]), 4))


def headless():
    """As `keras.applications` without its top: the model ends in features."""
    inputs = keras.Input(SHAPE)
    x = _conv(_conv(inputs, 4), 6, strides=2)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def headless_without_pooling():
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, _conv(_conv(inputs, 4), 6, strides=2))


ARCHITECTURES = [
    residual,
    inverted_residual,
    dense_connections,
    fire,
    inception,
    squeeze_and_excitation,
    separable,
    plain,
    transformer,
    nested,
    shared,
    multi_scale,
    headless,
    headless_without_pooling,
]


def _settle(model):
    """Gives all weights, moving statistics too, values unlike those of any initialisation."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables + model.non_trainable_variables:
        if variable.dtype == "float32":
            variable.assign(rng.uniform(0.05, 0.3, variable.shape))
    return model


def _state(model):
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    trainable = [layer.trainable for layer in model._flatten_layers()]
    return nodes, trainable, model.to_json(), [weight.tobytes() for weight in model.get_weights()]


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda build: build.__name__)
def source(request):
    # Python's garbage collection takes longer than most of the tests.
    keras.utils.clear_session(free_memory=False)
    return _settle(request.param())


def test_every_cut_of_every_architecture(source):
    """After every layer with a kernel, among which the blocks are; see the next test."""
    shape = source.inputs[0].shape[1:]
    images = np.random.default_rng(1).uniform(0, 2, (3, *shape)).astype("float32")
    expected, before = source(images, training=False), _state(source)
    cuts = kdefrost.cut_points(source, "layers")
    assert cuts[0].frozen_layers == 0 and cuts[-1].frozen_layers == cuts[-1].layers - 1
    # Where the joined model is looked at too: both ends, the middle, and where the most tensors cross.
    joined_at = [cuts[0], cuts[len(cuts) // 2], cuts[-1], max(cuts, key=lambda cut: len(cut.tensors))]
    for cut in cuts:
        extractor, tail = kdefrost.split(source, cut)
        features = extractor(images, training=False)
        assert [tuple(part.shape[1:]) for part in keras.tree.flatten(features)] == list(cut.shapes)
        np.testing.assert_allclose(tail(features, training=False), expected, rtol=1e-5, atol=1e-5)
        new = tail_of(source, cut, output=4, seed=1)
        if cut in joined_at:
            joined = kdefrost.join(extractor, new)
            assert joined.input_shape == source.inputs[0].shape and joined.output_shape == (None, 4)
        old = {weight.tobytes() for weight in source.get_weights()}
        assert new.trainable_variables and not old & {np.asarray(w).tobytes() for w in new.trainable_variables}
    assert _state(source) == before


def test_cuts_after_layers_are_one_for_each_kernel_and_contain_the_blocks(source):
    every = kdefrost.cut_points(source, "layers")
    assert [cut.frozen_layers for cut in every] == list(range(every[0].layers))
    assert {cut.tensors for cut in kdefrost.cut_points(source, "blocks")} <= {cut.tensors for cut in every}
    assert [cut.tail_multiply_adds for cut in every] == sorted((c.tail_multiply_adds for c in every), reverse=True)


@pytest.mark.parametrize("source", [inverted_residual, nested, transformer, shared, multi_scale], indirect=True)
def test_a_joined_model_trains_saves_and_loads(source, tmp_path):
    cut = kdefrost.cut_points(source, "layers")[2]
    extractor, tail = kdefrost.split(source, cut, output=4, seed=0)
    joined = kdefrost.join(extractor, tail)
    joined.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(1).uniform(0, 2, (4, *source.inputs[0].shape[1:])).astype("float32")
    joined.fit(images, np.arange(4), verbose=0)
    joined.save(tmp_path / "joined.keras")
    loaded = keras.models.load_model(tmp_path / "joined.keras")
    np.testing.assert_allclose(loaded(images), joined(images), atol=1e-6)
