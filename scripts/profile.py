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
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Processes of --jobs share a GPU's memory with this one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

EXAMPLES = """examples:
  python scripts/profile.py --src gm --tgt digits
      the embedded digits, a few minutes on a laptop, no download
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256
      from CIFAR-10's Gaussian clone to CIFAR-10
  python scripts/profile.py --src ae32 --tgt cifar10 --per-class 64 256
      from CIFAR-10 as an autoencoder with 32 numbers in its bottleneck gives it back (any ae<k>)
  python scripts/profile.py --src gm --tgt cifar10 --per-class 16 64 256 --seeds 5
      the same with more repeats: only the trials that are missing run
  python scripts/profile.py --src imagenet:MobileNetV2 --tgt photos/ --per-class 8 32 --export saved_models/mine
      from ImageNet to a folder of images, photos/<class>/*.jpg; the best model is written at the end
  python scripts/profile.py --src my_network.keras --tgt idc --data-dir IDC --dry-run
      what a trained network of your own would take on the breast cancer patches
"""
# Of so many blocks all are tried; of more, ten that are spread by the training cost they leave.
MOST_BLOCKS = 16
# The paper scores on up to 10,000 patches, as many of each class.
IDC_TEST_PER_CLASS = 5000


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("source and target")
    add = what.add_argument
    source = "a clone of the target (isogm, gm, ae32, …), a data set, imagenet:NAME such as imagenet:ResNet50 or "
    add("--src", required=True, metavar="NAME", help=source + "imagenet:MobileNetV2:0.35, or a .keras file")
    add("--weights", metavar="FILE", help="local file of an imagenet source's weights (downloaded)")
    target = "digits (embedded), idc (breast cancer patches), an image set of TFDS such as cifar10, or a folder "
    add("--tgt", default="digits", metavar="NAME", help=target + "of images, <class>/*.jpg or train/ and test/ above")
    add("--data-dir", metavar="DIR", help="folder of TensorFlow Datasets (TFDS_DATA_DIR), or of the idc archive")
    add("--image-size", type=int, metavar="N", help="resize all images to N×N (what the source takes)")
    add("--split", default="patient", choices=["patient", "random"], help="how idc is split (patient)")
    add("--on-corrupt", default="raise", choices=["raise", "skip"], help="what unreadable files of a folder do (raise)")
    inputs = "what a .keras source takes: images as they are, from 0 to 255, or with mean 0 and deviation 1 (raw)"
    add("--inputs", default="raw", choices=["raw", "standardized"], help=inputs)

    how = parser.add_argument_group("size of the experiment")
    add = how.add_argument
    add("--preset", default="laptop", choices=["smoke", "laptop", "paper"], help="what the rest is by default (laptop)")
    add("--model", metavar="NAME", help="network to train as a source, such as wide_resnet_16_1 (of the preset)")
    add("--per-class", type=int, nargs="+", metavar="N", help="training images per class (of the preset)")
    add("--seeds", type=int, metavar="N", help="number of repeats (of the preset)")
    cuts = "blocks; layers; how many; or indices or names, two or more "
    add("--cuts", nargs="+", metavar="CUT", help=cuts + f"(blocks, or 10 where there are over {MOST_BLOCKS})")
    add("--epochs", type=int, metavar="N", help="epochs of each trial on the target (of the preset)")
    add("--metrics", nargs="+", metavar="NAME", help="Keras metrics, and balanced_accuracy (by the number of classes)")
    add("--objective", metavar="NAME", help="the metric that chooses the cut (the first)")
    add("--memory", type=positive, metavar="GIB", help="what cached features may take (a quarter of the machine's)")
    side = "processes that run whole trials side by side, on a core or GPU each (all in one process)"
    add("--jobs", type=int, metavar="N", help=side)
    halves = "numbers in which features are cached; those of 2 bytes take half the memory (float32)"
    add("--feature-dtype", default="float32", choices=["float32", "float16", "bfloat16"], help=halves)
    devices = "devices that share the work, such as GPU:0 GPU:1, or all GPUs (one, by TensorFlow's choice)"
    add("--devices", nargs="+", metavar="NAME", help=devices)

    results = parser.add_argument_group("results")
    add = results.add_argument
    add("--out", metavar="DIR", help="folder of the results (runs/<what runs>)")
    add("--export", metavar="DIR", help="write the best model of the largest size, as SavedModel and .keras")
    add("--dry-run", action="store_true", help="say what would run and how long it would take, and stop")
    return parser.parse_args()


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value


