"""Results from files that are cut off, changed at random or edited: the right result or the stated error."""

import dataclasses
import functools
import json
import math
import warnings

import keras
import pytest
from conftest import FUZZED, JUNK, damaged, edited, places_in
from hypothesis import given
from hypothesis import strategies as st

import kdefrost
from kdefrost.card import model_card
from kdefrost.files import json_digest
from kdefrost.profile.search import Searched
from kdefrost.tuning.result import Tuning, TuningTrial

NAN = math.nan
OBJECTIVE = kdefrost.Objective("accuracy", "max")
RECIPES = kdefrost.Recipe(epochs=3), kdefrost.Recipe(epochs=3, learning_rate=0.01)
SHAPE = (8, 8, 1)
CUTS = tuple(
    kdefrost.Cut(index, f"layer{index}", ((f"layer{index}", 0, 0),), (SHAPE,), index, 4, 10 * index, 40, 40 - index, 40)
    for index in range(3)
)


def _tuned():
    """Several sizes and metrics, a diverged training, what was not tried, a tuned recipe."""
    scores = {(0, 0): 0.5, (1, 0): NAN, (2, 0): 2 / 3, (0, 1): 0.1, (2, 1): 1.0}
    trials = [
        kdefrost.Trial(cut, size, seed, {"accuracy": score, "auc": 0.5}, {"accuracy": 1 - score, "auc": 0.0}, 1 / 3)
        for (cut, seed), score in scores.items()
        for size in (4, None)
    ]
    tuned = [TuningTrial(recipe, 1, 4, (0,), None, {"accuracy": 0.5 + recipe / 10}, 0.5) for recipe in (0, 1)]
    configuration = {
        "recipe": dataclasses.asdict(RECIPES[1]),
        "task": {"kind": "classification", "units": 3},
        "source_name": "small",
        "data": {"train": "abc", "test": None},
        "examples": 60,
        "folds": None,
        "facts": {
            "examples": {"train": 60, "test": 30, "validation": 12},
            "classes": {"train": [20, 20, 20], "test": [10, 10, 10], "validation": [4, 4, 4]},
            "copies": [[4, "test", 3, 30], [None, "validation", 1, 12]],
            "constant": [[0, 0.95], [1, 0.1], [2, 0.0]],
            "transparent": [5, 60],
            "diverged": [[1, 4, 0]],
            "undefined": [[1, None, 0]],
            "failed": [],
        },
        "tuning": dataclasses.asdict(Tuning(RECIPES, tuple(tuned), OBJECTIVE, 1e9)),
    }
    return kdefrost.DefrostProfile(CUTS, tuple(trials), OBJECTIVE, configuration)


def _searched():
    searched = Searched(4, 0.25, "share", 0.2, "settled"), Searched(None, 60.0, "seconds", 20.0, "spent")
    return dataclasses.replace(_tuned(), searched=searched)


def _in_folds():
    trials = [
        kdefrost.Trial(cut, 4, 0, None, {"mse": cut + fold / 3}, 0.1, repeat=0, fold=fold)
        for cut in range(3)
        for fold in range(3)
    ]
    return kdefrost.DefrostProfile(CUTS, tuple(trials), kdefrost.Objective("mse", "min"), {"source_name": "small"})


def _compliance():
    trials = [
        kdefrost.ComplianceTrial(layers, strength, 4, seed, {"accuracy": seed / 3}, None, [0.3], [0.6], [0.9] * 3, 2.0)
        for layers, strength in ((0, 0.0), (1, 0.1), (1, math.inf))
        for seed in (0, 1)
    ]
    return kdefrost.ComplianceProfile({"conv2d": 1}, CUTS, tuple(trials), OBJECTIVE, {"normalization": False})


def _similarity():
    comparisons = [
        kdefrost.LayerComparison(pair, cut.index, cut.index, {"cka": cut.index / 3, "neighborhood_overlap": NAN})
        for pair in (0, 1)
        for cut in CUTS
    ]
    return kdefrost.LayerwiseSimilarity(CUTS, CUTS, tuple(comparisons), {"pairs": "same"})


