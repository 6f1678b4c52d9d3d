"""Shows how close a data set's clones come to it: a figure of their images, and a table of how far they are.

Trains a classifier on the original (or takes the one that was trained before), makes the
clones, compares their class means, class covariances and images with the original's, and
classifies them.
"""

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT

EXAMPLES = """examples:
  python scripts/clones.py --clones isogm gm
      the Gaussian clones of the embedded digits, about a minute on a laptop, no download
  python scripts/clones.py --tgt cifar10 --clones isogm gm ae4 ae32 ae256
      of CIFAR-10 also its reconstructions by autoencoders, from the narrowest bottleneck on
  python scripts/clones.py --tgt cifar10 --clones gm --seed 1
      other samples of the same Gaussians; the classifier is the one of before
"""
LEGEND = """mean, covariance: relative errors of the class means and of the class covariances of the training images; \
in the first row those that samples of the original's own moments have by chance.
squared: share of the test images' variance that is lost, where images correspond.
Fréchet: distance from the original's test images to the clone's, in the features of a classifier of the \
original; in the first row to as many of the original's training images.
accuracy: of that classifier on the test images."""
# Of more classes the first ones are drawn.
MOST_COLUMNS = 10


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    command.add_options(parser, "--tgt", tgt={"help": f"the original: {command.TARGETS} (%(default)s)"})
    clones = ["isogm", "gm", "ae4", "ae32"]
    add("--clones", nargs="+", default=clones, metavar="NAME", help=f"isogm, gm, ae<k> ({' '.join(clones)})")
    size = "resize all images to N×N, such as those of idc for an autoencoder, which halves them three times"
    shared = {
        "image_size": {"help": f"{size} (the set's own)"},
        "preset": {"help": "networks and epochs (%(default)s)"},
    }
    command.add_options(parser, "--preset", "--data-dir", "--image-size", **shared)
    add("--seed", type=int, default=0, metavar="N", help="seed of the clones (%(default)s)")
    command.add_options(parser, "--out", out={"help": "folder of the results (runs/clones-<what runs>)"})
    return parser.parse_args()


def main():
    command.main(
        lambda: run(parse_arguments()), "What was trained to its end is kept; the same command goes on from there."
    )


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        import kdefrost
    from kdefrost.clones import check_clone
    from kdefrost.files import make_folder

    command.check_environment()
    preset = kdefrost.PRESETS[arguments.preset]
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir, image_size=arguments.image_size)
    names = list(dict.fromkeys(arguments.clones))
    # Mistakes in the arguments show here, before anything is trained.
    for name in names:
        check_clone(name, data, seed=arguments.seed)
    out = make_folder(command.out_folder(arguments.out, name_parts(arguments, names)))
    return lambda: assess_all(data, names, preset, arguments, out)


def assess_all(data, names: list[str], preset, arguments: argparse.Namespace, out: Path):
    """Makes the clones, measures them, and reports."""
    from kdefrost.clones import resolved

    images = f"{len(data.train.labels)} training and {len(data.test.labels)} test images"
    command.say(f"{data.name}: {len(data.classes)} classes, {images}.")
    reference = make_reference(data, preset)
    with saying(f"Measuring {data.name} itself"):
        fidelities = [reference.baseline()]
    pictures = {data.name: first_images(data)}
    for name in names:
        fidelity, pictures[name] = assess(name, reference, arguments.seed, preset)
        fidelities.append(fidelity)
    settings = {
        "target": arguments.tgt,
        "preset": arguments.preset,
        "classifier": preset.model,
        "classifier_recipe": dataclasses.asdict(preset.source),
        "autoencoder_recipe": dataclasses.asdict(resolved(preset.autoencoder)),
        "seed": arguments.seed,
    }
    report(fidelities, pictures, drawn_classes(data), settings, out)


def name_parts(arguments, names: list[str]) -> list[str | None]:
    """What a folder's name says of the command line."""
    size = arguments.image_size and f"{arguments.image_size}px"
    seed = arguments.seed and f"seed{arguments.seed}"
    return ["clones", Path(arguments.tgt).name, arguments.preset, size, *names, seed]


def make_reference(data, preset):
    """The original, seen through a classifier that was trained on it."""
    import kdefrost
    from kdefrost.clones.fidelity import Reference

    network = kdefrost.train_source(data, data, preset.model, preset.source, PROJECT / "saved_models")
    return Reference(data, kdefrost.standardized(network, data.train.images))


def assess(name: str, reference, seed: int, preset):
    """A clone's fidelity, and its pictures; the clone itself, which is large, does not stay."""
    import kdefrost
    from kdefrost.clones import bottleneck

    original = reference.original
    clone = kdefrost.make_clone(
        name, original, seed=seed, recipe=preset.autoencoder, directory=PROJECT / "saved_models"
    )
    with saying(f"Comparing {name} with {original.name}"):
        return reference.compare(clone, corresponds=bottleneck(name) is not None), first_images(clone)


@contextlib.contextmanager
def saying(what: str):
    """Says what is being done, and afterwards for how long it was, if it was long."""
    print(f"{what} …", flush=True)
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    if seconds > 3:
        print(f"  took {seconds:.0f} s", flush=True)


def first_images(data):
    """The first test image of each class that is drawn: a clone has the labels of its original, in their order."""
    labels = data.test.labels.tolist()
    return data.test.images[[labels.index(data.classes.index(name)) for name in drawn_classes(data)]]


def drawn_classes(data) -> list[str]:
    """The names of the first classes that have test images."""
    tested = set(data.test.labels.tolist())
    return [name for label, name in enumerate(data.classes) if label in tested][:MOST_COLUMNS]


def report(fidelities: list, pictures: dict, classes: list[str], settings: dict, out: Path):
    """Writes figure, table and numbers, and prints the table and the paths."""
    from kdefrost.clones.figures import plot_clones
    from kdefrost.files import versions, write_atomically
    from kdefrost.results import as_csv

    figures = command.save_figures(out, {"clones": lambda: plot_clones(pictures, classes)})
    rows = [dataclasses.asdict(fidelity) for fidelity in fidelities]
    write_atomically(out / "clones.csv", as_csv([list(rows[0]), *(list(row.values()) for row in rows)]))
    values = {**settings, "fidelities": rows, "versions": versions()}
    write_atomically(out / "clones.json", json.dumps(values, indent=2) + "\n")
    command.say(f"\n{table(fidelities)}\n\n{LEGEND}\n")
    command.print_written([*figures, out / "clones.csv", out / "clones.json"])


def table(fidelities: list) -> str:
    """The measures, a row per data set."""
    from kdefrost.tables import align

    head = ["", "mean", "covariance", "squared", "Fréchet", "accuracy"]
    rows = [
        [
            fidelity.name,
            f"{fidelity.mean_error:.3f}",
            f"{fidelity.covariance_error:.3f}",
            "–" if fidelity.squared_error is None else f"{fidelity.squared_error:.3f}",
            f"{fidelity.frechet_distance:.3g}",
            f"{100 * fidelity.accuracy:.1f} %",
        ]
        for fidelity in fidelities
    ]
    return align([head, *rows], left=(0,))
