"""The defroster: runs the trials of a profile and gives the best model."""

import dataclasses
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from kdefrost import fingerprint
from kdefrost.compliance_profile import ComplianceProfile
from kdefrost.compliance_trials import (
    COMPARED_IMAGES,
    STRENGTHS,
    ComplianceTrial,
    TrialRunner,
    measured_layers,
    trial_keys,
)
from kdefrost.cuts import Cut, cut_points, join, split, tail_of
from kdefrost.devices import Strategy, check_training, in_scope, in_use, is_scoped
from kdefrost.features import FEATURE_DTYPES, FeatureFlow
from kdefrost.models import with_keras_layers
from kdefrost.placement import free_disk_space, measured_costs, place
from kdefrost.plan import Plan, as_seeds, as_sizes, draw_test_sample, subset
from kdefrost.profile import DefrostProfile
from kdefrost.recipe import Recipe
from kdefrost.sets import LabelledSet, check_sets, check_sizes, hold, read_sets, take_rows
from kdefrost.storage import existing_folder, machine_memory, within
from kdefrost.tails import Assignment, Experiment, ProgressBar
from kdefrost.tasks import Objective, Task, as_labels, example_weights, kind_of, loss_name, make_task, strata
from kdefrost.trials import TailStore, Trial, TrialLog, check_configuration, read_trials, same_scores
from kdefrost.workers import check_jobs, make_runner

# Changed whenever the same configuration comes to give other scores.
_FORMAT = 3


class _Run(NamedTuple):
    """What a profile is made of."""

    sets: dict[str, LabelledSet]
    task: Task
    test_per_class: int | None
    configuration: dict
    jobs: int | None = None


