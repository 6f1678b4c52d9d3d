"""The defroster: plans the trials of a profile and runs them."""

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kdefrost import fingerprint, training
from kdefrost.cuts import Cut, cut_points, tail_of
from kdefrost.features import FeatureFlow
from kdefrost.initialization import reinitialize
from kdefrost.profile import DefrostProfile
from kdefrost.recipe import Recipe
from kdefrost.trials import Trial, TrialLog, read_trials

# Changed whenever the same configuration comes to give other scores.
_FORMAT = 1
# Told apart in the seeds, so that no two draws share a stream.
_SUBSET, _INITIALISATION, _ORDER = range(3)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a profile would run.

    Attributes:
        cuts: The cuts.
        trials: `(cut index, per_class, seed)` of each trial that is missing.
        recipe: The recipe of the trials.
        classes: Number of classes.
        trained: Number of different examples that some trial is trained on.
        evaluated: Number of examples that each trial is evaluated on.
    """

    cuts: tuple[Cut, ...]
    trials: tuple[tuple[int, int, int], ...]
    recipe: Recipe
    classes: int
    trained: int
    evaluated: int

    def training_flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of training one trial: forward, and twice that backward."""
        examples = trial[1] * self.classes * self.recipe.epochs
        return 3 * 2 * self._tail(trial) * examples

    def flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of one trial, evaluation included."""
        return self.training_flops(trial) + 2 * self._tail(trial) * self.evaluated

    def feature_bytes(self, cut: Cut) -> int:
        """Bytes of all features at a cut in float32."""
        return cut.feature_bytes * (self.trained + self.evaluated)

    def _tail(self, trial) -> int:
        by_index = {cut.index: cut for cut in self.cuts}
        return by_index[trial[0]].tail_multiply_adds


class Defroster:
    """Finds out how deep a trained model should be frozen for a small data set.

    At each cut the layers before it stay as the source has them, and the tail after it is
    re-initialised and trained on the target; the scores over the cuts are the defrosting
    profile (Gerace et al., 2023).

    Args:
        source: A functional or sequential Keras model with one input and one output,
            trained on the source task. It is never changed.
        recipe: How tails are trained; by default 60 epochs of the paper's recipe.
        cuts: Which cuts to try; see `cut_points`.
        directory: Folder in which every trial is kept as it ends, and from which a later
            call with the same configuration goes on. `None` keeps nothing.

    Raises:
        ValueError: If the source cannot be cut, or a cut does not exist.

    Example:

    ```python
    defroster = kdefrost.Defroster(source, recipe=kdefrost.Recipe(epochs=60), directory="runs/mine")
    profile = defroster.profile((x, y), test=(x_test, y_test), per_class=[16, 64], seeds=3)
    print(profile.summary())
    ```
    """

    def __init__(
        self,
        source: keras.Model,
        recipe: Recipe | None = None,
        cuts: str | int | Sequence[int | str] = "blocks",
        directory: str | os.PathLike | None = None,
    ):
        self.source = source
        self.recipe = Recipe(epochs=60) if recipe is None else recipe
        self.cuts = tuple(cut_points(source, cuts))
        self.directory = directory

    def profile(
        self,
        train,
        test=None,
        validation=None,
        per_class: int | Sequence[int] = (16, 64, 256),
        seeds: int | Sequence[int] = 5,
        classes: int | None = None,
        verbose: bool = True,
    ) -> DefrostProfile:
        """Runs all trials that are missing: every cut at every size with every seed.

        For one seed, all cuts see the same examples in the same order, and a larger
        training set contains the smaller ones.

        Args:
            train: The target's training examples, `(x, y)` with `x` as the source takes it
                and `y` whole-number labels from 0, or a `tf.data.Dataset` of such batches.
            test: The examples whose scores are reported, in the same form.
            validation: The examples whose scores choose the cut. Without them the test
                scores do, which flatters the chosen cut; the profile says so.
            per_class: Number, or numbers, of training examples per class.
            seeds: Number of repeats, or their seeds.
            classes: Number of classes; by default the largest training label plus one.
            verbose: Whether to show a progress bar.

        Returns:
            A `DefrostProfile` of the trials that were asked for, those from the folder
            among them.

        Raises:
            ValueError: If the data do not fit the source or each other, a class has fewer
                examples than asked for, or the folder holds another configuration's
                results.
        """
        plan, sets = self._plan(train, test, validation, per_class, seeds, classes)
        log = TrialLog(self.directory, self._configuration(sets, plan.classes))
        if plan.trials:
            self._run(plan, sets, log, verbose)
        sizes, seeds = _as_list(per_class, "per_class"), _as_seeds(seeds)
        asked = [trial for trial in log.finished.values() if trial.per_class in sizes and trial.seed in seeds]
        return DefrostProfile(self.cuts, tuple(sorted(asked, key=lambda trial: trial.key)), log.configuration)

    def plan(self, train, test=None, validation=None, per_class=(16, 64, 256), seeds=5, classes=None) -> Plan:
        """Says what `profile` would run with the same arguments, and runs nothing."""
        return self._plan(train, test, validation, per_class, seeds, classes)[0]

    def _plan(self, train, test, validation, per_class, seeds, classes):
        sets = _as_sets(train=train, test=test, validation=validation)
        labels = sets["train"][1]
        classes = _check_sets(sets, self.source, classes)
        sizes, seeds = _as_list(per_class, "per_class"), _as_seeds(seeds)
        _check_sizes(labels, sizes, classes)
        finished = {} if self.directory is None else read_trials(Path(self.directory))
        wanted = [(cut.index, size, seed) for cut in self.cuts for size in sizes for seed in seeds]
        missing = tuple(key for key in wanted if key not in finished)
        used = {index for key in {key[1:] for key in missing} for index in subset(labels, *key)}
        evaluated = sum(len(y) for name, (_, y) in sets.items() if name != "train")
        return Plan(self.cuts, missing, self.recipe, classes, len(used), evaluated), sets

    def _configuration(self, sets, classes: int) -> dict:
        return {
            "format": _FORMAT,
            "classes": classes,
            "source": fingerprint.of_model(self.source),
            "data": {name: fingerprint.of_arrays(*arrays) for name, arrays in sets.items()},
            "recipe": dataclasses.asdict(self.recipe),
            "cuts": [cut.name for cut in self.cuts],
        }

    def _run(self, plan: Plan, sets, log: TrialLog, verbose: bool):
        labels = sets["train"][1]
        subsets = {key[1:]: subset(labels, *key[1:]) for key in plan.trials}
        used = np.unique(np.concatenate(list(subsets.values())))
        rows = {key: np.searchsorted(used, chosen) for key, chosen in subsets.items()}
        targets = {name: y for name, (_, y) in sets.items()} | {"train": labels[used]}
        images = {name: x for name, (x, _) in sets.items()} | {"train": sets["train"][0][used]}
        flow = FeatureFlow(self.source, cut_points(self.source)[0], images)
        del images
        with _ProgressBar(plan, self.cuts, verbose) as bar:
            for cut in self.cuts:
                trials = [key for key in plan.trials if key[0] == cut.index]
                if not trials:
                    continue
                # The tail before holds the features that the flow is about to let go.
                tail = None
                flow.advance(cut)
                tail = _Tail(self.source, cut, plan.classes, self.recipe, flow.features, targets)
                for key in trials:
                    log.append(tail.run(key, rows[key[1:]], bar))


class _Tail:
    """The tail of one cut, compiled once, and the features that it is trained on."""

    def __init__(self, source, cut: Cut, classes: int, recipe: Recipe, features: dict, targets: dict):
        self.model = tail_of(source, cut, output=classes)
        training.compile_model(self.model, recipe)
        self.recipe = recipe
        self.sets = {name: (x, targets[name]) for name, x in features.items()}

    def run(self, key: tuple[int, int, int], rows: np.ndarray, bar: "_ProgressBar") -> Trial:
        cut, per_class, seed = key
        bar.begin(key)
        start = time.perf_counter()
        reinitialize(self.model, (_INITIALISATION, seed, cut))
        order = (_ORDER, seed, per_class)
        training.fit(self.model, *self.sets["train"], self.recipe, order, subset=rows, on_progress=bar.advance)
        scores = {name: self._score(name) for name in ("test", "validation")}
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            tqdm.write(
                f"Training diverged at cut {cut}, {per_class} per class, seed {seed}: its score is that of a guess. A "
                f"lower learning rate than {self.recipe.learning_rate} may help."
            )
        trial = Trial(*key, **scores, seconds=round(time.perf_counter() - start, 3))
        bar.end(trial)
        return trial

    def _score(self, name: str) -> float | None:
        return training.evaluate(self.model, *self.sets[name]) if name in self.sets else None


class _ProgressBar:
    """One bar over all trials, in units of their work."""

    def __init__(self, plan: Plan, cuts: Sequence[Cut], verbose: bool):
        # What a trial costs beside its arithmetic, as seen on two cores, in operations.
        self.work = {key: plan.flops(key) + 5e9 for key in plan.trials}
        self.last = cuts[-1].index
        self.bar = tqdm(
            total=sum(self.work.values()),
            disable=not verbose,
            smoothing=0.02,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed} gone, {remaining} left{postfix}",
        )
        self.score, self.done, self.key = None, 0.0, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def begin(self, key):
        self.key, self.done = key, 0.0
        last = "" if self.score is None else f", last accuracy {100 * self.score:.1f} %"
        self.bar.set_postfix_str(f"cut {key[0]} of {self.last}, {key[1]} per class, seed {key[2]}{last}")

    def advance(self, share: float):
        self.bar.update((share - self.done) * self.work[self.key] * 0.95)
        self.done = share

    def end(self, trial: Trial):
        self.bar.update(self.work[self.key] * (1 - 0.95 * self.done))
        self.score = trial.validation if trial.test is None else trial.test


def subset(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Draws a training set with as many examples of each class.

    Args:
        labels: All labels `(examples,)`.
        per_class: Number of examples per class.
        seed: Seed of the draw; for one seed a larger set contains the smaller ones.

    Returns:
        The indices of the examples, sorted.
    """
    chosen = []
    for label in np.unique(labels):
        rng = np.random.default_rng((_SUBSET, seed, int(label)))
        chosen.append(rng.permutation(np.flatnonzero(labels == label))[:per_class])
    return np.sort(np.concatenate(chosen))


