"""Scores of several sources without training, each at its best cut."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdefrost.arguments import check_kind
from kdefrost.files import write_atomically
from kdefrost.profile.ranking import Ranked, rank_columns
from kdefrost.results import as_csv, joined_rows
from kdefrost.transferability import Transferability

if TYPE_CHECKING:
    from kdefrost.ranking import figures, words

# What orders the sources where nothing else is said: ahead of 22 other scores in 42,000 experiments (arXiv:2503.18528).
_DEFAULT = "nearest_neighbors"


@dataclasses.dataclass(frozen=True)
class SourceRanking:
    """Scores without training of several sources on one target, by which they are compared before a tail is trained.

    A source is scored at its best cut, that of its highest mean over draws. This is chosen by the same scores and
    flatters each source, more so one with more cuts.

    Attributes:
        results: The scores of each source's cuts by its name, in the order in which they are shown; of the same
            scores and seeds, on the same examples, which each source may take in a size of its own.

    Raises:
        ValueError: If there are no results, or two differ in their scores, seeds, numbers of examples, labels or
            target, as far as both say them.

    Example:

    ```python
    sources = {"mine": source, "another": model}
    results = {
        name: kdefrost.Defroster(each).transferability((x, y), per_class=16, seeds=3) for name, each in sources.items()
    }
    ranking = kdefrost.SourceRanking(results)
    print(ranking.summary())
    ```
    """

    results: dict[str, Transferability]

    if TYPE_CHECKING:
        # Bound where the package is put together.
        plot = figures.plot
        summary = words.summary
        table = words.table

    def __post_init__(self):
        check_kind("results", self.results, dict, "a dict of Transferability by name")
        if not self.results:
            raise ValueError("`results` must hold one or more results by name. Received: none")
        known = {}
        for name, result in self.results.items():
            check_kind("results", result, Transferability, "a dict of Transferability by name")
            for fact, value in _facts(result):
                # Files of before do not say all.
                if value is None:
                    continue
                other, expected = known.setdefault(fact, (name, value))
                if value != expected:
                    raise ValueError(
                        f"`results` must differ in nothing but the source: {name!r} has {fact} {value}, {other!r} has "
                        f"{expected}. Score both alike, or leave one out."
                    )

    @property
    def names(self) -> list[str]:
        """The names of the scores."""
        return self._common.names

    @property
    def default(self) -> str:
        """The name of the score that orders the sources where none is named: nearest neighbours, else the first."""
        return _DEFAULT if _DEFAULT in self.names else self.names[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the draws, in order."""
        return self._common.seeds

    @property
    def drawn(self) -> tuple[int, int | None]:
        """Number of examples of each draw, and of those that they are drawn from, `None` where it is not known."""
        return self._sizes["all"], self._said("examples")

    def scores(self, name: str) -> np.ndarray:
        """A score of all sources, each at its best cut by this score.

        Args:
            name: Its name.

        Returns:
            Array `(seeds, sources)`; higher is better, NaN where a source's features tell nothing.

        Raises:
            ValueError: If there is no such score.
        """
        return np.stack([_at_best(result, name) for result in self.results.values()], axis=1)

    def ranking(self, name: str | None = None) -> list[Ranked]:
        """The sources in the order of a score, compared within draws.

        Errors are of which examples of the target were drawn. With a share f of the examples in each of n draws, the
        variance of a mean is that of a draw times 1/n + f / (1 − f), because draws have examples in common: the second
        term is examples drawn by examples left out (the delete-d jackknife of Shao & Wu, 1989; with halves it is 1).
        Draws have as many examples of each class; where classes are uneven, f is the largest share of one, that of the
        smallest class, so that errors are rather too large. Where each draw has all examples of a class there is no
        error, since draws do not tell how much the scores are these. How much a score is the particular training of a
        source is in none.

        Args:
            name: The name of the score; by default `default`.

        Returns:
            A `kdefrost.profile.ranking.Ranked` for each source that has a score, the best one first.

        Raises:
            ValueError: If there is no such score.
        """
        name = name or self.default
        table, cuts = self.scores(name), [result.best_cut(name) for result in self.results.values()]
        scored = [place for place, cut in enumerate(cuts) if cut is not None]
        if not scored:
            return []
        share = self.share(name)
        if share == 1:
            table = table.mean(axis=0, keepdims=True)
        in_common = 0.0 if share in (None, 1) else share / (1 - share)
        sources = list(self.results)
        return rank_columns(
            [sources[place] for place in scored],
            [cuts[place] for place in scored],
            table[:, scored],
            sign=1,
            share=lambda blocks: 1 / blocks + in_common,
        )

    def share(self, name: str) -> float | None:
        """The largest share of a class's examples that a score is computed on in each draw.

        Args:
            name: The name of the score.

        Returns:
            The share, at most 1; of results of before, which do not say it, the share of all examples, `None` where
            they do not say how many there are.
        """
        shares = self._said("shares")
        # Some scores take a part of each draw.
        if shares is not None:
            return shares.get(name, shares["all"])
        examples = self.drawn[1]
        return None if examples is None else self._sizes.get(name, self._sizes["all"]) / examples

    def save_csv(self, path: str | os.PathLike) -> None:
        """Writes the scores of all cuts of all sources to a CSV file, a cut and seed a row, the source first."""
        write_atomically(Path(path), as_csv(joined_rows(self.results, "source")))

    @property
    def _sizes(self) -> dict[str, int]:
        """Numbers of examples of a draw, and by name of the scores that take a part of it."""
        return self._common.configuration["sizes"]

    def _said(self, fact: str):
        """What a configuration says, of the first result that says it; `None` where none does."""
        return next((told[fact] for each in self.results.values() if fact in (told := each.configuration)), None)

    @property
    def _common(self) -> Transferability:
        """The first result, for what all of them have in common."""
        return next(iter(self.results.values()))


def _facts(result: Transferability):
    """What results must have alike."""
    yield "the scores", ", ".join(result.names)
    yield "the seeds", result.seeds
    told = result.configuration
    # The last part of it, since a folder may be named from elsewhere.
    yield "the target", Path(told.get("target") or "").name or None
    yield "examples", told.get("examples")
    yield "labels of the hash", told.get("labels")
    yield from ((f"numbers of examples ({part})", told["sizes"].get(part)) for part in ("all", *result.names))


def _at_best(result: Transferability, name: str) -> np.ndarray:
    """A score at the cut where its mean is highest `(seeds,)`."""
    scores, cut = result.scores(name), result.best_cut(name)
    return np.full(len(scores), np.nan) if cut is None else scores[:, result.cuts.index(cut)]
