"""Arguments, refused in one way where they cannot be: by their names, with what was expected and what came."""

import numbers
import os
from collections.abc import Sequence
from pathlib import Path

# Characters of what came that an error shows: of an array or a model its first line says enough.
_LONGEST = 100
_A_PATH = "the path of a file or folder, as text or a pathlib.Path"


def as_whole(name: str, value, least: int, most: int | None = None) -> int:
    """A whole number, Python's or NumPy's.

    Args:
        name: The argument's name.
        value: What is given for it.
        least: The smallest that it may be.
        most: The largest; `None` where there is none.

    Returns:
        The number as Python's.

    Raises:
        ValueError: If it is no whole number, or out of its range.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        raise _refused(name, f"a whole number, {span}", value)
    return int(value)


def check_number(name: str, value):
    """Refuses what is no number, such as text, or one that has the name of a truth."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _refused(name, "a number", value)


def check_seed(seed):
    """Refuses what fixes no random numbers: all but a whole number from 0, or a sequence of such."""
    each = list(seed) if isinstance(seed, Sequence) and not isinstance(seed, (str, bytes)) else [seed]
    if not each or any(isinstance(s, bool) or not isinstance(s, numbers.Integral) or s < 0 for s in each):
        raise _refused("seed", "a whole number, at least 0, or a sequence of such", seed)


def check_kind(name: str, value, kind: type | tuple[type, ...], expected: str):
    """Refuses what is of another type.

    Args:
        name: The argument's name.
        value: What is given for it.
        kind: The type, or several.
        expected: What it must be, in words.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(value, kind):
        raise _refused(name, expected, value)


def as_path(name: str, value, expected: str = _A_PATH) -> Path:
    """The path of a file or folder.

    Args:
        name: The argument's name.
        value: What is given for it.
        expected: What it must be, in words.

    Returns:
        The path.

    Raises:
        ValueError: If it is no path of text, or one that no file can have.
    """
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path or not _is_encodable(path):
        raise _refused(name, expected, value)
    return Path(path)


def _is_encodable(path: str) -> bool:
    """Whether the system has bytes for a text; half of a character has none."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _refused(name: str, expected: str, value) -> ValueError:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} …"
    return ValueError(f"`{name}` must be {expected}. Received: {name}={shown}")
