"""What a profile's command runs and writes: scores, profiles, figures, the best model, and reports."""

import dataclasses
import sys
import time
from pathlib import Path

from kdefrost_commands import command
from kdefrost_commands.compare import report as report_comparison
from kdefrost_commands.planning import duration


def run_and_report(defrosters: dict, trials: dict, classes: list[str], preset, arguments, out: Path):
    """Runs what is missing of the profiles, writes them, and exports the best model where that is asked for."""
    import kdefrost

    scores = report_scores(next(iter(defrosters.values())), trials, arguments, out) if arguments.scores else {}
    profiles = {}
    for tails, defroster in defrosters.items():
        start = time.perf_counter()
        profiles[tails] = describe(ask(defroster, trials, arguments.search), arguments, preset)
        report(profiles[tails], Path(defroster.directory), time.perf_counter() - start, scores)
    if len(profiles) > 1:
        named = {f"{tails} tails": profile for tails, profile in profiles.items()}
        print("\nSide by side:\n")
        report_comparison(kdefrost.Comparison(named), out)
    best, model = None, None
    if arguments.export:
        best = max(profiles, key=best_worth(profiles))
        model = defrosters[best].best_model(profiles[best], profiles[best].per_class[-1])
        path = kdefrost.export(model, arguments.export, profiles[best], class_names=classes)
        print(f"  {path}")
    for tails, profile in profiles.items():
        path = write_report(profile, defrosters[tails], trials, classes, model if tails == best else None)
        print(f"  {path}")
    if best is not None:
        # Where cuts are not told apart, the sentence above names the one that trains fastest.
        cut = profiles[best].best_cut(profiles[best].per_class[-1])
        print(f"The model in {arguments.export} is that of cut {cut.index}, the best mean.")


def write_report(profile, defroster, trials: dict, classes: list[str], model):
    """Writes the report of a profile, with the answers of its best model where that is there already."""
    import kdefrost

    path, size = Path(defroster.directory) / "report.html", profile.per_class[-1]
    said = {}
    if profile.is_scored(size) and profile.folds is None:
        # The trial that it is of has left its tail.
        said["model"] = defroster.best_model(profile, size, verbose=False) if model is None else model
        said["examples"] = next(trials[name] for name in ("test", "validation") if trials[name] is not None)
    elif model is not None and trials["test"] is not None:
        said = {"model": model, "examples": trials["test"]}
    elif model is not None:
        # It has seen all images; what it is wrong about, networks of the folds tell.
        said = {"outputs": defroster.cross_predict(profile, size), "examples": trials["train"]}
    return kdefrost.report(profile, path, **said, class_names=classes)


def ask(defroster, trials: dict, budget):
    """The profile of all trials, or with a budget that of a search."""
    if budget is None:
        return defroster.profile(**trials)
    return defroster.search(**{name: value for name, value in trials.items() if name != "patience"}, budget=budget)


def report_scores(defroster, trials: dict, arguments, out: Path) -> dict:
    """Scores the cuts without training, of each size with the trials' seeds; writes and prints them."""
    sizes = trials["per_class"] or [None]
    scores = {}
    for size in sizes:
        measured = defroster.transferability(trials["train"], size, trials["seeds"], classes=trials["classes"])
        scores[size] = with_words(measured, words_of(arguments))
    print("\nScores without training:\n")
    for size, each in scores.items():
        name = "scores" if len(sizes) == 1 else f"scores-{size}"
        each.save(out / f"{name}.json")
        each.save_csv(out / f"{name}.csv")
        figures = command.save_figures(out, {name: each.plot})
        command.say(f"{'' if size is None else f'{size} per class: '}{each.summary()}\n")
        command.print_written([*figures, out / f"{name}.csv", out / f"{name}.json"])
    return scores


def best_worth(profiles: dict):
    """What the best cut of the largest size of a profile is worth on the set that chooses, by its tails."""

    def worth(tails: str) -> float:
        profile = profiles[tails]
        size = profile.per_class[-1]
        at = profile.cuts.index(profile.best_cut(size))
        return profile.objective.sign * profile.mean(size, profile.chosen_on)[at]

    return worth


def words_of(arguments) -> dict[str, str]:
    """What the command line calls source and target."""
    return {"source_name": arguments.src, "target": arguments.tgt}


def with_words(result, words: dict):
    """A result with words of the command line in its configuration."""
    return dataclasses.replace(result, configuration={**result.configuration, **words})


def describe(profile, arguments, preset):
    """The profile, with the words of the command line in its configuration."""
    from kdefrost.files import versions

    named = {
        **words_of(arguments),
        "preset": arguments.preset,
        "model": None if command.is_trained(arguments.src) else preset.model,
        "command": [*command.called(), *sys.argv[1:]],
        "per_class": profile.per_class,
        "seeds": len(profile.seeds),
        "versions": versions(),
    }
    return with_words(profile, named)


def report(profile, out: Path, seconds: float, scores: dict):
    """Writes profile and figure, of a search by that name, and prints the table and the paths."""
    name = "search" if profile.searched else "profile"
    profile.save(out / f"{name}.json")
    profile.save_csv(out / f"{name}.csv")
    figures = command.save_figures(out, {name: lambda: profile.plot(scores=scores)})
    command.say(f"\n{profile.summary()}\n\n{name.capitalize()} took {duration(seconds)}. ", end="")
    command.print_written([*figures, *(out / each for each in (f"{name}.csv", f"{name}.json", "trials.sqlite"))])
