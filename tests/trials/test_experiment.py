"""The experiment: what follows from labels, which examples a trial sees, and sentences where something does not fit."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import RECIPE, scores_of

import kdefrost
from kdefrost.data.sets import LabelledSet
from kdefrost.trials import rows as draws
from kdefrost.trials.experiment import Learning, prepare


def test_data_sets_of_batches_are_arrays(run_profile, whole, easy):
    batches = {name: tf.data.Dataset.from_tensor_slices(part).batch(7) for name, part in easy.items()}
    once = scores_of(run_profile(cuts=[2], **batches))
    again = {name: part.unbatch().shuffle(60).batch(9) for name, part in batches.items()}
    assert scores_of(run_profile(cuts=[2], **again)) == once
    # Other examples are drawn than of arrays, which are in an order of their own.
    assert once.keys() == scores_of(whole, {2}).keys()


def test_subsets_are_balanced_nested_and_seeded():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    small, large, other = (kdefrost.subset(labels, size, seed) for size, seed in ((3, 1), (9, 1), (9, 2)))
    np.testing.assert_array_equal(np.bincount(labels[large]), 9)
    assert set(small) < set(large) and set(large) != set(other)


BAD = {
    "too many per class": ({"per_class": 21}, r"`per_class` must be at most 20, .* of class 0"),
    "zero per class": ({"per_class": 0}, r"`per_class` must be whole numbers, at least 1"),
    "fractional size": ({"per_class": 4.0}, r"`per_class` must be whole numbers, .* Received: per_class=\[4\.0\]"),
    "recipe in words": ({"recipe": "sgd"}, r"`recipe` must be a kdefrost\.Recipe, .* or None\. Received: 'sgd'"),
    "no size": ({"per_class": []}, r"`per_class` must be whole numbers"),
    "no test sample": ({"test_per_class": 0}, r"`test_per_class` must be whole numbers, at least 1"),
    "budget in words": ({"memory_budget": "2 GiB"}, r"`memory_budget` must be a whole number of bytes"),
    "features of other numbers": ({"feature_dtype": "int8"}, r"`feature_dtype` must be one of float32, float16, bf"),
    "zero seeds": ({"seeds": 0}, r"`seeds` must be a number of repeats"),
    "negative seed": ({"seeds": [-1]}, r"`seeds` must be"),
    "more folds than a class has": ({"test": None, "per_class": 2}, r"`folds` must be at most 2, .* class 0.*folds=3"),
    "one fold": ({"folds": 1}, r"`folds` must be a whole number, at least 2"),
    "half a fold": ({"folds": 2.5}, r"`folds` must be a whole number, at least 2"),
    "no repeat": ({"folds": 2, "repeats": 0}, r"`repeats` must be a whole number, at least 1"),
    "folds and a validation set": (
        {"folds": 2, "validation": (np.zeros((3, 8, 8, 1)), np.zeros(3, int))},
        r"`folds` must be None where `validation` is given",
    ),
    "repeats without folds": ({"repeats": 2}, r"`repeats` are for folds"),
    "groups without folds": ({"groups": np.arange(60)}, r"`groups` are for folds"),
    "groups of other examples": ({"folds": 2, "groups": [1, 2]}, r"`groups` must name the group of each of the"),
    "fewer groups than folds": (
        {"folds": 3, "groups": np.arange(60) % 2},
        r"`folds` must be at most 2, .* groups",
    ),
    "lengths differ": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros(2, int))}, r"`test` must have as many labels"),
    "empty": ({"test": (np.zeros((0, 8, 8, 1)), np.zeros(0, int))}, r"`test` must have .* at least one"),
    "labels not whole": ({"test": (np.zeros((3, 8, 8, 1)), np.full(3, 0.5))}, r"Labels of `test` must be whole"),
    "one-hot labels": ({"test": (np.zeros((3, 8, 8, 1)), np.zeros((3, 3), int))}, r"Labels of `test` must be whole"),
    "columns of other classes": (
        {"test": (np.zeros((3, 8, 8, 1)), np.eye(2)[[0, 1, 0]])},
        r"`test` must have 3 columns, one for each class of `train`. Received: 2",
    ),
    "label too large": (
        {"test": (np.zeros((3, 8, 8, 1)), np.array([0, 1, 3]))},
        r"`test` must be from 0 to 2, for 3 classes",
    ),
    "label negative": (
        {"test": (np.zeros((3, 8, 8, 1)), np.array([0, -1, 2]))},
        r"`test` must be from 0 to 2, for 3 classes",
    ),
    "other images": ({"test": (np.zeros((3, 9, 9, 1)), np.zeros(3, int))}, r"shape \(9, 9, 1\), but the source takes"),
    "colours": (
        {"test": (np.zeros((3, 8, 8, 3)), np.zeros(3, int))},
        r"shape \(8, 8, 3\), but the source takes \(8, 8, 1\); load them by load_data\(color_mode=\"grayscale\"\)",
    ),
    "not a pair": ({"test": np.zeros((3, 8, 8, 1))}, r"`test` must be a pair"),
    "last class without examples": ({"classes": 4, "per_class": 1}, r"Class 3 has no example"),
    "class without examples": (
        {"train": (np.zeros((4, 8, 8, 1)), np.array([0, 0, 2, 2])), "per_class": 1},
        r"Class 1 has no example",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input(run_profile, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_profile(**arguments)


def test_grey_images_for_a_source_of_colours_are_told_of_the_color_mode(easy):
    source = kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 3))
    with pytest.raises(ValueError, match=r"`train` has .*source takes \(8, 8, 3\); load .*color_mode=\"rgb\""):
        kdefrost.Defroster(source).plan(**easy)


def _two_classes(size: int, groups: bool = False):
    """Images and labels; of groups of five, the first half has class 0 alone and the others class 1."""
    labels = np.arange(size) * 2 // size if groups else np.arange(size) % 2
    return np.random.default_rng(0).normal(size=(size, 8, 8, 1)).astype("float32"), labels


@pytest.mark.parametrize("auc", ["auc", "AUC", keras.metrics.AUC()], ids=["exact", "named", "Keras's"])
@pytest.mark.parametrize("name", ["test", "validation"])
def test_an_auc_of_one_class_is_refused_before_any_training(small, name, auc, monkeypatch):
    monkeypatch.setattr(kdefrost.training, "fit", None)
    two, one = _two_classes(20), (np.zeros((5, 8, 8, 1)), np.zeros(5, int))
    given = {"train": two, "test": two, "validation": two, name: one}
    defroster = kdefrost.Defroster(small, cuts=[2], metrics=[auc], recipe=RECIPE)
    with pytest.raises(ValueError, match=rf"`{name}` must have examples of two classes.*there is no .*`objective`"):
        defroster.profile(**given)
    many = {part: (x, np.stack([y, 1 - y, 0 * y], axis=1)) for part, (x, y) in given.items()}
    with pytest.raises(ValueError, match=rf"`{name}` must have examples of two classes"):
        kdefrost.Defroster(small, cuts=[2], metrics=[auc], loss="binary_crossentropy").plan(**many)


def test_the_auc_of_soft_labels_is_of_their_classes(small, easy):
    x, y = easy["test"]
    soft = np.eye(3, dtype="float32")[y] * 0.9 + 0.1 / 3
    sets = {"train": LabelledSet(x, soft), "test": LabelledSet(x, soft)}
    prepare(small, kdefrost.cut_points(small)[-1], sets, Learning(metrics=["auc"]), [2])
    sets["test"] = LabelledSet(x[y == 1], soft[y == 1])
    with pytest.raises(ValueError, match="`test` must have examples of two classes or more"):
        prepare(small, kdefrost.cut_points(small)[-1], sets, Learning(metrics=["auc"]), [2])


def test_an_auc_that_does_not_choose_may_be_missing(small, easy):
    two, one = _two_classes(20), (np.zeros((5, 8, 8, 1)), np.zeros(5, int))
    profile = kdefrost.Defroster(small, cuts=[2], recipe=RECIPE).profile(two, test=one, seeds=1, verbose=False)
    assert profile.objective.name == "balanced_accuracy" and np.isnan(profile.scores(None, metric="auc")).all()


def test_folds_of_one_class_are_refused_where_auc_chooses(small):
    train, groups = _two_classes(40, groups=True), np.arange(40) // 5
    given = {"train": train, "folds": 4, "groups": groups}
    assert kdefrost.Defroster(small, cuts=[2], metrics=["auc"]).plan(**given).questions
    # Three groups of class 0 and five of class 1: of five folds some have one group, which is of one class.
    with pytest.raises(ValueError, match=r"Each fold of `train` \(whole `groups`\) must have examples of two classes"):
        kdefrost.Defroster(small, cuts=[2], metrics=["auc"]).plan(**{**given, "folds": 8})
    assert kdefrost.Defroster(small, cuts=[2]).plan(**{**given, "folds": 8}).questions


def test_steps_stop_a_data_set_that_repeats(small, easy, run_profile):
    batches = {name: tf.data.Dataset.from_tensor_slices(part).batch(15) for name, part in easy.items()}
    endless = {name: part.repeat() for name, part in batches.items()}
    with pytest.raises(
        ValueError, match=r"`train` must be a tf.data.Dataset that ends; leave out `repeat`, or .*`steps`"
    ):
        run_profile(cuts=[2], **endless)
    stopped = scores_of(run_profile(cuts=[2], steps=3, **endless))
    assert stopped == scores_of(run_profile(cuts=[2], **{name: part.take(3) for name, part in batches.items()}))
    plan = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).plan(**endless, steps=3)
    assert plan.evaluated == 45 and plan.questions[0].per_class is None


def test_an_unbatched_data_set_is_refused(run_profile, easy):
    with pytest.raises(ValueError, match="Dataset of batches"):
        run_profile(test=tf.data.Dataset.from_tensor_slices(easy["test"]))


def _targets(easy, make):
    return {name: (x, make(x, y)) for name, (x, y) in easy.items()}


def test_regression_chooses_the_lowest_error(small, easy):
    sets = _targets(easy, lambda x, y: x.mean(axis=(1, 2, 3)))
    recipe = kdefrost.Recipe(epochs=20, batch_size=16, learning_rate=0.003)
    defroster = kdefrost.Defroster(small, recipe=recipe, cuts="blocks")
    profile = defroster.profile(**sets, per_class=40, seeds=2, verbose=False)
    assert profile.metrics == ["mean_squared_error", "mean_absolute_error"]
    assert profile.best_cut(40).index == profile.cuts[int(profile.mean(40).argmin())].index
    model = defroster.best_model(profile, per_class=40)
    x, y = sets["test"]
    outputs = np.asarray(model(x))[:, 0]
    scores = profile.best_trial(40).test
    assert np.mean((outputs - y) ** 2) == pytest.approx(scores["mean_squared_error"], rel=1e-4)
    assert np.mean(abs(outputs - y)) == pytest.approx(scores["mean_absolute_error"], rel=1e-4)


def test_several_targets_and_labels(small, easy):
    both = _targets(easy, lambda x, y: np.stack([y / 3, -y / 3], axis=1))
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], loss="huber", metrics=["mean_absolute_error"])
    model = defroster.best_model(defroster.profile(**both, per_class=9, seeds=1, verbose=False), 9)
    assert model.output_shape == (None, 2) and model.layers[-1].activation is keras.activations.linear
    labels = _targets(easy, lambda x, y: np.stack([y > 0, y > 1], axis=1).astype(int))
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2])
    profile = defroster.profile(**labels, per_class=9, seeds=1, verbose=False)
    assert profile.metrics == ["binary_accuracy", "auc"]
    assert defroster.best_model(profile, 9).layers[-1].activation is keras.activations.sigmoid


def test_one_hot_labels_are_labels(run_profile, whole, easy):
    one_hot = _targets(easy, lambda x, y: np.eye(3)[y])
    assert scores_of(run_profile(cuts=[2], **one_hot)) == scores_of(whole, {2})
    by_loss = run_profile(cuts=[2], **one_hot, loss="categorical_crossentropy")
    np.testing.assert_allclose(by_loss.scores(5), whole.scores(5)[:, 2:])


def test_the_output_can_be_a_model(small, easy):
    head = keras.Sequential(
        [keras.Input((24,)), keras.layers.Dense(5, name="hidden"), keras.layers.Dense(3, "softmax")]
    )
    defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], output=head)
    profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
    assert defroster.best_model(profile, 5).get_layer("hidden").units == 5


def test_class_weights_pull_the_answers(residual, easy):
    answers = []
    for weights in ({0: 1.0, 1: 0.0, 2: 0.0}, {0: 0.0, 1: 0.0, 2: 1.0}):
        defroster = kdefrost.Defroster(residual, recipe=RECIPE, cuts=[4], class_weight=weights)
        profile = defroster.profile(**easy, per_class=5, seeds=1, verbose=False)
        answers.append(defroster.best_model(profile, 5).predict(easy["test"][0], verbose=0).argmax(axis=1))
    assert (answers[0] == 0).all() and (answers[1] == 2).all()


def test_each_seed_is_scored_on_a_balanced_test_sample_of_its_own(run_profile, easy, monkeypatch):
    seen = []
    scores = kdefrost.Task.scores
    monkeypatch.setattr(kdefrost.Task, "scores", lambda task, y, out: (seen.append(y), scores(task, y, out))[1])
    run_profile(cuts=[2], per_class=5, seeds=2, test_per_class=4)
    samples = [labels for labels in seen if len(labels) == 12]
    assert len(samples) == 2 and all((np.bincount(labels) == 4).all() for labels in samples)
    rows = [draws.draw_test_sample({"test": easy["test"][1]}, 4, seed) for seed in (0, 1)]
    assert not np.array_equal(*rows)
    assert draws.draw_test_sample({"test": easy["test"][1]}, None, 0) is None
    # No more than the smallest class has.
    assert len(draws.draw_test_sample({"test": easy["test"][1]}, 5000, 0)) == 45


def test_weights_of_classes_are_of_the_trials_own_set(small, easy):
    """The same trial with the same weights, whichever other seeds run."""
    x, y = easy["train"]
    few = np.concatenate([np.flatnonzero(y == 0)[:5], np.flatnonzero(y > 0)])
    scores = []
    for seeds in (1, [0, 1, 2]):
        defroster = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], class_weight="balanced")
        profile = defroster.profile((x[few], y[few]), easy["test"], per_class=4, seeds=seeds, verbose=False)
        scores.append(scores_of(profile)[2, 4, 0])
    assert scores[0] == scores[1]


def test_an_output_that_does_not_fit_the_labels_is_refused_before_training(residual, easy):
    defroster = kdefrost.Defroster(residual, recipe=RECIPE, output=keras.layers.Dense(2))
    with pytest.raises(ValueError, match=r"`output` must give one vector of 3 numbers .* it gives \(2,\)"):
        defroster.plan(**easy, per_class=2)
    with pytest.raises(ValueError, match="`class_weight` must be"):
        kdefrost.Defroster(residual, recipe=RECIPE, class_weight="blanced").plan(**easy, per_class=2)


def test_targets_that_make_the_training_diverge_are_told(small, easy, capsys):
    sets = _targets(easy, lambda x, y: 1e4 * x.mean(axis=(1, 2, 3)))
    kdefrost.Defroster(small, recipe=RECIPE, cuts=[0]).profile(**sets, per_class=40, seeds=1, verbose=False)
    assert "Training diverged at cut 0, 40 per class, seed 0" in capsys.readouterr().out


def test_one_label_that_holds_or_not_is_of_two_classes(small, easy):
    sets = _targets(easy, lambda x, y: (y == 2).astype(int))
    defroster = kdefrost.Defroster(
        small, recipe=RECIPE, cuts=[2], loss="binary_crossentropy", class_weight={0: 1, 1: 2}
    )
    profile = defroster.profile(**sets, per_class=9, seeds=1, verbose=False)
    assert "9 per class: Freeze" in profile.summary()
    plan = defroster.plan(**sets, per_class=9, seeds=1)
    assert {question.key: count for question, count in plan.examples.items()} == {(2, 9, 0): 18}


def _of_rows(labels, outputs):
    """A loss of a user's own, of one-hot or soft rows."""
    return -keras.ops.sum(labels * keras.ops.log(outputs), axis=-1)


