"""What a profile says in words and tables; its methods of these names are bound where the package is put together."""

from collections.abc import Iterable

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.evidence import deepest_as_good, nothing_told_apart
from kdefrost.profile.reasons import reasons
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.sizes import size_text, with_sizes
from kdefrost.profile.tuned import tuned_lines
from kdefrost.tables import align, format_difference, format_rough, format_score, in_percent, label_of

# What a table has where there is no score: as wide as a mark and the space before it, and the score.
UNTRIED = "–  "


def sentence(profile: DefrostProfile, per_class: int | None = None) -> str:
    """Says in plain words what to freeze, and what it is worth.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.

    Returns:
        A sentence with scores of the objective and differences from both ends, which are
        paired over seeds or folds, ± their standard error. Where nothing tells the cuts apart it
        begins with that, and names the cut that trains fastest.
    """
    if not profile.is_scored(per_class):
        return f"No trial has a number for its {label_of(profile.objective.name)}."
    if nothing_told_apart(profile, per_class):
        return _undecided(profile, profile.size(per_class))
    best, metric = profile.best_cut(per_class), profile.objective.name
    mean, error = profile.mean(per_class, profile.reported_on), profile.standard_error(per_class, profile.reported_on)
    at = profile.cuts.index(best)
    near = [str(cut.index) for cut in profile.near_best_cuts(per_class) if cut is not best]
    tried = "tried " if np.isnan(mean).any() else ""
    told_apart = _near_sentence(near, tried) if np.isfinite(mean).sum() > 1 else ""
    return (
        f"{_advice(profile, best)}: {label_of(metric)} {format_score(metric, mean[at], error[at])}"
        f"{_gains(profile, per_class, best)}{told_apart}."
    )


def _undecided(profile: DefrostProfile, per_class: int | None) -> str:
    """What to do where nothing tells cuts apart: numbers as exact as that would be read as a reason."""
    best, metric = profile.best_cut(per_class), profile.objective.name
    mean = dict(zip(profile.cuts, profile.mean(per_class, profile.reported_on), strict=True))
    tried = [cut for cut, value in mean.items() if np.isfinite(value)]
    take = deepest_as_good(profile, per_class)
    among = "" if take is tried[-1] else " of those within a standard error of the best mean"
    best_mean = f"the best mean is {format_rough(metric, mean[best])}, at cut {best.index}"
    return (
        f"Nothing tells these cuts apart {with_sizes(profile, per_class)}; take cut {take.index}, it trains "
        f"fastest{among}: {_what(profile, take)}. There {label_of(metric)} is {format_rough(metric, mean[take])}; "
        f"{'no other mean is better' if take is best else best_mean}."
    )


def table(profile: DefrostProfile, metric: str | None = None) -> str:
    """The scores as text: a row per cut, a column per size, mean ± standard error.

    `*` marks the best cut of a column, `~` those not told apart from it. Of a search there is a second column for each
    size with the curve that its scores suggest, of the objective.

    Args:
        profile: The profile.
        metric: Name of the metric, by default the objective's.
    """
    return align(table_rows(profile, metric), left=(1,))


def table_rows(profile: DefrostProfile, metric: str | None = None) -> list[list[str]]:
    """The cells of `table`, row by row, the first of which is its head."""
    sizes = profile.per_class
    columns = {size_text(profile, size): cells(profile, size, metric) for size in sizes}
    if profile.searched and metric in (None, profile.objective.name):
        columns = {
            name: column
            for size in sizes
            for name, column in (
                (size_text(profile, size), cells(profile, size, metric)),
                ("curve" if len(sizes) == 1 else f"curve, {size_text(profile, size)}", _curve_cells(profile, size)),
            )
        }
    head = ["cut", "after layer", "frozen", "features", *columns]
    rows = [
        [
            str(cut.index),
            cut.name,
            f"{cut.frozen_layers}/{cut.layers}",
            cut.shape_text,
            *(column[place] for column in columns.values()),
        ]
        for place, cut in enumerate(profile.cuts)
    ]
    return [head, *rows]


