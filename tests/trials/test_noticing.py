"""What is noticed of a trial that says how far its scores are to be believed, and that it stays with its answer."""

import keras
import numpy as np
import tensorflow as tf
from conftest import RECIPE, make_easy
from PIL import Image

import kdefrost
from kdefrost.trials.noticing import noticed_of
from kdefrost.trials.rows import Drawn, subset


def facts_of(profile):
    return profile.configuration["facts"]


def test_copies_by_hand():
    digests = {"train": np.array([1, 2, 3, 4, 4, 5]), "test": np.array([9, 2, 2, 5])}
    rows = Drawn(np.array([0, 1, 2]))
    assert noticed_of(rows, None, digests, None) == {"copies": {"test": [2, 4]}}
    # Of the seed's own sample, and of other training examples.
    assert noticed_of(rows, np.array([0, 1]), digests, None) == {"copies": {"test": [1, 2]}}
    assert noticed_of(Drawn(np.array([2, 3])), None, digests, None) == {}
    # A fold may divide copies.
    fold = Drawn(np.array([0, 3]), np.array([4, 5]))
    assert noticed_of(fold, None, {"train": digests["train"]}, None) == {"copies": {"validation": [1, 2]}}
    together = Drawn(np.array([0, 1]), np.array([3, 4]))
    assert noticed_of(together, None, {"train": digests["train"]}, None) == {}


def test_transparency_by_hand():
    digests, hidden = {"train": np.arange(4)}, np.array([True, False, False, True])
    assert noticed_of(Drawn(np.array([0, 1, 2])), None, digests, hidden) == {"transparent": [1, 3]}
    assert noticed_of(Drawn(np.array([0, 1]), np.array([3])), None, digests, hidden) == {"transparent": [2, 3]}
    assert noticed_of(Drawn(np.array([1, 2])), None, digests, hidden) == {}


def test_sound_data_give_numbers_and_nothing_else(run_profile):
    facts = facts_of(run_profile())
    assert facts["examples"] == {"train": 60, "test": 45}
    assert facts["classes"] == {"train": [20] * 3, "test": [15] * 3}
    assert facts["copies"] == facts["diverged"] == facts["undefined"] == [] and "transparent" not in facts
    # Of the 15 examples, at both cuts.
    assert [cut for cut, _ in facts["constant"]] == [1, 2] and all(share < 0.9 for _, share in facts["constant"])


def test_copies_among_what_is_scored_are_those_of_what_a_trial_is_trained_on(run_profile, easy):
    images, labels = easy["train"]
    test = np.concatenate([images[:7], easy["test"][0]]), np.concatenate([labels[:7], easy["test"][1]])
    profile = run_profile(test=test, per_class=[1, 20], seeds=[3, 4], cuts=(2,))
    # Of all 60, 7 are in the test set; of the one of each class that a seed draws, those that are among the first 7.
    chosen = [subset(labels, 1, seed) for seed in (3, 4)]
    most = max(int((rows < 7).sum()) for rows in chosen)
    assert facts_of(profile)["copies"] == [[size, "test", n, 52] for size, n in ((1, most), (20, 7)) if n]


def test_a_dataset_and_its_folds(run_profile, easy):
    images, labels = easy["train"]
    doubled = np.concatenate([images, images[:9]]), np.concatenate([labels, labels[:9]])
    pairs = tf.data.Dataset.from_tensor_slices(doubled).batch(16)
    by_pair, by_dataset = (
        run_profile(train=train, test=None, per_class=None, seeds=1, folds=3, cuts=(2,)) for train in (doubled, pairs)
    )
    for profile in (by_pair, by_dataset):
        ((size, on, copies, held_out),) = facts_of(profile)["copies"]
        assert (size, on, held_out) == (None, "validation", 23) and 1 <= copies <= 9
        assert [each.name for each in profile.warnings if each.name == "copies"]


def test_constant_features_are_told_at_their_cut(easy):
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    dead = layers.Conv2D(4, 3, bias_initializer="ones", kernel_initializer="zeros", name="dead")
    x = layers.Flatten()(layers.Conv2D(2, 3, strides=4)(dead(inputs)))
    source = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    defroster = kdefrost.Defroster(source, recipe=RECIPE)
    profile = defroster.profile(**easy, per_class=5, seeds=2, verbose=False)
    assert facts_of(profile)["constant"] == [[1, 1.0], [2, 1.0]]
    (said,) = [each.sentence for each in profile.warnings if each.name == "constant features"]
    assert said.startswith("At cuts 1 and 2 100 % of the features hardly differ from image to image")


def test_a_classifier_that_diverged_has_scores_and_is_known_for_it(run_profile):
    wild = kdefrost.Recipe(epochs=3, batch_size=8, learning_rate=1e9)
    profile = run_profile(recipe=wild, cuts=(1,), per_class=5)
    assert all(np.isfinite(trial.test["accuracy"]) for trial in profile.trials)
    assert facts_of(profile)["diverged"] == [[1, 5, 0], [1, 5, 1]]
    first = profile.warnings[0]
    assert first.name == "diverged" and first.sentence.startswith("2 of 2 trainings diverged at cut 1: their scores")


def test_features_that_are_no_numbers_are_told_from_diverged_trainings(small, run_profile):
    broken = keras.models.clone_model(small)
    broken.set_weights(small.get_weights())
    kernel, bias = broken.layers[0].get_weights()
    broken.layers[0].set_weights([kernel, np.full_like(bias, np.inf)])
    profile = run_profile(source=broken, cuts=(1,), per_class=5, seeds=1)
    assert facts_of(profile)["undefined"] == [[1, 5, 0]] and facts_of(profile)["diverged"] == []
    assert profile.warnings[0].sentence.startswith("The source gives NaN or infinity to 1 of 1 trainings at cut 1")


def test_what_was_noticed_is_in_the_folder_and_the_file(tmp_path, small):
    """Files that are decoded once, when trials run: a run that only finds their answers says the same."""
    images, labels = make_easy(24, 3)
    pixels = np.clip(90 + 40 * images[..., 0], 0, 255).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (tmp_path / "photos" / str(label)).mkdir(parents=True, exist_ok=True)
        grey = pixels[0] if number == 3 else image
        alpha = np.full_like(grey, 255)
        alpha[:2] = 255 * (number % 5 > 0)
        Image.fromarray(np.dstack([grey, alpha])).save(tmp_path / "photos" / str(label) / f"{number}.png")
    data = kdefrost.load_data(tmp_path / "photos", image_size=8, color_mode="grayscale", test_share=0)

    def run(**more):
        defroster = kdefrost.Defroster(small, RECIPE, cuts=(2,), directory=tmp_path / "run")
        return defroster.profile(data.train, folds=2, verbose=False, **more)

    profile = run(repeats=4)
    assert facts_of(profile)["transparent"] == [5, 24]
    # Some of four partitions divide the two copies.
    assert facts_of(profile)["copies"] == [[None, "validation", 1, 12]]
    again = run(repeats=4)
    assert again.trials == profile.trials and facts_of(again) == facts_of(profile)
    profile.save(tmp_path / "profile.json")
    loaded = kdefrost.DefrostProfile.load(tmp_path / "profile.json")
    assert loaded.warnings == again.warnings == profile.warnings
    assert {"copies", "transparency"} <= {each.name for each in loaded.warnings}
    more = run(repeats=5)
    assert len(more.trials) == 10 and facts_of(more)["transparent"] == [5, 24]