@pytest.mark.parametrize("loss", ["kl_divergence", keras.losses.KLDivergence(), _of_rows])
def test_losses_of_rows_train_as_cross_entropy_does(run_profile, whole, easy, loss):
    """Their gradients are the same, with as many examples in a batch as classes too."""
    one_hot = _targets(easy, lambda x, y: np.eye(3)[y])
    recipe = dataclasses.replace(RECIPE, batch_size=3)
    expected = run_profile(cuts=[2], per_class=2, recipe=recipe).scores(2)
    np.testing.assert_allclose(
        run_profile(cuts=[2], per_class=2, recipe=recipe, **one_hot, loss=loss).scores(2), expected
    )


def test_soft_labels_train_on_shares_and_are_scored_by_classes(easy):
    """Where all images are the same the best answer to shares is their mean."""
    x, y = easy["train"]
    shares = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.3, 0.1, 0.6]], "float32")
    recipe = kdefrost.Recipe(epochs=200, batch_size=64, learning_rate=0.3, weight_decay=0.0)
    layers = keras.layers
    stack = [layers.Rescaling(0.0), layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    defroster = kdefrost.Defroster(keras.Sequential([keras.Input((8, 8, 1)), *stack]), recipe=recipe, cuts=[0])
    profile = defroster.profile((x, shares[y]), easy["test"], per_class=4, seeds=1, verbose=False)
    assert profile.metrics == ["accuracy"] and profile.mean(4, "test") == pytest.approx(1 / 3)
    model = defroster.best_model(profile, 4, verbose=False)
    np.testing.assert_allclose(np.asarray(model(x[:1]))[0], shares.mean(axis=0), atol=2e-3)


@pytest.mark.parametrize("kind", [int, "float32"])
def test_numbers_that_are_no_classes_are_told_to_be_a_regression(small, easy, kind):
    hint = 'say so by a loss of regression, such as loss="mean_squared_error"'
    plan = kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).plan
    ages = _targets(easy, lambda x, y: (18 + 7 * y + np.arange(len(y)) % 5).astype(kind))
    with pytest.raises(ValueError, match=f"Class 0 has no example.*{hint}"):
        plan(**ages, per_class=2)
    without_gaps = _targets(easy, lambda x, y: np.arange(len(y)).astype(kind))
    with pytest.raises(ValueError, match=f"`per_class` must be at most 1.*{hint}"):
        plan(**without_gaps, per_class=2)
    with pytest.raises(ValueError, match=f"`folds` must be at most 1.*{hint}"):
        plan(without_gaps["train"])
    with pytest.raises(ValueError, match=f"Labels of `test` must be from 0 to 44.*{hint}"):
        plan(without_gaps["test"], test=without_gaps["train"])
    kdefrost.Defroster(small, recipe=RECIPE, cuts=[2], loss="mean_squared_error").plan(**ages, per_class=2)


