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
    source = "a clone of the target (isogm, gm), a data set, or a .keras file, whose inputs must be images with mean 0 "
    add("--src", required=True, metavar="NAME", help=source + "and deviation 1 per channel")
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
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished trials and sources are kept; the same command goes on from there.")


def run(arguments: argparse.Namespace):
    # After parsing, so that --help and a mistyped option answer at once.
    import kdefrost

    preset = fill_in(kdefrost.PRESETS[arguments.preset], arguments)
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir)
    trials = choose_trials(data, preset, explicit=arguments.per_class is not None)
    trained = arguments.src.endswith(".keras")
    if trained:
        network = kdefrost.load_source(arguments.src)
    else:
        classes, images = kdefrost.source_size(arguments.src, data, arguments.data_dir)
        network = kdefrost.build_model(preset.model, classes, data.image_shape)
    cuts = parse_cuts(arguments.cuts)
    out = Path(arguments.out or PROJECT / "runs" / default_name(arguments, trials))
    # Mistakes in the arguments show here, before anything is trained.
    plan = kdefrost.Defroster(network, preset.target, cuts, directory=out).plan(**trials)
    if arguments.dry_run:
        print_plan(plan, network, trials, None if trained else preset.source.epochs * images)
        return
    out.mkdir(parents=True, exist_ok=True)
    if not trained:
        kept = PROJECT / "saved_models" / "sources"
        network = kdefrost.train_source(
            arguments.src, data, preset.model, preset.source, kept, data_dir=arguments.data_dir
        )
    start = time.perf_counter()
    profile = kdefrost.Defroster(network, preset.target, cuts, directory=out).profile(**trials)
    report(describe(profile, arguments, preset), out, time.perf_counter() - start)


def fill_in(preset, arguments):
    """The preset, with what the command line says otherwise."""
    if arguments.model and arguments.src.endswith(".keras"):
        raise ValueError("--model names a network to train as a source; with a trained --src there is none to train.")
    given = {"model": arguments.model, "per_class": arguments.per_class, "seeds": arguments.seeds}
    if arguments.epochs is not None:
        given["target"] = dataclasses.replace(preset.target, epochs=arguments.epochs)
    return dataclasses.replace(preset, **{name: value for name, value in given.items() if value is not None})


def choose_trials(data, preset, explicit: bool) -> dict:
    """Arguments of `Defroster.profile`: the target's examples, sizes and seeds.

    A tenth of the training images is held out to choose the cut on, unless a size asks for
    more than the rest has. Of a preset's own sizes, those that the data cannot give are
    left out.
    """
    import kdefrost

    standardized = data.standardized()
    train, validation = kdefrost.hold_out(standardized.train, share=0.1)
    available = standardized.train.smallest_class
    sizes = [size for size in preset.per_class if explicit or size <= available] or [max(1, available)]
    if max(sizes) > train.smallest_class:
        train, validation = standardized.train, None
    return {
        "train": train,
        "test": standardized.test,
        "validation": validation,
        "per_class": sizes,
        "seeds": preset.seeds,
        "classes": len(data.classes),
    }


def parse_cuts(words: list[str]) -> str | list[int | str]:
    if words == ["blocks"]:
        return "blocks"
    return [int(word) if word.lstrip("-").isdigit() else word for word in words]


def default_name(arguments, trials: dict) -> str:
    """A folder name from what the command line says; two sources of one file name need --out."""
    parts = [Path(arguments.src).stem, arguments.tgt, arguments.preset]
    if arguments.model:
        parts.append(arguments.model)
    if arguments.epochs:
        parts.append(f"{arguments.epochs}epochs")
    if arguments.cuts != ["blocks"]:
        parts.append("cuts" + "-".join(arguments.cuts))
    if trials["validation"] is None:
        parts.append("chosen-on-test")
    return "-".join(parts).replace("/", "-")


def describe(profile, arguments, preset):
    """The profile, with the words of the command line in its configuration."""
    from kdefrost.trials import versions

    named = {
        "source": arguments.src,
        "target": arguments.tgt,
        "preset": arguments.preset,
        "model": None if arguments.src.endswith(".keras") else preset.model,
        "per_class": profile.per_class,
        "seeds": len(profile.seeds),
        "source_weights": profile.configuration["source"],
        "versions": versions(),
    }
    return dataclasses.replace(profile, configuration={**profile.configuration, **named})


def print_plan(plan, network, trials: dict, source_images: int | None):
    """Prints what would run, with an estimate of the time from a short measurement."""
    from kdefrost import training
    from kdefrost.tables import align

    rows = [["cut", "after layer", "trials", "training TFLOP", "features"]]
    for cut in plan.cuts:
        mine = [trial for trial in plan.trials if trial[0] == cut.index]
        work = sum(map(plan.training_flops, mine)) / 1e12
        rows.append(
            [str(cut.index), cut.name, str(len(mine)), f"{work:.2f}", f"{plan.feature_bytes(cut) / 2**20:.1f} MiB"]
        )
    operations = sum(map(plan.flops, plan.trials))
    print(align(rows, left=(1,)))
    print(f"\n{len(plan.trials)} trials, {operations / 1e12:.1f} TFLOP with evaluation. Measuring …", flush=True)
    x, y = trials["train"]
    rate, compilation = training.training_rate(network, x[:1000], y[:1000] * 0, plan.recipe)
    whole = 3 * 2 * plan.cuts[0].multiply_adds
    # Beside its arithmetic each trial re-initialises, shuffles and evaluates.
    seconds = operations / (rate * whole) + compilation * len(plan.cuts) + 0.2 * len(plan.trials)
    print(f"This machine trains the whole network at {rate:.0f} images/s ({rate * whole / 1e9:.0f} GFLOP/s).")
    if source_images is not None:
        print(f"Source: {duration(source_images / rate)} for {source_images} images, unless it is kept already.")
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
    for ending in ("png", "svg"):
        figure.savefig(out / f"profile.{ending}", dpi=200)
    print(f"\n{profile.summary()}\n\nProfile took {duration(seconds)}. Written:")
    for name in ("profile.png", "profile.svg", "profile.csv", "profile.json", "trials.jsonl", "configuration.json"):
        print(f"  {out / name}")


if __name__ == "__main__":
    main()
