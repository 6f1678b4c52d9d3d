"""Records of situations: all trials of all cuts, and what else a user would train, so that ways of choosing are judged
without training again."""

import dataclasses
import json
import os
from pathlib import Path

import keras
import numpy as np

import kdefrost
from kdefrost.cutting.cuts import cut_points
from kdefrost.data.sets import LabelledSet
from kdefrost.data.storage import machine_memory
from kdefrost.files import versions, write_atomically
from kdefrost.trials.asking import all_of, ask
from kdefrost.trials.engine import Engine
from kdefrost.trials.experiment import Experiment, Learning, prepare
from kdefrost.trials.question import Fold, Question
from kdefrost.trials.rows import as_folds
from kdefrost.trials.store import Store
from scripts.benches.finetuning import FINE_TUNING, fine_tune
from scripts.benches.situations import Situation

PROJECT = Path(__file__).resolve().parents[2]
RUNS, MODELS = PROJECT / "runs" / "choice", PROJECT / "saved_models"
RECIPE = kdefrost.Recipe(epochs=60)
DRAWS, TEST = 4, 2000
FOLDS = (5, 3)
# One of so many parts is held out.
HOLD_OUTS = {"hold-out of a tenth": 10, "hold-out of a quarter": 4}
METRICS = ("accuracy", "sparse_categorical_crossentropy")


def record(situation: Situation, folder: Path, idc: str | None, weights: dict[str, str | None]) -> dict:
    """Trains what is missing of a situation's record, and writes it.

    Args:
        situation: The situation.
        folder: Where records are; trials go to a run folder of their own as they end.
        idc: Folder of the IDC patches.
        weights: By the name of an ImageNet network, the local file of its weights.

    Returns:
        The record, as `<name>.json` in the folder has it.
    """
    keras.utils.clear_session()
    source, sets, groups = load(situation, idc, weights)
    cuts = cut_points(source, situation.cuts)
    data = {name: LabelledSet(*part) for name, part in zip(("train", "test"), sets, strict=True)}
    size = situation.images // len(np.unique(data["train"].y))
    experiment = prepare(source, cuts[-1], data, Learning(metrics=METRICS), [size], groups=groups)
    # All images of a draw, all but a fold, and what a hold-out leaves, of each class one image at least.
    parts = [None, *(Fold(0, min(folds, size)) for folds in HOLD_OUTS.values())]
    parts = dict.fromkeys([*parts, *(fold for folds in FOLDS for fold in as_folds(folds))])
    questions = [
        Question.at(cut, size, seed, RECIPE, fold=fold) for cut in cuts for seed in range(DRAWS) for fold in parts
    ]
    runs = RUNS / situation.name
    with Store(runs, experiment.configuration) as store:
        engine = Engine(experiment, cuts, machine_memory() // 8, directory=runs)
        for _ in ask(all_of(questions), store, engine):
            pass
        trials = [_row(store.answers[question]) for question in questions]
    written = {
        "machine": versions(),
        "situation": {**dataclasses.asdict(situation), "per_class": size},
        "recipe": dataclasses.asdict(RECIPE),
        "cuts": [[cut.index, cut.name, cut.tail_multiply_adds / cut.multiply_adds] for cut in cuts],
        "multiply_adds": cuts[0].multiply_adds,
        "trials": trials,
        "fine_tuned": _fine_tuned(source, experiment, size, runs),
    }
    write_atomically(folder / f"{situation.name}.json", _compact(written))
    return written


def load(situation: Situation, idc: str | None, weights: dict[str, str | None]):
    """The source, as it takes raw images, images and labels to train and to test on, and the groups of the former."""
    is_trained, target = situation.source.startswith("imagenet:"), situation.target
    folders = {"data_dir": idc or os.environ.get("KDEFROST_IDC_DIR")} if target == "idc" else {}
    data = kdefrost.load_data(target, image_size=situation.image_size, **folders)
    if is_trained:
        source = kdefrost.load_source(situation.source, weights[situation.source.split(":")[1]], situation.image_size)
    else:
        preset = kdefrost.PRESETS["laptop"]
        autoencoder = dataclasses.replace(preset.autoencoder, epochs=5)
        made = {"model": "wide_resnet_10_1", "recipe": preset.source, "directory": MODELS, "autoencoder": autoencoder}
        network = kdefrost.train_source(situation.source, data, **made)
        source = kdefrost.standardized(network, data.train.images)
    test = data.test.take(kdefrost.subset(data.test.labels, TEST // len(data.classes), seed=0))
    return source, [(part.images[:], part.labels) for part in (data.train, test)], data.groups


def _row(answer) -> list:
    """`[cut, seed, fold, folds, test accuracy, held-out accuracy and log-loss, seconds]` of a trial."""
    asked, fold = answer.question, answer.question.fold
    held_out = answer.validation or {}
    return [
        asked.cut,
        asked.seed,
        None if fold is None else fold.number,
        None if fold is None else fold.folds,
        answer.test[METRICS[0]],
        *(held_out.get(metric) for metric in METRICS),
        answer.seconds,
    ]


def _fine_tuned(source: keras.Model, experiment: Experiment, size: int, runs: Path) -> list:
    """`[way, draw, test accuracy, seconds]` of whatever is trained whole, kept as it comes."""
    path = runs / "fine-tuned.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    known = {tuple(row[:2]) for row in rows}
    for way in FINE_TUNING:
        for draw in range(DRAWS):
            if (way, draw) not in known:
                score, seconds = fine_tune(way, source, experiment, size, draw, RECIPE)
                rows.append([way, draw, score, round(seconds, 2)])
                write_atomically(path, json.dumps(rows))
    return rows


def _compact(written: dict) -> str:
    """JSON with a trial a line."""
    text = json.dumps({**written, "trials": "TRIALS", "fine_tuned": "FINE"}, indent=1)
    for name in ("trials", "fine_tuned"):
        rows = ",\n".join(f"  {json.dumps(row)}" for row in written[name])
        text = text.replace('"TRIALS"' if name == "trials" else '"FINE"', f"[\n{rows}\n ]")
    return text + "\n"