def _transferability():
    seconds = {"pooling": 0.1, "logme": 0.5, "ridge": 0.25}
    measured = [
        kdefrost.CutScores(cut.index, seed, {"logme": -1, "ridge": NAN}, seconds) for cut in CUTS for seed in (0, 1)
    ]
    return kdefrost.Transferability(CUTS, tuple(measured), {"sizes": {"all": 24}})


def _say_all_of_a_profile(profile):
    assert profile.summary()
    if profile.trials and profile.is_scored(profile.per_class[-1]):
        assert model_card(_model(), profile)


@functools.cache
def _model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def _say_all_of_compliance(result):
    for count in result.counts:
        result.deepest_cut(count)
        asked = (count,), (count,), (count, result.cuts[0])
        for numbers, about in zip((result.scores, result.distances, result.similarity), asked, strict=True):
            assert numbers(*about).shape == (len(result.seeds), len(result.strengths))


def _say_all_of_similarity(result):
    assert result.table()
    for name in result.names:
        result.matrix(name)


# Results of each kind, and what calls all that speaks of them.
KINDS = {
    "profile": ([_tuned(), _searched(), _in_folds()], _say_all_of_a_profile),
    "compliance": ([_compliance()], _say_all_of_compliance),
    "similarity": ([_similarity()], _say_all_of_similarity),
    "transferability": ([_transferability()], lambda result: result.summary()),
}


def _loaded(kind, path):
    """What a file is read as; `None` where it is refused by a sentence that names it."""
    try:
        return kind.load(path)
    except (ValueError, OSError) as error:
        assert str(path) in str(error), error
        return None


def test_a_file_with_any_damage_gives_the_result_or_is_refused(tmp_path):
    path, result, outcomes = tmp_path / "profile.json", _searched(), {"right": 0, "refused": 0}
    result.save(path)
    whole = path.read_bytes()

    @FUZZED
    @given(damaged(whole))
    def read(content):
        path.write_bytes(content)
        again = _loaded(kdefrost.DefrostProfile, path)
        outcomes["refused" if again is None else "right"] += 1
        assert again is None or repr(again) == expected

    # As JSON has it, lists for tuples in the configuration.
    expected = repr(kdefrost.DefrostProfile.load(path))
    read()
    print(outcomes)
    assert outcomes["refused"] > outcomes["right"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_file_gives_a_result_of_which_all_can_be_said_or_is_refused(kind, tmp_path):
    results, say = KINDS[kind]
    path, again = tmp_path / "result.json", tmp_path / "again.json"
    texts = []
    for result in results:
        result.save(path)
        texts.append(path.read_text())
    places = [
        (number, place)
        for number, text in enumerate(texts)
        for place in places_in(json.loads(text))
        if place[0] != "sha256"
    ]
    changes = st.tuples(st.sampled_from(["replace"] * 4 + ["drop", "repeat", "add", "scale"]), JUNK)
    outcomes = {"read": 0, "refused": 0}

    @FUZZED
    @given(st.sampled_from(places), changes, st.none() | st.tuples(st.sampled_from(places), changes), st.booleans())
    def read(first, change, second, signed):
        number, place = first
        values = json.loads(texts[number])
        del values["sha256"]
        values = edited(values, place, *change)
        if second is not None:
            (_, other), change = second
            values = edited(values, other, *change)
        if signed:
            values["sha256"] = json_digest(values)
        path.write_text(json.dumps(values))
        loaded = _loaded(type(results[0]), path)
        outcomes["refused" if loaded is None else "read"] += 1
        if loaded is None:
            return
        with warnings.catch_warnings():
            # Means of numbers at the edge of what floats hold.
            warnings.simplefilter("ignore", RuntimeWarning)
            say(loaded)
            loaded.rows()
        loaded.save(again)
        assert repr(_loaded(type(loaded), again)) == repr(loaded)

    read()
    print(kind, outcomes)
    assert min(outcomes.values()) > 50
