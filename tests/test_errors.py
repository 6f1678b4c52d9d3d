"""Bad input: whatever is given to the public interface, a sentence says which argument cannot be, and what came.

A row is an argument, what is given for it, and words that the error must have. What needs the fixtures is a function of
them. Errors about files have types of their own, which stand last.
"""

import dataclasses
import datetime
import math
import traceback
from functools import partial
from pathlib import Path
from types import FunctionType, SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_easy

import kdefrost
from kdefrost import similarity, transferability, tuning
from kdefrost.similarity.gram import Indistinct

PACKAGE = str(Path(kdefrost.__file__).parent)
RECIPE = kdefrost.Recipe(epochs=1, batch_size=16)
NAN, INFINITY = math.nan, math.inf


@pytest.fixture(scope="module")
def given(small, tmp_path_factory):
    """Models, data, results and files, made once."""
    keras.utils.set_random_seed(0)
    folder, (x, y) = tmp_path_factory.mktemp("given"), make_easy(60, 0)
    defroster = kdefrost.Defroster(small, RECIPE, cuts=[1, 2])
    sets = {"train": (x, y), "test": (x[:30], y[:30]), "per_class": 2, "seeds": 1, "verbose": False}
    profile = defroster.profile(**sets)
    spring = defroster.compliance(**sets, strengths=[0.1], layers=1)
    scores = defroster.transferability((x, y), 2, scores=["ridge"], verbose=False)
    digits = kdefrost.load_data("digits")
    points = np.random.default_rng(0).normal(size=(50, 5))
    to_train = {"name": "gm", "target": digits, "model": "wide_resnet_10_1", "recipe": RECIPE, "directory": folder}
    given = SimpleNamespace(
        **{name: value for name, value in locals().items() if name != "tmp_path_factory"},
        models=_models(),
        classes=np.arange(50) % 3,
        nan=np.where(x > 2, NAN, x),
        scored={"train": (x, y), "verbose": False},
        cuts_to_score={
            "source": small,
            "cuts": kdefrost.cut_points(small),
            "images": x,
            "labels": y,
            "scores": ["ridge"],
        },
        coupled={"model": small, "source": small, "layers": 1},
        to_compress={"images": x, "bottleneck": 2, "recipe": kdefrost.AutoencoderRecipe()},
    )
    _write_files(given)
    return given


def _models() -> SimpleNamespace:
    """Models that cannot be cut."""
    layers = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    subclassed = type("Subclassed", (keras.Model,), {"call": lambda self, x: x})()
    return SimpleNamespace(
        two_inputs=keras.Model([left, right], layers.Dense(2)(layers.Concatenate()([left, right]))),
        two_outputs=keras.Model(left, [layers.Dense(2)(left), layers.Dense(3)(left)]),
        no_kernel=keras.Sequential([keras.Input((4,)), layers.ReLU()]),
        vector=keras.Sequential([keras.Input((4,)), layers.Dense(2)]),
        unbuilt=keras.Sequential([layers.Dense(2)]),
        subclassed=subclassed,
    )


