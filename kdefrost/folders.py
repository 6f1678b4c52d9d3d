"""Folders of images: which files are of which class, and an array that decodes its images when asked."""

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# Names of the part to test on; the first that is there counts.
_TEST_PARTS = ("test", "validation", "val")

# Per color mode, PIL's name of it and the number of channels.
_COLOR_MODES = {"rgb": ("RGB", 3), "grayscale": ("L", 1)}

# Names of the classes whose folders are 0 and 1.
_IDC_CLASSES = ("negative", "positive")
_IDC_FOLDERS = ("", "idc", "IDC_regular_ps50_idx5")
_IDC_LAYOUT = "<patient>/<0 or 1>/<patch>.png, with 0 for negative and 1 for positive"

_THREADS = min(8, os.cpu_count() or 1)

# Few enough images that all threads share a batch, enough that handing them out costs little.
_BLOCK = 8


class ImageFiles:
    """Images in files, decoded only when asked for.

    Stands for a uint8 array `(images, height, width, channels)`: indexing by images and
    `np.asarray` give arrays, `take` gives other `ImageFiles`. An image of another size is
    resized (stretched; bilinear and antialiased). 16-bit grey is scaled to 8 bits,
    transparency is dropped, and of an animation the first frame is taken.

    Args:
        root: Folder of the files.
        files: Their paths, relative to `root`, with forward slashes.
        image_size: `(height, width)` of the images.
        color_mode: `"rgb"` or `"grayscale"`.

    Raises:
        ValueError: If there is no such color mode; and, when an image is asked for, if its
            file is empty, truncated or no image.

    Example:

    >>> images = ImageFiles("photos", ["cat/1.jpg", "dog/1.png"], (224, 224))
    >>> images[:1].shape
    (1, 224, 224, 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self, root: str | os.PathLike, files: Sequence[str], image_size: tuple[int, int], color_mode: str = "rgb"
    ):
        if color_mode not in _COLOR_MODES:
            modes = " or ".join(repr(mode) for mode in _COLOR_MODES)
            raise ValueError(f"`color_mode` must be {modes}. Received: color_mode={color_mode!r}")
        # Absolute, because the working folder may have changed when the files are read.
        self._root = Path(root).absolute()
        self._files = np.array(files, dtype=object)
        self._image_size = tuple(int(side) for side in image_size)
        self._color_mode = color_mode

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(images, height, width, channels)`."""
        return len(self), *self._image_size, _COLOR_MODES[self._color_mode][1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the files' relative paths and sizes in bytes, the image size and the color mode.

        The content is not read: a file replaced by another one of as many bytes goes unnoticed.
        """
        digest = hashlib.sha256(f"{self.shape[1:]}\n".encode())
        for file in self._files:
            size = (self._root / file).stat().st_size
            digest.update(os.fsencode(file) + f"\0{size}\n".encode())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def content_fingerprint(self) -> str:
        """Hash of the files' relative paths and bytes, the image size and the color mode; reads all files once."""
        digest = hashlib.sha256(f"{self.shape[1:]}\n".encode())
        for file in self._files:
            digest.update(os.fsencode(file) + b"\0" + hashlib.sha256((self._root / file).read_bytes()).digest())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows) -> np.ndarray:
        numbers = self._numbers(rows)
        if numbers.ndim == 0:
            return self._decode(numbers)
        images = np.empty((len(numbers), *self.shape[1:]), self.dtype)

        def fill(block):
            for place in block:
                images[place] = self._decode(numbers[place])

        for _ in _in_threads(fill, len(numbers)):
            pass
        return images

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("Image files must be read into a new array: ask for copy=None. Received: copy=False")
        images = self[:]
        return images if dtype is None else images.astype(dtype, copy=False)

    def take(self, rows) -> "ImageFiles":
        """The images of some rows, still in their files.

        Args:
            rows: A slice, a mask, or row numbers in any order.

        Returns:
            An `ImageFiles`.
        """
        files = self._files[np.atleast_1d(self._numbers(rows))]
        return ImageFiles(self._root, files, self._image_size, self._color_mode)

    def readable(self) -> np.ndarray:
        """Decodes each image once to see whether that works, with a progress bar if it takes long.

        Returns:
            A mask `(images,)`: False where the file is empty, truncated or no image.
        """

        def check(block):
            return [self._is_readable(row) for row in block]

        mask = []
        with tqdm(total=len(self), desc="Checking image files", delay=2) as bar:
            for fine in _in_threads(check, len(self)):
                mask += fine
                bar.update(len(fine))
        return np.array(mask, bool)

    def _numbers(self, rows) -> np.ndarray:
        """Row numbers that an index stands for; of no dimension for a single image."""
        # A tuple asks for pixels too. An Ellipsis or a second dimension makes sense for arrays alone.
        numbers = None if isinstance(rows, tuple) else np.arange(len(self))[rows]
        if numbers is None or numbers.ndim > 1:
            raise IndexError(
                "Image files are indexed by a whole number, a slice, or a list of row numbers; load them by np.asarray "
                f"to index pixels. Received: {rows!r}"
            )
        return numbers

    def _is_readable(self, row: int) -> bool:
        try:
            self._decode(row)
        except ValueError:
            return False
        return True

    def _decode(self, row: int) -> np.ndarray:
        path = self._root / self._files[row]
        try:
            return _decode(path, self._image_size, _COLOR_MODES[self._color_mode][0])
        # A broken file ends in whatever the decoder of its format stumbles over.
        except Exception as error:
            # Missing or not permitted: no fault of the image, and the system's words name the file.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(
                f"The image file {path} cannot be read ({_reason(path, error)}): remove it, or leave out all such "
                'files by load_data(on_corrupt="skip"), --on-corrupt skip.'
            ) from error


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
    (`.name`) is ignored.

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
        if entry.name.startswith("."):
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
    return tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."))


def _in_threads(work: Callable[[range], object], count: int) -> Iterator:
    """Calls `work` on blocks of the numbers below `count`, and yields the results in their order."""
    blocks = [range(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(work, blocks)


def _decode(path: Path, image_size: tuple[int, int], mode: str) -> np.ndarray:
    """Reads an image `(height, width, channels)`."""
    height, width = image_size
    with Image.open(path) as image:
        image.load()
        # Without it the colours stay as stored, and PIL does not warn that it cannot convert it.
        image.info.pop("transparency", None)
        converted = _eight_bit(image).convert(mode)
    if converted.size != (width, height):
        converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(converted).reshape(height, width, -1)


def _eight_bit(image: Image.Image) -> Image.Image:
    """An image of 8 bits per channel; PIL itself would clip deeper grey at 255."""
    # Before version 11, PIL gave 16-bit PNG files the 32-bit mode.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits per pixel, whose range is not known, and must have 8 or 16")
    return image


def _reason(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "it is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is no image"
    return str(error) or type(error).__name__
