"""The progress bar over all trials."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from tqdm import tqdm

from kdefrost.cutting.cut import Cut
from kdefrost.progress import ticking
from kdefrost.tables import format_score, label_of
from kdefrost.trials.plan import Plan
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.tails import COMPILING
from kdefrost.trials.time_left import LEAST, Pace, Running, Work, seconds_of

# Seconds that other processes take to start, until a trial has begun in one.
_STARTING = 8.0


class _Bar(tqdm):
    """A bar of shares of time, which knows by itself how much is left."""

    left, may_end_before = 0.0, False

    @property
    def format_dict(self) -> dict:
        """What is drawn."""
        most = "at most " if self.may_end_before else ""
        return {**super().format_dict, "left": f"{most}{self.format_interval(self.left)}"}


class ProgressBar:
    """One bar over all that a policy asks, whose place is the share of the time that is gone; `with` shows it.

    What is left follows from the work that is left, in trials, operations and layers to compile, and the time that
    each took so far.

    Args:
        verbose: Whether to show it.
    """

    def __init__(self, verbose: bool):
        self.verbose, self._began = verbose, time.perf_counter()
        form = "{percentage:3.0f}% |{bar:20}| {elapsed} gone, {left} left{postfix}"
        # Nothing is drawn before there is something to say.
        self._bar = _Bar(total=1.0, disable=not verbose, bar_format=form, delay=1e-3)
        self._pace, self._lock = Pace(), threading.RLock()
        self._plan: Plan | None = None
        self._ahead: dict[Question, Work] = {}
        self._running: dict[Question, Running] = {}
        # By what a tail is compiled for, how many will yet be, how many trials are ahead, and how many layers it has.
        self._to_compile, self._waiting, self._layers = Counter(), Counter(), {}
        # Operations that features will take, and those of one example on the way to the present cut.
        self._passed, self._passed_before = 0.0, 0
        # By question, what it takes in a step of its own; and what is expected of the steps after this one.
        self._whole: dict[Question, Work] = {}
        self._later, self._later_seconds = Work(), 0.0
        # Seconds that trials took, all together and by the clock.
        self._busy, self._first, self._passing = 0.0, None, 0.0
        # When processes began to start, as long as none has begun a trial, and how many trials run side by side.
        self._starts: float | None = None
        self._side_by_side = 1
        self._trials, self._ended, self._last, self._is_over = 0, 0, "", False

    def __enter__(self):
        self._ticking = ticking(self._draw, self.verbose)
        self._ticking.__enter__()
        return self

    def __exit__(self, kind, *_):
        self._is_over = kind is None
        self._ticking.__exit__(None, None, None)
        self._bar.close()

    def expect(self, plan: Plan, holds: bool):
        """Takes in what a policy may come to ask, in several steps.

        Args:
            plan: The plan of all of it.
            holds: Whether features of what trials are scored on are held from one step to the next.
        """
        at_cut = Counter(question.cut for question in plan.questions)
        for question in plan.questions:
            cut = next(cut for cut in plan.cuts if cut.index == question.cut)
            examples = plan.examples[question] if holds else (plan.trained + plan.evaluated) / at_cut[question.cut]
            again = Work(layers=_layers(plan, question), passed=_passed(cut) * examples)
            self._whole[question] = _work(plan, question).plus(again)

    def expect_later(self, shares: Mapping[Question, float], seconds: float = 0.0):
        """Says what comes after this step: shares of questions that were expected, and seconds of trials."""
        self._later, self._later_seconds = Work(), seconds
        for question, share in shares.items():
            self._later = self._later.plus(self._whole.get(question, Work()).times(share))

    def begin(self, plan: Plan, at_once: int, starts: bool = False):
        """Begins a step of the policy.

        Args:
            plan: Its plan.
            at_once: How many trials run side by side, each of which may compile a tail of its own.
            starts: Whether they run in processes that have to start unless they have run trials before.
        """
        with self._lock:
            self._plan, self._passed_before = plan, _passed(plan.cuts[0])
            self._ahead = {question: _work(plan, question) for question in plan.questions}
            self._waiting = Counter(map(_build, plan.questions))
            self._to_compile = Counter({build: min(number, at_once) for build, number in self._waiting.items()})
            self._layers = {_build(question): _layers(plan, question) for question in plan.questions}
            last = plan.held_at(max((self._cut(question) for question in plan.questions), key=lambda cut: cut.index))
            on_the_way = 0 if last is None else _passed(last) - self._passed_before
            self._passed = on_the_way * (plan.trained + plan.evaluated)
            self._trials += len(plan.questions)
            self._starts = time.perf_counter() if starts and self._first is None else None
            self._side_by_side = min(at_once, len(plan.questions))

    def begin_features(self, cut: Cut, are_held: bool = False) -> Callable[[int], None]:
        """Names the cut whose features are computed, and gives what to call with numbers of examples done.

        Args:
            cut: The cut.
            are_held: Whether they are not computed but were held.
        """
        if self._plan.held_at(cut) is not cut:
            return lambda examples: None
        self._say(f"features at cut {cut.index} of {self._plan.cuts[-1].index}")
        each = _passed(cut) - self._passed_before
        self._passed_before += each
        told, done = time.perf_counter(), Work()

        def advance(examples: int):
            nonlocal told, done
            now, work = time.perf_counter(), Work(passed=each * examples)
            with self._lock:
                self._passed -= work.passed
                done = done.plus(work)
                if now - told > LEAST and not are_held:
                    self._pace.measure(done, now - told)
                    # Only between trials do they keep trials from running.
                    self._passing += 0.0 if self._first is None else now - told
                    told, done = now, Work()

        return advance

    def advance(self, question: Question, share: float):
        """Moves on to where a share of a trial's training is done, or to where its tail is compiled (`COMPILING`)."""
        now = time.perf_counter()
        with self._lock:
            if question not in self._running:
                self._start(question, now, share)
            share = max(0.0, share)
            trial = self._running[question]
            done = share * trial.trained
            if done and not trial.share and any(trial.compiled):
                self._pace.measure(trial.compiled, now - trial.began)
                self._busy += now - trial.began
                trial.began, trial.since = now, done
            if done:
                trial.share, trial.told = done, now

    def end(self, answer: Answer):
        """Moves on to a trial's end."""
        now = time.perf_counter()
        with self._lock:
            # One that is short ends before it is seen to run, as all do on a cluster.
            if answer.question not in self._running:
                self._start(answer.question, now - answer.seconds)
            trial = self._running.pop(answer.question)
            work, seconds = trial.work.times(1 - trial.since), now - trial.began
            if not trial.share:
                work, seconds = work.plus(trial.compiled), max(seconds, answer.seconds)
            self._pace.measure(work, seconds)
            self._busy += seconds
            self._first = min(self._first, now - seconds)
            self._ended += 1
            objective = self._plan.task.objective.name
            for on, scores in (("test", answer.test), ("validation", answer.validation)):
                if scores is not None:
                    self._last = f", last {on} {label_of(objective)} {format_score(objective, scores[objective])}"
                    break

    def leave_out(self, question: Question):
        """Moves on past a trial that another process has taken on."""
        with self._lock:
            self._take(question)
            self._trials -= 1

    def seconds_left(self) -> float:
        """What is left, in seconds, as far as can be told now."""
        now = time.perf_counter()
        with self._lock:
            running = list(self._running.values())
            per_unit = self._pace.per_unit()
            per_unit = self._pace.per_unit(*(trial.done(per_unit, now) for trial in running))
            ahead = sum(seconds_of(work, per_unit) for work in (*self._ahead.values(), self._later))
            # No more tails than there are trials to compile them for.
            to_compile = {build: min(number, self._waiting[build]) for build, number in self._to_compile.items()}
            layers = sum(number * self._layers[build] for build, number in to_compile.items())
            trials = ahead + layers * per_unit.layers + sum(trial.left(per_unit, now) for trial in running)
            features = max(0.0, self._passed) * per_unit.passed
            if self._starts is not None and self._first is None:
                features += max(0.0, _STARTING - (now - self._starts))
            return features + (trials + self._later_seconds) / self._at_once(now)

    @property
    def may_end_before(self) -> bool:
        """Whether what is left is the most that a policy may ask, which may be content with less."""
        return any(self._later) or self._later_seconds > 0

    def _start(self, question: Question, began: float, share: float | None = None):
        """Takes note of a trial, of which a share is done when it is first seen; of `None` there is the end alone."""
        build, compiled = _build(question), Work()
        # Where it was not seen, it is the first trials that compile their tails.
        if share == COMPILING or (share != 0 and self._to_compile[build]):
            self._to_compile[build] = max(0, self._to_compile[build] - 1)
            compiled = Work() if share and share > 0 else Work(layers=self._layers[build])
        trained = self._plan.training_flops(question) / max(1.0, self._plan.flops(question))
        done = max(0.0, share or 0.0) * trained
        self._running[question] = Running(self._take(question), compiled, trained, began, done, began, done)
        self._first = began if self._first is None else min(self._first, began)
        where = str(question).replace(f"cut {question.cut},", f"cut {question.cut} of {self._plan.cuts[-1].index},")
        number = self._ended + len(self._running)
        self._say(f"trial {number} of {self._trials}: {where}{self._last}")

    def _take(self, question: Question) -> Work:
        """What a trial takes, which from now on is not ahead."""
        if question not in self._ahead:
            return Work()
        self._waiting[_build(question)] -= 1
        return self._ahead.pop(question)

    def _at_once(self, now: float) -> float:
        """How many trials ran side by side so far; before the first, how many are to."""
        if self._first is None:
            return self._side_by_side
        busy = self._busy + sum(now - trial.began for trial in self._running.values())
        return max(1.0, busy / max(1e-3, now - self._first - self._passing))

    def _cut(self, question: Question) -> Cut:
        return next(cut for cut in self._plan.cuts if cut.index == question.cut)

    def _say(self, text: str):
        self._bar.set_postfix_str(text, refresh=False)

    def _draw(self):
        # While examples are read nothing is planned: that nothing is left would be wrong, and a bar does not go back.
        if self._plan is None and not self._is_over:
            return
        gone = time.perf_counter() - self._began
        # A policy may be content before it has asked all that it might.
        left = 0.0 if self._is_over else self.seconds_left()
        self._bar.left, self._bar.may_end_before = left, left > 0 and self.may_end_before
        # It does not go back where there turns out to be more to do.
        self._bar.n = max(self._bar.n, gone / (gone + left))
        self._bar.refresh()


def _work(plan: Plan, question: Question) -> Work:
    return Work(trials=1, flops=plan.flops(question))


def _build(question: Question) -> tuple:
    """What a tail is compiled for."""
    return question.cut, question.build


def _layers(plan: Plan, question: Question) -> int:
    """Number of layers with kernels that are compiled for a trial, and one for what is around them."""
    cut = next(cut for cut in plan.cuts if cut.index == question.cut)
    held = plan.held_at(cut)
    return 1 + cut.layers - (0 if held is None else held.frozen_layers)


def _passed(cut: Cut) -> int:
    """Operations that carry one example to a cut."""
    return 2 * (cut.multiply_adds - cut.tail_multiply_adds)
