"""How fast autoencoders train."""

import functools
import time

import keras
import numpy as np

import kdefrost
from kdefrost import training
from kdefrost.clones.autoencoders import for_training
from kdefrost.training.recipe import DTYPES
from scripts.benches.measuring import matmul_rate, spread

BATCH, STEPS, EPOCHS = 128, 20, 2
CHANNELS, STRIDES = (32, 32, 64, 64, 64), (2, 1, 2, 1, 2)


def bench_autoencoder(rounds: int):
    for preset in ("paper", "laptop"):
        _bench_autoencoder(kdefrost.PRESETS[preset].autoencoder.batch_size, rounds)


def _bench_autoencoder(batch: int, rounds: int):
    images = np.random.default_rng(0).integers(0, 256, (BATCH * STEPS, 32, 32, 3), np.uint8)
    standard = kdefrost.data.standardization(images)(images).numpy()
    plain = plain_autoencoder()
    ways = {"Keras": lambda: plain.fit(standard, standard, batch_size=batch, epochs=EPOCHS, verbose=0)}
    for dtype in DTYPES:
        recipe = kdefrost.AutoencoderRecipe(epochs=EPOCHS, warmup_epochs=0, batch_size=batch, dtype=dtype)
        whole, _ = for_training(images, 32, recipe)
        ways[f"kdefrost, {dtype}"] = functools.partial(training.fit, whole, images, images, recipe, seed=0)
    rates, products = {name: [] for name in ways}, {dtype: [] for dtype in DTYPES}
    # The first round compiles and does not count.
    for number in range(rounds + 1):
        for dtype in DTYPES:
            products[dtype].append(matmul_rate(dtype))
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                rates[name].append(EPOCHS * len(images) / (time.perf_counter() - start))
    # A training step costs three passes, a multiply-add is two operations.
    flops = 3 * 2 * kdefrost.cut_points(plain)[0].multiply_adds
    print(f"Training an autoencoder of {flops / 1e6:.1f} MFLOP per image, batch {batch}, {rounds} rounds in turn:")
    for dtype, values in products.items():
        print(f"  matrix products, {dtype}, GFLOP/s: {spread(values, '.0f')}")
    for name, values in rates.items():
        print(f"  {name}, images/s: {spread(values, '.0f')}")
        print(f"    over Keras: {spread(np.divide(values, rates['Keras']), '.2f')}")
        for dtype in DTYPES:
            share = np.array(values) * flops / 1e9 / products[dtype][1:]
            print(f"    of what products in {dtype} allow: {spread(share, '.2f')}")


def plain_autoencoder() -> keras.Model:
    """The same autoencoder as who knows Keras would write it."""
    layers = keras.layers
    encoder = [layers.Conv2D(c, 3, s, "same", activation="gelu") for c, s in zip(CHANNELS, STRIDES, strict=True)]
    mirrored = zip([*CHANNELS[-2::-1], 3], STRIDES[::-1], strict=True)
    decoder = [layers.Conv2DTranspose(c, 3, s, "same", activation="gelu") for c, s in mirrored]
    decoder[-1].activation = keras.activations.linear
    middle = [layers.Flatten(), layers.Dense(32), layers.Dense(1024, "gelu"), layers.Reshape((4, 4, 64))]
    model = keras.Sequential([keras.Input((32, 32, 3)), *encoder, *middle, *decoder])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model
