"""What is said of claims: numbers by hand, and verdicts that follow from them, for each way that a claim can end."""

import math

import numpy as np
import pytest

import kdefrost
from kdefrost.paper import FIGURES, FigureResults, estimates
from kdefrost.paper.claims import CLAIMS, claims_table
from kdefrost.paper.estimates import Estimate
from kdefrost.paper.experiments import Figure, Transfer
from kdefrost.paper.network_findings import jumps_at_downsampling
from kdefrost.paper.profile_findings import (
    last_is_never_better,
    later_for_better_clones,
    moves_back,
    predictable,
    scratch_is_best,
)
from kdefrost.paper.verdicts import FAILS, HOLDS, OPEN, Verdict, below, decide, every, same, some

CUTS = tuple(kdefrost.cut_points(kdefrost.wide_resnet(16, 1)))


def make_profile(scores, cuts=CUTS):
    """A profile from accuracies in percent, an array (seeds, cuts) for each size."""
    trials = [
        kdefrost.Trial(cut.index, size, seed, {"accuracy": score / 100}, {"accuracy": score / 100}, 1.0)
        for size, table in scores.items()
        for seed, row in enumerate(table)
        for cut, score in zip(cuts, row, strict=True)
    ]
    configuration = {"examples": 45_000, "task": {"kind": "classification", "units": 10}}
    return kdefrost.DefrostProfile(cuts, tuple(trials), kdefrost.Objective("accuracy", "max"), configuration)


def peaked(cut, height=60.0, seeds=3, noise=0.1):
    """Accuracies `(seeds, cuts)` with their maximum at a cut, two points lower at each cut away from it."""
    row = height - 2.0 * np.abs(np.arange(len(CUTS)) - cut)
    return row + noise * np.random.default_rng(0).normal(size=(seeds, len(CUTS)))


def make_similarity(imbalance):
    """A similarity from numbers `(pairs, layers)`, the other measures being one less that."""
    numbers = {
        "information_imbalance_xy": lambda value: value,
        "cka": lambda value: 1 - value,
        "neighbor_spearman_xy": lambda value: 1 - value,
        "neighborhood_overlap": lambda value: 1 - value,
    }
    comparisons = tuple(
        kdefrost.LayerComparison(pair, cut.index, cut.index, {name: of(value) for name, of in numbers.items()})
        for pair, row in enumerate(np.asarray(imbalance))
        for cut, value in zip(CUTS[1:], row, strict=True)
    )
    return kdefrost.LayerwiseSimilarity(CUTS[1:], CUTS[1:], comparisons, {"pairs": "same"})


def results_of(number, profiles=(), similarities=None):
    transfers = tuple(Transfer(name, "cifar10", (16,)) for name in ("isogm", "gm", "ae256")[: len(profiles)])
    return FigureResults(Figure(number, "", transfers), tuple(profiles), similarities or {})


def test_an_estimate_is_students():
    """Of 1, 2, 3 the standard error is 1/√3, and t of two degrees of freedom 4.302653."""
    estimate = Estimate.of([1.0, 2.0, math.nan, 3.0])
    assert estimate == pytest.approx((2.0, 1 / math.sqrt(3), 3))
    assert estimate.interval() == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    # Of five comparisons together each has 99 %, for which t is 9.924843.
    assert estimate.interval(5)[1] == pytest.approx(2 + 9.924843 / math.sqrt(3))
    assert estimate.text(2, " layers") == "2.00 ± 0.58 layers" and Estimate.of([-1.0]).text() == "−1.0"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([1.0, 1.1, 0.9], HOLDS), ([-1.0, -1.1, -0.9], FAILS), ([1.0, -1.0, 0.5], OPEN), ([5.0], OPEN), ([0.0] * 3, OPEN)],
)
def test_a_verdict_needs_an_interval_on_one_side(values, verdict):
    assert decide(Estimate.of(values)).word == verdict


def test_an_open_verdict_says_how_many_repeats_would_decide():
    """A mean of 1 with a deviation of 1 lies 2.2 standard errors from 0 with 5 repeats, where t is 2.78, and 2.45 with
    6, where it is 2.57; with 7 it is 2.65, above 2.45."""
    estimate = Estimate.of([0.0, 1.0, 2.0])
    assert estimate.repeats_to_tell() == 7
    assert decide(estimate) == Verdict(OPEN, HOLDS, 7) and below(estimate, 0.0) == Verdict(OPEN, FAILS, 7)
    assert decide(estimate).text == "not decided at this size: some 7 repeats would, if means and spread stay"
    # With as many, of the same mean and deviation, it is decided; with one less it is not.
    for repeats, verdict in ((6, OPEN), (7, HOLDS)):
        assert decide(Estimate(1.0, 1 / math.sqrt(repeats), repeats)).word == verdict
    assert decide(Estimate.of([1.0, -1.0, 0.001])).text.endswith(
        "more than 1,000 repeats would, if means and spread stay"
    )
    for unknown in ([5.0], [0.0] * 3, [-1.0, 0.0, 1.0]):
        assert decide(Estimate.of(unknown)).text == OPEN


