"""Folders of images: which files there are, of which classes, in which parts."""

import itertools
import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

# Names of what systems put beside people's own files begin so.
_HIDDEN = (".", "__MACOSX")
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Names of the part to test on; the first that is there counts.
_TEST_PARTS = ("test", "validation", "val")
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
    """

    root: Path
    files: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray | None = None
    groups: np.ndarray | None = None

    def take(self, rows) -> "Listing":
        """The listing of some rows, which may be a slice, a mask or row numbers."""
        columns = {name: getattr(self, name) for name in ("files", "labels", "test", "groups")}
        return self._replace(**{name: column[rows] for name, column in columns.items() if column is not None})


def list_folder(folder: str | os.PathLike) -> Listing:
    """Lists a folder that has one sub-folder of images per class, or `train` and `test` with such.

    All images in a class's folder and below are of that class. In place of `test`,
    `validation` or `val` will do; capitals do not matter in these names. What is hidden
    (`.name`), and `__MACOSX`, which archives from a Mac hold beside the images, is ignored.

    Args:
        folder: The folder.

    Returns:
        A `Listing`, with classes and files in the order of their names.

    Raises:
        ValueError: If there are fewer than two classes, a class has no image to train on, or
            one is in the test part only.
    """
    root = Path(folder).absolute()
    parts = _parts(root)
    classes = _classes(root / parts[0])
    listed = [_list_part(root, part, classes) for part in parts]
    _check_filled(root / parts[0], classes, listed[0][1])
    test = None
    if len(parts) > 1:
        _check_known(root, parts, classes)
        test = np.repeat([False, True], [len(labels) for _, labels in listed])
    files, labels = (np.concatenate(column) for column in zip(*listed, strict=True))
    return Listing(root, files, labels, classes, test)


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
    """
    roots = [] if data_dir is None else [Path(data_dir).absolute() / name for name in _IDC_FOLDERS]
    root, patients = next(((root, names) for root in roots if (names := _patients(root))), (None, []))
    if root is None:
        raise ValueError(
            f"`data_dir` (--data-dir) must be the folder of the IDC patches, laid out as {_IDC_LAYOUT}, or have it as "
            f"its sub-folder `idc` or `IDC_regular_ps50_idx5`. Received: data_dir={data_dir and os.fspath(data_dir)!r}"
        )
    listed = [_list_part(root, patient, ("0", "1")) for patient in patients]
    files, labels = (np.concatenate(column) for column in zip(*listed, strict=True))
    groups = np.repeat(patients, [len(labels) for _, labels in listed])
    return Listing(root, files, labels, _IDC_CLASSES, groups=groups)


def _parts(root: Path) -> tuple[str, ...]:
    """Sub-folders to train and to test on; the folder itself, "", where there are no such."""
    names = {name.lower(): name for name in _subfolders(root)}
    test = next((names[part] for part in _TEST_PARTS if part in names), None)
    return ("",) if test is None or "train" not in names else (names["train"], test)


def _classes(folder: Path) -> tuple[str, ...]:
    names = _subfolders(folder)
    if len(names) < 2:
        images = sum(name.lower().endswith(_ENDINGS) for name in os.listdir(folder))
        raise ValueError(
            f"The folder {folder} must have two or more sub-folders of images, each named for its class; its "
            f"sub-folders are ({', '.join(names)}), with {images} images beside them: sort the images into such "
            "sub-folders, or name the folder that has them."
        )
    return names


def _check_filled(folder: Path, classes: tuple[str, ...], labels: np.ndarray):
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        raise ValueError(
            f"The class folder {folder / classes[counts.argmin()]} must hold images ({', '.join(_ENDINGS)}), and it "
            "holds none: add some, or remove the folder."
        )


def _check_known(root: Path, parts: tuple[str, ...], classes: tuple[str, ...]):
    train, test = parts
    unknown = [name for name in _subfolders(root / test) if name not in classes]
    if unknown:
        raise ValueError(
            f"The classes in {root / test} must be among those in {root / train}; only to test on is "
            f"{', '.join(unknown)}: add its training images, or remove it."
        )


def _list_part(root: Path, part: str, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Image files in the class folders of a part, as far as they are there, and their labels."""
    folders = [str(PurePosixPath(part, name)) for name in classes]
    found = [_image_files(root, folder) if (root / folder).is_dir() else [] for folder in folders]
    files = np.array(list(itertools.chain.from_iterable(found)), dtype=object)
    return files, np.repeat(np.arange(len(classes)), [len(names) for names in found])


def _image_files(root: Path, folder: str) -> list[str]:
    """Image files in a folder and below, as sorted paths relative to the root."""
    files = []
    for entry in os.scandir(root / folder):
        path = f"{folder}/{entry.name}"
        if entry.name.startswith(_HIDDEN):
            continue
        if entry.is_dir():
            files += _image_files(root, path)
        elif entry.name.lower().endswith(_ENDINGS):
            files.append(path)
    return sorted(files)


def _patients(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [name for name in _subfolders(folder) if any((folder / name / label).is_dir() for label in ("0", "1"))]


def _subfolders(folder: Path) -> tuple[str, ...]:
    """Sorted names of the sub-folders that are not hidden."""
    return tuple(
        sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(_HIDDEN))
    )
