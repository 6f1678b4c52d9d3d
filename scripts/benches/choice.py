"""What ways of choosing a cut are worth, on recorded situations."""

import numpy as np

from kdefrost.files import make_folder
from kdefrost.statistics import standard_error
from kdefrost.tables import markdown
from scripts.benches.judging import WAYS, Record
from scripts.benches.situations import SITUATIONS


def bench_choice(
    records: str, only: list[str] | None, idc: str | None, mobilenet: str | None, mobilenet_v2: str | None
):
    folder = make_folder(records)
    names = list(SITUATIONS) if only is None else only
    weights = {"MobileNet": mobilenet, "MobileNetV2": mobilenet_v2}
    for name in names:
        if not (folder / f"{name}.json").exists():
            from scripts.benches.recording import record

            print(f"Recording {name}", flush=True)
            record(SITUATIONS[name], folder, idc, weights)
    print(report([Record.read(folder / f"{name}.json") for name in names]))


def report(records: list[Record]) -> str:
    """Tables of those that served to fix the way of choosing, and of those that were kept aside."""
    parts = []
    for aside, title in ((False, "Chosen on"), (True, "Kept aside")):
        mine = [record for record in records if record.situation["aside"] == aside]
        if mine:
            parts += [f"## {title}", "", regrets(mine), "", flattery(mine), ""]
    return "\n".join(parts)


def regrets(records: list[Record]) -> str:
    """A row for each way: regret in points in each situation, its mean over all, the cost, and the test accuracy."""
    small = [number for number, record in enumerate(records) if record.situation["images"] <= 200]
    head = ["way", *(record.name for record in records), "≤ 200", "> 200", "test", "cost"]
    rows = []
    for name, way in WAYS.items():
        outcomes = [way(record) for record in records]
        losses = [100 * (r.test.max(axis=1) - o.test) for r, o in zip(records, outcomes, strict=True)]
        means = np.array([loss.mean() for loss in losses])
        halves = [means[small], np.delete(means, small)]
        rows.append(
            [
                name,
                *(f"{loss.mean():.1f} ± {standard_error(loss):.1f}" for loss in losses),
                *(f"{half.mean():.1f}" if len(half) else "–" for half in halves),
                f"{100 * np.mean([outcome.test.mean() for outcome in outcomes]):.1f}",
                f"{np.mean([outcome.cost for outcome in outcomes]):.1f}",
            ]
        )
    return markdown([head, *rows], left=(0,))


def flattery(records: list[Record]) -> str:
    """How far the mean of three folds at the chosen cut is above the test accuracy of the model, in points."""
    gaps = []
    for record in records:
        mean = record.folds[3].mean(axis=1)
        best = mean.shape[1] - 1 - mean[:, ::-1].argmax(axis=1)
        rows = np.arange(len(best))
        gaps.append(100 * (mean[rows, best] - record.test[rows, best]))
    texts = [f"{record.name}: {gap.mean():+.1f}" for record, gap in zip(records, gaps, strict=True)]
    return (
        f"Mean of 3 folds less test accuracy, in points: {', '.join(texts)}; mean {np.mean(np.concatenate(gaps)):+.1f}."
    )
