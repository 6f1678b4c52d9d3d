"""What deserves a word before a profile is believed, most grave first; each a sentence with its numbers."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.profile.evidence import chance, facts, nothing_told_apart, score_error
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.sizes import trained_on, with_sizes
from kdefrost.profile.trial import Trial
from kdefrost.tables import format_difference, format_score, label_of, listed

# From so many standard errors on a score is said to be above chance.
_ABOVE = 2
# Copies that are fewer than this share of the examples scored on move no score by a tenth of a percent.
_COPIES = 0.0005
_FEW_EXAMPLES = 5
# Of features at a cut, from this share of them on: after a ReLU two thirds may be dead in a sound network.
_CONSTANT = 0.9
_SETS = {"train": "training", "test": "test", "validation": "validation"}


class ProfileWarning(NamedTuple):
    """Something that deserves a word before a profile is believed.

    Attributes:
        name: What it is: one of the names of `CHECKS`.
        sentence: All of it, with its numbers.
        short: The same in a few words, for a figure.
        sizes: The sizes that it is of, as `per_class` has them; empty where it is of all.
    """

    name: str
    sentence: str
    short: str
    sizes: tuple[int | None, ...] = ()


def profile_warnings(profile: DefrostProfile) -> list[ProfileWarning]:
    """All that deserves a word, most grave first.

    It follows from the scores, and from the facts that the run kept in the configuration; see `profile.facts`. Of what
    an earlier version did not keep, nothing is said.

    Args:
        profile: The profile.

    Returns:
        A list of `ProfileWarning`.
    """
    return [ProfileWarning(name, *said) for name, check in CHECKS.items() if profile.trials for said in check(profile)]


def _failed(profile: DefrostProfile) -> Iterator[tuple]:
    """Trainings that came to no end."""
    failed = _noticed(profile, "failed")
    if failed:
        number, at = _trainings(profile, failed)
        why = "by an error, or because what ran them died: the run folder says why (`$.failure` in `trials.sqlite`)"
        yield f"{number} came to no end {at}, {why}.", f"{number} came to no end"


def _diverged(profile: DefrostProfile) -> Iterator[tuple]:
    """Trainings whose weights or scores are no numbers."""
    undefined, diverged = _noticed(profile, "undefined"), _noticed(profile, "diverged")
    diverged |= {trial.key for trial in profile.trials if not _has_numbers(profile, trial)}
    diverged -= _noticed(profile, "failed")
    if undefined:
        number, at = _trainings(profile, undefined)
        said = (
            f"The source gives NaN or infinity to {number} {at}: look at the images, its weights and `feature_dtype`."
        )
        yield said, f"NaN or infinity in {number}"
    if diverged - undefined:
        number, at = _trainings(profile, diverged - undefined)
        rate = _recipe(profile).get("learning_rate")
        lower = "" if rate is None else f" A lower learning rate than {rate:g} may help."
        yield f"{number} diverged {at}: their scores say nothing of the cut.{lower}", f"{number} diverged"


def _noticed(profile: DefrostProfile, kind: str) -> set[tuple]:
    """The keys of the profile's trials of which the run noticed something."""
    return {tuple(key) for key in facts(profile).get(kind, [])} & {trial.key for trial in profile.trials}


def _trainings(profile: DefrostProfile, keys: set[tuple]) -> tuple[str, str]:
    """How many trainings some are, and at which cuts."""
    at = {key[0] for key in keys}
    return f"{len(keys)} of {len(profile.trials)} trainings", f"at {_cuts([c for c in profile.cuts if c.index in at])}"


def _recipe(profile: DefrostProfile) -> dict:
    return profile.configuration.get("recipe", {})


def _has_numbers(profile: DefrostProfile, trial: Trial) -> bool:
    sets = (getattr(trial, on) for on in {profile.chosen_on, profile.reported_on})
    return all(np.isfinite(scores[profile.objective.name]) for scores in sets)


