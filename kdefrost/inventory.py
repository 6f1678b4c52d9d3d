"""What is kept in `saved_models`: how large it is, when it was last used and by whom, and what makes room."""

import atexit
import contextlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kdefrost.files import ASIDE, clear_parts, part_of
from kdefrost.trials.presence import Presence, is_used

MANIFEST = "manifest.json"
# Sub-folders with what is made again when it is gone; nothing else is ever removed.
KINDS = ("sources", "clones", "autoencoders")
# What all of it may take, in GiB, and the environment variable that says otherwise.
LIMIT, MOST = "KDEFROST_KEPT_GIB", 20.0
_NAME = re.compile(rf".+-[0-9a-f]{{8}}({re.escape(ASIDE)})?")
# What this process uses, until it ends.
_used: dict[Path, Presence] = {}


class Kept(NamedTuple):
    """Something that is kept.

    Attributes:
        path: Its folder.
        kind: One of `KINDS`.
        bytes: What its files take.
        used: When it was last used, in seconds as `time.time` counts them.
        purpose: What it is, in words.
        is_used: Whether a process that still runs has used it.
    """

    path: Path
    kind: str
    bytes: int
    used: float
    purpose: str
    is_used: bool

    @property
    def is_aside(self) -> bool:
        """Whether it was found to be damaged, and has been made anew since, if it was asked for."""
        return self.path.name.endswith(ASIDE)

    def __str__(self) -> str:
        return f"{self.kind}/{self.path.name}"


def use(folder: Path):
    """Notes that this process uses what is kept in a folder, so that no other removes it before this one ends."""
    folder = folder.absolute()
    if folder not in _used:
        _used[folder] = Presence(folder, None)
    # What belongs to others can be used and not be noted.
    with contextlib.suppress(OSError):
        os.utime(folder / MANIFEST)


def leave(folder: Path):
    """Notes that this process no longer uses what is kept in a folder."""
    if folder.absolute() in _used:
        _used.pop(folder.absolute()).end()


@atexit.register
def _leave_all():
    for folder in list(_used):
        leave(folder)


def limit() -> float:
    """What all that is kept may take, in bytes: `KDEFROST_KEPT_GIB`, 20 GiB where it is not set.

    Raises:
        ValueError: If the variable is no number from 0 on.
    """
    text = os.environ.get(LIMIT, "").strip() or str(MOST)
    with contextlib.suppress(ValueError):
        if float(text) >= 0:
            return float(text) * 2**30
    raise ValueError(
        f"The environment variable {LIMIT} must be a number of GiB, at least 0, or inf. Received: {text!r}"
    )


def kept_in(directory: Path) -> list[Kept]:
    """All that is kept; what killed processes left of it is cleared.

    Args:
        directory: The folder of `KINDS`, such as `saved_models`.

    Returns:
        A list; first what goes first where room is needed: what is damaged, then what was used longest ago.
    """
    # Of processes that were killed as they wrote or removed something.
    for kind in KINDS:
        if (directory / kind).is_dir():
            clear_parts(directory / kind)
    folders = [(kind, folder) for kind in KINDS for folder in (directory / kind).glob("*") if _is_kept(folder)]
    return sorted(
        (_described(kind, folder) for kind, folder in folders), key=lambda kept: (not kept.is_aside, kept.used)
    )


def remove(kept: Kept) -> bool:
    """Removes what is kept, unless a process that still runs uses it.

    Args:
        kept: What.

    Returns:
        Whether it is gone.

    Raises:
        OSError: If it is not this user's to remove.
    """
    if is_used(kept.path):
        return False
    beside = part_of(kept.path)
    try:
        kept.path.rename(beside)
    except FileNotFoundError:
        return True
    # Whoever began to use it in this moment has it back.
    if is_used(beside):
        beside.rename(kept.path)
        return False
    shutil.rmtree(beside)
    return True


def keep_within(directory: Path, most: float) -> list[Kept]:
    """Removes what was used longest ago until all that is kept takes no more than it may.

    Args:
        directory: The folder of `KINDS`.
        most: In bytes.

    Returns:
        What is gone; too little where running processes use the rest.
    """
    every = kept_in(directory)
    too_much, gone = sum(kept.bytes for kept in every) - most, []
    for kept in every:
        if too_much <= 0:
            break
        # What is another user's stays.
        with contextlib.suppress(OSError):
            if remove(kept):
                gone.append(kept)
                too_much -= kept.bytes
    return gone


def size_of(kept: Iterable[Kept]) -> str:
    """What some of it takes, in words."""
    total = sum(each.bytes for each in kept)
    return f"{total / 2**30:.1f} GiB" if total >= 2**30 / 10 else f"{total / 2**20:.1f} MiB"


def age_of(kept: Kept) -> str:
    """How long ago it was last used, in words."""
    seconds = max(0.0, time.time() - kept.used)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = math.floor(seconds / length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _is_kept(folder: Path) -> bool:
    """Whether a folder is one that `kept.writing` made."""
    if not folder.is_dir() or not _NAME.fullmatch(folder.name):
        return False
    return folder.name.endswith(ASIDE) or (folder / MANIFEST).is_file()


def _described(kind: str, folder: Path) -> Kept:
    """What is kept in a folder, of which parts may go while it is looked at."""
    sizes = [0]
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    used = 0.0
    with contextlib.suppress(OSError):
        used = (folder / MANIFEST if (folder / MANIFEST).exists() else folder).stat().st_mtime
    return Kept(folder, kind, sum(sizes), used, _purpose(kind, folder), is_used(folder))


def _purpose(kind: str, folder: Path) -> str:
    """What something is for, as its manifest says."""
    try:
        known = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        how = f"{known['recipe']['epochs']} epochs, " if kind != "clones" else ""
        if kind == "sources":
            return f"{known['model']} trained on {known['source']}, {how}seed {known['seed']}"
        if kind == "clones":
            return f"clone {known['clone']} of {known['original']}, seed {known['seed']}"
        return f"autoencoder of such clones, {how}seed {known['seed']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "not known: its manifest is damaged"
