#!/usr/bin/env python
"""Compares how deep to freeze networks of several sources: draws their defrosting profiles on one target.

Reads the profiles that `scripts/profile.py` wrote with the same target, sizes, cuts and
recipe from different sources, draws them into one figure, and prints their scores side by
side.
"""

import sys
from pathlib import Path

# As in profile.py: this folder would hide Python's own module `profile`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

EXAMPLES = """examples:
  python scripts/profile.py --src isogm --tgt digits --out runs/isogm
  python scripts/profile.py --src gm --tgt digits --out runs/gm
  python scripts/compare.py runs/isogm runs/gm
      two Gaussian clones of the digits, of which the second is closer: the crudest first
  python scripts/compare.py runs/isogm runs/gm --names "one variance" "all covariances" --out docs/digits-clones
      with other names in the figure and the tables, into another folder
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folders", nargs="+", metavar="DIR", help="folders with a profile.json, best from the crudest source on")
    add("--names", nargs="+", metavar="NAME", help="what to call the sources, one for each folder (as --src had it)")
    add("--out", default=Path("runs") / "compare", type=Path, metavar="DIR", help="folder of the results (%(default)s)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        run(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def run(arguments: argparse.Namespace):
    # After parsing, so that --help and a mistyped option answer at once.
    import kdefrost

    profiles = [load(Path(folder)) for folder in arguments.folders]
    names = choose_names(arguments, profiles)
    report(kdefrost.Comparison(dict(zip(names, profiles, strict=True))), arguments.out)


def load(folder: Path):
    """The profile in a folder."""
    import kdefrost

    path = folder / "profile.json"
    if not path.exists():
        raise ValueError(f"There is no {path}. scripts/profile.py writes it when all of its trials have finished.")
    return kdefrost.DefrostProfile.load(path)


def choose_names(arguments, profiles: list) -> list[str]:
    """What the sources are called, each differently."""
    names = arguments.names
    if names is None:
        names = [
            profile.configuration.get("source_name", folder)
            for profile, folder in zip(profiles, arguments.folders, strict=True)
        ]
    if len(names) != len(profiles):
        raise ValueError(f"--names must be {len(profiles)}, one for each folder. Received: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"The sources must have different names; they are {', '.join(names)}. Give others by --names.")
    return names


def report(comparison, out: Path):
    """Writes figure, tables and trials, and prints the tables and the paths."""
    from matplotlib import pyplot

    from kdefrost.drawing import save_figure
    from kdefrost.files import write_atomically

    pyplot.switch_backend("agg")
    figure = comparison.plot()[0].figure
    out.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "svg"):
        save_figure(figure, out / f"compare.{ending}")
    title = f"# Defrosting profiles from {', '.join(comparison.profiles)}"
    picture = "![Scores against the cut, a line per source](compare.png)"
    write_atomically(out / "compare.md", f"{title}\n\n{picture}\n\n{comparison.markdown()}")
    comparison.save_csv(out / "compare.csv")
    print(f"{comparison.summary()}\n\nWritten:")
    for name in ("compare.png", "compare.svg", "compare.md", "compare.csv"):
        print(f"  {out / name}")


if __name__ == "__main__":
    main()
