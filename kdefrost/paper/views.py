"""Parts of profiles, and profiles put together of parts: of what was run once, each figure takes what it shows."""

import dataclasses
from collections.abc import Sequence

from kdefrost.profile import DefrostProfile
from kdefrost.profile.facts import joined_facts
from kdefrost.profile.trial import Trial


def of_sizes(profile: DefrostProfile, sizes: Sequence[int | None], repeats: int) -> DefrostProfile:
    """The trials of some sizes and of the first seeds.

    Args:
        profile: A profile.
        sizes: The sizes, in images per class.
        repeats: Number of seeds.

    Returns:
        A profile.
    """
    trials = tuple(trial for trial in profile.trials if trial.per_class in sizes and trial.seed < repeats)
    return dataclasses.replace(profile, trials=trials, configuration=_configuration([profile], trials))


def with_scratch(profile: DefrostProfile, scratch: DefrostProfile) -> DefrostProfile:
    """A profile of later cuts with cut 0 from another source: nothing of a source is in a network trained from scratch.

    Args:
        profile: A profile without cut 0.
        scratch: One of cut 0 alone, of the same target, sizes and recipe.

    Returns:
        A profile of all cuts.
    """
    trials = scratch.trials + profile.trials
    configuration = _configuration([profile, scratch], trials)
    return dataclasses.replace(profile, cuts=scratch.cuts + profile.cuts, trials=trials, configuration=configuration)


def joined(parts: Sequence[DefrostProfile], named: dict | None = None) -> DefrostProfile:
    """Profiles of one source and target at several sizes, as one.

    Args:
        parts: Profiles of the same cuts, at sizes of their own. Their recipes may differ in the number of epochs.
        named: What the configuration is to say besides.

    Returns:
        The profile, whose configuration has the `epochs` of each size.
    """
    epochs = {str(size): part.configuration["recipe"]["epochs"] for part in parts for size in part.per_class}
    trials = tuple(trial for part in parts for trial in part.trials)
    configuration = {**_configuration(parts, trials), "epochs": epochs, **(named or {})}
    return dataclasses.replace(parts[0], trials=trials, configuration=configuration)


def _configuration(parts: Sequence[DefrostProfile], trials: Sequence[Trial]) -> dict:
    """That of the first part, with what was noticed in the trials of all."""
    facts = [part.configuration.get("facts", {}) for part in parts]
    return {**parts[0].configuration, "facts": joined_facts(facts, trials)}
