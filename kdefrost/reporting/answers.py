"""What a model answers on labelled examples: how many it has right, which it takes for which, and some to look at."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import confusion_matrix

from kdefrost import fingerprint
from kdefrost.cutting.features import Inference
from kdefrost.cutting.graph import ends_in_probabilities
from kdefrost.data.sets import LabelledSet, take_rows
from kdefrost.profile import words
from kdefrost.profile.result import DefrostProfile
from kdefrost.reporting.contents import Cell, Table
from kdefrost.reporting.pictures import first_of_each, pictures
from kdefrost.training.forms import classes_of
from kdefrost.training.labels import as_labels, has_classes, kind_of

# Of more examples, so many are drawn: enough for shares to 1 %.
_MOST = 2_000
# Of right answers and of wrong ones.
_SHOWN = 8
# A matrix of more classes is too wide for a page: there the pairs that are taken for each other most are listed.
_MOST_CLASSES, _MOST_PAIRS = 20, 20


class Sample(NamedTuple):
    """An example to look at.

    Attributes:
        picture: The image, as a `data:` address.
        truth: What it is.
        answer: What the model says.
    """

    picture: str
    truth: str
    answer: str


class Matrix(NamedTuple):
    """How often a class was taken for a class.

    Attributes:
        names: The names of the classes.
        counts: By class and answer, the number of examples.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model answers on labelled examples.

    Attributes:
        summary: Of what examples these are the answers, and how many are right.
        samples: By what they show, some examples; those that are no images have none.
        matrix: The confusion matrix; `None` where there are no classes, or more than fit.
        table: What says the same where there is no matrix; `None` of a regression.
    """

    summary: str
    samples: dict[str, list[Sample]]
    matrix: Matrix | None = None
    table: Table | None = None


def answers_of(
    answering: keras.Model | np.ndarray,
    examples: LabelledSet,
    profile: DefrostProfile,
    size: int | None,
    class_names: Sequence[str] | None = None,
) -> Answers:
    """Asks a model for its answers on labelled examples.

    Args:
        answering: The model; or, for each example, what networks that have not seen it answer, as
            `Defroster.cross_predict` gives it.
        examples: The examples; of more than 2,000, so many are drawn.
        profile: The profile that the model is of, which knows what is learnt, and from which of its sets examples are.
        size: The size that the model was trained with.
        class_names: Names of the classes or labels; by default their numbers.

    Returns:
        The `Answers`.

    Raises:
        ValueError: If labels, outputs and names do not fit each other.
    """
    kind = profile.task.get("kind") or kind_of(examples.y)
    labels = as_labels("examples", examples.y, kind)
    rows, asked = _drawn(answering, examples.x, labels, profile, size)
    images, labels = take_rows(examples.x, rows), labels[rows]
    outputs = answering[rows] if isinstance(answering, np.ndarray) else _outputs(answering, images, kind)
    _check_fit(labels, outputs, kind)
    if kind == "regression":
        return _of_numbers(images, labels, outputs, asked)
    names = _names(class_names, kind, outputs.shape[-1])
    if has_classes(kind, outputs.shape[-1]):
        return _of_classes(images, _as_classes(labels), _as_rows(outputs), names, asked)
    return _of_labels(images, labels, outputs, names, asked)


def _drawn(answering, x, labels, profile: DefrostProfile, size: int | None) -> tuple[np.ndarray, str]:
    """The rows of the examples that are answered, and in words what they are and who answers."""
    answered = np.arange(len(labels))
    if isinstance(answering, np.ndarray):
        if answering.shape[:1] != labels.shape[:1] or answering.ndim != 2:
            raise ValueError(
                f"`outputs` must be (examples, units), with {len(labels)} examples as `examples` has. Received: "
                f"{answering.shape}"
            )
        answered = np.flatnonzero(np.isfinite(answering).all(axis=1))
    count = min(_MOST, len(answered))
    rows = np.sort(np.random.default_rng(0).choice(answered, count, replace=False))
    of_all = "" if count == len(answered) else f" of the {len(answered):,}"
    drawn = f"{count:,}{of_all} examples{', drawn at random,' if of_all else ''}"
    trained = f"cut {profile.best_cut(size).index}, trained on {words.size_text(profile, size)}"
    if isinstance(answering, np.ndarray):
        return (
            rows,
            f"{drawn} that the folds held out in turn, each answered by a network of {trained} but for its fold",
        )
    return rows, f"{drawn} of {_origin(profile, x, labels)}. It is the model of {trained}"


def _origin(profile: DefrostProfile, x, labels: np.ndarray) -> str:
    """Which of the profile's sets examples are, by their content, and what that does to the answers."""
    own = fingerprint.of_arrays(x, labels)
    name = next((name for name, value in profile.configuration.get("data", {}).items() if value == own), None)
    if name is None:
        return "those given for this report"
    if name == "train":
        return "the training set, which the model knows: it is worse on others"
    chose = "which has chosen the cut" if name == profile.chosen_on else "which has chosen nothing"
    return f"the {name} set, {chose}"


def _check_fit(labels: np.ndarray, outputs: np.ndarray, kind: str):
    """Refuses labels of other classes, or of more columns, than there are outputs for."""
    units = outputs.shape[1]
    taken = int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]
    if taken > units or (labels.ndim == 2 and taken != units):
        things = "classes" if kind == "classification" else "columns"
        raise ValueError(
            f"Labels of `examples` must be of the {units} {things} that are answered. Received: {taken} {things}"
        )