def test_verdicts_together():
    """One of them can decide one way, all of them the other: the first of the former, or the last of the latter."""
    holds, fails = Verdict(HOLDS), Verdict(FAILS)
    up, far_up, down = Verdict(OPEN, HOLDS, 7), Verdict(OPEN, HOLDS, 20), Verdict(OPEN, FAILS, 9)
    assert every([holds, holds]) == holds and every([up, fails]) == fails and every([]) == Verdict(OPEN, HOLDS)
    assert every([holds, up, far_up]) == Verdict(OPEN, HOLDS, 20) and every([far_up, down]) == down
    assert some([fails, fails]) == fails and some([down, holds]) == holds
    assert some([fails, up, far_up]) == up and some([fails, down]) == down
    assert same(holds, holds) == same(fails, fails) == holds and same(holds, fails) == fails
    assert same(holds, up) == up and same(up, down) == Verdict(OPEN, FAILS, 9)
    assert every([holds, Verdict(OPEN)]).repeats is None


def test_the_first_group_ends_where_the_paper_has_it():
    """GM's layers are equivalent "up to the 10-th": before the first down-sampling of its Wide-ResNet-28-4."""
    assert estimates.before_downsampling(kdefrost.cut_points(kdefrost.wide_resnet(28, 4))[1:]) == 10
    assert estimates.before_downsampling(CUTS[1:]) == 5


def test_the_optimum_moves_by_as_many_layers_as_between_the_cuts():
    """From cut 6, 13 layers, to cut 4, 8 layers."""
    profile = make_profile({16: peaked(6), 64: peaked(5), None: peaked(4)})
    assert list(estimates.best_depths(profile, 16)) == [13] * 3
    assert estimates.shift(profile, 16, None).mean == -5
    ((_, words, verdict),) = moves_back(results_of(3, [profile]))
    assert verdict.word == HOLDS and "moves by −5.0 ± 0.0 layers" in words
    assert "all 45000 examples: 8 of 16 layers" in words
    other_way = make_profile({16: peaked(4), 64: peaked(6)})
    assert moves_back(results_of(3, [other_way]))[0].verdict.word == FAILS
    assert moves_back(results_of(3, [make_profile({16: peaked(4)})])) == []


def test_where_cuts_are_not_told_apart_the_optimum_of_each_seed_decides_nothing():
    """Each seed has another winner, by 1 of 50, so that the optimum of each lies before cut 6, of all three nowhere."""
    level = np.full((3, len(CUTS)), 50.0)
    level[[0, 1, 2], [0, 1, 2]] += 1.0
    profile = make_profile({16: peaked(6), None: level})
    assert (estimates.best_depths(profile, None) < estimates.best_depths(profile, 16)).all()
    (found,) = moves_back(results_of(3, [profile]))
    assert found.verdict.word == OPEN and found.verdict.repeats > 3
    # Two flat profiles say nothing of where one optimum is of the other.
    assert moves_back(results_of(3, [make_profile({16: level, None: level[::-1]})]))[0].verdict.word == OPEN
    sources = [make_profile({16: scores}) for scores in (peaked(0), level, peaked(7))]
    assert later_for_better_clones(results_of(4, sources))[0].verdict.word == OPEN
    sources[1] = make_profile({16: peaked(5)})
    assert later_for_better_clones(results_of(4, sources))[0].verdict.word == HOLDS
    assert later_for_better_clones(results_of(4, sources[::-1]))[0].verdict.word == FAILS


def test_what_the_choice_is_worth_in_data():
    """Best with 16: 60 at cut 6, where the last one has 58; with 128 the last one has 59, with all 65."""
    profile = make_profile({16: peaked(6), 128: peaked(7, 59.0), None: peaked(7, 65.0)})
    assert estimates.growths(profile, 5) == [(16, 128), (16, None), (128, None)]
    assert estimates.growths(profile, 10) == [(16, None), (128, None)]
    assert estimates.surplus(profile, 16, 128).mean == pytest.approx(1.0, abs=0.2)
    found = {claim.words: claim.look(results_of(3, [profile]))[0] for claim in CLAIMS if claim.figure == 3}
    (five,) = (found[words] for words in found if "5 times" in words)
    assert five.verdict.word == HOLDS and "best cut with 16 per class less vanilla with 128 per class" in five.seen
    (ten,) = (found[words] for words in found if "10 times" in words)
    assert ten.verdict.word == FAILS


def test_scratch_is_best_where_no_other_cut_is_near():
    assert scratch_is_best(results_of(4, [make_profile({16: peaked(0)})]))[0].verdict.word == HOLDS
    assert scratch_is_best(results_of(4, [make_profile({16: peaked(3)})]))[0].verdict.word == FAILS
    level = np.full((3, len(CUTS)), 50.0) + np.random.default_rng(1).normal(size=(3, len(CUTS)))
    ((_, _, verdict),) = scratch_is_best(results_of(4, [make_profile({16: level})]))
    assert verdict.word == OPEN and verdict.repeats > 3


