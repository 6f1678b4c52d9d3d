"""Trials in TensorBoard: each is a run of its HParams dashboard, with what was asked and the scores."""

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from kdefrost import fingerprint
from kdefrost.cutting.cut import Cut
from kdefrost.files import check_writable, clear_parts, file_name, part_of, writing
from kdefrost.trials.question import Answer, Question

# TensorBoard reads files whose names have its word in them, so that what is being written has another.
_FILE, _BEGUN = "events.out.tfevents.kdefrost", "begun"
# What the first record of such a file says.
_FORMAT = "brain.Event:2"


class Dashboard:
    """A folder of TensorBoard's, with a run for each trial.

    A run has a name that depends on the question and on what all have in common, and one file, which is there whole or
    not at all: whoever writes a trial again replaces it, and trials of several sources can share a folder.

    Args:
        directory: The folder, which is made where it does not exist.
        common: What all trials have in the columns of these names, such as the source's name.
        cuts: The cuts, by whose names layers are called.
        configuration: All that answers depend on beside their questions.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        common: Mapping[str, str | None],
        cuts: Sequence[Cut],
        configuration: Mapping,
    ):
        self._directory, self._common = Path(directory), common
        self._layers = {cut.index: cut.name for cut in cuts}
        self._configuration = fingerprint.of_settings(dict(configuration))

    def add(self, answers: Iterable[Answer]):
        """Writes the trials of those answers that have no run yet."""
        for answer in answers:
            if not self._path(answer.question).exists():
                self.write(answer)

    def write(self, answer: Answer):
        """Writes the trial that has just given an answer, in the place of one that asked the same."""
        path = self._path(answer.question)
        # Another process may write the same trial.
        begun = part_of(path.with_name(_BEGUN))
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_parts(path.parent)
        with writing(begun) as file:
            _write_events(file, path.parent.name, self.asked(answer.question), answer)
        begun.replace(path)

    def asked(self, question: Question) -> dict[str, str | float | bool]:
        """What a question asks, by the names of the dashboard's columns; what it leaves open is left out."""
        springs, fold = question.springs, question.fold
        # No more than these: at first TensorBoard shows five columns, of those in which trials differ.
        values = {
            **self._common,
            "cut": question.cut,
            "layer": self._layers.get(question.cut),
            "per_class": question.per_class,
            "seed": question.seed,
            "tail": question.tail,
            **dataclasses.asdict(question.recipe),
        }
        if fold is not None:
            values |= {"fold": fold.number + 1, "folds": fold.folds, "repeat": fold.repeat}
        if springs is not None:
            values |= {"held_layers": springs.layers, "held_normalization": springs.normalization}
            # TensorBoard has no column for infinity.
            values |= {"rigid": springs.are_rigid, "strength": None if springs.are_rigid else springs.strength}
        return {name: value for name, value in values.items() if value is not None}

    def _path(self, question: Question) -> Path:
        told_apart = fingerprint.of_settings({"configuration": self._configuration, "question": question.address})
        return self._directory / file_name(f"{question} {told_apart[:8]}") / _FILE


def check_dashboard(directory: str | os.PathLike | None):
    """Refuses a folder for TensorBoard in which nothing can be written.

    Args:
        directory: The folder, or `None`.

    Raises:
        ValueError: If it is no folder, or cannot be made or written in.
    """
    if directory is not None:
        check_writable(directory, "tensorboard", "--tensorboard")


def _write_events(file: BinaryIO, name: str, asked: Mapping[str, str | float | bool], answer: Answer):
    """Writes a trial as TensorBoard reads it."""
    # What takes a third of a second to import, where it is needed.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.api import hparams_pb
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.summary import session_end_pb
    from tensorboard.plugins.scalar.summary import scalar_pb
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    status = STATUS_SUCCESS if answer.failure is None else STATUS_FAILURE
    summaries = [
        # By the name, so that no two trials are taken for repeats of one.
        hparams_pb(asked, trial_id=name, start_time_secs=now - answer.seconds),
        *(scalar_pb(tag, value) for tag, value in _scores(answer).items()),
        session_end_pb(status, now),
    ]
    records = RecordWriter(file)
    records.write(Event(wall_time=now, file_version=_FORMAT).SerializeToString())
    for summary in summaries:
        event = Event(wall_time=now)
        # By its bytes: of some summaries the class is TensorFlow's, of others TensorBoard's.
        event.summary.MergeFromString(summary.SerializeToString())
        records.write(event.SerializeToString())


def _scores(answer: Answer) -> dict[str, float]:
    """What came of a trial, by the names of the dashboard's columns."""
    sets = {"test": answer.test, "validation": answer.validation}
    scores = {f"{on}/{name}": value for on, given in sets.items() for name, value in (given or {}).items()}
    return {**scores, "seconds": answer.seconds}
