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
from kdefrost.transferability.names import IMBALANCE, LABELS, POOLED
from scripts.benches.situations import RANKINGS

PROJECT = Path(__file__).resolve().parents[2]
RECORDS, MODELS = PROJECT / "docs" / "ranking", PROJECT / "saved_models"


class Pretrained(NamedTuple):
    """A network with ImageNet's weights, whose profile on the target is on a page of its own.

    Attributes:
        name: As `imagenet_source` takes it.
        image_size: Height and width to which images are resized.
        profile: The file of its profile, of which some sizes are ranked.
    """

    name: str
    image_size: int
    profile: Path


class Setting(NamedTuple):
    """Sources that are ranked for one target.

    Attributes:
        scale: How sources and tails are trained.
        sources: Clones of the target, and the target.
        sizes: Training images per class.
        runs: Folder of the trials; of a preset that of `scripts/reproduce.py`, whose trials it shares.
        pretrained: Networks from ImageNet.
        halves: Whether a network that was trained on one half of the target's images is a source too, for the other.
    """

    scale: Scale
    sources: tuple[str, ...]
    sizes: tuple[int, ...]
    runs: Path
    pretrained: tuple[Pretrained, ...] = ()
    halves: bool = False


class Candidate(NamedTuple):
    """A source that is ranked.

    Attributes:
        profile: Its profile on the target.
        defroster: What scores its cuts.
        images: The images that are scored, as the source takes them, with their labels.
        takes_targets: Whether it takes images as a network does that was trained on the target.
    """

    profile: kdefrost.DefrostProfile
    defroster: kdefrost.Defroster
    images: kdefrost.Examples
    takes_targets: bool


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
        "laptop": Setting(
            laptop,
            clones,
            (16, 64, 256),
            runs / "paper" / "laptop",
            (Pretrained("MobileNet:0.75", 64, PROJECT / "docs" / "imagenet-cifar10" / "profile.json"),),
            halves=True,
        ),
    }
    return {name: made[name] for name in RANKINGS}


def bench_ranking(setting: str, data_dir: str | None, mobilenet: str | None, record: bool):
    path = RECORDS / f"{setting}.json"
    if record:
        written = recorded(settings()[setting], data_dir, mobilenet)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(written, indent=1) + "\n")
        print(f"Written: {path}")
    if not path.exists():
        raise ValueError(f"There is no {path}; --record trains and scores what it is made of.")
    print(f"\n{agreement(json.loads(path.read_text()))}")


def recorded(setting: Setting, data_dir: str | None, mobilenet: str | None) -> dict:
    """Runs what is missing of the profiles, and scores the sources.

    Args:
        setting: What is ranked.
        data_dir: Folder of TensorFlow Datasets.
        mobilenet: File of the weights of `setting.pretrained`; `None` downloads them.

    Returns:
        What the record holds, by size: best test scores and scores without training, of each seed and source.
    """
    scale = setting.scale
    answers = Answers(scale, setting.runs, MODELS, data_dir=data_dir)
    data = answers.data(scale.names.get("cifar10", "cifar10"))
    candidates = _clones(answers, setting, data)
    if setting.halves:
        candidates["half"] = _half(setting, data)
    for network in setting.pretrained:
        candidates[network.name] = _pretrained(network, setting, data.name, data_dir, mobilenet)
    # Of another start than the source that is trained on the target.
    target = kdefrost.standardized(answers.network(data.name, TARGET_SEED + 1), data.train.images)
    return {
        "machine": versions(),
        "target": data.name,
        "model": scale.model,
        "sources": list(candidates),
        "sizes": {str(size): of_size(candidates, size, scale.repeats, target) for size in setting.sizes},
    }


def profiles_of(answers: Answers, setting: Setting) -> dict[str, kdefrost.DefrostProfile]:
    """The profile of each clone, and of the target, of which what is missing is run."""
    target, repeats = setting.scale.names.get("cifar10", "cifar10"), setting.scale.repeats
    transfers = (Transfer(source, target, setting.sizes, repeats) for source in setting.sources)
    (results,) = answers.results([Figure(0, "sources", tuple(transfers))])
    return dict(zip(setting.sources, results.profiles, strict=True))


