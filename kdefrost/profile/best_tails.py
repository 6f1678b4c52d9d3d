"""The trained tails of the best trials, one for each size of the training set."""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdefrost.arguments import as_path
from kdefrost.files import converted, set_aside, writing
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.trial import Trial
from kdefrost.trials.question import Answer, Question


class BestTails:
    """Keeps the tails of the best trials.

    Args:
        directory: Folder in which they are kept too; `None` keeps them in memory alone.
    """

    def __init__(self, directory: str | os.PathLike | None):
        self.directory = None if directory is None else as_path("directory", directory)
        self._kept: dict[int | None, _Tail] = {}
        self._candidates: dict[tuple[int, int | None], _Tail] = {}
        self._asked: Sequence[Question] | None = None
        self._groups: dict[int | None, dict[int, list[Question]]] = {}

    def offer(self, answer: Answer, weights: list[np.ndarray], profile: DefrostProfile):
        """Takes the weights of a trial that has just ended, if it is the best of its cut and size so far.

        Args:
            answer: What the trial answered.
            weights: Those of its tail.
            profile: A profile with the trial, for what is better.
        """
        # What came to no end has no tail.
        if answer.failure is not None:
            return
        tail = _Tail(answer.question.address, Trial.of(answer), weights)
        group = tail.trial.cut, tail.trial.per_class
        if group not in self._candidates or profile.is_better(tail.trial, self._candidates[group].trial):
            self._candidates[group] = tail

    def settle(
        self,
        questions: Sequence[Question],
        answers: Mapping[Question, Answer],
        profile_of: Callable[[Sequence[Question]], DefrostProfile],
    ):
        """Keeps what was offered and is the best of its size, of those cuts that have been tried with all seeds.

        Only these are compared; the others wait, because side by side trials of a cut may end before all of the cut
        before have.

        Args:
            questions: All that is asked.
            answers: The answers so far.
            profile_of: Gives the profile of some questions that are answered.
        """
        of_size = self._grouped(questions)

        def is_complete(cut: int, size: int | None) -> bool:
            return all(question in answers for question in of_size[size][cut])

        for cut, size in [group for group in self._candidates if is_complete(*group)]:
            tail = self._candidates.pop((cut, size))
            profile = profile_of([q for each, mine in of_size[size].items() if is_complete(each, size) for q in mine])
            if profile.is_scored(size) and profile.best_trial(size).key == tail.trial.key:
                self._keep(tail)

    def _grouped(self, questions: Sequence[Question]) -> dict[int | None, dict[int, list[Question]]]:
        """Questions by size and cut; grouped once where all are asked at once, which may be very many."""
        if questions is not self._asked:
            self._asked, self._groups = questions, {}
            for question in questions:
                of_cut = self._groups.setdefault(question.per_class, {})
                of_cut.setdefault(question.cut, []).append(question)
        return self._groups

    def keep(self, answer: Answer, weights: list[np.ndarray]):
        """Keeps the weights of a trial, as those of its size."""
        self._keep(_Tail(answer.question.address, Trial.of(answer), weights))

    def find(self, question: Question, trial: Trial | None = None) -> list[np.ndarray] | None:
        """The weights of the tail that answered a question, `None` where they are not kept, or are another trial's."""
        kept = self._kept.get(question.per_class) or self._read(question.per_class)
        if kept is None or kept.address != question.address:
            return None
        return kept.weights if trial is None or same_scores(kept.trial, trial) else None

    def _keep(self, tail: "_Tail"):
        self._kept[tail.trial.per_class] = tail
        if self.directory is None:
            return
        with writing(self._path(tail.trial.per_class)) as file:
            arrays = {f"w{number}": array for number, array in enumerate(tail.weights)}
            text = json.dumps(dataclasses.asdict(tail.trial))
            np.savez(file, address=tail.address, trial=text, digest=_digest(tail.address, text, tail.weights), **arrays)

    def _read(self, per_class: int | None) -> "_Tail | None":
        if self.directory is None or not self._path(per_class).exists():
            return None
        path = self._path(per_class)
        try:
            return _tail_in(path)
        # It may be whole.
        except (PermissionError, MemoryError):
            raise
        # A damaged file ends in whatever zipfile, zlib or NumPy raises.
        except Exception as error:
            set_aside(path, str(error) or type(error).__name__, "The tail is trained again")
            return None

    def _path(self, per_class: int | None) -> Path:
        return tail_path(self.directory, per_class)


def tail_path(directory: Path, per_class: int | None) -> Path:
    """The file of the best tail of a size in a run folder."""
    return directory / f"tail-{'all' if per_class is None else per_class}.npz"


class _Tail(NamedTuple):
    """A trained tail: the address of the question that it answered, the trial, and its weights."""

    address: str
    trial: Trial
    weights: list[np.ndarray]


def _tail_in(path: Path) -> _Tail | None:
    """The tail in a file, `None` where an earlier version wrote it; whatever it raises of a damaged one."""
    with path.open("rb") as opened:
        # First, because a damaged shape can be of more numbers than memory holds.
        with zipfile.ZipFile(opened) as archive:
            if archive.testzip() is not None:
                raise ValueError("it is not as it was written")
        opened.seek(0)
        with np.load(opened) as file:
            if "digest" not in file.files:
                return None
            address, text = str(file["address"]), str(file["trial"])
            weights = [file[f"w{number}"] for number in range(len(file.files) - 3)]
            if _digest(address, text, weights) != str(file["digest"]):
                raise ValueError("it is not as it was written")
            return _Tail(address, converted(json.loads(text), Trial), weights)


def _digest(address: str, text: str, weights: list[np.ndarray]) -> str:
    """What tells whether a tail is as it was written."""
    digest = hashlib.sha256(json.dumps([address, text, [array.shape for array in weights]]).encode())
    for array in weights:
        # As bytes: bfloat16 has no name in a file of NumPy's.
        digest.update(array.tobytes())
    return digest.hexdigest()


def same_scores(one: Trial, other: Trial) -> bool:
    """Whether two trials are the same one with the same scores, whatever time they took."""
    # As text, because NaN is not equal to itself.
    texts = [json.dumps(dataclasses.asdict(dataclasses.replace(trial, seconds=0.0))) for trial in (one, other)]
    return texts[0] == texts[1]