class _Examples(NamedTuple):
    """What trials are trained and scored on.

    Attributes:
        images: Images by the name of the set, of the training set those that some trial uses.
        labels: Their labels, likewise.
        rows: By `(per_class, seed)`, the rows of the training images.
        samples: By seed, the rows of the test images; `None` for all.
    """

    images: dict
    labels: dict[str, np.ndarray]
    rows: dict[tuple[int, int], np.ndarray]
    samples: dict[int, np.ndarray | None]


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
            call with the same configuration goes on. `None` keeps nothing. What exceeds
            `memory_budget` goes to its disk too; with `None` to the system's folder for temporary
            files, which should not be in memory.
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
        memory_budget: Bytes that cached features may take in memory; by default a quarter of
            what the machine has. Where those at a cut would take more they go to disk, or the
            frozen layers since the last cut that is held run anew at each step, whichever a
            short measurement says is faster.
        feature_dtype: In which numbers features are cached: `"float32"`, or `"float16"` or
            `"bfloat16"` in half the memory. Tails compute in float32 all the same.
        strategy: The `tf.distribute.Strategy` of one process under which features, training and scoring
            run; by default the one in whose `scope()` `profile` or `compliance` is called. Scores
            are those of one device within rounding.

    Raises:
        ValueError: If the source cannot be cut, a cut does not exist, or `strategy` is none of one process
            or, of several replicas, not the only one that this process trains under.

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
        memory_budget: int | None = None,
        feature_dtype: str = "float32",
        strategy: Strategy | None = None,
    ):
        memory_budget = machine_memory() // 4 if memory_budget is None else memory_budget
        if isinstance(memory_budget, bool) or not isinstance(memory_budget, (int, np.integer)) or memory_budget < 0:
            raise ValueError(f"`memory_budget` must be a whole number of bytes or None. Received: {memory_budget!r}")
        if feature_dtype not in FEATURE_DTYPES:
            raise ValueError(f"`feature_dtype` must be one of {', '.join(FEATURE_DTYPES)}. Received: {feature_dtype!r}")
        check_training(in_use(strategy))
        self.source, self.strategy = source, strategy
        self.recipe = Recipe(epochs=60) if recipe is None else recipe
        self.cuts = tuple(cut_points(source, cuts))
        self.directory = directory
        self.output, self.loss, self.metrics, self.objective = output, loss, metrics, objective
        self.class_weight, self.memory_budget, self.feature_dtype = class_weight, memory_budget, feature_dtype
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
        jobs: int | None = None,
        verbose: bool = True,
    ) -> DefrostProfile:
        """Runs all trials that are missing: every cut at every size with every seed.

        For one seed, all cuts see the same examples in the same order, and a larger
        training set contains the smaller ones.

        Args:
            train: The target's training examples: a pair `(x, y)` with `x` as the source
                takes it, or a `tf.data.Dataset` of such batches, which is read once, and
                whose order does not matter. `y` are whole numbers from 0, one-hot rows, rows of
                zeros and ones, or numbers; see `output` and `loss`. Numbers of about mean 0 and
                deviation 1 suit the default learning rate.
            test: The examples whose scores are reported, in the same form.
            validation: The examples whose scores choose the cut. Without them the test
                scores do, which flatters the chosen cut; the profile says so.
            per_class: Number, or numbers, of training examples per class; where there are
                no classes (multi-label, regression), of training examples.
            seeds: Number of repeats, or their seeds.
            classes: Number of classes; by default the largest training label plus one.
            test_per_class: Where given, each seed is scored on a class-balanced sample of
                its own of at most so many test examples per class.
            jobs: Number of processes that run whole trials side by side, each on a core, or a GPU, of
                its own: faster than one process on all cores where tails are small. The processes
                share `memory_budget`. Where the features fit, the scores are the same whatever the
                number; those of `None`, which runs all in this process, differ from them by
                rounding. A script that gives it needs `if __name__ == "__main__":`.
            verbose: Whether to show a progress bar.

        Returns:
            A `DefrostProfile` of the trials that were asked for, those from the folder
            among them.

        Raises:
            ValueError: If the data do not fit the source or each other, a class has fewer
                examples than asked for, the folder holds another configuration's results, or
                with `jobs` the source cannot be sent to another process.
            ChildProcessError: If a process of `jobs` ends before its trial, as where memory runs out.
        """
        if self.directory is not None:
            Path(self.directory).mkdir(parents=True, exist_ok=True)
        plan, run = self._plan(train, test, validation, per_class, seeds, classes, test_per_class, jobs, verbose)
        self._last, log = run, TrialLog(self.directory, run.configuration)
        sizes, seeds = as_sizes(per_class), as_seeds(seeds)

        asked = {(cut.index, size, seed) for cut in self.cuts for size in sizes for seed in seeds}

        def so_far(groups: set[tuple[int, int]]) -> DefrostProfile:
            keys = sorted(key for key in asked & log.finished.keys() if key[:2] in groups)
            trials = tuple(log.finished[key] for key in keys)
            configuration = {**log.configuration, "source_name": self.source.name}
            return DefrostProfile(self.cuts, trials, plan.task.objective, configuration)

        if plan.trials:
            with in_scope(self.strategy):
                for trial, weights in self._run_trials(plan, run, verbose):
                    log.append(trial)
                    # Side by side, trials of a cut may end before all of the cut before have.
                    complete = {key[:2] for key in asked} - {key[:2] for key in asked - log.finished.keys()}
                    group = trial.cut, trial.per_class
                    self._tails.offer(trial, weights, so_far(complete | {group}), group in complete)
        return so_far({key[:2] for key in asked})

    def plan(
        self,
        train,
        test=None,
        validation=None,
        per_class=(16, 64, 256),
        seeds=5,
        classes=None,
        test_per_class=None,
        jobs=None,
        verbose: bool = True,
        trained: bool = True,
    ) -> Plan:
        """Says what `profile` would run with the same arguments, and runs nothing of it.

        Where features would exceed the memory budget, a short measurement tells where they would be.

        Args:
            train: As for `profile`, like all others but the last.
            trained: Whether the source has the weights with which `profile` would run. Where it is still to be
                trained, the folder's trials are taken for those of the same source.

        Returns:
            A `Plan`.

        Raises:
            ValueError: As `profile`.
        """
        given = train, test, validation, per_class, seeds, classes, test_per_class, jobs, verbose
        return self._plan(*given, trained=trained)[0]

    def compliance(
        self,
        train,
        test=None,
        validation=None,
        strengths: Sequence[float] = STRENGTHS,
        layers: int | Cut | Sequence[int | Cut] | None = None,
        per_class: int = 256,
        seeds: int | Sequence[int] = 5,
        classes: int | None = None,
        test_per_class: int | None = None,
        normalization: bool = False,
        verbose: bool = True,
    ) -> ComplianceProfile:
        """Trains the whole network anew with its first layers held near the source by springs of several strengths.

        What is measured is how much accuracy it costs to stay near the source: compliant learning
        (Gerace et al., 2023). Nothing starts from the source's weights, and for one seed all trials have the
        images, their order and the initialisation of the profile's trial at cut 0, which a strength of
        0 repeats to the last bit. `math.inf` stands for the limit of strong springs: the held weights have
        the source's values and stay as they are. Unlike in a profile's trials, normalisations train in
        all layers, unless `normalization` holds their scale and offset too.

        Args:
            train: As for `profile`, like `test` and `validation`.
            test: The examples whose scores are reported; a sample of them is also what features are compared on.
            validation: The examples whose scores choose.
            strengths: Values of λ in λ Σ ‖w − w_source‖², see `ElasticCoupling`; 0 is plain training.
            layers: How many layers with kernels are held, from the first on; or cuts before which
                they are held. By default the numbers are those of the cuts of this defroster.
            per_class: Number of training examples per class.
            seeds: Number of repeats, or their seeds.
            classes: As for `profile`.
            test_per_class: As for `profile`.
            normalization: Whether scale and offset of normalisations among these layers are held too.
            verbose: Whether to show a progress bar.

        Returns:
            A `ComplianceProfile` of the trials that were asked for, those from the folder
            among them: its sub-folder `compliance` keeps each as it ends.

        Raises:
            ValueError: As `profile`; or if a strength is negative or not a number, or there are not as
                many layers.

        Example:

        ```python
        compliance = defroster.compliance((x, y), test=(x_test, y_test), layers=10, per_class=1000, seeds=3)
        print(compliance.summary())
        ```
        """
        (per_class,), seeds = as_sizes([per_class]), as_seeds(seeds)
        keys = trial_keys(self.source, self.cuts, strengths, layers, per_class, seeds)
        if self.directory is not None:
            Path(self.directory).mkdir(parents=True, exist_ok=True)
        run = self._prepare(train, test, validation, [per_class], classes, test_per_class, verbose)
        directory = None if self.directory is None else Path(self.directory) / "compliance"
        own = {"normalization": bool(normalization), "compared_images": COMPARED_IMAGES}
        log = TrialLog(directory, {**run.configuration, **own}, ComplianceTrial)
        missing = [key for key in keys if key not in log.finished]
        compared = tuple(cut for cut in self.cuts if cut.frozen_layers)
        if missing:
            examples = self._gather(run, {(size, seed) for *_, size, seed in missing}, verbose)
            runner = TrialRunner(self.source, compared, run.task, self.recipe, self.class_weight, normalization)
            with in_scope(self.strategy):
                for trial in runner.run(missing, examples, verbose):
                    log.append(trial)
        configuration = {**log.configuration, "source_name": self.source.name}
        trials = tuple(log.finished[key] for key in keys)
        return ComplianceProfile(measured_layers(self.source), compared, trials, run.task.objective, configuration)

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

    def _plan(
        self, train, test, validation, per_class, seeds, classes, test_per_class, jobs, verbose: bool, trained=True
    ) -> tuple[Plan, _Run]:
        check_jobs(jobs)
        if jobs is not None and (self.strategy is not None or is_scoped()):
            raise ValueError("`jobs` must be None under a distribution strategy: each process has one device.")
        sizes, seeds = as_sizes(per_class), as_seeds(seeds)
        run = self._prepare(train, test, validation, sizes, classes, test_per_class, verbose)._replace(jobs=jobs)
        wanted = [(cut.index, size, seed) for cut in self.cuts for size in sizes for seed in seeds]
        told_by = {name: value for name, value in run.configuration.items() if trained or name != "source"}
        finished = self._finished(told_by)
        return self._plan_of(run, tuple(key for key in wanted if key not in finished)), run

    def _prepare(self, train, test, validation, sizes, classes, test_per_class, verbose: bool) -> _Run:
        """Reads and checks the data, and concludes from them what is learnt."""
        given = {"train": train, "test": test, "validation": validation}
        sets = read_sets(self.memory_budget, self.directory, verbose, **given)
        task = self._make_task(sets, classes)
        check_sets(sets, self.source, task)
        check_sizes(strata(sets["train"].y, task.kind), sizes, task)
        if test_per_class is not None:
            as_sizes(test_per_class, "test_per_class")
        example_weights(self.class_weight, sets["train"].y, task.kind, task.units)
        # As JSON has it, because a folder's is compared with it.
        configuration = json.loads(json.dumps(self._configuration(sets, task, test_per_class)))
        return _Run(sets, task, test_per_class, configuration)

    def _finished(self, configuration: dict) -> dict[tuple[int, int, int], Trial]:
        """The trials that the folder holds."""
        if self.directory is None:
            return {}
        check_configuration(Path(self.directory), configuration)
        return read_trials(Path(self.directory))

    def _plan_of(self, run: _Run, trials: tuple[tuple[int, int, int], ...]) -> Plan:
        groups = strata(run.sets["train"].y, run.task.kind)
        subsets = {key[1:]: subset(groups, *key[1:]) for key in trials}
        examples = {key: len(subsets[key[1:]]) for key in trials}
        trained = len(set().union(*(rows.tolist() for rows in subsets.values())))
        evaluated = sum(len(part.y) for name, part in run.sets.items() if name != "train")
        uses = Counter()
        for key in trials:
            uses[key[0]] += self.recipe.epochs * examples[key] + evaluated
        places = self._places(trained + evaluated, uses, run.jobs)
        return Plan(self.cuts, trials, self.recipe, run.task, examples, trained, evaluated, places, self.feature_dtype)

    def _places(self, examples: int, uses: dict[int, int], jobs: int | None) -> dict[int, str]:
        """Where the features at each cut are held."""
        images = cut_points(self.source)[0]
        directory = existing_folder(self.directory)
        return place(
            [images, *(cut for cut in self.cuts if cut.index != images.index)],
            examples,
            uses,
            self._memory_for(jobs),
            # Processes go on with the features of one cut while those of the next are made.
            free_disk_space(directory) // (1 if jobs is None else jobs + 1),
            self.feature_dtype,
            measured_costs(self.source, self.feature_dtype, directory),
        )

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
                "loss": loss_name(task.loss),
                "loss_settings": fingerprint.of_metric(task.loss),
                "metrics": {name: fingerprint.of_metric(metric) for name, metric in task.metrics.items()},
                "objective": dataclasses.asdict(task.objective),
                "output": fingerprint.of_layer(task.output),
                "class_weight": None if self.class_weight is None else str(self.class_weight),
                "test_per_class": test_per_class,
            },
            "source": fingerprint.of_model(self.source),
            "data": {name: fingerprint.of_arrays(part.x, part.y) for name, part in sets.items()},
            "recipe": dataclasses.asdict(self.recipe),
            "feature_dtype": self.feature_dtype,
            # Not their names, which Keras numbers as a process goes on.
            "cuts": [[cut.index, cut.frozen_layers, cut.shape_text] for cut in self.cuts],
        }

    def _train_again(self, trial: Trial, verbose: bool) -> list[np.ndarray]:
        """The tail's weights of a trial that ran before."""
        plan = self._plan_of(self._last, (trial.key,))
        with in_scope(self.strategy):
            ((again, weights),) = self._run_trials(plan, self._last, verbose)
        if not same_scores(again, trial):
            warnings.warn(
                f"Trained again, the best trial scores {again.test or again.validation} where the profile has "
                f"{trial.test or trial.validation}: the machine, the packages, or running with or without `jobs`, "
                "round otherwise.",
                stacklevel=3,
            )
        return weights

    def _gather(self, run: _Run, keys: Iterable[tuple[int, int]], verbose: bool) -> _Examples:
        """The examples of trials of some `(per_class, seed)`."""
        sets = run.sets
        groups = {name: strata(part.y, run.task.kind) for name, part in sets.items()}
        subsets = {key: subset(groups["train"], *key) for key in keys}
        used = np.unique(np.concatenate(list(subsets.values())))
        rows = {key: np.searchsorted(used, chosen) for key, chosen in subsets.items()}
        labels = {name: part.y for name, part in sets.items()} | {"train": sets["train"].y[used]}
        images = {name: part.x for name, part in sets.items()} | {"train": take_rows(sets["train"].x, used)}
        budget = self.memory_budget // len(images)
        images = {name: hold(array, budget, self.directory, verbose) for name, array in images.items()}
        samples = {seed: draw_test_sample(groups, run.test_per_class, seed) for _, seed in subsets}
        return _Examples(images, labels, rows, samples)

    def _run_trials(self, plan: Plan, run: _Run, verbose: bool) -> Iterator[tuple[Trial, list[np.ndarray]]]:
        """Runs the trials of a plan and yields each, with the weights of its tail, as it ends."""
        images, labels, rows, samples = self._gather(run, {key[1:] for key in plan.trials}, verbose)
        start, directory = cut_points(self.source)[0], existing_folder(self.directory)
        budget = self._memory_for(run.jobs)
        if run.jobs is not None:
            # Each process gets a copy of what is in memory; a file they share.
            images = {name: within(array, budget // len(images), directory) for name, array in images.items()}
        flow = FeatureFlow(self.source, start, images, budget, directory, self.feature_dtype)
        del images
        experiment = Experiment(self.source, plan.task, self.recipe, labels, self.class_weight)
        jobs = None if run.jobs is None else min(run.jobs, len(plan.trials))
        with ProgressBar(plan, verbose) as bar, make_runner(experiment, jobs) as runner:
            assignments = self._assignments(plan, flow, rows, samples, runner.release, bar)
            for trial, weights in runner.run(assignments, bar.advance):
                bar.end(trial)
                yield trial, weights

    def _assignments(
        self, plan: Plan, flow: FeatureFlow, rows: dict, samples: dict, release: Callable, bar: ProgressBar
    ) -> Iterator[Assignment]:
        """The trials of a plan, cut by cut, with the features that they take."""
        last = max(key[0] for key in plan.trials)
        for cut in (cut for cut in self.cuts if cut.index <= last):
            # The tail before holds the features that the flow is about to let go.
            release()
            flow.advance(cut, plan.places[cut.index], bar.begin_features(cut))
            for key in (key for key in plan.trials if key[0] == cut.index):
                yield Assignment(key, cut, flow.cut, dict(flow.features), rows[key[1:]], samples[key[2]])

    def _memory_for(self, jobs: int | None) -> int:
        """Bytes that features may take in memory in one process."""
        # Each process has its own, and once more while they are on their way to it; the first one has them three
        # times while it sends them.
        return self.memory_budget if jobs is None else self.memory_budget // (2 * jobs + 3)
