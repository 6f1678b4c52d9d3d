"""The experiment: what all questions of a run have in common, read from what a user gives and checked."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from kdefrost import fingerprint
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.surgery import output_policy
from kdefrost.data.copies import Digests
from kdefrost.data.sets import LabelledSet, hold, take_rows
from kdefrost.training.forms import form_of
from kdefrost.training.labels import (
    as_class_weight,
    as_labels,
    check_varied,
    example_weights,
    has_classes,
    kind_of,
    loss_name,
    strata,
)
from kdefrost.training.tasks import Objective, Task, make_task
from kdefrost.trials.checks import as_groups, check_columns, check_objective, check_output, check_sets, check_sizes
from kdefrost.trials.noticing import noticed_of
from kdefrost.trials.question import Fold
from kdefrost.trials.rows import Drawn, draw_test_sample, hold_out_fold, subset

# Changed whenever the same configuration comes to give other scores.
_FORMAT = 6


class Learning(NamedTuple):
    """What a user says of what is learnt, as `Defroster` takes it; `None` where it follows from the labels.

    Attributes:
        output: The new output layer.
        loss: Keras loss, or its name.
        metrics: Keras metrics, or their names.
        objective: The metric that chooses.
        class_weight: Weights of the classes in the loss.
        labels: The form in which a loss or metric that is none of Keras's takes the labels of classes, one of `FORMS`.
    """

    output: int | keras.layers.Layer | None = None
    loss: str | keras.losses.Loss | None = None
    metrics: Sequence[str | keras.metrics.Metric] | None = None
    objective: str | Objective | None = None
    class_weight: dict[int, float] | str | None = None
    labels: str | None = None


class Examples(NamedTuple):
    """What the trials of a run are trained and scored on.

    Attributes:
        images: Images by the name of the set, of the training set those that some trial uses.
        labels: Their labels, likewise.
        rows: By `Question.rows`, the rows of the training images.
        samples: By seed, the rows of the test images; `None` for all.
        noticed: By `Question.rows`, what an `Answer` says of them.
    """

    images: dict
    labels: dict[str, np.ndarray]
    rows: dict[tuple, Drawn]
    samples: dict[int, np.ndarray | None]
    noticed: dict[tuple, dict]


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """What all questions of a run have in common.

    Attributes:
        source: The source model.
        features: Whether the source ends in features; see `cut_points`.
        sets: The labelled sets by name, their labels in the form of the task.
        task: What is learnt.
        class_weight: Weights of the classes in the loss.
        test_per_class: Largest number of test examples per class that a seed is scored on; `None` for all.
        groups: The group of each training example, which no fold divides; `None` where they are independent.
    """

    source: keras.Model
    features: bool
    sets: dict[str, LabelledSet]
    task: Task
    class_weight: dict[int, float] | str | None = None
    test_per_class: int | None = None
    groups: np.ndarray | None = None

    @property
    def evaluated(self) -> int:
        """Number of examples that each trial is scored on, at most."""
        return sum(len(part.y) for name, part in self.sets.items() if name != "train")

    def draw(self, keys: Iterable[tuple[int | None, int, Fold | None]]) -> dict[tuple, Drawn]:
        """The rows of the training set by `Question.rows`."""
        strata, classes = self._strata("train"), self._classes
        drawn = {}
        for key in set(keys):
            per_class, seed, fold = key
            rows = subset(strata, per_class, seed)
            drawn[key] = Drawn(rows) if fold is None else hold_out_fold(rows, classes, self.groups, fold, seed)
            if fold is not None:
                held_out = self.sets["train"].y[drawn[key].held_out]
                check_objective("Each fold of `train` (whole `groups`)", held_out, self.task)
        return drawn

    def gather(self, drawn: dict[tuple, Drawn], memory_budget: int, directory, verbose: bool) -> Examples:
        """Reads the examples of trials.

        Args:
            drawn: Their rows by `Question.rows`.
            memory_budget: Bytes that images may take in memory; more go to disk.
            directory: Folder for what goes to disk.
            verbose: Whether to show a progress bar where reading takes long.

        Returns:
            The `Examples`.
        """
        sets, used = self.sets, np.unique(np.concatenate([each.all for each in drawn.values()]))
        rows = {
            key: Drawn(*(part if part is None else np.searchsorted(used, part) for part in each))
            for key, each in drawn.items()
        }
        labels = {name: part.y for name, part in sets.items()} | {"train": sets["train"].y[used]}
        images = {name: part.x for name, part in sets.items()} | {"train": take_rows(sets["train"].x, used)}
        budget = memory_budget // len(images)
        digests = {name: Digests() for name in sets}
        held = {name: hold(x, budget, directory, verbose, digests[name].see) for name, x in images.items()}
        groups = {name: self._strata(name) for name in sets}
        samples = {seed: draw_test_sample(groups, self.test_per_class, seed) for _, seed, _ in drawn}
        read = self._read_data[1]
        known = {
            name: each.all if read[name] is None else read[name][used] if name == "train" else read[name]
            for name, each in digests.items()
        }
        hidden = getattr(images["train"], "transparent", None)
        noticed = {key: noticed_of(each, samples[key[1]], known, hidden) for key, each in rows.items()}
        return Examples(held, labels, rows, samples, noticed)

    @functools.cached_property
    def _read_data(self) -> tuple[dict[str, str], dict[str, np.ndarray | None]]:
        """By set the fingerprint, and a hash of each example; `None` of files, which are not read for the former."""
        digests = {name: Digests() for name in self.sets}
        prints = {
            name: fingerprint.of_arrays(part.x, part.y, see_first=digests[name].see) for name, part in self.sets.items()
        }
        return prints, {name: each.all for name, each in digests.items()}

    @functools.cached_property
    def class_counts(self) -> dict[str, list[int]]:
        """By set, the number of examples of each class; empty where there are no classes."""
        if not has_classes(self.task.kind, self.task.units):
            return {}
        # One unit stands for a label that holds or not.
        classes = max(2, self.task.units)
        return {name: np.bincount(self._strata(name), minlength=classes).tolist() for name in self.sets}

    @functools.cached_property
    def configuration(self) -> dict:
        """All that scores depend on beside what is asked, in what JSON can hold."""
        task = self.task
        return {
            "format": _FORMAT,
            "task": {
                "kind": task.kind,
                "units": task.units,
                "loss": loss_name(task.loss),
                "loss_settings": fingerprint.of_metric(task.loss),
                "metrics": {name: fingerprint.of_metric(metric) for name, metric in task.metrics.items()},
                "objective": dataclasses.asdict(task.objective),
                "output": fingerprint.of_layer(task.output),
                "class_weight": None if self.class_weight is None else str(self.class_weight),
                "test_per_class": self.test_per_class,
            },
            "source": fingerprint.of_model(self.source),
            "features": self.features,
            "data": self._read_data[0],
            "groups": None if self.groups is None else fingerprint.of_arrays(self.groups),
        }

    @property
    def _classes(self) -> np.ndarray | None:
        """The class of each training example; `None` where there are no classes."""
        return self._strata("train") if has_classes(self.task.kind, self.task.units) else None

    def _strata(self, name: str) -> np.ndarray:
        return strata(self.sets[name].y, self.task.kind)


def prepare(
    source: keras.Model,
    last: Cut,
    sets: dict[str, LabelledSet],
    learning: Learning,
    sizes: Sequence[int],
    classes: int | None = None,
    test_per_class: int | None = None,
    groups: np.ndarray | None = None,
) -> Experiment:
    """Concludes from labelled sets what is learnt, and checks that all fits together.

    Args:
        source: The source model.
        last: Its last cut that is tried.
        sets: The sets by name, of `read_sets`.
        learning: What is said of what is learnt.
        sizes: Numbers of training examples per class.
        classes: Number of classes; by default the largest training label plus one.
        test_per_class: As for `Experiment`.
        groups: As for `Experiment`.

    Returns:
        The `Experiment`.

    Raises:
        ValueError: If the sets do not fit the source or each other, or have too few examples, or what is said of
            what is learnt does not fit.
    """
    raw = sets["train"].y
    kind = kind_of(raw, learning.loss, learning.labels, learning.output)
    columns = {name: part.y.shape[1] for name, part in sets.items() if part.y.ndim == 2}
    sets = {name: part._replace(y=as_labels(name, part.y, kind)) for name, part in sets.items()}
    check_varied(sets["train"].y, kind)
    given = form_of(raw)
    # A column for each class, whether some example of `train` is of it or not.
    classes = raw.shape[1] if classes is None and given == "onehot" else classes
    said = learning.output, learning.loss, learning.metrics, learning.objective
    forms = given, learning.labels
    task = make_task(kind, sets["train"].y, *said, classes, *forms, output_policy(source, last.features))
    check_columns(columns, task)
    check_output(source, last, task)
    check_sets(sets, source, task)
    check_sizes(strata(sets["train"].y, kind), sizes, task)
    class_weight = as_class_weight(learning.class_weight)
    example_weights(class_weight, sets["train"].y, kind, task.units)
    groups = as_groups(groups, sets["train"])
    test_per_class = None if test_per_class is None else int(test_per_class)
    return Experiment(source, last.features, sets, task, class_weight, test_per_class, groups)
