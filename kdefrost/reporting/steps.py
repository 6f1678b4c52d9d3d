"""What to do next with a profile, as lines that can be pasted."""

import itertools
import shlex
from pathlib import Path
from typing import NamedTuple

from kdefrost.profile import words
from kdefrost.profile.result import DefrostProfile

_SEARCH = 0.25
# Letters after which a command goes on in another line.
_WIDTH = 60


class Step(NamedTuple):
    """Something to do next.

    Attributes:
        why: What it is for.
        code: The lines, of a shell or of Python.
    """

    why: str
    code: str


def next_steps(profile: DefrostProfile) -> list[Step]:
    """What to do next: more seeds, a search or all of a profile, and the model.

    Args:
        profile: A profile with at least one trial; one that a command made has that in its configuration.

    Returns:
        The steps, as commands where a command made the profile, else as lines of Python.
    """
    seeds = 2 * len(profile.seeds)
    command = profile.configuration.get("command")
    lines = _commands(command, profile, seeds) if command else _python(profile, seeds)
    return [Step(why, code) for why, code in zip(_reasons(profile, command), lines, strict=True)]


def _reasons(profile: DefrostProfile, command: list[str] | None) -> list[str]:
    size = profile.per_class[-1]
    near = len(profile.near_best_cuts(size)) - 1 if profile.is_scored(size) else 0
    are = f"{near} cuts are" if near > 1 else "one cut is"
    still = f"With {words.size_text(profile, size)}, {are} not told apart from the best one. " if near else ""
    other = (
        "The whole profile, with the cuts that the search left out:"
        if profile.searched
        else "Other images or another source, with their names put in, at a quarter of the training:"
    )
    export = _value(command or [], "--export")
    model = "What the exported model makes of photographs:" if export else "The best model, written:"
    return [f"{still}More seeds tell more; only trials that are missing run:", other, model]


def _commands(command: list[str], profile: DefrostProfile, seeds: int) -> list[str]:
    if profile.searched:
        other = _without(command, "--search")
    else:
        other = [*_without(command, "--patience", "--out", "--export"), "--search"]
    path = _value(command, "--export")
    if path:
        last = _in_lines([*_beside(command, "predict"), path, "photo.jpg"])
    else:
        target = Path(str(profile.configuration.get("target", "mine"))).name
        last = _in_lines([*command, "--export", f"saved_models/{target}"])
    return [_in_lines([*_without(command, "--seeds"), "--seeds", str(seeds)]), _in_lines(other), last]


def _beside(command: list[str], name: str) -> list[str]:
    """How another command is called, where a script or the installed program was called so."""
    *door, called = itertools.takewhile(lambda word: not word.startswith("--"), command)
    return [*door, str(Path(called).with_name(f"{name}.py")) if called.endswith(".py") else name]


def _in_lines(command: list[str]) -> str:
    """A command in lines that a page has room for, broken before options."""
    lines = [""]
    for word in command:
        quoted = shlex.quote(word)
        if word.startswith("--") and len(lines[-1]) > _WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{quoted}"
    return " \\\n    ".join(lines)


def _value(command: list[str], option: str) -> str | None:
    """The word after an option; `None` where there is none."""
    for place, word in enumerate(command):
        if word == option and place + 1 < len(command):
            return command[place + 1]
        if word.startswith(f"{option}="):
            return word.split("=", 1)[1]
    return None


def _without(command: list[str], *options: str) -> list[str]:
    """A command without some options, and the word that each takes, if any."""
    left, skip = [], False
    for word in command:
        if word.split("=", 1)[0] in options:
            skip = word in options
        elif skip and not word.startswith("--"):
            skip = False
        else:
            left.append(word)
            skip = False
    return left


def _python(profile: DefrostProfile, seeds: int) -> list[str]:
    """The same for whoever has a `Defroster`, with its data by the names of the arguments."""
    given = ["train", *(f"{name}={name}" for name in profile.configuration.get("data", {}) if name != "train")]
    sizes = profile.per_class
    if sizes != [None]:
        given.append(f"per_class={sizes}")
    if profile.folds is not None:
        given.append(f"folds={profile.folds}")
    same = [*given, f"seeds={len(profile.seeds)}"]
    other = f"profile({', '.join(same)})" if profile.searched else f"search({', '.join(same)}, budget={_SEARCH})"
    kind = "search" if profile.searched else "profile"
    of_size = "" if sizes[-1] is None else f", per_class={sizes[-1]}"
    return [
        f"profile = defroster.{kind}({', '.join([*given, f'seeds={seeds}'])})",
        f"profile = defroster.{other}",
        f"model = defroster.best_model(profile{of_size})\n"
        f'kdefrost.export(model, "saved_models/mine", profile{of_size})',
    ]
