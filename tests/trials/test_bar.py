"""The bar over all trials: that its estimate is near the truth, and that there is one for all that is asked."""

import contextlib
import datetime
import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RECIPE

import kdefrost
from kdefrost.cutting.cut import Cut
from kdefrost.trials import bar, engine
from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.tails import COMPILING, TailRunner
from kdefrost.trials.time_left import Pace, Work, seconds_of

# Seconds per unit of a machine of half the speed that is taken for granted, and of one of three times that speed.
SLOW = Work(trials=0.5, flops=4e-11, layers=0.8, passed=3e-11)
FAST = Work(trials=0.1, flops=6e-12, layers=0.1, passed=5e-12)


def test_one_measurement_and_what_is_granted():
    """The least squares of x / 0.2 = 1 within 3 and 2 x = 4 within a fifth: (25 / 9 + 25 / 4) x = 5 / 9 + 25 / 2."""
    pace = Pace()
    np.testing.assert_allclose(pace.per_unit(), (0.2, 2e-11, 0.35, 1.5e-11))
    pace.measure(Work(trials=2), 4.0)
    np.testing.assert_allclose(pace.per_unit().trials, (5 / 9 + 25 / 2) / (25 / 9 + 25 / 4))
    np.testing.assert_allclose(pace.per_unit()[1:], (2e-11, 0.35, 1.5e-11))
    assert pace.per_unit((Work(trials=1), 2.0)).trials > pace.per_unit().trials
    # Features that take ten times what is granted speak of training.
    pace.measure(Work(passed=1e11), 15.0)
    assert 1e-10 < pace.per_unit().flops < 2e-10


