"""kdefrost finds the layer at which to cut a trained Keras network for a small data set."""

from kdefrost.clones import CLONES, make_clone
from kdefrost.cuts import Cut, CutList, cut_points, join, split
from kdefrost.data import Examples, ImageData, hold_out, load_data
from kdefrost.defroster import Defroster, Plan, subset
from kdefrost.initialization import reinitialize
from kdefrost.models import MODELS, build_model, load_source, wide_resnet
from kdefrost.profile import DefrostProfile
from kdefrost.recipe import PRESETS, Preset, Recipe
from kdefrost.sources import source_size, train_source
from kdefrost.trials import Trial

__all__ = [
    "CLONES",
    "MODELS",
    "PRESETS",
    "Cut",
    "CutList",
    "DefrostProfile",
    "Defroster",
    "Examples",
    "ImageData",
    "Plan",
    "Preset",
    "Recipe",
    "Trial",
    "build_model",
    "cut_points",
    "hold_out",
    "join",
    "load_data",
    "load_source",
    "make_clone",
    "reinitialize",
    "source_size",
    "split",
    "subset",
    "train_source",
    "wide_resnet",
]
