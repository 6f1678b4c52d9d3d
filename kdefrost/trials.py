"""Trials, the log that keeps each one on disk as it ends, and the tails of the best."""

import dataclasses
import json
import os
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np

_CONFIGURATION, _TRIALS = "configuration.json", "trials.jsonl"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of one tail.

    Attributes:
        cut: Index of the cut.
        per_class: Number of training examples per class.
        seed: Seed of the subset, the initialisation and the order.
        test: Scores on the test set by metric, `None` without one.
        validation: Scores on the validation set by metric, `None` without one.
        seconds: Time that training and evaluation took; the first trial of a cut in a run
            also compiles its tail.
    """

    cut: int
    per_class: int
    seed: int
    test: dict[str, float] | None
    validation: dict[str, float] | None
    seconds: float

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells trials of one profile apart."""
        return self.cut, self.per_class, self.seed


class TrialLog:
    """A folder that holds the trials of one configuration, written as they end.

    Args:
        directory: The folder; it is made when it does not exist. `None` keeps nothing.
        configuration: All that the scores depend on and that one folder must not mix.
        kind: The class of the trials, of fields that JSON can hold and a `key`.

    Raises:
        ValueError: If the folder holds trials of another configuration, or a damaged log.
    """

    def __init__(self, directory: str | os.PathLike | None, configuration: dict, kind: type = Trial):
        self.directory = None if directory is None else Path(directory)
        self.configuration = json.loads(json.dumps(configuration))
        self.finished: dict[tuple, kind] = {}
        if self.directory is None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._check_configuration()
        self.finished = read_trials(self.directory, kind)
        if self._path.exists():
            _drop_half_line(self._path)

    def append(self, trial: Trial):
        """Keeps a finished trial, on disk before this returns."""
        self.finished[trial.key] = trial
        if self.directory is None:
            return
        with self._path.open("a") as log:
            log.write(json.dumps(dataclasses.asdict(trial)) + "\n")
            log.flush()
            os.fsync(log.fileno())

    @property
    def _path(self) -> Path:
        return self.directory / _TRIALS

    def _check_configuration(self):
        if not check_configuration(self.directory, self.configuration):
            text = json.dumps({**self.configuration, "versions": versions()}, indent=2) + "\n"
            write_atomically(self.directory / _CONFIGURATION, text)


def check_configuration(directory: Path, configuration: dict) -> bool:
    """Checks that the trials of a folder, if there are any, are of a configuration.

    Args:
        directory: The folder, which need not exist.
        configuration: All that the scores depend on, as JSON has it.

    Returns:
        Whether there are trials.

    Raises:
        ValueError: If they are of another one.
    """
    path, trials = directory / _CONFIGURATION, directory / _TRIALS
    if not trials.exists() or trials.stat().st_size == 0:
        return False
    if not path.exists():
        raise ValueError(f"{trials} has no {_CONFIGURATION} beside it; choose another folder.")
    kept = read_json(path)
    different = [name for name, value in configuration.items() if kept.get(name) != value]
    if different:
        changes = "; ".join(_change(name, kept.get(name), configuration[name]) for name in different)
        raise ValueError(
            f"The folder {directory} holds results of another configuration ({changes}). Choose another folder, or "
            "delete this one."
        )
    return True


def _change(name: str, kept, now) -> str:
    """What differs, of settings with names those alone that do."""
    if isinstance(kept, dict) and isinstance(now, dict):
        names = [key for key in now if kept.get(key) != now[key]] or [key for key in kept if key not in now]
        return ", ".join(_change(f"{name} {key}", kept.get(key), now.get(key)) for key in names)
    return f"{name} was {kept!r}, now {now!r}"


class TailStore:
    """The trained tails of the best trials, one for each size of the training set.

    Args:
        directory: Folder in which they are kept too; `None` keeps them in memory alone.
    """

    def __init__(self, directory: str | os.PathLike | None):
        self.directory = None if directory is None else Path(directory)
        self._kept: dict[int, tuple[Trial, list[np.ndarray]]] = {}
        self._candidates: dict[tuple[int, int], tuple[Trial, list[np.ndarray]]] = {}

    def offer(self, trial: Trial, weights: list[np.ndarray], profile, complete: bool):
        """Keeps the weights of a trial that has just ended, if it is the best.

        Args:
            trial: The trial.
            weights: Those of its tail.
            profile: The `DefrostProfile` of the trials so far at this cut and size, and at those
                that have been tried with all seeds.
            complete: Whether its cut has now been tried with all seeds at its size. Only
                then is the cut compared with the others.
        """
        group = trial.cut, trial.per_class
        if group not in self._candidates or profile.is_better(trial, self._candidates[group][0]):
            self._candidates[group] = trial, weights
        if complete:
            candidate, weights = self._candidates.pop(group)
            if profile.is_scored(trial.per_class) and profile.best_trial(trial.per_class).key == candidate.key:
                self._keep(candidate, weights)

    def find(self, trial: Trial) -> list[np.ndarray] | None:
        """The weights of a trial's tail, `None` where they are not kept."""
        kept, weights = self._kept.get(trial.per_class) or self._read(trial.per_class) or (None, None)
        return weights if kept is not None and same_scores(kept, trial) else None

    def _keep(self, trial: Trial, weights: list[np.ndarray]):
        self._kept[trial.per_class] = trial, weights
        if self.directory is None:
            return
        path = self._path(trial.per_class)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        with beside.open("wb") as file:
            arrays = {f"w{number}": array for number, array in enumerate(weights)}
            np.savez(file, trial=json.dumps(dataclasses.asdict(trial)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def _read(self, per_class: int) -> tuple[Trial, list[np.ndarray]] | None:
        if self.directory is None or not self._path(per_class).exists():
            return None
        try:
            with self._path(per_class).open("rb") as opened, np.load(opened) as file:
                return Trial(**json.loads(str(file["trial"]))), [file[f"w{i}"] for i in range(len(file.files) - 1)]
        # A damaged file ends in whatever zipfile, NumPy or json raises; its tail is trained again.
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def _path(self, per_class: int) -> Path:
        return self.directory / f"tail-{per_class}.npz"


def same_scores(one: Trial, other: Trial) -> bool:
    """Whether two trials are the same one with the same scores, whatever time they took."""
    # As text, because NaN is not equal to itself.
    texts = [json.dumps(dataclasses.asdict(dataclasses.replace(trial, seconds=0.0))) for trial in (one, other)]
    return texts[0] == texts[1]


def read_trials(directory: Path, kind: type = Trial) -> dict[tuple, Trial]:
    """Reads the finished trials of a folder.

    Args:
        directory: The folder of a `TrialLog`, which need not exist.
        kind: The class of the trials.

    Returns:
        The trials by their key. A line without its end was being written when the process
        died; it is left out.

    Raises:
        ValueError: If the log is damaged.
    """
    path = directory / _TRIALS
    if not path.exists():
        return {}
    finished = {}
    for number, line in enumerate(path.read_text().split("\n")[:-1], start=1):
        try:
            trial = kind(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(f"Line {number} of {path} is damaged ({error}); remove it.") from error
        finished[trial.key] = trial
    return finished


def _drop_half_line(path: Path):
    """Cuts off what follows the last line end, in place: no finished trial is written again."""
    whole = path.read_bytes()
    os.truncate(path, whole.rfind(b"\n") + 1)


def read_json(path: Path) -> dict:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it, or choose another folder.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object. Delete it, or choose another folder.")
    return values


def write_atomically(path: Path, text: str):
    """Writes a file so that it is there whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that scores depend on."""
    packages = ("tensorflow", "keras", "numpy")
    return {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}}
