"""The tails of the best trials: kept, found again, and as good as none where they are damaged."""

import contextlib
import dataclasses
import json
import warnings

import numpy as np
import pytest
from conftest import FUZZED, RECIPE, damaged
from hypothesis import given

import kdefrost
from kdefrost.profile.best_tails import BestTails, _Tail, same_scores
from kdefrost.profile.result import Trial
from kdefrost.trials import engine
from kdefrost.trials.question import Answer, Question

QUESTION = Question(0, 0, 4, 0, RECIPE)
TRIALS = [
    Trial(cut=0, per_class=4, seed=seed, test={"accuracy": 0.5}, validation=None, seconds=1.0) for seed in range(2)
]


def test_a_damaged_tail_is_as_good_as_none(tmp_path):
    tails = BestTails(tmp_path)
    tails._keep(_Tail(QUESTION.address, TRIALS[0], [np.ones(3)]))
    np.testing.assert_array_equal(BestTails(tmp_path).find(QUESTION, TRIALS[0]), [np.ones(3)])
    assert BestTails(tmp_path).find(QUESTION, TRIALS[1]) is None
    # Cuts of blocks and of layers are counted apart: the same numbers, and another place.
    assert BestTails(tmp_path).find(dataclasses.replace(QUESTION, frozen_layers=1), TRIALS[0]) is None
    for content in (b"", b"half a file", (tmp_path / "tail-4.npz").read_bytes()[:-40]):
        (tmp_path / "tail-4.npz").write_bytes(content)
        with pytest.warns(
            UserWarning, match=r"tail-4\.npz is damaged \(.*The tail is trained again; what was there is"
        ):
            assert BestTails(tmp_path).find(QUESTION, TRIALS[0]) is None
        assert [path.name for path in tmp_path.iterdir()] == ["tail-4.npz.damaged"]


def test_a_tail_with_any_damage_is_right_or_set_aside(tmp_path):
    tails, path, weights = BestTails(tmp_path), tmp_path / "tail-4.npz", [np.ones((3, 2), "float32"), np.array(0.5)]
    tails._keep(_Tail(QUESTION.address, TRIALS[0], weights))
    whole, outcomes = path.read_bytes(), {"right": 0, "set aside": 0, "of another version": 0}

    @FUZZED
    @given(damaged(whole))
    def read(content):
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = BestTails(tmp_path).find(QUESTION, TRIALS[0])
        if found is not None:
            assert [array.tolist() for array in found] == [array.tolist() for array in weights]
        aside = "set aside" if not path.exists() else "of another version"
        outcomes[aside if found is None else "right"] += 1

    read()
    print(outcomes)
    assert min(outcomes["right"], outcomes["set aside"]) > 50


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError("Unable to allocate 2 GiB")])
def test_a_whole_tail_that_cannot_be_read_now_is_left(error, tmp_path, monkeypatch):
    BestTails(tmp_path)._keep(_Tail(QUESTION.address, TRIALS[0], [np.ones(3)]))

    def load(_):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error), match=r"Permission|allocate"):
        patch.setattr(np, "load", load)
        BestTails(tmp_path).find(QUESTION, TRIALS[0])
    np.testing.assert_array_equal(BestTails(tmp_path).find(QUESTION, TRIALS[0]), [np.ones(3)])


def test_a_damaged_shape_that_no_memory_holds_is_damage(tmp_path):
    path = tmp_path / "tail-4.npz"
    BestTails(tmp_path)._keep(_Tail(QUESTION.address, TRIALS[0], [np.ones(1000)]))
    whole, more = path.read_bytes(), b"(10000000000000,), }"
    path.write_bytes(whole.replace(b"(1000,), }".ljust(len(more)), more))
    with pytest.raises(MemoryError), np.load(path) as file:
        file["w0"]
    with pytest.warns(UserWarning, match="tail-4.npz is damaged"):
        assert BestTails(tmp_path).find(QUESTION, TRIALS[0]) is None


def test_the_same_scores_are_the_same_even_where_they_are_no_numbers():
    odd = dataclasses.replace(TRIALS[0], test={"auc": float("nan")}, seconds=1.0)
    again = Trial(**json.loads(json.dumps(dataclasses.asdict(odd))))
    assert same_scores(odd, dataclasses.replace(again, seconds=2.0)) and not same_scores(odd, TRIALS[0])


class _MadeUp:
    """Ends trials in an order of its own, with scores of its own."""

    def __init__(self, scores):
        self.scores = scores

    def release(self):
        pass

    def run(self, assignments, on_progress):
        questions = {assignment.question.key: assignment.question for assignment in assignments}
        assert questions.keys() == self.scores.keys()
        for key, score in self.scores.items():
            yield Answer(questions[key], {"accuracy": score}, None, 1.0), [np.array(score)]


def test_the_best_tail_is_kept_in_whatever_order_trials_end(residual, easy, monkeypatch):
    # When cut 4 has been tried with both seeds, cut 2 has been with one, and leads.
    runner = _MadeUp({(2, 5, 0): 0.9, (4, 5, 0): 0.6, (4, 5, 1): 0.6, (2, 5, 1): 0.1})
    monkeypatch.setattr(engine, "make_executor", lambda *_: contextlib.nullcontext(runner))
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[2, 4])
    profile = defroster.profile(**easy, per_class=5, seeds=2, verbose=False)
    assert profile.best_cut(5).index == 4
    question = Question.at(profile.best_cut(5), 5, profile.best_trial(5).seed, RECIPE)
    assert defroster._best_tails.find(question, profile.best_trial(5)) == [np.array(0.6)]


def test_a_tail_that_was_lost_is_kept_again_once_it_is_trained_again(small, easy, tmp_path, monkeypatch):
    def run():
        defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[1, 2], directory=tmp_path)
        return defroster, defroster.profile(**easy, per_class=5, seeds=1, verbose=False)

    run()
    (tmp_path / "tail-5.npz").unlink()
    defroster, profile = run()
    model = defroster.best_model(profile, verbose=False)
    defroster, profile = run()
    monkeypatch.setattr(engine, "make_executor", None)
    again = defroster.best_model(profile, verbose=False)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
