"""A small model around every layer class of Keras's that can stand in one."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

L = keras.layers


class Kind(NamedTuple):
    """What goes into a small model.

    Attributes:
        shape: Shape of an example.
        dtype: Its dtype.
        first: Makes the layer before the one that is looked at; `None` for none.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    first: Callable[[], keras.layers.Layer] | None = None


KINDS = {
    "vector": Kind((8,), first=lambda: L.Dense(8)),
    "sequence": Kind((6, 8), first=lambda: L.Dense(4)),
    "image": Kind((8, 8, 3), first=lambda: L.Conv2D(3, 3, padding="same")),
    "volume": Kind((4, 4, 4, 2), first=lambda: L.Conv3D(2, 3, padding="same")),
    "film": Kind((3, 6, 6, 2), first=lambda: L.Dense(2)),
    "long film": Kind((3, 4, 4, 4, 2), first=lambda: L.Dense(2)),
    "rows": Kind((3, 6, 2), first=lambda: L.Dense(2)),
    "wave": Kind((64,)),
    "sounds": Kind((64, 1)),
    "whole numbers": Kind((6,), "int64"),
    "words": Kind((6,), "string"),
    "text": Kind((), "string"),
}


def numbers_of(kind: str, count: int, seed: int = 0) -> np.ndarray:
    """Examples of a kind.

    Args:
        kind: One of `KINDS`.
        count: How many.
        seed: Seed.

    Returns:
        Array `(count, …)`.
    """
    rng, what = np.random.default_rng(seed), KINDS[kind]
    if what.dtype == "string":
        return rng.choice(np.array(["a", "b", "c d"]), (count, *what.shape))
    if what.dtype == "int64":
        return rng.integers(0, 5, (count, *what.shape))
    return rng.normal(size=(count, *what.shape)).astype(what.dtype)


def _adapted(layer, kind: str):
    layer.adapt(numbers_of(kind, 32, seed=1))
    return layer


def _with_itself(make, **options):
    """A layer that takes several tensors, on one and what a dense layer makes of it."""
    return lambda x: make(**options)([x, L.Dense(x.shape[-1])(x)])


def _attention(make, **options):
    return lambda x: make(**options)(x, L.Dense(x.shape[-1])(x))


def _many(names: str, kind: str, *args, **options) -> dict[str, tuple]:
    return {name: (kind, functools.partial(getattr(L, name), *args, **options)) for name in names.split()}


def _each_size(name: str, *args, **options) -> dict[str, tuple]:
    """Layers that there are for one axis, two and three."""
    kinds = {"1D": "sequence", "2D": "image", "3D": "volume"}
    return {
        f"{name}{size}": (kind, functools.partial(getattr(L, f"{name}{size}"), *args, **options))
        for size, kind in kinds.items()
        if hasattr(L, f"{name}{size}")
    }


