"""Similarity: how much of what one representation tells is in another.

measures          the measures of a row of distances or a Gram matrix
gram              points, and Gram matrices block by block within a memory budget
precision         whether float32 suffices for some points
representations   all measures of two sets of points in one pass over these
comparing         the measures, of any two arrays (`compare`, `cka`, `information_imbalance`, …)
networks          two networks, layer by layer (`layerwise`)
kept_pairs        the same, kept on disk and found there again
result            the numbers of all layers and pairs (`LayerwiseSimilarity`)
figures           drawn from a result
"""

from kdefrost.similarity import figures
from kdefrost.similarity.comparing import cka, compare, information_imbalance, neighbor_spearman, neighborhood_overlap
from kdefrost.similarity.networks import PAIRS, layerwise
from kdefrost.similarity.representations import MEASURES
from kdefrost.similarity.result import LayerComparison, LayerwiseSimilarity

# Here, because figures take results, which know of none.
LayerwiseSimilarity.plot = figures.plot

__all__ = [
    "MEASURES",
    "PAIRS",
    "LayerComparison",
    "LayerwiseSimilarity",
    "cka",
    "compare",
    "information_imbalance",
    "layerwise",
    "neighbor_spearman",
    "neighborhood_overlap",
]
