"""Trials in TensorBoard, read back by TensorBoard's own readers."""

import contextlib
import dataclasses
import math
import os

import pytest
from conftest import RECIPE, tiny
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

import kdefrost
from kdefrost.files import writing
from kdefrost.trials import dashboard, engine
from kdefrost.trials.dashboard import Dashboard
from kdefrost.trials.question import Answer, Fold, Question, Springs
from kdefrost.trials.store import Store

QUESTION = Question(2, 5, 16, 0, RECIPE)
ANSWER = Answer(QUESTION, {"accuracy": 0.5, "auc": 0.25}, {"accuracy": 0.75, "auc": math.nan}, 2.0)


def _dashboard(directory, **configuration):
    return Dashboard(directory, {"source": "net"}, [], configuration)


def read(directory) -> dict[str, tuple[dict, dict, int]]:
    """What the dashboard's table shows: by trial, what was asked, the scores, and the status."""
    runs = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(directory)).Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(directory))
    reading = backend_context.Context(TBContext(data_provider=provider)), ""
    columns = get_experiment.Handler(context.RequestContext(), *reading, api_pb2.GetExperimentRequest()).run()
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=api_pb2.Status.values(),
        col_params=[api_pb2.ColParams(metric=metric.name) for metric in columns.metric_infos],
    )
    groups = list_session_groups.Handler(context.RequestContext(), *reading, asked).run().session_groups
    assert all([session.name for session in group.sessions] == [group.name] for group in groups)
    return {
        group.name: (
            {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()},
            {score.name.tag: score.value for score in group.metric_values},
            group.sessions[0].status,
        )
        for group in groups
    }


def test_a_trial_is_a_row_with_what_was_asked_and_its_scores(tmp_path):
    cut = kdefrost.cut_points(tiny(1, 1, 3, (8, 8, 1)))[2]
    Dashboard(tmp_path / "new" / "board", {"source": "net"}, [cut], {}).write(ANSWER)
    ((name, (asked, scores, status)),) = read(tmp_path / "new" / "board").items()
    assert name.startswith("cut 2, 16 per class, seed 0 ")
    assert asked.pop("layer") == cut.name
    recipe = dataclasses.asdict(RECIPE)
    assert asked == {"source": "net", "cut": 2, "per_class": 16, "seed": 0, "tail": "new", **recipe}
    assert math.isnan(scores.pop("validation/auc")) and status == api_pb2.STATUS_SUCCESS
    assert scores == {"test/accuracy": 0.5, "test/auc": 0.25, "validation/accuracy": 0.75, "seconds": 2.0}


def test_folds_springs_and_open_sizes_have_columns_of_their_own(tmp_path):
    asked = _dashboard(tmp_path).asked
    assert asked(QUESTION).keys().isdisjoint({"fold", "strength", "layer"})
    assert "per_class" not in asked(dataclasses.replace(QUESTION, per_class=None))
    folded = asked(dataclasses.replace(QUESTION, fold=Fold(1, 3)))
    assert (folded["fold"], folded["folds"], folded["repeat"]) == (2, 3, 0)
    for strength in (0.1, math.inf):
        springs = dataclasses.replace(QUESTION, springs=Springs(4, strength))
        _dashboard(tmp_path).write(Answer(springs, None, {"accuracy": 0.5}, 1.0))
        (shown,) = (shown for shown, *_ in read(tmp_path).values() if shown["rigid"] == math.isinf(strength))
        assert shown["held_layers"] == 4 and not shown["held_normalization"] and shown == asked(springs)
        assert shown.get("strength", math.inf) == strength
    assert all(scores == {"validation/accuracy": 0.5, "seconds": 1.0} for _, scores, _ in read(tmp_path).values())


