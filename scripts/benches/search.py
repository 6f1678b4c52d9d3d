"""What ways of searching for the best cut lose against the full profile, on recorded ones, and what scores foretell."""

import json
from collections.abc import Sequence

import numpy as np
from scipy import stats
from tqdm import tqdm

from kdefrost.drawing import looks, place_legend, save_figure
from kdefrost.statistics import standard_error
from kdefrost.tables import markdown
from scripts.benches.replays import ASIDE, CHOSEN_ON, DOCS, PAPER, Replay, recorded
from scripts.benches.searching import Way, ways
from scripts.benches.situations import SITUATIONS


def bench_search(
    budgets: Sequence[float],
    figure: str | None,
    record: bool,
    idc: str | None,
    mobilenet: str | None,
    mobilenet_v2: str | None,
):
    if record:
        record_missing(idc, {"MobileNet": mobilenet, "MobileNetV2": mobilenet_v2})
    replays = list(recorded())
    tables = {}
    for title in (CHOSEN_ON, ASIDE, PAPER):
        mine = [replay for replay in replays if replay.group == title]
        if mine:
            tables[title] = outcomes(mine, ways(_scores(mine)), budgets, title)
            print(f"\n## {title}: {len(_names(mine))} profiles\n\n{regrets(tables[title], budgets)}")
            print(f"\n{by_profile(tables[title], max(0, len(budgets) // 2))}")
    if scores := _scores(replays):
        print(f"\n## Scores and profiles\n\n{agreement(replays, scores)}")
    if figure is not None:
        save_figure(draw(tables, budgets), figure)
        print(f"Written: {figure}")


def record_missing(idc: str | None, weights: dict[str, str | None]):
    """Scores the cuts of the situations that are recorded, as far as they have no scores yet."""
    from scripts.benches.scoring import names_for, record_scores

    # Fewer images take less time.
    for path in sorted((DOCS / "choice").glob("*.json"), key=lambda path: SITUATIONS[path.stem].images):
        scored = DOCS / "search" / "scores" / path.name
        known = json.loads(scored.read_text())["scores"] if scored.exists() else {}
        if set(names_for(SITUATIONS[path.stem])) - set(known):
            print(f"Scoring {path.stem}", flush=True)
            record_scores(SITUATIONS[path.stem], scored, idc, weights)


def outcomes(replays: Sequence[Replay], ways: dict[str, Way], budgets: Sequence[float], title: str) -> dict:
    """By way and profile, regret and cost at each budget `(budgets, 2)`, means over a situation's draws."""
    results = {}
    with tqdm(total=len(ways) * len(replays), desc=title) as bar:
        for way, run in ways.items():
            results[way] = {}
            for name in _names(replays):
                mine = [replay for replay in replays if replay.name == name]
                draws = [[run(replay, budget) for budget in budgets] for replay in mine]
                results[way][name] = np.mean(draws, axis=0)
                bar.update(len(mine))
    return results


def _names(replays: Sequence[Replay]) -> list[str]:
    return list(dict.fromkeys(replay.name for replay in replays))


def _scores(replays: Sequence[Replay]) -> list[str]:
    return list(dict.fromkeys(name for replay in replays for name in replay.scores))


def regrets(results: dict, budgets: Sequence[float]) -> str:
    """A row for each way: mean regret ± standard error over profiles, the worst, and the cost, at each budget."""
    head = ["way", *(f"{text} at {budget:g}" for budget in budgets for text in ("mean", "worst", "cost"))]
    rows = []
    for way, profiles in results.items():
        table = np.array(list(profiles.values()))
        there = table[np.isfinite(table[:, 0, 0])]
        cells = []
        for regret, cost in np.moveaxis(there, (1, 2), (0, 1)):
            spread = standard_error(regret)
            cells += [f"{regret.mean():.2f} ± {spread:.2f}", f"{regret.max():.1f}", f"{cost.mean():.2f}"]
        count = "" if len(there) == len(table) else f" ({len(there)} of {len(table)})"
        rows.append([way + count, *cells])
    return markdown([head, *rows], left=(0,))


def by_profile(results: dict, budget: int) -> str:
    """A row for each profile: the regret of each way at one budget."""
    names = next(iter(results.values()))
    shown = [way for way in results if not way.startswith(("score", "all cuts, "))]
    rows = [[name, *(f"{results[way][name][budget, 0]:.1f}" for way in shown)] for name in names]
    return markdown([["profile", *shown], *rows], left=(0,))


def agreement(replays: Sequence[Replay], scores: Sequence[str]) -> str:
    """A row for each score: its weighted τ with the means that choose, over profiles, and the share of positive ones.

    That is Kendall's τ in which the best cuts weigh most (Vigna, 2015, "A weighted correlation index for rankings with
    ties"), as literature on transferability has it; 1 where the orders are the same, 0 where they have nothing to do
    with each other.
    """
    rows = []
    for name in scores:
        values = {}
        for replay in replays:
            if name in replay.scores and np.isfinite(replay.scores[name]).all():
                tau = stats.weightedtau(replay.scores[name], replay.choosing.mean(axis=0)).statistic
                values.setdefault(replay.name, []).append(tau)
        means = np.array([np.mean(each) for each in values.values()])
        if len(means):
            spread = f"{means.mean():.2f} ± {standard_error(means):.2f}"
            rows.append([name, str(len(means)), spread, f"{means.min():.2f}", f"{means.max():.2f}"])
    return markdown([["score", "profiles", "weighted τ", "least", "most"], *rows], left=(0,))


def draw(tables: dict, budgets: Sequence[float]):
    """Regret against the budget, a panel for each group of profiles, a line for each way."""
    from matplotlib import pyplot

    size = 4.2 * len(tables) + 2, 3.6
    figure, axes = pyplot.subplots(1, len(tables), sharey=True, squeeze=False, figsize=size, layout="constrained")
    axes = axes.ravel()
    for ax, (title, results) in zip(axes, tables.items(), strict=True):
        shown = {
            way: profiles
            for way, profiles in results.items()
            if not way.startswith(("score", "last cut", "all cuts, "))
        }
        for (way, profiles), (colour, marker) in zip(shown.items(), looks(len(shown)), strict=True):
            regret = np.array(list(profiles.values()))[:, :, 0]
            error = [standard_error(column) for column in regret.T]
            ax.errorbar(budgets, regret.mean(axis=0), error, color=colour, marker=marker, capsize=2, label=way)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(f"{title}: {len(next(iter(results.values())))} profiles", fontsize=10)
        ax.set_xlabel("budget (share of the full profile's training)")
        ax.set_xticks(budgets)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("regret against the full profile (points)")
    place_legend(axes[-1], *axes[-1].get_legend_handles_labels(), "way")
    return figure
