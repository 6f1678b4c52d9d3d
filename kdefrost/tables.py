"""Text tables."""

import html
import math
from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Lays out rows of cells in columns, to the right except those in `left`."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) if c in left else cell.rjust(width) for c, (cell, width) in columns).rstrip()
        for columns in (enumerate(zip(row, widths, strict=True)) for row in rows)
    )
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Lays out rows of cells as a Markdown table, the first one its head, to the right except columns in `left`."""
    # A bar in a cell would end it.
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    rule = " | ".join("---" if column in left else "--:" for column in range(len(rows[0])))
    return "\n".join([lines[0], f"| {rule} |", *lines[1:]])


def as_html(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Lays out rows of cells as an HTML table, the first one its head, to the right except columns in `left`."""
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        sides = ["left" if column in left else "right" for column in range(len(row))]
        cells = (
            f'<{tag} style="text-align: {side}">{html.escape(cell.strip())}</{tag}>'
            for side, cell in zip(sides, row, strict=True)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(["<table>", f"<thead>{lines[0]}</thead>", "<tbody>", *lines[1:], "</tbody>", "</table>"])


def label_of(metric: str) -> str:
    """A metric's name in words."""
    return {"auc": "AUC"}.get(metric, metric.replace("_", " "))


def in_percent(metric: str) -> bool:
    """Whether a metric is a share that is given in percent."""
    return metric.endswith(("accuracy", "precision", "recall"))


def format_score(metric: str, value: float, error: float = math.nan) -> str:
    """A score, ± its standard error where that is known: in percent, or as exact as the error tells."""
    if in_percent(metric):
        return f"{100 * value:.1f}" + (f" ± {100 * error:.1f}" if math.isfinite(error) else "") + " %"
    if not math.isfinite(error) or error <= 0:
        return f"{value:.4g}"
    digits = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def format_rough(metric: str, value: float) -> str:
    """A score in whole percent, or to two digits, where more would say what is not known."""
    return f"{100 * value:.0f} %" if in_percent(metric) else f"{value:.2g}"


def format_difference(metric: str, value: float, error: float = math.nan) -> str:
    """A difference of scores in words, ± its standard error where that is known; of percentages in points."""
    size = format_score(metric, abs(value), error)
    unit = f"{size.removesuffix(' %')} points" if in_percent(metric) else size
    return f"{unit} {'above' if value >= 0 else 'below'}"


def duration(seconds: float) -> str:
    """A time in words, as exact as an estimate is."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def listed(things: Sequence[object]) -> str:
    """Things in a sentence: with commas, and "and" before the last."""
    *others, last = map(str, things)
    return f"{', '.join(others)} and {last}" if others else last
