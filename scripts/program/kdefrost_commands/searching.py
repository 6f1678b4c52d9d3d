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
        budget = amount if unit is None else datetime.timedelta(seconds=amount * _UNITS[unit])
    # What is no number, and more seconds than a time can have.
    except (ValueError, OverflowError):
        amount = budget = -1.0
    # Of a time so short that it is rounded to none, nothing is left.
    if amount <= 0 or not budget or (unit is None and not amount <= 1):
        raise argparse.ArgumentTypeError(
            f"must be a share of the full profile, such as 0.25, or a time, such as 600s, 10min or 1h, not {text}"
        )
    return budget


def budget_text(budget: float | datetime.timedelta) -> str:
    """A budget in words."""
    if isinstance(budget, datetime.timedelta):
        return f"{budget.total_seconds():g} s of training"
    return f"{100 * budget:g} % of the training of all trials"
