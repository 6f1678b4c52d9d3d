"""kdefrost finds the layer at which to cut a trained Keras network for a small data set."""

from kdefrost import similarity
from kdefrost.clones import CLONES, autoencoder, make_clone, train_autoencoder
from kdefrost.compliance import ComplianceProfile, ComplianceTrial
from kdefrost.cutting import Cut, CutList, cut_points, join, reinitialize, split
from kdefrost.data import Examples, ImageData, channel_statistics, hold_out, load_data
from kdefrost.defroster import Defroster
from kdefrost.export import export
from kdefrost.models import MODELS, build_model, imagenet_source, load_source, resnet18, wide_resnet
from kdefrost.profile import Comparison, DefrostProfile, Trial
from kdefrost.similarity import LayerComparison, LayerwiseSimilarity
from kdefrost.sources import kept_source, source_size, standardized, train_source
from kdefrost.training import (
    PRESETS,
    AutoencoderRecipe,
    ElasticAdam,
    ElasticCoupling,
    ElasticSGD,
    Objective,
    Preset,
    Recipe,
    Task,
)
from kdefrost.trials import Plan, subset

__all__ = [
    "CLONES",
    "MODELS",
    "PRESETS",
    "AutoencoderRecipe",
    "Comparison",
    "ComplianceProfile",
    "ComplianceTrial",
    "Cut",
    "CutList",
    "DefrostProfile",
    "Defroster",
    "ElasticAdam",
    "ElasticCoupling",
    "ElasticSGD",
    "Examples",
    "ImageData",
    "LayerComparison",
    "LayerwiseSimilarity",
    "Objective",
    "Plan",
    "Preset",
    "Recipe",
    "Task",
    "Trial",
    "autoencoder",
    "build_model",
    "channel_statistics",
    "cut_points",
    "export",
    "hold_out",
    "imagenet_source",
    "join",
    "kept_source",
    "load_data",
    "load_source",
    "make_clone",
    "reinitialize",
    "resnet18",
    "similarity",
    "source_size",
    "split",
    "standardized",
    "subset",
    "train_autoencoder",
    "train_source",
    "wide_resnet",
]
