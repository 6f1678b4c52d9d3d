"""The defroster: asks what a user wants to know of a source, says what the answers amount to, and hands over models."""

import dataclasses
import datetime
import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import ArrayLike

from kdefrost import fingerprint
from kdefrost.arguments import check_kind
from kdefrost.compliance import STRENGTHS, ComplianceProfile, ComplianceTrial
from kdefrost.compliance.measuring import COMPARED_IMAGES, Straying, measured_layers
from kdefrost.compliance.policy import under_springs
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.surgery import join, split
from kdefrost.cutting.trainable import check_trainable
from kdefrost.data.examples import Labelled
from kdefrost.data.storage import existing_folder
from kdefrost.devices import Strategy, in_scope
from kdefrost.inquiry import FOLDS, Inquiry, by_recipe
from kdefrost.models.normalization import with_keras_layers
from kdefrost.profile import DefrostProfile, Trial
from kdefrost.profile.best_tails import BestTails, same_scores
from kdefrost.profile.search import Search, budgets
from kdefrost.settings import Settings
from kdefrost.training.labels import has_classes, strata
from kdefrost.training.recipe import Recipe
from kdefrost.training.tasks import Objective
from kdefrost.transferability import Transferability
from kdefrost.transferability.draws import counts, largest_shares
from kdefrost.transferability.names import as_scores
from kdefrost.transferability.pooling import with_numbers
from kdefrost.transferability.scoring import each_cut
from kdefrost.trials.asking import Policy, all_of, missing, whole
from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.engine import Engine
from kdefrost.trials.experiment import Learning
from kdefrost.trials.plan import Plan
from kdefrost.trials.predicting import cross_predict
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.rows import as_folds, as_seeds, as_sizes
from kdefrost.trials.store import read_answers
from kdefrost.tuning import Space, TailHyperModel, Tuned
from kdefrost.tuning.policy import tuning_cuts


