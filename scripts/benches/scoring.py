"""Scores without training of the situations of `bench.py choice`, on the images of each draw, recorded."""

import json
from pathlib import Path

import keras
import numpy as np

import kdefrost
from kdefrost.cutting.cuts import cut_points
from kdefrost.files import write_atomically
from kdefrost.transferability import SCORES
from kdefrost.transferability.scoring import each_cut
from scripts.benches.recording import DRAWS, MODELS, load
from scripts.benches.replays import shrinking
from scripts.benches.situations import Situation

# The tangent kernel takes minutes a draw where images and networks are not small, and the Information Imbalance needs
# a network that was trained on the target.
SLOW, SMALL = ("tangent_kernel", "information_imbalance"), "digits"


def names_for(situation: Situation) -> list[str]:
    """The scores that are recorded of a situation."""
    return [name for name in SCORES if name not in SLOW or situation.target == SMALL]


def record_scores(situation: Situation, path: Path, idc: str | None, weights: dict[str, str | None]):
    """Computes the scores that are missing of a situation, of its cuts and each of its draws.

    Args:
        situation: The situation.
        path: The file to write, with what it has already.
        idc: Folder of the IDC patches.
        weights: By the name of an ImageNet network, the local file of its weights.
    """
    known = json.loads(path.read_text())["scores"] if path.exists() else {}
    names = [name for name in names_for(situation) if name not in known]
    keras.utils.clear_session()
    source, ((images, labels), _), _ = load(situation, idc, weights)
    cuts = cut_points(source, situation.cuts)
    size = situation.images // len(set(labels.tolist()))
    drawn = {draw: kdefrost.subset(labels, size, draw) for draw in range(DRAWS)}
    used = np.unique(np.concatenate(list(drawn.values())))
    places = {draw: np.searchsorted(used, rows) for draw, rows in drawn.items()}
    target = target_network(situation) if "information_imbalance" in names else None
    scores = {name: [[None] * len(cuts) for _ in drawn] for name in names}
    columns = {cut.index: column for column, cut in enumerate(cuts)}
    for each in each_cut(source, cuts, images[used], labels[used], places, names, target, verbose=True):
        for name, score in each.scores.items():
            scores[name][each.seed][columns[each.cut]] = score
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {"shrinking": shrinking(cuts), "scores": {**known, **scores}}
    write_atomically(path, json.dumps(written, indent=1) + "\n")


def target_network(situation: Situation) -> keras.Model:
    """A network that was trained on all of a target's training images, the draws among them."""
    data = kdefrost.load_data(situation.target)
    recipe = kdefrost.PRESETS["laptop"].source
    network = kdefrost.train_source(situation.target, data, model="wide_resnet_10_1", recipe=recipe, directory=MODELS)
    return kdefrost.standardized(network, data.train.images)