def main():
    arguments = parse_arguments()
    try:
        run(arguments)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished trials and sources are kept; the same command goes on from there.")


def run(arguments: argparse.Namespace):
    # After parsing, so that --help and a mistyped option answer at once.
    import kdefrost
    from kdefrost.devices import in_scope, strategy_for

    strategy = strategy_for(arguments.devices)
    preset = fill_in(kdefrost.PRESETS[arguments.preset], arguments)
    check_export(arguments.export)
    network, seen = None, None
    if is_trained(arguments):
        network = kdefrost.load_source(arguments.src, arguments.weights, image_size(arguments))
    data = load_target(arguments, network)
    trials = choose_trials(data, preset, arguments)
    print_sizes(data, trials)
    source = {"model": preset.model, "recipe": preset.source, "directory": PROJECT / "saved_models"}
    source |= {"data_dir": arguments.data_dir, "autoencoder": preset.autoencoder}
    if not is_trained(arguments):
        classes, images = kdefrost.source_size(arguments.src, data, arguments.data_dir)
        seen = preset.source.epochs * images
        network = kdefrost.kept_source(arguments.src, data, **source)
        warn_of_seen_images(arguments.src, trials)
    trained = network is not None
    if not trained:
        # All that the source will be but its weights, on which no check before its training may depend.
        network = kdefrost.build_model(preset.model, classes, data.image_shape)
    out = Path(arguments.out or Path("runs") / default_name(arguments, trials))
    # Mistakes in the arguments show here, before anything is trained.
    defroster = make_defroster(network, data, preset, arguments, out, strategy)
    plan = defroster.plan(**trials, trained=trained)
    if arguments.dry_run:
        with in_scope(strategy):
            print_plan(plan, defroster.source, trials, seen, autoencoder_flops(arguments.src, data, preset))
        return
    out.mkdir(parents=True, exist_ok=True)
    if not is_trained(arguments):
        with in_scope(strategy):
            network = kdefrost.train_source(arguments.src, data, **source)
        defroster = make_defroster(network, data, preset, arguments, out, strategy)
    start = time.perf_counter()
    profile = describe(defroster.profile(**trials), arguments, preset)
    report(profile, out, time.perf_counter() - start)
    if arguments.export:
        model = defroster.best_model(profile, max(profile.per_class))
        print(f"  {kdefrost.export(model, arguments.export, profile, class_names=data.classes)}")


def is_trained(arguments) -> bool:
    """Whether the source is there already, and not trained here."""
    return arguments.src.endswith(".keras") or arguments.src.startswith("imagenet:")


def image_size(arguments) -> int | None:
    """The size that an imagenet source is to take; other sources have theirs."""
    return arguments.image_size if arguments.src.startswith("imagenet:") else None


def load_target(arguments, network):
    """The target's images, in the size and the colours that a trained source takes."""
    import kdefrost

    size, color_mode = arguments.image_size, "rgb"
    if network is not None:
        kdefrost.cut_points(network)
        shape = network.inputs[0].shape[1:]
        if len(shape) != 3:
            raise ValueError(f"{arguments.src} must take images (height, width, channels); it takes {shape}.")
        color_mode = "grayscale" if shape[2] == 1 else "rgb"
        size = shape[:2] if size is None else size
    return kdefrost.load_data(
        arguments.tgt,
        arguments.data_dir,
        image_size=size,
        color_mode=color_mode,
        split=arguments.split,
        on_corrupt=arguments.on_corrupt,
    )


def make_defroster(network, data, preset, arguments, out: Path, strategy):
    """The defroster of a source, with the preprocessing that the source takes inside it."""
    import kdefrost

    if not is_trained(arguments) or arguments.inputs == "standardized":
        network = kdefrost.standardized(network, data.train.images)
    return kdefrost.Defroster(
        network,
        preset.target,
        parse_cuts(arguments.cuts, network),
        directory=out,
        metrics=arguments.metrics,
        objective=arguments.objective,
        memory_budget=None if arguments.memory is None else int(arguments.memory * 2**30),
        feature_dtype=arguments.feature_dtype,
        strategy=strategy,
    )


