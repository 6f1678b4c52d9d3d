"""Recipes and presets."""

import dataclasses
import json

import numpy as np
import pytest

import kdefrost


def test_paper_preset_is_the_papers():
    paper = kdefrost.PRESETS["paper"]
    assert paper.model == "wide_resnet_28_4" and paper.seeds == 20 and paper.per_class == (16, 64, 256, 1024, 5000)
    for recipe in (paper.source, paper.target):
        assert dataclasses.asdict(recipe) == {
            "epochs": 200,
            "batch_size": 128,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "batch_norm_momentum": 0.9,
            "schedule": "cosine",
            "optimizer": "sgd",
            "warmup_epochs": 0,
            "final_learning_rate": 0.0,
        }
    autoencoder = paper.autoencoder
    assert (autoencoder.epochs, autoencoder.batch_size, autoencoder.optimizer) == (500, 256, "adam")
    assert (autoencoder.learning_rate, autoencoder.warmup_epochs, autoencoder.final_learning_rate) == (1e-3, 100, 1e-5)
    assert (autoencoder.weight_decay, autoencoder.dtype) == (0.0, "float32")


def test_laptop_preset():
    laptop = kdefrost.PRESETS["laptop"]
    assert (laptop.model, laptop.source.epochs, laptop.target.epochs) == ("wide_resnet_16_1", 8, 60)


@pytest.mark.parametrize(("examples", "steps"), [(1, 3), (128, 3), (129, 6), (640, 15)])
def test_steps_count_an_epochs_last_part(examples, steps):
    assert kdefrost.Recipe(epochs=3).steps(examples) == steps


def test_numpys_numbers_make_the_same_recipe():
    plain = kdefrost.Recipe(epochs=3, batch_size=8, learning_rate=0.5, momentum=0.0, weight_decay=0.0)
    other = kdefrost.Recipe(
        epochs=np.int64(3), batch_size=np.int32(8), learning_rate=np.float32(0.5), momentum=0, weight_decay=0
    )
    assert json.dumps(dataclasses.asdict(other)) == json.dumps(dataclasses.asdict(plain))