def _guessed(profile: DefrostProfile, all_of_them: bool) -> Iterator[tuple]:
    """Sizes at which all cuts, or some, score no better than a guess."""
    name = label_of(profile.objective.name)
    for size in profile.per_class:
        level = chance(profile, size)
        if level is None:
            continue
        mean = profile.mean(size, profile.reported_on)
        at_chance = mean <= level.score + _ABOVE * (level.error or 0)
        low = [cut for cut, is_low in zip(profile.cuts, at_chance, strict=True) if is_low]
        if not low or (len(low) == np.isfinite(mean).sum()) != all_of_them:
            continue
        errors = "" if level.error is None else f" two standard errors ({_amount(profile, _ABOVE * level.error)})"
        guess = f"{format_score(profile.objective.name, level.score)}, what {level.how} scores"
        above = f"not{errors} above {guess}"
        at, images = _size(profile, size), with_sizes(profile, size)
        if all_of_them:
            best = format_score(profile.objective.name, float(np.nanmax(mean)))
            said = f"Nothing is seen to be learnt {images}: the best {name}, {best}, is {above}."
            yield said, f"{at}: no cut beats guessing", (size,)
        else:
            said = f"{_cuts(low).capitalize()} {'do' if len(low) > 1 else 'does'} no better than guessing {images}"
            yield f"{said}: {name} is {above}.", f"{at}: {_cuts(low)} at chance", (size,)


def _copies(profile: DefrostProfile) -> Iterator[tuple]:
    """Examples that are scored on and trained on."""
    for on in ("test", "validation"):
        of_set = [each for each in facts(profile).get("copies", []) if each[1] == on and each[0] in profile.per_class]
        sizes = tuple(size for size, _, copies, scored in of_set if copies and copies >= _COPIES * scored)
        if not sizes:
            continue
        _, _, copies, scored = max(of_set, key=lambda each: each[2] / each[3])
        number = f"{copies:,} of {scored:,}"
        by_folds = on == "validation" and profile.folds is not None
        where = "those that a fold holds out" if by_folds else f"the {on} images"
        harm = "favour cuts that learn by heart" if on == "validation" and not by_folds else "flatter the scores"
        advice = "keep copies together by `groups`, or leave them out" if by_folds else "leave them out"
        said = f"Exact copies of images that were trained on are among {where}, {number} at most, and {harm}: {advice}."
        yield said, f"{number} {'held-out' if by_folds else on} images also trained on", sizes


def _not_told_apart(profile: DefrostProfile) -> Iterator[tuple]:
    """Sizes at which no cut is told apart from the best."""
    sizes = tuple(size for size in profile.per_class if nothing_told_apart(profile, size))
    if sizes:
        said = f"Nothing tells the cuts apart {with_sizes(profile, *sizes)}: which has the best mean may be chance."
        yield said, f"{_size(profile, *sizes)}: no cuts told apart", sizes


def _constant(profile: DefrostProfile) -> Iterator[tuple]:
    """Cuts at which features hardly differ from image to image."""
    share_of = {cut: share for cut, share in facts(profile).get("constant", []) if share >= _CONSTANT}
    cuts = [cut for cut in profile.cuts if cut.index in share_of]
    if cuts:
        low, high = (100 * bound(share_of.values()) for bound in (min, max))
        shares = f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
        said = (
            f"At {_cuts(cuts)} {shares} of the features hardly differ from image to image, by less than a hundredth of "
            "the features' root mean square: the source may take other numbers than it gets, such as 0 to 255 instead "
            "of 0 to 1."
        )
        yield said, f"features nearly constant at {_cuts(cuts)}"


