"""How far sources are ranked without training as their profiles rank them: Spearman's correlation, and what is lost."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

import kdefrost
from kdefrost.files import versions, write_atomically
from kdefrost.paper import SCALES, Answers
from kdefrost.paper.experiments import Figure, Transfer
from kdefrost.paper.scales import Scale
from kdefrost.paper.work import TARGET_SEED, source_network
from kdefrost.profile.choice import best_column
from kdefrost.tables import markdown
from kdefrost.transferability.names import LABELS
from scripts.benches.situations import RANKINGS

PROJECT = Path(__file__).resolve().parents[2]
RECORDS, MODELS = PROJECT / "docs" / "ranking", PROJECT / "saved_models"


class Setting(NamedTuple):
    """Sources that are ranked for one target.

    Attributes:
        scale: How sources and tails are trained.
        sources: Clones of the target, and the target.
        sizes: Training images per class.
        runs: Folder of the trials; of a preset that of `scripts/reproduce.py`, whose trials it shares.
    """

    scale: Scale
    sources: tuple[str, ...]
    sizes: tuple[int, ...]
    runs: Path


def settings() -> dict[str, Setting]:
    """All of `RANKINGS` by their names."""
    runs, smoke, laptop = PROJECT / "runs", SCALES["smoke"], SCALES["laptop"]
    digits = dataclasses.replace(
        smoke, name="digits", source=kdefrost.Recipe(epochs=20), tails=kdefrost.Recipe(epochs=30), repeats=3
    )
    bottlenecks = (1, 2, 3, 4, 6, 8, 16, 32)
    clones = ("isogm", "gm", "ae4", "ae32", "ae256", "cifar10")
    made = {
        "digits": Setting(
            digits,
            ("isogm", "gm", *(f"ae{numbers}" for numbers in bottlenecks), "digits"),
            (4, 16, 64),
            runs / "ranking" / "digits",
        ),
        "laptop": Setting(laptop, clones, (16, 64, 256), runs / "paper" / "laptop"),
    }
    return {name: made[name] for name in RANKINGS}


def bench_ranking(setting: str, data_dir: str | None, record: bool):
    path = RECORDS / f"{setting}.json"
    if record:
        written = recorded(settings()[setting], data_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(written, indent=1) + "\n")
        print(f"Written: {path}")
    if not path.exists():
        raise ValueError(f"There is no {path}; --record trains and scores what it is made of.")
    print(f"\n{agreement(json.loads(path.read_text()))}")


def recorded(setting: Setting, data_dir: str | None) -> dict:
    """Runs what is missing of the profiles, and scores the sources on the images of their trials.

    Args:
        setting: What is ranked.
        data_dir: Folder of TensorFlow Datasets.

    Returns:
        What the record holds, by size: best test scores and scores without training, of each seed and source.
    """
    answers = Answers(setting.scale, setting.runs, MODELS, data_dir=data_dir)
    profiles = profiles_of(answers, setting)
    return {
        "machine": versions(),
        "target": answers.data(setting.scale.names.get("cifar10", "cifar10")).name,
        "model": setting.scale.model,
        "sources": list(setting.sources),
        "sizes": {str(size): of_size(answers, setting, profiles, size) for size in setting.sizes},
    }


def profiles_of(answers: Answers, setting: Setting) -> dict[str, kdefrost.DefrostProfile]:
    """The profile of each source, of which what is missing is run."""
    target, repeats = setting.scale.names.get("cifar10", "cifar10"), setting.scale.repeats
    transfers = (Transfer(source, target, setting.sizes, repeats) for source in setting.sources)
    (results,) = answers.results([Figure(0, "sources", tuple(transfers))])
    return dict(zip(setting.sources, results.profiles, strict=True))


def of_size(answers: Answers, setting: Setting, profiles: dict, size: int) -> dict:
    """Test scores at best cuts `(sources, seeds)`, see `at_best`, and scores without training likewise."""
    scale = setting.scale
    data = answers.data(scale.names.get("cifar10", "cifar10"))
    train, _ = kdefrost.hold_out(data.train, scale.holds_out)

    def network(source: str, seed: int):
        return kdefrost.standardized(answers.network(source, seed), data.train.images)

    cuts = scale.cuts if isinstance(scale.cuts, str) else list(scale.cuts)
    sources = {name: kdefrost.Defroster(network(*source_network(name, scale)), cuts=cuts) for name in setting.sources}
    # Of another start than the source that is trained on the target.
    target = network(data.name, TARGET_SEED + 1)
    ranking = kdefrost.rank_sources(
        sources, train, per_class=size, seeds=scale.repeats, target_network=target, classes=len(data.classes)
    )
    return {**at_best(profiles, size), "scores": {name: ranking.scores(name).T.tolist() for name in ranking.names}}


def at_best(profiles: dict, size: int) -> dict:
    """The test scores of each source's best cut `(sources, seeds)`, of all cuts and of those that freeze something."""
    told = {}
    for what, first in (("best", 0), ("frozen", 1)):
        columns = [first + best_column(each.scores(size, "validation")[:, first:]) for each in profiles.values()]
        pairs = list(zip(profiles.values(), columns, strict=True))
        told[f"{what}_cuts"] = [profile.cuts[column].index for profile, column in pairs]
        told[what] = [profile.scores(size)[:, column].tolist() for profile, column in pairs]
    return told


def agreement(record: dict) -> str:
    """A row for each size and score: its Spearman correlation with test scores at best cuts, and what its choice loses.

    A source that was trained on the target has learnt the very images that are scored: it is left out.
    """
    head = ["per class", "score", "sources", "ρ", "95 %", "ρ, something frozen", "95 %", "chooses", "loses, points"]
    others = [place for place, source in enumerate(record["sources"]) if source != record["target"]]
    rows = [head]
    for size, told in record["sizes"].items():
        best, frozen = (np.array(told[what]).mean(axis=1)[others] for what in ("best", "frozen"))
        for name, scores in told["scores"].items():
            scores = np.array(scores).mean(axis=1)[others]
            chosen = int(scores.argmax())
            loss = f"{100 * (best.max() - best[chosen]):.1f}"
            correlations = [*correlation(scores, best), *correlation(scores, frozen)]
            source = record["sources"][others[chosen]]
            rows.append([size, LABELS[name], str(len(others)), *correlations, source, loss])
    return markdown(rows, left=(1, 7))


def correlation(scores: np.ndarray, best: np.ndarray) -> tuple[str, str]:
    """Spearman's correlation, and its interval, which there is none of where the orders are the same."""
    rho = float(stats.spearmanr(scores, best).statistic)
    return f"{rho:.2f}", "–" if abs(rho) == 1 else "{:.2f} to {:.2f}".format(*interval(rho, len(best)))


def interval(rho: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """A confidence interval of Spearman's correlation, by Fisher's z with the variance of Bonett & Wright (2000).

    Args:
        rho: The correlation, between -1 and 1.
        count: Number of pairs, at least four.
        confidence: Its confidence.

    Returns:
        The lower and the upper end.
    """
    error = np.sqrt((1 + rho**2 / 2) / (count - 3))
    reach = stats.norm.ppf((1 + confidence) / 2) * error
    return float(np.tanh(np.arctanh(rho) - reach)), float(np.tanh(np.arctanh(rho) + reach))
