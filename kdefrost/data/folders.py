"""Folders of images: which files there are, of which classes, in which parts."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from kdefrost.data.image_files import IMAGE_ENDINGS, counted, readable_endings
from kdefrost.data.parts import check_parts, guessed_parts, look_like_parts, named_parts
from kdefrost.data.tree import files_below, printable, subfolders

# Names of the classes whose folders are 0 and 1.
_IDC_CLASSES = ("negative", "positive")
_IDC_FOLDERS = ("", "idc", "IDC_regular_ps50_idx5")
_IDC_LAYOUT = "<patient>/<0 or 1>/<patch>.png, with 0 for negative and 1 for positive"


class Listing(NamedTuple):
    """Image files of a folder, and what each is.

    Attributes:
        root: The folder.
        files: Paths `(files,)` relative to it, with forward slashes, in a fixed order.
        labels: Class numbers `(files,)`.
        classes: Names of the classes.
        test: Mask `(files,)` of those to test on; None where the folder does not say.
        groups: Names `(files,)` of the groups (patients) that they are of; None if they are
            independent.
        validation: Mask `(files,)` of those to choose on; None where the folder does not say.
        left_out: Numbers of files that are images and cannot be read, by their endings.
    """

    root: Path
    files: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray | None = None
    groups: np.ndarray | None = None
    validation: np.ndarray | None = None
    left_out: Mapping[str, int] = {}

    def take(self, rows) -> "Listing":
        """The listing of some rows, which may be a slice, a mask or row numbers."""
        columns = {name: getattr(self, name) for name in ("files", "labels", "test", "groups", "validation")}
        return self._replace(**{name: column[rows] for name, column in columns.items() if column is not None})


class _Files(NamedTuple):
    """Files of a part, class by class: the images, and the others."""

    images: list[list[str]]
    others: list[list[str]]

    @property
    def labels(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.images)), [len(names) for names in self.images])


def list_folder(folder: str | os.PathLike, parts: Mapping[str, str] | None = None) -> Listing:
    """Lists a folder that has one sub-folder of images per class, or parts with such, as `train` and `test`.

    All images in a class's folder and below are of that class. The names of parts are those in `parts.NAMES`;
    capitals do not matter. A part to validate on is the one to test on where there is none for that: scores on
    images that chose a cut flatter it. What is hidden (`.name`), and `__MACOSX`, which archives from a Mac hold
    beside the images, is ignored.

    Args:
        folder: The folder.
        parts: Its sub-folders by `"train"`, `"validation"` and `"test"`; empty where its sub-folders
            are classes. By default what their names say.

    Returns:
        A `Listing`, with classes and files in the order of their names.

    Raises:
        ValueError: If there are fewer than two classes, a class has no image to train on, one is in another
            part only, or what is taken for classes looks like parts.
        OSError: If a sub-folder cannot be listed.
    """
    root = Path(folder).absolute()
    found = named_parts(subfolders(root)) if parts is None else check_parts(root, parts)
    classes = _classes(root / found.get("train", ""), found if parts is None else {})
    if "test" not in found and "validation" in found:
        found = {"train": found["train"], "test": found["validation"]}
    listed = {part: _list_part(root, place, classes) for part, place in (found or {"train": ""}).items()}
    _check_filled(root / found.get("train", ""), classes, listed["train"])
    if parts is None:
        _check_classes(root, found, classes, listed["train"].images)
    for part in found.keys() - {"train"}:
        _check_known(root, found, part, classes)
        _check_sorted(root, found, part, listed[part])
    listing, of_part = _joined(root, classes, listed)
    return listing._replace(**{part: of_part == part for part in found if part != "train"})


def list_patches(data_dir: str | os.PathLike | None) -> Listing:
    """Lists the patches of breast tissue with and without invasive ductal carcinoma (IDC).

    Source: Cruz-Roa et al., *Automatic detection of invasive ductal carcinoma in whole slide
    images with convolutional neural networks* (2014); Janowczyk and Madabhushi (2016).

    Args:
        data_dir: Folder of the patients' folders, `<patient>/<0 or 1>/<patch>.png`, or one
            that has it as its sub-folder `idc` or `IDC_regular_ps50_idx5`.

    Returns:
        A `Listing` whose groups are the patients.

    Raises:
        ValueError: If no patients' folders are there.
        OSError: If a sub-folder cannot be listed.
    """
    roots = [] if data_dir is None else [Path(data_dir).absolute() / name for name in _IDC_FOLDERS]
    root, patients = next(((root, names) for root in roots if (names := _patients(root))), (None, []))
    if root is None:
        raise ValueError(
            f"`data_dir` (--data-dir) must be the folder of the IDC patches, laid out as {_IDC_LAYOUT}, or have it as "
            f"its sub-folder `idc` or `IDC_regular_ps50_idx5`. Received: data_dir={data_dir and os.fspath(data_dir)!r}"
        )
    listed = {patient: _list_part(root, patient, ("0", "1")) for patient in patients}
    listing, groups = _joined(root, _IDC_CLASSES, listed)
    return listing._replace(groups=groups)


def _classes(folder: Path, taken_for_parts: Mapping[str, str]) -> tuple[str, ...]:
    names = subfolders(folder)
    if len(names) < 2:
        or_classes = ""
        if taken_for_parts:
            both = " and ".join(taken_for_parts.values())
            or_classes = f" If {both} are classes, say so by parts={{}}, --parts none."
        raise ValueError(
            f"The folder {folder} must have two or more sub-folders of images, each named for its class; its "
            f"sub-folders are ({', '.join(names)}), with {_loose(folder)} images beside them: sort the images into "
            f"such sub-folders, or name the folder that has them.{or_classes}"
        )
    return names


def _loose(folder: Path) -> int:
    """Number of images that lie in a folder itself."""
    return sum(name.lower().endswith(readable_endings()) for name in os.listdir(folder))


def _check_filled(folder: Path, classes: tuple[str, ...], listed: _Files):
    for name, images, others in zip(classes, listed.images, listed.others, strict=True):
        if not images:
            there = f" but {counted(Counter(map(_ending, others)))}" if others else ""
            raise ValueError(
                f"The class folder {folder / name} must hold images ({', '.join(readable_endings())}), and it "
                f"holds none{there}: add some, or remove the folder."
            )


def _check_classes(root: Path, found: Mapping[str, str], classes: tuple[str, ...], images: list[list[str]]):
    """Refuses what looks like parts in the place of classes."""
    folder = PurePosixPath(found.get("train", ""))
    shapes = {}
    for name, files in zip(classes, images, strict=True):
        start = len(str(folder / name)) + 1
        below = [file[start:].split("/", 1) for file in files]
        shapes[name] = min(map(len, below)) == 1, tuple({path[0] for path in below if len(path) > 1})
    if not look_like_parts(shapes):
        return
    train, test = guessed_parts(classes)
    said = " ".join(f"{part}={place}" for part, place in found.items()) or "none"
    raise ValueError(
        f"The sub-folders of {root / folder}, {_few(classes)}, look like parts or folds, or like classes that hold "
        f"parts: {train} has the sub-folders {_few(sorted(shapes[train][1]))}. Put classes into parts named `train` "
        f'and `test`; or say which part is which by load_data(parts={{"train": "{train}", "test": "{test}"}}), '
        f"--parts train={train} test={test}; or, if they are classes, by parts={dict(found)}, --parts {said}."
    )


def _check_known(root: Path, found: Mapping[str, str], part: str, classes: tuple[str, ...]):
    unknown = [name for name in subfolders(root / found[part]) if name not in classes]
    if unknown:
        use = {"test": "test", "validation": "validate"}[part]
        raise ValueError(
            f"The classes in {root / found[part]} must be among those in {root / found['train']}; only to {use} on is "
            f"{', '.join(unknown)}: add its training images, or remove it."
        )


def _check_sorted(root: Path, found: Mapping[str, str], part: str, listed: _Files):
    """Refuses a part whose images lie in no class's folder, as those of competitions do, whose labels are kept back."""
    loose = 0 if any(listed.images) else _loose(root / found[part])
    if loose:
        raise ValueError(
            f"The folder {root / found[part]} must have a sub-folder of images per class, as {root / found['train']} "
            f"has; {loose} images lie in it without one, and are of no known class: sort them into such sub-folders, "
            f"or leave them out, by naming the folder {root / found['train']} instead, or by `parts` where there is "
            "another part to test on."
        )


