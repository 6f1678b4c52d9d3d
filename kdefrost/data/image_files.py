"""Images in files, decoded as they are asked for."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features
from tqdm import tqdm

from kdefrost.data.colors import COLOR_MODES, check_color_mode

# Of photographs and of drawings in pixels; which of them Pillow reads depends on its version and its plugins.
_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic")
_ENDINGS += (".heif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm")
# With those that people have images in and that are not read.
_UNREAD = (
    ".jxl",
    ".svg",
    ".psd",
    ".exr",
    ".hdr",
    ".dcm",
    ".npy",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".raf",
    ".orf",
)
IMAGE_ENDINGS = frozenset(_ENDINGS + _UNREAD)
# In fingerprints: earlier versions did not turn photographs upright, so that theirs were other images.
_READING = "upright"
# Where Pillow notes which colours of an image without an alpha channel are transparent.
_KEYED, _OPAQUE = "transparency", 256
# From this share of hidden pixels on an image is another than the one that is seen.
_HIDDEN = 0.01
_THREADS = min(8, os.cpu_count() or 1)
# Few enough images that all threads share a batch, enough that handing them out costs little.
_BLOCK = 8


class ImageFiles:
    """Images in files, decoded only when asked for.

    Stands for a uint8 array `(images, height, width, channels)`: indexing by images and
    `np.asarray` give arrays, `take` gives other `ImageFiles`. An image of another size is
    resized (stretched; bilinear and antialiased). An image is turned as its EXIF orientation
    says, which is how phones store an upright photograph. 16-bit grey is scaled to 8 bits,
    transparency is dropped, and of an animation the first frame is taken.

    Args:
        root: Folder of the files.
        files: Their paths, relative to `root`, with forward slashes.
        image_size: `(height, width)` of the images.
        color_mode: `"rgb"` or `"grayscale"`.

    Raises:
        ValueError: If there is no such color mode; and, when an image is asked for, if its
            file is empty, truncated, no image or a broken link.

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
        check_color_mode(color_mode)
        # Absolute, because the working folder may have changed when the files are read.
        self._root = Path(root).absolute()
        self._files = np.array(files, dtype=object)
        self._image_size = tuple(int(side) for side in image_size)
        self._color_mode = color_mode
        # Files that were seen to have transparent parts.
        self._transparent: set[str] = set()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(images, height, width, channels)`."""
        return len(self), *self._image_size, COLOR_MODES[self._color_mode][1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the files' relative paths and sizes in bytes, the image size and the color mode.

        The content is not read: a file replaced by another one of as many bytes goes unnoticed.
        """
        digest = hashlib.sha256(f"{_READING}\n{self.shape[1:]}\n".encode())
        for file in self._files:
            size = self._path(file).stat().st_size
            digest.update(os.fsencode(file) + f"\0{size}\n".encode())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def content_fingerprint(self) -> str:
        """Hash of the files' relative paths and bytes, the image size and the color mode; reads all files once."""
        digest = hashlib.sha256(f"{_READING}\n{self.shape[1:]}\n".encode())
        for file in self._files:
            digest.update(os.fsencode(file) + b"\0" + hashlib.sha256(self._path(file).read_bytes()).digest())
        return digest.hexdigest()[:16]

    @property
    def transparent(self) -> np.ndarray:
        """A mask `(images,)` of those whose alpha channel hid colours, among the images that were decoded.

        These have at least a hundredth of their pixels more than half transparent, whose stored colours are in the
        image that is given though no viewer shows them.
        """
        return np.array([file in self._transparent for file in self._files], bool)

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
        path = self._path(self._files[row])
        try:
            pixels, hides = _decode(path, self._image_size, COLOR_MODES[self._color_mode][0])
        # A broken file ends in whatever the decoder of its format stumbles over.
        except Exception as error:
            # Missing or not permitted: no fault of the image, and the system's words name the file. Others come of a
            # damaged image that says that its parts are where they are not.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise _unreadable(path, _reason(path, error)) from error
        if hides:
            self._transparent.add(self._files[row])
        return pixels

    def _path(self, file: str) -> Path:
        path = self._root / file
        if path.is_symlink() and not path.exists():
            raise _unreadable(path, f"it is a link to {os.readlink(path)}, which is not there")
        # To open a pipe would be to wait for whoever writes to it.
        if path.exists() and not path.is_file():
            raise _unreadable(path, "it is no regular file")
        return path


def readable_endings() -> tuple[str, ...]:
    """Endings of the image files that Pillow reads here, with the plugins that are registered."""
    formats = Image.registered_extensions()
    return tuple(ending for ending in _ENDINGS if _is_known(formats.get(ending)))


def _is_known(form: str | None) -> bool:
    """Whether Pillow reads a format: it knows some without having been built with their codec."""
    if form not in Image.OPEN:
        return False
    codec = form.lower()
    return codec not in features.modules or features.check(codec)


def counted(numbers: Mapping[str, int]) -> str:
    """How many files there are of each ending, in words."""
    return ", ".join(f"{number} of {ending}" for ending, number in sorted(numbers.items()))


def _in_threads(work: Callable[[range], object], count: int) -> Iterator:
    """Calls `work` on blocks of the numbers below `count`, and yields the results in their order."""
    blocks = [range(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(work, blocks)


def _decode(path: Path, image_size: tuple[int, int], mode: str) -> tuple[np.ndarray, bool]:
    """Reads an image `(height, width, channels)`, and tells whether transparency hid colours of it."""
    height, width = image_size
    with Image.open(path) as image:
        image.load()
        hides = _hides_colours(image)
        # Without it the colours stay as stored, and PIL does not warn that it cannot convert it.
        image.info.pop(_KEYED, None)
        _turn_upright(image)
        converted = _eight_bit(image).convert(mode)
    if converted.size != (width, height):
        converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(converted).reshape(height, width, -1), hides


def _hides_colours(image: Image.Image) -> bool:
    """Whether a part of an image is more than half transparent."""
    if not (image.mode in ("RGBA", "LA", "PA") or (image.mode in ("1", "L", "P", "RGB") and _KEYED in image.info)):
        return False
    alpha = image.convert("RGBA").getchannel("A").histogram()
    return sum(alpha[: _OPAQUE // 2]) >= _HIDDEN * sum(alpha)


def _turn_upright(image: Image.Image):
    """Turns an image as its EXIF orientation says."""
    # Broken notes on an image, which end in whatever PIL stumbles over, are no fault of its pixels.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _eight_bit(image: Image.Image) -> Image.Image:
    """An image of 8 bits per channel; PIL itself would clip deeper grey at 255."""
    # Before version 11, PIL gave 16-bit PNG files the 32-bit mode.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits per pixel, whose range is not known, and must have 8 or 16")
    return image


def _unreadable(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"The image file {path} cannot be read ({reason}): remove it, or leave out all such files by "
        'load_data(on_corrupt="skip"), --on-corrupt skip.'
    )


def _reason(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "it is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is no image"
    return str(error) or type(error).__name__
