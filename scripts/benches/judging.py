"""Ways of choosing a cut, each a function of a record that gives its choices and what they cost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import kdefrost
from kdefrost.profile.choice import best_column
from kdefrost.profile.policy import walk_back
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.rows import as_folds


class Record(NamedTuple):
    """What was recorded of a situation.

    Attributes:
        situation: Its settings.
        cuts: Indices of the cuts, in order.
        shares: What training the tail after each costs, as a share of training the whole network `(cuts,)`.
        test: Test accuracy of what is trained on all images `(draws, cuts)`.
        folds: By their number, accuracy on each fold `(draws, folds, cuts)`.
        losses: Log-loss on each fold, likewise.
        held_out: By the number of parts of which one is held out, accuracy on that `(draws, cuts)`.
        fine_tuned: By the way of training a whole network, its test accuracy `(draws,)`.
        seconds: By the way, what a training took in the mean, tracing included.
    """

    situation: dict
    cuts: list[int]
    shares: np.ndarray
    test: np.ndarray
    folds: dict[int, np.ndarray]
    losses: dict[int, np.ndarray]
    held_out: dict[int, np.ndarray]
    fine_tuned: dict[str, np.ndarray]
    seconds: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Reads the record in a file."""
        written = json.loads(path.read_text())
        cuts, trials = [cut for cut, _, _ in written["cuts"]], written["trials"]
        draws = 1 + max(trial[1] for trial in trials)
        tables = {}
        for cut, draw, fold, folds, test, accuracy, loss, _ in trials:
            for name, value in (("test", test), ("accuracy", accuracy), ("loss", loss)):
                table = tables.setdefault((name, folds, fold), np.full((draws, len(cuts)), np.nan))
                table[draw, cuts.index(cut)] = np.nan if value is None else value
        stacked = {
            name: {
                count: np.stack([tables[name, count, fold] for fold in range(count)], axis=1)
                for count in {count for _, count, fold in tables if fold == 1}
            }
            for name in ("accuracy", "loss")
        }
        held_out = {folds: table for (name, folds, fold), table in tables.items() if name == "accuracy" and fold == 0}
        ways = dict.fromkeys(way for way, *_ in written["fine_tuned"])
        fine_tuned = {way: np.array([row[2] for row in written["fine_tuned"] if row[0] == way]) for way in ways}
        seconds = {way: float(np.mean([row[3] for row in written["fine_tuned"] if row[0] == way])) for way in ways}
        shares = np.array([share for _, _, share in written["cuts"]])
        both = stacked["accuracy"], stacked["loss"]
        test = tables["test", None, None]
        return cls(written["situation"], cuts, shares, test, *both, held_out, fine_tuned, seconds)

    @property
    def name(self) -> str:
        """What the situation is, in words."""
        told = self.situation
        return f"{told['source'].removeprefix('imagenet:')} → {told['target']}, {told['images']}"


class Outcome(NamedTuple):
    """What a way comes to: test accuracy `(draws,)`, and its cost in trainings of the whole network on all images."""

    test: np.ndarray
    cost: float


def chosen(record: Record, columns: np.ndarray, tried: float) -> Outcome:
    """The outcome of columns `(draws,)` that were chosen, each trained on all images in the end."""
    return Outcome(record.test[np.arange(len(columns)), columns], tried + float(record.shares[columns].mean()))


def last_best(scores: np.ndarray) -> np.ndarray:
    """The column of the best score in each row, of equal ones the last."""
    return scores.shape[1] - 1 - scores[:, ::-1].argmax(axis=1)


def fixed(column: Callable[[Record], int]) -> Callable[[Record], Outcome]:
    """A way that takes one cut without looking."""
    return lambda record: chosen(record, np.full(len(record.test), column(record)), 0.0)


def by_hold_out(parts: int) -> Callable[[Record], Outcome]:
    """A way that holds one of so many parts out, or one image of each class where there are fewer."""

    def way(record: Record) -> Outcome:
        parts_there = min(parts, record.situation["per_class"])
        return chosen(record, last_best(record.held_out[parts_there]), (1 - 1 / parts_there) * record.shares.sum())

    return way


def by_folds(choose: Callable[[np.ndarray, np.ndarray], np.ndarray], folds: int = 5) -> Callable[[Record], Outcome]:
    """A way that tries all cuts on all folds, and chooses from `(draws, folds, cuts)` accuracies and losses."""

    def way(record: Record) -> Outcome:
        columns = choose(record.folds[folds], record.losses[folds])
        return chosen(record, columns, (folds - 1) * record.shares.sum())

    return way


