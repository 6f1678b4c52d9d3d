"""What figures are drawn from: stored answers, and what is missing of them run first."""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kdefrost.clones.making import is_clone, make_clone
from kdefrost.compliance import ComplianceProfile
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.initialization import reinitialize
from kdefrost.data.examples import ImageData
from kdefrost.data.holding_out import hold_out
from kdefrost.data.images import load_data
from kdefrost.defroster import Defroster
from kdefrost.files import make_folder, writing
from kdefrost.models.networks import build_model
from kdefrost.paper.experiments import FULL, IMAGENET, MEDICAL, SCRATCH, Figure, Pairs, Springs, Transfer
from kdefrost.paper.medical import MedicalSource
from kdefrost.paper.results import FigureResults
from kdefrost.paper.scales import Scale
from kdefrost.paper.views import joined, of_sizes, with_scratch
from kdefrost.paper.work import TARGET_SEED, Run, folder_of, recipe_for, source_network, work_of
from kdefrost.profile import DefrostProfile
from kdefrost.similarity import LayerwiseSimilarity
from kdefrost.similarity.kept_pairs import kept_layerwise
from kdefrost.sources import standardized, train_source
from kdefrost.training.recipe import Recipe

# Images of each set that insets show.
_SAMPLES = 3


@contextlib.contextmanager
def _without_warnings_of_tracing() -> Iterator[None]:
    """Each network is traced anew, of which TensorFlow warns; its level is that of before at the end of `with`."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(before)


class Answers:
    """Answers what figures ask: from what is on disk, and by training what is missing.

    Args:
        scale: The preset.
        directory: Folder of the preset's run folders.
        kept: Folder in which sources, autoencoders and clones are kept.
        data_dir: Folder of TensorFlow Datasets.
        idc: Folder of the archive of breast tissue.
        weights: File, or for ResNet-18 folder, of ImageNet's weights; by default they are downloaded.
        jobs: As for `Defroster.profile`.
        verbose: Whether to say what is done and show progress.
    """

    def __init__(
        self,
        scale: Scale,
        directory: str | os.PathLike,
        kept: str | os.PathLike,
        data_dir: str | os.PathLike | None = None,
        idc: str | os.PathLike | None = None,
        weights: str | os.PathLike | None = None,
        jobs: int | None = None,
        verbose: bool = True,
    ):
        self.scale, self.directory, self._kept = scale, Path(directory), Path(kept)
        self._data_dir, self._jobs, self._verbose = data_dir, jobs, verbose
        self.medical = MedicalSource(scale.medical, idc, weights)
        self._profiles: dict[tuple, DefrostProfile] = {}
        self._cuts = scale.cuts if isinstance(scale.cuts, str) else list(scale.cuts)

    def results(self, figures: Sequence[Figure]) -> Iterator[FigureResults]:
        """Runs what is missing of some figures, what they have in common once, and gives what they are drawn from.

        Args:
            figures: Figures as the preset runs them, of `Scale.figure`.

        Yields:
            Their `FigureResults`, one after the other: profiles of all of them are run before the first.

        Raises:
            ValueError: As `Defroster.profile` and `train_source`.
        """
        make_folder(self.directory)
        with _without_warnings_of_tracing():
            for run in work_of(figures, self.scale).runs:
                if not run.is_medical or not self.medical.missing:
                    self._say(f"{run.source} to {run.target}, {run.recipe.epochs} epochs")
                    self._profiles[run.source, run.target, run.recipe] = self._run(run)
            yield from map(self._results, figures)

    def _results(self, figure: Figure) -> FigureResults:
        profiles = tuple(self.profile(transfer) for transfer in figure.transfers)
        similarities = {pairs.source: self.similarity(pairs) for pairs in figure.pairs}
        compliance = figure.springs and self.compliance(figure.springs)
        shown = [name for transfer in figure.transfers for name in (transfer.source, transfer.target)]
        samples = {name: self.samples(name) for name in dict.fromkeys(shown) if self._is_there(name)}
        return FigureResults(figure, profiles, similarities, compliance, samples)

    def _is_there(self, name: str) -> bool:
        return name != IMAGENET and (name != MEDICAL or not self.medical.missing)

    def profile(self, transfer: Transfer) -> DefrostProfile | None:
        """The profile of a transfer, of runs that have ended; `None` where its data or network are not there."""
        parts = []
        for size in transfer.per_class:
            recipe = recipe_for(size, transfer.target, self.scale)
            run = self._profiles.get((transfer.source, transfer.target, recipe))
            if run is None:
                return None
            part = of_sizes(run, [size], transfer.repeats)
            if transfer.target != MEDICAL:
                scratch = of_sizes(self._profiles[SCRATCH, transfer.target, recipe], [size], transfer.repeats)
                part = with_scratch(part, scratch)
            parts.append(part)
        named = {"source_name": transfer.source, "target": transfer.target, "preset": self.scale.name}
        return joined(parts, named)

    def similarity(self, pairs: Pairs) -> LayerwiseSimilarity:
        """The layers of networks trained on a source and on the target, over all pairs."""
        data = self.data(pairs.target)
        images = data.test.images[: self.scale.compared_images]
        directory = self.directory / f"pairs-{pairs.target}-{self.scale.model}"
        parts = []
        for number in range(pairs.repeats):
            self._say(f"{pairs.source} and {pairs.target}, pair {number + 1} of {pairs.repeats}")
            networks = [(pairs.source, number), (pairs.target, TARGET_SEED + number)]
            models = [standardized(self.network(*network), data.train.images) for network in networks]
            parts.append(kept_layerwise(*models, images, directory, verbose=self._verbose))
        return LayerwiseSimilarity.joined(parts)

    def compliance(self, springs: Springs) -> ComplianceProfile:
        """Trainings on a target whose first layers are held near a source's."""
        self._say(f"{springs.target} with {springs.layers} layers held near those of {springs.source}")
        defroster = self._defroster(springs.source, springs.target, self.scale.full)
        sets = self._sets(springs.target)
        per_class = self.scale.held_per_class or sets["train"].smallest_class
        trials = {"seeds": springs.repeats, "per_class": per_class, "layers": springs.layers, "jobs": self._jobs}
        return defroster.compliance(**sets, strengths=self.scale.strengths, **trials, verbose=self._verbose)

    def data(self, name: str) -> ImageData:
        """A data set, or the clone of the one that is the target of all."""
        if name == MEDICAL:
            return self.medical.data
        if is_clone(name):
            recipe = self.scale.autoencoder
            return make_clone(name, self._original, recipe=recipe, directory=self._kept, verbose=self._verbose)
        return self._original

    def network(self, source: str, seed: int) -> keras.Model:
        """A network trained on a clone of the original, or on the original."""
        name = source if is_clone(source) else self._original
        model, recipe = self.scale.model, self.scale.source
        given = {"autoencoder": self.scale.autoencoder, "verbose": self._verbose}
        return train_source(name, self._original, model, recipe, self._kept, seed=seed, **given)

    def samples(self, name: str) -> np.ndarray:
        """Some test images of a set, kept so that they are there without it."""
        path = self.directory / f"samples-{name}-{self.scale.name}.npy"
        if not path.exists():
            test = self.data(name).test
            first = [int(np.flatnonzero(test.labels == label)[0]) for label in range(_SAMPLES) if label in test.labels]
            images = np.asarray(test.take(np.array(first)).images[:])
            with writing(path) as file:
                np.save(file, np.rint(np.clip(images, 0, 255)).astype(np.uint8))
        return np.load(path)

    def _run(self, run: Run) -> DefrostProfile:
        """All trials of a run folder: those that are there, and those that are missing."""
        defroster, sets = self._defroster(run.source, run.target, run.recipe), self._sets(run.target)
        parts = []
        for sizes, repeats in run.calls():
            per_class = None if sizes == [FULL] else sizes
            own = {"test_per_class": self.scale.medical.test_per_class} if run.is_medical else {}
            common = {**own, "jobs": self._jobs, "verbose": self._verbose}
            parts.append(defroster.profile(**sets, per_class=per_class, seeds=repeats, **common))
        return joined(parts)

    def _defroster(self, source: str, target: str, recipe: Recipe) -> Defroster:
        """The defroster of a run folder; where training from scratch is run apart, without cut 0."""
        directory = self.directory / folder_of(source, target, recipe, self.scale)
        if target == MEDICAL:
            return Defroster(self.medical.network, recipe, self.scale.medical.cuts, directory)
        data = self.data(target)
        if source == SCRATCH:
            network = build_model(self.scale.model, len(data.classes), data.image_shape)
            # The folder knows its source by its weights.
            reinitialize(network, seed=0)
            return Defroster(standardized(network, data.train.images), recipe, [0], directory)
        network = self.network(*source_network(source, self.scale))
        cuts = [cut.index for cut in cut_points(network, self._cuts) if cut.index]
        return Defroster(standardized(network, data.train.images), recipe, cuts, directory)

    def _sets(self, target: str) -> dict:
        """The images of a target to train, to choose and to test on."""
        data = self.data(target)
        share = self.scale.share_held_out(target == MEDICAL, len(data.classes), len(data.train.labels))
        if not share:
            return {"train": data.train, "test": data.test, "classes": len(data.classes)}
        train, validation = hold_out(data.train, share)
        return {"train": train, "validation": validation, "test": data.test, "classes": len(data.classes)}

    def _say(self, what: str):
        if self._verbose:
            print(f"{what} …", flush=True)

    @functools.cached_property
    def _original(self) -> ImageData:
        return load_data(self.scale.names.get("cifar10", "cifar10"), self._data_dir)
