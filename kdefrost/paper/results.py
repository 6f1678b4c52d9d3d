"""What a figure is drawn from, and how it is written."""

import dataclasses
import os
from pathlib import Path

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

    def _named(self) -> dict[str, DefrostProfile | LayerwiseSimilarity | ComplianceProfile]:
        """The results by the names of their files."""
        named = {}
        for letter, transfer, profile in zip("abcd", self.figure.transfers, self.profiles, strict=False):
            if profile is not None:
                named[f"{letter}-{transfer.name}"] = profile
        named |= {f"similarity-{source}": result for source, result in self.similarities.items()}
        return named | ({"compliance": self.compliance} if self.compliance else {})