def cells(profile: DefrostProfile, per_class: int | None = None, metric: str | None = None) -> list[str]:
    """The scores of one size as they are in `table`, one for each cut: mean ± standard error, and mark.

    Args:
        profile: The profile.
        per_class: Number of training examples per class.
        metric: Name of the metric, by default the objective's.
    """
    metric, on, texts = metric or profile.objective.name, profile.reported_on, []
    mean, error = profile.mean(per_class, on, metric), profile.standard_error(per_class, on, metric)
    for value, spread, mark in zip(mean, error, _marks(profile, per_class), strict=True):
        score = format_score(metric, value, spread).removesuffix(" %")
        texts.append(f"{score} {mark}" if np.isfinite(value) else UNTRIED)
    return texts


def _curve_cells(profile: DefrostProfile, per_class: int | None) -> list[str]:
    """The curve over depth as it is in `table`."""
    if not profile.is_scored(per_class, profile.reported_on):
        return [UNTRIED] * len(profile.cuts)
    name = profile.objective.name
    values = zip(*profile.curve(per_class, profile.reported_on), strict=True)
    return [format_score(name, float(mean), float(deviation)).removesuffix(" %") for mean, deviation in values]


def summary(profile: DefrostProfile) -> str:
    """A table for each metric, how to read them, what deserves a word, and a sentence per size; of a search, why."""
    if not profile.trials:
        return "No trials have finished."
    tables = [f"{heading(profile, metric)}\n\n{table(profile, metric)}\n" for metric in profile.metrics]
    sentences = [
        f"{size_text(profile, size).capitalize()}: {' '.join([sentence(profile, size), *reasons(profile, size)])}"
        for size in profile.per_class
    ]
    cautions = _cautions(profile)
    return "\n".join([*tables, *_learnt(profile), reading(profile), "", *tuned_lines(profile), *cautions, *sentences])


def _cautions(profile: DefrostProfile) -> list[str]:
    """What deserves a word, a line each; that nothing tells cuts apart is said where a cut is named."""
    said = [f"- {each.sentence}" for each in profile.warnings if each.name != "not told apart"]
    return ["Before you believe it:", *said, ""] if said else []


def reading(profile: DefrostProfile) -> str:
    """How to read the tables: what means and errors are taken over, and what the marks mean."""
    return f"{spread_text(profile)}{_unequal(profile)}. {marks_text(profile)}"


def spread_text(profile: DefrostProfile) -> str:
    """What means and errors are taken over."""
    seeds = len(profile.seeds)
    if profile.folds is None:
        return f"Mean ± standard error over {seeds} seeds" if seeds > 1 else "One seed"
    repeats = len({repeat for _, repeat, _ in profile.blocks})
    again = [f"{count} {name}" for count, name in ((repeats, "repeats"), (seeds, "seeds")) if count > 1]
    times = f" of {' and '.join(again)}" if again else ""
    return f"Mean ± standard error over {profile.folds} folds{times}, corrected for what they are trained on in common"


def _unequal(profile: DefrostProfile) -> str:
    """How cuts are compared where a search has tried some with fewer seeds or folds than others."""
    if not profile.searched or len(profile.blocks) < 2:
        return ""
    blocks = "seeds" if profile.folds is None else "folds"
    return f", at each cut over those that were tried; cuts are compared by what {blocks} they have in common"


def _learnt(profile: DefrostProfile) -> list[str]:
    """A line on what was learnt, which kdefrost may have concluded from the labels."""
    kind, units, sample = (profile.task.get(name) for name in ("kind", "units", "test_per_class"))
    if kind is None:
        return []
    things = {"classification": "classes", "multi-label": "labels", "regression": "targets"}[kind]
    tested = f" Each seed is tested on as many images of each class, at most {sample}." if sample else ""
    number = f"{units} {things}" if units > 1 else f"one {things[:-1]}"
    return [f"Learnt: {kind}, {number}, by {profile.task.get('loss')}.{tested}"]


