"""The engine: questions in, answers and the tails' weights out. It does not know why it is asked."""

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import FeatureFlow
from kdefrost.data.storage import existing_folder
from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.executors import Pool, cluster_address, make_executor, staff
from kdefrost.trials.experiment import Examples, Experiment
from kdefrost.trials.held import HeldFeatures
from kdefrost.trials.placement import free_disk_space, measured_costs, place
from kdefrost.trials.plan import Plan
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.tails import Assignment, Setting

if TYPE_CHECKING:
    from kdefrost.trials.seats import Seats


class Engine:
    """Answers questions about one experiment.

    Features flow from cut to cut, on the examples that some question needs; at each cut one tail is compiled for all.

    Args:
        experiment: What all questions have in common.
        cuts: The cuts along which features flow, in order, those of all questions among them.
        memory_budget: Bytes that cached features may take in memory.
        feature_dtype: In which numbers they are cached.
        directory: Folder for what exceeds the budget; by default the system's for temporary files.
        jobs: Number of processes that run trials; `None` for this one. On a cluster the largest number of workers.
        observe: As for `Setting`.
        holds: Whether features of what trials are scored on are held from one run to the next, in half of the budget.
        executor: Which cluster runs trials, as for `cluster_address`; `None` for this machine.
        callbacks: As for `callbacks_for`.
    """

    def __init__(
        self,
        experiment: Experiment,
        cuts: Sequence[Cut],
        memory_budget: int,
        feature_dtype: str = "float32",
        directory: str | os.PathLike | None = None,
        jobs: int | None = None,
        observe: Callable | None = None,
        holds: bool = False,
        executor: str | None = None,
        callbacks: Callable[[Question], list[keras.callbacks.Callback]] | None = None,
    ):
        self._experiment, self._cuts, self._jobs = experiment, tuple(cuts), jobs
        self._budget, self._dtype, self._directory = memory_budget, feature_dtype, existing_folder(directory)
        self._observe, self._callbacks = observe, callbacks
        self._held = HeldFeatures(memory_budget // 2) if holds else None
        # By cut index, the share of features there that are nearly the same for all that is trained on.
        self._constant: dict[int, float | None] = {}
        self._cluster = cluster_address(executor)
        self._workers: Pool | Seats | None = None
        self._is_staffed = False

    @contextlib.contextmanager
    def staffed(self) -> Iterator[None]:
        """Keeps workers, which take seconds to start, from one run to the next until the end of `with`."""
        if self._is_staffed:
            yield
            return
        with staff(self._jobs, self._cluster, self._directory) as self._workers:
            self._is_staffed = True
            try:
                yield
            finally:
                self._workers, self._is_staffed = None, False

    def plan(self, questions: Sequence[Question]) -> Plan:
        """Says what answering questions takes.

        Args:
            questions: The questions.

        Returns:
            A `Plan`. Where features would exceed the memory budget, a short measurement told where they would be.
        """
        experiment = self._experiment
        drawn = experiment.draw(question.rows for question in questions)
        examples = {question: len(drawn[question.rows].train) for question in questions}
        trained = len(set().union(*(each.all.tolist() for each in drawn.values())))
        uses = Counter()
        for question in questions:
            uses[question.cut] += question.recipe.epochs * examples[question] + experiment.evaluated
        places = self._places(trained + experiment.evaluated, uses)
        return Plan(self._cuts, examples, experiment.task, trained, experiment.evaluated, places, self._dtype)

    def expect(self, questions: Sequence[Question], bar: ProgressBar):
        """Tells a progress bar what a policy may ask in several steps."""
        if questions:
            bar.expect(self.plan(questions), self._held is not None)

    def run(
        self, questions: Sequence[Question], bar: ProgressBar, claim: Callable[[Question], bool] = lambda _: True
    ) -> Iterator[tuple[Answer, list[np.ndarray]]]:
        """Answers questions.

        Args:
            questions: The questions, in any order.
            bar: The progress bar over this and what else is asked.
            claim: Called with each before it is taken on; those to which it says no are left out.

        Yields:
            Each answer as it comes, with the weights of its tail.
        """
        experiment, plan = self._experiment, self.plan(questions)
        drawn = experiment.draw(question.rows for question in questions)
        examples = experiment.gather(drawn, self._budget, self._directory, bar.verbose)
        measured = self._observe, self._callbacks
        setting = Setting(experiment.source, experiment.task, examples.labels, experiment.class_weight, *measured)
        with self.staffed(), make_executor(setting, self._workers) as executor:
            workers = self._workers
            bar.begin(plan, 1 if workers is None else workers.at_once, starts=workers is not None)
            assignments = self._assignments(plan, examples, claim, executor.release, bar)
            for answer, weights in executor.run(assignments, bar.advance):
                bar.end(answer)
                yield self._with_noticed(answer, examples), weights

    def _with_noticed(self, answer: Answer, examples: Examples) -> Answer:
        """An answer with what was noticed of its examples and of the features at its cut."""
        noticed = {**answer.noticed, **examples.noticed[answer.question.rows]}
        constant = self._constant.get(answer.question.cut)
        return dataclasses.replace(answer, noticed=noticed | ({} if constant is None else {"constant": constant}))

    def _assignments(
        self,
        plan: Plan,
        examples: Examples,
        claim: Callable[[Question], bool],
        release: Callable[[], None],
        bar: ProgressBar,
    ) -> Iterator[Assignment]:
        """The questions, cut by cut, with the features that they take, which are made for those that are claimed."""
        flow = FeatureFlow(
            self._experiment.source, self._images_cut, examples.images, self._memory, self._directory, self._dtype
        )
        # The flow alone holds them from here on.
        examples.images.clear()
        to_pass = self._lead(flow, plan, bar)
        for cut in self._cuts:
            for question in (question for question in plan.questions if question.cut == cut.index):
                if not claim(question):
                    bar.leave_out(question)
                    continue
                while to_pass and to_pass[0].index <= cut.index:
                    # The tail before holds the features that the flow is about to let go.
                    release()
                    flow.advance(to_pass[0], plan.places[to_pass[0].index], bar.begin_features(to_pass[0]))
                    del to_pass[0]
                    if self._held is not None:
                        self._held.hold(flow)
                if flow.cut.index == cut.index:
                    self._constant[cut.index] = flow.constant.get("train")
                rows, sample = examples.rows[question.rows], examples.samples[question.seed]
                yield Assignment(question, cut, flow.cut, dict(flow.features), rows, sample)

    def _lead(self, flow: FeatureFlow, plan: Plan, bar: ProgressBar) -> list[Cut]:
        """Takes a flow as far as features are held, and gives the cuts that it is to pass from there."""
        first = min(question.cut for question in plan.questions)
        first = next(cut for cut in self._cuts if cut.index == first)
        at = None if self._held is None else self._held.lead(flow, first, plan.places)
        if at is None:
            return list(self._cuts)
        bar.begin_features(at, are_held=True)(plan.trained + plan.evaluated)
        return [cut for cut in self._cuts if cut.index > at.index]

    def _places(self, examples: int, uses: dict[int, int]) -> dict[int, str]:
        """Where the features at each cut are held."""
        start = self._images_cut
        return place(
            [start, *(cut for cut in self._cuts if cut.index != start.index)],
            examples,
            uses,
            self._memory,
            # Others go on with the features of one cut while those of the next are made.
            free_disk_space(self._directory) // (1 + self._others),
            self._dtype,
            measured_costs(self._experiment.source, self._dtype, self._directory),
        )

    @property
    def _images_cut(self) -> Cut:
        """Where the images go in."""
        return cut_points(self._experiment.source, features=self._experiment.features)[0]

    @property
    def _memory(self) -> int:
        """Bytes that features at one cut may take in memory."""
        # Beside those here, each other may still be at an earlier cut than the one whose features are being shared.
        budget = self._budget // (self._others + 2) if self._others else self._budget
        return budget if self._held is None else budget // 2

    @property
    def _others(self) -> int:
        """How many others have features beside this process: each of `jobs`, or the store of a cluster's node."""
        return 1 if self._cluster is not None else self._jobs or 0