def _small_chooser(profile: DefrostProfile) -> Iterator[tuple]:
    """Sets that choose and are too small for the differences that they choose by."""
    on, name = profile.chosen_on, label_of(profile.objective.name)
    for size in profile.per_class:
        if not profile.is_scored(size):
            continue
        mean, best = profile.mean(size, on), profile.cuts.index(profile.best_cut(size))
        error = score_error(profile, float(mean[best]))
        if error is None:
            continue
        short_of = np.abs(mean[best] - mean)
        others = [cut for column, cut in enumerate(profile.cuts) if column != best and np.isfinite(mean[column])]
        close = [cut for cut in others if short_of[profile.cuts.index(cut)] < error]
        near = profile.near_best_cuts(size)
        if not close or (len(close) < len(others) and all(cut in near for cut in close)):
            continue
        count = facts(profile)["examples"][on]
        whose = "all others" if len(close) == len(others) else _cuts([cut for cut in close if cut not in near])
        said = (
            f"{count:,} {on} images leave {name} a standard error of {_amount(profile, error)}, which is more "
            f"than the best cut is from {whose} {with_sizes(profile, size)}: hold out more, or choose by folds."
        )
        yield said, f"{_size(profile, size)}: {count:,} {on} images are few to choose by", (size,)


def _transparent(profile: DefrostProfile) -> Iterator[tuple]:
    """Images with an alpha channel, which is dropped."""
    count, of = facts(profile).get("transparent", (0, 0))
    if count:
        said = (
            f"Transparency hid colours in {count:,} of {of:,} training images, and they were taken as they are stored: "
            "put such images on the background that is meant."
        )
        yield said, f"{count:,} of {of:,} images had hidden colours"


def _small_classes(profile: DefrostProfile) -> Iterator[tuple]:
    """Classes of which a set has very few examples."""
    for on, counts in facts(profile).get("classes", {}).items():
        few = [count for count in counts if count < _FEW_EXAMPLES]
        if not few:
            continue
        classes = f"{len(few)} of {len(counts)} classes {'has' if len(few) == 1 else 'have'}"
        least = min(few)
        smallest = f"class {counts.index(least)}, {least}" if len(few) > 1 else f"class {counts.index(least)}: {least}"
        least_of = f"fewest {smallest}" if len(few) > 1 else smallest
        said = f"{classes} fewer than {_FEW_EXAMPLES} {_SETS[on]} images ({least_of})"
        yield f"{said}: what is found of {'it' if len(few) == 1 else 'them'} is chance.", f"{classes} < 5 {on} images"


def _few_steps(profile: DefrostProfile) -> Iterator[tuple]:
    """Sizes whose images fit into one batch."""
    recipe = _recipe(profile)
    batch, trained = recipe.get("batch_size"), {size: trained_on(profile, size) for size in profile.per_class}
    sizes = tuple(size for size, count in trained.items() if batch and count and count <= batch)
    if sizes:
        said = (
            f"An epoch is a single step {with_sizes(profile, *sizes)}, and a training {recipe['epochs']} steps: a "
            f"`batch_size` below {batch} gives more."
        )
        yield said, f"{_size(profile, *sizes)}: one step an epoch", sizes


# By name, most grave first.
CHECKS: dict[str, Callable[[DefrostProfile], Iterator[tuple]]] = {
    "failed": _failed,
    "diverged": _diverged,
    "chance": lambda profile: _guessed(profile, all_of_them=True),
    "copies": _copies,
    "not told apart": _not_told_apart,
    "constant features": _constant,
    "small set to choose by": _small_chooser,
    "transparency": _transparent,
    "some at chance": lambda profile: _guessed(profile, all_of_them=False),
    "small classes": _small_classes,
    "few steps": _few_steps,
}


def _size(profile: DefrostProfile, *sizes: int | None) -> str:
    """Sizes in few words."""
    return with_sizes(profile, *sizes).removeprefix("with ").replace(" images per", " per")


def _cuts(cuts: list[Cut]) -> str:
    """Cuts in words."""
    return f"cut{'s' if len(cuts) > 1 else ''} {listed([cut.index for cut in cuts])}"


def _amount(profile: DefrostProfile, value: float) -> str:
    """An amount of the objective: of percentages in points."""
    return format_difference(profile.objective.name, value).removesuffix(" above")