def test_few_cuts_are_those_that_the_paper_advises_and_their_regret_is_by_hand():
    """The first down-sampling is in the first block of the second group, the last but one the third group's."""
    assert [cut.index for cut in estimates.few_cuts(CUTS)] == [4, 5, 6]
    best_early = make_profile({16: peaked(1, noise=0.0)})
    # At cut 4 three cuts away, two points each.
    assert estimates.regret(best_early, 16, estimates.few_cuts(CUTS)) == pytest.approx(6.0)
    assert estimates.regret(make_profile({16: peaked(5)}), 16, estimates.few_cuts(CUTS)) == 0


def test_a_parabola_through_few_cuts_tells_on_which_side_the_optimum_lies():
    """Depths are 0, 1, 3, 5, 8, 10, 13 and 15 layers."""

    def guessed(score):
        profile = make_profile({16: np.array([[score(cut.frozen_layers) for cut in CUTS]] * 2)})
        return estimates.guess(profile, 16, estimates.few_cuts(CUTS)).frozen_layers

    assert guessed(lambda depth: 50 - (depth - 9.5) ** 2 / 10) == 10
    assert guessed(lambda depth: 50 - (depth - 3.2) ** 2 / 10) == 3
    assert guessed(lambda depth: 50 + depth) == 15 and guessed(lambda depth: 50 - depth) == 0
    # What the three say nothing of is not foreseen.
    assert guessed(lambda depth: 90 if depth == 1 else 50 + depth) == 15
    profile = make_profile({16: np.array([[50.0 - cut.frozen_layers for cut in CUTS]] * 2)})
    best, trend = predictable(results_of(7, [profile]))
    assert "loses 8.0 points, at worst 8.0, in 1 profiles" in best.seen and "loses 0.0 points" in trend.seen


def test_the_last_cut_is_never_better_where_it_is_worse_at_each_size():
    worse, better = peaked(0), peaked(7)
    assert last_is_never_better(results_of(7, [make_profile({16: worse, 64: worse})]))[0].verdict.word == HOLDS
    assert last_is_never_better(results_of(7, [make_profile({16: worse, 64: better})]))[0].verdict.word == FAILS
    (found,) = last_is_never_better(results_of(7, [make_profile({16: peaked(0, noise=0.0)})]))
    # Seven cuts away, two points each.
    assert found.seen == "the last cut less training from scratch, 16 per class: −14.0 ± 0.0 points"


def test_steps_at_down_samplings_are_set_against_the_others():
    """Of 0.01 within the first group, 0.1 into the second, 0.02 in it, 0.2 into the third; then it is pooled."""
    rises = np.array([0.0, 0.01, 0.01, 0.1, 0.02, 0.2, 0.5])
    similarity = make_similarity([np.cumsum(rises), np.cumsum(rises) + 0.01])
    assert estimates.jumps(similarity, "information_imbalance_xy").mean == pytest.approx(0.15 - 0.04 / 3)
    assert jumps_at_downsampling(results_of(6, similarities={"gm": similarity}))[0].verdict.word == HOLDS
    assert estimates.rank_by_depth(similarity, "information_imbalance_xy").mean == 1
    assert estimates.at_depth(similarity, "information_imbalance_xy", 8).mean == pytest.approx(0.125)


def test_every_claim_has_an_answer_or_says_that_nothing_was_run():
    growing = np.linspace(0.0, 0.5, 7)
    alike = {
        name: make_similarity([growing * scale, growing * scale + 0.001])
        for name, scale in (("isogm", 1.0), ("gm", 0.5), ("ae256", 0.1))
    }
    profiles = [make_profile({16: peaked(cut, 50.0 + 3 * cut)}) for cut in (0, 5, 7)]
    for number in (4, 6, 8, 9):
        table = claims_table(results_of(number, profiles if number in (4, 6) else (), alike))
        rows = table.splitlines()[2:]
        assert len(rows) >= sum(claim.figure == number for claim in CLAIMS)
        assert all(row.split(" | ")[-1].startswith((HOLDS, FAILS, OPEN)) for row in rows)
    assert "| not run | –" in claims_table(results_of(3)) and "Information Imbalance" not in claims_table(results_of(3))


def test_order_of_sources_and_agreement_with_similarity():
    growing = np.linspace(0.0, 0.5, 7)
    alike = {name: make_similarity([growing * s, growing * s + 0.001]) for name, s in (("isogm", 1.0), ("gm", 0.5))}
    profiles = [make_profile({16: peaked(6, height)}) for height in (50.0, 60.0)]
    table = claims_table(results_of(6, profiles, alike))
    (row,) = (row for row in table.splitlines() if "best cut" in row)
    assert row.endswith("IsoGM to GM | mean Information Imbalance −0.125 ± 0.000, best cut 10.0 ± 0.0 points | holds |")
    worse = claims_table(results_of(6, profiles[::-1], alike))
    assert next(row for row in worse.splitlines() if "best cut" in row).endswith("| does not hold |")


def test_each_figure_has_claims_in_the_papers_words():
    assert {claim.figure for claim in CLAIMS} == set(FIGURES)
