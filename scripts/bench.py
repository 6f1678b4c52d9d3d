#!/usr/bin/env python
"""Measures how fast kdefrost is, beside what Keras and PyTorch do by themselves, in one run.

  training   Wide-ResNet-16-1 on 32×32 images, batch 128: images per second of kdefrost and
             of the same network with Keras's own batch normalisation and `fit(epochs=…)`,
             taken in turn
  head       a trial at the last cut: 60 epochs on 640 examples, evaluated on 1,000
  profile    a whole profile, its later half and its last cut: the same trials by hand in Keras
             (whole models with their first layers frozen; tails on features that `predict` gives),
             in PyTorch on cached features, where it is installed, and by kdefrost; each way of each
             round in a process of its own, taken in turn: time, peak memory and accuracy, on real
             images (it runs only by name; minutes to hours, by task)
  growth     a profile's time against its number of cuts, of training images and of seeds, with a
             straight line and a figure, on CIFAR-10 (it runs only by name)
  trials     200 trials of one defroster: what memory they leave behind, and what a trial takes
             beside its training (about a minute; it runs only by name)
  soak       1,000 trials of one defroster and 300 over two processes, with a run folder: how memory, open
             files and the folder grow (Linux; 10 minutes; it runs only by name)
  autoencoder  an autoencoder with 32 numbers in its bottleneck on 32×32 images: images per second
             of kdefrost in both precisions and of the plainest Keras (`fit(epochs=…)` on arrays),
             taken in turn with the machine's own rate of matrix products, at the batch sizes of
             the presets (about 4 minutes; it runs only by name)
  similarity  all measures of two representations, 10,000 points of 4,096 numbers, in turn with the
             machine's own rate of matrix products; growing numbers of points; then two of the measures
             by DADApy, where it is installed: time and peak memory, which Linux tells (about 5
             minutes; it runs only by name)
  streaming  50,000 images of 224×224 as a tf.data.Dataset, to train and to test on, cut twice
             through a MobileNetV2 of width 0.35: peak memory, and time (about 10 minutes; it
             runs only by name)

  choice     what ways of choosing a cut are worth to a user who has few images: a quarter or a tenth held out,
             folds, the last cut, half of the layers, from scratch, and networks that are fine-tuned whole; on
             recorded situations, of which those that are missing are recorded first (hours; it runs only by name)
  search     what ways of searching for the best cut lose against the full profile, at parts of its cost, and
             what scores foretell: on the full profiles that docs/ has (minutes, with --record an hour; only by name)
  ranking    how far sources are ranked without training as their profiles rank them, on records in docs/ranking; with
             --record what they are made of is run first (digits: a quarter of an hour; laptop: what reproduce.py has
             not run of it, hours; it runs only by name)
  springs    what the cut that springs predict loses, and costs, beside a search's: on profiles that ranking records
             (--record: digits a quarter of an hour, laptop two hours of a core; it runs only by name)
  models     every layer class of Keras's in a small model, networks of keras.applications and backbones of KerasHub,
             where it is installed: whether both sides of cuts compute what the whole does, whether a profile
             runs and its best model is exported (hours; it runs only by name)
  cluster    a Ray cluster of several nodes on this machine: trials a second with 1, 2 and 4 workers; what is lost where
             workers, nodes and the process that asks are killed; what that process takes for 100,000 answers
             of 1,000 simulated workers (with Ray installed; about half an hour; it runs only by name)

Without a name: training and head. Images are random unless it says otherwise: speed does not depend on
what they show. `bench.py profile --help` lists what one of them takes.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands import command

# Of these, the tables alone.
from scripts.benches.situations import RANKINGS, SITUATIONS
from scripts.benches.tasks import TASKS, WAYS


def add_profile_options(parser: argparse.ArgumentParser):
    add = parser.add_argument
    add("--task", default="wide_resnet_16_1", choices=TASKS, help="source, target and size (wide_resnet_16_1)")
    add("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY", help=f"{', '.join(WAYS)} (all)")
    command.add_options(parser, "--data-dir")
    add("--weights", metavar="FILE", help="local file of the ImageNet weights of mobilenet_v2 (downloaded)")
    add("--epochs", type=count, metavar="N", help="epochs of each trial (of the task)")
    add("--seeds", type=count, metavar="N", help="trials at each cut (of the task)")
    add("--cuts", type=index_or_name, nargs="+", metavar="CUT", help="how many; or indices or names (of the task)")
    add(
        "--out", type=new_file, metavar="FILE", help="new file for the raw numbers, .json, written as each process ends"
    )


def add_growth_options(parser: argparse.ArgumentParser):
    folders = {
        "data_dir": {"help": "folder of TensorFlow Datasets (TFDS_DATA_DIR)"},
        "out": {"default": "runs/growth", "help": "folder of the results (%(default)s)"},
    }
    command.add_options(parser, "--data-dir", "--out", **folders)


def add_choice_options(parser: argparse.ArgumentParser):
    add = parser.add_argument
    add("--records", default="docs/choice", metavar="DIR", help="folder of the records (%(default)s)")
    only = "situations to judge, or to record (all)"
    add("--only", nargs="+", choices=SITUATIONS, metavar="NAME", help=only)
    add_source_options(parser)


def add_source_options(parser: argparse.ArgumentParser):
    add = parser.add_argument
    add("--idc", metavar="DIR", help="folder of the IDC patches (KDEFROST_IDC_DIR)")
    add("--mobilenet", metavar="FILE", help="local file of the weights of MobileNet 0.75 (downloaded)")
    add("--mobilenet-v2", metavar="FILE", help="local file of the weights of MobileNetV2 0.35 (downloaded)")


def add_search_options(parser: argparse.ArgumentParser):
    add = parser.add_argument
    shares = (0.1, 0.25, 0.5)
    add("--budgets", type=float, nargs="+", default=shares, metavar="X", help="shares of the full cost (0.1 0.25 0.5)")
    add("--figure", metavar="FILE", help="file for a figure, .png or .svg")
    add("--record", action="store_true", help="first score the cuts of choice's situations that have no scores yet")
    add_source_options(parser)


def add_ranking_options(parser: argparse.ArgumentParser):
    add = parser.add_argument
    add_setting_options(parser)
    add("--record", action="store_true", help="first train and score what is missing")
    add("--mobilenet", metavar="FILE", help="local file of the weights of MobileNet 0.75, of laptop (downloaded)")


def add_setting_options(parser: argparse.ArgumentParser):
    which = "which sources, for which target (%(default)s)"
    parser.add_argument("--setting", default=RANKINGS[0], choices=RANKINGS, help=which)
    command.add_options(parser, "--data-dir", data_dir={"help": "folder of TensorFlow Datasets (TFDS_DATA_DIR)"})


def add_springs_options(parser: argparse.ArgumentParser):
    add_setting_options(parser)
    parser.add_argument("--record", action="store_true", help="first train what is missing")


def add_models_options(parser: argparse.ArgumentParser):
    kinds = ("layers", "hub", "applications")
    parser.add_argument("--kinds", nargs="+", default=kinds, choices=kinds, help="of which models (all)")
    parser.add_argument("--out", default="models.jsonl", help="file to which a line is added for each (%(default)s)")


def add_soak_options(parser: argparse.ArgumentParser):
    parser.add_argument("--trials", type=count, default=1000, metavar="N", help="in one process (%(default)s)")
    parser.add_argument("--side-by-side", type=count, default=300, metavar="N", help="over two (%(default)s)")


def add_cluster_options(parser: argparse.ArgumentParser):
    parts = ("throughput", "kills", "drivers", "answers")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts, help="what to measure (all)")
    parser.add_argument(
        "--answers", type=count, default=100_000, metavar="N", help="of simulated workers (%(default)s)"
    )
    parser.add_argument("--workers", type=count, default=1000, metavar="N", help="simulated (%(default)s)")


def add_no_options(parser: argparse.ArgumentParser):
    pass


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text}")
    return int(text)


def new_file(text: str) -> Path:
    """Refuses to write over the numbers of an earlier run, or where nothing can be written."""
    if Path(text).exists() or not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a new file in an existing folder, not {text}")
    return Path(text)


def index_or_name(text: str) -> int | str:
    return int(text) if text.isdigit() else text


class Bench(NamedTuple):
    """A measurement.

    Attributes:
        module: Its module in benches/.
        function: Its function.
        rounds: How often it measures by default; `None` where it takes no rounds.
        add_options: Adds its other options to a parser.
    """

    module: str
    function: str
    rounds: int | None = 5
    add_options: Callable[[argparse.ArgumentParser], None] = add_no_options


BENCHES = {
    "training": Bench("training", "bench_training"),
    "head": Bench("training", "bench_head"),
    "profile": Bench("profile", "bench_profile", 3, add_profile_options),
    "growth": Bench("growth", "bench_growth", 3, add_growth_options),
    "trials": Bench("trials", "bench_trials", None),
    "soak": Bench("soak", "bench_soak", None, add_soak_options),
    "autoencoder": Bench("autoencoder", "bench_autoencoder"),
    "similarity": Bench("similarity", "bench_similarity"),
    "choice": Bench("choice", "bench_choice", None, add_choice_options),
    "search": Bench("search", "bench_search", None, add_search_options),
    "ranking": Bench("ranking", "bench_ranking", None, add_ranking_options),
    "springs": Bench("springs", "bench_springs", None, add_springs_options),
    "models": Bench("models", "bench_models", None, add_models_options),
    "cluster": Bench("cluster", "bench_cluster", 3, add_cluster_options),
    "streaming": Bench("streaming", "bench_streaming"),
}


def main():
    stopped = "Measurements begin anew; profile's raw numbers so far are in --out, if given: name a new file."
    command.main(lambda: work(parse_arguments()), stopped)


def work(arguments: argparse.Namespace) -> Callable[[], None]:
    """The measurements that are asked for."""
    values = {name: value for name, value in vars(arguments).items() if name not in ("what", "rounds", "debug")}
    names = [arguments.what] if arguments.what else ["training", "head"]

    def measure():
        for name in names:
            run(BENCHES[name], arguments.rounds, values)

    return measure


def run(bench: Bench, rounds: int | None, arguments: dict):
    # Only now, so that --help and a mistyped option answer at once.
    module = importlib.import_module(f"scripts.benches.{bench.module}")
    if bench.rounds is not None:
        arguments = {"rounds": rounds or bench.rounds, **arguments}
    getattr(module, bench.function)(**arguments)


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--rounds", type=count, metavar="N", help="number of measurements of each (5)")
    commands = parser.add_subparsers(dest="what", metavar="what", help="what to measure (training and head)")
    for name, bench in BENCHES.items():
        own = commands.add_parser(name)
        if bench.rounds is not None:
            text = f"number of measurements of each ({bench.rounds})"
            # Suppressed, or it would replace what is given before the name.
            own.add_argument("--rounds", type=count, default=argparse.SUPPRESS, metavar="N", help=text)
        bench.add_options(own)
    return parser.parse_args()


if __name__ == "__main__":
    main()
