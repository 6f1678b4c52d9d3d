"""Profiles of several sources on one target, held side by side."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdefrost.arguments import check_kind
from kdefrost.cutting.cut import Cut
from kdefrost.files import write_atomically
from kdefrost.profile.ranking import Ranked, rank_profiles, ranking_sentence
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.words import UNTRIED, heading, marks_text, nothing_frozen, spread_text, starts_pretrained
from kdefrost.results import as_csv, joined_rows
from kdefrost.tables import align, markdown

if TYPE_CHECKING:
    from kdefrost.profile import figures

# What a task's scores depend on, beside its metrics.
_TASK = ("kind", "units", "loss", "loss_settings", "metrics", "output", "class_weight", "test_per_class")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Profiles that differ in nothing but the source, so that what their scores differ by is the source's doing.

    Some profiles may lack cuts, or seeds, that others have.

    Attributes:
        profiles: The profiles by the names of their sources, in the order in which they are shown.

    Raises:
        ValueError: If there are no profiles, one has no trials, or two differ in their sizes,
            objective, metrics, sets, task or recipe, or in what layers a cut lies between.

    Example:

    ```python
    profiles = {name: kdefrost.DefrostProfile.load(f"runs/{name}/profile.json") for name in ("isogm", "gm")}
    comparison = kdefrost.Comparison(profiles)
    print(comparison.summary())
    ```
    """

    profiles: dict[str, DefrostProfile]

    if TYPE_CHECKING:
        # Bound where the package is put together.
        plot = figures.plot_comparison

    def __post_init__(self):
        check_kind("profiles", self.profiles, dict, "a dict of profiles by name")
        if not self.profiles:
            raise ValueError("`profiles` must hold one or more profiles by name. Received: none")
        known = {}
        for name, profile in self.profiles.items():
            check_kind("profiles", profile, DefrostProfile, "a dict of profiles by name, each a DefrostProfile")
            if not profile.trials:
                raise ValueError(f"`profiles` must have finished trials; {name!r} has none. Leave it out.")
            for fact, value in _facts(profile):
                other, expected = known.setdefault(fact, (name, value))
                if value != expected:
                    raise ValueError(
                        f"`profiles` must differ in nothing but the source: {name!r} has {fact} {value}, {other!r} "
                        f"has {expected}. Run both alike, or leave one out."
                    )

    @property
    def cuts(self) -> list[Cut]:
        """The cuts that any profile has, from the input to the output."""
        cuts = {cut.index: cut for profile in self.profiles.values() for cut in profile.cuts}
        return [cuts[index] for index in sorted(cuts)]

    @property
    def common(self) -> DefrostProfile:
        """The first profile, for what all of them have in common."""
        return next(iter(self.profiles.values()))

    @property
    def per_class(self) -> list[int]:
        """The sizes of the training sets, in examples per class, in order."""
        return self.common.per_class

    def scratch(self, per_class: int) -> float:
        """The mean score at cut 0, where a seed trains the same network in the same way whatever the source.

        Args:
            per_class: Number of training examples per class.

        Returns:
            The mean over the seeds, or folds, that some profile has, NaN where none was trained from scratch.
        """
        by_seed = {}
        for profile in self.profiles.values():
            if profile.cuts[0].index == 0 and not starts_pretrained(profile):
                scores = profile.scores(per_class, profile.reported_on)[:, 0]
                by_seed |= {
                    block: score for block, score in zip(profile.blocks, scores, strict=True) if np.isfinite(score)
                }
        return float(np.mean(list(by_seed.values()))) if by_seed else np.nan

    def ranking(self, per_class: int | None = None) -> list[Ranked]:
        """The sources in the order of the scores at their best cuts, the best one first; see `rank_profiles`.

        Args:
            per_class: Number of training examples per class.

        Returns:
            A list of `kdefrost.profile.ranking.Ranked`, which say how far each is behind and whether it is told apart.
        """
        return rank_profiles(self.profiles, per_class)

    def rows(self, per_class: int) -> list[list[str]]:
        """The scores of one size as cells of a table: a head, and a row per cut with a column per source.

        Args:
            per_class: Number of training examples per class.

        Returns:
            A list of rows; `*` marks the best cut of a source, `~` those not told apart from it.
        """
        cells = {
            name: dict(zip((cut.index for cut in profile.cuts), profile.cells(per_class), strict=True))
            for name, profile in self.profiles.items()
        }
        head, start = ["cut", "after layer", "frozen", *self.profiles], nothing_frozen(self.profiles.values())
        rows = [
            [
                str(cut.index),
                f"{cut.name}{_end(cut, start)}",
                f"{cut.frozen_layers}/{cut.layers}",
                *(cells[name].get(cut.index, UNTRIED) for name in self.profiles),
            ]
            for cut in self.cuts
        ]
        return [head, *rows]

    def summary(self) -> str:
        """A table per size, a line on how to read them, and a sentence per size and source."""
        tables = [f"{self._heading(size)}\n\n{align(self.rows(size), left=(1,))}\n" for size in self.per_class]
        sentences = [line for size in self.per_class for line in ["", f"{self._size_text(size)}:", *self._say(size)]]
        return "\n".join([*tables, self._legend("*"), *sentences])

    def markdown(self) -> str:
        """What `summary` says, in Markdown, each size's sentences under its table."""
        parts = []
        for size in self.per_class:
            head, *rows = self.rows(size)
            table = markdown([head, *([*row[:3], *map(_in_markdown, row[3:])] for row in rows)], left=(1,))
            says = "\n".join(f"- {line}" for line in self._say(size))
            parts.append(f"## {self._heading(size)}\n\n{table}\n\n{says}\n")
        return "\n".join([*parts, self._legend("Bold:"), ""])

    def save_csv(self, path: str | os.PathLike) -> None:
        """Writes the trials of all profiles to a CSV file, one a row, the source first."""
        write_atomically(Path(path), as_csv(joined_rows(self.profiles, "source")))

    def _heading(self, per_class: int) -> str:
        return f"{heading(self.common, self.common.objective.name)}, {self._size_text(per_class)}"

    def _size_text(self, per_class: int) -> str:
        return self.common.size_text(per_class)

    def _say(self, per_class: int) -> list[str]:
        lines = [f"{name}: {profile.sentence(per_class)}" for name, profile in self.profiles.items()]
        ranking = self.ranking(per_class)
        return lines if len(ranking) < 2 else [*lines, ranking_sentence(self.common.objective.name, ranking)]

    def _legend(self, best: str) -> str:
        seeds = sorted({len(profile.seeds) for profile in self.profiles.values()})
        number = " to ".join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))
        spread = spread_text(self.common)
        if self.common.folds is None and seeds[-1] > 1:
            spread = f"Mean ± standard error over {number} seeds, differences paired by seed"
        return f"{spread}. {marks_text(self.common, best)}"


