"""What layers cost and which of them are layers to freeze, by hand and as TensorFlow counts."""

import keras
import pytest
import tensorflow as tf

import kdefrost
from kdefrost.cutting.graph import Graph

layers = keras.layers
FIRST = {"data_format": "channels_first"}


class _Scores(layers.Layer):
    """A layer of a user's own, with a kernel, a bias of two axes and an embedding of positions."""

    def build(self, shape):
        self.projection = self.add_weight(shape=(shape[-1], 5), name="projection")
        self.bias = self.add_weight(shape=(3, 5), name="bias")
        self.places = self.add_weight(shape=(1, *shape[1:-1], 5), name="places")

    def call(self, inputs):
        return inputs @ self.projection + self.places


class _Block(layers.Layer):
    """One that holds layers."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.table = layers.Dense(4), layers.LayerNormalization(), layers.Embedding(9, 4)

    def build(self, shape):
        self.inner.build(shape)
        self.norm.build((*shape[:-1], 4))
        self.table.build(shape[:-1])

    def call(self, inputs):
        return self.norm(self.inner(inputs)) + self.table(keras.ops.arange(inputs.shape[1]))


def _small_network():
    return keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(5)])


CASES = [
    (lambda: layers.Dense(5), (7,), 7 * 5),
    (lambda: layers.Dense(5), (3, 4, 7), 3 * 4 * 7 * 5),
    (lambda: layers.EinsumDense("abc,cd->abd", (None, 5)), (3, 7), 3 * 7 * 5),
    (lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"), (3, 7), 3 * 7 * 2 * 4),
    (lambda: layers.EinsumDense("abc,bcd->ad", 5), (3, 7), 3 * 7 * 5),
    (lambda: layers.EinsumDense("...x,xy->...y", 5), (3, 4, 7), 3 * 4 * 7 * 5),
    (lambda: layers.Conv1D(4, 3), (9, 2), 7 * 3 * 2 * 4),
    (lambda: layers.Conv2D(4, (3, 2), strides=2, padding="same"), (8, 6, 3), 4 * 3 * 3 * 2 * 3 * 4),
    (lambda: layers.Conv2D(4, 3, dilation_rate=2), (8, 8, 3), 4 * 4 * 9 * 3 * 4),
    (lambda: layers.Conv2D(4, 3, groups=2), (8, 8, 6), 6 * 6 * 9 * 3 * 4),
    (lambda: layers.Conv2D(4, 3, **FIRST), (2, 8, 6), 6 * 4 * 9 * 2 * 4),
    (lambda: layers.Conv3D(4, 2), (3, 4, 5, 2), 2 * 3 * 4 * 8 * 2 * 4),
    (lambda: layers.Conv1DTranspose(4, 3, strides=2), (9, 2), 9 * 3 * 2 * 4),
    (lambda: layers.Conv2DTranspose(5, 3, strides=2, **FIRST), (2, 4, 3), 4 * 3 * 9 * 2 * 5),
    (lambda: layers.Conv3DTranspose(4, 2), (2, 2, 2, 3), 8 * 8 * 3 * 4),
    (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), (9, 4), 7 * 3 * 4 * 2),
    (lambda: layers.DepthwiseConv2D(3, strides=2, **FIRST), (4, 9, 9), 4 * 4 * 9 * 4),
    (lambda: layers.SeparableConv1D(5, 3), (9, 4), 7 * (3 * 4 + 4 * 5)),
    (lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2), (8, 8, 4), 36 * (9 * 8 + 8 * 5)),
    (lambda: layers.SeparableConv2D(5, 3, **FIRST), (4, 8, 8), 36 * (9 * 4 + 4 * 5)),
    (lambda: layers.Embedding(1000, 8), (20,), 0),
    (lambda: layers.ReversibleEmbedding(1000, 8), (20,), 0),
    (lambda: layers.SimpleRNN(6), (10, 4), 10 * (4 + 6) * 6),
    (lambda: layers.LSTM(6), (10, 4), 10 * (4 + 6) * 24),
    (lambda: layers.LSTM(6, return_sequences=True), (10, 4), 10 * (4 + 6) * 24),
    # Its bias has two axes.
    (lambda: layers.GRU(6), (10, 4), 10 * (4 + 6) * 18),
    (lambda: layers.RNN(layers.GRUCell(6)), (10, 4), 10 * (4 + 6) * 18),
    (lambda: layers.RNN([layers.LSTMCell(6), layers.SimpleRNNCell(3)]), (10, 4), 10 * ((4 + 6) * 24 + (6 + 3) * 3)),
    (lambda: layers.Bidirectional(layers.LSTM(6)), (10, 4), 2 * 10 * (4 + 6) * 24),
    (lambda: layers.ConvLSTM1D(5, 3), (4, 9, 2), 4 * 7 * 3 * (2 + 5) * 20),
    (lambda: layers.ConvLSTM2D(5, 3, return_sequences=True), (4, 8, 8, 2), 4 * 36 * 9 * (2 + 5) * 20),
    (lambda: layers.ConvLSTM2D(5, 3, strides=2, **FIRST), (4, 2, 9, 9), 4 * 16 * 9 * (2 + 5) * 20),
    (lambda: layers.ConvLSTM3D(5, 2), (4, 3, 3, 3, 2), 4 * 8 * 8 * (2 + 5) * 20),
    (lambda: layers.Bidirectional(layers.ConvLSTM1D(5, 3)), (4, 9, 2), 2 * 4 * 7 * 3 * (2 + 5) * 20),
    (lambda: layers.TimeDistributed(layers.Conv2D(4, 3)), (5, 8, 8, 2), 5 * 36 * 9 * 2 * 4),
    (lambda: layers.TimeDistributed(_small_network()), (5, 6, 6, 2), 5 * (16 * 9 * 2 * 3 + 48 * 5)),
    (lambda: layers.SpectralNormalization(layers.Conv2D(4, 3)), (8, 8, 2), 36 * 9 * 2 * 4),
    (layers.BatchNormalization, (8, 8, 4), 0),
    (layers.Normalization, (8, 8, 4), 0),
    (lambda: layers.LayerNormalization(axis=[1, 2, 3]), (8, 8, 4), 8 * 8 * 4),
    (lambda: layers.GroupNormalization(2), (8, 8, 4), 8 * 8 * 4),
    (layers.RMSNormalization, (8, 4), 8 * 4),
    (layers.PReLU, (8, 8, 4), 8 * 8 * 4),
    (lambda: layers.PReLU(shared_axes=[1, 2]), (8, 8, 4), 8 * 8 * 4),
    (layers.ReLU, (8, 8, 4), 0),
    (_Scores, (3, 7), 3 * 7 * 5 + 3 * 5),
    (_Block, (3, 7), 3 * 7 * 4),
]


def _count(make, shape) -> int:
    inputs = keras.Input(shape)
    (call,) = Graph(keras.Model(inputs, make()(inputs))).calls
    return call.multiply_adds


@pytest.mark.parametrize(("make", "shape", "by_hand"), CASES)
def test_multiply_adds_by_hand(make, shape, by_hand):
    assert _count(make, shape) == by_hand


def _attend(layer, shapes):
    query, *others = inputs = [keras.Input(shape) for shape in shapes]
    made = layer(query, *others) if "Query" in type(layer).__name__ or "Head" in type(layer).__name__ else layer(inputs)
    return Graph(keras.Model(inputs, made)).calls[0].multiply_adds


@pytest.mark.parametrize(
    ("layer", "shapes", "by_hand"),
    [
        # Projections of 6 queries of 8, 5 keys and values of 4, and of what 2 heads found; then 6 × 5 scores each.
        (
            layers.MultiHeadAttention(2, 3, value_dim=7),
            [(6, 8), (5, 4)],
            2 * (6 * 8 * 3 + 5 * 4 * 3 + 5 * 4 * 7 + 6 * 7 * 8 + 6 * 5 * (3 + 7)),
        ),
        # Along the second axis only.
        (
            layers.MultiHeadAttention(2, 3, attention_axes=2),
            [(4, 6, 8), (4, 6, 8)],
            2 * (4 * 24 * 8 * 3 + 4 * 6 * 6 * 6),
        ),
        # Two heads share keys and values.
        (
            layers.GroupQueryAttention(3, 4, 2),
            [(6, 8), (5, 8)],
            3 * (4 * 2 * 6 * 8 + 2 * 2 * 5 * 8 + 4 * 6 * 5 * 2),
        ),
        (layers.Attention(), [(6, 8), (5, 8)], 6 * 5 * 16),
        (layers.AdditiveAttention(), [(6, 8), (5, 8)], 6 * 5 * 16),
    ],
)
def test_multiply_adds_of_attention_by_hand(layer, shapes, by_hand):
    assert _attend(layer, shapes) == by_hand


def test_arguments_are_told_by_their_names():
    inputs, mask = keras.Input((6, 8)), keras.Input((6, 6), dtype="bool")
    attention = layers.MultiHeadAttention(2, 3)(value=inputs, query=inputs, attention_mask=mask)
    state = layers.LSTM(4)(sequences=attention, initial_state=[layers.Dense(4)(inputs[:, 0]), keras.ops.ones((1, 4))])
    calls = Graph(keras.Model([inputs, mask], state)).calls
    costs = {type(call.operation).__name__: call.multiply_adds for call in calls}
    assert costs["MultiHeadAttention"] == 2 * (4 * 6 * 8 * 3 + 6 * 6 * 6)
    assert costs["LSTM"] == 6 * (8 + 4) * 16


def test_an_embedding_read_backwards_is_a_product():
    inputs, table = keras.Input((20,), dtype="int32"), layers.ReversibleEmbedding(1000, 8)
    calls = Graph(keras.Model(inputs, table(table(inputs), reverse=True))).calls
    assert [call.multiply_adds for call in calls] == [0, 20 * 8 * 1000]


@pytest.mark.parametrize("case", [0, 1, 7, 8, 16, 18])
def test_multiply_adds_are_half_of_tensorflows_operations(case):
    make, shape, _ = CASES[case]
    layer = make()
    layer.use_bias = False
    traced = tf.function(layer).get_concrete_function(tf.TensorSpec((1, *shape)))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(traced.graph, options=options).total_float_ops
    assert counted == 2 * _count(make, shape)


def _frozen(*stack):
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Flatten(), layers.Dense(2, activation="softmax")])
    return [(cut.name, cut.frozen_layers) for cut in kdefrost.cut_points(model)[1:]]


@pytest.mark.parametrize(
    "elementwise",
    [
        lambda: layers.PReLU(name="after"),
        lambda: layers.PReLU(shared_axes=[1, 2], name="after"),
        lambda: layers.LayerNormalization(axis=[1, 2, 3], name="after"),
        lambda: layers.Normalization(axis=[1, 2, 3], name="after"),
    ],
)
def test_what_scales_each_number_is_no_layer_to_freeze(elementwise):
    """It stays with the convolution before it, as batch normalisation does."""
    plain = _frozen(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3, name="second"))
    other = _frozen(layers.Conv2D(4, 3), elementwise(), layers.Conv2D(4, 3, name="second"))
    assert [count for _, count in other] == [count for _, count in plain] == [1, 2]
    assert other[0][0] == "after"


def test_tables_and_layers_that_hold_kernels_are_layers_to_freeze():
    words = keras.Input((20,), dtype="int32")
    x = layers.Embedding(100, 8, name="table")(words)
    x = layers.SpectralNormalization(layers.Dense(7), name="wrapped")(x)
    x = layers.TimeDistributed(layers.Dense(7), name="steps")(x)
    x = layers.Bidirectional(layers.GRU(7, return_sequences=True), name="both")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.GlobalAveragePooling1D()(_Block()(x))
    cuts = kdefrost.cut_points(keras.Model(words, layers.Dense(2)(x)))
    assert [cut.frozen_layers for cut in cuts] == list(range(7)) and cuts[-1].layers == 7


def test_slopes_and_scales_do_not_hide_where_the_cost_is():
    """Six convolutions, then an LSTM: cuts by number lie where the work does, not at the embedding."""
    words = keras.Input((20,), dtype="int32")
    x = layers.Embedding(30000, 8)(words)
    for _ in range(6):
        x = layers.Conv1D(8, 3, padding="same")(x)
    model = keras.Model(words, layers.Dense(2, activation="softmax")(layers.LSTM(8)(x)))
    every = kdefrost.cut_points(model)
    assert every[1].tail_share == 1.0
    assert [cut.index for cut in kdefrost.cut_points(model, 5)] == [0, 3, 5, 7, 8]
