"""Full profiles that were recorded, on which ways of searching are replayed without training again."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import kdefrost
from kdefrost.profile.choice import best_column
from kdefrost.transferability import Transferability
from scripts.benches.judging import Record

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Folders below docs/ with a `profile.json` of `scripts/profile.py` and, where `--scores` was given, its scores;
# the sizes of each that are kept aside until the policy is fixed.
PROFILES = {
    "gm-cifar10": (),
    "imagenet-cifar10": (),
    "imagenet-idc": (),
    "search/deep-digits": (8, 32, 100),
    "search/idc-1024": (1024,),
    # Of an earlier convention of momentum, by which the policy was fixed: sources of which little is worth keeping.
    "search/isogm-cifar10": (),
    "search/ae4-cifar10": (),
}
# Of the paper's figures, all of which were recorded when the policy was long fixed: by their sources.
FIGURES = {
    "isogm": "figure-7/a-isogm-cifar10",
    "gm": "figure-3/a-gm-cifar10",
    "ae4": "figure-7/b-ae4-cifar10",
    "ae32": "figure-7/c-ae32-cifar10",
    "ae256": "figure-7/d-ae256-cifar10",
}
# What replays are reported together: those on which the policy was fixed, those that were kept aside until it was, and
# the paper's figures.
CHOSEN_ON, ASIDE, PAPER = "Chosen on", "Kept aside", "The paper's figures"
# A situation that was recorded after the policy was fixed, beside those that `bench.py choice` keeps aside.
LATER = "mobilenet-0.75-cifar10-160"
# How many folds choose in the situations of `bench.py choice`.
FOLDS = 3


@dataclasses.dataclass(frozen=True)
class Replay:
    """A full profile of one size, in points of its objective, and what it says of its cuts otherwise.

    Attributes:
        name: What it is of.
        group: With what it is reported: `CHOSEN_ON`, `ASIDE` or `PAPER`.
        costs: What training the tail after each cut costs, as a share of the whole network `(cuts,)`.
        choosing: The scores that choose `(blocks, cuts)`.
        test: The test score of each cut's model `(cuts,)`.
        shrinking: The columns of the first cuts after a down-sampling; `None` where it is not known.
        scores: By name, transferability scores `(cuts,)`.
        per_class: Number of training examples per class, all for `None`.
    """

    name: str
    group: str
    costs: np.ndarray
    choosing: np.ndarray
    test: np.ndarray
    shrinking: tuple[int, ...] | None
    scores: dict[str, np.ndarray]
    per_class: int | None

    def regret(self, column: int) -> float:
        """The test score of what the full profile chooses less that of another choice, in points."""
        return float(self.test[best_column(self.choosing)] - self.test[column])


def recorded(docs: Path = DOCS) -> Iterator[Replay]:
    """All replays: a profile of a page for each size, and a situation of `bench.py choice` for each draw."""
    for path in sorted((docs / "choice").glob("*.json")):
        yield from _of_situation(path, docs / "search" / "scores" / path.name)
    for folder, aside in PROFILES.items():
        if (docs / folder / "profile.json").exists():
            groups = dict.fromkeys(aside, ASIDE)
            yield from _of_profile(folder.split("/")[-1], docs / folder / "profile.json", groups)
    for source, path in FIGURES.items():
        yield from _of_profile(f"{source}, figures", docs / "paper" / f"{path}.json", {}, PAPER)


def _of_situation(path: Path, scored: Path) -> Iterator[Replay]:
    record = Record.read(path)
    scores = json.loads(scored.read_text()) if scored.exists() else None
    for draw, test in enumerate(record.test):
        mine = {} if scores is None else {name: np.array(rows[draw]) for name, rows in scores["scores"].items()}
        yield Replay(
            record.name,
            ASIDE if record.situation["aside"] or path.stem == LATER else CHOSEN_ON,
            record.shares,
            100 * record.folds[FOLDS][draw],
            100 * test,
            None if scores is None else tuple(scores["shrinking"]),
            mine,
            record.situation["per_class"],
        )


def _of_profile(name: str, path: Path, groups: dict[int, str], other: str = CHOSEN_ON) -> Iterator[Replay]:
    profile = kdefrost.DefrostProfile.load(path)
    costs = np.array([cut.tail_share for cut in profile.cuts])
    for size in profile.per_class:
        names = [f"scores-{size}.json", *(["scores.json"] if len(profile.per_class) == 1 else [])]
        beside = next((path.with_name(each) for each in names if path.with_name(each).exists()), None)
        scores = None if beside is None else Transferability.load(beside)
        yield Replay(
            f"{name}, {'all' if size is None else size}",
            groups.get(size, other),
            costs,
            100 * profile.objective.sign * profile.scores(size, "validation"),
            100 * profile.objective.sign * profile.mean(size),
            shrinking(profile.cuts),
            {} if scores is None else {each: scores.mean(each) for each in scores.names},
            size,
        )


def shrinking(cuts) -> tuple[int, ...]:
    """The columns of the cuts at which the images have just become smaller."""
    sizes = [max(shape[0] if len(shape) > 1 else 0 for shape in cut.shapes) for cut in cuts]
    return tuple(column for column in range(1, len(sizes)) if 0 < sizes[column] < sizes[column - 1])
