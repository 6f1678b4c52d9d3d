"""Lists what is kept in saved_models, so that it need not be made twice, and clears it.

  sources       networks that were trained on a clone or a data set
  clones        stand-ins for a data set; of CIFAR-10 each takes 740 MB
  autoencoders  of which clones ae<k> are made

All of it is made again when it is asked for; a trained source is what takes longest. What a process that
still runs has used is never removed. Nothing else in the folder is looked at, such as exported models.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT

EXAMPLES = """examples:
  python scripts/kept.py
      what there is, what was used longest ago first
  python scripts/kept.py --clear clones/gm-cifar10-0a1b2c3d
      makes room for other things
  python scripts/kept.py --older-than 30
      clears what has not been used for 30 days
  python scripts/kept.py --limit 5
      clears what was used longest ago until 5 GiB are left

By itself kdefrost keeps no more than 20 GiB, and removes what was used longest ago where it makes something new:
KDEFROST_KEPT_GIB=50 is another limit, and KDEFROST_KEPT_GIB=inf none."""


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    parser.add_argument("--directory", metavar="DIR", help="folder of what is kept (saved_models)")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--clear", nargs="+", metavar="NAME", help="remove these, by their names in the list, or all")
    ways.add_argument("--older-than", type=number, metavar="DAYS", help="remove what was not used for so many days")
    ways.add_argument(
        "--limit", type=number, metavar="GIB", help="remove what was used longest ago down to so many GiB"
    )
    return parser.parse_args()


def number(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def main():
    command.main(lambda: run(parse_arguments()), "What was removed is gone; the rest is as it was.")


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        from kdefrost import inventory

    directory = PROJECT / "saved_models" if arguments.directory is None else Path(arguments.directory)
    # The one that is meant without the option begins to be there with what is kept first.
    if arguments.directory is not None and not directory.is_dir():
        raise ValueError(f"--directory must be a folder. Received: {directory}")
    every = inventory.kept_in(directory)
    if arguments.limit is not None:
        return lambda: print_removed(inventory.keep_within(directory, arguments.limit * 2**30), [])
    if arguments.clear is None and arguments.older_than is None:
        return lambda: print_list(every, directory)
    chosen = named(every, arguments.clear) if arguments.clear else unused(every, arguments.older_than)
    return lambda: clear(chosen)


def clear(chosen: list):
    """Removes what no process uses of some kept things."""
    from kdefrost import inventory

    gone, stayed = [], []
    for kept in chosen:
        try:
            (gone if inventory.remove(kept) else stayed).append(kept)
        except OSError as error:
            print(f"{kept} stays: it cannot be removed ({error.strerror}).")
    print_removed(gone, stayed)


def named(every: list, names: list[str]) -> list:
    """What is called so in the list."""
    if names == ["all"]:
        return every
    unknown = set(names) - set(map(str, every))
    if unknown:
        there = ", ".join(map(str, every)) or "nothing"
        raise ValueError(
            f"--clear must be names of what is kept, or all. Received: {sorted(unknown)[0]}; kept is {there}"
        )
    return [kept for kept in every if str(kept) in names]


def unused(every: list, days: float) -> list:
    """What was not used for so many days."""
    return [kept for kept in every if time.time() - kept.used > days * 86400]


def print_removed(gone: list, stayed: list):
    from kdefrost import inventory

    for kept in gone:
        print(f"Removed {kept} ({inventory.size_of([kept])}).")
    for kept in stayed:
        print(f"{kept} stays: a process that still runs uses it.")
    print(f"{inventory.size_of(gone)} are free." if gone else "Nothing was removed.")


def print_list(every: list, directory: Path):
    from kdefrost import inventory
    from kdefrost.tables import align

    if not every:
        print(f"Nothing is kept in {directory}.")
        return
    rows = [
        [str(kept), inventory.size_of([kept]), inventory.age_of(kept), "in use" if kept.is_used else ""]
        for kept in every
    ]
    head, *lines = align([["name", "size", "last used", ""], *rows], left=(0, 2, 3)).splitlines()
    print(head)
    for kept, line in zip(every, lines, strict=True):
        print(f"{line}\n  {purpose(kept)}")
    most = f"{inventory.limit() / 2**30:g} GiB ({inventory.LIMIT})"
    print(f"\n{inventory.size_of(every)} in {directory}; the limit is {most}.")


def purpose(kept) -> str:
    return f"{kept.purpose} (damaged, set aside)" if kept.is_aside else kept.purpose
