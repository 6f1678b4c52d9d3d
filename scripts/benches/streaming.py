"""What memory a data set takes that does not fit."""

import resource
import time

import keras
import numpy as np
import tensorflow as tf

import kdefrost

STREAMED = 50_000


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
