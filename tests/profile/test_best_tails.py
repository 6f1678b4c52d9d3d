"""The tails of the best trials: kept, found again, and as good as none where they are damaged."""

import dataclasses
import json

import numpy as np

from kdefrost.profile.best_tails import BestTails, same_scores
from kdefrost.profile.result import Trial

TRIALS = [
    Trial(cut=0, per_class=4, seed=seed, test={"accuracy": 0.5}, validation=None, seconds=1.0) for seed in range(2)
]


def test_a_damaged_tail_is_as_good_as_none(tmp_path):
    tails = BestTails(tmp_path)
    tails._keep(TRIALS[0], [np.ones(3)])
    np.testing.assert_array_equal(BestTails(tmp_path).find(TRIALS[0]), [np.ones(3)])
    assert BestTails(tmp_path).find(TRIALS[1]) is None
    for content in (b"", b"half a file", (tmp_path / "tail-4.npz").read_bytes()[:-40]):
        (tmp_path / "tail-4.npz").write_bytes(content)
        assert BestTails(tmp_path).find(TRIALS[0]) is None


def test_the_same_scores_are_the_same_even_where_they_are_no_numbers():
    odd = dataclasses.replace(TRIALS[0], test={"auc": float("nan")}, seconds=1.0)
    again = Trial(**json.loads(json.dumps(dataclasses.asdict(odd))))
    assert same_scores(odd, dataclasses.replace(again, seconds=2.0)) and not same_scores(odd, TRIALS[0])
