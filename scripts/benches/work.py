"""What every way of running a profile is given, and how it is timed."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import kdefrost
from kdefrost.data.channels import standardization
from kdefrost.models.normalization import with_keras_layers
from scripts.benches.measuring import measured, memory
from scripts.benches.tasks import Task


@dataclasses.dataclass(frozen=True)
class Work:
    """All trials of a profile.

    Attributes:
        source: The source model, flat and of Keras's own layers.
        train: Images and labels to draw training sets from.
        test: Images and labels to test on.
        cuts: Names of the layers after which it is cut.
        last: Name of the layer whose output a new output layer takes.
        per_class: Number of training images per class.
        seeds: Number of trials at each cut.
        epochs: Number of epochs of a trial.
    """

    source: keras.Model
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    cuts: tuple[str, ...]
    last: str
    per_class: int
    seeds: int
    epochs: int

    @property
    def recipe(self) -> kdefrost.Recipe:
        """How every trial is trained."""
        return kdefrost.Recipe(epochs=self.epochs)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train[1].max()) + 1

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The cuts of the profiles that are timed."""
        return {"whole": self.cuts, "later half": self.cuts[len(self.cuts) // 2 :], "last cut": self.cuts[-1:]}

    @functools.cached_property
    def rows(self) -> list[np.ndarray]:
        """The rows of the training images of each seed, as kdefrost draws them."""
        return [kdefrost.subset(self.train[1], self.per_class, seed) for seed in range(self.seeds)]

    @functools.cached_property
    def used(self) -> np.ndarray:
        """The rows that some seed is trained on, whose features are cached."""
        return np.unique(np.concatenate(self.rows))


def cut_by_cut(run: Callable[[str], list[float]], work: Work) -> dict:
    """Runs the trials of one cut after the other.

    Args:
        run: Runs all trials of a cut, by its name, and gives their test accuracies.
        work: The work.

    Returns:
        What JSON can hold: `"seconds"` of the whole, the later half and the last cut, `"per_cut"` of
        each, `"loaded"`, the bytes that the process has before, and `"peak"`, at most while it runs; and
        `"scores"`, the accuracies by cut and seed.
    """
    seconds, scores = {}, []

    def every_cut():
        for cut in work.cuts:
            start = time.perf_counter()
            scores.append(run(cut))
            seconds[cut] = time.perf_counter() - start

    loaded = memory("VmRSS")
    _, peak = measured(every_cut)
    parts = {part: sum(seconds[cut] for cut in cuts) for part, cuts in work.parts.items()}
    return {"seconds": parts, "per_cut": list(seconds.values()), "loaded": loaded, "peak": peak, "scores": scores}


def prepare(task: Task, folder: Path, data_dir: str | None = None, weights: str | None = None) -> keras.Model:
    """Writes a task's source and images to a folder, from which every process reads them.

    Args:
        task: The task.
        folder: The folder.
        data_dir: Folder of the data set, as `kdefrost.load_data` takes it.
        weights: File of the ImageNet weights.

    Returns:
        The source.
    """
    data = kdefrost.load_data(task.data, data_dir, image_size=task.image_size)
    write_images(task, data, folder)
    if task.is_trained:
        source = kdefrost.load_source(task.network, weights, image_size=task.image_size)
    else:
        source = _trained(task, data, folder)
    # Flat and of Keras's own layers: who works by hand finds each layer by its name.
    source = with_keras_layers(source)
    source.save(folder / "source.keras")
    return source


def write_images(task: Task, data: kdefrost.ImageData, folder: Path):
    """Writes a balanced draw of a data set's images in float32, standardised where the source takes them so."""
    arrays = {}
    for name, examples, count in (("train", data.train, task.drawn_from), ("test", data.test, task.test_per_class)):
        images, labels = examples.take(kdefrost.subset(examples.labels, count, seed=0))
        images = np.asarray(images[:], np.float32)
        arrays[f"{name}_images"] = images if task.is_trained else standardization(data.train.images)(images).numpy()
        arrays[f"{name}_labels"] = labels
    np.savez(folder / "images.npz", **arrays)


def read(folder: Path, settings: dict) -> Work:
    """What `prepare` wrote, as the work of one process of the given `settings_of`."""
    source = keras.models.load_model(folder / "source.keras", compile=False)
    return Work(source, *read_images(folder), **{**settings, "cuts": tuple(settings["cuts"])})


def read_images(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training and the test images that `write_images` wrote, with their labels."""
    arrays = np.load(folder / "images.npz")
    return [(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in ("train", "test")]


def settings_of(task: Task, source: keras.Model) -> dict:
    """The size of a task's profile, in what JSON can hold."""
    cuts, last = ([cut.name for cut in kdefrost.cut_points(source, which)] for which in (task.cuts, "blocks"))
    return {"cuts": cuts, "last": last[-1], **{name: getattr(task, name) for name in ("per_class", "seeds", "epochs")}}


def _trained(task: Task, data: kdefrost.ImageData, folder: Path) -> keras.Model:
    """A source that is trained, not for long, on a clone of the target."""
    clone = kdefrost.make_clone(
        "isogm", data, 0, task.clone_per_class, task.test_per_class, directory=None, verbose=False
    )
    recipe = kdefrost.Recipe(epochs=task.clone_epochs)
    return kdefrost.train_source(clone, data, task.network, recipe, folder, verbose=False)
