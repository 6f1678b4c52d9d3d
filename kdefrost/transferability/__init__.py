"""Transferability: scores of cuts from features and labels alone, without training.

evidence        the evidence of linear models of the labels (`logme`)
separation      the features' variance between classes (`h_score`)
leave_one_out   accuracies of simple classifiers, each example judged by the others (`ridge`, `nearest_neighbors`, …)
pooling         features averaged over positions, and standardised
tails           what a tail makes of features before it has learnt, and its tangent kernel
names           the names of the scores
draws           which examples each score is computed on
at_cut          all scores of one cut
scoring         cut after cut (`score_cuts`)
result          the scores of all cuts and seeds (`Transferability`)
words           what they say as text
figures         drawn from a result
"""

from kdefrost.transferability import figures, words
from kdefrost.transferability.evidence import logme
from kdefrost.transferability.leave_one_out import kernel_ridge, nearest_mean, nearest_neighbors, ridge
from kdefrost.transferability.names import SCORES
from kdefrost.transferability.result import CutScores, Transferability
from kdefrost.transferability.scoring import score_cuts
from kdefrost.transferability.separation import h_score

# Here, because words and figures take results, which know of neither.
Transferability.plot = figures.plot
Transferability.summary = words.summary
Transferability.table = words.table

__all__ = [
    "SCORES",
    "CutScores",
    "Transferability",
    "h_score",
    "kernel_ridge",
    "logme",
    "nearest_mean",
    "nearest_neighbors",
    "ridge",
    "score_cuts",
]