def _clones(answers: Answers, setting: Setting, data: kdefrost.ImageData) -> dict[str, Candidate]:
    """Networks that were trained on clones of the target, and on the target."""
    made = {}
    for name, profile in profiles_of(answers, setting).items():
        network = kdefrost.standardized(answers.network(*source_network(name, setting.scale)), data.train.images)
        defroster = kdefrost.Defroster(network, cuts=_cuts(setting))
        made[name] = Candidate(profile, defroster, _scored(setting, data), takes_targets=True)
    return made


def _half(setting: Setting, data: kdefrost.ImageData) -> Candidate:
    """A network that was trained on one half of the target's training images, and its profile on the other half."""
    scale = setting.scale
    train, validation = kdefrost.hold_out(data.train, scale.holds_out)
    seen, unseen = kdefrost.hold_out(train, 0.5)
    half = kdefrost.ImageData(f"{data.name}-half", seen, data.test, data.classes)
    network = kdefrost.standardized(kdefrost.train_source(half, data, scale.model, scale.source, MODELS), seen.images)
    defroster = kdefrost.Defroster(network, scale.tails, _cuts(setting), Path(f"{setting.runs}-half"))
    asked = {"per_class": setting.sizes, "seeds": scale.repeats, "classes": len(data.classes)}
    return Candidate(defroster.profile(unseen, data.test, validation, **asked), defroster, unseen, takes_targets=True)


def _pretrained(
    network: Pretrained, setting: Setting, target: str, data_dir: str | None, weights: str | None
) -> Candidate:
    """A network with ImageNet's weights, scored at the cuts of its profile."""
    profile = kdefrost.DefrostProfile.load(network.profile)
    source = kdefrost.imagenet_source(network.name, weights, network.image_size)
    defroster = kdefrost.Defroster(source, cuts=[cut.index for cut in profile.cuts])
    images = _scored(setting, kdefrost.load_data(target, data_dir, network.image_size))
    return Candidate(profile, defroster, images, takes_targets=False)


def _cuts(setting: Setting) -> str | list[int]:
    cuts = setting.scale.cuts
    return cuts if isinstance(cuts, str) else list(cuts)


def _scored(setting: Setting, data: kdefrost.ImageData) -> kdefrost.Examples:
    """The images that all sources are scored on: with halves, those that the network of the other half has not seen."""
    train, _ = kdefrost.hold_out(data.train, setting.scale.holds_out)
    return kdefrost.hold_out(train, 0.5)[1] if setting.halves else train


def of_size(candidates: dict[str, Candidate], size: int, seeds: int, target) -> dict:
    """Test scores at best cuts, see `at_best`, and scores without training likewise, `None` of what there is none."""
    ran = {name: each.profile for name, each in candidates.items() if size in each.profile.per_class}
    told = {what: dict(zip(ran, values, strict=True)) for what, values in at_best(ran, size).items()}
    scores = {name: {} for name in [*POOLED, IMBALANCE]}
    for name, each in candidates.items():
        names = list(scores) if each.takes_targets else list(POOLED)
        network = target if each.takes_targets else None
        result = each.defroster.transferability(each.images, size, seeds, names, target_network=network)
        ranking = kdefrost.SourceRanking({name: result})
        for score in names:
            scores[score][name] = ranking.scores(score)[:, 0].tolist()
    listed = {what: [values.get(name) for name in candidates] for what, values in told.items()}
    return {**listed, "scores": {score: [values.get(name) for name in candidates] for score, values in scores.items()}}


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

    A source that was trained on the target has learnt the very images that are scored: it is left out, as is one of
    which a size was not run, or a score not computed.
    """
    head = ["per class", "score", "sources", "ρ", "95 %", "ρ, something frozen", "95 %", "chooses", "loses, points"]
    rows = [head]
    for size, told in record["sizes"].items():
        for name, scores in told["scores"].items():
            numbers = {
                source: [np.mean(value) for value in values]
                for source, *values in zip(record["sources"], scores, told["best"], told["frozen"], strict=True)
                if source != record["target"] and None not in values
            }
            scored, best, frozen = np.array(list(numbers.values())).T
            chosen = int(scored.argmax())
            loss = f"{100 * (best.max() - best[chosen]):.1f}"
            correlations = [*correlation(scored, best), *correlation(scored, frozen)]
            rows.append([size, LABELS[name], str(len(best)), *correlations, list(numbers)[chosen], loss])
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
