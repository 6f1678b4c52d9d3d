"""Arrays that need not be in memory: on disk, or rows of another array.

All are indexed by a slice or by whole numbers along their first axis, and give NumPy
arrays.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

# So many bytes are read, decoded or written at a time.
_BLOCK_BYTES = 2**26
# Control groups, of the second version and of the first, tell here what a container may take.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this machine, or the container, has; 8 GiB where the system does not tell."""
    try:
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**33
    texts = (Path(limit).read_text().strip() for limit in _LIMITS if os.path.exists(limit))
    return min([most, *(int(text) for text in texts if text.isdigit())])


def disk_seconds(row_bytes: int, directory: str | os.PathLike | None = None) -> tuple[float, float]:
    """Measures what it takes to write rows to disk and to read them, one by one in any order.

    Args:
        row_bytes: Bytes of a row.
        directory: The folder; by default the system's for temporary files.

    Returns:
        Seconds to write a row and to read one that is no longer in the system's memory, as
        far as the system lets go of it.
    """
    count = max(1, _BLOCK_BYTES // row_bytes)
    array, rows = DiskArray((row_bytes,), np.uint8, directory), np.ones((count, row_bytes), np.uint8)
    start = time.perf_counter()
    array.append(rows)
    array.forget()
    written = time.perf_counter()
    array[np.random.default_rng(0).permutation(count)]
    return (written - start) / count, (time.perf_counter() - written) / count


class DiskArray:
    """Rows of an array in a temporary file, which is gone with the process.

    The file is read, not mapped: pages of a mapped file count as memory of the process.

    Args:
        row_shape: Shape of a row.
        dtype: NumPy dtype.
        directory: Folder of the file; by default the system's for temporary files.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype, directory: str | os.PathLike | None = None):
        self._describe((0, *row_shape), dtype)
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (it lives as long as the array)

    def _describe(self, shape: tuple[int, ...], dtype):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize

    def __del__(self):
        self._file.close()

    def __reduce__(self):
        """Another process gets the same file, which is there until the last of them lets it go."""
        # Only where there are file descriptors.
        from multiprocessing.reduction import DupFd

        return _reopened, (DupFd(self._file.fileno()), self.shape, self.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def append(self, rows: np.ndarray):
        """Writes rows after the last."""
        try:
            self._file.seek(len(self) * self._row_bytes)
            # As bytes: bfloat16 is no dtype of the buffer protocol.
            self._file.write(np.ascontiguousarray(rows, self.dtype).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            raise OSError(
                error.errno,
                f"What exceeds `memory_budget` could not be written to disk ({error.strerror}); make room, give "
                "another `directory`, or a larger `memory_budget`",
            ) from error
        self.shape = (len(self) + len(rows), *self.shape[1:])

    def mapped(self) -> np.ndarray:
        """All rows as an array that shares the system's pages of the file with other processes."""
        return np.asarray(np.memmap(self._file, self.dtype, "r", shape=self.shape))

    def forget(self):
        """Waits until all rows are on disk, and lets the system's copy of them in memory go."""
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def __getitem__(self, rows) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._read(start, max(0, stop - start))
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"Rows must be from 0 to {len(self) - 1}. Received: {rows.min()} to {rows.max()}")
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            taken[place] = self._read(int(row), 1)[0]
        return taken

    def _read(self, start: int, count: int) -> np.ndarray:
        rows = np.empty((count, *self.shape[1:]), self.dtype)
        into, first, done = rows.reshape(-1).view(np.uint8), start * self._row_bytes, 0
        while done < rows.nbytes:
            # No system reads more than 2 GiB at a time.
            data = os.pread(self._file.fileno(), min(_BLOCK_BYTES, rows.nbytes - done), first + done)
            if not data:
                raise OSError("A file of features or images on disk is shorter than it was written; begin anew")
            into[done : done + len(data)] = np.frombuffer(data, np.uint8)
            done += len(data)
        return rows


def _reopened(descriptor, shape: tuple[int, ...], dtype) -> DiskArray:
    """An array of another process."""
    array = DiskArray.__new__(DiskArray)
    array._describe(shape, dtype)
    array._file = os.fdopen(descriptor.detach(), "rb")
    return array


class Rows:
    """Some rows of an array, in the array's place and without a copy of them.

    Args:
        array: The array.
        rows: Indices of the rows.
    """

    def __init__(self, array, rows: np.ndarray):
        self._array, self._rows = array, np.asarray(rows)
        self.shape, self.dtype = (len(self._rows), *array.shape[1:]), array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows) -> np.ndarray:
        return self._array[self._rows[rows]]

    def __reduce__(self):
        """Another process gets these rows alone."""
        if isinstance(self._array, np.ndarray):
            return Rows, (self._array[self._rows], np.arange(len(self)))
        return Rows, (self._array, self._rows)


class Collector:
    """Gathers rows in memory, and on disk once they exceed a budget.

    Args:
        memory_budget: Number of bytes.
        directory: Folder of the file.
    """

    def __init__(self, memory_budget: int, directory: str | os.PathLike | None = None):
        self._budget, self._directory = memory_budget, directory
        self._parts, self._bytes, self._disk = [], 0, None

    def append(self, rows: np.ndarray):
        """Adds rows after the last."""
        if self._disk is None:
            # The parts may be views of a batch that is to be freed.
            self._parts.append(np.array(rows))
            self._bytes += rows.nbytes
            if self._bytes <= self._budget:
                return
            self._disk = DiskArray(rows.shape[1:], rows.dtype, self._directory)
            self._parts, rows = [], self._parts
            for part in rows:
                self._disk.append(part)
            return
        self._disk.append(rows)

    def collected(self) -> "np.ndarray | DiskArray":
        """All rows."""
        if self._disk is not None:
            return self._disk
        parts, self._parts = self._parts, []
        rows = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
        start = 0
        while parts:
            # Let go one by one: all are never there twice.
            part = parts.pop(0)
            rows[start : start + len(part)] = part
            start += len(part)
        return rows


def existing_folder(directory: str | os.PathLike | None) -> Path | None:
    """The folder, or the nearest one above it that there is; `None` stands for the system's for temporary files."""
    if directory is None:
        return None
    path = Path(directory).absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def blocks(array):
    """Yields the rows of an array some at a time, in order."""
    row_bytes = int(np.prod(array.shape[1:])) * array.dtype.itemsize
    step = max(1, _BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def within(array, memory_budget: int, directory: str | os.PathLike | None):
    """An array that is on disk if it exceeds a budget, and as it is if not."""
    exceeds = not isinstance(array, DiskArray) and math.prod(array.shape) * array.dtype.itemsize > memory_budget
    return collect(array, 0, directory) if exceeds else array


def collect(
    array,
    memory_budget: int,
    directory: str | os.PathLike | None = None,
    verbose: bool = False,
    see: Callable[[np.ndarray], None] = lambda block: None,
) -> "np.ndarray | DiskArray":
    """Reads an array whose rows are costly to get once, into memory or onto disk; `see` is called with each block."""
    collector = Collector(memory_budget, directory)
    with tqdm(total=len(array), desc="Reading images", unit="image", disable=not verbose, delay=3) as bar:
        for block in blocks(array):
            see(block)
            collector.append(block)
            bar.update(len(block))
    return collector.collected()