def _facts(profile: DefrostProfile) -> Iterator[tuple[str, object]]:
    """What profiles must have alike, where both have it."""
    yield "per_class", profile.per_class
    yield "folds", profile.folds
    yield "objective", f"{profile.objective.name} ({profile.objective.direction})"
    yield "metrics", profile.metrics
    yield "the cut chosen on", profile.chosen_on
    yield "scores reported on", profile.reported_on
    for cut in profile.cuts:
        yield f"cut {cut.index}", f"{cut.name} ({cut.frozen_layers}/{cut.layers} layers, {cut.shape_text})"
    task, recipe, data = (profile.configuration.get(part, {}) for part in ("task", "recipe", "data"))
    yield from ((f"the task's {name}", task[name]) for name in _TASK if name in task)
    yield from ((f"the recipe's {name}", value) for name, value in recipe.items())
    # Fingerprints are compared with those of the same version only.
    version = profile.configuration.get("format")
    yield from ((f"{name} data (format {version})", value) for name, value in data.items())


def _end(cut: Cut, start: str) -> str:
    if cut.index == 0:
        return f" ({start})"
    return " (vanilla)" if cut.frozen_layers == cut.layers - 1 else ""


def _in_markdown(cell: str) -> str:
    cell = cell.strip()
    return f"**{cell.removesuffix(' *')}**" if cell.endswith("*") else cell
