"""`.keras` files that are cut off, changed at random or edited: the model that was saved, one that is, or an error."""

import io
import json
import warnings
import zipfile

import keras
import numpy as np
import pytest
from conftest import FUZZED, JUNK, damaged, edited, places_in
from hypothesis import given, settings
from hypothesis import strategies as st

import kdefrost

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model of one layer, and the bytes of its file."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    path = tmp_path_factory.mktemp("source") / "source.keras"
    model.save(path)
    return model, path.read_bytes()


def _loaded(path):
    """What a file is read as; `None` where it is refused by a sentence that names it."""
    try:
        with warnings.catch_warnings():
            # Keras's, of what is odd in a configuration.
            warnings.simplefilter("ignore")
            return kdefrost.load_source(path)
    except ValueError as error:
        assert f"The source file {path} cannot be read as a .keras model: " in str(error), error
        return None


def _parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path, parts: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_file_with_any_damage_is_the_model_or_is_refused(saved, tmp_path):
    model, whole = saved
    path, outcomes = tmp_path / "source.keras", {"right": 0, "refused": 0}

    @FUZZED
    @given(damaged(whole))
    def read(content):
        path.write_bytes(content)
        again = _loaded(path)
        outcomes["refused" if again is None else "right"] += 1
        if again is not None:
            assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
            for expected, array in zip(model.get_weights(), again.get_weights(), strict=True):
                np.testing.assert_array_equal(array, expected)

    read()
    print(outcomes)
    assert min(outcomes.values()) > 10


def test_an_edited_description_is_that_of_a_model_or_is_refused(saved, tmp_path):
    path, outcomes, parts = tmp_path / "source.keras", {"read": 0, "refused": 0}, _parts(saved[1])
    values = json.loads(parts[CONFIG])
    changes = st.sampled_from(["replace", "replace", "drop", "repeat", "add", "scale"])

    # A quarter of them: Keras builds a model of each.
    @settings(FUZZED, max_examples=FUZZED.max_examples // 4)
    @given(st.sampled_from(list(places_in(values))), changes, JUNK)
    def read(place, change, junk):
        description = json.dumps(edited(values, place, change, junk)).encode()
        _write(path, {**parts, CONFIG: description})
        model = _loaded(path)
        outcomes["refused" if model is None else "read"] += 1
        assert model is None or isinstance(model, keras.Model)

    read()
    print(outcomes)
    assert min(outcomes.values()) > 10


def test_weights_that_the_archives_checksum_does_not_fit_are_refused(saved, tmp_path):
    model, whole = saved
    place = whole.index(model.get_weights()[0].tobytes())
    path = tmp_path / "source.keras"
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=rf"source\.keras cannot be read as a \.keras model: its {WEIGHTS} is damaged"):
        kdefrost.load_source(path)


@pytest.mark.parametrize(
    ("parts", "words"),
    {
        "nothing": ({}, "it has no config.json, which says what layers there are"),
        "no object": ({CONFIG: b"[]"}, "its config.json describes no model"),
        "a layer": (
            {CONFIG: json.dumps(keras.saving.serialize_keras_object(keras.layers.ReLU())).encode()},
            "it holds a ReLU, which is no model",
        ),
    }.values(),
)
def test_archives_of_something_else_are_refused(saved, parts, words, tmp_path):
    weights = {name: content for name, content in _parts(saved[1]).items() if name != CONFIG}
    _write(tmp_path / "source.keras", {**weights, **parts})
    with pytest.raises(ValueError, match=words):
        kdefrost.load_source(tmp_path / "source.keras")
