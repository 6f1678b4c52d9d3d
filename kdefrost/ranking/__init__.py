"""Which source for a target, without training: sources in the order of scores from features and labels alone.

result   the scores of several sources, each at its best cut (`SourceRanking`)
scoring  scores sources on the images of a target (`rank_sources`)
words    what they say as text
figures  drawn from a result
"""

from kdefrost.ranking import figures, words
from kdefrost.ranking.result import SourceRanking
from kdefrost.ranking.scoring import rank_sources

# Here, because words and figures take results, which know of neither.
SourceRanking.plot = figures.plot
SourceRanking.summary = words.summary
SourceRanking.table = words.table

__all__ = ["SourceRanking", "rank_sources"]
