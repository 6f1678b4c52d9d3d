"""Arrays on disk and rows of arrays: indexed, they are the arrays."""

import os
import pickle

import numpy as np
import pytest

from kdefrost import fingerprint
from kdefrost.data import storage
from kdefrost.data.storage import Collector, DiskArray, Rows, blocks, collect, existing_folder, within


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 255, (23, 4, 3), np.uint8)


@pytest.fixture
def on_disk(array, tmp_path):
    disk = DiskArray((4, 3), np.uint8, tmp_path)
    for part in np.array_split(array, 5):
        disk.append(part)
    return disk


INDICES = [slice(None), slice(3, 11), slice(20, 90), slice(2, 20, 3), np.array([5, 5, 0, 22]), np.array([], int)]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_on_disk_it_is_the_array(array, on_disk, index):
    assert on_disk.shape == array.shape and on_disk.dtype == array.dtype and len(on_disk) == 23 and on_disk.ndim == 3
    np.testing.assert_array_equal(on_disk[index], array[index])


def test_rows_that_are_not_there_are_refused(on_disk):
    with pytest.raises(IndexError, match="Rows must be from 0 to 22"):
        on_disk[np.array([3, 23])]


@pytest.mark.parametrize("index", INDICES[:3] + INDICES[4:5], ids=str)
def test_rows_of_an_array(array, on_disk, index):
    chosen = np.arange(22, -1, -1)
    for base in (array, on_disk):
        rows = Rows(base, chosen)
        assert rows.shape == array.shape and rows.dtype == array.dtype and rows.ndim == 3 and len(rows) == 23
        np.testing.assert_array_equal(rows[index], array[chosen][index])


@pytest.mark.parametrize(("budget", "kind"), [(10_000, np.ndarray), (100, DiskArray), (0, DiskArray)])
def test_what_exceeds_the_budget_goes_to_disk(array, budget, kind, tmp_path):
    collector = Collector(budget, tmp_path)
    for part in np.array_split(array, 5):
        collector.append(part)
    collected = collector.collected()
    assert isinstance(collected, kind)
    np.testing.assert_array_equal(collected[:], array)
    again = collect(collected, budget, tmp_path)
    np.testing.assert_array_equal(again[:], array)


def test_blocks_are_the_array_in_order(array, monkeypatch):
    monkeypatch.setattr(storage, "_BLOCK_BYTES", 50)
    parts = list(blocks(array))
    assert [len(part) for part in parts] == [4] * 5 + [3]
    np.testing.assert_array_equal(np.concatenate(parts), array)


def test_the_fingerprint_is_of_the_content_wherever_it_is(array, on_disk):
    assert (
        fingerprint.of_arrays(on_disk) == fingerprint.of_arrays(array) == fingerprint.of_arrays(Rows(array, range(23)))
    )
    assert fingerprint.of_arrays(array) != fingerprint.of_arrays(array + 1)


def test_reads_that_fall_short_go_on(array, on_disk, monkeypatch):
    pread = storage.os.pread
    monkeypatch.setattr(storage.os, "pread", lambda file, count, at: pread(file, min(count, 7), at))
    monkeypatch.setattr(storage, "_BLOCK_BYTES", 100)
    np.testing.assert_array_equal(on_disk[:], array)


def test_another_process_gets_the_rows_alone(array):
    rows = Rows(np.tile(array, (100, 1, 1)), [3, 5])
    sent = pickle.dumps(rows)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[:], array[[3, 5]])


def test_what_exceeds_a_budget_is_on_disk(array, on_disk, tmp_path):
    assert within(array, array.nbytes, tmp_path) is array and within(on_disk, 0, tmp_path) is on_disk
    for given in (array, Rows(array, range(23))):
        stored = within(given, array.nbytes - 1, tmp_path)
        assert isinstance(stored, DiskArray)
        np.testing.assert_array_equal(stored[:], array)


def test_the_nearest_folder_that_is_there(tmp_path):
    assert existing_folder(tmp_path / "new" / "newer") == existing_folder(tmp_path) == tmp_path
    assert existing_folder(None) is None


def test_a_full_disk_is_told(array, on_disk, monkeypatch):
    class Full:
        def seek(self, place):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    on_disk._file.close()
    monkeypatch.setattr(on_disk, "_file", Full())
    with pytest.raises(OSError, match=r"exceeds `memory_budget` could not be written .*No space left.*make room"):
        on_disk.append(array)


def test_the_file_is_gone_with_the_array(on_disk, tmp_path):
    assert not list(tmp_path.iterdir())


def test_a_file_that_became_shorter_is_said_and_not_waited_for():
    array = DiskArray((4,), np.float32)
    array.append(np.ones((10, 4), np.float32))
    os.ftruncate(array._file.fileno(), 100)
    assert (array[:6] == 1).all()
    with pytest.raises(OSError, match="is shorter than it was written"):
        array[5:8]
