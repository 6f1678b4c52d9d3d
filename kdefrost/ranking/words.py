"""What scores of several sources say as text; methods of these names are bound where the package is put together."""

from kdefrost.profile.ranking import Ranked, ranking_sentence
from kdefrost.ranking.result import SourceRanking
from kdefrost.tables import align, format_score
from kdefrost.transferability.names import ACCURACIES, LABELS


def table(result: SourceRanking, by: str | None = None) -> str:
    """The sources as text: a row for each, the best one first, and a column for each score.

    `*` marks the best source of a column, `~` those not told apart from it; in brackets is the cut.

    Args:
        result: The result.
        by: Name of the score that orders the rows; by default `SourceRanking.default`.

    Returns:
        The table.

    Raises:
        ValueError: If there is no such score.
    """
    order = [each.source for each in result.ranking(by)]
    order += [source for source in result.results if source not in order]
    columns = {name: {each.source: each for each in result.ranking(name)} for name in result.names}
    head = ["source", *(LABELS[name] for name in columns)]
    rows = [[source, *(_cell(name, ranked, source) for name, ranked in columns.items())] for source in order]
    return align([head, *rows], left=(0,))


def summary(result: SourceRanking, by: str | None = None) -> str:
    """The table, how to read it, and a sentence on the score that orders it.

    Args:
        result: The result.
        by: Name of the score that orders the rows; by default `SourceRanking.default`.

    Returns:
        The text.

    Raises:
        ValueError: If there is no such score.
    """
    by = by or result.default
    ranking = result.ranking(by)
    said = [
        f"{_draws(result)}. Each source at the cut where it scores highest, in brackets.",
        "Higher is better in every column; * its best source, ~ not told apart from it. No tail was trained.",
    ]
    if len(ranking) > 1:
        said.append(f"By {LABELS[by]}. {ranking_sentence(_metric(by), ranking)}")
    return "\n".join([table(result, by), "", *said])


def _draws(result: SourceRanking) -> str:
    """Of which examples the scores are, and what their errors are of, if they have any."""
    drawn, examples = result.drawn
    if drawn == examples:
        return "Of all examples"
    several = len(result.seeds) > 1
    of_all = "" if examples is None else f" of {examples}"
    draws = f"{f'Means over {len(result.seeds)} draws' if several else 'One draw'} of {drawn}{of_all} examples"
    if result.share("all") == 1:
        return f"{draws}, which have all of the smallest class, so that they tell of no error"
    return f"{draws}, ± what the choice of examples makes" if several else draws


def _cell(name: str, ranked: dict[str, Ranked], source: str) -> str:
    """A score of a source, and its place in the order."""
    if source not in ranked:
        return "–  "
    each = ranked[source]
    mark = "*" if next(iter(ranked)) == source else "~" if each.near else " "
    return f"{format_score(_metric(name), each.score, each.error)} ({each.cut.index}) {mark}"


def _metric(name: str) -> str:
    """A score's name as that of a metric, whose unit follows from it."""
    return "accuracy" if name in ACCURACIES else name
