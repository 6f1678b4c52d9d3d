"""The search: what it asks of recorded scores and when it ends, its budgets, and a real one that is interrupted."""

import datetime

import numpy as np
import pytest
from conftest import RECIPE

import kdefrost
from kdefrost.profile.policy import everything
from kdefrost.profile.search import SETTLED, SPENT, Search, budgets, seconds_for
from kdefrost.trials.held import HeldFeatures
from kdefrost.trials.question import Answer
from kdefrost.trials.rows import as_folds


@pytest.fixture(scope="module")
def cuts(residual):
    return kdefrost.cut_points(residual, "layers")


# Each cut costs half of the one before it, and the last one nothing.
def _cost(question):
    return {cut: 2.0**-cut for cut in range(9)}.get(question.cut, 0.0)


def _answers(policy, score):
    """The answers of a whole search, where `score` gives that of a question, and the rounds in which it asked."""
    answers, rounds = {}, []
    while missing := [question for question in policy(answers) if question not in answers]:
        rounds.append(missing)
        answers |= {q: Answer(q, None, {"accuracy": score(q)}, 1.0 + 10 * _cost(q)) for q in missing}
    return answers, rounds


def _worth(answer):
    return answer.validation["accuracy"]


def _search(cuts, score, budget=0.25, sizes=(None,), at_once=1):
    questions = everything(cuts, sizes, [0], RECIPE, as_folds(3))
    policy = Search(budgets(budget, questions, _cost), _worth, at_once)
    answers, rounds = _answers(policy, score)
    return policy, answers, rounds


def _noisy(best, noise=0.02):
    """Scores of a hill over the cuts, and noise that is the same for the same question."""

    def score(question):
        rng = np.random.default_rng((question.cut, *question.draw, question.per_class or 0))
        return 0.8 - 0.05 * abs(question.cut - best) + rng.normal(0, noise)

    return score


def test_it_begins_with_the_last_cut_and_a_few_late_ones(cuts):
    _, _, rounds = _search(cuts, _noisy(6))
    # Half, a quarter and an eighth (nearest to a tenth) of the cost, all on one fold.
    assert [question.cut for question in rounds[0]] == [9, 3, 2, 1]
    assert {question.fold.number for question in rounds[0]} == {0}
    assert all(len(later) == 1 for later in rounds[1:])


@pytest.mark.parametrize("best", [1, 4, 7, 9])
@pytest.mark.parametrize("budget", [0.1, 0.25, 0.5])
def test_it_finds_the_hill_within_the_budget(cuts, best, budget):
    policy, answers, _ = _search(cuts, _noisy(best), budget)
    (searched,) = policy.result(answers)
    full = 3 * sum(map(_cost, everything(cuts, [None], [0], RECIPE)))
    assert searched.spent == pytest.approx(sum(map(_cost, answers)) / full)
    assert searched.spent <= budget == searched.budget
    scores = {cut: np.mean([_worth(a) for q, a in answers.items() if q.cut == cut]) for cut in {q.cut for q in answers}}
    assert abs(max(scores, key=scores.get) - best) <= 1


def test_it_settles_where_nothing_can_be_gained(cuts):
    """One cut is far ahead, and its neighbours have been tried: further folds are not asked."""
    policy, answers, _ = _search(cuts, lambda question: 0.9 if question.cut == 9 else 0.1, budget=1.0)
    (searched,) = policy.result(answers)
    assert searched.ended == SETTLED and searched.spent < 0.5


def test_it_goes_on_where_cuts_are_close(cuts):
    asked = [sum(len(_search(cuts, _noisy(best, noise), 0.9)[1]) for best in (3, 5, 7)) for noise in (0.0, 0.1, 0.5)]
    assert asked[0] < asked[1] < asked[2]


def test_a_budget_that_binds_is_said(cuts):
    policy, answers, _ = _search(cuts, _noisy(0, 0.05), 0.1)
    assert policy.result(answers)[0].ended == SPENT


