"""What a compliance profile says in tables; its methods of these names are bound where the package is put together."""

import math

import numpy as np

from kdefrost.compliance.result import DISTANCES, ComplianceProfile
from kdefrost.compliance.strengths import strength_text
from kdefrost.statistics import over_seeds
from kdefrost.tables import align, format_score, in_percent, label_of


def table(profile: ComplianceProfile, layers: int) -> str:
    """The numbers with so many layers held as text, a row per strength; see `cells`."""
    return align(cells(profile, layers))


def cells(profile: ComplianceProfile, layers: int) -> list[list[str]]:
    """The numbers with so many layers held as cells of a table, mean ± standard error over seeds.

    Args:
        profile: The profile.
        layers: One of `counts`, or 0 for training without springs alone.

    Returns:
        A list of rows, the first one the heads: the strength; the objective, and by how much it differs from
        that without springs, paired over seeds; cosine and relative Euclidean distance of the first
        layer, and of the held layers' mean; CKA at the deepest cut before which all layers are held.
    """
    held = [name for name, number in profile.layers.items() if number <= layers]
    numbers = [profile.distances(layers, 0, kind) for kind in DISTANCES]
    heads = [f"{label}, first layer" for label in DISTANCES.values()]
    if held:
        numbers += [np.mean([profile.distances(layers, name, kind) for name in held], axis=0) for kind in DISTANCES]
        heads += [f"{label}, mean of held" for label in DISTANCES.values()]
    cut = profile.deepest_cut(layers)
    if cut is not None:
        numbers.append(profile.similarity(layers, cut))
        heads.append(f"CKA at cut {cut.index}")
    scores = [format_score(profile.objective.name, *pair) for pair in over_seeds(profile.scores(layers))]
    columns = [scores, *([_plain(*pair) for pair in over_seeds(number)] for number in numbers)]
    heads = [f"{profile.reported_on} {label_of(profile.objective.name)}", *heads]
    if 0.0 in profile.strengths:
        points = in_percent(profile.objective.name)
        heads.insert(1, f"against λ = 0{', points' if points else ''}")
        columns.insert(1, _changes(profile, layers, 100 if points else 1))
    return [["λ", *heads], *map(list, zip(map(strength_text, profile.strengths), *columns, strict=True))]


def _changes(profile: ComplianceProfile, layers: int, unit: int) -> list[str]:
    """By how much the objective differs from that without springs, for each strength; of none nothing."""
    changes = over_seeds(-unit * profile.objective.sign * profile.cost(layers))
    texts = [f"{mean:+.3g} ± {error:.2g}" if math.isfinite(error) else f"{mean:+.3g}" for mean, error in changes]
    return [text if strength else "" for text, strength in zip(texts, profile.strengths, strict=True)]


def summary(profile: ComplianceProfile) -> str:
    """All numbers of held layers as text, a table for each."""
    if not profile.trials:
        return "No trials have finished."
    spread = f"Mean ± standard error over {len(profile.seeds)} seeds" if len(profile.seeds) > 1 else "One seed"
    parts = [f"{count} layers held\n\n{table(profile, count)}\n" for count in profile.counts or [0]]
    return "\n".join([*parts, f"{spread}, {profile.per_class} per class."])


def _plain(mean: float, error: float) -> str:
    """A number with three places after the point, ± its error; where both are smaller, their powers of ten."""
    known = math.isfinite(error)
    if 0 < max(abs(mean), error if known else 0.0) < 1e-3:
        return f"{mean:.1e} ± {error:.0e}" if known else f"{mean:.1e}"
    return f"{mean:.3f} ± {error:.3f}" if known else f"{mean:.3f}"