@pytest.fixture
def clock(monkeypatch):
    """The bar's clock, which tests move."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(bar, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def _plan():
    """Four cuts of a network of eight layers, each with trials of 100 and 400 examples of three seeds."""
    cuts = [
        Cut(index, f"cut {index}", (), ((1,),), 2 * index, 8, 0, 0, int(left * 1e6), 10**7)
        for index, left in enumerate((10, 6, 3, 0))
    ]
    examples = {
        Question(cut.index, cut.frozen_layers, size, seed, RECIPE): 100 * size
        for cut in cuts
        for size in (1, 4)
        for seed in range(3)
    }

    def flops(question):
        return 6.0 * cuts[question.cut].tail_multiply_adds * examples[question] * 60 + 1e6

    return SimpleNamespace(
        cuts=cuts,
        questions=tuple(examples),
        examples=examples,
        trained=1000,
        evaluated=2000,
        flops=flops,
        training_flops=lambda question: 0.9 * flops(question),
        held_at=lambda cut: cut,
        task=SimpleNamespace(objective=SimpleNamespace(name="accuracy")),
    )


def _run(shown, plan, machine, clock, is_heard=True):
    """Runs all trials on an imagined machine; gives the times, and what was said to be left at each.

    Where trials are not heard, as on a cluster, the end of each is all that the bar learns.
    """
    said = []

    def passes(seconds):
        # In steps, because what is said is to be right at any time.
        for _ in range(4):
            clock.now += seconds / 4
            said.append((clock.now, shown.seconds_left()))

    shown.begin(plan, 1)
    before = None
    for question in plan.questions:
        if question.cut != before:
            done = shown.begin_features(plan.cuts[question.cut])
            work = 0 if before is None else plan.cuts[before].tail_multiply_adds
            work = 2 * 3000 * max(0, work - plan.cuts[question.cut].tail_multiply_adds)
            passes(seconds_of(Work(passed=work), machine))
            done(3000)
        compiles, began = question.cut != before, clock.now
        if is_heard:
            shown.advance(question, COMPILING if compiles else 0.0)
        if compiles:
            passes(seconds_of(Work(layers=9 - 2 * question.cut), machine))
        seconds = seconds_of(Work(trials=1, flops=plan.flops(question)), machine)
        for share in (0.25, 0.5, 1.0):
            passes(seconds * 0.3)
            if is_heard:
                shown.advance(question, share)
        passes(seconds * 0.1)
        shown.end(Answer(question, {"accuracy": 0.5}, None, clock.now - began))
        before = question.cut
    return np.array(said).T


@pytest.mark.parametrize("is_heard", [True, False], ids=["heard", "not heard"])
@pytest.mark.parametrize("machine", [SLOW, FAST])
def test_what_is_left_is_near_the_truth_on_any_machine(clock, machine, is_heard):
    times, said = _run(ProgressBar(False), _plan(), machine, clock, is_heard)
    left = times[-1] - times
    assert left[0] > 10
    # Once the first tail is compiled, and until the end is near.
    known = (times - times[0] > 0.15 * left[0]) & (left > 0.05 * left[0])
    ratio = said[known] / left[known]
    assert ratio.min() > 0.5 and ratio.max() < 2


def test_what_was_not_begun_here_is_left_out(clock):
    shown, plan = ProgressBar(False), _plan()
    shown.begin(plan, 1)
    whole = shown.seconds_left()
    shown.leave_out(plan.questions[0])
    gone = seconds_of(Work(trials=1, flops=plan.flops(plan.questions[0])), Pace().per_unit())
    np.testing.assert_allclose(whole - shown.seconds_left(), gone)


@pytest.mark.parametrize("first_heard", [0.0, 0.4, 1.0, None])
def test_compilation_that_was_not_seen_is_not_left(clock, first_heard):
    """Three trials at a time, of which some are first heard of as they train, or by their ends."""
    shown, plan = ProgressBar(False), _plan()
    shown.begin(plan, 3, starts=True)
    for cut in plan.cuts:
        shown.begin_features(cut)(3000)
    for question in plan.questions:
        if first_heard is not None:
            shown.advance(question, first_heard)
            clock.now += 1.0
        shown.end(Answer(question, {"accuracy": 0.5}, None, 1.0))
    assert shown.seconds_left() == 0


def test_the_first_trials_that_were_not_seen_are_those_that_compiled(clock):
    """Of three trials, two at a time, the first two have a compilation each, and what is left is without it."""
    shown, plan = ProgressBar(False), _plan()
    plan.questions = plan.questions[:3]
    shown.begin(plan, 2)
    shown.begin_features(plan.cuts[0])(3000)
    left = []
    for question in plan.questions:
        # Of no seconds nothing is learnt.
        shown.end(Answer(question, {"accuracy": 0.5}, None, 0.0))
        left.append(shown.seconds_left())
    granted = Pace().per_unit()
    trial = seconds_of(Work(trials=1, flops=plan.flops(plan.questions[0])), granted)
    np.testing.assert_allclose(left, [2 * trial + 9 * granted.layers, trial, 0])


@pytest.mark.parametrize(("workers", "told"), [(None, (1, False)), (SimpleNamespace(at_once=5), (5, True))])
def test_the_bar_is_told_how_many_run_at_once_and_whether_processes_start(small, easy, monkeypatch, workers, told):
    begun, begin = [], ProgressBar.begin

    def noting(shown, plan, at_once, starts):
        begun.append((at_once, starts))
        begin(shown, plan, at_once, starts)

    monkeypatch.setattr(ProgressBar, "begin", noting)
    monkeypatch.setattr(engine, "staff", lambda *_: contextlib.nullcontext(workers))
    monkeypatch.setattr(engine, "make_executor", lambda setting, _: contextlib.nullcontext(TailRunner(setting)))
    kdefrost.Defroster(small, RECIPE, cuts=[2]).profile(**easy, per_class=4, seeds=1, verbose=False)
    assert begun == [told]


def test_steps_to_come_count(clock):
    """Half of each question that was expected, with a tail to compile for each; and seconds."""
    shown, plan = ProgressBar(False), _plan()
    shown.expect(plan, holds=True)
    shown.begin(plan, 1)
    before, last = shown.seconds_left(), plan.questions[-1]
    assert not shown.may_end_before
    shown.expect_later({last: 0.5}, seconds=7.0)
    work = Work(1, plan.flops(last), 1 + 8 - 6, 2 * 10**7 * 400)
    np.testing.assert_allclose(shown.seconds_left() - before, 7 + seconds_of(work, Pace().per_unit()) / 2)
    assert shown.may_end_before


def test_batches_that_are_prefetched_say_nothing_of_the_pace(clock):
    """A tenth of a training, of some seconds, is told at once when its tail is compiled."""
    shown, plan = ProgressBar(False), _plan()
    shown.begin(plan, 1)
    for cut in plan.cuts:
        shown.begin_features(cut)(3000)
    shown.advance(plan.questions[0], COMPILING)
    clock.now += 5.0
    shown.advance(plan.questions[0], 0.01)
    before = shown.seconds_left()
    for share in np.linspace(0.02, 0.1, 9):
        clock.now += 1e-3
        shown.advance(plan.questions[0], share)
        assert shown.seconds_left() > 0.8 * before


def test_features_before_the_first_trial_are_no_time_of_trials(clock):
    """What would have looked like many trials side by side."""
    shown, plan = ProgressBar(False), _plan()
    shown.begin(plan, 1)
    done = shown.begin_features(plan.cuts[1])
    clock.now += 30.0
    done(3000)
    before = shown.seconds_left()
    shown.advance(plan.questions[0], COMPILING)
    clock.now += 0.5
    assert shown.seconds_left() > 0.9 * before


def test_while_examples_are_read_nothing_is_said_to_be_done(clock, capsys):
    with contextlib.suppress(InterruptedError), ProgressBar(verbose=True) as shown:
        clock.now += 5
        shown._draw()
        assert "%" not in capsys.readouterr().err
        shown.begin(_plan(), 1)
        raise InterruptedError
    assert 0 < _shares(capsys.readouterr().err)[-1] < 100
    with ProgressBar(verbose=True):
        clock.now += 1  # with nothing to do
    assert _shares(capsys.readouterr().err)[-1] == 100


def _shares(text):
    return [int(share) for share in re.findall(r"(\d+)%", text)]


def _drawn(text):
    """What is drawn at last of each bar."""
    return [line.split("\r")[-1] for line in text.split("\n") if "%" in line]


@pytest.mark.parametrize(
    "ask",
    [
        lambda defroster, sets: defroster.search(*sets, per_class=4, seeds=1, budget=datetime.timedelta(minutes=5)),
        lambda defroster, sets: defroster.profile(*sets, per_class=4, seeds=1, patience=2),
    ],
)
def test_there_is_one_bar_whatever_the_steps(tapering, easy, capsys, ask):
    defroster = kdefrost.Defroster(tapering, kdefrost.Recipe(epochs=1, batch_size=12))
    profile = ask(defroster, (easy["train"], easy["test"]))
    said = capsys.readouterr().err
    (last,) = _drawn(said)
    trials = len(profile.trials)
    # Which may be content before it has asked all that it might.
    assert " gone, at most " in said and "most" not in last
    assert last.startswith("100% |") and "00:00 left" in last and f"trial {trials} of {trials}: cut " in last
