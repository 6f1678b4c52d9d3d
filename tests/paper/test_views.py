"""Profiles of parts of others keep what was noticed in their own trials, and nothing of other trials."""

import dataclasses

import kdefrost
from kdefrost.paper.views import joined, of_sizes, with_scratch

CUTS = tuple(kdefrost.cut_points(kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1))))[:3]
EXAMPLES = {"train": 90, "test": 30}


def make(cuts, sizes, seeds=3, **facts):
    """A profile in which all trials score alike."""
    scores = {"accuracy": 0.5}
    keys = [(cut.index, size, seed) for cut in cuts for size in sizes for seed in range(seeds)]
    trials = tuple(kdefrost.Trial(*key, scores, None, 1.0) for key in keys)
    configuration = {"recipe": {"epochs": 4}, "facts": {"examples": EXAMPLES, **facts}}
    return kdefrost.DefrostProfile(cuts, trials, kdefrost.Objective("accuracy", "max"), configuration)


def keys_of(profile, places):
    return [list(profile.trials[place].key) for place in places]


def test_a_part_keeps_what_was_noticed_in_its_own_trials():
    profile = make(CUTS[1:], [4, 8], copies=[[4, "test", 3, 30], [8, "test", 5, 30]], constant=[[1, 0.9], [2, 0.5]])
    # Of the first cut: size 4 by seeds 0 and 2, size 8 by seed 0.
    noticed = {**profile.configuration["facts"], "failed": keys_of(profile, [0, 2, 3])}
    profile = dataclasses.replace(profile, configuration={**profile.configuration, "facts": noticed})
    facts = of_sizes(profile, [4], repeats=2).configuration["facts"]
    assert facts == {
        "examples": EXAMPLES,
        "copies": [[4, "test", 3, 30]],
        "constant": [[1, 0.9], [2, 0.5]],
        "failed": keys_of(profile, [0]),
    }
    assert of_sizes(profile, [4, 8], repeats=3).configuration == profile.configuration


def test_profiles_put_together_keep_what_was_noticed_in_each():
    small, large = make(CUTS[1:], [4], constant=[[1, 0.9]]), make(CUTS[1:], [8], constant=[[1, 0.7], [2, 0.4]])
    scratch = make(CUTS[:1], [8], copies=[[8, "test", 1, 30]], transparent=[2, 10])
    scratch.configuration["facts"]["failed"] = keys_of(scratch, [1])
    large.configuration["facts"] |= {"failed": keys_of(large, [0]), "transparent": [3, 10]}
    whole = with_scratch(large, scratch)
    assert whole.configuration["facts"]["failed"] == [*keys_of(large, [0]), *keys_of(scratch, [1])]
    facts = joined([small, whole]).configuration["facts"]
    assert facts["constant"] == [[1, 0.7], [2, 0.4]] and facts["copies"] == [[8, "test", 1, 30]]
    assert facts["failed"] == whole.configuration["facts"]["failed"] and facts["transparent"] == [3, 10]
    (said,) = [each.sentence for each in whole.warnings if each.name == "failed"]
    assert said.startswith("2 of 9 trainings")
