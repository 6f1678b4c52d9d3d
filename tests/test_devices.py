"""Work that is spread over the replicas of a distribution strategy."""

import numpy as np
import pytest
import tensorflow as tf

from kdefrost import representations
from kdefrost.devices import spread
from kdefrost.similarity import compare


def _where(values):
    """Who computes, and the sum."""
    return {"replica": tf.distribute.get_replica_context().replica_id_in_sync_group, "sum": tf.reduce_sum(values)}


def _strategy():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def test_tasks_go_to_the_replicas_in_turn_and_come_back_in_order():
    tasks = [(np.full(size, 1.0),) for size in (5, 3, 4, 1, 2)]
    results = list(spread(_where, _strategy())(tasks))
    assert [int(result["sum"]) for result in results] == [5, 3, 4, 1, 2]
    assert [int(result["replica"]) for result in results] == [0, 1, 0, 1, 0]


def test_without_a_strategy_all_is_done_on_one_device():
    results = list(spread(_where)([(np.ones(2),)] * 3))
    assert [int(result["replica"]) for result in results] == [0, 0, 0]


def test_tasks_are_drawn_as_they_are_needed():
    drawn = []
    tasks = ((drawn.append(number) or np.ones(1),) for number in range(6))
    results = spread(_where, _strategy())(tasks)
    next(results)
    assert drawn == [0, 1]


@pytest.mark.parametrize("scope", [True, False])
def test_comparing_uses_the_strategy(scope, monkeypatch):
    used = []
    strategy = _strategy()

    def noted(function, given=None):
        used.append(tf.distribute.get_strategy() if given is None else given)
        return spread(function, given)

    monkeypatch.setattr(representations, "spread", noted)
    x = np.random.default_rng(0).normal(size=(9, 3))
    if scope:
        with strategy.scope():
            compare(x, x, ["cka"])
    else:
        compare(x, x, ["cka"], strategy=strategy)
    assert used == [strategy]
