"""What a figure is drawn from, and how it is written."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from kdefrost.compliance import ComplianceProfile
from kdefrost.files import make_folder
from kdefrost.paper.experiments import Figure
from kdefrost.profile import DefrostProfile
from kdefrost.similarity import LayerwiseSimilarity


@dataclasses.dataclass(frozen=True)
class FigureResults:
    """What a figure is drawn from.

    Attributes:
        figure: Its experiments, as the preset runs them.
        profiles: Of each transfer its profile, `None` where it could not be run.
        similarities: By source.
        compliance: The trainings under springs.
        samples: By the name of a data set some of its images, uint8 `(images, height, width, channels)`.
    """

    figure: Figure
    profiles: tuple[DefrostProfile | None, ...] = ()
    similarities: dict[str, LayerwiseSimilarity] = dataclasses.field(default_factory=dict)
    compliance: ComplianceProfile | None = None
    samples: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def save(self, directory: str | os.PathLike) -> list[Path]:
        """Writes the raw numbers, each result as JSON and CSV.

        Args:
            directory: The folder.

        Returns:
            The paths of the files.
        """
        folder, written = make_folder(directory), []
        for name, result in self._named().items():
            written += [folder / f"{name}.json", folder / f"{name}.csv"]
            result.save(written[-2])
            result.save_csv(written[-1])
        return written

    @classmethod
    def load(cls, figure: Figure, directory: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Args:
            figure: The figure's experiments, as the preset ran them.
            directory: The folder; of what is not in it nothing was run.

        Returns:
            The results, without samples of images.
        """
        folder = Path(directory)

        def read(kind, name: str):
            path = folder / f"{name}.json"
            return kind.load(path) if path.exists() else None

        profiles = tuple(read(DefrostProfile, name) for name in _profile_names(figure))
        pairs = {pairs.source: read(LayerwiseSimilarity, f"similarity-{pairs.source}") for pairs in figure.pairs}
        similarities = {source: result for source, result in pairs.items() if result is not None}
        return cls(figure, profiles, similarities, read(ComplianceProfile, "compliance"))

    def effort(self) -> str:
        """How much was run: trials, seeds and the hours that these took, and pairs of networks; nothing of nothing."""
        trials = []
        for profile in self.profiles:
            # Training from scratch is in the profiles of all sources, and was run once.
            trials += [] if profile is None else [trial for trial in profile.trials if trial not in trials]
        trials += self.compliance.trials if self.compliance else ()
        parts = []
        if trials:
            seeds, hours = len({trial.seed for trial in trials}), sum(trial.seconds for trial in trials) / 3600
            parts.append(f"{len(trials)} trials of up to {seeds} seeds, {hours:.1f} hours of training and scoring")
        if self.similarities:
            pairs = max(len({each.pair for each in result.comparisons}) for result in self.similarities.values())
            parts.append(f"{pairs} pairs of networks for each source")
        return "; ".join(parts)

    def _named(self) -> dict[str, DefrostProfile | LayerwiseSimilarity | ComplianceProfile]:
        """The results by the names of their files."""
        named = {}
        for name, profile in zip(_profile_names(self.figure), self.profiles, strict=False):
            if profile is not None:
                named[name] = profile
        named |= {f"similarity-{source}": result for source, result in self.similarities.items()}
        return named | ({"compliance": self.compliance} if self.compliance else {})


def _profile_names(figure: Figure) -> Iterator[str]:
    """The names of the files of a figure's profiles."""
    return (f"{letter}-{transfer.name}" for letter, transfer in zip("abcd", figure.transfers, strict=False))
