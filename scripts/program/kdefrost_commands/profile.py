"""Finds out how deep to freeze a network: draws the defrosting profile of a source and a target.

Trains a source network (or takes a trained one), cuts it at every depth, freezes the
layers before the cut, trains the rest anew on small training sets of the target, and draws
the accuracy against the cut.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT
from kdefrost_commands.planning import autoencoder_flops, print_plan, print_sizes, warn_of_seen_images
from kdefrost_commands.reporting import run_and_report
from kdefrost_commands.searching import DEFAULT_BUDGET, share_or_time
from kdefrost_commands.splitting import PATIENCE, choose_trials, folds_or_none, load_target, patience_or_none

EXAMPLES = """examples:
  python scripts/profile.py --src gm --tgt digits
      the embedded digits, a few minutes on a laptop, no download
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256
      from CIFAR-10's Gaussian clone to CIFAR-10
  python scripts/profile.py --src ae32 --tgt cifar10 --per-class 64 256
      from CIFAR-10 as an autoencoder with 32 numbers in its bottleneck gives it back (any ae<k>)
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256 --search
      the same at a quarter of the training: only trials that are worth it, and why others were left out (once
      installed, also as kdefrost search)
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256 --seeds 5
      the same with more repeats: only the trials that are missing run
  python scripts/profile.py --src imagenet:MobileNetV2 --tgt photos/ --export saved_models/mine
      from ImageNet to your own images, photos/<class>/*.jpg: all of them train and, by folds, choose the cut;
      the model that is written at the end has seen all of them
  python scripts/profile.py --src my_network.keras --tgt idc --data-dir IDC --dry-run
      what a trained network of your own would take on the breast cancer patches
"""
# Of so many blocks all are tried; of more, ten that are spread by the training cost they leave.
MOST_BLOCKS = 16


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    add_source_and_target(parser.add_argument_group("source and target"))
    add_size(parser.add_argument_group("size of the experiment"))
    add_results(parser.add_argument_group("results"))
    return parser.parse_args()


def add_source_and_target(group):
    add = group.add_argument
    source = "a clone of the target (isogm, gm, ae32, …), a data set, imagenet:NAME such as imagenet:ResNet50 or "
    add("--src", required=True, metavar="NAME", help=source + "imagenet:MobileNetV2:0.35, or a .keras file")
    add("--trust", action="store_true", help="let Python code in a .keras source, as of a Lambda layer, run")
    add("--weights", metavar="FILE", help="local file of an imagenet source's weights (downloaded)")
    target = f"{command.TARGETS}, <class>/*.jpg or train/ and test/ above (%(default)s)"
    size = "resize all images to N×N (what the source takes)"
    shared = {"tgt": {"help": target}, "image_size": {"help": size}}
    command.add_options(group, "--tgt", "--data-dir", "--image-size", **shared)
    parts = "parts of a folder, such as train=fold1 test=fold2, or none: its sub-folders are classes (by their names)"
    add("--parts", nargs="+", metavar="PART=FOLDER", help=parts)
    add("--split", default="patient", choices=["patient", "random"], help="how idc is split (patient)")
    add("--on-corrupt", default="raise", choices=["raise", "skip"], help="what unreadable files of a folder do (raise)")
    inputs = "what a .keras source takes: images as they are, from 0 to 255, or with mean 0 and deviation 1 (raw)"
    add("--inputs", default="raw", choices=["raw", "standardized"], help=inputs)


def add_size(group):
    add = group.add_argument
    model = "network to train as a source, such as wide_resnet_16_1 (of the preset)"
    command.add_options(group, "--preset", "--model", model={"help": model})
    sizes = "training images per class (of the preset; of a folder all images)"
    add("--per-class", type=int, nargs="+", metavar="N", help=sizes)
    command.add_options(group, "--seeds")
    cuts = "blocks; layers; how many; or indices or names, two or more "
    add("--cuts", nargs="+", metavar="CUT", help=cuts + f"(blocks, or 10 where there are over {MOST_BLOCKS})")
    folds = "parts that are held out in turn to choose the cut on, or none: then a tenth is held out for that "
    add("--folds", type=folds_or_none, metavar="N", help=folds + "(3 for a folder of few images, else none)")
    patience = "try cuts from the last one back, until so many in a row are worse, or none: then all are tried "
    add("--patience", type=patience_or_none, metavar="N", help=patience + f"({PATIENCE} with folds, else none)")
    starts = "how tails start: all new, from the source's weights, or both, in one figure (new)"
    add("--tails", default="new", choices=["new", "pretrained", "both"], help=starts)
    add("--epochs", type=int, metavar="N", help="epochs of each trial on the target (of the preset)")
    search = "ask only what is worth its cost, up to a share of what all trials cost, or a time such as 10min "
    budget = {"nargs": "?", "const": DEFAULT_BUDGET, "type": share_or_time, "metavar": "BUDGET"}
    add("--search", **budget, help=search + f"({DEFAULT_BUDGET}; without --search all is asked)")
    tune = "choose the recipe first, among 12 at three cuts, on what chooses the cut (that of the preset)"
    add("--tune", action="store_true", help=tune)
    add("--metrics", nargs="+", metavar="NAME", help="Keras metrics, and balanced_accuracy (by the number of classes)")
    add("--objective", metavar="NAME", help="the metric that chooses the cut (the first)")
    add("--memory", type=positive, metavar="GIB", help="what cached features may take (a quarter of the machine's)")
    command.add_options(group, "--jobs", "--cluster")
    halves = "numbers in which features are cached; those of 2 bytes take half the memory (float32)"
    add("--feature-dtype", default="float32", choices=["float32", "float16", "bfloat16"], help=halves)
    command.add_options(group, "--devices")


def add_results(group):
    command.add_options(group, "--out", "--tensorboard")
    group.add_argument(
        "--export", metavar="DIR", help="write the best model of the largest size, as SavedModel and .keras"
    )
    scores = "first score the cuts without training, of each size: scores.csv, scores.json and a figure"
    group.add_argument("--scores", action="store_true", help=scores)
    dry = "say what would run and how long it would take, and stop"
    group.add_argument("--dry-run", action="store_true", help=dry)


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value


def main():
    stopped = "Finished trials and sources are kept; the same command goes on from there."
    command.main(lambda: run(parse_arguments()), stopped)


def run(arguments: argparse.Namespace) -> Callable[[], None] | None:
    """Checks the arguments, and gives the work that they ask for, of a dry run none."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        import kdefrost
    from kdefrost.devices import in_scope, strategy_for
    from kdefrost.files import make_folder

    command.check_environment()
    strategy = strategy_for(arguments.devices)
    preset = fill_in(kdefrost.PRESETS[arguments.preset], arguments)
    check_export(arguments.export)
    network, seen = None, None
    if command.is_trained(arguments.src):
        network = kdefrost.load_source(arguments.src, arguments.weights, image_size(arguments), arguments.trust)
    data = load_target(arguments, network)
    trials = choose_trials(data, preset, arguments)
    print_sizes(data, trials)
    source = {"model": preset.model, "recipe": preset.source, "directory": PROJECT / "saved_models"}
    source |= {"data_dir": arguments.data_dir, "autoencoder": preset.autoencoder}
    if not command.is_trained(arguments.src):
        classes, images = kdefrost.source_size(arguments.src, data, arguments.data_dir)
        seen = preset.source.epochs * images
        network = kdefrost.kept_source(arguments.src, data, **source)
        warn_of_seen_images(arguments.src, trials)
    trained = network is not None
    if not trained:
        # All that the source will be but its weights, on which no check before its training may depend.
        network = kdefrost.build_model(preset.model, classes, data.image_shape)
    out = command.out_folder(arguments.out, name_parts(arguments, trials))
    starts = ["new", "pretrained"] if arguments.tails == "both" else [arguments.tails]
    # Side by side, each has a folder of its own.
    folders = {start: out / start if len(starts) > 1 else out for start in starts}

    def defrosters() -> dict:
        return {
            start: make_defroster(network, data, preset, arguments, folder, strategy, start)
            for start, folder in folders.items()
        }

    # Mistakes in the arguments show here, before anything is trained.
    asked = {**trials, "trained": trained, "budget": arguments.search}
    plans = {start: (each.plan(**asked), each.source) for start, each in defrosters().items()}
    if arguments.dry_run:
        with in_scope(strategy):
            for start, (plan, whole) in plans.items():
                print(f"\n{start.capitalize()} tails:" if len(starts) > 1 else "")
                autoencoder = autoencoder_flops(arguments.src, data, preset)
                print_plan(plan, whole, trials["train"], seen, autoencoder, trials["patience"], arguments.search)
        return None
    make_folder(out)

    def work():
        nonlocal network
        if not command.is_trained(arguments.src):
            with in_scope(strategy):
                network = kdefrost.train_source(arguments.src, data, **source)
        run_and_report(defrosters(), trials, data.classes, preset, arguments, out)

    return work


def image_size(arguments) -> int | None:
    """The size that an imagenet source is to take; other sources have theirs."""
    return arguments.image_size if arguments.src.startswith("imagenet:") else None


def make_defroster(network, data, preset, arguments, out: Path, strategy, tails: str):
    """The defroster of a source, with the preprocessing that the source takes inside it."""
    import kdefrost

    if not command.is_trained(arguments.src) or arguments.inputs == "standardized":
        network = kdefrost.standardized(network, data.train.images)
    return kdefrost.Defroster(
        network,
        kdefrost.tuning.Tuned(preset.target) if arguments.tune else preset.target,
        parse_cuts(arguments.cuts, network),
        directory=out,
        metrics=arguments.metrics,
        objective=arguments.objective,
        memory_budget=None if arguments.memory is None else int(arguments.memory * 2**30),
        feature_dtype=arguments.feature_dtype,
        strategy=strategy,
        tails=tails,
        executor=command.executor(arguments.cluster),
        tensorboard=arguments.tensorboard,
    )


def fill_in(preset, arguments):
    """The preset, with what the command line says otherwise."""
    if arguments.model and command.is_trained(arguments.src):
        raise ValueError("--model names a network to train as a source; with a trained --src there is none to train.")
    if arguments.inputs != "raw" and not arguments.src.endswith(".keras"):
        raise ValueError("--inputs is for a .keras source; of the others it is known what they take.")
    if arguments.trust and not arguments.src.endswith(".keras"):
        raise ValueError("--trust is for a .keras source; no other holds code.")
    if arguments.tune and arguments.tails == "both":
        raise ValueError("--tune gives new and pretrained tails a recipe each; take one of --tails new, pretrained.")
    if arguments.search and arguments.patience not in (None, "none"):
        raise ValueError("--search chooses by itself which cuts are left out; leave --patience out.")
    if arguments.weights and not arguments.src.startswith("imagenet:"):
        raise ValueError("--weights is for an imagenet source, such as imagenet:ResNet50.")
    given = {"model": arguments.model, "per_class": arguments.per_class, "seeds": arguments.seeds}
    if arguments.epochs is not None:
        given["target"] = dataclasses.replace(preset.target, epochs=arguments.epochs)
    return dataclasses.replace(preset, **{name: value for name, value in given.items() if value is not None})


def parse_cuts(words: list[str] | None, network) -> str | int | list[int | str]:
    import kdefrost

    if words is None:
        return "blocks" if len(kdefrost.cut_points(network)) <= MOST_BLOCKS else 10
    return command.indices_or_names(words)


def name_parts(arguments, trials: dict) -> list[str | None]:
    """What a folder's name says of the command line; sources or targets of one file name need --out."""
    folds = trials.get("folds")
    return [
        Path(arguments.src).stem if arguments.src.endswith(".keras") else arguments.src,
        Path(arguments.tgt).name,
        arguments.preset,
        arguments.model,
        arguments.image_size and f"{arguments.image_size}px",
        arguments.epochs and f"{arguments.epochs}epochs",
        arguments.feature_dtype if arguments.feature_dtype != "float32" else None,
        f"{arguments.split}-split" if arguments.split != "patient" else None,
        arguments.cuts and "cuts" + "-".join(arguments.cuts),
        f"{arguments.tails}-tails" if arguments.tails != "new" else None,
        f"{folds}folds" if folds else "chosen-on-test" if trials["validation"] is None else None,
    ]


def check_export(path: str | None):
    """Refuses a folder that export would refuse, before hours of training."""
    if path and Path(path).exists() and not (Path(path) / "model_card.md").exists():
        raise ValueError(f"--export must be a new folder, or one of an earlier export. {path} is something else.")
