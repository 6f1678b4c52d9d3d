"""kdefrost finds the layer at which to cut a trained Keras network for a small data set.

    defroster        asks what a user wants to know, says what it amounts to, hands over models (`Defroster`)
    inquiry          one of its calls, from what is given to questions, and from answers to a result
    settings         what all of its calls have in common
    profile          which cut, how sure that is, and what the choice is worth
    compliance       how near the source the first layers can be held
    transferability  scores of cuts from features and labels alone, without training
    ranking          which source for a target, by such scores
    similarity       how much of what one representation tells is in another
    tuning           the recipe by which tails are trained, chosen among several
    trials           questions asked, answered and remembered
    training         how a network is trained, and the one place that does
    cutting          all of a model's surgery
    models           networks to transfer from
    clones           synthetic stand-ins for a data set
    paper            the figures of the paper, from its table of experiments to the drawing
    sources          networks trained on a clone or a data set, once
    data             images and labels, wherever they come from
    export           a model as people use it
    card             what its card says of it
    signature        what it says of itself where it is loaded
    reporting        a profile as one HTML file, to be sent around
    results          how results are saved, loaded and handed on
    statistics       means and standard errors over seeds
    tables           numbers and tables as text
    drawing          what figures have in common
    arguments        what an argument must be, and what is said where it is not
    kept             what takes long to make, kept on disk
    inventory        what all of it takes, who uses it, and what makes room
    fingerprint      content addresses
    files            files that are there whole or not at all
    devices          devices, and work that is spread over them
    progress         bars

docs/architecture.md says how they hang together.
"""

from kdefrost import similarity, transferability, tuning
from kdefrost.clones import CLONES, autoencoder, make_clone, train_autoencoder
from kdefrost.compliance import ComplianceProfile, ComplianceTrial
from kdefrost.cutting import Cut, CutList, cut_points, join, reinitialize, split
from kdefrost.data import Examples, ImageData, channel_statistics, hold_out, load_data
from kdefrost.defroster import Defroster
from kdefrost.export import export
from kdefrost.models import MODELS, build_model, imagenet_source, load_source, resnet18, wide_resnet
from kdefrost.profile import Comparison, DefrostProfile, Trial
from kdefrost.ranking import SourceRanking, rank_sources
from kdefrost.reporting import report
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
from kdefrost.transferability import CutScores, Transferability
from kdefrost.trials import Plan, subset

__version__ = "0.2.0"

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
    "CutScores",
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
    "SourceRanking",
    "Task",
    "Transferability",
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
    "rank_sources",
    "reinitialize",
    "report",
    "resnet18",
    "similarity",
    "source_size",
    "split",
    "standardized",
    "subset",
    "train_autoencoder",
    "train_source",
    "transferability",
    "tuning",
    "wide_resnet",
]
