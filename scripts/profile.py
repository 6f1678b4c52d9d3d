#!/usr/bin/env python
"""Finds out how deep to freeze a network: draws the defrosting profile of a source and a target.

Trains a source network (or takes a trained one), cuts it at every depth, freezes the
layers before the cut, trains the rest anew on small training sets of the target, and draws
the accuracy against the cut.
"""

import sys
from pathlib import Path

# This folder would let `import profile` find this script where Python's own module is meant.
PROJECT = Path(__file__).resolve().parent.parent
sys.path[0] = str(PROJECT)

import argparse
import dataclasses
import os
import time

# TensorFlow's notes on the processor are not for whoever draws a profile.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EXAMPLES = """examples:
  python scripts/profile.py --src gm --tgt digits
      the embedded digits, a few minutes on a laptop, no download
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256
      from CIFAR-10's Gaussian clone to CIFAR-10
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256 --seeds 5
      the same with more repeats: only the trials that are missing run
  python scripts/profile.py --src my_network.keras --tgt cifar10 --dry-run
      what a trained network of your own would take
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--src", required=True, metavar="NAME", help="a clone of the target (isogm, gm), a data set, or a .keras file")
    add("--tgt", default="digits", metavar="NAME", help="digits (embedded), cifar10, or another image set of TFDS")
    add("--preset", default="laptop", choices=["smoke", "laptop", "paper"], help="size of the experiment (laptop)")
    add("--model", metavar="NAME", help="network, such as wide_resnet_16_1 (of the preset)")
    add("--per-class", type=int, nargs="+", metavar="N", help="training images per class (of the preset)")
    add("--seeds", type=int, metavar="N", help="number of repeats (of the preset)")
    add("--cuts", nargs="+", default=["blocks"], metavar="CUT", help="blocks; or indices or layer names (blocks)")
    add("--epochs", type=int, metavar="N", help="epochs of each trial on the target (of the preset)")
    add("--data-dir", metavar="DIR", help="folder of TensorFlow Datasets (TFDS_DATA_DIR)")
    add("--out", metavar="DIR", help="folder of the results (runs/<what runs>)")
    add("--dry-run", action="store_true", help="say what would run and how long it would take, and stop")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        run(arguments)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished trials are kept; the same command goes on from there.")


def run(arguments: argparse.Namespace):
    # After parsing, so that --help and a mistyped option answer at once.
    import kdefrost

    preset = kdefrost.PRESETS[arguments.preset]
    model = arguments.model or preset.model
    recipe = dataclasses.replace(preset.target, epochs=arguments.epochs or preset.target.epochs)
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir)
    trials = choose_trials(data, arguments, preset)
    given = arguments.src.endswith(".keras")
    network = (
        kdefrost.load_source(arguments.src)
        if given
        else kdefrost.build_model(model, len(data.classes), data.image_shape)
    )
    defroster = kdefrost.Defroster(network, recipe, parse_cuts(arguments.cuts))
    # Every mistake in the arguments shows here, before anything is trained.
    plan = defroster.plan(**trials)
    if arguments.dry_run:
        print_plan(plan, defroster, trials, None if given else (preset.source, len(data.train.labels)))
        return
    if not given:
        network = kdefrost.train_source(
            arguments.src, data, model, preset.source, PROJECT / "saved_models" / "sources", data_dir=arguments.data_dir
        )
    out = Path(arguments.out or PROJECT / "runs" / default_name(arguments, model))
    defroster = kdefrost.Defroster(network, recipe, parse_cuts(arguments.cuts), directory=out)
    start = time.perf_counter()
    profile = defroster.profile(**trials)
    report(profile, out, time.perf_counter() - start)


def choose_trials(data, arguments, preset) -> dict:
    """Arguments of `Defroster.profile`: the target's examples, sizes and seeds.

    A tenth of the training images is held out to choose the cut on, unless a size asks for
    more than the rest has.
    """
    import kdefrost

    standardized = data.standardized()
    rest, held_out = kdefrost.hold_out(standardized.train, share=0.1)
    available = rest.smallest_class
    sizes = arguments.per_class or [size for size in preset.per_class if size <= available]
    if max(sizes, default=0) > available:
        rest, held_out = standardized.train, None
    return {
        "train": rest,
        "test": standardized.test,
        "validation": held_out,
        "per_class": sizes,
        "seeds": arguments.seeds or preset.seeds,
    }


def parse_cuts(words: list[str]) -> str | list[int | str]:
    if words == ["blocks"]:
        return "blocks"
    return [int(word) if word.lstrip("-").isdigit() else word for word in words]


def default_name(arguments, model: str) -> str:
    """A folder name that tells apart all that one folder must not mix."""
    parts = [Path(arguments.src).stem, arguments.tgt, arguments.preset]
    if arguments.model:
        parts.append(model)
    if arguments.epochs:
        parts.append(f"{arguments.epochs}epochs")
    if arguments.cuts != ["blocks"]:
        parts.append("cuts" + "-".join(arguments.cuts))
    return "-".join(parts).replace("/", "-")


def print_plan(plan, defroster, trials: dict, source: tuple | None):
    """Prints what would run, with an estimate of the time from a short measurement."""
    from kdefrost import training
    from kdefrost.profile import align

    x, y = trials["train"]
    rate, compilation = training.training_rate(defroster.source, x[:1000], y[:1000], plan.recipe)
    whole = 3 * 2 * plan.cuts[0].multiply_adds
    operations = sum(map(plan.flops, plan.trials))
    seconds = operations / (rate * whole) + compilation * len(plan.cuts)
    rows = [["cut", "after layer", "trials", "training TFLOP", "features/image"]]
    for cut in plan.cuts:
        mine = [trial for trial in plan.trials if trial[0] == cut.index]
        work = sum(map(plan.training_flops, mine)) / 1e12
        rows.append([str(cut.index), cut.name, str(len(mine)), f"{work:.2f}", f"{cut.feature_bytes / 1024:.1f} KiB"])
    print(align(rows, left=(1,)))
    print(f"\n{len(plan.trials)} trials, {operations / 1e12:.1f} TFLOP with evaluation.")
    print(f"This machine trains the whole network at {rate:.0f} images/s ({rate * whole / 1e9:.0f} GFLOP/s).")
    if source:
        recipe, images = source
        print(f"Source: {recipe.epochs} epochs of {images} images, {duration(recipe.epochs * images / rate)}, if new.")
    print(f"Profile: {duration(seconds)}.")


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds > 90 else f"about {seconds:.0f} s"


def report(profile, out: Path, seconds: float):
    """Writes profile and figure, and prints the table and the paths."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    profile.save(out / "profile.json")
    profile.save_csv(out / "profile.csv")
    figure = profile.plot().figure
    figure.savefig(out / "profile.png", dpi=200)
    figure.savefig(out / "profile.svg")
    print(f"\n{profile.summary()}\n\nProfile took {duration(seconds)}. Written:")
    for name in ("profile.png", "profile.svg", "profile.csv", "profile.json", "trials.jsonl", "configuration.json"):
        print(f"  {out / name}")


if __name__ == "__main__":
    main()
