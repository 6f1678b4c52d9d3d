"""Held features: that runs of an engine score the same with them as without, and what they save."""

import numpy as np
import pytest
from conftest import RECIPE

import kdefrost
from kdefrost.cutting.features import FeatureFlow
from kdefrost.data.sets import LabelledSet
from kdefrost.trials import engine
from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.engine import Engine
from kdefrost.trials.experiment import Learning, prepare
from kdefrost.trials.held import HeldFeatures
from kdefrost.trials.placement import Costs
from kdefrost.trials.question import Question


@pytest.fixture
def passed(monkeypatch):
    """The sets that each step of a flow passed on, and the cut to which."""
    steps = []

    def advance(flow, cut, *args, original=FeatureFlow.advance):
        if cut.tensors != flow.cut.tensors:
            steps.append((cut.index, *flow.features))
        original(flow, cut, *args)

    monkeypatch.setattr(FeatureFlow, "advance", advance)
    return steps


def _scores(model, data, budget, order, holds):
    """The scores of questions that are asked one after the other."""
    cuts = kdefrost.cut_points(model)
    sets = {name: LabelledSet(*data[name]) for name in ("train", "test")}
    experiment = prepare(model, cuts[-1], sets, Learning(), [4])
    asked = Engine(experiment, cuts, budget, holds=holds)
    questions = [Question.at(cuts[index], 4, seed, RECIPE) for seed, index in order]
    return [answer.test for question in questions for answer, _ in asked.run([question], ProgressBar(False))]


ORDER = [(0, 4), (0, 2), (1, 4), (0, 3), (1, 1), (0, 0)]


# Of a budget of nothing three questions show all: nothing is held. Features go to disk, because to measure what that
# costs takes seconds a run.
@pytest.mark.parametrize(("budget", "order"), [(10**8, ORDER), (40_000, ORDER), (0, ORDER[:3])])
def test_scores_are_the_same_whatever_is_held(tapering, easy, passed, budget, order, monkeypatch):
    cheap = Costs(compute=1.0, write=0.0, read=0.0, read_held=0.0)
    monkeypatch.setattr(engine, "measured_costs", lambda *_: lambda *_: cheap)
    held, anew = (_scores(tapering, easy, budget, order, holds) for holds in (True, False))
    assert held == anew


def test_what_trials_are_scored_on_is_passed_once(tapering, easy, passed):
    _scores(tapering, easy, 10**8, ORDER, holds=True)
    tested = [cut for cut, *names in passed if "test" in names]
    assert sorted(tested) == [1, 2, 3, 4]
    # What is trained on is another set at each run.
    assert len([cut for cut, *names in passed if "train" in names]) > 4


def test_early_cuts_make_room_for_late_ones(residual, easy):
    cuts, images = kdefrost.cut_points(residual), {name: easy[name][0] for name in ("train", "test")}
    places = dict.fromkeys(range(5), "memory")
    sizes = [cut.feature_bytes * len(images["test"]) for cut in cuts]
    flow, held = FeatureFlow(residual, cuts[0], dict(images), 10**8), HeldFeatures(sizes[3] + sizes[4])
    for cut in cuts[1:]:
        flow.advance(cut)
        held.hold(flow)
    again = FeatureFlow(residual, cuts[0], dict(images), 10**8)
    assert held.lead(again, cuts[2], places) is None and again.cut is cuts[0]
    assert held.lead(again, cuts[3], dict.fromkeys(range(5), "recompute")) is None
    assert held.lead(again, cuts[4], places) is cuts[4] and again.cut is cuts[4]
    for name in images:
        np.testing.assert_array_equal(again.features[name][0], flow.features[name][0])
