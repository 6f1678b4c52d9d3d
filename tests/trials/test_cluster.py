"""Trials on a Ray cluster: the scores of one process, whatever dies meanwhile, and errors that say what happened."""

import contextlib
import importlib
import os
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import RECIPE, load_script, scores_of

import kdefrost
from kdefrost.trials import engine, executors
from kdefrost.trials.store import read_answers

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: pip install '.[cluster]'")
ray = pytest.importorskip("ray")

from kdefrost.trials import nodes  # noqa: E402
from kdefrost.trials.cluster import Cluster  # noqa: E402
from kdefrost.trials.seats import Seats  # noqa: E402
from scripts.benches.faults import kill_node, kill_worker  # noqa: E402

# A loss by which trials of more than two images a class fail; workers import it, as they would a user's own module.
FRAGILE = """
import keras, tensorflow as tf

def fragile(labels, outputs):
    tf.debugging.assert_less(tf.shape(outputs)[0], 7, "seven images or more")
    return keras.losses.sparse_categorical_crossentropy(labels, outputs)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A folder in which all nodes look for modules."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "fragile.py").write_text(FRAGILE)
    return folder


@pytest.fixture(scope="module")
def node(modules):
    """What a node has: a core, a folder of modules, and workers that need not wait for what else the machine does."""
    return {"num_cpus": 1, "env_vars": {"PYTHONPATH": str(modules), "RAY_worker_niceness": "0"}}


@pytest.fixture(scope="module")
def cluster(node):
    """Two such nodes on this machine, to which this process is connected."""
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
    made.add_node(**node)
    ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def seats(cluster):
    """Workers that serve one profile after another, as they serve the steps of one, because they take long to start."""
    with executors.staff(None, "auto") as seats:
        yield seats


@pytest.fixture
def staffed(seats, monkeypatch):
    monkeypatch.setattr(engine, "staff", lambda *_: contextlib.nullcontext(seats))


@pytest.fixture
def fragile(modules, monkeypatch):
    monkeypatch.syspath_prepend(modules)
    return importlib.import_module("fragile").fragile


def _profile(source, easy, directory=None, executor="ray", seeds=2, **options):
    asked = {"jobs": options.pop("jobs", None), "per_class": options.pop("per_class", [2, 5]), "verbose": False}
    options = {"recipe": RECIPE, "cuts": [1, 2], "directory": directory, "executor": executor, **options}
    return kdefrost.Defroster(source, **options).profile(**easy, **asked, seeds=seeds)


@pytest.fixture(scope="module")
def alone(small, easy):
    """The profile as one other process runs it, on one thread as all that are side by side."""
    return _profile(small, easy, executor=None, jobs=1, seeds=6)


def test_no_answer_is_lost_or_another_whatever_dies(staffed, cluster, node, small, easy, alone, tmp_path, monkeypatch):
    """A worker and then a node are killed, and another node joins: the scores are those of one process."""
    taken, ended = Cluster._taken, []

    def disturbed(self, reference):
        ended.append(reference)
        if len(ended) == 4:
            kill_worker(cluster)
        if len(ended) == 10:
            kill_node(cluster, **node)
        yield from taken(self, reference)

    monkeypatch.setattr(Cluster, "_taken", disturbed)
    profile = _profile(small, easy, tmp_path, seeds=6)
    # Those that died came to an end elsewhere.
    assert len(ended) >= len(profile.trials) == 24
    assert scores_of(profile) == scores_of(alone)
    assert len(read_answers(tmp_path, {})) == 24
    monkeypatch.setattr(engine, "make_executor", None)
    assert scores_of(_profile(small, easy, tmp_path, seeds=6)) == scores_of(alone)


def test_a_trial_that_fails_twice_is_recorded_and_not_the_end(staffed, small, easy, fragile, tmp_path, capsys):
    profile = _profile(small, easy, tmp_path, seeds=1, cuts=[2], loss=fragile)
    assert np.isfinite(profile.scores(2, on="test")).all() and np.isnan(profile.scores(5, on="test")).all()
    failures = {question.per_class: answer.failure for question, answer in read_answers(tmp_path, {}).items()}
    assert failures.keys() == {2, 5} and failures[2] is None and "seven images or more" in failures[5]
    assert capsys.readouterr().out.count("failed 2 times, and has no score") == 1


def test_what_has_every_trial_fail_is_the_end(staffed, small, easy, fragile):
    with pytest.raises(tf.errors.InvalidArgumentError, match="seven images or more"):
        _profile(small, easy, per_class=5, seeds=1, cuts=[2], loss=fragile)


def test_a_node_with_another_version_is_refused(cluster, small, easy, monkeypatch):
    here = os.getpid()

    def installed():
        return {"kdefrost": "1" if os.getpid() == here else "2"}

    monkeypatch.setattr(nodes, "_what_tells_what_is_installed", lambda: installed)
    with pytest.raises(ValueError, match=r"A node of the cluster, .*, has kdefrost 2, here 1: .*Install the same"):
        _profile(small, easy)


def test_what_is_installed_is_told_by_its_code_too(monkeypatch):
    installed = nodes._what_tells_what_is_installed()
    assert re.fullmatch(r"\S+ \(code [0-9a-f]{8}\)", installed()["kdefrost"])
    assert installed()["tensorflow"] == tf.__version__
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert installed()["kdefrost"] == "not installed"


def test_an_address_at_which_nothing_answers_is_told(small, easy, monkeypatch):
    monkeypatch.setattr(nodes, "_PATIENCE", 0.5)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ConnectionError, match=r"No Ray cluster answers at 127\.0\.0\.1:9 within .*Give the HOST:PORT"):
        _profile(small, easy, executor="ray:127.0.0.1:9")
    with pytest.raises(ValueError, match=r"must name a cluster by the HOST:PORT .*Received: here"):
        _profile(small, easy, executor="ray:here")
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("Could not find any")))
    with pytest.raises(ConnectionError, match=r"could not join the Ray cluster \(Could not find any\)"):
        _profile(small, easy)


@pytest.mark.parametrize("recorded", ["file", "environment"])
def test_what_auto_finds_is_tried_too(small, easy, monkeypatch, tmp_path, recorded):
    """Ray remembers the last cluster of a machine in a file, even once it is gone."""
    monkeypatch.setattr(nodes, "_PATIENCE", 0.5)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray._private.services, "find_gcs_addresses", set)
    monkeypatch.setattr(ray, "init", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if recorded == "file":
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    else:
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"answers at 127\.0\.0\.1:9, the cluster of this machine by RAY_ADDRESS"):
        _profile(small, easy)


def _faulty(monkeypatch, alive: dict[str, int], faults: dict[str, Exception]) -> Seats:
    """Workers of a cluster that has nodes with so many cores, of which some have faults."""
    about = {node: {"Resources": {"CPU": cores}} for node, cores in alive.items()}
    monkeypatch.setattr(nodes, "alive", lambda: about)
    monkeypatch.setattr(nodes, "faults", lambda new: ((node, faults[node]) for node in sorted(new & faults.keys())))
    monkeypatch.setattr(Seats, "_start", lambda self, node, device: self._nodes.update({f"on {node}": node}))
    return Seats()


def test_a_node_that_does_not_answer_is_left_out_where_another_does(monkeypatch, capsys):
    seats = _faulty(monkeypatch, {"good": 1, "hung": 1}, {"hung": ChildProcessError("no answer")})
    assert not seats.has_idle() and seats.node_of("on good") == "good" and len(seats._nodes) == 1
    assert capsys.readouterr().out == "A node is left out. no answer\n"


def test_as_many_trials_run_at_once_as_there_are_devices_that_may_be_used(monkeypatch):
    seats = _faulty(monkeypatch, {"good": 2, "better": 3, "hung": 4}, {"hung": ChildProcessError("no answer")})
    assert seats.at_once == 9
    seats.has_idle()
    assert seats.at_once == 5 and Seats(4).at_once == 4


@pytest.mark.parametrize(
    ("alive", "faults", "told"),
    [
        ({"head": 0, "hung": 1}, {"hung": ChildProcessError("hung")}, "hung"),
        ({"a": 1, "b": 1}, {"a": ChildProcessError("first"), "b": ChildProcessError("second")}, "second"),
        ({"good": 1, "old": 1}, {"old": ValueError("another version")}, "another version"),
    ],
    ids=["no other has devices", "none answers", "another version"],
)
def test_nodes_that_end_the_run_at_its_start(monkeypatch, alive, faults, told):
    with pytest.raises((ChildProcessError, ValueError), match=told):
        _faulty(monkeypatch, alive, faults).has_idle()


def test_the_command_line_names_a_cluster_before_anything_is_trained(monkeypatch, capsys):
    monkeypatch.setattr(nodes, "_PATIENCE", 0.5)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    words = ["profile.py", "--src", "gm", "--tgt", "digits", "--preset", "smoke", "--cluster", "127.0.0.1:9"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        load_script("profile.py")()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: No Ray cluster answers at 127.0.0.1:9 ")


@pytest.mark.parametrize("executor", ["spark", "ray:", 1, True])
def test_executors_that_are_none_are_refused(small, executor):
    with pytest.raises(ValueError, match=r'`executor` must be "ray", "ray:HOST:PORT", or None'):
        kdefrost.Defroster(small, executor=executor)


def test_ray_that_is_not_installed_is_told(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.actor", None)
    with pytest.raises(ImportError, match=r"pip install 'kdefrost\[cluster\]'"):
        kdefrost.Defroster(small, executor="ray")


def test_a_cluster_and_a_strategy_exclude_each_other(small, easy):
    with pytest.raises(ValueError, match="`executor` must be None under a distribution strategy"):
        _profile(small, easy, strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
