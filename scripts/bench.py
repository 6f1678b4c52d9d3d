#!/usr/bin/env python
"""Measures how fast kdefrost trains, beside what Keras does by itself, in one run.

  training   Wide-ResNet-16-1 on 32×32 images, batch 128: images per second of kdefrost and
             of the same network with Keras's own batch normalisation and `fit(epochs=…)`,
             taken in turn
  head       a trial at the last cut: 60 epochs on 640 examples, evaluated on 1,000
  autoencoder  an autoencoder with 32 numbers in its bottleneck on 32×32 images: images per second
             of kdefrost in both precisions and of the plainest Keras (`fit(epochs=…)` on arrays),
             taken in turn with the machine's own rate of matrix products, at the batch sizes of
             the presets (about 4 minutes; it runs only by name)
  similarity  all measures of two representations, 10,000 points of 4,096 numbers, in turn with the
             machine's own rate of matrix products; growing numbers of points; then two of the measures
             by DADApy, where it is installed: time and peak memory, which Linux tells (about 5
             minutes; it runs only by name)
  streaming  50,000 images of 224×224 as a tf.data.Dataset, to train and to test on, cut twice
             through a MobileNetV2 of width 0.35: peak memory, and time (about 10 minutes; it
             runs only by name)

Images are random: speed does not depend on what they show.
"""

import sys
from pathlib import Path

# As in profile.py: this folder would hide Python's own module `profile`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import functools
import multiprocessing
import os
import resource
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import tensorflow as tf

import kdefrost
from kdefrost import training
from kdefrost.autoencoders import for_training
from kdefrost.recipe import DTYPES