def test_the_full_budget_asks_all_where_noise_leaves_all_open(cuts):
    policy, answers, _ = _search(cuts, _noisy(4, 0.5), 1.0)
    assert policy.result(answers)[0].spent > 0.9


def test_it_is_a_function_of_the_answers_alone(cuts):
    """After any part of them, in a new process so to say, it goes on as it did."""
    questions = everything(cuts, [None], [0], RECIPE, as_folds(3))
    allowed = budgets(0.4, questions, _cost)
    policy, answers, rounds = _search(cuts, _noisy(5), 0.4)
    known = {}
    for asked in rounds:
        assert [question for question in Search(allowed, _worth)(known) if question not in known] == asked
        known |= {question: answers[question] for question in asked}
    assert Search(allowed, _worth).result(answers) == policy.result(answers)
    # What else is answered already changes nothing.
    others = {q: Answer(q, None, {"accuracy": 0.99}, 1.0) for q in questions if q not in answers}
    assert set(Search(allowed, _worth)(answers | others)) == set(answers)


def test_several_are_asked_at_once_of_different_cuts_or_folds(cuts):
    _, answers, rounds = _search(cuts, _noisy(5), 0.5, at_once=3)
    assert max(map(len, rounds[1:])) > 1 and len(set(answers)) == sum(map(len, rounds))


def test_each_size_has_its_own_search(cuts):
    policy, answers, _ = _search(cuts, lambda q: _noisy({4: 2, 8: 8}[q.per_class])(q), 0.3, sizes=(4, 8))
    alone = {size: _search(cuts, _noisy(best), 0.3, sizes=(size,))[1] for size, best in ((4, 2), (8, 8))}
    assert set(answers) == set(alone[4]) | set(alone[8])
    assert [each.per_class for each in policy.result(answers)] == [4, 8]


def test_diverged_trainings_are_left_behind(cuts):
    policy, answers, _ = _search(cuts, lambda q: -np.inf if q.cut < 8 else 0.5 + 0.1 * (q.cut == 8), 0.5)
    assert {question.cut for question in answers} >= {8, 9}
    policy, answers, _ = _search(cuts, lambda q: -np.inf, 0.5)
    assert policy.result(answers)[0].ended == SPENT


def test_a_budget_of_time(cuts):
    questions = everything(cuts, [None], [0], RECIPE, as_folds(3))
    allowed = budgets(datetime.timedelta(seconds=30), questions, _cost)
    answers, rounds = _answers(policy := Search(allowed, _worth), _noisy(5))
    (searched,) = policy.result(answers)
    assert searched.unit == "seconds" and searched.spent == pytest.approx(sum(a.seconds for a in answers.values()))
    # Each takes a second and ten for the whole network: nothing is begun that would take longer than there is.
    assert searched.spent <= 30 and all(len(asked) == 1 for asked in rounds)


def test_what_a_trial_would_take_by_hand():
    """The cheapest took 5 s, mostly to compile; per operation the others took 2 and 3 more."""
    known = [(0.0, 6.0), (0.0, 5.0), (10.0, 25.0), (20.0, 65.0)]
    assert seconds_for(100, known) == 5 + 2 * 100 and seconds_for(0, known) == 5
    assert seconds_for(100, known[:2]) == 5 and seconds_for(100, []) == 0
    # One that was no slower than the cheapest tells nothing.
    assert seconds_for(100, [*known, (50.0, 4.0)]) == 205


@pytest.mark.parametrize("budget", [0, -0.1, np.nan, np.inf, True, "0.25", None, datetime.timedelta(0)])
def test_a_budget_that_is_none(cuts, budget):
    with pytest.raises(
        ValueError, match=r"`budget` must be a positive share .* a datetime\.timedelta\. Received: budget="
    ):
        budgets(budget, everything(cuts, [None], [0], RECIPE), _cost)


