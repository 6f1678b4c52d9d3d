"""Shows how free the first layers of a network are: trains it on the target with these layers held near a source.

Trains a network on the source (or takes the one that was trained before), then the same
network anew on the target, with springs of several strengths between its first layers and
the source's, and draws accuracy and distance against the strength. With several numbers of
layers it draws what it costs to hold them beside the defrosting profile of the same seeds.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT

EXAMPLES = """examples:
  python scripts/comply.py --src gm --layers 6 --preset smoke
      the embedded digits and a Gaussian clone of them, half a minute on two cores, no download
  python scripts/comply.py --src gm --tgt cifar10 --layers 10 --seeds 3
      the first 10 of 16 layers, six strengths, no springs and frozen weights
  python scripts/comply.py --src gm --tgt cifar10 --layers 10 --strengths 0 0.001 0.1 frozen
      other strengths; what was done is not done again
  python scripts/comply.py --src gm --tgt cifar10 --layers blocks --strengths 0 0.1
      held up to each cut, beside the defrosting profile: does the one predict the other?
"""
# Training images per class by preset: for one number of layers, and for several.
PER_CLASS = {"smoke": (16, 16), "laptop": (1000, 32), "paper": (5000, 256)}
# Strengths where several numbers of layers multiply the trials.
FEW_STRENGTHS = (0.0, 0.1)


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--src", required=True, metavar="NAME", help="a clone of the target (isogm, gm, ae32, …) or a data set")
    command.add_options(parser, "--tgt")
    layers = "how many layers with kernels are held, from the first on; several numbers; or blocks, up to each cut"
    add("--layers", nargs="+", required=True, metavar="N", help=layers)
    strengths = "numbers from 0 (no springs) on, or frozen (0 to frozen; 0 0.1 for several numbers of layers)"
    add("--strengths", nargs="+", type=strength, metavar="λ", help=strengths)
    network = {"help": "network, such as wide_resnet_16_1 (of the preset)"}
    command.add_options(parser, "--preset", "--model", model=network)
    per_class = "training images per class (of the preset: many for one number of layers, few for several)"
    add("--per-class", type=int, metavar="N", help=per_class)
    command.add_options(parser, "--seeds")
    epochs = "epochs of each trial (of the preset: a source's for one number of layers, a tail's for several)"
    add("--epochs", type=int, metavar="N", help=epochs)
    add("--normalization", action="store_true", help="hold scale and offset of normalisations too")
    folder = {"help": "folder of the results (runs/compliance-<what runs>)"}
    command.add_options(
        parser, "--jobs", "--cluster", "--data-dir", "--image-size", "--out", "--tensorboard", out=folder
    )
    return parser.parse_args()


def strength(text: str) -> float:
    """A strength, or infinity for `frozen`; kdefrost says what other numbers cannot be."""
    if text == "frozen":
        return math.inf
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or frozen, not {text}") from None
    # Here infinity is spelt otherwise.
    if math.isinf(value):
        raise argparse.ArgumentTypeError("must be finite; write frozen for the limit of strong springs")
    return value


def main():
    stopped = "The trained source and finished trials are kept; the same command goes on from there."
    command.main(lambda: run(parse_arguments()), stopped)


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        import tensorflow as tf

        import kdefrost
    from kdefrost.compliance import STRENGTHS
    from kdefrost.files import make_folder

    # Each number of layers is traced anew, of which TensorFlow warns.
    tf.get_logger().setLevel("ERROR")
    command.check_environment()
    check_source(arguments.src)
    preset = kdefrost.PRESETS[arguments.preset]
    model, seeds = arguments.model or preset.model, preset.seeds if arguments.seeds is None else arguments.seeds
    layers = parse_layers(arguments.layers)
    several = layers is None or len(layers) > 1
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir, image_size=arguments.image_size)
    classes, _ = kdefrost.source_size(arguments.src, data, arguments.data_dir)
    sets, per_class = choose_sets(data, arguments, several)
    recipe = preset.target if several else preset.source
    if arguments.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    strengths = arguments.strengths or (FEW_STRENGTHS if several else STRENGTHS)
    trials = {**sets, "per_class": per_class, "seeds": seeds, "classes": len(data.classes), "jobs": arguments.jobs}
    out = command.out_folder(arguments.out, name_parts(arguments, several, per_class))
    # All that the source will be but its weights: mistakes in the arguments show here, before anything is trained.
    untrained = kdefrost.standardized(kdefrost.build_model(model, classes, data.image_shape), data.train.images)
    options = {"directory": out, "executor": command.executor(arguments.cluster), "tensorboard": arguments.tensorboard}
    check(kdefrost.Defroster(untrained, recipe, **options), layers, strengths, trials)
    make_folder(out)
    command.say(f"{data.name}: {per_class} images per class to train on, {len(data.test.labels)} to test on.")

    def work():
        given = {"data_dir": arguments.data_dir, "autoencoder": preset.autoencoder}
        network = kdefrost.train_source(arguments.src, data, model, preset.source, PROJECT / "saved_models", **given)
        source = kdefrost.standardized(network, data.train.images)
        start = time.perf_counter()
        defroster = kdefrost.Defroster(source, recipe, **options)
        profile = defroster.profile(**trials) if several else None
        compliance = defroster.compliance(
            **trials, strengths=strengths, layers=layers, normalization=arguments.normalization
        )
        named = {"source_name": arguments.src, "target": arguments.tgt}
        compliance = dataclasses.replace(compliance, configuration={**compliance.configuration, **named})
        report(compliance, profile, out, "-".join(arguments.layers), time.perf_counter() - start)

    return work


def check_source(source: str):
    """Refuses a network that is trained already."""
    if command.is_trained(source):
        raise ValueError(
            f"--src must be a clone or a data set, on which a network is trained here. Received: {source}; for "
            "trained networks there is kdefrost.Defroster(source).compliance in Python."
        )


def check(defroster, layers: list[int] | None, strengths, trials: dict):
    """Refuses what would end in an error after hours: by a defroster of a network that is yet to be trained."""
    from kdefrost.compliance.policy import under_springs
    from kdefrost.trials.rows import as_seeds

    defroster.plan(**trials, verbose=False, trained=False)
    size = trials["per_class"], as_seeds(trials["seeds"]), defroster.recipe
    under_springs(defroster.source, defroster.cuts, strengths, layers, *size)
    known = [cut.frozen_layers for cut in defroster.cuts]
    if layers is not None and len(layers) > 1 and not set(layers) <= set(known):
        raise ValueError(
            f"--layers, where there are several numbers, must be of those that a cut freezes: {known}. Received: "
            f"{layers}"
        )


def parse_layers(words: list[str]) -> list[int] | None:
    """The numbers of layers; `None` for those of all cuts."""
    if words == ["blocks"]:
        return None
    if not all(word.isdigit() for word in words):
        raise ValueError(f"--layers must be numbers, or blocks. Received: {' '.join(words)}")
    return [int(word) for word in words]


def choose_sets(data, arguments, several: bool) -> tuple[dict, int]:
    """The sets, and the size; a tenth of the training images is held out where the rest is enough and none are."""
    import kdefrost

    train, validation = data.train, data.validation
    if validation is None:
        train, validation = kdefrost.hold_out(data.train, share=0.1, groups=data.groups)
    default = min(PER_CLASS[arguments.preset][several], data.train.smallest_class)
    per_class = default if arguments.per_class is None else arguments.per_class
    if per_class > train.smallest_class:
        train, validation = data.train, None
    return {"train": train, "test": data.test, "validation": validation}, per_class


def name_parts(arguments, several: bool, per_class: int) -> list[str | None]:
    """What a folder's name says of the command line."""
    return [
        "compliance-profile" if several else "compliance",
        arguments.src,
        Path(arguments.tgt).name,
        arguments.preset,
        str(per_class),
        arguments.model,
        arguments.image_size and f"{arguments.image_size}px",
        arguments.epochs and f"{arguments.epochs}epochs",
        "normalization" if arguments.normalization else None,
    ]