class Defroster:
    """Finds out how deep a trained model should be frozen for a small data set.

    At each cut the layers before it stay as the source has them, and the tail after it is
    re-initialised and trained on the target; the scores over the cuts are the defrosting
    profile (Gerace et al., 2023). The cut is chosen on images that were held out: a
    validation set, or folds of the training images in turn where there is no more than these.

    Args:
        source: A functional or sequential Keras model with one input and one output,
            trained on the source task. It is never changed.
        recipe: How tails are trained; by default 60 epochs of the paper's recipe. `"tuned"`, or a
            `kdefrost.tuning.Tuned`, lets `profile` choose it first, among some that are tried at three cuts.
        cuts: Which cuts to try; see `cut_points`.
        directory: Folder in which every trial is kept as it ends, and from which a later
            call with the same configuration goes on. `None` keeps nothing. What exceeds
            `memory_budget` goes to its disk too; with `None` to the system's folder for temporary
            files, which should not be in memory.
        output: The new output layer: a number of units, a layer, or a small Keras model. By
            default a dense layer: with softmax for whole-number or one-hot labels and for rows of
            shares that sum to 1 (soft labels), with sigmoid for other rows of zeros and ones
            (multi-label), without activation for other numbers (regression). One of a single unit gives,
            where no loss says otherwise, the probability of a label that is 0 or 1, or other numbers.
        loss: Keras loss, or its name; by default cross-entropy, or the mean squared error of
            a regression. Where the labels could be of several kinds, it tells which.
        metrics: Keras metrics, or their names, and `"balanced_accuracy"`; by default
            balanced accuracy, accuracy and AUC for two classes, accuracy for more, binary
            accuracy and AUC for multi-label, mean squared and absolute error for regression.
        objective: The metric that chooses the cut: its name, or an `Objective` where the
            direction is not known. By default the first metric.
        class_weight: Weights of the classes in the loss by class, in their order or as a dict, or `"balanced"`.
        memory_budget: Bytes that cached features may take in memory; by default a quarter of
            what the machine has. Where those at a cut would take more they go to disk, or the
            frozen layers since the last cut that is held run anew at each step, whichever a
            short measurement says is faster.
        feature_dtype: In which numbers features are cached: `"float32"`, or `"float16"` or
            `"bfloat16"` in half the memory. Tails compute in float32 all the same.
        strategy: The `tf.distribute.Strategy` of one process under which features, training and scoring
            run; by default the one in whose `scope()` `profile` or `compliance` is called. Scores
            are those of one device within rounding.
        tails: `"new"` re-initialises all layers after the cut; `"pretrained"` starts them from the source's
            weights, all but the output layer, which is what fine-tuning all but the first layers means.
        labels: In which form a loss or metric of one's own gets the labels of classes: `"onehot"` for rows, `"index"`
            for whole numbers. By default as they are given, which is what Keras's `fit` hands on; the losses and
            metrics of Keras get the form that they take, whichever was given.
        features: Whether the source ends in features, after which the new output layer comes; `False` where its
            last layer with a kernel is its output layer, in whose place it comes. By default it is concluded, and
            `plan` says what; see `cut_points`.
        executor: `"ray"` runs trials on the Ray cluster of which this machine is a part, `"ray:HOST:PORT"` on one by
            its address: one on each GPU, on machines without any one on each core; `jobs` is then the largest number
            of them. `None` runs them on this machine. See docs/scale.md.
        tensorboard: Folder in which each trial is a run of TensorBoard's HParams dashboard, with what it was asked and
            its scores. They are written as they end, those that `directory` has already at the beginning and those of
            other processes at the end; folders of several defrosters may be one. What `best_model` trains is none of
            them. `None` writes none.
        callbacks: A function that makes a list of Keras callbacks for the training of a trial, of whose `Question` it
            has `cut`, `per_class`, `seed`, `fold`, `recipe`, and `address`, which each question has for itself. With it
            a trial trains in Keras's epochs, step by step and slower, to the same weights. A callback sees the tail,
            whose inputs are features, and `loss`, no scores, because these choose the cut; it may end the training,
            as `EarlyStopping(monitor="loss")` does, but not set its learning rate, which is the recipe's. What the
            function does, and what it holds when the defroster is made, is a part of the folder's configuration,
            because it may change scores; of what it calls from elsewhere the names alone are. See docs/tuning.md.

    Raises:
        ValueError: If the source cannot be cut, a cut does not exist, `recipe` is no `Recipe`, `callbacks` holds what
            cannot be told from others, such as a lock or a model, or `strategy` is none of one process or, of several
            replicas, not the only one that this process trains under.
        ImportError: If `executor` needs Ray, which is not installed.

    Example:

    ```python
    defroster = kdefrost.Defroster(source, recipe=kdefrost.Recipe(epochs=60), directory="runs/mine")
    profile = defroster.profile((x, y))  # chosen by three folds of all examples
    print(profile.summary())
    model = defroster.best_model(profile)  # trained on all of them
    ```
    """

    def __init__(
        self,
        source: keras.Model,
        recipe: Recipe | Tuned | str | None = None,
        cuts: str | int | Sequence[int | str | Cut] = "blocks",
        directory: str | os.PathLike | None = None,
        output: int | keras.layers.Layer | None = None,
        loss: str | keras.losses.Loss | None = None,
        metrics: Sequence[str | keras.metrics.Metric] | None = None,
        objective: str | Objective | None = None,
        class_weight: dict[int, float] | Sequence[float] | str | None = None,
        memory_budget: int | None = None,
        feature_dtype: str = "float32",
        strategy: Strategy | None = None,
        tails: str = "new",
        labels: str | None = None,
        features: bool | None = None,
        executor: str | None = None,
        tensorboard: str | os.PathLike | None = None,
        callbacks: Callable[[Question], list[keras.callbacks.Callback]] | None = None,
    ):
        self._settings = Settings.of(
            source,
            cuts,
            features,
            recipe,
            memory_budget,
            learning=Learning(output, loss, metrics, objective, class_weight, labels),
            tails=tails,
            feature_dtype=feature_dtype,
            directory=directory,
            strategy=strategy,
            executor=executor,
            tensorboard=tensorboard,
            callbacks=callbacks,
        )
        self.source, self.cuts, self.directory = source, self._settings.cuts, directory
        # By which trials are trained: where it is tuned, by `profile`, until then the one to start from.
        self.recipe = self._settings.recipe
        # Of the last call of `profile`.
        self._last: tuple[Inquiry, Engine] | None = None
        self._best_tails = BestTails(directory)

    def profile(
        self,
        train: Labelled,
        test: Labelled | None = None,
        validation: Labelled | None = None,
        per_class: int | Sequence[int] | None = None,
        seeds: int | Sequence[int] | None = None,
        folds: int | None = None,
        repeats: int = 1,
        groups: ArrayLike | None = None,
        patience: int | None = None,
        classes: int | None = None,
        test_per_class: int | None = None,
        jobs: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
    ) -> DefrostProfile:
        """Runs all trials that are missing: every cut at every size with every seed, and fold.

        For one seed, all cuts see the same examples in the same order, and a larger
        training set contains the smaller ones.

        With folds every example serves to train and to choose: the examples of a trial are divided, each
        part is held out in turn, and the trial trains on the others, in as many steps as on all of them,
        because with fewer early cuts would look worse than they are. What a fold cannot show is what the
        examples that it lacks would add, which is most at early cuts, whose tails are the largest; nor how
        sure its few examples are of small differences: two cuts that are not told apart may differ.

        Args:
            train: The target's training examples: a pair `(x, y)` with `x` as the source
                takes it, or a `tf.data.Dataset` of such batches, which is read once, and
                whose order does not matter. `y` are whole numbers from 0, one-hot rows, rows of shares
                that sum to 1, rows of zeros and ones, or numbers; see `output` and `loss`. Numbers of about mean 0 and
                deviation 1 suit the default learning rate.
            test: The examples whose scores are reported, in the same form.
            validation: The examples whose scores choose the cut. Without them folds do, or without
                those the test scores, which flatters the chosen cut; the profile says so.
            per_class: Number, or numbers, of training examples per class; where there are
                no classes (multi-label, regression), of training examples. By default all
                there are, of unequal classes as many as there are.
            seeds: Number of seeds, from 0 on, or the seeds, of subset, folds, initialisation and order; by default
                5, with folds 1.
            folds: Number of parts into which a trial's training examples are divided, at least 2; by
                default 3 where neither `test` nor `validation` is given, else none: on recorded situations
                three chose as well as five, at half the cost. Each part has
                its share of every class.
            repeats: Number of divisions into folds.
            groups: The group (patient) of each training example `(examples,)`, names or numbers; no fold
                divides one. `train` is then a pair.
            patience: Where given, cuts are tried from the last one back, until so many in a row are worse than the
                best so far by more than a standard error; earlier ones, which cost the most, are left out.
                By default all are tried.
            classes: Number of classes; by default the largest training label plus one.
            test_per_class: Where given, each seed is scored on a class-balanced sample of
                its own of at most so many test examples per class.
            jobs: Number of processes that run whole trials side by side, each on a core, or a GPU, of
                its own: faster than one process on all cores where tails are small. The processes
                share `memory_budget`. Where the features fit, the scores are the same whatever the
                number; those of `None`, which runs all in this process, differ from them by
                rounding. A script that gives it needs `if __name__ == "__main__":`.
            verbose: Whether to show a progress bar.
            steps: Number of batches after which each `tf.data.Dataset` is stopped, such as one that repeats without
                end. By default all are read; of a data set that does not tell how many it has, at most 100,000.

        Returns:
            A `DefrostProfile` of the trials that were asked for, those from the folder
            among them.

        Raises:
            ValueError: If the data do not fit the source or each other, a class has fewer
                examples than asked for or than folds, the folder holds another configuration's results, or
                with `jobs` the source cannot be sent to another process.
            ChildProcessError: If a process of `jobs` ends before its trial, as where memory runs out.

        Example:

        ```python
        profile = defroster.profile((x, y), groups=patients, folds=3, repeats=2)
        print(profile.best_cut(), [cut.index for cut in profile.near_best_cuts()])
        ```
        """
        given = {"train": train, "test": test, "validation": validation}
        inquiry = self._inquire(given, per_class, classes, test_per_class, groups, jobs, verbose, steps)
        questions = inquiry.questions(per_class, seeds, folds, repeats)
        policy_of = functools.partial(inquiry.policy, patience=patience)
        return self._run(inquiry, inquiry.engine(), questions, policy_of)

    def search(
        self,
        train: Labelled,
        test: Labelled | None = None,
        validation: Labelled | None = None,
        budget: float | datetime.timedelta = 0.25,
        per_class: int | Sequence[int] | None = None,
        seeds: int | Sequence[int] | None = None,
        folds: int | None = None,
        repeats: int = 1,
        groups: ArrayLike | None = None,
        classes: int | None = None,
        test_per_class: int | None = None,
        jobs: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
    ) -> DefrostProfile:
        """Finds the best cut at a part of the cost of `profile`: runs the trials that are worth it.

        A few late cuts are tried first, which are cheap, and an early one. A curve over depth is fitted to their
        scores, and each further trial is the one that is expected to better the best cut most for what it costs:
        at a cut that was not tried, or with another seed or fold at one that is near the best. It ends where no
        trial is expected to gain anything, or where none that may is within the budget. What this risks was
        measured: docs/search.md.

        Args:
            train: As for `profile`, like `test` and `validation`.
            test: The examples whose scores are reported.
            validation: The examples whose scores choose the cut.
            budget: Share of the training operations of `profile` with the same arguments; or a
                `datetime.timedelta`, the time that trials may take together, features aside, the compilation of
                tails included. The last trial may take longer than was expected of it.
            per_class: As for `profile`, like all that follows. Each size has a search of its own, and
                its share of the budget.
            seeds: As for `profile`; not all of them are run at every cut.
            folds: As for `profile`.
            repeats: As for `profile`.
            groups: As for `profile`.
            classes: As for `profile`.
            test_per_class: As for `profile`.
            jobs: As for `profile`; so many questions are asked at once, on which the course of a search depends.
            verbose: Whether to show a progress bar, which allows for the whole budget.
            steps: As for `profile`.

        Returns:
            A `DefrostProfile` with NaN where nothing was run. Its `curve` tells what is expected of all cuts, its
            `summary` why some were not tried.

        Raises:
            ValueError: As `profile`, or if the budget is not positive or below the cheapest question.

        Example:

        ```python
        profile = defroster.search((x, y), budget=0.25)
        print(profile.summary())
        model = defroster.best_model(profile)
        ```
        """
        given = {"train": train, "test": test, "validation": validation}
        inquiry = self._inquire(given, per_class, classes, test_per_class, groups, jobs, verbose, steps)
        questions = inquiry.questions(per_class, seeds, folds, repeats)
        # A few questions at a time. Numbers of two bytes are rounded at each cut that they pass: led past some
        # cuts, features would not be those of a profile in the same folder.
        engine = inquiry.engine(holds=self._settings.feature_dtype == "float32")

        def policy_of(questions: list[Question]) -> Policy:
            allowed = budgets(budget, questions, engine.plan(questions).training_flops)
            return Search(allowed, inquiry.worth(questions), jobs or 1)

        return self._run(inquiry, engine, questions, policy_of)

    def plan(
        self,
        train: Labelled,
        test: Labelled | None = None,
        validation: Labelled | None = None,
        per_class: int | Sequence[int] | None = None,
        seeds: int | Sequence[int] | None = None,
        folds: int | None = None,
        repeats: int = 1,
        groups: ArrayLike | None = None,
        patience: int | None = None,
        classes: int | None = None,
        test_per_class: int | None = None,
        jobs: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
        trained: bool = True,
        budget: float | datetime.timedelta | None = None,
    ) -> Plan:
        """Says what `profile` would run with the same arguments, with `patience` at most, and runs nothing of it.

        Where the recipe is to be tuned, the one to start from stands for the one that will be chosen. Where features
        would exceed the memory budget, a short measurement tells where they would be.

        Args:
            train: As for `profile`, like all others but the last two.
            trained: Whether the source has the weights with which `profile` would run. Where it is still to be
                trained, the folder's trials are taken for those of the same source.
            budget: That of `search`, which is checked; the plan is of all that it may choose from.

        Returns:
            A `Plan`.

        Raises:
            ValueError: As `profile`, or with a budget as `search`.
        """
        given = {"train": train, "test": test, "validation": validation}
        inquiry = self._inquire(given, per_class, classes, test_per_class, groups, jobs, verbose, steps)
        questions = inquiry.questions(per_class, seeds, folds, repeats)
        # With patience too it may come to all of them.
        inquiry.policy(questions, patience)
        engine = inquiry.engine()
        if budget is not None:
            budgets(budget, questions, engine.plan(questions).training_flops)
        told_by = inquiry.remembered
        if not trained:
            del told_by["source"]
        answers = {} if self.directory is None else read_answers(Path(self.directory), told_by)
        if self._settings.tuned is not None:
            questions = inquiry.with_tuning(questions, answers)
        return engine.plan(missing(all_of(questions), answers))

    def hypermodel(
        self,
        train: Labelled,
        test: Labelled | None = None,
        validation: Labelled | None = None,
        space: Space | None = None,
        cuts: Sequence[int | Cut] | None = None,
        per_class: int | Sequence[int] | None = None,
        seeds: int | Sequence[int] | None = None,
        folds: int | None = None,
        repeats: int = 1,
        groups: ArrayLike | None = None,
        classes: int | None = None,
        test_per_class: int | None = None,
        jobs: int | None = None,
        verbose: bool = False,
        steps: int | None = None,
    ) -> TailHyperModel:
        """Makes the tail's recipe, and the cut where that is asked for, what a tuner of KerasTuner chooses.

        `recipe="tuned"` needs no tuner; this is for those that learn from each score, such as Bayesian ones.

        Args:
            train: As for `profile`, like all others that are not named here.
            test: As for `profile`; no tuner sees its scores.
            validation: The examples whose scores the tuner sees. Without them folds are.
            space: What of this defroster's recipe may change, and whether the cut may; by default as `Tuned` has it.
            cuts: The cuts, or their indices, over which a score is the mean, or of which the tuner chooses one. By
                default the three of a tuned profile; where the cut is chosen, all of this defroster.
            seeds: As for `profile`; by default 3, with folds 1.
            verbose: Whether to show a progress bar for each trial.

        Returns:
            A `TailHyperModel`, whose `objective` is that of the tuner.

        Raises:
            ValueError: As `profile`; or if a cut is none of this defroster, or the space has no choice or is refused
                by `Recipe`.

        Example:

        ```python
        hypermodel = defroster.hypermodel((x, y), space=kdefrost.tuning.Space(learning_rate=(0.001, 0.3)))
        tuner = keras_tuner.BayesianOptimization(
            hypermodel, hypermodel.objective, max_trials=20, seed=1, overwrite=True, directory="runs/tuner"
        )
        tuner.search()
        recipe = hypermodel.recipe(tuner.get_best_hyperparameters()[0])
        ```
        """
        space = Tuned(self._settings.recipe).space if space is None else space
        if not isinstance(space, Space):
            raise ValueError(f"`space` must be a kdefrost.tuning.Space or None. Received: space={space!r}")
        if validation is None:
            folds = FOLDS if folds is None else folds
        given = {"train": train, "test": test, "validation": validation}
        inquiry = self._inquire(given, per_class, classes, test_per_class, groups, jobs, verbose, steps)
        seeds = 3 if seeds is None and folds is None else seeds
        chosen = self._settings.indices(cuts, self.cuts if space.cut else tuning_cuts(self.cuts))
        asked = inquiry.questions(per_class, seeds, folds, repeats)
        engine, opened = inquiry.engine(), inquiry.store()

        def answers(questions: Sequence[Question]) -> Mapping[Question, Answer]:
            with opened as store, in_scope(self._settings.strategy):
                return inquiry.ask_all(questions, store, engine)

        questions = [question for question in asked if question.cut in chosen]
        return TailHyperModel(answers, questions, inquiry.experiment.task.objective, space)

    def compliance(
        self,
        train: Labelled,
        test: Labelled | None = None,
        validation: Labelled | None = None,
        strengths: Sequence[float] = STRENGTHS,
        layers: int | Cut | Sequence[int | Cut] | None = None,
        per_class: int = 256,
        seeds: int | Sequence[int] = 5,
        classes: int | None = None,
        test_per_class: int | None = None,
        normalization: bool = False,
        jobs: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
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
            jobs: As for `profile`.
            verbose: Whether to show a progress bar.
            steps: As for `profile`.

        Returns:
            A `ComplianceProfile` of the trials that were asked for, those from the folder among them.

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
        held = strengths, layers, per_class, seeds, self.recipe, bool(normalization)
        questions = under_springs(self.source, self.cuts, *held)
        given = {"train": train, "test": test, "validation": validation}
        inquiry = self._inquire(given, per_class, classes, test_per_class, None, jobs, verbose, steps)
        experiment = inquiry.experiment
        if not experiment.evaluated:
            raise ValueError("Give `test`, `validation` or both: without either there is nothing to score a trial on.")
        compared = tuple(cut for cut in self.cuts if cut.frozen_layers)
        # Trained from the images on, whichever cuts there are.
        start = cut_points(self.source, features=experiment.features)[:1]
        check_trainable(self.source, start)
        engine = inquiry.engine(start, Straying(compared, experiment.features))
        with inquiry.store() as store, in_scope(self._settings.strategy):
            answers = inquiry.ask_all(questions, store, engine)
            trials = tuple(ComplianceTrial.of(answers[question]) for question in questions)
        own = {"normalization": bool(normalization), "compared_images": COMPARED_IMAGES}
        configuration = {**inquiry.configuration, **own}
        objective = experiment.task.objective
        measured = measured_layers(self.source, experiment.features)
        return ComplianceProfile(measured, compared, trials, objective, configuration)

    def transferability(
        self,
        train: Labelled,
        per_class: int | None = None,
        seeds: int | Sequence[int] = 1,
        scores: Sequence[str] | None = None,
        target_network: keras.Model | None = None,
        classes: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
    ) -> Transferability:
        """Scores every cut without training, from features and labels alone: how well a tail might do there.

        For one seed the examples are those of the profile's trials, and the tails that some scores take start from
        the weights from which these start. Which scores there are, and on how many examples each is computed, is in
        docs/transferability.md. They run on one device, and nothing of them is kept in the folder.

        Args:
            train: As for `profile`; its labels are of classes. Those of a pair may be names, numbered by their order.
            per_class: Number of training examples per class; by default all there are.
            seeds: Number of seeds, from 0 on, or the seeds, of subset and initialisation.
            scores: Names among `kdefrost.transferability.SCORES`; by default all but the tangent kernel, which takes
                far longer than all others.
            target_network: A network trained on the target, which takes the same images: features are then
                compared with what its output layer takes (`"information_imbalance"`).
            classes: As for `profile`.
            verbose: Whether to show a progress bar.
            steps: As for `profile`.

        Returns:
            A `Transferability`, in which higher is better for every score.

        Raises:
            ValueError: As `profile`; or if the labels are not of classes, there is no such score, or the target
                network does not take these images.

        Example:

        ```python
        scores = defroster.transferability((x, y), per_class=64)
        print(scores.summary())
        scores.scores("ridge")  # (seeds, cuts)
        ```
        """
        names, seeds, sizes = as_scores(scores, target_network is not None), as_seeds(seeds), as_sizes(per_class)
        if len(sizes) > 1:
            raise ValueError(f"`per_class` must be one number of examples per class. Received: per_class={per_class}")
        given = {"train": with_numbers(train), "test": None, "validation": None}
        inquiry = self._inquire(given, per_class, classes, None, None, None, verbose, steps)
        experiment, budget = inquiry.experiment, self._settings.memory_budget
        if not has_classes(experiment.task.kind, experiment.task.units):
            raise ValueError(
                "Scores without training are of classes: `train` must have one class for each example, as whole "
                f"numbers or one-hot rows. Received: {experiment.task.kind}"
            )
        drawn = experiment.draw((sizes[0], seed, None) for seed in seeds)
        examples = experiment.gather(drawn, budget, self.directory, verbose)
        labels = strata(examples.labels["train"], experiment.task.kind)
        draws = {seed: examples.rows[sizes[0], seed, None].train for seed in seeds}
        options = {
            "batch_size": self.recipe.batch_size,
            "memory_budget": budget,
            "directory": existing_folder(self.directory),
            "verbose": verbose,
        }
        images = examples.images["train"]
        measured = each_cut(self.source, self.cuts, images, labels, draws, names, target_network, **options)
        all_labels = strata(experiment.sets["train"].y, experiment.task.kind)
        first, of_class = (self.cuts, labels, draws[seeds[0]]), np.unique(all_labels, return_counts=True)[1]
        own = {
            "source_name": self.source.name,
            "per_class": sizes[0],
            "examples": len(all_labels),
            "sizes": counts(*first),
            "shares": largest_shares(*first, of_class),
            # By which the target is known where sources take its images in other sizes.
            "labels": fingerprint.of_arrays(all_labels),
        }
        return Transferability(self.cuts, tuple(measured), {**inquiry.configuration, **own})

    def best_model(
        self, profile: DefrostProfile, per_class: int | None = None, seed: int | None = None, verbose: bool = True
    ) -> keras.Model:
        """Gives a model of the best cut, trained on all examples of its size, ready to be used.

        That is the extractor and a trained tail. With folds no trial of the profile has seen all examples:
        the tail is trained anew on all of them, as scikit-learn's `GridSearchCV` refits. Else it is that of
        the trial with the best score on the set that chose the cut; the one of the profile's run where
        it was kept, else it is trained again.

        Args:
            profile: A profile of this defroster.
            per_class: The size of its training set; by default the only one of the profile.
            seed: The seed of the tail; by default that of the best trial, with folds the profile's first.
            verbose: Whether to show a progress bar while training.

        Returns:
            A functional Keras model of Keras's own and the source's layers, from the
            source's input to the new output. A frozen layer that cannot be copied has one in its place that
            computes by its code.

        Raises:
            ValueError: If the profile has no trial of that size or is not of this
                defroster, or the tail must be trained again and `profile` was not called.
        """
        inquiry = self._check_mine(profile)
        cut, size, trial = profile.best_cut(per_class), profile.size(per_class), None
        if profile.folds is None:
            trial = profile.best_trial(per_class) if seed is None else profile.trial(cut, per_class, seed)
        seed = trial.seed if trial else profile.seeds[0] if seed is None else as_seeds([seed])[0]
        cut = next(mine for mine in self.cuts if mine.index == cut.index)
        question = Question.at(cut, size, seed, inquiry.recipe, tail=self._settings.tails)
        weights = self._best_tails.find(question, trial)
        if weights is None:
            is_best = trial is None or trial == profile.best_trial(per_class)
            weights = self._train_again(question, trial, is_best, verbose)
        extractor, tail = split(self.source, cut, output=inquiry.experiment.task.output)
        tail.set_weights(weights)
        return with_keras_layers(join(extractor, tail))

    def cross_predict(self, profile: DefrostProfile, per_class: int | None = None, verbose: bool = True) -> np.ndarray:
        """Gives answers for the training examples, each of a network of the best cut that has not seen it.

        The networks are those of the profile's first partition into folds, trained again, as
        scikit-learn's `cross_val_predict` does. Of what a model is wrong about they tell more than the model of
        `best_model`, which has seen all examples.

        Args:
            profile: A profile of this defroster, with folds.
            per_class: The size of the training set; by default the only one of the profile.
            verbose: Whether to show a progress bar while training.

        Returns:
            Array `(examples, units)` of probabilities, or of numbers where these are learnt; NaN for
            examples that are not in the set of that size, and on a cluster for those of a fold whose training failed.

        Raises:
            ValueError: If the profile has no folds, no trial of that size, or is not of this
                defroster.
        """
        inquiry, engine = self._check_mine(profile), self._last[1]
        if profile.folds is None:
            raise ValueError("`profile` must have folds: without them there are sets that no training sees.")
        cut, size, seed = profile.best_cut(per_class), profile.size(per_class), profile.seeds[0]
        cut = next(mine for mine in self.cuts if mine.index == cut.index)
        asked = cut, size, seed, inquiry.recipe
        folds, tail = as_folds(profile.folds, 1), self._settings.tails
        questions = [Question.at(*asked, fold=fold, tail=tail) for fold in folds]
        with in_scope(self._settings.strategy):
            return cross_predict(inquiry.experiment, engine, cut, questions, verbose)

    def _inquire(
        self, given: dict, per_class, classes, test_per_class, groups, jobs: int | None, verbose: bool, steps
    ) -> Inquiry:
        """What a call asks of, from what it is given; see `Inquiry.of`."""
        common = per_class, classes, test_per_class, groups, jobs, verbose, steps
        return Inquiry.of(self._settings, self.recipe, given, *common)

    def _run(
        self,
        inquiry: Inquiry,
        engine: Engine,
        questions: list[Question],
        policy_of: Callable[[list[Question]], Policy],
    ) -> DefrostProfile:
        """Asks until the policy over some questions is content, keeps the best tails, and gives the profile."""
        # What cannot be asked shows here, before anything is trained.
        policy = policy_of(questions)
        self._last = inquiry, engine
        with inquiry.store() as store, in_scope(self._settings.strategy):
            if self._settings.tuned is not None:
                inquiry = inquiry.tuned(questions, store, engine)
                self.recipe, self._last = inquiry.recipe, (inquiry, engine)
                questions = by_recipe(questions, inquiry.recipe)
                policy = policy_of(questions)

            def profile_of(questions: Sequence[Question]) -> DefrostProfile:
                return inquiry.profile_of(store.answers, questions)

            outlook = policy.outlook if isinstance(policy, Search) else whole(questions)
            for answer, weights in inquiry.ask(policy, store, engine, outlook):
                if answer.question.fold is None:
                    self._best_tails.offer(answer, weights, profile_of([answer.question]))
                    self._best_tails.settle(policy(store.answers), store.answers, profile_of)
            # The last seed of a cut may have ended in another process.
            asked = policy(store.answers)
            self._best_tails.settle(asked, store.answers, profile_of)
            searched = policy.result(store.answers) if isinstance(policy, Search) else ()
            return dataclasses.replace(profile_of(asked), searched=searched)

    def _check_mine(self, profile: DefrostProfile) -> Inquiry:
        """Refuses a profile of another defroster or of other data than those of the last call, which it gives."""
        check_kind("profile", profile, DefrostProfile, "a DefrostProfile, as `profile` and `search` give it")
        if self._last is None:
            raise ValueError("Call `profile` with the data first: it says what the model's output is.")
        inquiry, _ = self._last
        other = [name for name, value in inquiry.configuration.items() if profile.configuration.get(name) != value]
        if other:
            raise ValueError(
                f"`profile` is not of this defroster's last call of `profile`, which had another {' and '.join(other)}."
            )
        return inquiry

    def _train_again(self, question: Question, trial: Trial | None, is_best: bool, verbose: bool) -> list[np.ndarray]:
        """The tail's weights of a question, which a trial has answered before unless it is `None`."""
        inquiry, engine = self._last
        with inquiry.store() as store, in_scope(self._settings.strategy):
            with ProgressBar(verbose) as bar:
                ((answer, weights),) = engine.run([question], bar)
            if trial is None:
                store.keep(answer)
                self._best_tails.keep(answer, weights)
                return weights
        again = Trial.of(answer)
        if not same_scores(again, trial):
            warnings.warn(
                f"Trained again, the best trial scores {again.test or again.validation} where the profile has "
                f"{trial.test or trial.validation}: the machine, the packages, or running with or without `jobs`, "
                "round otherwise.",
                stacklevel=3,
            )
        elif is_best:
            self._best_tails.keep(answer, weights)
        return weights
