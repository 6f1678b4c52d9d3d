"""Devices by name, and work that is spread over the replicas of a distribution strategy."""

from contextlib import nullcontext
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdefrost
from kdefrost import training
from kdefrost.devices import check_training, check_workers, in_scope, in_use, spread, strategy_for
from kdefrost.similarity import representations
from kdefrost.similarity.comparing import compare


def _where(values):
    """Who computes, and the sum."""
    return {"replica": tf.distribute.get_replica_context().replica_id_in_sync_group, "sum": tf.reduce_sum(values)}


def test_tasks_go_to_the_replicas_in_turn_and_come_back_in_order(two_devices):
    tasks = [(np.full(size, 1.0),) for size in (5, 3, 4, 1, 2)]
    results = list(spread(_where, two_devices)(tasks))
    assert [int(result["sum"]) for result in results] == [5, 3, 4, 1, 2]
    assert [int(result["replica"]) for result in results] == [0, 1, 0, 1, 0]


def test_without_a_strategy_all_is_done_on_one_device():
    results = list(spread(_where)([(np.ones(2),)] * 3))
    assert [int(result["replica"]) for result in results] == [0, 0, 0]


def test_tasks_are_drawn_as_they_are_needed(two_devices):
    drawn = []
    tasks = ((drawn.append(number) or np.ones(1),) for number in range(6))
    results = spread(_where, two_devices)(tasks)
    next(results)
    assert drawn == [0, 1]


@pytest.mark.parametrize("scope", [True, False])
def test_comparing_uses_the_strategy(scope, monkeypatch, two_devices):
    used = []

    def noted(function, given=None):
        used.append(tf.distribute.get_strategy() if given is None else given)
        return spread(function, given)

    monkeypatch.setattr(representations, "spread", noted)
    x = np.random.default_rng(0).normal(size=(9, 3))
    if scope:
        with two_devices.scope():
            compare(x, x, ["cka"])
    else:
        compare(x, x, ["cka"], strategy=two_devices)
    assert used == [two_devices]


def test_names_of_devices_are_a_strategy_of_theirs():
    assert strategy_for(None) is None
    one, two = strategy_for(["CPU:1"]), strategy_for(["CPU:1", "CPU:0"])
    assert one.num_replicas_in_sync == 1 and two.num_replicas_in_sync == 2
    assert strategy_for(["CPU:1"]) is one and strategy_for(["CPU:1", "CPU:0"]) is two
    with one.scope():
        assert tf.Variable(1.0).device.endswith("CPU:1")
    with two.scope():
        assert [part.device[-5:] for part in two.experimental_local_results(tf.Variable(1.0))] == ["CPU:1", "CPU:0"]


@pytest.mark.parametrize("names", [["GPU:0"], ["CPU:0", "GPU:7"], ["all"], ["cpu"], ["CPU:0", "CPU:0"], []])
def test_devices_that_are_not_there_are_refused_with_those_that_are(names):
    with pytest.raises(
        ValueError, match=r"^The devices must be .*of CPU:0, CPU:1, which .*Received: " + " ".join(names)
    ):
        strategy_for(names)


def test_all_are_all_gpus(monkeypatch):
    there = [mock.Mock(), mock.Mock(), mock.Mock()]
    for device, name in zip(there, ["CPU:0", "GPU:0", "GPU:1"], strict=True):
        device.name = f"/device:{name}"
    made = mock.Mock()
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: there)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", made)
    assert strategy_for(["all"]) is made.return_value
    made.assert_called_once_with(("GPU:0", "GPU:1"))


def test_a_strategy_of_several_workers_is_refused():
    workers = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy, num_replicas_in_sync=2)
    for refusing in (in_use, in_scope, check_training, lambda strategy: spread(_where, strategy)):
        with pytest.raises(ValueError, match=r"`strategy` must be of one process, such as tf.distribute.Mirrored"):
            refusing(workers)


SEVERAL = ['{"cluster": {"worker": ["a:1", "b:1"]}}', '{"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {}}']
NONE = ["", "{", "[]", "3", "{}", '{"cluster": 3}', '{"cluster": {"worker": 1}}', '{"cluster": {"chief": ["a:1"]}}']


@pytest.mark.parametrize("named", SEVERAL + NONE)
def test_to_be_one_of_several_workers_is_refused(named, monkeypatch):
    check_workers()
    monkeypatch.setenv("TF_CONFIG", named)
    refused = pytest.raises(ValueError, match=r"TF_CONFIG must not name .*--cluster")
    with refused if named in SEVERAL else nullcontext():
        check_workers()


def test_training_under_a_second_strategy_of_several_replicas_is_refused(residual, two_devices):
    """TensorFlow would mix up the sums of the two: https://github.com/tensorflow/tensorflow/issues/62790."""
    kdefrost.Defroster(residual, strategy=two_devices)
    other = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with other.scope():
        model = keras.models.clone_model(residual)
    refused = pytest.raises(ValueError, match="the one of several replicas that this process trains under already")
    with refused:
        kdefrost.Defroster(residual, strategy=other)
    with refused:
        training.compile_model(model, kdefrost.PRESETS["smoke"].target)
    kdefrost.Defroster(residual, strategy=tf.distribute.MirroredStrategy(["CPU:1"]))


def test_without_a_strategy_the_scope_stays_as_it_is(two_devices):
    with two_devices.scope(), in_scope():
        assert in_use() is two_devices
    with in_scope(two_devices):
        assert in_use() is two_devices
    assert in_use().num_replicas_in_sync == 1