def _outputs(model: keras.Model, images, kind: str) -> np.ndarray:
    """What a model answers `(examples, units)`: numbers of a regression, else probabilities, be its outputs logits."""
    (outputs,) = Inference(model)(images)
    # Those of a training that diverged are as good as 0.
    outputs = np.nan_to_num(outputs.astype(np.float32).reshape(len(images), -1))
    if kind == "regression" or ends_in_probabilities(model):
        return outputs
    return softmax(outputs, axis=-1) if kind == "classification" else expit(outputs)


def _names(class_names: Sequence[str] | None, kind: str, units: int) -> list[str]:
    count = 2 if units == 1 else units
    if class_names is None:
        return [str(number) for number in range(count)]
    fitting = (count, 1) if units == 1 and kind == "multi-label" else (count,)
    if isinstance(class_names, str) or len(class_names) not in fitting:
        raise ValueError(
            f"`class_names` must be a list of {count}, one for each class or label. Received: {class_names!r}"
        )
    names = [str(name) for name in class_names]
    return names if len(names) == count else [f"not {names[0]}", names[0]]


def _as_classes(labels: np.ndarray) -> np.ndarray:
    """The class of each example; one label that holds or not makes two."""
    return labels[:, 0].astype(np.int64) if labels.shape[1:] == (1,) else classes_of(labels)


def _as_rows(probabilities: np.ndarray) -> np.ndarray:
    """The probability of each class; one unit has that of the second."""
    return np.hstack([1 - probabilities, probabilities]) if probabilities.shape[1] == 1 else probabilities


def _of_classes(images, labels: np.ndarray, probabilities: np.ndarray, names: list[str], asked: str) -> Answers:
    """Answers of which each is one class."""
    answers, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = answers == labels
    wrong = np.flatnonzero(~right)
    shown = {
        "Wrong, the surest first": wrong[np.argsort(-sure[wrong], kind="stable")][:_SHOWN],
        "Right, of each class in turn": np.flatnonzero(right)[first_of_each(labels[right].tolist(), _SHOWN)],
    }
    truths = [names[label] for label in labels]
    said = [f"{names[answer]}, {100 * share:.0f} %" for answer, share in zip(answers, sure, strict=True)]
    counts = confusion_matrix(labels, answers, labels=range(len(names)))
    small = len(names) <= _MOST_CLASSES
    return Answers(
        f"{_right(right)}, of {asked}.",
        _samples(images, shown, truths, said),
        Matrix(tuple(names), tuple(map(tuple, counts.tolist()))) if small else None,
        None if small else _pairs(counts, names),
    )


def _of_labels(images, labels: np.ndarray, probabilities: np.ndarray, names: list[str], asked: str) -> Answers:
    """Answers of which each is any of several labels."""
    answers, held = probabilities > 0.5, labels > 0.5
    mistakes = (answers != held).sum(axis=1)
    right, order = mistakes == 0, np.argsort(-mistakes, kind="stable")
    shown = {
        "Wrong, most labels first": order[~right[order]][:_SHOWN],
        "All labels right": np.flatnonzero(right)[:_SHOWN],
    }
    truths, said = (
        [", ".join(name for name, holds in zip(names, row, strict=True) if holds) or "none" for row in table]
        for table in (held, answers)
    )
    rows = [
        (names[column], *(int(both.sum()) for both in _fourfold(held[:, column], answers[:, column])))
        for column in range(len(names))
    ]
    table = Table(
        "How often each label holds and is said to",
        ("label", "holds, said", "holds, not said", "said, does not hold", "neither"),
        tuple((Cell(name), *(Cell(str(count)) for count in counts)) for name, *counts in rows),
        name=0,
    )
    return Answers(
        f"All labels right: {_right(right)}, of {asked}.", _samples(images, shown, truths, said), None, table
    )


def _fourfold(held: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, ...]:
    return held & said, held & ~said, ~held & said, ~held & ~said


def _of_numbers(images, labels: np.ndarray, outputs: np.ndarray, asked: str) -> Answers:
    """Answers that are numbers, by how far they are off in the mean over targets, each in its own spread."""
    spread = np.where(labels.std(axis=0) > 0, labels.std(axis=0), 1.0)
    order = np.argsort((np.abs(outputs - labels) / spread).mean(axis=1), kind="stable")
    shown = {"Furthest off": order[::-1][:_SHOWN], "Nearest": order[:_SHOWN]}
    truths, said = ([", ".join(f"{value:.4g}" for value in row) for row in table] for table in (labels, outputs))
    off = ", ".join(f"{value:.3g}" for value in np.abs(outputs - labels).mean(axis=0))
    return Answers(f"Off by {off} in the mean, on {asked}.", _samples(images, shown, truths, said))


def _right(right: np.ndarray) -> str:
    return f"{100 * right.mean():.1f} % right"


def _samples(images, shown: dict[str, np.ndarray], truths: list[str], said: list[str]) -> dict[str, list[Sample]]:
    """The examples of some rows by what they show, where they are images; what no example shows is left out."""
    rows = np.concatenate(list(shown.values()))
    addresses = dict(zip(rows.tolist(), pictures(images[rows]) or [], strict=False))
    return {
        title: [Sample(addresses[row], truths[row], said[row]) for row in some]
        for title, some in shown.items()
        if len(some) and addresses
    }


def _pairs(counts: np.ndarray, names: list[str]) -> Table:
    """The classes that are taken for others most often."""
    mistaken = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistaken, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [np.unravel_index(place, mistaken.shape) for place in order]
    return Table(
        "Taken for another class most often",
        ("class", "taken for", "times", "of"),
        tuple(
            (Cell(names[true]), Cell(names[said]), Cell(str(mistaken[true, said])), Cell(str(counts[true].sum())))
            for true, said in pairs
            if mistaken[true, said]
        ),
        name=0,
    )