def best_mean(accuracies: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The best mean accuracy."""
    return last_best(accuracies.mean(axis=1))


def least_loss(accuracies: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The least mean log-loss."""
    return last_best(-losses.mean(axis=1))


def ties_by_loss(accuracies: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The best mean accuracy, and among equal ones the least log-loss."""
    mean = accuracies.mean(axis=1)
    tied = mean >= mean.max(axis=1, keepdims=True) - 1e-9
    return last_best(np.where(tied, -losses.mean(axis=1), -np.inf))


def deepest_within_an_error(accuracies: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The deepest cut within one corrected standard error of the best."""
    folds, mean = accuracies.shape[1], accuracies.mean(axis=1)
    error = accuracies.std(axis=1, ddof=1) * np.sqrt(1 / folds + 1 / (folds - 1))
    rows, best = np.arange(len(mean)), mean.argmax(axis=1)
    near = mean >= (mean[rows, best] - error[rows, best])[:, None]
    return last_best(near.astype(float))


def smoothed(scores: np.ndarray) -> np.ndarray:
    """Scores `(draws, cuts)` of which each is a quarter, a half and a quarter of its neighbours and itself."""
    padded = np.pad(scores, ((0, 0), (1, 1)), mode="edge")
    return 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]


def best_of_smoothed(accuracies: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The best mean accuracy of a curve that is smoothed over depth."""
    return last_best(smoothed(accuracies.mean(axis=1)))


def by_walk(patience: int, folds: int) -> Callable[[Record], Outcome]:
    """A way that walks back from the last cut as `Defroster.profile(patience=…)` does, by so many folds."""

    def way(record: Record) -> Outcome:
        walks = [walk(accuracies, patience) for accuracies in record.folds[folds]]
        tried = np.mean([(folds - 1) * record.shares[reached:].sum() for _, reached in walks])
        return chosen(record, np.array([best for best, _ in walks]), float(tried))

    return way


def walk(accuracies: np.ndarray, patience: int) -> tuple[int, int]:
    """Where the policy ends on accuracies `(folds, cuts)`: at the best column, and at the first that was tried."""
    folds, cuts = accuracies.shape
    asked = [
        Question(cut, cut, None, 0, kdefrost.Recipe(epochs=1), fold=fold)
        for cut in range(cuts)
        for fold in as_folds(folds)
    ]
    policy = walk_back(asked, patience, lambda answer: answer.validation["accuracy"])
    answers = {}
    while missing := [question for question in policy(answers) if question not in answers]:
        for question in missing:
            score = float(accuracies[question.fold.number, question.cut])
            answers[question] = Answer(question, None, {"accuracy": score}, 0.0)
    reached = min(question.cut for question in answers)
    return reached + best_column(accuracies[:, reached:]), reached


def whole(way: str) -> Callable[[Record], Outcome]:
    """A network that is trained whole."""
    return lambda record: Outcome(record.fine_tuned[way], 1.0)


WAYS = {
    # What nobody can know; its regret is the luck of single draws.
    "best fixed cut, in hindsight": fixed(lambda record: int(record.test.mean(axis=0).argmax())),
    "last cut (vanilla)": fixed(lambda record: len(record.cuts) - 1),
    "half of the layers": fixed(lambda record: int(np.abs(np.array(record.cuts) - record.cuts[-1] / 2).argmin())),
    "from scratch": fixed(lambda record: 0),
    "a tenth held out": by_hold_out(10),
    "a quarter held out": by_hold_out(4),
    "5 folds": by_folds(best_mean),
    "5 folds, ties by log-loss": by_folds(ties_by_loss),
    "5 folds, log-loss": by_folds(least_loss),
    "5 folds, deepest within an error": by_folds(deepest_within_an_error),
    "5 folds, smoothed": by_folds(best_of_smoothed),
    "5 folds, walk of patience 1": by_walk(1, 5),
    "5 folds, walk of patience 2": by_walk(2, 5),
    "3 folds": by_folds(best_mean, 3),
    "3 folds, walk of patience 1": by_walk(1, 3),
    "3 folds, walk of patience 2": by_walk(2, 3),
    "fine-tuning everything": whole("fine-tuning everything"),
    "LP-FT": whole("LP-FT"),
    "Auto-RGN": whole("Auto-RGN"),
}