# By the name of the class, a kind and what makes the layer.
LAYERS: dict[str, tuple[str, Callable]] = {
    **_many("Dense", "vector", 5),
    "EinsumDense": ("sequence", lambda: L.EinsumDense("abc,cd->abd", (6, 5), bias_axes="d")),
    "Embedding": ("whole numbers", lambda: L.Embedding(8, 3)),
    "ReversibleEmbedding": ("whole numbers", lambda: L.ReversibleEmbedding(8, 3)),
    **_each_size("Conv", 3, 2),
    **_each_size("SeparableConv", 3, 2),
    **_each_size("DepthwiseConv", 2),
    "Conv1DTranspose": ("sequence", lambda: L.Conv1DTranspose(3, 2)),
    "Conv2DTranspose": ("image", lambda: L.Conv2DTranspose(3, 2)),
    "Conv3DTranspose": ("volume", lambda: L.Conv3DTranspose(3, 2)),
    **_many("LSTM GRU SimpleRNN", "sequence", 4),
    "RNN": ("sequence", lambda: L.RNN(L.LSTMCell(4))),
    "Bidirectional": ("sequence", lambda: L.Bidirectional(L.GRU(3))),
    "TimeDistributed": ("sequence", lambda: L.TimeDistributed(L.Dense(3))),
    "SpectralNormalization": ("image", lambda: L.SpectralNormalization(L.Conv2D(3, 2))),
    "ConvLSTM1D": ("rows", lambda: L.ConvLSTM1D(2, 2)),
    "ConvLSTM2D": ("film", lambda: L.ConvLSTM2D(2, 2)),
    "ConvLSTM3D": ("long film", lambda: L.ConvLSTM3D(2, 2)),
    "Attention": ("sequence", lambda: _with_itself(L.Attention)),
    "AdditiveAttention": ("sequence", lambda: _with_itself(L.AdditiveAttention)),
    "MultiHeadAttention": ("sequence", lambda: _attention(L.MultiHeadAttention, num_heads=2, key_dim=2)),
    "GroupedQueryAttention": (
        "sequence",
        lambda: _attention(L.GroupQueryAttention, head_dim=2, num_query_heads=2, num_key_value_heads=1),
    ),
    **_many("BatchNormalization LayerNormalization RMSNormalization UnitNormalization", "image"),
    "GroupNormalization": ("image", lambda: L.GroupNormalization(3)),
    "Normalization": ("image", lambda: _adapted(L.Normalization(), "image")),
    "Discretization": ("wave", lambda: _adapted(L.Discretization(num_bins=4), "wave")),
    "IntegerLookup": ("whole numbers", lambda: _adapted(L.IntegerLookup(), "whole numbers")),
    "StringLookup": ("words", lambda: _adapted(L.StringLookup(), "words")),
    "TextVectorization": ("text", lambda: _adapted(L.TextVectorization(output_mode="multi_hot"), "text")),
    "CategoryEncoding": ("whole numbers", lambda: L.CategoryEncoding(num_tokens=6)),
    "Hashing": ("whole numbers", lambda: L.Hashing(num_bins=4)),
    "MelSpectrogram": ("wave", lambda: L.MelSpectrogram(8, 8, 4, sampling_rate=100, num_mel_bins=4, max_freq=50.0)),
    "STFTSpectrogram": ("sounds", lambda: L.STFTSpectrogram(frame_length=8, frame_step=4, fft_length=8)),
    **_many("ReLU LeakyReLU ELU PReLU Softmax Identity Flatten ActivityRegularization", "image"),
    "Activation": ("image", lambda: L.Activation("gelu")),
    "Lambda": ("image", lambda: L.Lambda(lambda x: 2.0 * x)),
    **_many("Dropout AlphaDropout GaussianDropout GaussianNoise", "image", 0.3),
    **_each_size("SpatialDropout", 0.3),
    "Masking": ("sequence", lambda: lambda x: L.LSTM(3)(L.Masking()(x))),
    **_many("Add Average Maximum Minimum Multiply Subtract Concatenate", "sequence"),
    "Dot": ("sequence", lambda: _with_itself(L.Dot, axes=2)),
    "Reshape": ("image", lambda: L.Reshape((4, 4, 12))),
    "Permute": ("image", lambda: L.Permute((2, 1, 3))),
    "RepeatVector": ("vector", lambda: L.RepeatVector(3)),
    "Rescaling": ("image", lambda: L.Rescaling(0.5, 1.0)),
    "Resizing": ("image", lambda: L.Resizing(5, 5)),
    "CenterCrop": ("image", lambda: L.CenterCrop(5, 5)),
    "Pipeline": ("image", lambda: L.Pipeline([L.Rescaling(2.0), L.CenterCrop(5, 5)])),
    **_each_size("AveragePooling", 2),
    **_each_size("MaxPooling", 2),
    **_each_size("GlobalAveragePooling"),
    **_each_size("GlobalMaxPooling"),
    **_each_size("AdaptiveAveragePooling", 2),
    **_each_size("AdaptiveMaxPooling", 2),
    **_each_size("Cropping", 1),
    **_each_size("ZeroPadding", 1),
    **_each_size("UpSampling", 2),
    "RandomCrop": ("image", lambda: L.RandomCrop(8, 8)),
    **_many("RandomFlip RandomGrayscale RandomInvert", "image"),
    **_many("RandomRotation RandomZoom RandomContrast RandomBrightness RandomColorDegeneration", "image", 0.2),
    **_many("RandomHue RandomSaturation RandomSharpness RandomPosterization", "image", 1),
    "RandomTranslation": ("image", lambda: L.RandomTranslation(0.1, 0.1)),
    **_many("RandomErasing RandomPerspective RandomElasticTransform RandomGaussianBlur RandomColorJitter", "image"),
    **_many("RandAugment AugMix AutoContrast Solarization", "image"),
    **_many("ContrastLimitedAdaptiveHistogramEqualization", "image"),
}

# Those that take several tensors.
_MERGING = {"Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate"}

# Why a class has no model of its own.
EXCEPT = {
    "Layer Wrapper": "others are made from it",
    "InputLayer InputSpec": "no layer that computes",
    "GRUCell LSTMCell SimpleRNNCell StackedRNNCells": "a part of RNN",
    "FlaxLayer JaxLayer TorchModuleWrapper": "for other backends",
    "TFSMLayer": "made of a file; tested by itself",
    "CutMix MixUp MaxNumBoundingBoxes": "takes labels or boxes beside images",
    "HashedCrossing": "takes a tuple of columns",
    "Equalization": "no functional model can be made of it: symbolically it gives its own input",
    "RandomShear": "Keras cannot make it again of its own configuration: frozen it goes, in a tail it is refused",
}


def layer_model(name: str) -> keras.Model:
    """A model with a layer of some class between others.

    Args:
        name: Its name in `LAYERS`.

    Returns:
        The model, of three classes.
    """
    kind, make = LAYERS[name]
    what = KINDS[kind]
    inputs = keras.Input(what.shape, dtype=what.dtype)
    x = inputs if what.first is None else what.first()(inputs)
    x = make()([x, L.Dense(x.shape[-1])(x)]) if name in _MERGING else make()(x)
    if len(x.shape) > 2 and name not in ("Flatten",):
        x = L.Flatten()(x)
    if "int" in x.dtype:
        x = L.CategoryEncoding(num_tokens=16, output_mode="multi_hot")(x)
    x = L.Dense(4, activation="relu", name="hidden")(x)
    return keras.Model(inputs, L.Dense(3, activation="softmax", name="answer")(x))