def test_a_budget_beyond_the_full_profile_or_below_the_cheapest(cuts):
    questions = everything(cuts[:5], [None], [0], RECIPE)
    with pytest.raises(ValueError, match=r"`budget` must be at most 1, .* datetime\.timedelta\(minutes=10\)"):
        budgets(60, questions, _cost)
    # Of shares 1, 1/2 … 1/16 the last is 1/31 of all.
    with pytest.raises(ValueError, match=r"at least 0\.032, the share of its cheapest question \(cut 4, all images"):
        budgets(0.03, questions, _cost)


@pytest.fixture(scope="module")
def searched(tapering, easy):
    return kdefrost.Defroster(tapering, recipe=RECIPE).search(easy["train"], folds=3, budget=0.3, verbose=False)


def test_a_real_search_is_a_part_of_the_profile_and_goes_on_after_an_interruption(tapering, easy, searched, tmp_path):
    whole = kdefrost.Defroster(tapering, recipe=RECIPE).profile(easy["train"], folds=3, verbose=False)
    mine, all_of_them = searched.scores(on="validation"), whole.scores(on="validation")
    tried = np.isfinite(mine)
    assert tried.any() and not tried.all()
    # A cut's tail may have been compiled anew between two folds, which changes nothing.
    np.testing.assert_array_equal(mine[tried], all_of_them[: len(mine)][tried])
    stopped = kdefrost.Defroster(tapering, recipe=RECIPE, directory=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        count = []

        def keep(store, answer, original=kdefrost.trials.store.Store.keep):
            original(store, answer)
            count.append(answer)
            if len(count) == 5:
                raise KeyboardInterrupt

        patch.setattr(kdefrost.trials.store.Store, "keep", keep)
        with pytest.raises(KeyboardInterrupt):
            stopped.search(easy["train"], folds=3, budget=0.3, verbose=False)
    again = kdefrost.Defroster(tapering, recipe=RECIPE, directory=tmp_path)
    resumed = again.search(easy["train"], folds=3, budget=0.3, verbose=False)
    np.testing.assert_array_equal(resumed.scores(on="validation"), mine)
    assert resumed.searched == searched.searched
    assert again.best_model(resumed, verbose=False).output_shape == (None, 3)
    resumed.save(tmp_path / "search.json")
    assert kdefrost.DefrostProfile.load(tmp_path / "search.json") == resumed


def test_a_search_of_seeds_with_validation_gives_the_best_model(tapering, easy):
    defroster = kdefrost.Defroster(tapering, recipe=RECIPE)
    train = easy["train"]
    profile = defroster.search(train, validation=easy["test"], per_class=[4, 8], seeds=2, budget=0.4, verbose=False)
    assert [each.per_class for each in profile.searched] == [4, 8]
    for size in (4, 8):
        model = defroster.best_model(profile, size, verbose=False)
        accuracy = np.mean(model.predict(easy["test"][0], verbose=0).argmax(axis=1) == easy["test"][1])
        assert accuracy == pytest.approx(profile.best_trial(size).validation["accuracy"])


def test_what_a_search_says(searched):
    text = searched.summary()
    assert "of the full profile's training, of 30 % allowed" in text and "curve" in text.splitlines()[2]
    assert np.isnan(searched.mean(on="validation")).any() and "not tried: at the cost of" in text
    assert searched.plot().collections


def test_features_of_two_bytes_are_led_past_no_cut_at_which_a_profile_rounds_them(small, easy, monkeypatch):
    held = []
    monkeypatch.setattr(HeldFeatures, "lead", lambda *_: held.append(True))
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], feature_dtype="float16")
    defroster.search(easy["train"], folds=3, budget=0.7, verbose=False)
    assert not held


def test_a_plan_refuses_the_budget_that_the_search_would(small, easy):
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[0, 1, 2])
    with pytest.raises(ValueError, match=r"`budget` must be at least .*, the share of its cheapest question"):
        defroster.plan(easy["train"], folds=3, budget=1e-9, verbose=False)
    assert len(defroster.plan(easy["train"], folds=3, budget=0.5, verbose=False).questions) == 9