def test_one_question_is_one_run_and_others_are_others(tmp_path):
    failed = dataclasses.replace(ANSWER, test={"accuracy": math.nan}, failure="Its worker died twice.")
    _dashboard(tmp_path).write(failed)
    (status,) = (status for *_, status in read(tmp_path).values())
    assert status == api_pb2.STATUS_FAILURE
    # Asked again, it takes the place of the one that failed; one that is there is left.
    _dashboard(tmp_path).write(ANSWER)
    _dashboard(tmp_path).add([failed])
    ((name, (_, scores, status)),) = read(tmp_path).items()
    assert scores["test/accuracy"] == 0.5 and status == api_pb2.STATUS_SUCCESS
    events = EventAccumulator(str(tmp_path / name)).Reload()
    assert {tag: len(events.Tensors(tag)) for tag in events.Tags()["tensors"]}.pop("test/accuracy") == 1
    # Another source, and another question of the same cut, size and seed.
    _dashboard(tmp_path, source="another").write(ANSWER)
    other = dataclasses.replace(QUESTION, tail="pretrained")
    _dashboard(tmp_path).write(dataclasses.replace(ANSWER, question=other))
    assert len(read(tmp_path)) == 3 == len(os.listdir(tmp_path))


def test_what_is_being_written_is_not_read(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(read(tmp_path)))
    _dashboard(tmp_path).write(ANSWER)
    assert seen == [{}] and len(read(tmp_path)) == 1 == len(list(tmp_path.glob("*/*")))


def test_two_processes_can_write_one_trial_at_a_time(tmp_path, monkeypatch):
    board = _dashboard(tmp_path)

    @contextlib.contextmanager
    def beside_another(path):
        with writing(path) as file:
            yield file
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", os.getppid)
            other.setattr(dashboard, "writing", writing)
            board.write(ANSWER)

    monkeypatch.setattr(dashboard, "writing", beside_another)
    board.write(ANSWER)
    assert len(read(tmp_path)) == 1 and [path.name for path in tmp_path.glob("*/*")] == [dashboard._FILE]


@pytest.fixture
def run(small, easy, tmp_path):
    """Runs a profile of two cuts, which shows its trials."""

    def run(seeds, board="board", **options):
        given = {"recipe": RECIPE, "cuts": [1, 2], "directory": tmp_path / "run", "tensorboard": tmp_path / board}
        defroster = kdefrost.Defroster(small, **{**given, **options})
        return defroster.profile(**easy, per_class=5, seeds=seeds, verbose=False)

    return run


def test_a_profile_that_goes_on_shows_each_trial_once(run, tmp_path, monkeypatch):
    first = run(1)
    shown = read(tmp_path / "board")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "board").glob("*/*")}
    profile = run(2)
    assert read(tmp_path / "board").items() >= shown.items() and len(shown) == len(first.trials) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    rows = {(int(asked["cut"]), int(asked["seed"])): scores for asked, scores, _ in read(tmp_path / "board").values()}
    assert rows.keys() == {(trial.cut, trial.seed) for trial in profile.trials}
    (shown, *_), *_ = read(tmp_path / "board").values()
    assert shown["source"] == profile.configuration["source_name"] and shown["directory"] == str(tmp_path / "run")
    for trial in profile.trials:
        # TensorBoard's scores are float32.
        expected = {f"test/{name}": pytest.approx(value, rel=1e-6) for name, value in trial.test.items()}
        assert rows[trial.cut, trial.seed].items() >= expected.items()
    # All of them are remembered, and shown where none was.
    monkeypatch.setattr(engine, "make_executor", None)
    run(2, "other")
    assert read(tmp_path / "other").keys() == read(tmp_path / "board").keys()


def test_trials_that_another_process_ends_are_shown_too(run, tmp_path, monkeypatch):
    run(1, tensorboard=None)
    assert not (tmp_path / "board").exists()
    looks, known = iter([{}]), Store.answers.fget
    monkeypatch.setattr(engine, "make_executor", None)
    # At the first look there is none.
    monkeypatch.setattr(Store, "answers", property(lambda self: next(looks, known(self))))
    run(1)
    assert len(read(tmp_path / "board")) == 2
