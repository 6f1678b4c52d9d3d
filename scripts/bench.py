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
import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# By name, the module in benches/ and its function.
BENCHES = {
    "training": ("training", "bench_training"),
    "head": ("training", "bench_head"),
    "autoencoder": ("autoencoder", "bench_autoencoder"),
    "similarity": ("similarity", "bench_similarity"),
    "streaming": ("streaming", "bench_streaming"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=BENCHES, help="what to measure (training and head)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="number of measurements of each (5)")
    arguments = parser.parse_args()
    for name in [arguments.what] if arguments.what else ["training", "head"]:
        module, function = BENCHES[name]
        # Only now, so that --help and a mistyped option answer at once.
        getattr(importlib.import_module(f"scripts.benches.{module}"), function)(arguments.rounds)


if __name__ == "__main__":
    main()