BATCH, STEPS, EPOCHS = 128, 20, 2
STREAMED = 50_000
# Of similarity: points and numbers of each.
POINTS, WIDTH = 10_000, 4_096
GROWING, GROWING_WIDTH = (12_500, 25_000, 50_000), 1_024
# Of the autoencoder.
CHANNELS, STRIDES = (32, 32, 64, 64, 64), (2, 1, 2, 1, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=BENCHES, help="what to measure (training and head)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="number of measurements of each (5)")
    arguments = parser.parse_args()
    for name in [arguments.what] if arguments.what else ["training", "head"]:
        BENCHES[name](arguments.rounds)


def bench_training(rounds: int):
    images, labels = random_images(BATCH * STEPS)
    plain, fused = plain_network(), kdefrost.wide_resnet(16, 1)
    plain.compile(keras.optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    recipe = kdefrost.Recipe(epochs=EPOCHS)
    training.compile_model(fused, recipe)
    ways = {
        "Keras": lambda: plain.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0),
        "kdefrost": lambda: training.fit(fused, images, labels, recipe, seed=0),
    }
    rates = {name: [] for name in ways}
    # The first round compiles and does not count.
    for number in range(rounds + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                rates[name].append(EPOCHS * len(images) / (time.perf_counter() - start))
    print(f"Training Wide-ResNet-16-1, batch {BATCH}, images/s, {rounds} rounds in turn:")
    for name, values in rates.items():
        print(f"  {name:10} {spread(values, '.0f')}")
    print(f"  {'ratio':10} {spread(np.divide(rates['kdefrost'], rates['Keras']), '.2f')}")


def bench_head(rounds: int):
    defroster = kdefrost.Defroster(kdefrost.wide_resnet(16, 1), kdefrost.Recipe(epochs=60), cuts=["pool"])
    train, test = random_images(1000), random_images(1000)
    profile = defroster.profile(train, test=test, per_class=64, seeds=rounds + 1, verbose=False)
    seconds = [trial.seconds for trial in profile.trials]
    print("A trial at the last cut, 60 epochs on 640 examples, seconds:")
    print(f"  first, with compiling  {seconds[0]:.2f}")
    print(f"  the {rounds} after it        {spread(seconds[1:], '.2f')}")


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


def matmul_rate(dtype: str, size: int = 2048, repeats: int = 5) -> float:
    """The best rate of products of square matrices, of TensorFlow and in float32 of NumPy too, in GFLOP/s."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    tensor, seconds = tf.cast(matrix, dtype.removeprefix("mixed_")), []
    products = [lambda: tf.linalg.matmul(tensor, tensor).numpy()]
    if dtype == "float32":
        products.append(lambda: matrix @ matrix)
    for product in products * repeats:
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


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


def bench_streaming(rounds: int):
    def batches():
        some = np.random.default_rng(0).integers(0, 256, (64, 224, 224, 3), np.uint8)
        for number in range(STREAMED // 50):
            yield np.roll(some, number, axis=0)[:50] ^ np.uint8(number % 256), np.arange(50) % 2

    signature = (tf.TensorSpec((None, 224, 224, 3), tf.uint8), tf.TensorSpec((None,), tf.int64))
    images = tf.data.Dataset.from_generator(batches, output_signature=signature)
    source = keras.applications.MobileNetV2((224, 224, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    cuts = ["block_12_add", "global_average_pooling2d"]
    start = time.perf_counter()
    defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=2), cuts=cuts)
    defroster.profile(images, test=images, per_class=100, seeds=1)
    # Linux counts in units of 1,024 bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{STREAMED} images of 224×224, to train and to test on: peak {peak:.2f} GB, ", end="")
    print(f"{time.perf_counter() - start:.0f} s")


def bench_similarity(rounds: int):
    bench_compare(rounds)
    print(f"Growing, {GROWING_WIDTH:,} numbers a point, once each, each in a process of its own:")
    # Memory that is freed may stay with a process.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        for line in processes.imap(grow, GROWING, chunksize=1):
            print(f"  {line}", flush=True)
    bench_dadapy()


def grow(points: int) -> str:
    before = settled_memory()
    x, y = related_points(points, GROWING_WIDTH)
    elapsed, peak = measured(functools.partial(kdefrost.similarity.compare, x, y))
    beside, inputs = (peak - before - 2 * x.nbytes) / 1e9, 2 * x.nbytes / 1e9
    per_pair = 1e9 * elapsed / points**2
    return (
        f"{points:,} points: {elapsed:.1f} s, {per_pair:.1f} ns per pair, peak {beside:.2f} GB beside {inputs:.2f} GB"
    )


def bench_compare(rounds: int):
    before = settled_memory()
    x, y = related_points(POINTS, WIDTH)
    seconds, peaks, rates = [], [], []
    # The first round compiles and does not count.
    for number in range(rounds + 1):
        rate = matmul_rate("float32")
        elapsed, peak = measured(functools.partial(kdefrost.similarity.compare, x, y))
        peaks.append((peak - before - 2 * x.nbytes) / 1e9)
        if number:
            seconds.append(elapsed)
            rates.append(rate)
    # A multiply-add is two operations; half of all products are distinct.
    least = 2 * POINTS**2 * WIDTH / 1e9 / np.array(rates)
    print(f"All measures of two representations, {POINTS:,} points of {WIDTH:,} numbers, {rounds} rounds:")
    print(f"  matrix products, float32, GFLOP/s: {spread(rates, '.0f')}")
    print(f"  compare, s: {spread(seconds, '.2f')}")
    print(f"  distinct multiply-adds alone at that rate, s: {spread(least, '.2f')}")
    print(f"  ratio: {spread(np.divide(seconds, least), '.2f')}")
    print(f"  peak memory beside the inputs, GB: {spread(peaks, '.2f')}", flush=True)


def bench_dadapy():
    """Two of the measures by the package of those who introduced one of them, each by its own call."""
    try:
        from dadapy import MetricComparisons
    except ImportError:
        print("DADApy is not installed: pip install dadapy==0.3.4")
        return
    before = memory("VmRSS")
    x, y = related_points(POINTS, WIDTH)
    points = MetricComparisons(coordinates=x)
    calls = {
        "information imbalance both ways": lambda: points.return_information_imbalace(y, subset_size=len(x) + 1),
        "neighbourhood overlap": lambda: points.return_data_overlap(coordinates=y, k=30),
    }
    warnings.simplefilter("ignore")
    for name, call in calls.items():
        elapsed, peak = measured(call)
        print(f"DADApy, {name}, once: {elapsed:.1f} s, ", end="")
        print(f"peak {(peak - before - 2 * x.nbytes) / 1e9:.2f} GB beside the inputs", flush=True)


def related_points(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two representations with something in common, made in place."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((count, width), np.float32) for _ in range(2))
    for rows in np.array_split(np.arange(count), 50):
        y[rows] += 0.5 * x[rows]
    return x, y


def settled_memory() -> int:
    """What this process has, in bytes, once TensorFlow is loaded and has compared some points."""
    kdefrost.similarity.compare(*related_points(500, 64))
    matmul_rate("float32")
    return memory("VmRSS")


def measured(run) -> tuple[float, int]:
    """Seconds that something takes, and the bytes that this process has at its peak."""
    # Linux keeps the peak of a process; this sets it back to what there is now.
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    run()
    return time.perf_counter() - start, memory("VmHWM")


def memory(field: str) -> int:
    """A figure of this process's memory, in bytes, as Linux has it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def random_images(count: int):
    images = np.random.default_rng(0).standard_normal((count, 32, 32, 3), np.float32)
    return images, np.arange(count) % 10


def plain_network() -> keras.Model:
    """The same network with Keras's own batch normalisation."""

    def copy(layer):
        config = layer.get_config()
        own = isinstance(layer, keras.layers.BatchNormalization)
        return (keras.layers.BatchNormalization if own else type(layer)).from_config(config)

    return keras.models.clone_model(kdefrost.wide_resnet(16, 1), clone_function=copy)


def spread(values, form: str) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"median {middle:{form}}, from {low:{form}} to {high:{form}}"


BENCHES = {
    "training": bench_training,
    "head": bench_head,
    "autoencoder": bench_autoencoder,
    "similarity": bench_similarity,
    "streaming": bench_streaming,
}

if __name__ == "__main__":
    main()