@pytest.mark.parametrize("make", [np.zeros_like, lambda y: np.zeros((len(y), 1)), lambda y: np.eye(3)[y * 0]])
def test_one_class_alone_is_refused(small, easy, make):
    sets = _targets(easy, lambda x, y: make(y))
    with pytest.raises(ValueError, match=r"Labels of `train` must be of two classes at least\. Received: 0 for all 60"):
        kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).plan(**sets, per_class=2)


def test_one_hot_rows_have_a_class_for_each_column(small, easy):
    sets = _targets(easy, lambda x, y: np.eye(4)[y])
    with pytest.raises(ValueError, match="Class 3 has no example in `train`"):
        kdefrost.Defroster(small, recipe=RECIPE, cuts=[2]).plan(**sets, per_class=2)


def test_the_form_of_labels_is_one_of_two(small):
    with pytest.raises(ValueError, match=r"`labels` must be one of onehot, index, or None\. Received: labels='sparse'"):
        kdefrost.Defroster(small, labels="sparse")


@pytest.mark.parametrize(
    "weights",
    [
        {0: 1, 1: 5, 2: 2},
        {2: 2.0, 1: 5.0, 0: 1.0},
        dict(zip(np.arange(3), np.array([1, 5, 2], "float32"), strict=True)),
    ],
)
def test_the_same_class_weights_are_the_same_configuration(small, easy, weights):
    sets = {name: LabelledSet(*part) for name, part in easy.items()}
    last = kdefrost.cut_points(small)[-1]

    def task(weights):
        return prepare(small, last, sets, Learning(class_weight=weights), [2], test_per_class=np.int64(3)).configuration

    assert task(weights) == task({0: 1.0, 1: 5.0, 2: 2.0})
    # As folders have had it.
    assert task(weights)["task"]["class_weight"] == "{0: 1.0, 1: 5.0, 2: 2.0}"
    json.dumps(task(weights))


@pytest.mark.filterwarnings("ignore:No rule of He's method")
def test_a_source_of_text_takes_text_and_nothing_else():
    inputs = keras.Input((3,), dtype="string")
    words = keras.layers.StringLookup(vocabulary=["a", "b"])(inputs)
    table = keras.layers.Embedding(3, 4, embeddings_initializer="orthogonal")
    x = keras.layers.Flatten()(table(words))
    source = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    y = np.arange(24) % 2
    # The first word tells the class.
    text = np.where(y[:, None] == 1, np.array([["a", "c", "b"]]), np.array([["b", "c", "a"]]))
    defroster = kdefrost.Defroster(source, recipe=kdefrost.Recipe(epochs=30))
    for examples in (text, text.astype(object)):
        profile = defroster.profile((examples, y), test=(examples, y), seeds=1, verbose=False)
        np.testing.assert_array_equal(profile.mean(None, "test"), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"`train` has examples of dtype float64, but the source takes string"):
        defroster.profile((np.ones((24, 3)), y), test=(text, y), seeds=1, verbose=False)
