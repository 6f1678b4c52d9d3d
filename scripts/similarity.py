#!/usr/bin/env python
"""Shows how alike networks see the same images: compares one that was trained on a source with one on the target.

Trains a network on each source and one on the target per seed (or takes those that were
trained before), shows both the target's test images, and draws how similar their layers
are: Information Imbalance both ways, linear CKA, neighbourhood overlap and the rank
correlation of neighbours' distances.
"""

import sys
from pathlib import Path

# As in profile.py: this folder would hide Python's own module `profile`.
PROJECT = Path(__file__).resolve().parent.parent
sys.path[0] = str(PROJECT)

import argparse
import csv
import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

EXAMPLES = """examples:
  python scripts/similarity.py --src isogm gm
      two Gaussian clones of the embedded digits and the digits, a minute or two on a laptop, no download
  python scripts/similarity.py --src isogm gm ae256 --tgt cifar10 --seeds 3
      three clones of CIFAR-10 and CIFAR-10, three pairs of networks each
  python scripts/similarity.py --src isogm gm ae256 cifar10 --tgt cifar10 --seeds 5
      more pairs, and how alike two networks are that were trained on the same: what was done is not done again
"""
# So much is added to the seed of the target's network, so that the two of a pair start from different weights.
TARGET_SEED = 1000
# As many images as the paper compares on.
MOST_IMAGES = 10_000


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    source = "clones of the target (isogm, gm, ae32, …) or data sets, best from the crudest on"
    add("--src", nargs="+", required=True, metavar="NAME", help=source)
    target = "digits (embedded), idc, an image set of TFDS such as cifar10, or a folder of images"
    add("--tgt", default="digits", metavar="NAME", help=f"{target} (%(default)s)")
    preset = "network and epochs (%(default)s)"
    add("--preset", default="laptop", choices=["smoke", "laptop", "paper"], help=preset)
    add("--model", metavar="NAME", help="network, such as wide_resnet_16_1 (of the preset)")
    add("--seeds", type=int, metavar="N", help="number of pairs of networks for each source (of the preset)")
    layers = "blocks; layers; how many; or indices or names "
    add("--layers", nargs="+", default=["blocks"], metavar="LAYER", help=layers + "(blocks)")
    add("--data-dir", metavar="DIR", help="folder of TensorFlow Datasets (TFDS_DATA_DIR), or of the idc archive")
    add("--image-size", type=int, metavar="N", help="resize all images to N×N (the set's own)")
    memory = "what features may take, and again what is computed from them (%(default)s)"
    add("--memory", type=float, default=2.0, metavar="GIB", help=memory)
    devices = "devices that share the work, such as GPU:0 GPU:1, or all GPUs (one, by TensorFlow's choice)"
    add("--devices", nargs="+", metavar="NAME", help=devices)
    add("--out", type=Path, metavar="DIR", help="folder of the results (runs/similarity-<what runs>)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        run(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Trained networks and finished comparisons are kept; the same command goes on from there.")


def run(arguments: argparse.Namespace):
    # After parsing, so that --help and a mistyped option answer at once.
    import tensorflow as tf

    import kdefrost
    from kdefrost.devices import in_scope, strategy_for

    # Each network is traced anew, of which TensorFlow warns.
    tf.get_logger().setLevel("ERROR")
    strategy, preset = strategy_for(arguments.devices), kdefrost.PRESETS[arguments.preset]
    model, seeds = arguments.model or preset.model, preset.seeds if arguments.seeds is None else arguments.seeds
    if seeds < 1 or not arguments.memory > 0:
        raise ValueError(f"--seeds and --memory must be positive. Received: {seeds} and {arguments.memory}")
    sources = list(dict.fromkeys(arguments.src))
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir, image_size=arguments.image_size)
    # Mistakes in the arguments show here, before anything is trained.
    for name in sources:
        if name.endswith(".keras") or name.startswith("imagenet:"):
            raise ValueError(
                f"--src must be clones or data sets, on which networks are trained here. Received: {name}; trained "
                "networks are compared by kdefrost.similarity.layerwise."
            )
        kdefrost.source_size(name, data, arguments.data_dir)
    layers = parse_layers(arguments.layers)
    kdefrost.cut_points(kdefrost.build_model(model, len(data.classes), data.image_shape), layers)
    images = test_images(data)
    out = arguments.out or Path("runs") / default_name(arguments, sources)
    out.mkdir(parents=True, exist_ok=True)
    print(f"{data.name}: networks are compared on {len(images)} test images.", flush=True)

    def network(source, seed: int):
        given = {"data_dir": arguments.data_dir, "autoencoder": preset.autoencoder}
        return kdefrost.train_source(source, data, model, preset.source, PROJECT / "saved_models", seed=seed, **given)

    results = {name: [] for name in sources}
    with in_scope(strategy):
        for seed in range(seeds):
            target = kdefrost.standardized(network(data, TARGET_SEED + seed), data.train.images)
            for name in sources:
                source = kdefrost.standardized(network(name, seed), data.train.images)
                print(f"Seed {seed}: {name} and {data.name}", flush=True)
                results[name].append(compare(source, target, images, layers, arguments.memory, out / "pairs"))
    joined = {name: kdefrost.LayerwiseSimilarity.joined(parts) for name, parts in results.items()}
    report(joined, data.name, out)