def report(compliance, profile, out: Path, name: str, seconds: float):
    """Writes figures and numbers, and prints the tables and the paths."""
    from kdefrost.compliance.figures import plot_agreement
    from kdefrost.files import write_atomically

    agreements = [] if profile is None else [compliance.against(profile, λ) for λ in compliance.strengths if λ]
    written = [out / f"compliance-{name}.{ending}" for ending in ("json", "csv", "md")]
    compliance.save(written[0])
    compliance.save_csv(written[1])
    write_atomically(written[2], as_text(compliance, agreements, markdown=True))
    drawings = {}
    if agreements:
        drawings[f"agreement-{name}"] = lambda: plot_agreement(agreements)
    elif len(compliance.counts) == 1 and any(0 < λ < math.inf for λ in compliance.strengths):
        drawings[f"compliance-{name}"] = compliance.plot
    written += command.save_figures(out, drawings)
    command.say(f"\n{as_text(compliance, agreements)}\nTook {seconds / 60:.1f} min. ", end="")
    command.print_written(written)


def as_text(compliance, agreements: list, markdown: bool = False) -> str:
    """All tables as text."""
    from kdefrost import tables

    lay_out = tables.markdown if markdown else tables.align
    head = "## " if markdown else ""
    parts = ["# Compliance\n"] if markdown else []
    parts += [f"{head}{n} layers held\n\n{lay_out(compliance.cells(n))}\n" for n in compliance.counts or [0]]
    if agreements:
        parts.append(f"{head}Beside the defrosting profile\n\n{lay_out(agreement_rows(agreements))}\n")
        parts += [f"{each.sentence()}\n" for each in agreements]
    seeds = len(compliance.seeds)
    spread = f"Mean ± standard error over {seeds} seeds" if seeds > 1 else "One seed"
    return "\n".join([*parts, f"{spread}, {compliance.per_class} images per class.\n"])


def agreement_rows(agreements: list) -> list[list[str]]:
    """Scores cut by cut: those of the defrosting profile, and with springs."""
    from kdefrost.compliance.strengths import strength_text
    from kdefrost.statistics import over_seeds
    from kdefrost.tables import format_score

    first = agreements[0]
    columns = [first.frozen["reported"], *(each.held["reported"] for each in agreements)]
    cells = [[format_score(first.objective.name, *pair) for pair in over_seeds(column)] for column in columns]
    rows = [
        [str(cut.index), cut.name, str(cut.frozen_layers), *(column[place] for column in cells)]
        for place, cut in enumerate(first.cuts)
    ]
    held = [f"held, λ = {strength_text(each.strength)}" for each in agreements]
    return [["cut", "after layer", "layers", "frozen, cached", *held], *rows]
