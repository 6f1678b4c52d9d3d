"""Draws the figures of the paper (Gerace et al., 2023) again, from training the sources on.

Runs what a figure needs and is not there yet, draws it as the paper lays it out, and
writes its numbers. Figures share sources, trials and pairs of networks; nothing is run twice.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT

EXAMPLES = """examples:
  python scripts/reproduce.py --list
      the figures, and what each is drawn from
  python scripts/reproduce.py --figure all --preset smoke
      all of them from the embedded digits, some minutes on two cores, no download
  python scripts/reproduce.py --figure 3 6 --preset laptop --idc DIR --weights FILE
      two of them from CIFAR-10, and with ImageNet's weights from breast cancer patches
  python scripts/reproduce.py --figure all --preset paper --dry-run
      what the paper's own numbers would take, figure by figure, with the commands; its ResNet18 needs
      pip install ".[imagenet]"
"""


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--figure", nargs="+", default=["all"], metavar="N", help="numbers of figures, or all (%(default)s)")
    preset = {"default": "smoke", "help": "how much of the paper's experiments is run (%(default)s)"}
    command.add_options(parser, "--preset", preset=preset)
    add("--list", action="store_true", help="say what the figures are drawn from, and run nothing")
    add("--dry-run", action="store_true", help="say what it would take, and run nothing")
    page = "write the sections of figures that have run anew in this page, and run nothing"
    add("--page", metavar="FILE", help=page)
    idc = "folder of the breast cancer patches of Figures 1 and 3 (KDEFROST_IDC_DIR; without it they are left out)"
    add("--idc", default=os.environ.get("KDEFROST_IDC_DIR"), metavar="DIR", help=idc)
    add("--weights", metavar="FILE", help="local ImageNet weights for these, of ResNet18 a folder (downloaded)")
    data_dir = {"help": "folder of TensorFlow Datasets (TFDS_DATA_DIR)"}
    out = {"help": "folder of the results (runs/paper/<preset>)"}
    command.add_options(parser, "--data-dir", "--jobs", "--out", data_dir=data_dir, out=out)
    return parser.parse_args()


def main():
    stopped = "Finished trials, networks and comparisons are kept; the same command goes on from there."
    command.main(lambda: run(parse_arguments()), stopped)


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        from kdefrost.paper import SCALES, Answers
    from kdefrost.files import check_folder
    from kdefrost.paper.disk import check_disk
    from kdefrost.paper.experiments import numbers_of
    from kdefrost.trials.executors import check_jobs

    numbers, scale = numbers_of(arguments.figure), SCALES[arguments.preset]
    figures = [scale.figure(number) for number in numbers]
    if arguments.list:
        return lambda: command.say(listed(figures))
    if arguments.dry_run:
        return lambda: command.say(planned(figures, scale))
    out = Path(arguments.out or Path("runs") / "paper" / scale.name)
    if arguments.page:
        page = Path(arguments.page)
        if not page.is_file():
            raise ValueError(f"--page must be a file in Markdown, such as docs/paper.md. Received: {page}")
        # Before anything is written, because a page, or a folder, of something else is a mistake in what was typed.
        text = rewritten(page, scale, out, numbers)
        return lambda: write_page(page, text)
    command.check_environment()
    places = {"idc": arguments.idc, "weights": arguments.weights, "data_dir": arguments.data_dir}
    check_folder(out)
    check_jobs(arguments.jobs)
    kept = PROJECT / "saved_models"
    answers = Answers(scale, out, kept, **places, jobs=arguments.jobs)
    if has_medical(figures):
        answers.medical.check()
    check_disk(figures, scale, kept, out)
    return lambda: draw_all(figures, answers, out)


def has_medical(figures: list) -> bool:
    """Whether figures show the transfer from ImageNet."""
    return any(transfer.source == "imagenet" for figure in figures for transfer in figure.transfers)


def draw_all(figures: list, answers, out: Path):
    """Runs what figures need, and writes them."""
    if has_medical(figures):
        command.say(answers.medical.missing or "ImageNet → IDC: network and patches are there.")
    start = time.perf_counter()
    written = report(answers.results(figures), out)
    print(f"\nTook {(time.perf_counter() - start) / 60:.1f} min. ", end="")
    command.print_written(written)


def report(results, out: Path) -> list[Path]:
    """Writes figures and numbers, each as soon as it is there."""
    from kdefrost.files import write_atomically
    from kdefrost.paper.claims import claims_table
    from kdefrost.paper.figures import draw

    written = []
    for each in results:
        name = f"figure-{each.figure.number}"
        written += command.save_figures(out, {name: lambda each=each: draw(each).axes})
        written += each.save(out / name)
        table = claims_table(each)
        written.append(out / name / "claims.md")
        write_atomically(written[-1], f"# Figure {each.figure.number}: {each.figure.title}\n\n{table}\n")
        print(f"\nFigure {each.figure.number}\n\n{table}")
    return written


def rewritten(page: Path, scale, out: Path, numbers: list[int]) -> str:
    """A page whose sections of figures that have results are new."""
    from kdefrost.paper.page import with_figures

    return with_figures(page, scale, out, numbers)


def write_page(page: Path, text: str):
    """Writes a page."""
    from kdefrost.files import write_atomically

    write_atomically(page, text)
    command.print_written([page])


def listed(figures: list) -> str:
    """What figures are drawn from."""
    lines = []
    for figure in figures:
        lines.append(f"Figure {figure.number}: {figure.title}")
        for transfer in figure.transfers:
            sizes = " ".join("all" if size is None else str(size) for size in transfer.per_class)
            lines.append(
                f"  profiles {transfer.source} → {transfer.target}, {sizes} per class, {transfer.repeats} seeds"
            )
        for pairs in figure.pairs:
            lines.append(f"  {pairs.repeats} pairs of networks, trained on {pairs.source} and on {pairs.target}")
        if springs := figure.springs:
            held = f"{springs.layers} layers held near {springs.source}, {springs.repeats} seeds"
            lines.append(f"  trainings on {springs.target} with {held}")
    return "\n".join(lines)


def planned(figures: list, scale) -> str:
    """What figures take, each by itself and all together, and what the preset reduces."""
    from kdefrost.paper import SCALES
    from kdefrost.paper.planning import cost_of, reductions
    from kdefrost.tables import align

    head = ["figure", "trials", "PFLOP", "hours", "kept, GB", "features, GB"]
    costs = [(str(figure.number), cost_of([figure], scale)) for figure in figures]
    if len(figures) > 1:
        costs.append(("together", cost_of(figures, scale)))
    rows = [
        [
            name,
            str(cost.trials),
            f"{cost.flops / 1e15:.3g}",
            f"{cost.seconds(scale) / 3600:.2f}",
            f"{cost.disk / 1e9:.1f}",
            f"{cost.features / 1e9:.1f}",
        ]
        for name, cost in costs
    ]
    changed = reductions(scale, SCALES["paper"])
    reduced = f"\n\n{align(changed, left=(0, 1, 2))}" if len(changed) > 1 else ""
    commands = "\n".join(f"  {command_of(name, figures, scale)}" for name, _ in costs)
    return (
        f"{align([head, *rows])}\n\n{commands}\n\nFrom nothing, each figure by itself; together what they share is run "
        f"once. Hours on {scale.machine}. Features that exceed memory go to disk where there is room, else they are "
        f"computed again; data sets are not counted.{reduced}"
    )


def command_of(name: str, figures: list, scale) -> str:
    """The command that draws a figure, or all of them."""
    numbers = " ".join(str(figure.number) for figure in figures) if name == "together" else name
    return command.as_called(f"python scripts/reproduce.py --figure {numbers} --preset {scale.name}")
