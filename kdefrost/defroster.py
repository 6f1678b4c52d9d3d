"""The defroster: plans the trials of a profile, runs them, and gives the best model."""

import dataclasses
import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from tqdm import tqdm

from kdefrost import fingerprint, training
from kdefrost.cuts import Cut, cut_points, join, split, tail_of
from kdefrost.features import FeatureFlow, Inference
from kdefrost.initialization import reinitialize
from kdefrost.models import FUSED_LAYERS, with_keras_layers
from kdefrost.profile import DefrostProfile
from kdefrost.recipe import Recipe
from kdefrost.sets import LabelledSet, check_sets, check_sizes, hold, read_sets, take_rows
from kdefrost.storage import Rows
from kdefrost.tables import format_score, label_of
from kdefrost.tasks import Objective, Task, as_labels, example_weights, kind_of, loss_name, make_task, strata
from kdefrost.trials import TailStore, Trial, TrialLog, check_configuration, read_trials, same_scores

# Changed whenever the same configuration comes to give other scores.
_FORMAT = 2
# Told apart in the seeds, so that no two draws share a stream.
_SUBSET, _INITIALISATION, _ORDER, _SAMPLE = range(4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a profile would run.

    Attributes:
        cuts: The cuts.
        trials: `(cut index, per_class, seed)` of each trial that is missing.
        recipe: The recipe of the trials.
        task: What the tails are trained for.
        examples: By trial, the number of examples that it is trained on.
        trained: Number of different examples that some trial is trained on.
        evaluated: Number of examples that each trial is evaluated on.
        memory_budget: Bytes that features may take.
    """

    cuts: tuple[Cut, ...]
    trials: tuple[tuple[int, int, int], ...]
    recipe: Recipe
    task: Task
    examples: dict[tuple[int, int, int], int]
    trained: int
    evaluated: int
    memory_budget: int

    def training_flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of training one trial: forward, and twice that backward."""
        return 2 * (3 * self._tail(trial) + self._again(trial)) * self.examples[trial] * self.recipe.epochs

    def flops(self, trial: tuple[int, int, int]) -> float:
        """Floating-point operations of one trial, evaluation included."""
        return self.training_flops(trial) + 2 * (self._tail(trial) + self._again(trial)) * self.evaluated

    def feature_bytes(self, cut: Cut) -> int:
        """Bytes of all features at a cut in float32."""
        return cut.feature_bytes * (self.trained + self.evaluated)

    def held_at(self, cut: Cut) -> Cut | None:
        """The cut whose features a trial at `cut` starts from; `None` where it starts from the images."""
        kept = [c for c in self.cuts if c.index <= cut.index and self.feature_bytes(c) <= self.memory_budget]
        return kept[-1] if kept else None

    def _tail(self, trial) -> int:
        return self._cut(trial).tail_multiply_adds

    def _again(self, trial) -> int:
        """Multiply-adds of the frozen layers that run anew at each step."""
        cut = self._cut(trial)
        held = self.held_at(cut)
        return (cut.multiply_adds if held is None else held.tail_multiply_adds) - cut.tail_multiply_adds

    def _cut(self, trial) -> Cut:
        return next(cut for cut in self.cuts if cut.index == trial[0])


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
        output: The new output layer: a number of units, a layer, or a small Keras model. By
            default a dense layer: with softmax for whole-number or one-hot labels, with
            sigmoid for rows of zeros and ones (multi-label), without activation for numbers
            (regression).
        loss: Keras loss, or its name; by default cross-entropy, or the mean squared error of
            a regression. Where the labels could be of several kinds, it tells which.
        metrics: Keras metrics, or their names, and `"balanced_accuracy"`; by default
            balanced accuracy, accuracy and AUC for two classes, accuracy for more, binary
            accuracy and AUC for multi-label, mean squared and absolute error for regression.
        objective: The metric that chooses the cut: its name, or an `Objective` where the
            direction is not known. By default the first metric.
        class_weight: Weights of the classes in the loss by class, or `"balanced"`.
        memory_budget: Bytes that cached features may take. Where those at a cut would take
            more, the frozen layers since the last cut that fits run anew at each step.

    Raises:
        ValueError: If the source cannot be cut, or a cut does not exist.

    Example:

    ```python
    defroster = kdefrost.Defroster(source, recipe=kdefrost.Recipe(epochs=60), directory="runs/mine")
    profile = defroster.profile((x, y), test=(x_test, y_test), per_class=[16, 64], seeds=3)
    print(profile.summary())
    model = defroster.best_model(profile, per_class=64)
    ```
    """

    def __init__(
        self,
        source: keras.Model,
        recipe: Recipe | None = None,
        cuts: str | int | Sequence[int | str | Cut] = "blocks",
        directory: str | os.PathLike | None = None,
        output: int | keras.layers.Layer | None = None,
        loss: str | keras.losses.Loss | None = None,
        metrics: Sequence[str | keras.metrics.Metric] | None = None,
        objective: str | Objective | None = None,
        class_weight: dict[int, float] | str | None = None,
        memory_budget: int = 2**31,
    ):
        self.source = source
        self.recipe = Recipe(epochs=60) if recipe is None else recipe
        self.cuts = tuple(cut_points(source, cuts))
        self.directory = directory
        self.output, self.loss, self.metrics, self.objective = output, loss, metrics, objective
        self.class_weight, self.memory_budget = class_weight, memory_budget
        self._last: _Run | None = None
        self._tails = TailStore(directory)

    def profile(
        self,
        train,
        test=None,
        validation=None,
        per_class: int | Sequence[int] = (16, 64, 256),
        seeds: int | Sequence[int] = 5,
        classes: int | None = None,
        test_per_class: int | None = None,
        verbose: bool = True,
    ) -> DefrostProfile:
        """Runs all trials that are missing: every cut at every size with every seed.

        For one seed, all cuts see the same examples in the same order, and a larger
        training set contains the smaller ones.

        Args:
            train: The target's training examples: a pair `(x, y)` with `x` as the source
                takes it, or a `tf.data.Dataset` of such batches, which is read once (it must
                shuffle with a seed, if it does, for a folder to be gone on with). `y` are
                whole numbers from 0, one-hot rows, rows of zeros and ones, or numbers;
                see `output` and `loss`. Numbers of about mean 0 and deviation 1 suit the
                default learning rate.
            test: The examples whose scores are reported, in the same form.
            validation: The examples whose scores choose the cut. Without them the test
                scores do, which flatters the chosen cut; the profile says so.
            per_class: Number, or numbers, of training examples per class; where there are
                no classes (multi-label, regression), of training examples.
            seeds: Number of repeats, or their seeds.
            classes: Number of classes; by default the largest training label plus one.
            test_per_class: Where given, each seed is scored on a class-balanced sample of
                its own of at most so many test examples per class.
            verbose: Whether to show a progress bar.

        Returns:
            A `DefrostProfile` of the trials that were asked for, those from the folder
            among them.

        Raises:
            ValueError: If the data do not fit the source or each other, a class has fewer
                examples than asked for, or the folder holds another configuration's
                results.
        """
        if self.directory is not None:
            Path(self.directory).mkdir(parents=True, exist_ok=True)
        plan, sets = self._plan(train, test, validation, per_class, seeds, classes, test_per_class, verbose)
        log = TrialLog(self.directory, self._configuration(sets, plan.task, test_per_class))
        self._last = _Run(sets, plan.task, test_per_class, log.configuration)
        sizes, seeds = _as_list(per_class, "per_class"), _as_seeds(seeds)

        def so_far() -> DefrostProfile:
            asked = {(cut.index, size, seed) for cut in self.cuts for size in sizes for seed in seeds}
            trials = tuple(log.finished[key] for key in sorted(asked & log.finished.keys()))
            configuration = {**log.configuration, "source_name": self.source.name}
            return DefrostProfile(self.cuts, trials, plan.task.objective, configuration)

        if plan.trials:
            for trial, tail in self._run(plan, sets, test_per_class, verbose):
                log.append(trial)
                complete = all((trial.cut, trial.per_class, seed) in log.finished for seed in seeds)
                self._tails.offer(trial, tail, so_far(), complete)
        return so_far()

    def plan(
        self,
        train,
        test=None,
        validation=None,
        per_class=(16, 64, 256),
        seeds=5,
        classes=None,
        test_per_class=None,
        verbose: bool = True,
    ) -> Plan:
        """Says what `profile` would run with the same arguments, and runs nothing."""
        return self._plan(train, test, validation, per_class, seeds, classes, test_per_class, verbose)[0]

    def best_model(self, profile: DefrostProfile, per_class: int, verbose: bool = True) -> keras.Model:
        """Gives the model of the best trial at the best cut, ready to be used.

        That is the extractor and the tail that was trained for the seed with the best score
        on the set that chose the cut. The tail is the one of the profile's run where it was
        kept, else it is trained again.

        Args:
            profile: A profile of this defroster.
            per_class: The size of its training set.
            verbose: Whether to show a progress bar while training.

        Returns:
            A functional Keras model of Keras's own and the source's layers, from the
            source's input to the new output.

        Raises:
            ValueError: If the profile has no trial of that size or is not of this
                defroster, or the tail must be trained again and `profile` was not called.
        """
        if self._last is None:
            raise ValueError("Call `profile` with the data first: it says what the model's output is.")
        other = [name for name, value in self._last.configuration.items() if profile.configuration.get(name) != value]
        if other:
            raise ValueError(
                f"`profile` is not of this defroster's last call of `profile`, which had another {' and '.join(other)}."
            )
        trial = profile.best_trial(per_class)
        cut = next(cut for cut in self.cuts if cut.index == trial.cut)
        weights = self._tails.find(trial)
        if weights is None:
            weights = self._train_again(trial, verbose)
        extractor, tail = split(self.source, cut, output=self._last.task.output)
        tail.set_weights(weights)
        return with_keras_layers(join(extractor, tail))

    def _plan(self, train, test, validation, per_class, seeds, classes, test_per_class, verbose: bool):
        given = {"train": train, "test": test, "validation": validation}
        sets = read_sets(self.memory_budget, self.directory, verbose, **given)
        task = self._make_task(sets, classes)
        check_sets(sets, self.source, task)
        sizes, seeds = _as_list(per_class, "per_class"), _as_seeds(seeds)
        groups = strata(sets["train"].y, task.kind)
        check_sizes(groups, sizes, task)
        example_weights(self.class_weight, sets["train"].y, task.units)
        finished = {}
        if self.directory is not None:
            configuration = json.loads(json.dumps(self._configuration(sets, task, test_per_class)))
            check_configuration(Path(self.directory), configuration)
            finished = read_trials(Path(self.directory))
        wanted = [(cut.index, size, seed) for cut in self.cuts for size in sizes for seed in seeds]
        missing = tuple(key for key in wanted if key not in finished)
        subsets = {key[1:]: subset(groups, *key[1:]) for key in missing}
        plan = Plan(
            cuts=self.cuts,
            trials=missing,
            recipe=self.recipe,
            task=task,
            examples={key: len(subsets[key[1:]]) for key in missing},
            trained=len({index for rows in subsets.values() for index in rows}),
            evaluated=sum(len(part.y) for name, part in sets.items() if name != "train"),
            memory_budget=self.memory_budget,
        )
        return plan, sets

    def _make_task(self, sets: dict[str, LabelledSet], classes: int | None) -> Task:
        kind = kind_of(sets["train"].y, self.loss)
        for name, part in sets.items():
            sets[name] = part._replace(y=as_labels(name, part.y, kind))
        task = make_task(kind, sets["train"].y, self.output, self.loss, self.metrics, self.objective, classes)
        given = tail_of(self.source, self.cuts[-1], output=task.output).output_shape
        if given != (None, task.units):
            raise ValueError(
                f"`output` must give one vector of {task.units} numbers for each example, as the labels of `train` "
                f"have it for {task.kind}; it gives {given[1:]}."
            )
        return task

    def _configuration(self, sets: dict[str, LabelledSet], task: Task, test_per_class: int | None) -> dict:
        return {
            "format": _FORMAT,
            "task": {
                "kind": task.kind,
                "units": task.units,
                "loss": fingerprint.of_metric(task.loss) if loss_name(task.loss) != task.loss else task.loss,
                "metrics": {name: fingerprint.of_metric(metric) for name, metric in task.metrics.items()},
                "objective": dataclasses.asdict(task.objective),
                "output": fingerprint.of_layer(task.output),
                "class_weight": None if self.class_weight is None else str(self.class_weight),
                "test_per_class": test_per_class,
            },
            "source": fingerprint.of_model(self.source),
            "data": {name: fingerprint.of_arrays(part.x, part.y) for name, part in sets.items()},
            "recipe": dataclasses.asdict(self.recipe),
            # Not their names, which Keras numbers as a process goes on.
            "cuts": [[cut.index, cut.frozen_layers, cut.shape_text] for cut in self.cuts],
        }

    def _train_again(self, trial: Trial, verbose: bool) -> list[np.ndarray]:
        """The tail's weights of a trial that ran before."""
        key, (sets, task, test_per_class, _) = trial.key, self._last
        examples = len(subset(strata(sets["train"].y, task.kind), *key[1:]))
        evaluated = sum(len(part.y) for name, part in sets.items() if name != "train")
        plan = Plan(self.cuts, (key,), self.recipe, task, {key: examples}, examples, evaluated, self.memory_budget)
        ((again, tail),) = self._run(plan, sets, test_per_class, verbose)
        if not same_scores(again, trial):
            warnings.warn(
                f"Trained again, the best trial scores {again.test or again.validation} where the profile has "
                f"{trial.test or trial.validation}: the machine, or the packages, round otherwise.",
                stacklevel=3,
            )
        return tail.get_weights()

    def _run(self, plan: Plan, sets: dict[str, LabelledSet], test_per_class: int | None, verbose: bool):
        """Runs the trials of a plan and yields each, with its trained tail, as it ends."""
        groups = {name: strata(part.y, plan.task.kind) for name, part in sets.items()}
        subsets = {key[1:]: subset(groups["train"], *key[1:]) for key in plan.trials}
        used = np.unique(np.concatenate(list(subsets.values())))
        rows = {key: np.searchsorted(used, chosen) for key, chosen in subsets.items()}
        labels = {name: part.y for name, part in sets.items()} | {"train": sets["train"].y[used]}
        images = {name: part.x for name, part in sets.items()} | {"train": take_rows(sets["train"].x, used)}
        images = {
            name: hold(array, self.memory_budget // len(images), self.directory) for name, array in images.items()
        }
        samples = {seed: _test_sample(groups, test_per_class, seed) for _, seed in subsets}
        flow = FeatureFlow(self.source, cut_points(self.source)[0], images, self.memory_budget)
        del images
        last = max(key[0] for key in plan.trials)
        with _ProgressBar(plan, self.cuts, verbose) as bar:
            for cut in (cut for cut in self.cuts if cut.index <= last):
                # The tail before holds the features that the flow is about to let go.
                tail = None
                flow.advance(cut)
                trials = [key for key in plan.trials if key[0] == cut.index]
                if trials:
                    tail = _Tail(self.source, cut, plan.task, self.recipe, flow, labels, self.class_weight)
                for key in trials:
                    yield tail.run(key, rows[key[1:]], samples[key[2]], bar), tail.model


class _Run(NamedTuple):
    """What the last profile was made of."""

    sets: dict[str, LabelledSet]
    task: Task
    test_per_class: int | None
    configuration: dict


class _Tail:
    """The tail of one cut, compiled once, and the features that it is trained on."""

    def __init__(self, source, cut: Cut, task: Task, recipe: Recipe, flow: FeatureFlow, labels: dict, class_weight):
        self.model = tail_of(source, cut, output=task.output, substitutes=FUSED_LAYERS)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = recipe.batch_norm_momentum
        # Where the features at the cut are not kept, the frozen layers before it run too.
        self.whole = self.model if flow.between is None else _in_a_row(flow.between, self.model)
        training.compile_model(self.whole, recipe, task.loss)
        self.infer = Inference(self.whole)
        self.task, self.recipe, self.features, self.labels = task, recipe, dict(flow.features), labels
        self.class_weight = class_weight

    def run(self, key: tuple[int, int, int], rows: np.ndarray, sample: np.ndarray | None, bar) -> Trial:
        cut, per_class, seed = key
        bar.begin(key)
        start = time.perf_counter()
        reinitialize(self.model, (_INITIALISATION, seed, cut))
        training.fit(
            self.whole,
            self.features["train"],
            self.task.targets(self.labels["train"]),
            self.recipe,
            seed=(_ORDER, seed, per_class),
            subset=rows,
            weights=self._weights(rows),
            on_progress=bar.advance,
        )
        scores = {"test": self._score("test", sample), "validation": self._score("validation")}
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            tqdm.write(
                f"Training diverged at cut {cut}, {per_class} per class, seed {seed}: its score says nothing of the "
                f"cut. A lower learning rate than {self.recipe.learning_rate} may help."
            )
        trial = Trial(*key, **scores, seconds=round(time.perf_counter() - start, 3))
        bar.end(trial)
        return trial

    def _weights(self, rows: np.ndarray) -> np.ndarray | None:
        """Weights of all examples, of which those of the trial are by the trial's own classes."""
        mine = example_weights(self.class_weight, self.labels["train"][rows], self.task.units)
        if mine is None:
            return None
        weights = np.zeros(len(self.labels["train"]), np.float32)
        weights[rows] = mine
        return weights

    def _score(self, name: str, sample: np.ndarray | None = None) -> dict[str, float] | None:
        if name not in self.features:
            return None
        rows = np.arange(len(self.labels[name])) if sample is None else sample
        (outputs,) = self.infer(*(Rows(part, rows) for part in self.features[name]))
        return self.task.scores(self.labels[name][rows], outputs)


class _Frozen(keras.layers.Layer):
    """A model in inference mode inside one that trains, which would pass its own mode on to a bare model."""

    def __init__(self, model: keras.Model):
        super().__init__(trainable=False)
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=False)


def _in_a_row(between: keras.Model, tail: keras.Model) -> keras.Model:
    """The frozen layers and the tail, as one model."""
    inputs = between.inputs if len(between.inputs) > 1 else between.inputs[0]
    return keras.Model(inputs, tail(_Frozen(between)(inputs)))


def _test_sample(groups: dict[str, np.ndarray], per_class: int | None, seed: int) -> np.ndarray | None:
    """The rows of the test set that a seed is scored on; `None` for all."""
    if per_class is None or "test" not in groups:
        return None
    smallest = int(np.unique(groups["test"], return_counts=True)[1].min())
    return subset(groups["test"], min(per_class, smallest), seed, stream=_SAMPLE)


class _ProgressBar:
    """One bar over all trials, in units of their work."""

    def __init__(self, plan: Plan, cuts: Sequence[Cut], verbose: bool):
        # What a trial costs beside its arithmetic, as seen on two cores, in operations.
        self.work = {key: plan.flops(key) + 5e9 for key in plan.trials}
        self.last, self.objective = cuts[-1].index, plan.task.objective.name
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
        last = (
            ""
            if self.score is None
            else f", last {label_of(self.objective)} {format_score(self.objective, self.score)}"
        )
        self.bar.set_postfix_str(f"cut {key[0]} of {self.last}, {key[1]} per class, seed {key[2]}{last}")

    def advance(self, share: float):
        self._move((share - self.done) * self.work[self.key] * 0.95)
        self.done = share

    def end(self, trial: Trial):
        self._move(self.work[self.key] * (1 - 0.95 * self.done))
        self.score = (trial.validation if trial.test is None else trial.test)[self.objective]

    def _move(self, work: float):
        # Rounding must not take it past its end, of which it would warn.
        self.bar.update(min(work, self.bar.total - self.bar.n))


def subset(groups: np.ndarray, per_class: int, seed: int, stream: int = _SUBSET) -> np.ndarray:
    """Draws a set with as many examples of each class.

    Args:
        groups: The class of each example `(examples,)`.
        per_class: Number of examples per class.
        seed: Seed of the draw; for one seed a larger set contains the smaller ones.
        stream: Which of the draws of a seed.

    Returns:
        The indices of the examples, sorted.
    """
    chosen = []
    for label in np.unique(groups):
        rng = np.random.default_rng((stream, seed, int(label)))
        chosen.append(rng.permutation(np.flatnonzero(groups == label))[:per_class])
    return np.sort(np.concatenate(chosen))


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