def parse_layers(words: list[str]) -> str | int | list[int | str]:
    if words in (["blocks"], ["layers"]):
        return words[0]
    layers = [int(word) if word.lstrip("-").isdigit() else word for word in words]
    return layers[0] if len(layers) == 1 and isinstance(layers[0], int) else layers


def test_images(data):
    """The target's test images, or a sample of them where there are very many."""
    import numpy as np

    if len(data.test.labels) <= MOST_IMAGES:
        return data.test.images
    rows = np.random.default_rng(0).choice(len(data.test.labels), MOST_IMAGES, replace=False)
    return data.test.take(np.sort(rows)).images


def compare(source, target, images, layers, memory: float, folder: Path):
    """The similarity of two networks, measured now or before."""
    import kdefrost
    from kdefrost import fingerprint, kept
    from kdefrost.similarity.representations import Settings

    settings = {
        "source": fingerprint.of_model(source),
        "target": fingerprint.of_model(target),
        "images": fingerprint.of_content(images),
        "layers": layers,
        **Settings().as_dict(),
    }
    place = kept.address(folder, "pair", settings)
    if not kept.is_whole(place):
        budget = int(memory * 2**30)
        result = kdefrost.similarity.layerwise(source, target, images, layers, memory_budget=budget)
        with kept.writing(place, settings) as beside:
            result.save(beside / "similarity.json")
    return kdefrost.LayerwiseSimilarity.load(place / "similarity.json")


def default_name(arguments, sources: list[str]) -> str:
    """A folder name from what the command line says."""
    parts = ["similarity", *sources, Path(arguments.tgt).name, arguments.preset]
    if arguments.model:
        parts.append(arguments.model)
    if arguments.image_size:
        parts.append(f"{arguments.image_size}px")
    if arguments.layers != ["blocks"]:
        parts.append("layers" + "-".join(arguments.layers))
    return "-".join(parts).replace("/", "-")


def report(results: dict, target: str, out: Path):
    """Writes figures and numbers, and prints the tables and the paths."""
    from matplotlib import pyplot

    from kdefrost.drawing import save_figure
    from kdefrost.files import write_atomically
    from kdefrost.similarity.figures import plot_imbalance_plane, plot_layerwise

    pyplot.switch_backend("agg")
    others = ["cka", "neighbor_spearman", "neighborhood_overlap"]
    figures = {
        "imbalance": plot_layerwise(results, ["information_imbalance"])[0].figure,
        "similarity": plot_layerwise(results, others)[0].figure,
        "plane": plot_imbalance_plane(results).figure,
    }
    written = []
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            written.append(out / f"{name}.{ending}")
            save_figure(figure, written[-1])
    for name, result in results.items():
        written.append(out / f"similarity-{name.replace('/', '-')}.json")
        result.save(written[-1])
    written += [out / "similarity.csv", out / "similarity.md"]
    write_atomically(written[-2], as_csv(results))
    write_atomically(written[-1], as_markdown(results, target))
    print(f"\n{as_text(results, target)}\n\nWritten:")
    for path in written:
        print(f"  {path}")


def legend(results: dict, target: str) -> str:
    result = next(iter(results.values()))
    pairs = len(result.pairs)
    spread = f"Mean ± standard error over {pairs} pairs of networks" if pairs > 1 else "One pair of networks"
    images = result.configuration["images"]
    return f"{spread}, X trained on the source and Y on {target}, on {images} test images of {target}."


def rows_of(results: dict, number: str) -> list[list[str]]:
    """A number as cells of a table: a head, and a row per layer with a column per source."""
    cells = [result.cells(number) for result in results.values()]
    first = next(iter(results.values()))
    rows = [
        [str(cut.index), cut.name, *(column[place] for column in cells)] for place, cut in enumerate(first.layers_a)
    ]
    return [["cut", "after layer", *results], *rows]


def title(number: str) -> str:
    """What stands above the table of a number."""
    from kdefrost.similarity.result import LABELS

    return LABELS[number][0].upper() + LABELS[number][1:]


def as_text(results: dict, target: str) -> str:
    from kdefrost.tables import align

    names = next(iter(results.values())).names
    tables = [f"{title(name)}\n\n{align(rows_of(results, name), left=(1,))}\n" for name in names]
    return "\n".join([*tables, legend(results, target)])


def as_markdown(results: dict, target: str) -> str:
    from kdefrost.tables import markdown

    names = next(iter(results.values())).names
    tables = [f"## {title(name)}\n\n{markdown(rows_of(results, name), left=(1,))}\n" for name in names]
    return "\n".join([f"# Similarity to {target}\n", legend(results, target), "", *tables])


def as_csv(results: dict) -> str:
    """The comparisons of all sources, one a row, the source first."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["source", *next(iter(results.values())).rows()[0]])
    for name, result in results.items():
        writer.writerows([name, *row] for row in result.rows()[1:])
    return file.getvalue()


if __name__ == "__main__":
    main()
