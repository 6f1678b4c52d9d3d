"""Text tables."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Lays out rows of cells in columns, to the right except those in `left`."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) if c in left else cell.rjust(width) for c, (cell, width) in columns).rstrip()
        for columns in (enumerate(zip(row, widths, strict=True)) for row in rows)
    )
    return "\n".join(lines)