def fill_in(preset, arguments):
    """The preset, with what the command line says otherwise."""
    if arguments.model and is_trained(arguments):
        raise ValueError("--model names a network to train as a source; with a trained --src there is none to train.")
    if arguments.inputs != "raw" and not arguments.src.endswith(".keras"):
        raise ValueError("--inputs is for a .keras source; of the others it is known what they take.")
    if arguments.weights and not arguments.src.startswith("imagenet:"):
        raise ValueError("--weights is for an imagenet source, such as imagenet:ResNet50.")
    given = {"model": arguments.model, "per_class": arguments.per_class, "seeds": arguments.seeds}
    if arguments.epochs is not None:
        given["target"] = dataclasses.replace(preset.target, epochs=arguments.epochs)
    return dataclasses.replace(preset, **{name: value for name, value in given.items() if value is not None})


def choose_trials(data, preset, arguments) -> dict:
    """Arguments of `Defroster.profile`: the target's examples, sizes and seeds.

    A tenth of the training images is held out to choose the cut on, unless a size asks for
    more than the rest has. Of a preset's own sizes, those that the data cannot give are
    left out.
    """
    import kdefrost

    train, validation = kdefrost.hold_out(data.train, share=0.1, groups=data.groups)
    available = data.train.smallest_class
    explicit = arguments.per_class is not None
    sizes = [size for size in preset.per_class if explicit or size <= available] or [max(1, available)]
    if max(sizes) > train.smallest_class:
        train, validation = data.train, None
    return {
        "train": train,
        "test": data.test,
        "validation": validation,
        "per_class": sizes,
        "seeds": preset.seeds,
        "classes": len(data.classes),
        "test_per_class": IDC_TEST_PER_CLASS if arguments.tgt == "idc" else None,
        "jobs": arguments.jobs,
    }


def parse_cuts(words: list[str] | None, network) -> str | int | list[int | str]:
    import kdefrost

    if words is None:
        return "blocks" if len(kdefrost.cut_points(network)) <= MOST_BLOCKS else 10
    if words in (["blocks"], ["layers"]):
        return words[0]
    cuts = [int(word) if word.lstrip("-").isdigit() else word for word in words]
    return cuts[0] if len(cuts) == 1 and isinstance(cuts[0], int) else cuts


def default_name(arguments, trials: dict) -> str:
    """A folder name from what the command line says; sources or targets of one file name need --out."""
    source = Path(arguments.src).stem if arguments.src.endswith(".keras") else arguments.src
    parts = [source, Path(arguments.tgt).name, arguments.preset]
    if arguments.model:
        parts.append(arguments.model)
    if arguments.image_size:
        parts.append(f"{arguments.image_size}px")
    if arguments.epochs:
        parts.append(f"{arguments.epochs}epochs")
    if arguments.feature_dtype != "float32":
        parts.append(arguments.feature_dtype)
    if arguments.split != "patient":
        parts.append(f"{arguments.split}-split")
    if arguments.cuts:
        parts.append("cuts" + "-".join(arguments.cuts))
    if trials["validation"] is None:
        parts.append("chosen-on-test")
    return "-".join(parts).replace("/", "-").replace(":", "-")


def check_export(path: str | None):
    """Refuses a folder that export would refuse, before hours of training."""
    if path and Path(path).exists() and not (Path(path) / "model_card.md").exists():
        raise ValueError(f"--export must be a new folder, or one of an earlier export. {path} is something else.")


def describe(profile, arguments, preset):
    """The profile, with the words of the command line in its configuration."""
    from kdefrost.files import versions

    named = {
        "source_name": arguments.src,
        "target": arguments.tgt,
        "preset": arguments.preset,
        "model": None if is_trained(arguments) else preset.model,
        "per_class": profile.per_class,
        "seeds": len(profile.seeds),
        "versions": versions(),
    }
    return dataclasses.replace(profile, configuration={**profile.configuration, **named})


def print_sizes(data, trials: dict):
    """Says how many images there are of what."""
    parts = {"to train on": trials["train"], "to choose the cut on": trials["validation"], "to test on": trials["test"]}
    counts = ", ".join(f"{len(part.labels)} {use}" for use, part in parts.items() if part is not None)
    patients = "" if data.groups is None else "; no patient is in two of these"
    print(f"{data.name}: {len(data.classes)} classes, {counts} images{patients}.", flush=True)


