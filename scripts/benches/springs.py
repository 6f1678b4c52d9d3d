"""What the cut that springs predict loses against the full profile, and what it costs, beside a search's."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import kdefrost
from kdefrost.files import versions, write_atomically
from kdefrost.paper import Answers
from kdefrost.paper.work import source_network
from kdefrost.statistics import error_over_seeds, mean_over_seeds, standard_error
from kdefrost.tables import markdown
from scripts.benches.ranking import MODELS, PROJECT, Setting, profiles_of, settings
from scripts.benches.replays import PAPER, Replay, shrinking
from scripts.benches.searching import ways

# Of the settings of `bench.py ranking`, whose profiles they share: sources, and images per class.
HELD = {
    "digits": (("isogm", "gm", "ae4", "ae32"), (16, 64)),
    "laptop": (("isogm", "gm", "ae256"), (16, 64)),
}
RECORDS = {"digits": "compliance-digits", "laptop": "compliance-cifar10"}
# Fixed before anything was measured. The distance is in the middle between the source's weights, 0, and weights that
# know nothing of them, 1.
STRENGTHS, ONE_STRENGTH = (0.0, 1e-3, 1e-2, 1e-1, 1.0), 1e-2
DISTANCE = 0.5
# Added when distances had turned out to say nothing: accuracy with the layers before each cut held by stiff springs.
STIFF = 1.0
BUDGET = 0.25
WAYS = {
    "raised": "distances, λ raised while accuracy does not fall",
    "one": f"distances, λ = {ONE_STRENGTH:g}, one seed",
    "held": f"accuracy, λ = {STIFF:g}, the layers before each cut held",
    "search": f"search at {BUDGET:g}",
    "vanilla": "last cut (vanilla)",
    "scratch": "from scratch",
}


def bench_springs(setting: str, data_dir: str | None, record: bool):
    path = PROJECT / "docs" / RECORDS[setting] / "springs.json"
    if record:
        sources, sizes = HELD[setting]
        held = settings()[setting]._replace(sources=sources, sizes=sizes)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        for row in recorded(held, data_dir):
            rows.append(row)
            write_atomically(path, json.dumps({"machine": versions(), "rows": rows}, indent=1) + "\n")
            print(f"Written: {path}, {len(rows)} of {len(sources) * len(sizes)} profiles")
    if not path.exists():
        raise ValueError(f"There is no {path}; --record trains what it is made of.")
    print(f"\n{by_way(json.loads(path.read_text())['rows'])}")


def recorded(setting: Setting, data_dir: str | None) -> Iterator[dict]:
    """Regret and cost of each way, of each size and source: the profiles are those of `bench.py ranking`."""
    answers = Answers(setting.scale, setting.runs, MODELS, data_dir=data_dir)
    profiles = profiles_of(answers, setting)
    for size, source in itertools.product(setting.sizes, setting.sources):
        profile, defroster, asked = profiles[source], *held_near(answers, setting, source, size)
        springs = defroster.compliance(**asked, strengths=STRENGTHS, layers=defroster.cuts[-1])
        each = defroster.compliance(**asked, strengths=(0.0, STIFF), layers=defroster.cuts[1:])
        replay = Replay(
            f"{source}, {size}",
            PAPER,
            np.array([cut.tail_share for cut in profile.cuts]),
            100 * profile.scores(size, "validation"),
            100 * profile.mean(size),
            shrinking(profile.cuts),
            {},
            size,
        )
        yield {"source": source, "size": size, **outcomes(replay, profile, springs, each)}


def held_near(answers: Answers, setting: Setting, source: str, size: int) -> tuple[kdefrost.Defroster, dict]:
    """What trains with layers held near a source's, on the images of the profile's trials, and these."""
    scale = setting.scale
    data = answers.data(scale.names.get("cifar10", "cifar10"))
    train, validation = kdefrost.hold_out(data.train, scale.holds_out)
    network = kdefrost.standardized(answers.network(*source_network(source, scale)), data.train.images)
    folder = Path(f"{setting.runs}-springs") / source
    sets = {"train": train, "test": data.test, "validation": validation, "classes": len(data.classes)}
    defroster = kdefrost.Defroster(network, scale.tails, list(scale.cuts), folder)
    return defroster, {**sets, "per_class": size, "seeds": scale.repeats}


def outcomes(
    replay: Replay,
    profile: kdefrost.DefrostProfile,
    springs: kdefrost.ComplianceProfile,
    each: kdefrost.ComplianceProfile,
) -> dict:
    """By way, the cut, the regret in points against the full profile, and the cost as a share of its cost."""
    full = replay.costs.sum() * len(replay.choosing)
    first = kdefrost.ComplianceProfile(
        springs.layers,
        springs.cuts,
        tuple(trial for trial in springs.trials if trial.seed == springs.seeds[0]),
        springs.objective,
        springs.configuration,
    )

    def cut_at(cut) -> list:
        column = 0 if cut is None else [known.index for known in profile.cuts].index(cut.index)
        return [profile.cuts[column].index, replay.regret(column)]

    searched = ways([])["search"](replay, BUDGET)
    return {
        "strength": harmless_strength(springs),
        "distances": distances(springs),
        "best": profile.best_cut(replay.per_class).index,
        "raised": [*cut_at(near_cut(springs, harmless_strength(springs))), len(springs.trials) / full],
        "one": [*cut_at(near_cut(first, ONE_STRENGTH)), 1 / full],
        "held": [*cut_at(each.predicted_cut(STIFF)), len(each.trials) / full],
        "search": [None, *searched],
        "vanilla": [*cut_at(profile.cuts[-1]), 0.0],
        "scratch": [*cut_at(None), 0.0],
    }


def harmless_strength(springs: kdefrost.ComplianceProfile) -> float | None:
    """The strength to which λ can be raised before the score falls by more than the error of the paired difference."""
    cost, harmless = springs.cost(springs.counts[-1], "validation"), None
    mean, error = mean_over_seeds(cost), np.nan_to_num(error_over_seeds(cost))
    for place, strength in enumerate(springs.strengths):
        if strength:
            if not mean[place] <= error[place]:
                break
            harmless = strength
    return harmless


def near_cut(springs: kdefrost.ComplianceProfile, strength: float | None):
    """The last cut before which all layers stay within `DISTANCE` of the source; `None` where there is none."""
    if strength is None:
        return None
    layers, column = springs.counts[-1], springs.strengths.index(strength)
    strayed = [
        number
        for name, number in springs.layers.items()
        if not mean_over_seeds(springs.distances(layers, name))[column] <= DISTANCE
    ]
    within = [cut for cut in springs.cuts if cut.frozen_layers < min([*strayed, layers + 1])]
    return within[-1] if within else None


def distances(springs: kdefrost.ComplianceProfile) -> dict[str, list[float]]:
    """By strength, the cosine distance of each layer from the source, mean over seeds."""
    means = [springs.distances(springs.counts[-1], name).mean(axis=0) for name in springs.layers]
    return {
        f"{strength:g}": [round(float(layer), 4) for layer in column]
        for strength, column in zip(springs.strengths, np.stack(means, axis=1), strict=True)
    }


def by_way(rows: list[dict]) -> str:
    """A row for each way: mean regret ± standard error over sources and sizes, the worst, and the cost."""
    table = [["way", "profiles", "regret, points", "worst", "cost"]]
    for way, label in WAYS.items():
        regret, cost = np.array([row[way][1:] for row in rows]).T
        spread = f"{regret.mean():.2f} ± {standard_error(regret):.2f}"
        table.append([label, str(len(rows)), spread, f"{regret.max():.1f}", f"{cost.mean():.2f}"])
    shown = ("raised", "one", "held")
    cuts = [["source, size", "best cut", "λ", *(WAYS[way] for way in shown)]]
    for row in rows:
        strength = "none" if row["strength"] is None else f"{row['strength']:g}"
        name = f"{row['source']}, {row['size']}"
        cuts.append([name, str(row["best"]), strength, *(_cut(row[way]) for way in shown)])
    spans = [["λ", "per class", "cosine distance, all layers of all sources"]]
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = [row["distances"] for row in rows if row["size"] == size]
        for strength in mine[0]:
            values = np.concatenate([each[strength] for each in mine])
            spans.append([strength, str(size), f"{values.min():.2f} to {values.max():.2f}"])
    return "\n\n".join(markdown(each, left=(0,)) for each in (table, cuts, spans))


def _cut(outcome: list) -> str:
    return f"{outcome[0]} ({outcome[1]:.1f})"
