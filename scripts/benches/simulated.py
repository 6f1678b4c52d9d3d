"""What the process that asks takes where a thousand workers answer it: simulated ones, whose trials sleep."""

import heapq
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

import kdefrost
from kdefrost.profile.policy import everything
from kdefrost.profile.search import Search, budgets
from kdefrost.trials.engine import Engine
from kdefrost.trials.question import Answer
from kdefrost.trials.side_by_side import SideBySide
from kdefrost.trials.store import FILE, Store, read_answers
from kdefrost.trials.tails import Assignment
from scripts.benches.measuring import memory, spread

# Seconds that trials sleep, from the shortest to the longest.
SLEEP = 0.5, 1.5
SEEDS = 20
# Seeds of a search, and the numbers of questions that it asks at once.
SEARCHED, AT_ONCE = (5, 20, 50), (1, 64)


class Sleepers(SideBySide):
    """Workers whose trials do nothing for a while; all else is as for those of a cluster, without Ray between.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int):
        super().__init__()
        self._count, self._rng, self._wakes = count, np.random.default_rng(0), []

    def _share(self, part):
        return part

    def _has_room(self) -> bool:
        return len(self._running) < self._count

    def _begin(self, assignment: Assignment):
        number = self._rng.integers(2**62)
        self._running[number] = (assignment.question,)
        heapq.heappush(self._wakes, (time.monotonic() + self._rng.uniform(*SLEEP), number))

    def _ended(self, on_progress):
        time.sleep(max(0.0, self._wakes[0][0] - time.monotonic()))
        while self._wakes and self._wakes[0][0] <= time.monotonic():
            _, number = heapq.heappop(self._wakes)
            (question,) = self._running.pop(number)
            scores = {"accuracy": float(self._rng.normal(0.5 + 0.01 * question.cut, 0.02))}
            yield Answer(question, scores, scores, seconds=1.0), [np.zeros(10, "float32")]


def bench_answers(answers: int, workers: int):
    """Has a profile of so many trials answered by so many simulated workers."""
    source = kdefrost.wide_resnet(28, 1, classes=3, input_shape=(8, 8, 1))
    sizes = list(range(1, 1 + -(-answers // (len(kdefrost.cut_points(source)) * SEEDS))))
    labels = np.arange(3 * len(sizes)) % 3
    images = np.zeros((len(labels), 8, 8, 1), "float32"), labels

    def run(self, questions, verbose, claim):
        sleepers = Sleepers(workers)
        assignments = (Assignment(each, None, None, {}, None, None) for each in questions if claim(each))
        yield from sleepers.run(assignments, lambda *_: None)

    ends, keep = [], Store.keep

    def timed(self, answer):
        keep(self, answer)
        # Of the processor: what else the machine does is of no interest.
        ends.append(time.process_time())

    before = memory("VmRSS")
    with tempfile.TemporaryDirectory() as directory:
        defroster = kdefrost.Defroster(source, kdefrost.Recipe(epochs=60), directory=directory)
        with mock.patch.object(Engine, "run", run), mock.patch.object(Store, "keep", timed):
            start, used = time.perf_counter(), time.process_time()
            given = {"per_class": sizes, "seeds": SEEDS, "verbose": False}
            profile = defroster.profile(images, test=images, validation=images, **given)
            seconds = time.perf_counter() - start
        after, busy = memory("VmHWM"), time.process_time() - used
        size = (Path(directory) / FILE).stat().st_size
        start = time.perf_counter()
        assert len(read_answers(Path(directory), {})) == len(profile.trials)
        read = time.perf_counter() - start
    count = len(profile.trials)
    print(f"{count} trials that sleep {SLEEP[0]} to {SLEEP[1]} s, {workers} simulated workers:")
    print(f"  {seconds:.0f} s, {count / seconds:.0f} answers/s; {1000 * busy / count:.2f} ms of a core for each")
    tenths = [1000 * np.diff(part).mean() for part in np.array_split(np.array(ends), 10)]
    print(f"    {tenths[0]:.2f} ms in the first tenth of them, {tenths[-1]:.2f} in the last")
    print(f"  memory of the process: {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB at the most")
    print(f"  store: {size / 1e6:.1f} MB, {size / count:.0f} bytes an answer; read anew in {read:.1f} s")
    bench_deciding(defroster.cuts)


def bench_deciding(cuts):
    """How long a search takes to decide, for one size of training set, from half of all answers."""
    for seeds in SEARCHED:
        questions = everything(cuts, [16], range(seeds), kdefrost.Recipe(epochs=60))
        for at_once in AT_ONCE:
            print(f"  to decide on {at_once} of {len(questions)} questions: ", end="", flush=True)
            print(f"{spread(decisions(questions, at_once), '.2f')} s")


def decisions(questions, at_once: int, steps: int = 3) -> list[float]:
    """Seconds of some steps of a search."""
    rng, answers, seconds = np.random.default_rng(0), {}, []
    allowed = budgets(1.0, questions, lambda question: 2.0**-question.cut)
    search = Search(allowed, lambda answer: answer.validation["accuracy"], at_once)
    while len(seconds) < steps:
        start = time.perf_counter()
        asked = [question for question in search(answers) if question not in answers]
        seconds.append(time.perf_counter() - start)
        if not asked:
            break
        for question in asked:
            scores = {"accuracy": float(rng.normal(0.5 + 0.01 * question.cut, 0.02))}
            answers[question] = Answer(question, scores, scores, seconds=1.0)
    return seconds
