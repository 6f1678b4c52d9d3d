"""kdefrost finds the layer at which to cut a trained Keras network for a small data set."""

from kdefrost import similarity
from kdefrost.autoencoders import autoencoder, train_autoencoder
from kdefrost.clones import CLONES, make_clone
from kdefrost.comparison import Comparison
from kdefrost.compliance import ElasticCoupling
from kdefrost.compliance_profile import ComplianceProfile
from kdefrost.compliance_trials import ComplianceTrial
from kdefrost.cuts import Cut, CutList, cut_points, join, split
from kdefrost.data import Examples, ImageData, channel_statistics, hold_out, load_data
from kdefrost.defroster import Defroster
from kdefrost.export import export
from kdefrost.imagenet import imagenet_source, resnet18
from kdefrost.initialization import reinitialize
from kdefrost.layerwise import LayerComparison, LayerwiseSimilarity
from kdefrost.models import MODELS, build_model, load_source, wide_resnet
from kdefrost.optimizers import ElasticAdam, ElasticSGD
from kdefrost.plan import Plan, subset
from kdefrost.profile import DefrostProfile
from kdefrost.recipe import PRESETS, AutoencoderRecipe, Preset, Recipe
from kdefrost.sources import kept_source, source_size, standardized, train_source
from kdefrost.tasks import Objective, Task
from kdefrost.trials import Trial

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
