import dataclasses
import itertools
import math

import keras_tuner
import numpy as np
import pytest

from kdefrost import Recipe
from kdefrost.tuning import Space, Tuned
from kdefrost.tuning.space import describe

START = Recipe(epochs=60)


def test_a_small_space_gives_every_recipe_once_and_the_start_first():
    space = Space(learning_rate=[0.1, 0.01], batch_size=[16, 128], optimizer=["sgd", "adam"])
    recipes = space.recipes(START, 20, seed=1)
    products = itertools.product([0.1, 0.01], [16, 128], ["sgd", "adam"])
    expected = {Recipe(epochs=60, learning_rate=r, batch_size=b, optimizer=o) for r, b, o in products}
    assert recipes[0] == START
    assert len(recipes) == 8 == space.size
    assert set(recipes) == expected


def test_a_start_outside_a_small_space_is_tried_too():
    recipes = Space(learning_rate=[0.3, 0.01]).recipes(START, 5, seed=1)
    assert [recipe.learning_rate for recipe in recipes] == [0.1, 0.3, 0.01]


@pytest.mark.parametrize("count", [2, 7, 12])
def test_draws_are_different_the_same_each_time_and_a_larger_number_has_the_smaller(count):
    space = Space(learning_rate=(0.001, 0.3), epochs=(5, 60), batch_size=[16, 32])
    recipes = space.recipes(START, count, seed=1)
    assert len(set(recipes)) == len(recipes) == count
    assert recipes == space.recipes(START, 20, seed=1)[:count]
    assert recipes[1:] != space.recipes(START, count, seed=2)[1:]


def test_draws_keep_to_their_ranges_evenly_in_the_logarithm_and_have_few_digits():
    recipes = Space(learning_rate=(0.001, 0.1), epochs=(4, 64), momentum=(0.5, 0.9)).recipes(START, 401, seed=1)[1:]
    rates, epochs, momenta = (
        np.array([getattr(each, name) for each in recipes]) for name in ("learning_rate", "epochs", "momentum")
    )
    for values, low, high in ((rates, 0.001, 0.1), (epochs, 4, 64), (momenta, 0.5, 0.9)):
        assert low <= values.min() and values.max() <= high
    # Means of 400 even draws, within four standard errors of the middle: a width of √(1/12/400).
    bound = 4 * math.sqrt(1 / 12 / 400)
    assert abs((np.log10(rates) + 2).mean() / 2) < bound
    assert abs((np.log2(epochs) - 4).mean() / 4) < bound + 0.05
    assert abs((momenta - 0.7).mean() / 0.4) < bound
    assert all(rate == float(f"{rate:.3g}") for rate in rates)
    assert all(dataclasses.replace(each, learning_rate=0.1, epochs=60, momentum=0.9) == START for each in recipes)


def test_rounding_keeps_to_the_range():
    low, high = 0.12341, 0.12349
    assert {each.learning_rate for each in Space(learning_rate=(low, high)).recipes(START, 3, seed=1)[1:]} <= {
        low,
        high,
    }


def test_a_space_of_fewer_numbers_than_asked_for_ends():
    recipes = Space(batch_size=(16, 18)).recipes(dataclasses.replace(START, batch_size=17), 3, seed=1)
    assert recipes[0].batch_size == 17
    assert {recipe.batch_size for recipe in recipes} == {16, 17, 18}


def test_without_hyperparameters_of_its_own_a_recipe_is_the_start():
    space = Space(learning_rate=(0.001, 0.3), batch_size=[64, 128], epochs=(20, 80))
    assert space.declare(keras_tuner.HyperParameters(), START) == START


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({}, "must leave a choice"),
        ({"learning_rate": [0.1]}, "must leave a choice"),
        ({"learning_rate": [0.1, 0.1]}, "must leave a choice"),
        ({"rate": [0.1, 0.2]}, "takes arguments of `Recipe`: epochs, .*Received: rate"),
        ({"learning_rate": 0.1}, "`learning_rate` must be a list of values, or a tuple"),
        ({"learning_rate": []}, "`learning_rate` must be a list of values, or a tuple"),
        ({"learning_rate": (0.1, 0.2, 0.3)}, "`learning_rate` must be a list of values, or a tuple"),
        ({"learning_rate": (0.3, 0.1)}, r"must be a range \(lowest, highest\), the lowest first"),
        ({"learning_rate": (0.1, 0.1)}, "the lowest first"),
        ({"weight_decay": (0, 0.1)}, "must be a range above 0"),
        ({"learning_rate": [0.1, math.nan]}, "must be of finite numbers"),
        ({"epochs": [2.5, 3]}, "`epochs` must be of whole numbers"),
        ({"epochs": [True, 3]}, "`epochs` must be of whole numbers"),
        ({"optimizer": ("sgd", "adam")}, "`optimizer` must be a list of values. Received"),
        ({"cut": 3}, "`cut` must be True or False"),
    ],
)
def test_what_is_no_space_is_said(choices, words):
    with pytest.raises(ValueError, match=words):
        Space(**choices)


def test_a_space_of_the_cut_alone_is_one():
    assert Space(cut=True).size == 1


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Space(learning_rate=[0.1, -1.0]), "`learning_rate` must be positive"),
        (Space(momentum=(0.5, 1.5)), "`momentum` must be at least 0 and below 1"),
        (Space(optimizer=["sgd", "none"]), "`optimizer` must be one of"),
        (Space(cut=True), "`space` must leave the cut out"),
    ],
)
def test_a_tuned_recipe_refuses_what_a_recipe_does(space, words):
    with pytest.raises(ValueError, match=words):
        Tuned(START, space)


def test_the_space_by_default_costs_the_same_for_every_recipe():
    start = Recipe(epochs=20, learning_rate=0.03, final_learning_rate=0.01)
    recipes = Tuned(start).draw()
    assert len(recipes) == 12 and recipes[0] == start
    assert {recipe.epochs for recipe in recipes} == {20}
    assert all(0.01 <= recipe.learning_rate <= 0.09 for recipe in recipes)


def test_a_recipe_is_told_by_what_is_otherwise():
    other = dataclasses.replace(START, learning_rate=0.0123, batch_size=16)
    assert describe(other, START) == "batch size 16, learning rate 0.0123"