def heading(profile: DefrostProfile, metric: str) -> str:
    """What a metric's scores are: the set, the metric, its unit, and whether the lowest choose."""
    unit = " in %" if in_percent(metric) else ""
    lower = ", lower is better" if (metric, "min") == (profile.objective.name, profile.objective.direction) else ""
    return f"{set_name(profile, profile.reported_on).capitalize()} {label_of(metric)}{unit}{lower}"


def set_name(profile: DefrostProfile, on: str) -> str:
    """What a set is called: the validation set of folds is what was held out in turn."""
    return "cross-validated" if on == "validation" and profile.folds is not None else on


def marks_text(profile: DefrostProfile, best: str = "*") -> str:
    """What the marks of a table mean, and what chose the best cut.

    Args:
        profile: The profile.
        best: How the best cut is marked.
    """
    flattery = ", which flatters it" if profile.chosen_on == profile.reported_on else ""
    itself = " itself" if profile.chosen_on == profile.reported_on and profile.folds is None else ""
    return (
        f"{best} best cut, chosen by {label_of(profile.objective.name)} on {chooser(profile)}{itself}{flattery}; "
        "~ not told apart from it."
    )


def chooser(profile: DefrostProfile) -> str:
    """What chose the best cut."""
    return "the held-out folds" if profile.folds is not None else f"the {profile.chosen_on} set"


def _gains(profile: DefrostProfile, per_class: int | None, best: Cut) -> str:
    """The best cut's distance from the two ends of the profile, paired over seeds."""
    whole = "fine-tuning everything" if starts_pretrained(profile) else "training from scratch"
    ends = {whole: profile.cuts[0]} if profile.cuts[0].index == 0 else {}
    if profile.cuts[-1].frozen_layers == profile.cuts[-1].layers - 1:
        ends["retraining only the output layer"] = profile.cuts[-1]
    gained = []
    for name, end in ends.items():
        gain, error = profile.gain(per_class, best, end)
        if end is not best and np.isfinite(gain):
            gained.append(f"{format_difference(profile.objective.name, gain, error)} {name}")
    return f", {' and '.join(gained)}" if gained else ""


def _marks(profile: DefrostProfile, per_class: int | None) -> list[str]:
    if not profile.is_scored(per_class):
        return [" "] * len(profile.cuts)
    best, near = profile.best_cut(per_class), profile.near_best_cuts(per_class)
    return ["*" if cut is best else "~" if cut in near else " " for cut in profile.cuts]


def starts_pretrained(profile: DefrostProfile) -> bool:
    """Whether tails start from the source's weights."""
    return profile.configuration.get("tails") == "pretrained"


def nothing_frozen(profiles: Iterable[DefrostProfile]) -> str:
    """What cut 0 is called where these profiles are shown."""
    names = {"fine-tuned" if starts_pretrained(profile) else "scratch" for profile in profiles}
    return "nothing frozen" if len(names) > 1 else names.pop()


def _advice(profile: DefrostProfile, cut: Cut) -> str:
    what = _what(profile, cut)
    return f"{what[0].upper()}{what[1:]}{f' (cut {cut.index})' if cut.frozen_layers else ''}"


def _what(profile: DefrostProfile, cut: Cut) -> str:
    """What a cut means, inside a sentence."""
    if cut.frozen_layers == 0:
        how = "fine-tune all" if starts_pretrained(profile) else "train all"
        return f"freeze nothing and {how} {cut.layers} layers{'' if starts_pretrained(profile) else ' from scratch'}"
    return f"freeze the first {cut.frozen_layers} of {cut.layers} layers, up to `{cut.name}`"


def _near_sentence(near: list[str], tried: str) -> str:
    if not near:
        return f"; all other {tried}cuts are told apart from it"
    if len(near) == 1:
        return f"; cut {near[0]} is not told apart from it"
    return f"; cuts {', '.join(near[:-1])} and {near[-1]} are not told apart from it"