def autoencoder_flops(source: str, data, preset) -> float:
    """Operations that the training of a source's autoencoder takes; 0 where it has none."""
    import kdefrost
    from kdefrost.clones.making import bottleneck

    if bottleneck(source) is None:
        return 0.0
    whole = kdefrost.cut_points(kdefrost.autoencoder(bottleneck(source), data.image_shape))[0]
    return 3.0 * 2.0 * whole.multiply_adds * preset.autoencoder.epochs * len(data.train.labels)


def warn_of_seen_images(source: str, trials: dict):
    """Says where the scores that choose the cut flatter late cuts."""
    from kdefrost.clones.making import bottleneck

    if bottleneck(source) is not None and trials["validation"] is not None:
        print(f"The source sees the images that choose the cut, as far as they pass through {source}: their scores")
        print("flatter late cuts. Those of the test images do not.", flush=True)


def print_plan(plan, source, trials: dict, source_images: int | None, autoencoder_flops: float):
    """Prints what would run, with an estimate of the time from a short measurement."""
    from kdefrost import training
    from kdefrost.cutting.cuts import cut_points
    from kdefrost.cutting.surgery import tail_of
    from kdefrost.models.normalization import FUSED_LAYERS
    from kdefrost.tables import align

    rows = [["cut", "after layer", "trials", "training TFLOP", "features", "kept"]]
    for cut in plan.cuts:
        mine = [question for question in plan.questions if question.cut == cut.index]
        work = sum(map(plan.training_flops, mine)) / 1e12
        features, kept = f"{plan.feature_bytes(cut) / 2**20:.1f} MiB", place_text(plan, cut)
        rows.append([str(cut.index), cut.name, str(len(mine)), f"{work:.2f}", features, kept])
    operations = sum(map(plan.flops, plan.questions))
    print(align(rows, left=(1, 5)))
    if not plan.questions:
        print("\nAll trials have finished: there is nothing to run.")
        return
    print(f"\n{len(plan.questions)} trials, {operations / 1e12:.1f} TFLOP with evaluation. Measuring …", flush=True)
    whole = tail_of(source, cut_points(source)[0], output=plan.task.output, substitutes=FUSED_LAYERS)
    x, y = trials["train"]
    recipe = plan.questions[0].recipe
    x, y = (part[: recipe.batch_size] for part in (x, y))
    rate, compilation = training.training_rate(whole, x, y, recipe)
    per_image = 3 * 2 * plan.cuts[0].multiply_adds
    # The features cost one pass forward, a third of a training step. Beside its arithmetic
    # each trial re-initialises, shuffles and evaluates.
    seconds = operations / (rate * per_image) + (plan.trained + plan.evaluated) / (3 * rate)
    seconds += compilation * len(plan.cuts) + 0.2 * len(plan.questions)
    print(f"This machine trains the whole network at {rate:.0f} images/s ({rate * per_image / 1e9:.0f} GFLOP/s).")
    if autoencoder_flops:
        print(f"Autoencoder: {duration(autoencoder_flops / (rate * per_image))}, unless it is kept already.")
    if source_images is not None:
        print(f"Source: {duration(source_images / rate)} for {source_images} images, unless it is kept already.")
    print(f"Profile: {duration(seconds)}.")


def place_text(plan, cut) -> str:
    """Where the features at a cut are held, in words."""
    held = plan.held_at(cut)
    if not cut.frozen_layers:
        return "the images themselves"
    if held is cut:
        return {"memory": "in memory", "disk": "on disk"}[plan.places[cut.index]]
    at_images = held is None or not held.frozen_layers
    return f"no, computed again from {'the images' if at_images else f'cut {held.index}'}"


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds > 90 else f"about {seconds:.0f} s"


def report(profile, out: Path, seconds: float):
    """Writes profile and figure, and prints the table and the paths."""
    from matplotlib import pyplot

    from kdefrost.drawing import save_figure

    pyplot.switch_backend("agg")
    profile.save(out / "profile.json")
    profile.save_csv(out / "profile.csv")
    figure = profile.plot().figure
    for ending in ("png", "svg"):
        save_figure(figure, out / f"profile.{ending}")
    print(f"\n{profile.summary()}\n\nProfile took {duration(seconds)}. Written:")
    for name in ("profile.png", "profile.svg", "profile.csv", "profile.json", "trials.sqlite"):
        print(f"  {out / name}")


if __name__ == "__main__":
    main()
