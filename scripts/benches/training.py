"""How fast networks train."""

import time

import keras
import numpy as np

import kdefrost
from kdefrost import training
from scripts.benches.measuring import random_images, spread

BATCH, STEPS, EPOCHS = 128, 20, 2


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


def plain_network() -> keras.Model:
    """The same network with Keras's own batch normalisation."""

    def copy(layer):
        config = layer.get_config()
        own = isinstance(layer, keras.layers.BatchNormalization)
        return (keras.layers.BatchNormalization if own else type(layer)).from_config(config)

    return keras.models.clone_model(kdefrost.wide_resnet(16, 1), clone_function=copy)
