"""Shows how alike networks see the same images: compares one that was trained on a source with one on the target.

Trains a network on each source and one on the target per seed (or takes those that were
trained before), shows both the target's test images, and draws how similar their layers
are: Information Imbalance both ways, linear CKA, neighbourhood overlap and the rank
correlation of neighbours' distances.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.command import PROJECT

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
    parser = command.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    source = "clones of the target (isogm, gm, ae32, …) or data sets, best from the crudest on"
    add("--src", nargs="+", required=True, metavar="NAME", help=source)
    shared = {
        "model": {"help": "network, such as wide_resnet_16_1 (of the preset)"},
        "seeds": {"help": "number of pairs of networks for each source (of the preset)"},
    }
    command.add_options(parser, "--tgt", "--preset", "--model", "--seeds", **shared)
    layers = "blocks; layers; how many; or indices or names "
    add("--layers", nargs="+", default=["blocks"], metavar="LAYER", help=layers + "(blocks)")
    command.add_options(parser, "--data-dir", "--image-size")
    memory = "what features may take, and again what is computed from them (%(default)s)"
    add("--memory", type=float, default=2.0, metavar="GIB", help=memory)
    folder = {"help": "folder of the results (runs/similarity-<what runs>)"}
    command.add_options(parser, "--devices", "--out", out=folder)
    return parser.parse_args()


def main():
    stopped = "Trained networks and finished comparisons are kept; the same command goes on from there."
    command.main(lambda: run(parse_arguments()), stopped)


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        import tensorflow as tf

        import kdefrost
    from kdefrost.devices import in_scope, strategy_for
    from kdefrost.files import make_folder

    # Each network is traced anew, of which TensorFlow warns.
    tf.get_logger().setLevel("ERROR")
    command.check_environment()
    strategy, preset = strategy_for(arguments.devices), kdefrost.PRESETS[arguments.preset]
    model, seeds = arguments.model or preset.model, preset.seeds if arguments.seeds is None else arguments.seeds
    if seeds < 1 or not arguments.memory > 0:
        raise ValueError(f"--seeds and --memory must be positive. Received: {seeds} and {arguments.memory}")
    sources = list(dict.fromkeys(arguments.src))
    data = kdefrost.load_data(arguments.tgt, arguments.data_dir, image_size=arguments.image_size)
    # Mistakes in the arguments show here, before anything is trained.
    check_sources(sources, data, arguments.data_dir)
    layers = command.indices_or_names(arguments.layers)
    kdefrost.cut_points(kdefrost.build_model(model, len(data.classes), data.image_shape), layers)
    images = test_images(data)
    out = make_folder(command.out_folder(arguments.out, name_parts(arguments, sources)))
    command.say(f"{data.name}: networks are compared on {len(images)} test images.")

    def network(source, seed: int):
        given = {"data_dir": arguments.data_dir, "autoencoder": preset.autoencoder}
        return kdefrost.train_source(source, data, model, preset.source, PROJECT / "saved_models", seed=seed, **given)

    def work():
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

    return work


def check_sources(sources: list[str], data, data_dir: str | None):
    """Refuses what is no clone of the target and no data set."""
    import kdefrost

    for name in sources:
        if command.is_trained(name):
            raise ValueError(
                f"--src must be clones or data sets, on which networks are trained here. Received: {name}; trained "
                "networks are compared by kdefrost.similarity.layerwise."
            )
        kdefrost.source_size(name, data, data_dir)


def test_images(data):
    """The target's test images, or a sample of them where there are very many."""
    import numpy as np

    if len(data.test.labels) <= MOST_IMAGES:
        return data.test.images
    rows = np.random.default_rng(0).choice(len(data.test.labels), MOST_IMAGES, replace=False)
    return data.test.take(np.sort(rows)).images


def compare(source, target, images, layers, memory: float, folder: Path):
    """The similarity of two networks, measured now or before."""
    from kdefrost.similarity.kept_pairs import kept_layerwise

    return kept_layerwise(source, target, images, folder, layers, memory_budget=int(memory * 2**30))


def name_parts(arguments, sources: list[str]) -> list[str | None]:
    """What a folder's name says of the command line."""
    return [
        "similarity",
        *sources,
        Path(arguments.tgt).name,
        arguments.preset,
        arguments.model,
        arguments.image_size and f"{arguments.image_size}px",
        "layers" + "-".join(arguments.layers) if arguments.layers != ["blocks"] else None,
    ]


def report(results: dict, target: str, out: Path):
    """Writes figures and numbers, and prints the tables and the paths."""
    from kdefrost.files import file_name, write_atomically
    from kdefrost.results import as_csv, joined_rows
    from kdefrost.similarity.figures import plot_imbalance_plane, plot_layerwise

    others = ["cka", "neighbor_spearman", "neighborhood_overlap"]
    drawings = {
        "imbalance": lambda: plot_layerwise(results, ["information_imbalance"]),
        "similarity": lambda: plot_layerwise(results, others),
        "plane": lambda: plot_imbalance_plane(results),
    }
    written = command.save_figures(out, drawings)
    for name, result in results.items():
        written.append(out / file_name(f"similarity-{name}.json"))
        result.save(written[-1])
    written += [out / "similarity.csv", out / "similarity.md"]
    write_atomically(written[-2], as_csv(joined_rows(results, "source")))
    write_atomically(written[-1], as_markdown(results, target))
    command.say(f"\n{as_text(results, target)}\n")
    command.print_written(written)


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
