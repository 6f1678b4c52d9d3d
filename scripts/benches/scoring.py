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
from scripts.benches.recording import DRAWS, load
from scripts.benches.replays import shrinking
from scripts.benches.situations import Situation

# Those that need no other network.
NAMES = tuple(name for name in SCORES if name not in ("information_imbalance", "tangent_kernel"))
# The tangent kernel takes minutes a draw where images and networks are not small.
SMALL = "digits"


def record_scores(situation: Situation, path: Path, idc: str | None, weights: dict[str, str | None]):
    """Scores the cuts of a situation for each of its draws.

    Args:
        situation: The situation.
        path: The file to write.
        idc: Folder of the IDC patches.
        weights: By the name of an ImageNet network, the local file of its weights.
    """
    keras.utils.clear_session()
    source, ((images, labels), _), _ = load(situation, idc, weights)
    cuts = cut_points(source, situation.cuts)
    size = situation.images // len(set(labels.tolist()))
    drawn = {draw: kdefrost.subset(labels, size, draw) for draw in range(DRAWS)}
    used = np.unique(np.concatenate(list(drawn.values())))
    places = {draw: np.searchsorted(used, rows) for draw, rows in drawn.items()}
    names = [*NAMES, *(["tangent_kernel"] if situation.target == SMALL else [])]
    scores = {name: [[None] * len(cuts) for _ in drawn] for name in names}
    columns = {cut.index: column for column, cut in enumerate(cuts)}
    for each in each_cut(source, cuts, images[used], labels[used], places, names, verbose=True):
        for name, score in each.scores.items():
            scores[name][each.seed][columns[each.cut]] = score
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"shrinking": shrinking(cuts), "scores": scores}, indent=1) + "\n")
