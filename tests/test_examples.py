"""Every example of a docstring runs, on tiny stand-ins for what it takes as given."""

import ast
import doctest
import functools
import io
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT
from PIL import Image

import kdefrost

# What would take long, and in its place what shows the same; each is in some example.
SHORTER = {
    "max_trials=20": "max_trials=2",
    "recipes=8": "recipes=2",
    "Recipe(epochs=60), ": "Recipe(epochs=1), ",
    "epochs=[20, 60]": "epochs=[1, 2]",
    "per_class=1000, seeds=3": "per_class=4, seeds=1, strengths=[0.0, 1.0]",
    "epochs=20, warmup_epochs=1)\n": "epochs=2, warmup_epochs=1)\n",
    "model.fit(x, y, epochs=20)": "model.fit(x, y, epochs=1, verbose=0)",
}


def _examples() -> Iterator:
    """Module, name and docstring of all that has an example."""
    for path in sorted((PROJECT / "kdefrost").rglob("*.py")):
        module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                _, found, code = (ast.get_docstring(node) or "").partition("\nExample:\n")
                if found:
                    yield pytest.param(module, node.name, f"{code}\n", id=f"{module}-{node.name}")


EXAMPLES = list(_examples())


def _layers(count: int) -> keras.Model:
    """So many layers, from four numbers to three classes."""
    hidden = [keras.layers.Dense(4, activation="relu", name=f"dense_{number}") for number in range(count - 1)]
    return keras.Sequential(
        [keras.Input((4,), name="numbers"), *hidden, keras.layers.Dense(3, activation="softmax", name="output")]
    )


def _numbers(per_class: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(3 * per_class) % 3
    return np.random.default_rng(0).normal(labels[:, None], 1.0, (len(labels), 4)).astype("float32"), labels


def _images(count: int) -> kdefrost.Examples:
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 200, (count, 8, 8, 3)) + 20 * labels[:, None, None, None]
    return kdefrost.Examples(images.astype("uint8"), labels)


def _network() -> keras.Model:
    """A network for such images."""
    layers = keras.layers
    hidden = [layers.Conv2D(4, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D(name="pool")]
    return keras.Sequential([keras.Input((8, 8, 3)), *hidden, layers.Dense(3, activation="softmax")])


def _data() -> kdefrost.ImageData:
    return kdefrost.ImageData("tiny", _images(30), _images(102), ("a", "b", "c"))


def _profile(seed: int = 0) -> kdefrost.DefrostProfile:
    """A profile of what no training gave."""
    cuts, rng = kdefrost.cut_points(_layers(3)), np.random.default_rng(seed)
    scores = [{"accuracy": float(score)} for score in rng.uniform(size=len(cuts))]
    trials = [kdefrost.Trial(cut.index, 256, 0, score, score, 1.0) for cut, score in zip(cuts, scores, strict=True)]
    return kdefrost.DefrostProfile(tuple(cuts), tuple(trials), kdefrost.Objective("accuracy", "max"))


def _similarity() -> kdefrost.LayerwiseSimilarity:
    return kdefrost.similarity.layerwise(_layers(3), _layers(3), _numbers(40)[0], verbose=False)


def _source(code: str) -> keras.Model:
    return _layers(11 if "layers=10" in code else 2)


# What examples take as given, by its name, for the code of the example.
STAND_INS: dict[str, Callable] = {
    "clone": lambda code: _data(),
    "close": lambda code: _similarity() if "neighborhood_overlap" in code else _profile(1),
    "crude": lambda code: _similarity() if "neighborhood_overlap" in code else _profile(0),
    "data": lambda code: _data(),
    "defroster": lambda code: kdefrost.Defroster(_source(code), kdefrost.Recipe(epochs=1), cuts=2),
    "digits": lambda code: _data(),
    "images": lambda code: _numbers(1)[0],
    "kdefrost": lambda code: kdefrost,
    "keras_tuner": lambda code: keras_tuner,
    "model": _source,
    "network": lambda code: _network(),
    "np": lambda code: np,
    "patients": lambda code: np.arange(3 * 64) // 6,
    "source": lambda code: _network() if "data." in code else _source(code),
    "target": lambda code: _network(),
    "tf": lambda code: tf,
    "x": lambda code: _numbers(64)[0],
    "x_test": lambda code: _numbers(10)[0],
    "y": lambda code: _numbers(64)[1],
    "y_test": lambda code: _numbers(10)[1],
}
WEIGHTS = "notop.weights.h5"


@functools.cache
def _mobilenet() -> keras.Model:
    return keras.applications.MobileNetV2((96, 96, 3), 0.35, include_top=False, weights=None)


def _write_files(code: str):
    """The files that an example reads."""
    for name in re.findall(r'"(\w+/\d\.(?:jpg|png))"', code):
        path = Path("photos", name)
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    for name in ("isogm", "gm") if "runs/{name}" in code else ():
        Path("runs", name).mkdir(parents=True)
        _profile().save(Path("runs", name, "profile.json"))
    if WEIGHTS in code:
        _mobilenet().save_weights(WEIGHTS)


def _blocks(docstring: str) -> list[str]:
    """What an example runs: statements at prompts, with what they give, or those between fences."""
    return re.findall(r"^```python\n(.*?)^```$", docstring, re.DOTALL | re.MULTILINE) or [docstring]


@pytest.fixture
def _elsewhere(tmp_path, monkeypatch):
    """Examples write where they are run."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("module", "name", "docstring"), EXAMPLES)
def test_an_example_runs(module, name, docstring, _elsewhere):
    for long, short in SHORTER.items():
        docstring = docstring.replace(long, short)
    _write_files(docstring)
    names = set(re.findall(r"\w+", docstring))
    there = {given: make(docstring) for given, make in STAND_INS.items() if given in names}
    if "profile" in names and "defroster" in there and not re.search(r"profile =", docstring):
        there["profile"] = there["defroster"].profile(_numbers(256), per_class=256, folds=2)
    # Beside these an example knows itself alone.
    itself = getattr(import_module(module), name, None)
    namespace = there if itself is None else {**there, name: itself}
    for block in _blocks(docstring):
        if ">>>" not in block:
            exec(compile(block, module, "exec"), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(block, namespace, module, None, None)
        said = io.StringIO()
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.write, clear_globs=False)
        assert test.examples and not said.getvalue(), said.getvalue()


def test_each_stand_in_and_each_shortening_is_needed():
    text = "".join(example.values[2] for example in EXAMPLES)
    assert all(long in text for long in SHORTER)
    assert STAND_INS.keys() <= set(re.findall(r"\w+", text))