def _as_sets(**sets) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if sets["test"] is None and sets["validation"] is None:
        raise ValueError("Give `test`, `validation` or both: without either there is nothing to score a trial on.")
    return {name: _as_arrays(name, examples) for name, examples in sets.items() if examples is not None}


def _as_arrays(name: str, examples) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(examples, tf.data.Dataset):
        batches = list(examples.as_numpy_iterator())
        if not batches or not isinstance(batches[0], tuple) or len(batches[0]) != 2 or np.ndim(batches[0][1]) == 0:
            raise ValueError(f"`{name}` must be a tf.data.Dataset of batches (x, y) that is not empty.")
        examples = tuple(np.concatenate(part) for part in zip(*batches, strict=True))
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:
        raise ValueError(f"`{name}` must be a pair (x, y) or a tf.data.Dataset of such batches. Received: {examples!r}")
    x, y = np.asarray(examples[0]), np.asarray(examples[1])
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"`{name}` must have as many labels as examples, at least one: {len(x)} x, {len(y)} y.")
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"Labels of `{name}` must be whole numbers (examples,). Received: {y.shape} of {y.dtype}.")
    return x, y


def _check_sets(sets, source, classes: int | None) -> int:
    """Checks that the sets fit each other and the source; returns the number of classes."""
    classes = int(sets["train"][1].max()) + 1 if classes is None else classes
    for name, (x, y) in sets.items():
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"Labels of `{name}` must be from 0 to {classes - 1}, for {classes} classes. Received labels from "
                f"{y.min()} to {y.max()}."
            )
        expected = source.inputs[0].shape[1:]
        if len(expected) != x.ndim - 1 or any(e not in (None, s) for e, s in zip(expected, x.shape[1:], strict=True)):
            raise ValueError(f"`{name}` has examples of shape {x.shape[1:]}, but the source takes {tuple(expected)}.")
    return classes


def _check_sizes(labels: np.ndarray, sizes: Sequence[int], classes: int):
    counts = np.bincount(labels, minlength=classes)
    smallest = int(counts.argmin())
    if counts[smallest] == 0:
        raise ValueError(f"Class {smallest} has no example in `train`; label the classes from 0 without gaps.")
    if max(sizes) > counts[smallest]:
        raise ValueError(
            f"`per_class` must be at most {counts[smallest]}, the number of training examples of class {smallest}. "
            f"Received: {max(sizes)}."
        )


def _as_list(values: int | Sequence[int], name: str) -> list[int]:
    values = [values] if isinstance(values, (int, np.integer)) else list(values)
    if not values or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in values):
        raise ValueError(f"`{name}` must be whole numbers, at least 1. Received: {name}={values}")
    return sorted({int(value) for value in values})


def _as_seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(seeds))
    if isinstance(seeds, Sequence) and seeds and all(isinstance(s, (int, np.integer)) and s >= 0 for s in seeds):
        return sorted({int(seed) for seed in seeds})
    raise ValueError(f"`seeds` must be a number of repeats, at least 1, or a list of seeds. Received: seeds={seeds!r}")