def _write_files(given):
    given.profile.save(given.folder / "profile.json")
    (given.folder / "empty.json").touch()
    (given.folder / "list.json").write_text("[]")
    (given.folder / "other.json").write_text("{}")
    (given.folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (given.folder / "half.json").write_text((given.folder / "profile.json").read_text()[:300])
    (given.folder / "corrupt.keras").write_bytes(b"PK\x03\x04")
    (given.folder / "nothing").mkdir()


# What is not cut, joined, exported or compared.
MODELS = [
    ("model", None, "functional or sequential", "NoneType"),
    ("model", "my_model", "functional or sequential", "my_model"),
    ("model", lambda g: g.models.subclassed, "a subclassed model has no graph", "Subclassed"),
    ("model", lambda g: g.models.unbuilt, "that has been built"),
    ("model", lambda g: g.models.two_inputs, "one input and one output", "left (4,), right (4,)"),
    ("model", lambda g: g.models.two_outputs, "one input and one output", "2 outputs"),
    ("model", lambda g: g.models.no_kernel, "no layer with weights"),
]
CUTS = [
    ("cuts", "block", '`cuts` must be "blocks", "layers", a number', "'block'"),
    ("cuts", 1, "`cuts` as a number must be at least 2", "1"),
    ("cuts", -1, "`cuts` as a number must be at least 2", "-1"),
    ("cuts", 1.5, "`cuts` must be", "1.5"),
    ("cuts", {1}, "`cuts` must be", "{1}"),
    ("cuts", True, "`cuts` must be", "True"),
    ("cuts", None, "`cuts` must be", "None"),
    ("cuts", [], "`cuts`", "at least one cut"),
    ("cuts", [-1], "There is no cut -1", "The nearest: 0"),
    ("cuts", [99], "There is no cut 99: they run from 0 to 2", "The nearest: 1"),
    ("cuts", [True], "Each of `cuts` must be", "True"),
    ("cuts", ["nowhere"], "There is no cut 'nowhere'"),
    ("cuts", [1.5], "Each of `cuts` must be", "1.5"),
]
DEFROSTER = [
    ("source", None, "functional or sequential"),
    ("recipe", "fast", "`recipe` must be a kdefrost.Recipe", "'fast'"),
    ("recipe", 60, "`recipe` must be a kdefrost.Recipe", "60"),
    ("recipe", {"epochs": 3}, "`recipe` must be a kdefrost.Recipe"),
    ("directory", 3, "`directory` must be the path", "3"),
    ("directory", b"runs", "`directory` must be the path", "b'runs'"),
    ("directory", "", "`directory` must be the path", "''"),
    ("directory", "a\0b", "`directory` must be the path"),
    ("callbacks", ["early"], "`callbacks` must be a function that makes a list of Keras callbacks", "['early']"),
    ("memory_budget", "1GB", "`memory_budget` must be a whole number of bytes", "'1GB'"),
    ("memory_budget", -1, "`memory_budget` must be", "-1"),
    ("memory_budget", 1.5, "`memory_budget` must be", "1.5"),
    ("feature_dtype", "int8", "`feature_dtype` must be one of float32", "'int8'"),
    ("strategy", "GPU:0", "`strategy` must be", "'GPU:0'"),
    ("tails", "old", "`tails` must be one of new, pretrained", "'old'"),
    ("labels", "sparse", "`labels` must be one of onehot, index", "'sparse'"),
    ("features", "yes", "`features` must be", "'yes'"),
]
# What shows where the data are there.
LEARNT = [
    ("directory", lambda g: g.folder / "profile.json", "`directory` (--out) must be a folder", "profile.json"),
    ("tensorboard", 3, "`tensorboard` must be the path", "3"),
    ("tensorboard", lambda g: g.folder / "profile.json" / "in", "`tensorboard` (--tensorboard) must be a", "no folder"),
    ("output", "softmax", "`output` must be", "'softmax'"),
    ("output", 4, "`output` must be 3, as the labels have it", "4"),
    ("output", True, "`output` must be", "True"),
    ("loss", "nothing", "`loss`", "'nothing'"),
    ("loss", 3, "`loss`", "3"),
    ("metrics", "accuracy", "`metrics` must be a list", "'accuracy'"),
    ("metrics", ["nothing"], "There is no metric 'nothing'"),
    ("metrics", [], "`metrics` must be a list"),
    ("metrics", [None], "metric", "None"),
    ("objective", "auc", "`objective` must be one of the metrics (accuracy)", "'auc'"),
    ("class_weight", "balance", "`class_weight` must be", "'balance'"),
    ("class_weight", {0: 1}, "`class_weight` must"),
    ("class_weight", [1, 2], "`class_weight` must"),
    ("class_weight", [NAN, 1, 1], "`class_weight` must", "nan"),
    ("class_weight", {0: -1, 1: 1, 2: 1}, "`class_weight` must", "-1"),
]
PLAN = [
    ("train", None, "`train` must be a pair (x, y)", "NoneType"),
    ("train", "digits", "`train` must be a pair (x, y)", "str"),
    ("train", lambda g: g.x, "`train` must be a pair (x, y)", "ndarray"),
    ("train", lambda g: (g.x, g.y, g.y), "`train` must be a pair", "tuple of 3", "`class_weight`"),
    ("train", lambda g: (g.x, g.y[:5]), "`train`", "60", "5"),
    ("train", lambda g: (g.x[:0], g.y[:0]), "`train`"),
    ("train", lambda g: (g.x[:, :4], g.y), "`train` has examples of shape (4, 8, 1)", "(8, 8, 1)"),
    ("train", lambda g: (g.nan, g.y), "examples of `train` must be finite", "NaN"),
    ("train", lambda g: (g.x * INFINITY, g.y), "examples of `train` must be finite"),
    ("train", lambda g: (g.x.astype(object), g.y), "examples of `train` must be an array", "object"),
    ("train", lambda g: (g.x.astype("datetime64[s]"), g.y), "examples of `train`", "datetime64"),
    ("train", lambda g: (g.x * 1j, g.y), "examples of `train`", "complex"),
    ("train", lambda g: (g.x.astype(str), g.y), "`train` has examples of dtype <U", "float32"),
    ("train", lambda g: ([*g.x[:59], g.x[0, :4]], g.y), "examples of `train` must be of one shape"),
    ("train", lambda g: (g.x, None), "Labels of `train` must be numbers", "object"),
    ("train", lambda g: (g.x, ["cat"] * 60), "Labels of `train` must be numbers", "number the classes from 0"),
    ("train", lambda g: (g.x, g.y * 0), "Labels of `train` must be of two classes at least"),
    ("train", lambda g: (g.x, g.y + 1), "Class 0 has no example in `train`"),
    ("train", lambda g: (g.x, np.where(g.y, g.y, NAN)), "Labels of `train` must be finite"),
    ("train", lambda g: tf.data.Dataset.from_tensor_slices((g.x, g.y)), "`train` must be a tf.data.Dataset of batches"),
    ("train", lambda g: tf.data.Dataset.from_tensors((g.x, g.y)).repeat(), "`train` must be", "that ends"),
    ("test", lambda g: (g.x[:, :4], g.y), "`test` has examples of shape (4, 8, 1)"),
    ("test", lambda g: (g.x, g.y + 5), "Labels of `test` must be from 0 to 2", "5 to 7"),
    ("test", lambda g: (g.nan, g.y), "examples of `test` must be finite"),
    ("validation", lambda g: g.x, "`validation` must be a pair"),
    ("validation", lambda g: (g.x, g.y[:3]), "`validation`"),
    ("per_class", 0, "`per_class` must be whole numbers, at least 1", "[0]"),
    ("per_class", 1.5, "`per_class` must be whole numbers", "1.5"),
    ("per_class", "16", "`per_class` must be whole numbers", "'1'"),
    ("per_class", [], "`per_class` must be whole numbers"),
    ("per_class", NAN, "`per_class` must be whole numbers", "nan"),
    ("per_class", 1000, "`per_class` must be at most 20", "1000"),
    ("seeds", 0, "`seeds` must be", "0"),
    ("seeds", "3", "`seeds` must be", "'3'"),
    ("seeds", [-1], "`seeds` must be", "-1"),
    ("seeds", [], "`seeds` must be"),
    ("seeds", [True], "`seeds` must be", "True"),
    ("seeds", [2**63], "`seeds` must be a whole number, from 0 to 9223372036854775807", "9223372036854775808"),
    ("seeds", 2**40, "`seeds` must be a whole number, from 1 to 10000", "1099511627776"),
    ("folds", 1, "`folds` must be a whole number, at least 2", "folds=1"),
    ("folds", 2.5, "`folds` must be a whole number", "2.5"),
    ("folds", "3", "`folds` must be a whole number", "'3'"),
    ("folds", 1000, "`folds` must be at most 2", "1000"),
    ("repeats", 2, "`repeats` are for folds"),
    ("groups", lambda g: g.y, "`groups` are for folds"),
    ("groups", ["a"] * 5, "`groups` must name the group of each of the 60", "(5,)"),
    ("patience", 0, "`patience` must be a whole number of cuts", "0"),
    ("patience", "2", "`patience` must be a whole number of cuts", "'2'"),
    ("classes", -1, "`classes` must be a whole number, at least 1", "-1"),
    ("classes", "3", "`classes` must be a whole number", "'3'"),
    ("classes", NAN, "`classes` must be a whole number", "nan"),
    ("classes", 2, "Labels of `train` must be from 0 to 1"),
    ("test_per_class", 0, "`test_per_class` must be whole numbers", "0"),
    ("jobs", 0, "`jobs` must be", "0"),
    ("jobs", "2", "`jobs` must be", "'2'"),
    ("steps", 3, "`steps` are for a tf.data.Dataset"),
    ("steps", 0, "`steps` must be a whole number of batches", "0"),
]
BUDGETS = [
    ("budget", 0, "`budget` must be", "0"),
    ("budget", 2, "`budget` must be", "2"),
    ("budget", NAN, "`budget` must be", "nan"),
    ("budget", "all", "`budget` must be", "'all'"),
    ("budget", None, "`budget` must be", "None"),
    ("budget", datetime.timedelta(-1), "`budget` must be", "timedelta"),
    ("budget", 1e-9, "`budget` must be", "1e-09"),
]
COMPLIANCE = [
    ("strengths", [], "`strengths` must be"),
    ("strengths", [-1], "`strengths` must be", "-1"),
    ("strengths", ["frozen"], "`strengths` must be", "'frozen'"),
    ("strengths", NAN, "`strengths` must be", "nan"),
    ("layers", -1, "`layers` must be from 0 to", "-1"),
    ("layers", 99, "`layers` must be from 0 to", "99"),
    ("layers", "first", "`layers` must be numbers of layers or cuts", "'first'"),
    ("layers", [], "`layers` must be one or more", "none"),
    ("per_class", None, "`per_class` must be whole numbers", "None"),
    ("test", None, "Give `test`, `validation` or both"),
]
SCORES = [
    ("scores", "ridge", "`scores` must be a list", "'ridge'"),
    ("scores", 3, "`scores` must be a list", "3"),
    ("scores", ["nothing"], "`scores` must be a list of one or more of logme", "'nothing'"),
    ("per_class", [2, 3], "`per_class` must be one number", "[2, 3]"),
    ("target_network", 3, "`target_network` must be a functional or sequential Keras model", "3"),
    ("train", lambda g: (g.x, g.x[:, 0, 0]), "Scores without training are of classes", "regression"),
]
BEST_MODEL = [
    ("profile", None, "`profile` must be a DefrostProfile", "None"),
    ("profile", {}, "`profile` must be a DefrostProfile", "{}"),
    ("profile", lambda g: g.spring, "`profile` must be a DefrostProfile", "ComplianceProfile"),
    ("per_class", 3, "no trials with per_class=3; sizes tried: 2"),
    ("seed", 7, "`seed` must be one tried at cut", "7"),
]
HYPERMODEL = [
    ("space", "wide", "`space` must be a kdefrost.tuning.Space", "'wide'"),
    ("cuts", 3, "`cuts` must be a list of cuts", "3"),
    ("cuts", [9], "`cuts` must be of this defroster's, 1, 2", "[9]"),
]
SCORE_CUTS = [
    ("source", None, "functional or sequential"),
    ("cuts", "blocks", "`cuts` must be a list of cuts", "'blocks'"),
    ("cuts", [1], "`cuts` must be a list of one or more cuts", "[1]"),
    ("cuts", [], "`cuts` must be a list of one or more cuts"),
    ("images", None, "`images` must be"),
    ("images", lambda g: g.x[:, :4], "`images` must be what the source takes, (8, 8, 1)", "(4, 8, 1)"),
    ("images", lambda g: g.nan, "`images` must be finite"),
    ("labels", lambda g: g.y[:3], "`labels` must be the class of each of the 60 examples", "(3,)"),
    ("labels", lambda g: g.y * 0, "of 2 classes at least", "1 different"),
    ("seed", -1, "`seed` must be a whole number, at least 0", "-1"),
    ("scores", ["nothing"], "`scores` must be a list", "'nothing'"),
    ("target_network", "vgg", "`target_network` must be"),
]
SPLIT = [
    ("cut", "nowhere", "There is no cut 'nowhere'"),
    ("cut", 9, "There is no cut 9"),
    ("cut", -1, "There is no cut -1"),
    ("cut", None, "None"),
    ("output", "softmax", "`output` must be", "'softmax'"),
    ("output", 0, "`output` must be", "0"),
    ("seed", "a", "`seed` must be a whole number, at least 0", "'a'"),
    ("seed", -1, "`seed` must be", "-1"),
    ("seed", [], "`seed` must be"),
]
REINITIALIZE = [
    ("model", None, "`model` must be a Keras model", "None"),
    ("model", "net", "`model` must be a Keras model", "'net'"),
    ("seed", None, "`seed` must be", "None"),
    ("seed", 1.5, "`seed` must be", "1.5"),
]
JOIN = [
    ("extractor", None, "functional or sequential"),
    ("tail", "dense", "functional or sequential"),
    ("tail", lambda g: g.models.vector, "`tail` takes features of shape [(4,)]", "`extractor` gives"),
]
STANDARDIZED = [
    ("model", "net", "functional or sequential"),
    ("model", lambda g: g.models.two_inputs, "one input", "left (4,)"),
    ("images", None, "`images` must be an array (images, height, width, channels)", "NoneType"),
    ("images", lambda g: g.x[0], "`images` must be an array", "(8, 8, 1)"),
    ("images", lambda g: g.x[:0], "at least one", "(0, 8, 8, 1)"),
    ("images", lambda g: g.x.astype(str), "`images` must be an array", "<U"),
    ("images", lambda g: g.nan, "examples of `images` must be finite"),
]
EXPORT = [
    ("model", lambda g: g.models.subclassed, "`model` must be a functional model"),
    ("model", lambda g: g.models.two_inputs, "`model` must have one input", "left"),
    ("path", None, "`path` must be the path of a file or folder", "None"),
    ("path", "", "`path` must be the path", "''"),
    ("path", lambda g: g.folder, "`path` must be a new folder, or one of an earlier export"),
    ("path", lambda g: g.folder / "profile.json" / "in", "`path` must be a folder that can be made", "profile.json"),
    ("profile", "runs", "`profile` must be a DefrostProfile", "'runs'"),
    ("profile", lambda g: g.spring, "`profile` must be a DefrostProfile"),
    ("class_names", "abc", "`class_names` must be a list of 3", "'abc'"),
    ("class_names", 3, "`class_names` must be a list of 3", "3"),
    ("class_names", ["a"], "`class_names` must be a list of 3", "['a']"),
]
LOAD_DATA = [
    ("name", None, "`name` must be the name of a data set, or the path of a folder of images", "None"),
    ("name", 3, "`name` must be the name of a data set", "3"),
    ("name", b"digits", "`name` must be the name of a data set", "b'digits'"),
    ("name", "", "`name` must be the name of a data set", "''"),
    ("name", "a\0b", "`name` must be the name of a data set"),
    ("name", "digitz", "no data set 'digitz'", "nearest names: digits"),
    ("name", "../nowhere", "no data set '../nowhere'", "the path of an existing folder"),
    ("name", "x" * 300, "no data set 'xxx"),
    ("name", "🦆", "no data set '🦆'"),
    ("name", lambda g: g.folder / "profile.json", "is a file, and must be a folder of images"),
    ("name", lambda g: g.folder / "nothing", "nothing", "sub-folders"),
    ("data_dir", 3, "`data_dir` must be the path", "3"),
    ("image_size", 0, "`image_size` must be a positive whole number", "0"),
    ("image_size", 1.5, "`image_size` must be", "1.5"),
    ("image_size", True, "`image_size` must be", "True"),
    ("image_size", "32", "`image_size` must be", "'32'"),
    ("image_size", (8,), "`image_size` must be", "(8,)"),
    ("color_mode", "RGB", "`color_mode` must be", "'RGB'"),
    ("test_share", 1, "`test_share` must be from 0 to below 1", "1"),
    ("test_share", "half", "`test_share` must be", "'half'"),
    ("parts", {"train": "a"}, "`parts` are for a folder of images"),
]
HOLD_OUT = [
    ("examples", None, "`examples` must be a pair", "NoneType"),
    ("share", 0, "`share` must be above 0 and below 1", "0"),
    ("share", "half", "`share` must be a number", "'half'"),
    ("share", NAN, "`share` must be", "nan"),
    ("seed", -1, "`seed` must be a whole number", "-1"),
    ("groups", [1], "`groups` must name the group of each"),
]
SUBSET = [
    ("groups", None, "`groups` must be whole numbers"),
    ("groups", [], "`groups` must be whole numbers", "at least one"),
    ("per_class", 0, "`per_class` must be a whole number, at least 1", "0"),
    ("per_class", 1.5, "`per_class` must be a whole number", "1.5"),
    ("seed", "a", "`seed` must be a whole number", "'a'"),
]
IMAGE_DATA = [
    ("train", None, "`train` must be an Examples", "None"),
    ("train", lambda g: (g.x, g.y), "`train` must be an Examples"),
    ("test", lambda g: kdefrost.Examples(g.nan, g.y), "examples of `test` must be finite"),
]
MAKE_CLONE = [
    ("name", "gn", "There is no clone 'gn': it must be one of isogm, gm, or ae<k>"),
    ("name", None, "There is no clone None"),
    ("name", "ae0", "There is no clone 'ae0'"),
    ("name", "ae4.5", "There is no clone 'ae4.5'"),
    ("name", "AE4", "There is no clone 'AE4'"),
    ("name", "ae99", "There is no clone ae99 of 'digits'", "from 1 to 64"),
    ("data", "digits", "`data` must be an ImageData", "'digits'"),
    ("data", None, "`data` must be an ImageData", "None"),
    ("seed", -1, "`seed` must be a whole number, at least 0", "-1"),
    ("seed", 1.5, "`seed` must be a whole number", "1.5"),
    ("per_class", 0, "`per_class` must be a whole number, at least 1", "0"),
    ("test_per_class", "a", "`test_per_class` must be a whole number", "'a'"),
    ("recipe", RECIPE, "`recipe` must be a kdefrost.AutoencoderRecipe", "Recipe(epochs=1"),
    ("directory", 3, "`directory` must be the path", "3"),
    ("directory", lambda g: g.folder / "profile.json", "`directory` (--out) must be a folder"),
]
TRAIN_SOURCE = [
    ("name", "gn", "Source 'gn' is no clone"),
    ("name", 3, "`name` must be the name of a data set", "3"),
    ("target", "digits", "`target` must be an ImageData", "'digits'"),
    ("model", "resnet_5", "There is no model 'resnet_5'", "wide_resnet_<depth>_<width>"),
    ("model", "wide_resnet", "There is no model 'wide_resnet'"),
    ("model", None, "There is no model None"),
    ("model", "wide_resnet_9_1", "`depth` must be a whole number, at least 10", "9"),
    ("recipe", None, "`recipe` must be a kdefrost.Recipe", "None"),
    ("directory", None, "`directory` must be the path", "None"),
    ("seed", "a", "`seed` must be a whole number", "'a'"),
]
AUTOENCODER = [
    ("images", None, "`images` must be an array", "NoneType"),
    ("images", lambda g: g.x[:, :7, :7], "`image_shape` must be square", "(7, 7, 1)"),
    ("bottleneck", 0, "`bottleneck` must be a whole number from 1 to 64", "0"),
    ("bottleneck", "a", "`bottleneck` must be a whole number", "'a'"),
    ("recipe", RECIPE, "`recipe` must be a `kdefrost.AutoencoderRecipe`"),
    ("seed", None, "`seed` must be a whole number", "None"),
]
LOAD_SOURCE = [
    ("name_or_path", None, "`name_or_path` must be a name such as imagenet:ResNet50", "None"),
    ("name_or_path", 3, "`name_or_path` must be a name such as imagenet:ResNet50", "3"),
    ("name_or_path", "missing.keras", "no source file missing.keras", FileNotFoundError),
    ("name_or_path", lambda g: g.folder, "no source file", FileNotFoundError),
    ("name_or_path", lambda g: g.folder / "corrupt.keras", "corrupt.keras cannot be read"),
    ("name_or_path", lambda g: g.folder / "profile.json", "profile.json cannot be read"),
    ("name_or_path", "imagenet:ResNet51", "no ImageNet model 'ResNet51'", "ResNet50"),
    ("name_or_path", "imagenet:MobileNet:x", "alpha of 'MobileNet:x' must be a positive number"),
    ("name_or_path", "imagenet:ResNet50:1", "ResNet50 comes in one width"),
]
WIDE_RESNET = [
    ("depth", 9, "`depth` must be a whole number, at least 10", "9"),
    ("depth", 11, "`depth` must be 6 n + 4", "11"),
    ("depth", 12, "`depth` must be 6 n + 4", "12"),
    ("depth", "ten", "`depth` must be a whole number", "'ten'"),
    ("width", 0, "`width` must be a whole number, at least 1", "0"),
    ("width", 1.5, "`width` must be a whole number", "1.5"),
    ("classes", "three", "`classes` must be a whole number", "'three'"),
    ("input_shape", (8, 8), "`input_shape` must be (height, width, channels)", "(8, 8)"),
    ("input_shape", (0, 8, 1), "`input_shape` must be a whole number, at least 1", "0"),
    ("input_shape", None, "`input_shape` must be (height, width, channels)", "None"),
]
RECIPES = [
    ("epochs", 0, "`epochs` must be a whole number, at least 1", "epochs=0"),
    ("epochs", 1.5, "`epochs` must be a whole number", "1.5"),
    ("epochs", None, "`epochs` must be a whole number", "None"),
    ("epochs", True, "`epochs` must be a whole number", "True"),
    ("batch_size", 0, "`batch_size` must be a whole number", "0"),
    ("batch_size", "a", "`batch_size` must be a whole number", "'a'"),
    ("learning_rate", 0, "`learning_rate` must be positive", "0"),
    ("learning_rate", "fast", "`learning_rate` must be a number", "'fast'"),
    ("learning_rate", None, "`learning_rate` must be a number", "None"),
    ("learning_rate", [0.1], "`learning_rate` must be a number", "[0.1]"),
    ("learning_rate", NAN, "`learning_rate` must be positive", "nan"),
    ("learning_rate", INFINITY, "`learning_rate` must be positive", "inf"),
    ("momentum", 1, "`momentum` must be at least 0 and below 1", "1"),
    ("momentum", -0.1, "`momentum` must be at least 0 and below 1", "-0.1"),
    ("momentum", "a", "`momentum` must be a number", "'a'"),
    ("weight_decay", -1e-4, "`weight_decay` must be at least 0", "-0.0001"),
    ("weight_decay", NAN, "`weight_decay` must be at least 0", "nan"),
    ("batch_norm_momentum", 1.0, "`batch_norm_momentum` must be", "1.0"),
    ("schedule", "linear", "`schedule` must be one of cosine, constant", "'linear'"),
    ("optimizer", "rmsprop", "`optimizer` must be one of sgd, adam", "'rmsprop'"),
    ("warmup_epochs", 3, "`warmup_epochs` must be a whole number from 0 to below `epochs`", "3"),
    ("warmup_epochs", -1, "`warmup_epochs` must be", "-1"),
    ("warmup_epochs", 0.5, "`warmup_epochs` must be", "0.5"),
    ("final_learning_rate", -1e-3, "`final_learning_rate` must be from 0", "-0.001"),
    ("final_learning_rate", 1, "`final_learning_rate` must be from 0 to `learning_rate`", "1"),
    ("final_learning_rate", "a", "`final_learning_rate` must be a number", "'a'"),
]
AUTOENCODER_RECIPES = [("dtype", "float16", "`dtype` must be one of float32, mixed_bfloat16", "'float16'")]
OBJECTIVES = [
    ("name", None, "`name` must be the name of a metric", "None"),
    ("direction", "up", '`direction` must be "max" or "min"', "'up'"),
]
SPACES = [
    ("learning_rate", [], "`learning_rate`"),
    ("learning_rate", (0.3, 0.1), "`learning_rate`"),
    ("learning_rate", "a", "`learning_rate`"),
    ("learning_rate", ["a", "b"], "`learning_rate` must be of finite numbers", "'a'"),
    ("batch_size", [1.5, 2], "`batch_size`", "1.5"),
    ("optimizer", ["sgd", "rmsprop"], "`optimizer` must be one of sgd, adam", "'rmsprop'"),
    ("nothing", [1, 2], "`Space` takes arguments of `Recipe`", "nothing"),
    ("cut", "yes", "`cut`"),
]
TUNED = [
    ("start", 60, "`start` must be a kdefrost.Recipe"),
    ("space", {"epochs": [1, 2]}, "`space` must be a kdefrost.tuning.Space"),
    ("recipes", 1, "`recipes` must be a whole number, at least 2"),
    ("recipes", True, "`recipes` must be a whole number, at least 2"),
    ("recipes", "twelve", "`recipes` must be"),
]
COMPARE = [
    ("X", None, "`X` must be"),
    ("X", "a", "`X` must"),
    ("X", lambda g: g.points[:2], "`X` must have at least three points", "2"),
    ("X", lambda g: g.points[:30], "`X` and `Y` must have the same points", "30"),
    ("X", lambda g: np.where(g.points > 1, NAN, g.points), "`X` must have finite features", Indistinct),
    ("X", lambda g: g.points * 0, "`X` must tell points apart", "all the same", Indistinct),
    ("X", lambda g: g.points.astype(object), "`X` must"),
    ("X", [[1], [1, 2], [3]], "`X` must have as many features for each point"),
    ("measures", "cka", "`measures` must be a list", "'cka'"),
    ("measures", 3, "`measures` must be a list", "3"),
    ("measures", ["nothing"], "`measures` must be a list", "'nothing'"),
    ("form", "x", "`form` must be one of", "'x'"),
    ("overlap_k", 0, "`k` of neighborhood_overlap", "0"),
    ("overlap_k", 50, "`k` of neighborhood_overlap", "to 49"),
    ("spearman_k", "a", "`k` of neighbor_spearman", "'a'"),
    ("memory_budget", -1, "`memory_budget` must be a positive number", "-1"),
    ("dtype", "int8", "`dtype` must be one of", "'int8'"),
    ("strategy", "GPU:0", "`strategy` must be", "'GPU:0'"),
]
LAYERWISE = [
    ("model_a", None, "functional or sequential"),
    ("model_b", [], "`model_b`"),
    ("images", None, "`images`"),
    ("images", lambda g: g.x[:0], "`images` must be images", "(0, 8, 8, 1)"),
    ("images", lambda g: (g.x, g.y), "`images` must be images alone", "leave out the labels"),
    ("images", lambda g: g.nan, "`images` must be finite"),
    ("layers", [99], "There is no cut 99"),
    ("pairs", "x", "`pairs` must be", "'x'"),
]
FEATURES = [
    ("features", None, "`features` must be finite numbers (examples, features)"),
    ("features", lambda g: g.points[:, 0], "`features` must be", "(50,)"),
    ("features", lambda g: np.where(g.points > 1, NAN, g.points), "`features` must be finite"),
    ("labels", [0, 1, 2], "`labels` must be the class of each of the 50 examples", "(3,)"),
    ("labels", lambda g: g.points[:, 0], "`labels` must be the class of each", "float64"),
]
SAME_FEATURES = [("features", lambda g: g.points * 0, "`features` must be", "not the same for all")]
KERNELS = [
    ("kernel", lambda g: g.points, "`kernel` must be numbers (examples, examples)", "(50, 5)"),
    ("kernel", lambda g: g.points @ np.full((5, 50), NAN), "`kernel` must be finite"),
]
LOAD = [
    ("path", "missing.json", "There is no file missing.json", FileNotFoundError),
    ("path", lambda g: g.folder, "is no file; name the file that is in it", IsADirectoryError),
    ("path", None, "`path` must be the path", "None"),
    ("path", 3, "`path` must be the path", "3"),
    ("path", lambda g: g.folder / "empty.json", "empty.json is damaged"),
    ("path", lambda g: g.folder / "half.json", "half.json is damaged"),
    ("path", lambda g: g.folder / "bytes.json", "bytes.json is damaged"),
    ("path", lambda g: g.folder / "list.json", "list.json is damaged", "no JSON object"),
    ("path", lambda g: g.folder / "other.json", "other.json is not a profile"),
]
PROFILE = [
    ("per_class", 64, "no trials with per_class=64; sizes tried: 2"),
    ("per_class", "a", "no trials with per_class=a"),
    ("on", "train", '`on` must be "test" or "validation"', "'train'"),
    ("metric", "nothing", "`metric` must be one of accuracy", "'nothing'"),
]
CONFIDENCES = [
    ("confidence", 95, "`confidence` must be above 0 and below 1", "95"),
    ("confidence", NAN, "`confidence` must be above 0 and below 1", "nan"),
    ("confidence", "a", "`confidence` must be a number", "'a'"),
]
TRIALS = [
    ("cut", 1, "`cut` must be a Cut of the profile", "1"),
    ("seed", 9, "`seed` must be one tried at cut 1: 0", "9"),
]
GAINS = [("on", "test", "was not tuned")]
AGAINST = [("profile", None, "`profile` must be a DefrostProfile", "None")]
SCORE_NAMES = [("name", "nothing", "'nothing'", "ridge")]
COMPARISONS = [
    ("profiles", {}, "`profiles` must hold one or more", "none"),
    ("profiles", [1], "`profiles` must be a dict of profiles", "[1]"),
    ("profiles", {"a": None}, "`profiles` must be a dict of profiles", "None"),
]
RANKINGS = [
    ("results", {}, "`results` must hold one or more", "none"),
    ("results", [1], "`results` must be a dict of Transferability", "[1]"),
    ("results", {"a": None}, "`results` must be a dict of Transferability", "None"),
]
SOURCES = [
    ("sources", {}, "`sources` must be a dict by name of models, or of Defrosters", "none"),
    ("sources", [1], "`sources` must be a dict by name of models, or of Defrosters", "[1]"),
    ("sources", {"a": "gm"}, "`sources` must be a dict by name of models", "'gm'"),
    ("train", None, "`train` must be"),
    ("train", lambda g: (g.x, np.linspace(0, 1, len(g.x))), "Scores without training are of classes", "regression"),
    ("per_class", 100, "`per_class` must be at most 20", "100"),
    ("per_class", [2, 4], "`per_class` must be one number", "[2, 4]"),
    ("seeds", 0, "`seeds` must be", "0"),
    ("scores", ["leep"], "`scores` must be a list", "leep"),
    ("target_network", 3, "`target_network` must be", "3"),
]
PREDICTIONS = [
    ("strength", 0.2, "`strength` must be one of [0.1]", "0.2"),
    ("strength", "stiff", "`strength` must be one of [0.1]", "'stiff'"),
]
SPRINGS = [
    ("layers", 9, "`layers` must be one of [1]", "9"),
    ("metric", "nothing", "`metric` must be one of accuracy", "'nothing'"),
]
COUPLINGS = [
    ("model", None, "functional or sequential"),
    ("source", None, "`source` must be a functional or sequential"),
    ("layers", 99, "`layers` must be from 0 to", "99"),
    ("layers", ["nowhere"], "nowhere"),
    ("strength", -1, "`strength` must be", "-1"),
    ("strength", "stiff", "`strength` must be", "'stiff'"),
]
SAVES = [
    ("path", None, "`path` must be the path", "None"),
    ("path", lambda g: g.folder / "no" / "p.json", "p.json could not be written (No such file or directory)", OSError),
    ("path", lambda g: g.folder, "could not be written (Is a directory)", OSError),
]


def _defroster(given) -> partial:
    return partial(kdefrost.Defroster, source=given.small, recipe=RECIPE, cuts=[1, 2])


CALLS = {
    "cut_points": (MODELS, lambda g: kdefrost.cut_points),
    "cuts": (CUTS, lambda g: partial(kdefrost.cut_points, g.small)),
    "Defroster": (DEFROSTER, _defroster),
    "learnt": (LEARNT, lambda g: lambda **changed: _defroster(g)(**changed).plan(**g.sets)),
    "plan": (PLAN, lambda g: partial(g.defroster.plan, **g.sets)),
    "search": (BUDGETS, lambda g: partial(g.defroster.search, **g.sets)),
    "compliance": (COMPLIANCE, lambda g: partial(g.defroster.compliance, **g.sets)),
    "transferability": (SCORES, lambda g: partial(g.defroster.transferability, **g.scored)),
    "best_model": (BEST_MODEL, lambda g: partial(g.defroster.best_model, profile=g.profile)),
    "hypermodel": (HYPERMODEL, lambda g: partial(g.defroster.hypermodel, **g.sets)),
    "score_cuts": (SCORE_CUTS, lambda g: partial(transferability.score_cuts, **g.cuts_to_score)),
    "split": (SPLIT, lambda g: partial(kdefrost.split, model=g.small, cut=1)),
    "reinitialize": (REINITIALIZE, lambda g: partial(kdefrost.reinitialize, model=g.models.vector, seed=0)),
    "join": (JOIN, lambda g: partial(kdefrost.join, extractor=g.small, tail=g.small)),
    "standardized": (STANDARDIZED, lambda g: partial(kdefrost.standardized, model=g.small, images=g.x)),
    "export": (EXPORT, lambda g: partial(kdefrost.export, model=g.small, path=g.folder / "exported")),
    "load_data": (LOAD_DATA, lambda g: partial(kdefrost.load_data, name="digits")),
    "hold_out": (HOLD_OUT, lambda g: partial(kdefrost.hold_out, examples=g.digits.train)),
    "subset": (SUBSET, lambda g: partial(kdefrost.subset, groups=g.y, per_class=2, seed=0)),
    "ImageData": (IMAGE_DATA, lambda g: partial(dataclasses.replace, g.digits)),
    "make_clone": (MAKE_CLONE, lambda g: partial(kdefrost.make_clone, name="gm", data=g.digits, directory=None)),
    "train_source": (TRAIN_SOURCE, lambda g: partial(kdefrost.train_source, **g.to_train)),
    "train_autoencoder": (AUTOENCODER, lambda g: partial(kdefrost.train_autoencoder, **g.to_compress)),
    "load_source": (LOAD_SOURCE, lambda g: kdefrost.load_source),
    "wide_resnet": (WIDE_RESNET, lambda g: partial(kdefrost.wide_resnet, depth=10, width=1)),
    "Recipe": (RECIPES, lambda g: partial(kdefrost.Recipe, epochs=3)),
    "AutoencoderRecipe": (AUTOENCODER_RECIPES, lambda g: kdefrost.AutoencoderRecipe),
    "Objective": (OBJECTIVES, lambda g: partial(kdefrost.Objective, name="auc", direction="max")),
    "Space": (SPACES, lambda g: lambda **choices: tuning.Tuned(RECIPE, tuning.Space(**choices))),
    "Tuned": (TUNED, lambda g: tuning.Tuned),
    "compare": (COMPARE, lambda g: partial(similarity.compare, X=g.points, Y=g.points, overlap_k=3, spearman_k=3)),
    "layerwise": (LAYERWISE, lambda g: partial(similarity.layerwise, model_a=g.small, model_b=g.small, images=g.x)),
    **{
        score.__name__: (rows, lambda g, score=score: partial(score, features=g.points, labels=g.classes))
        for score, rows in {
            transferability.logme: FEATURES,
            transferability.h_score: [*FEATURES, *SAME_FEATURES],
            transferability.nearest_mean: [*FEATURES, *SAME_FEATURES],
            transferability.nearest_neighbors: [*FEATURES, *SAME_FEATURES],
            transferability.ridge: [*FEATURES, *SAME_FEATURES],
        }.items()
    },
    "kernel_ridge": (KERNELS, lambda g: partial(transferability.kernel_ridge, labels=g.classes)),
    "load": (LOAD, lambda g: kdefrost.DefrostProfile.load),
    "save": (SAVES, lambda g: g.profile.save),
    "scores": (PROFILE, lambda g: g.profile.scores),
    "near_best_cuts": (CONFIDENCES, lambda g: g.profile.near_best_cuts),
    "trial": (TRIALS, lambda g: partial(g.profile.trial, cut=g.profile.cuts[0], per_class=2, seed=0)),
    "tuned_gain": (GAINS, lambda g: g.profile.tuned_gain),
    "Comparison": (COMPARISONS, lambda g: kdefrost.Comparison),
    "SourceRanking": (RANKINGS, lambda g: kdefrost.SourceRanking),
    "rank_sources": (SOURCES, lambda g: partial(kdefrost.rank_sources, **{"sources": {"a": g.defroster}, **g.scored})),
    "predicted_cut": (PREDICTIONS, lambda g: g.spring.predicted_cut),
    "ComplianceProfile": (SPRINGS, lambda g: partial(g.spring.scores, layers=1)),
    "against": (AGAINST, lambda g: partial(g.spring.against, strength=0.1)),
    "Transferability": (SCORE_NAMES, lambda g: g.scores.mean),
    "ElasticCoupling": (
        COUPLINGS,
        lambda g: partial(kdefrost.ElasticCoupling, **g.coupled),
    ),
}
ROWS = {
    f"{what}-{row[0]}-{number}": (call, *row) for what, (rows, call) in CALLS.items() for number, row in enumerate(rows)
}


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_is_refused_by_a_sentence(row, given):
    call, name, value, *words = ROWS[row]
    error = words.pop() if isinstance(words[-1], type) else ValueError
    value = value(given) if isinstance(value, FunctionType) else value
    with pytest.raises(error) as caught:
        call(given)(**{name: value})
    said = str(caught.value)
    assert type(caught.value) is error and all(word in said for word in words), said
    assert "\n" not in said and len(said) < 1000
    # Raised by kdefrost, not by what it calls.
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename.startswith(PACKAGE)
