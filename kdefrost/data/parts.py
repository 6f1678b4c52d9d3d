"""Parts of a folder of images: which of its sub-folders are to train, to choose on and to test on."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

# What parts are called, without `set`, `data` or `images`: by Keras and torchvision (`train`, `val`), fastai (`valid`),
# Hugging Face (`dev`, `eval`) and the archives of Kaggle (`Training`, `test_set`). Not `tr` and `te`, languages too.
NAMES = {
    "train": ("train", "training", "trn", "trainval"),
    "validation": ("validation", "valid", "validate", "validating", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
_PART_OF = {name: part for part, names in NAMES.items() for name in names}
_ADDITIONS = r"(?:set|data|images?|imgs?|split|part)+$"

# For each sub-folder, whether images lie in it itself, and the names of its own sub-folders that have images.
Shapes = Mapping[str, tuple[bool, tuple[str, ...]]]


def named_parts(names: tuple[str, ...]) -> dict[str, str]:
    """The sub-folders whose names say what part they are.

    Args:
        names: Names of all sub-folders.

    Returns:
        Names by `"train"`, `"validation"` and `"test"`; empty without a part to train on and another.

    Raises:
        ValueError: If two say the same.
    """
    found = [(part, name) for name in names if (part := _part(name)) is not None]
    parts = {part: name for part in NAMES for said, name in found if said == part}
    if "train" not in parts or len(parts) < 2:
        return {}
    if len(found) > len(parts):
        raise ValueError(
            f"A folder must have one part each to train, to validate and to test on; here are "
            f"{', '.join(name for _, name in found)}: remove or rename what is too many, or say by `parts` which "
            "is which."
        )
    return parts


def check_parts(root: Path, parts: Mapping[str, str]) -> dict[str, str]:
    """The sub-folders that a user says are the parts.

    Args:
        root: The folder.
        parts: Sub-folders by `"train"`, `"validation"` and `"test"`, or none.

    Returns:
        The same as a dict.

    Raises:
        ValueError: If they are not such, or one is given twice.
    """
    known = isinstance(parts, Mapping) and set(parts) <= set(NAMES)
    if not known or (parts and ("train" not in parts or len(parts) < 2)):
        raise ValueError(
            '`parts` must be sub-folders by "train" and "test", and "validation" where there is one, or {} where '
            f"sub-folders are classes. Received: parts={parts!r}"
        )
    if parts and "test" not in parts:
        # Of two parts the second reports, whatever it is called.
        parts = {"train": parts["train"], "test": parts["validation"]}
    for part, name in parts.items():
        if not (root / name).is_dir():
            raise ValueError(f"`parts` must name sub-folders of {root}. Received: {part}={os.fspath(name)!r}")
    if len({os.path.realpath(root / name) for name in parts.values()}) < len(parts):
        raise ValueError(
            f"`parts` must be different sub-folders: who tests on what was trained on learns nothing. Received: "
            f"parts={parts!r}"
        )
    return {part: os.fspath(parts[part]) for part in NAMES if part in parts}


def look_like_parts(shapes: Shapes) -> bool:
    """Whether sub-folders look as if they were parts, and not classes, of a folder.

    No images lie in any of them itself, and either their names have words of parts in them, or the same
    sub-folders lie in most of them: classes in parts. Numbered sub-folders (years, cameras) of sub-folders that are not
    numbered are taken for what they seem, shares of a class.

    Args:
        shapes: What the sub-folders with images hold.

    Returns:
        Whether they do.
    """
    if len(shapes) < 2 or any(has_images for has_images, _ in shapes.values()):
        return False
    if len({part for name in shapes for part in _words_of_parts(name)}) > 1:
        return True
    counts = Counter(name for _, below in shapes.values() for name in below)
    shared = {name for name, count in counts.items() if count > len(shapes) / 2}
    if len(shared) < 2 or not all(shared & set(below) for _, below in shapes.values()):
        return False
    return _are_numbered(shapes) or not _are_numbered(shared)


def guessed_parts(names: Sequence[str]) -> tuple[str, str]:
    """Which of two sub-folders or more may be to train on, and which to test on: by words, else in their order."""
    said = {part: name for name in reversed(names) for part in _words_of_parts(name)}
    held_out = said.get("test", said.get("validation"))
    train = said.get("train") or next(name for name in names if name != held_out)
    test = held_out if held_out not in (None, train) else next(name for name in names if name != train)
    return train, test


def _part(name: str) -> str | None:
    """The part that a name says, whatever its capitals."""
    return _PART_OF.get(re.sub(_ADDITIONS, "", re.sub(r"[^a-z]", "", name.lower())))


def _words_of_parts(name: str) -> set[str]:
    words = (_part(word) or _part(word.removesuffix("s")) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name))
    return {part for part in words if part is not None}


def _are_numbered(names) -> bool:
    """Whether names are alike but for a number or a last letter, as `fold1` and `fold2`, `set_a` and `set_b`."""
    stems = {re.sub(r"\d+|(?<=[-_ .])[a-z]$", "", name.lower()) for name in names}
    return len(stems) == 1
