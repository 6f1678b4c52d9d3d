"""Content addresses: the same for the same content, another for any other."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kdefrost import fingerprint


def _model(build):
    inputs = keras.Input((4,))
    return keras.Model(inputs, build(inputs))


def test_names_do_not_matter_and_weights_do():
    first, second = (_model(lambda x: keras.layers.Dense(2, kernel_initializer="ones")(x)) for _ in range(2))
    assert first.layers[-1].name != second.layers[-1].name
    assert fingerprint.of_model(first) == fingerprint.of_model(second)
    second.layers[-1].kernel.assign(2 * second.layers[-1].kernel)
    assert fingerprint.of_model(first) != fingerprint.of_model(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x * 2.0, lambda x: x * 300.0),
        (
            lambda x: keras.layers.Add()([x, keras.layers.ReLU()(x)]),
            lambda x: keras.layers.Add()([keras.layers.ReLU()(x)] * 2),
        ),
        (lambda x: keras.layers.ReLU(1.0)(x), lambda x: keras.layers.ReLU(2.0)(x)),
    ],
    ids=["constants", "wiring", "settings"],
)
def test_what_is_computed_matters(one, other):
    assert fingerprint.of_model(_model(one)) == fingerprint.of_model(_model(one))
    assert fingerprint.of_model(_model(one)) != fingerprint.of_model(_model(other))


def test_losses_and_metrics_are_told_apart_by_their_settings():
    losses = [keras.losses.Huber(delta) for delta in (1.0, 2.0, 1.0)]
    first, second, third = map(fingerprint.of_metric, losses)
    assert first == third != second
    assert fingerprint.of_metric("accuracy") == "accuracy"


def test_what_adapt_has_learnt_tells_models_apart():
    def model(numbers):
        lookup = keras.layers.IntegerLookup(max_tokens=8)
        lookup.adapt(np.array(numbers))
        inputs = keras.Input((2,), dtype="int64")
        x = keras.layers.Embedding(8, 2, embeddings_initializer="ones")(lookup(inputs))
        return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="ones")(keras.layers.Flatten()(x)))

    assert fingerprint.of_model(model([1, 2, 2])) == fingerprint.of_model(model([1, 2, 2]))
    assert fingerprint.of_model(model([1, 2, 2])) != fingerprint.of_model(model([1, 3, 3]))


class Silent(keras.layers.Layer):
    """Its configuration tells nothing of what it holds."""

    def __init__(self, held, **options):
        super().__init__(**options)
        self.held = held

    def call(self, x):
        return x

    def get_config(self):
        raise NotImplementedError


class Reticent(Silent):
    def get_config(self):
        return {}


def _scaled(factor):
    return lambda x: x * factor


@pytest.mark.parametrize("cls", [Silent, Reticent])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2.0, 3.0),
        ("a", "b"),
        (np.ones(3), np.array([0.0, 1.0, 1.0])),
        ([1, {"a": np.ones(2)}], [1, {"a": np.zeros(2)}]),
        (_scaled(2.0), _scaled(3.0)),
        (lambda x: x + 1, lambda x: x - 1),
        ({"a", "b"}, {"a", "c"}),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (np.array(["2020-01-01"], "datetime64[D]"), np.array(["2020-01-02"], "datetime64[D]")),
        (functools.partial(_scaled, 2.0), functools.partial(_scaled, 3.0)),
        (lambda x: [each + 1 for each in x], lambda x: [each + 2 for each in x]),
    ],
)
def test_a_layer_of_ones_own_goes_by_what_it_holds_too(cls, one, other):
    # Its name is Keras's, which counts on in a process.
    first, again = cls(one), cls(one)
    assert first.name != again.name
    assert fingerprint.of_layer(first) == fingerprint.of_layer(again)
    assert fingerprint.of_layer(first) != fingerprint.of_layer(cls(other))


def test_numbers_of_numpy_are_those_of_python():
    layers = keras.layers
    assert fingerprint.of_layer(layers.Dropout(np.float64(0.5))) == fingerprint.of_layer(layers.Dropout(0.5))
    losses = [keras.losses.Huber(delta=number(2.0)) for number in (float, np.float64)]
    assert fingerprint.of_metric(losses[0]) == fingerprint.of_metric(losses[1])


def test_a_function_with_arguments_set_is_the_same_in_every_process():
    partial = functools.partial(keras.losses.categorical_crossentropy, label_smoothing=0.1)
    assert " at 0x" not in fingerprint.of_metric(partial) and "0.1" in fingerprint.of_metric(partial)


def test_what_a_layer_keeps_of_its_last_call_does_not_count():
    class Keeping(Silent):
        def call(self, x):
            self.last = x * 2.0
            return self.last

    layer = Keeping(1)
    model = _model(layer)
    first = fingerprint.of_model(model)
    model.predict(np.ones((2, 4)), verbose=0)
    model(np.ones((3, 4)))
    assert fingerprint.of_model(model) == first


def test_a_function_that_calls_itself_is_held_like_any():
    def endless(x):
        return endless(x)

    assert fingerprint.of_layer(Silent(endless)) == fingerprint.of_layer(Silent(endless))


def test_names_of_layers_inside_a_layer_do_not_matter():
    first, again = (keras.layers.TimeDistributed(keras.layers.Dense(2)) for _ in range(2))
    assert first.layer.name != again.layer.name
    assert fingerprint.of_layer(first) == fingerprint.of_layer(again)
    assert fingerprint.of_layer(first) != fingerprint.of_layer(keras.layers.TimeDistributed(keras.layers.Dense(3)))


_IN_ANOTHER_PROCESS = """
import keras, numpy as np
from kdefrost import fingerprint

class Own(keras.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.words, self.names = {"red", "green", "blue"}, np.array(["red", "green"], object)
        self.function = lambda x: x in {"red", "green", "blue"}

    def call(self, x):
        return x

    def get_config(self):
        return {"words": self.words}

print(fingerprint.of_layer(Own()))
"""


def test_fingerprints_are_the_same_in_every_process(capsys):
    # Texts have other hashes, and sets another order, than in this one.
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    command = [sys.executable, "-c", _IN_ANOTHER_PROCESS]
    told = subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout
    exec(compile(_IN_ANOTHER_PROCESS, "<string>", "exec"), {"__name__": "__main__"})
    assert told == capsys.readouterr().out != ""