def _list_part(root: Path, part: str, classes: tuple[str, ...]) -> _Files:
    """Files in the class folders of a part, as far as they are there."""
    folders = [str(PurePosixPath(part, name)) for name in classes]
    found = [files_below(root, folder) if (root / folder).is_dir() else [] for folder in folders]
    endings = readable_endings()
    images = [[file for file in files if file.lower().endswith(endings)] for files in found]
    others = [[file for file in files if not file.lower().endswith(endings)] for files in found]
    return _Files(images, others)


def _joined(root: Path, classes: tuple[str, ...], listed: Mapping[str, _Files]) -> tuple[Listing, np.ndarray]:
    """The listing of all parts, and the name of the part that each file is of."""
    files = np.array([file for part in listed.values() for names in part.images for file in names], dtype=object)
    labels = np.concatenate([part.labels for part in listed.values()])
    of_part = np.repeat(list(listed), [len(part.labels) for part in listed.values()])
    others = (_ending(file) for part in listed.values() for names in part.others for file in names)
    left_out = Counter(ending for ending in others if ending in IMAGE_ENDINGS)
    return Listing(root, files, labels, tuple(map(printable, classes)), left_out=left_out), of_part


def _ending(file: str) -> str:
    return PurePosixPath(file).suffix.lower() or "no ending"


def _few(names) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _patients(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [name for name in subfolders(folder) if any((folder / name / label).is_dir() for label in ("0", "1"))]
