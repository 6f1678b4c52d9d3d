"""Compares how deep to freeze networks of several sources: draws their defrosting profiles on one target.

Reads the profiles that `scripts/profile.py` wrote with the same target, sizes, cuts and
recipe from different sources, draws them into one figure, and prints their scores side by
side.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command

EXAMPLES = """examples:
  python scripts/profile.py --src isogm --tgt digits --out runs/isogm
  python scripts/profile.py --src gm --tgt digits --out runs/gm
  python scripts/compare.py runs/isogm runs/gm
      two Gaussian clones of the digits, of which the second is closer: the crudest first
  python scripts/compare.py runs/isogm runs/gm --names "one variance" "all covariances" --out docs/digits-clones
      with other names in the figure and the tables, into another folder
  python scripts/compare.py runs/isogm runs/gm --scores
      which is the better source by the scores without training that profile.py --scores wrote, no profile needed
"""


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add(
        "folders",
        nargs="+",
        metavar="DIR",
        help="folders with a profile.json or search.json, best from the crudest source on",
    )
    add("--names", nargs="+", metavar="NAME", help="what to call the sources, one for each folder (as --src had it)")
    scores = "rank the sources by scores without training, of each size that all folders have a scores.json of"
    add("--scores", action="store_true", help=scores)
    folder = {"default": Path("runs") / "compare", "type": Path, "help": "folder of the results (%(default)s)"}
    command.add_options(parser, "--out", out=folder)
    return parser.parse_args()


def main():
    command.main(lambda: run(parse_arguments()))


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        import kdefrost
    from kdefrost.files import check_folder

    if arguments.scores:
        rankings = load_rankings(arguments)
        check_folder(arguments.out)
        return lambda: report_rankings(rankings, arguments.out)
    profiles = [load(Path(folder)) for folder in arguments.folders]
    names = choose_names(arguments, profiles)
    comparison = kdefrost.Comparison(dict(zip(names, profiles, strict=True)))
    check_folder(arguments.out)
    return lambda: report(comparison, arguments.out)


def load(folder: Path):
    """The profile in a folder, or that of a search where there is no full one."""
    import kdefrost

    path, searched = folder / "profile.json", folder / "search.json"
    if not path.exists() and not searched.exists():
        raise ValueError(
            f"There is no {path}, nor search.json. {command.as_called('scripts/profile.py')} writes it when all of its "
            "trials have finished."
        )
    return kdefrost.DefrostProfile.load(path if path.exists() else searched)


def load_rankings(arguments) -> dict:
    """By the name of their files, the rankings of the sources by scores without training."""
    import kdefrost

    folders = [Path(folder) for folder in arguments.folders]
    stems = set.intersection(*({path.stem for path in folder.glob("scores*.json")} for folder in folders))
    if not stems:
        raise ValueError(
            f"There is no scores.json, nor one of a size that all folders have, in {', '.join(map(str, folders))}. "
            f"{command.as_called('scripts/profile.py')} --scores writes them before it trains."
        )
    rankings = {}
    for stem in sorted(stems):
        scores = [kdefrost.Transferability.load(folder / f"{stem}.json") for folder in folders]
        names = choose_names(arguments, scores)
        rankings[stem] = kdefrost.SourceRanking(dict(zip(names, scores, strict=True)))
    return rankings


def choose_names(arguments, results: list) -> list[str]:
    """What the sources of profiles, or of scores, are called, each differently."""
    names = arguments.names
    if names is None:
        names = [name_of(result, folder) for result, folder in zip(results, arguments.folders, strict=True)]
    if len(names) != len(results):
        raise ValueError(f"--names must be {len(results)}, one for each folder. Received: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"The sources must have different names; they are {', '.join(names)}. Give others by --names.")
    return names


def name_of(result, folder: str) -> str:
    """What a source is called, and that its tails started from its weights where they did."""
    pretrained = ", pretrained tails" if result.configuration.get("tails") == "pretrained" else ""
    return f"{result.configuration.get('source_name', folder)}{pretrained}"


def report_rankings(rankings: dict, out: Path):
    """Writes figures and scores of each size, and prints tables and paths."""
    from kdefrost.files import make_folder

    make_folder(out)
    written = []
    for stem, ranking in rankings.items():
        written += command.save_figures(out, {f"ranking-{stem}": ranking.plot})
        written.append(out / f"ranking-{stem}.csv")
        ranking.save_csv(written[-1])
        command.say(f"{ranking.summary()}\n")
    command.print_written(written)


def report(comparison, out: Path):
    """Writes figures, tables and trials, and prints the tables and the paths."""
    from kdefrost.files import make_folder, write_atomically

    figures = command.save_figures(make_folder(out), {"compare": comparison.plot})
    title = f"# Defrosting profiles from {', '.join(comparison.profiles)}"
    picture = "![Scores against the cut, a line per source](compare.png)"
    write_atomically(out / "compare.md", f"{title}\n\n{picture}\n\n{comparison.markdown()}")
    comparison.save_csv(out / "compare.csv")
    command.say(f"{comparison.summary()}\n")
    command.print_written([*figures, out / "compare.md", out / "compare.csv"])
