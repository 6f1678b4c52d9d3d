"""What scores without training say as text; methods of these names are bound where the package is put together."""

import numpy as np

from kdefrost.tables import align
from kdefrost.transferability.names import ACCURACIES, LABELS
from kdefrost.transferability.result import POOLING, Transferability


def table(result: Transferability) -> str:
    """The scores as text: a row per cut, a column per score, mean ± standard error over seeds.

    `*` marks the highest of a column. The last row has the seconds that the score took at all cuts and with all seeds.

    Args:
        result: The result.
    """
    head = ["cut", "after layer", "frozen", *(LABELS[name] for name in result.names)]
    columns = [_cells(result, name) for name in result.names]
    rows = [
        [str(cut.index), cut.name, f"{cut.frozen_layers}/{cut.layers}", *(column[place] for column in columns)]
        for place, cut in enumerate(result.cuts)
    ]
    seconds = ["", "seconds", "", *(f"{result.seconds(name).sum():.1f}  " for name in result.names)]
    return align([head, *rows, seconds], left=(1,))


def summary(result: Transferability) -> str:
    """The table, and how to read it."""
    seeds = len(result.seeds)
    accuracies = [LABELS[name] for name in result.names if name in ACCURACIES]
    said = [
        f"Mean ± standard error over {seeds} seeds." if seeds > 1 else "One seed.",
        "Higher is better in every column; * its highest. No tail was trained.",
        *([f"In %, each example judged by the others: {', '.join(accuracies)}."] if accuracies else []),
        _sizes(result),
        f"Seconds are beyond those of the features, and of averaging these, {result.seconds(POOLING).sum():.1f} s.",
    ]
    return "\n".join([table(result), "", *said])


def _sizes(result: Transferability) -> str:
    """How many examples the scores were computed on."""
    sizes = result.configuration["sizes"]
    fewer = [name for name in result.names if sizes.get(name, sizes["all"]) < sizes["all"]]
    parts = "".join(f", {LABELS[name]} on {sizes[name]} of them" for name in fewer)
    return f"Computed on {sizes['all']} examples{parts}."


def _cells(result: Transferability, name: str) -> list[str]:
    unit, digits = (100, 1) if name in ACCURACIES else (1, 3)
    mean, error, best = unit * result.mean(name), unit * result.standard_error(name), result.best_cut(name)
    return [
        f"{value:.{digits}f}{f' ± {spread:.{digits}f}' if np.isfinite(spread) else ''} {'*' if cut is best else ' '}"
        for cut, value, spread in zip(result.cuts, mean, error, strict=True)
    ]
