"""What a report shows of a profile, as plain cells and sentences."""

import dataclasses
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdefrost.profile import words
from kdefrost.profile.reasons import reasons
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.tuned import tuned_lines
from kdefrost.tables import duration, format_score, in_percent

# Parts of the configuration that the tables show already, or that are raw numbers.
_NOT_LISTED = ("cuts", "tuning", "command")


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: What is in it.
        mark: `"*"` of the best cut, `"~"` of one that is not told apart from it, else empty.
    """

    text: str
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        head: The names of its columns.
        rows: Its rows, of as many cells.
        name: The column that says what a row is of.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    name: int = 1


class Finding(NamedTuple):
    """What was found with one size.

    Attributes:
        size: The size, in words.
        sentence: What to freeze, and what it is worth.
        reasons: What a search took, and why it left out what it did, in sentences.
    """

    size: str
    sentence: str
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is shown of a profile.

    Attributes:
        title: From what to what is transferred.
        findings: What was found, for each size.
        warnings: What makes the numbers less than they seem, in sentences.
        scores: A table for each metric.
        reading: How to read them.
        told_apart: Differences from the best cut, and which of them tell cuts apart.
        told_apart_reading: How to read it.
        cost: What the trials took, in sentences.
        costs: The same by cut.
        configuration: The names and values of what the scores depend on.
    """

    title: str
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    scores: tuple[Table, ...]
    reading: str
    told_apart: Table
    told_apart_reading: str
    cost: tuple[str, ...]
    costs: Table
    configuration: tuple[tuple[str, str], ...]


def contents_of(profile: DefrostProfile) -> Contents:
    """Puts what a report shows of a profile into cells and sentences.

    Args:
        profile: A profile with at least one trial.

    Returns:
        The `Contents`.
    """
    return Contents(
        title=_title(profile),
        findings=tuple(_finding(profile, size) for size in profile.per_class),
        warnings=tuple(each.sentence for each in profile.warnings),
        scores=tuple(_scores(profile, metric) for metric in profile.metrics),
        reading=words.reading(profile),
        told_apart=_told_apart(profile),
        told_apart_reading=_told_apart_reading(profile),
        cost=_cost(profile),
        costs=_costs(profile),
        configuration=tuple(_listed(profile.configuration)),
    )


def _title(profile: DefrostProfile) -> str:
    """From what to what, of a whole path its end alone."""
    source, target = (profile.configuration.get(name) for name in ("source_name", "target"))
    names = [str(name) for name in (source or "A trained network", target) if name]
    return " → ".join(Path(name).name if Path(name).is_absolute() else name for name in names)


def _finding(profile: DefrostProfile, size: int | None) -> Finding:
    name = words.size_text(profile, size)
    return Finding(f"{name[0].upper()}{name[1:]}", words.sentence(profile, size), tuple(reasons(profile, size)))


def _scores(profile: DefrostProfile, metric: str) -> Table:
    head, *rows = words.table_rows(profile, metric)
    return Table(words.heading(profile, metric), tuple(head), tuple(tuple(map(_cell, row)) for row in rows))


def _cell(text: str) -> Cell:
    """A cell of a text table, which may end in a mark."""
    text = text.strip()
    return Cell(text[:-1].strip(), text[-1]) if text.endswith((" *", " ~")) else Cell(text)


def _told_apart(profile: DefrostProfile) -> Table:
    """Each cut's difference from the best one, paired over seeds or folds."""
    sizes = profile.per_class
    columns = [_differences(profile, size) for size in sizes]
    unit = "in points of" if in_percent(profile.objective.name) else "in"
    heading = words.heading(profile, profile.objective.name).replace(" in %", "")
    return Table(
        f"Difference from the best cut, {unit} {heading[0].lower()}{heading[1:]}",
        ("cut", "after layer", *(words.size_text(profile, size) for size in sizes)),
        tuple(
            (Cell(str(cut.index)), Cell(cut.name), *(column[place] for column in columns))
            for place, cut in enumerate(profile.cuts)
        ),
    )


def _told_apart_reading(profile: DefrostProfile) -> str:
    blocks = "seeds" if profile.folds is None else "folds"
    chosen = "" if profile.chosen_on == profile.reported_on else f" by the scores on {profile.chooser()}, which chose"
    return (
        f"Mean ± standard error of differences within {blocks}. Cuts without a mark are told apart from the best "
        f"one{chosen}, with a confidence of 95 % for all of a column together; ~ are not."
    )


def _differences(profile: DefrostProfile, size: int | None) -> list[Cell]:
    if not profile.is_scored(size):
        return [Cell("–")] * len(profile.cuts)
    best, near = profile.best_cut(size), profile.near_best_cuts(size)
    cells = []
    for cut in profile.cuts:
        gain, error = profile.gain(size, cut, best)
        if cut is best:
            cells.append(Cell("best", "*"))
        elif math.isfinite(gain):
            cells.append(Cell(_signed(profile.objective.name, gain, error), "~" if cut in near else ""))
        else:
            cells.append(Cell("–", "~" if cut in near else ""))
    return cells


def _signed(metric: str, value: float, error: float) -> str:
    """A difference with its sign, ± its standard error where that is known, without unit."""
    return f"{'−' if value < 0 else '+'}{format_score(metric, abs(value), error).removesuffix(' %')}"


def _cost(profile: DefrostProfile) -> tuple[str, ...]:
    seconds = sum(trial.seconds for trial in profile.trials)
    took = f"{len(profile.trials)} trials, {duration(seconds)} of training and evaluation in all."
    return took, *(line for line in tuned_lines(profile) if line)


def _costs(profile: DefrostProfile) -> Table:
    """What a trial at each cut took in the mean."""
    sizes = profile.per_class
    return Table(
        "Seconds of a trial, in the mean",
        ("cut", "training left", *(words.size_text(profile, size) for size in sizes)),
        tuple(
            (
                Cell(str(cut.index)),
                Cell(f"{100 * cut.tail_share:.1f} %"),
                *(Cell(_seconds(profile, cut.index, size)) for size in sizes),
            )
            for cut in profile.cuts
        ),
        name=0,
    )


def _seconds(profile: DefrostProfile, cut: int, size: int | None) -> str:
    took = [trial.seconds for trial in profile.trials if (trial.cut, trial.per_class) == (cut, size)]
    return f"{np.mean(took):.1f}" if took else "–"


def _listed(values: dict, before: str = "") -> list[tuple[str, str]]:
    """A configuration's names and values, those inside others with the names of these before their own."""
    listed = []
    for name, value in values.items():
        if name in _NOT_LISTED or value is None:
            continue
        if isinstance(value, dict):
            listed += _listed(value, f"{before}{name}.")
        else:
            listed.append((f"{before}{name}", value if isinstance(value, str) else json.dumps(value)))
    return listed
