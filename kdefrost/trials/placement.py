"""Where the features at each cut are held: in memory while they fit the budget, else wherever trials end soonest."""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.features import DISK, MEMORY, RECOMPUTE, held_bytes, seconds_per_example
from kdefrost.data.storage import disk_seconds

# So much of a disk's free space may be filled.
_DISK_SHARE = 0.9


class Costs(NamedTuple):
    """What one example costs where its features exceed the memory budget, in seconds.

    Attributes:
        compute: To compute the features at the cut from those of the last cut that is held.
        write: To write them to disk.
        read: To read them from there.
        read_held: To read those of the last cut that is held; 0 where they are in memory.
    """

    compute: float
    write: float
    read: float
    read_held: float


def place(
    cuts: Sequence[Cut],
    examples: int,
    uses: Mapping[int, int],
    memory_budget: int,
    disk_space: int,
    dtype: str,
    costs: Callable[[Cut, Cut, bool], Costs],
) -> dict[int, str]:
    """Chooses where the features at each cut are held.

    In memory where those of all examples fit the budget. Of the others, with `n` examples,
    used `u` times in all trainings and evaluations at the cut, each costs

        on disk:        n (compute + read_held + write) + u read
        computed again: u (compute + read_held), and n (compute + read_held) on the way to a later cut

    and the cheaper one is taken, on disk only where there is room.

    Args:
        cuts: The cuts, in order; the first is where the images go in.
        examples: Number of examples whose features are needed at all.
        uses: By cut index, how often an example is used at the cut, over all trials.
        memory_budget: Bytes that features may take in memory.
        disk_space: Bytes that they may take on disk.
        dtype: One of `FEATURE_DTYPES`.
        costs: Of the last cut that is held, a cut, and whether the former is on disk, gives the `Costs`.

    Returns:
        By cut index, one of `PLACES`. Images are in memory as far as their owner has them there.
    """
    places, held, taken = {cuts[0].index: MEMORY}, cuts[0], 0
    for cut in cuts[1:]:
        size = examples * held_bytes(cut, dtype)
        if size <= memory_budget:
            places[cut.index] = MEMORY
        elif size + taken > disk_space or not uses.get(cut.index):
            places[cut.index] = RECOMPUTE
        else:
            cost = costs(held, cut, places[held.index] == DISK)
            afresh, later = cost.compute + cost.read_held, max(uses) > cut.index
            on_disk = examples * (afresh + cost.write) + uses[cut.index] * cost.read
            again = uses[cut.index] * afresh + later * examples * afresh
            places[cut.index] = DISK if on_disk < again else RECOMPUTE
        if places[cut.index] != RECOMPUTE:
            # While features go from a file to the next, both are there.
            held, taken = cut, size if places[cut.index] == DISK else 0
    return places


def measured_costs(model: keras.Model, dtype: str, directory: str | os.PathLike | None) -> Callable:
    """Gives the `costs` of `place`, measured on this machine where and when they are asked for.

    Args:
        model: The source model.
        dtype: One of `FEATURE_DTYPES`.
        directory: Folder for what goes to disk; `None` for the system's for temporary files.

    Returns:
        A function of the last cut that is held, a cut, and whether the former is on disk.
    """
    disk = functools.cache(functools.partial(disk_seconds, directory=directory))

    def costs(held: Cut, cut: Cut, on_disk: bool) -> Costs:
        write, read = disk(held_bytes(cut, dtype))
        read_held = disk(held_bytes(held, dtype))[1] if on_disk else 0.0
        return Costs(seconds_per_example(model, held, cut), write, read, read_held)

    return costs


def free_disk_space(directory: str | os.PathLike | None) -> int:
    """Bytes that features may take on the disk of a folder, `None` for the system's for temporary files."""
    return int(_DISK_SHARE * shutil.disk_usage(directory or tempfile.gettempdir()).free)
