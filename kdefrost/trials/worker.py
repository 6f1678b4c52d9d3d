"""What another process does: it takes settings, features and trials as they come."""

import dataclasses
import functools
import io
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import uuid
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from kdefrost.data.storage import DiskArray, collect
from kdefrost.devices import take_share
from kdefrost.trials.question import Answer
from kdefrost.trials.tails import Assignment, Setting, TailRunner


class Shared(NamedTuple):
    """An array that several processes read.

    Attributes:
        file: Its rows in a file.
        is_mapped: Whether it was in memory: then the processes have the file's pages in theirs, once for all.
    """

    file: DiskArray
    is_mapped: bool

    @classmethod
    def of(cls, array, directory) -> "Shared":
        """Shares an array, which is written to a file in a folder unless it is in one."""
        in_file = isinstance(array, DiskArray)
        return cls(array if in_file else collect(array, 0, directory), not in_file)

    def array(self):
        """The array, as another process has it."""
        return self.file.mapped() if self.is_mapped else self.file


class Worker:
    """What another process is: a runner, and the features that it has.

    Args:
        setup: What `packed` gave.

    Raises:
        ValueError: If the setting cannot be loaded here.
    """

    def __init__(self, setup: bytes):
        self._held, self._features = None, {}
        self._runner = TailRunner(_unpacked(setup))

    def answer(self, assignment: Assignment, report: Callable[[float], None]) -> tuple[Answer, list[np.ndarray]]:
        """Answers a question.

        Args:
            assignment: The question, with features whose `array()` gives them here.
            report: Called with the share of the training that is done.

        Returns:
            The answer, and the weights of its tail.
        """
        if assignment.held != self._held:
            # So that the old ones are gone before there are others.
            self._runner.release()
            self._features = {}
            self._features = {
                name: tuple(part.array() for part in parts) for name, parts in assignment.features.items()
            }
            self._held = assignment.held
        return self._runner.answer(assignment._replace(features=self._features), lambda _, share: report(share))


class Setup(NamedTuple):
    """A setting as several processes read it.

    Attributes:
        address: What tells it from others.
        packed: What `packed` gave, as an array of bytes.
    """

    address: str
    packed: Shared

    @classmethod
    def of(cls, packed: bytes, directory) -> "Setup":
        """Shares what `packed` gave, in a file in a folder."""
        return cls(uuid.uuid4().hex, Shared.of(np.frombuffer(packed, np.uint8), directory))


# Of a process that runs trials: its number, until it has taken its share of the devices, and what it reports in; and
# once it has a trial its `Worker`, with the setup's address.
_given: list = []
_worker: list[tuple[str, Worker]] = []


def begin(started, shares):
    """What a process does first; what can fail is left to its first trial, whose errors the pool brings back."""
    # Ctrl-C goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with started.get_lock():
        number = started.value
        started.value += 1
    _given.extend((number, shares))


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def answer(setup: Setup, assignment: Assignment, slot: int) -> tuple[Answer, list[np.ndarray]]:
    """What a process does for a trial."""
    number, shares = _given
    try:
        if number is not None:
            _take_share(number)
            _given[0] = None
        if not _worker or _worker[0][0] != setup.address:
            # So that the old one is gone before there is another.
            _worker.clear()
            _worker.append((setup.address, Worker(setup.packed.array().tobytes())))
        return _worker[0][1].answer(assignment, functools.partial(shares.__setitem__, slot))
    except Exception as error:
        raise sendable(error) from None


def _take_share(number: int):
    try:
        take_share(number)
    except RuntimeError as error:
        raise ValueError(
            "A script that gives `jobs` must have all that it does, making its source included, behind "
            f'`if __name__ == "__main__":`, which other processes that read the script leave out ({error}).'
        ) from error


def packed(setting: Setting, by: str) -> bytes:
    """Packs a setting for other processes.

    Args:
        setting: The setting.
        by: The argument that asks for other processes, of which errors speak.

    Returns:
        What `Setup.of` and `Worker` take.

    Raises:
        ValueError: If it cannot be sent.
    """
    source = setting.source
    # Without what it was compiled with, which no trial needs.
    bare = keras.Model(source.inputs, source.outputs, name=source.name)
    config = keras.config
    # What of Keras's settings a process must have to make the same tails.
    settings = {
        "floatx": config.floatx(),
        "image_data_format": config.image_data_format(),
        "dtype_policy": config.dtype_policy().name,
    }
    try:
        setup = pickle.dumps((by, settings)) + pickle.dumps(dataclasses.replace(setting, source=bare))
    # A layer, loss or metric of the user's own ends in whatever its `get_config` raises.
    except Exception as error:
        raise ValueError(
            f"With `{by}` the source, the output, the loss, the metrics and the callbacks are sent to other processes, "
            f"and one of them cannot be pickled ({type(error).__name__}: {error}): define functions in a module, or "
            f"leave `{by}` out."
        ) from error
    if any(getattr(layer, "lora_enabled", False) for layer in source._flatten_layers()):
        raise ValueError(
            f"With `{by}` the source is sent to other processes as Keras saves it, without the adapters of low rank "
            f"(LoRA) that it has: trials there would train something else. Leave `{by}` out."
        )
    return setup


def _unpacked(setup: bytes) -> Setting:
    # By itself, because what follows it may be what cannot be loaded.
    file = io.BytesIO(setup)
    by, settings = pickle.load(file)
    try:
        setting = pickle.load(file)
    # A class of the user's own ends in whatever its `from_config` raises.
    except Exception as error:
        raise ValueError(
            f"With `{by}` the source is sent to other processes, which cannot load it "
            f"({(str(error).strip() or type(error).__name__).splitlines()[0]}). Layers, losses and metrics of your own "
            "must be registered by keras.saving.register_keras_serializable in a module that is imported, or leave "
            f"`{by}` out."
        ) from error
    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)
    return setting


def sendable(error: Exception) -> Exception:
    """An error with where it happened, or what it says where it cannot be sent."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    # An error of the user's own code may be of any class.
    except Exception:
        return RuntimeError(traceback.format_exc())
    return error
