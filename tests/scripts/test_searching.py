"""The budget of a search on the command line."""

import argparse
import datetime

import pytest

from kdefrost_commands import searching


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("0.25", 0.25),
        ("1", 1.0),
        ("20s", datetime.timedelta(seconds=20)),
        ("10min", datetime.timedelta(minutes=10)),
        ("1.5h", datetime.timedelta(hours=1.5)),
    ],
)
def test_a_share_or_a_time(text, budget):
    assert searching.share_or_time(text) == budget


@pytest.mark.parametrize(
    "text", ["0", "-1", "2", "x", "s", "5m", "nan", "inf", "nans", "infh", "1e20h", "1e-9s", "-5s"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be a share of the full profile, .*, not {text}"):
        searching.share_or_time(text)
