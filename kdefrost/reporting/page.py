"""The report as one HTML file."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
import keras
import numpy as np
from markupsafe import Markup, escape

from kdefrost.data.examples import Labelled
from kdefrost.data.sets import read_sets
from kdefrost.files import write_atomically
from kdefrost.profile.result import DefrostProfile
from kdefrost.reporting.answers import Answers, answers_of
from kdefrost.reporting.contents import contents_of
from kdefrost.reporting.figure import figure_of
from kdefrost.reporting.steps import next_steps

# Bytes of the examples of a `tf.data.Dataset` that stay in memory.
_MEMORY = 2**30


def report(
    profile: DefrostProfile,
    path: str | os.PathLike,
    model: keras.Model | None = None,
    examples: Labelled | None = None,
    outputs: np.ndarray | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes a profile as one HTML file, to be read by whoever gets it.

    It has what was found in sentences, the figure, of which each mark shows its numbers, the
    tables, what was told apart, what it took, what to do next, and the configuration; with a
    model, or outputs, and examples also the answers on them: how many it has right, which class it
    takes for which, and some images. The file needs no network, fits a phone and two
    pages of paper, and is light or dark as its reader has it.

    Args:
        profile: A profile with at least one trial.
        path: The file, such as `report.html`. One that is there is replaced.
        model: A model of the profile, such as the one of `Defroster.best_model`.
        examples: Labelled examples for it to answer, as `Defroster.profile` takes them:
            best those of `test`. Of more than 2,000, so many are drawn.
        outputs: In the place of a model, what `Defroster.cross_predict` gives for these examples,
            where there are none but those that it was trained on.
        per_class: The size that the model, or each network, was trained with; by default the largest.
        class_names: Names of the classes or labels; of one label that holds or not its own, or two.

    Returns:
        The path.

    Raises:
        ValueError: If the profile has no trials or none of that size, a model or outputs and
            examples are not given together, or
            examples and names do not fit the model.

    Example:

    ```python
    model = defroster.best_model(profile, per_class=256)
    kdefrost.report(profile, "report.html", model, (x_test, y_test), class_names=data.classes)
    ```
    """
    if not profile.trials:
        raise ValueError("`profile` must have finished trials. Received: one without any")
    answering = model if outputs is None else np.asarray(outputs)
    if (answering is None) != (examples is None) or (model is not None and outputs is not None):
        raise ValueError(
            "`examples` must be given together with either `model` or `outputs`, or none of them. Received: "
            f"{_received(model=model, examples=examples, outputs=outputs)}"
        )
    answers = None
    if examples is not None:
        size = profile.per_class[-1] if per_class is None else profile.size(per_class)
        labelled = read_sets(_MEMORY, None, False, examples=examples)["examples"]
        answers = answers_of(answering, labelled, profile, size, class_names)
    write_atomically(Path(path), page(profile, answers))
    return Path(path)


def page(profile: DefrostProfile, answers: Answers | None = None) -> str:
    """The report's HTML.

    Args:
        profile: A profile with at least one trial.
        answers: What a model of it answers; `None` without one.
    """
    return _template().render(
        contents=contents_of(profile),
        figure=figure_of(profile),
        answers=answers,
        steps=next_steps(profile),
    )


def _received(**given) -> str:
    return ", ".join(name for name, value in given.items() if value is not None)


def _template() -> jinja2.Template:
    # Layers, classes and paths are named by others: whatever is in their names stays text.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdefrost.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_code"] = _with_code
    return environment.get_template("report.html")


def _with_code(text: str) -> Markup:
    """A sentence in which names between backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
