"""One call of a defroster: from what a user gives to questions, and from their answers to a result."""

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from kdefrost.cutting.cut import Cut
from kdefrost.data.sets import read_sets
from kdefrost.devices import is_scoped
from kdefrost.files import check_folder
from kdefrost.profile import DefrostProfile, Trial
from kdefrost.profile.facts import facts_of
from kdefrost.profile.policy import everything, walk_back
from kdefrost.settings import Settings
from kdefrost.training.recipe import Recipe
from kdefrost.trials.asking import Outlook, Policy, all_of, ask, missing, nothing_more
from kdefrost.trials.callbacks import callbacks_for
from kdefrost.trials.dashboard import Dashboard, check_dashboard
from kdefrost.trials.engine import Engine
from kdefrost.trials.executors import check_cluster, check_jobs
from kdefrost.trials.experiment import Experiment, prepare
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.rows import as_folds, as_seeds, as_sizes
from kdefrost.trials.store import Store
from kdefrost.tuning import Tuning
from kdefrost.tuning.policy import tuning_cuts, tuning_of, tuning_questions

# See docs/choice.md.
FOLDS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Inquiry:
    """What a call asks of which experiment, and in which folder its answers are.

    Attributes:
        settings: The defroster's.
        experiment: What all questions have in common.
        recipe: By which trials are trained, in the end: where it is tuned, at first the one to start from.
        jobs: As for `Defroster.profile`.
        verbose: As for `Defroster.profile`.
        tuning: How the recipe was chosen, `None` where it was not, or not yet.
    """

    settings: Settings
    experiment: Experiment
    recipe: Recipe
    jobs: int | None = None
    verbose: bool = True
    tuning: Tuning | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        recipe: Recipe,
        given: dict,
        per_class: int | Sequence[int] | None = None,
        classes: int | None = None,
        test_per_class: int | None = None,
        groups: ArrayLike | None = None,
        jobs: int | None = None,
        verbose: bool = True,
        steps: int | None = None,
    ) -> Self:
        """Reads and checks what is given, and concludes from it what is learnt.

        Args:
            settings: The defroster's.
            recipe: By which it trains now.
            given: The labelled sets by name.
            per_class: As for `Defroster.profile`, like all that follows.
            classes: Number of classes.
            test_per_class: Most test examples per class.
            groups: The groups of training examples.
            jobs: Number of processes.
            verbose: Whether to show progress.
            steps: Batches of each data set.

        Returns:
            The `Inquiry`.

        Raises:
            ValueError: As `Defroster.profile`.
        """
        check_jobs(jobs)
        for name, value in (("jobs", jobs), ("executor", settings.executor)):
            if value is not None and (settings.strategy is not None or is_scoped()):
                raise ValueError(f"`{name}` must be None under a distribution strategy: each process has one device.")
        check_cluster(settings.executor)
        if settings.directory is not None:
            check_folder(settings.directory)
        check_dashboard(settings.tensorboard)
        sizes = as_sizes(per_class)
        if test_per_class is not None:
            as_sizes(test_per_class, "test_per_class")
        if groups is not None and isinstance(given["train"], tf.data.Dataset):
            raise ValueError(
                "`groups` needs `train` as a pair (x, y): the examples of a tf.data.Dataset come in no fixed order."
            )
        sets = read_sets(settings.memory_budget, settings.directory, verbose, steps, **given)
        common = settings.source, settings.cuts[-1], sets, settings.learning
        experiment = prepare(*common, sizes, classes, test_per_class, groups)
        return cls(settings, experiment, recipe, jobs, verbose)

    @property
    def configuration(self) -> dict:
        """What the result depends on."""
        return self.settings.configuration(self.experiment, self.recipe)

    @property
    def remembered(self) -> dict:
        """What the folder must not mix."""
        return self.settings.remembered(self.experiment)

    def store(self) -> Store:
        """What remembers the answers."""
        return Store(self.settings.directory, self.remembered)

    def engine(self, cuts: Sequence[Cut] | None = None, observe: Callable | None = None, holds: bool = False) -> Engine:
        """What answers; the arguments are `Engine`'s, the cuts by default all."""
        own = self.settings
        given = own.memory_budget, own.feature_dtype, own.directory, self.jobs, observe, holds, own.executor
        return Engine(self.experiment, own.cuts if cuts is None else cuts, *given, own.callbacks)

    def questions(
        self,
        per_class: int | Sequence[int] | None,
        seeds: int | Sequence[int] | None,
        folds: int | None,
        repeats: int,
    ) -> list[Question]:
        """All that a profile asks, which is checked against the examples that there are.

        Args:
            per_class: As for `Defroster.profile`, like the others.
            seeds: The seeds.
            folds: Number of folds.
            repeats: Number of divisions into folds.

        Returns:
            The questions, by the recipe to start from.

        Raises:
            ValueError: As `Defroster.profile`.
        """
        experiment, settings = self.experiment, self.settings
        if folds is not None and "validation" in experiment.sets:
            raise ValueError("`folds` must be None where `validation` is given: one of them chooses the cut.")
        if folds is None and not experiment.evaluated:
            folds = FOLDS
        for name, is_given in (("groups", experiment.groups is not None), ("repeats", repeats != 1)):
            if folds is None and is_given:
                raise ValueError(f"`{name}` are for folds: give `folds`, or leave `{name}` out.")
        seeds = (5 if folds is None else 1) if seeds is None else seeds
        asked = as_sizes(per_class), as_seeds(seeds), settings.recipe, as_folds(folds, repeats), settings.tails
        questions = everything(settings.cuts, *asked)
        # What it must not give shows here, before anything is trained.
        callbacks_for(questions[0], settings.callbacks)
        experiment.draw(question.rows for question in questions)
        return questions

    def policy(self, questions: list[Question], patience: int | None) -> Policy:
        """All questions at once, or cut by cut from the last one back."""
        if patience is None:
            return all_of(questions)
        if isinstance(patience, bool) or not isinstance(patience, (int, np.integer)) or patience < 1:
            raise ValueError(f"`patience` must be a whole number of cuts, at least 1, or None. Received: {patience!r}")
        return walk_back(questions, patience, self.worth(questions))

    def worth(self, questions: Sequence[Question]) -> Callable[[Answer], float]:
        """What an answer is worth on the set that chooses, more being better."""
        objective = self.experiment.task.objective
        chooses = "validation" in self.experiment.sets or questions[0].fold is not None
        on = "validation" if chooses else "test"

        def worth(answer: Answer) -> float:
            score = getattr(answer, on)[objective.name]
            return objective.sign * score if np.isfinite(score) else -math.inf

        return worth

    def ask(
        self, policy: Policy, store: Store, engine: Engine, outlook: Outlook = nothing_more
    ) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Asks until a policy is content, as `ask`, and shows each trial in TensorBoard where that is wished."""
        settings = self.settings
        asking = functools.partial(ask, policy, store, engine, self.verbose, outlook)
        if settings.tensorboard is None:
            yield from asking()
            return
        directory = None if settings.directory is None else str(settings.directory)
        common = {"source": settings.source.name, "directory": directory}
        board = Dashboard(settings.tensorboard, common, settings.cuts, self.remembered)

        def add_known():
            answers = store.answers
            board.add(answers[question] for question in policy(answers) if question in answers)

        add_known()
        for answer, weights in asking():
            board.write(answer)
            yield answer, weights
        # Those that another process has answered meanwhile.
        add_known()

    def ask_all(self, questions: Sequence[Question], store: Store, engine: Engine) -> Mapping[Question, Answer]:
        """Asks some questions, and gives all answers that there are."""
        for _ in self.ask(all_of(questions), store, engine):
            pass
        return store.answers

    def tuned(self, questions: list[Question], store: Store, engine: Engine) -> Self:
        """Asks which recipe is best for a profile's questions, and gives the inquiry that goes on with it."""
        recipes, tried = self._tries(questions)
        answers = self.ask_all(tried, store, engine)
        flops = sum(map(engine.plan(tried).flops, tried))
        tuning = tuning_of(recipes, tried, answers, self.experiment.task.objective, flops)
        return dataclasses.replace(self, recipe=tuning.recipe, tuning=tuning)

    def with_tuning(self, questions: list[Question], answers: Mapping[Question, Answer]) -> list[Question]:
        """All that a tuned profile asks, by the recipe that answers choose, or the one to start from."""
        recipes, tried = self._tries(questions)
        recipe = self.settings.recipe
        if not missing(all_of(tried), answers):
            recipe = tuning_of(recipes, tried, answers, self.experiment.task.objective, flops=0.0).recipe
        return list(dict.fromkeys([*tried, *by_recipe(questions, recipe)]))

    def profile_of(self, answers: Mapping[Question, Answer], questions: Sequence[Question]) -> DefrostProfile:
        """The profile of questions that are answered."""
        trials = tuple(sorted((Trial.of(answers[each]) for each in questions), key=lambda trial: trial.key))
        fold, experiment = questions[0].fold, self.experiment
        own = {"source_name": self.settings.source.name, "examples": len(experiment.sets["train"].y)}
        own["folds"] = None if fold is None else fold.folds
        own["facts"] = facts_of(experiment, [answers[each] for each in questions])
        if self.tuning is not None:
            own["tuning"] = json.loads(json.dumps(dataclasses.asdict(self.tuning)))
        return DefrostProfile(self.settings.cuts, trials, experiment.task.objective, {**self.configuration, **own})

    def _tries(self, questions: list[Question]) -> tuple[list[Recipe], list[Question]]:
        """The recipes among which one is chosen, and the questions that choose it."""
        if "validation" not in self.experiment.sets and questions[0].fold is None:
            raise ValueError(
                "Give `validation` or `folds` where the recipe is to be tuned: the test examples must not choose it."
            )
        recipes = self.settings.tuned.draw()
        return recipes, tuning_questions(recipes, questions, tuning_cuts(self.settings.cuts))


def by_recipe(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """Questions with another recipe."""
    return [dataclasses.replace(question, recipe=recipe) for question in questions]
