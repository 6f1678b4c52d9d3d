"""The budget of a search, as it is given on the command line."""

import argparse
import datetime

# See docs/search.md.
DEFAULT_BUDGET = 0.25
_UNITS = {"s": 1, "min": 60, "h": 3600}


def share_or_time(text: str) -> float | datetime.timedelta:
    """What `--search` takes: a share such as 0.25, or a time such as 600s, 10min or 1h."""
    unit = next((unit for unit in _UNITS if text.endswith(unit)), None)
    try:
        amount = float(text.removesuffix(unit or ""))
    except ValueError:
        amount = -1.0
    if not 0 < amount < float("inf") or (unit is None and amount > 1):
        raise argparse.ArgumentTypeError(
            f"must be a share of the full profile, such as 0.25, or a time, such as 600s, 10min or 1h, not {text}"
        )
    return amount if unit is None else datetime.timedelta(seconds=amount * _UNITS[unit])


def budget_text(budget: float | datetime.timedelta) -> str:
    """A budget in words."""
    if isinstance(budget, datetime.timedelta):
        return f"{budget.total_seconds():g} s of training"
    return f"{100 * budget:g} % of this training"
