"""Tasks: what labels mean, and metrics by hand."""

import functools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

import kdefrost
from kdefrost.training.labels import as_class_weight, as_labels, example_weights, kind_of, strata
from kdefrost.training.tasks import make_task

RNG = np.random.default_rng(0)


class _Several(keras.metrics.Metric):
    """Gives two numbers by name."""

    def update_state(self, labels, outputs, sample_weight=None):
        """Keeps nothing."""

    def result(self):
        """The two."""
        return {"mean": 0.5, "total": 2.0}


@pytest.mark.parametrize(
    ("labels", "loss", "kind"),
    [
        ([0, 1, 2], None, "classification"),
        ([0.0, 1.0, 2.0], None, "classification"),
        ([[1], [2]], None, "classification"),
        (np.eye(3), None, "classification"),
        ([True, False], None, "classification"),
        ([[1, 1, 0], [0, 0, 0]], None, "multi-label"),
        (np.eye(3), "binary_crossentropy", "multi-label"),
        ([0, 1, 1], keras.losses.BinaryCrossentropy(), "multi-label"),
        ([0.5, 1.0], None, "regression"),
        ([[0.5, 1.0]], None, "regression"),
        ([[0.5, 0.5], [0.0, 1.0]], None, "classification"),
        ([[0.5, 0.5], [0.0, 1.0]], "kl_divergence", "classification"),
        ([[0.5, 0.5], [0.0, 1.0]], "mean_squared_error", "regression"),
        ([[1.5, -0.5], [0.0, 1.0]], None, "regression"),
        ([0, 1, 2], keras.losses.KLDivergence(), "classification"),
        ([0, 1, 2], functools.partial(keras.losses.huber, delta=2.0), "regression"),
        ([0, 1, 2], "mean_squared_error", "regression"),
        ([0, 1, 2], keras.losses.Huber(), "regression"),
        ([0, 1, 2], keras.losses.SparseCategoricalCrossentropy(), "classification"),
        ([0, 1, 1], "bce", "multi-label"),
        ([0, 1, 1], "BinaryCrossentropy", "multi-label"),
        ([0, 1, 2], "MSE", "regression"),
        ([0, 1, 2], "MeanSquaredError", "regression"),
        ([0.0, 1.0], keras.losses.CategoricalCrossentropy(name="cce"), "classification"),
    ],
)
def test_kinds_of_labels(labels, loss, kind):
    assert kind_of(labels, loss) == kind


def test_a_loss_that_there_is_not():
    with pytest.raises(ValueError, match=r"`loss` must be a Keras loss or its name\. Received: loss='crossentropie'"):
        kind_of([0, 1], "crossentropie")


def test_labels_take_one_form():
    np.testing.assert_array_equal(as_labels("train", np.eye(3)[[2, 0]], "classification"), [2, 0])
    np.testing.assert_array_equal(as_labels("train", [[1], [2]], "classification"), [1, 2])
    assert as_labels("train", [0, 1], "regression").shape == (2, 1)
    assert as_labels("train", [[True, False]], "multi-label").dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (["cat", "dog"], "classification", "must be numbers"),
        (np.zeros((2, 2, 2)), "regression", r"must be numbers \(examples,\) or \(examples, columns\)"),
        ([0, np.nan], "regression", "must be finite"),
        ([0.5, 1], "classification", "must be whole numbers"),
        ([[1, 1], [0, 1]], "classification", "or one-hot rows"),
        ([[0, 2]], "multi-label", "zeros and ones"),
    ],
)
def test_bad_labels(labels, kind, message):
    with pytest.raises(ValueError, match=f"Labels of `test` .*{message}"):
        as_labels("test", labels, kind)


def test_training_sets_are_balanced_by_class_where_there_is_one():
    np.testing.assert_array_equal(strata(np.array([2, 0]), "classification"), [2, 0])
    np.testing.assert_array_equal(strata(np.array([[1.0], [0.0]]), "multi-label"), [1, 0])
    np.testing.assert_array_equal(strata(np.array([[1.0, 0.0], [0.0, 0.0]]), "multi-label"), [0, 0])
    np.testing.assert_array_equal(strata(np.array([[1.5], [0.5]]), "regression"), [0, 0])


def test_two_class_metrics_are_scikit_learns():
    labels = np.array([0] * 30 + [1] * 10)
    positive = np.clip(0.3 * labels + RNG.uniform(0, 0.7, 40), 0, 1).round(2)
    outputs = np.stack([1 - positive, positive], axis=1).astype("float32")
    task = make_task("classification", labels, metrics=["balanced_accuracy", "accuracy", "auc", "precision", "recall"])
    scores = task.scores(labels, outputs)
    answers = positive > 0.5
    assert scores["accuracy"] == pytest.approx(np.mean(answers == labels))
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, answers))
    assert scores["auc"] == pytest.approx(roc_auc_score(labels, outputs[:, 1]))
    assert scores["precision"] == pytest.approx(labels[answers].mean(), abs=1e-6)
    assert scores["recall"] == pytest.approx(answers[labels == 1].mean(), abs=1e-6)


def test_metrics_of_several_classes():
    labels = np.array([0, 1, 2, 2])
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], "float32")
    task = make_task(
        "classification",
        labels,
        metrics=["accuracy", "balanced_accuracy", "auc", "f1_score", "sparse_top_k_categorical_accuracy"],
    )
    scores = task.scores(labels, outputs)
    assert scores["accuracy"] == 0.75 and scores["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    # Each class against the rest: 3 of 3 pairs, 3 of 3 (0.5 above 0.1, 0.2, 0.3), and 2.5 of 4.
    assert scores["auc"] == pytest.approx((1 + 1 + 2.5 / 4) / 3)
    # F1 is 2/3, 1 and 2/3.
    assert scores["f1_score"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert scores["sparse_top_k_categorical_accuracy"] == 1


def test_metrics_of_labels_and_numbers():
    labels = np.array([[1, 0], [1, 1], [0, 1]], "float32")
    outputs = np.array([[0.9, 0.4], [0.6, 0.3], [0.2, 0.8]], "float32")
    scores = make_task("multi-label", labels).scores(labels, outputs)
    assert scores["binary_accuracy"] == pytest.approx(5 / 6) and scores["auc"] == pytest.approx((1 + 0.5) / 2)
    numbers = np.array([[1.0], [3.0]], "float32")
    scores = make_task("regression", numbers).scores(numbers, np.array([[2.0], [1.0]], "float32"))
    assert scores == {"mean_squared_error": 2.5, "mean_absolute_error": 1.5}


def test_a_diverged_classifier_scores_as_a_guess():
    labels = np.array([0, 1, 0, 1])
    scores = make_task("classification", labels).scores(labels, np.full((4, 2), np.nan, "float32"))
    assert scores == {"balanced_accuracy": 0.5, "accuracy": 0.5, "auc": 0.5}


def test_an_area_without_both_classes_is_unknown():
    task = make_task("classification", np.array([0, 1]))
    assert np.isnan(task.scores(np.array([1, 1]), np.full((2, 2), 0.5, "float32"))["auc"])


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("accuracy", "max"), ("auc", "max"), ("f1_score", "max"), ("sparse_categorical_crossentropy", "min")],
)
def test_directions(metric, direction):
    task = make_task("classification", np.array([0, 1]), metrics=[metric])
    assert task.objective == kdefrost.Objective(metric, direction)


def test_the_objective_is_the_first_metric_or_the_one_named():
    labels = np.array([0, 1])
    assert make_task("classification", labels).objective.name == "balanced_accuracy"
    assert make_task("classification", labels, objective="auc").objective.name == "auc"
    assert make_task("classification", np.array([0, 1, 2])).objective.name == "accuracy"


def test_losses_of_one_hot_rows_get_them():
    task = make_task("classification", np.array([0, 1, 2]), loss=keras.losses.CategoricalFocalCrossentropy())
    np.testing.assert_array_equal(task.targets(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    sparse = make_task("classification", np.array([0, 1, 2]))
    np.testing.assert_array_equal(sparse.targets(np.array([2, 0])), [2, 0])


def test_logits_are_scored_as_the_probabilities_that_they_mean():
    labels = np.array([0, 1, 1, 0])
    logits = np.array([[2.0, 1.0], [-1.0, 3.0], [5.0, 5.5], [0.0, -4.0]], "float32")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    metrics = ["auc", "recall", "sparse_categorical_crossentropy"]
    from_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scores = make_task("classification", labels, loss=from_logits, metrics=metrics).scores(labels, logits)
    assert scores == pytest.approx(make_task("classification", labels, metrics=metrics).scores(labels, probabilities))
    columns = labels[:, None].astype("float32")
    sure = keras.losses.BinaryCrossentropy(from_logits=True)
    task = make_task("multi-label", columns, loss=sure, metrics=["binary_accuracy"])
    assert task.scores(columns, np.array([[-0.1], [0.2], [0.3], [-0.4]])) == {"binary_accuracy": 1}


def test_a_metric_object_is_itself_whatever_its_name():
    labels = np.array([0, 1, 1, 0, 1])
    positive = np.array([0.6, 0.7, 0.4, 0.1, 0.5], "float32")
    outputs = np.stack([1 - positive, positive], axis=1)
    metric = keras.metrics.AUC(curve="PR", name="auc")
    metric.update_state(labels, positive)
    expected = float(metric.result())
    assert make_task("classification", labels, metrics=[metric]).scores(labels, outputs)["auc"] == pytest.approx(
        expected
    )


def test_f1_of_labels_is_by_threshold():
    labels = np.array([[1, 1], [0, 1], [1, 0]], "float32")
    task = make_task("multi-label", labels, metrics=["f1_score"])
    assert task.scores(labels, 0.1 + 0.8 * labels)["f1_score"] == pytest.approx(1)


def test_directions_are_max_or_min():
    with pytest.raises(ValueError, match='`direction` must be "max" or "min"'):
        kdefrost.Objective("accuracy", "Max")


def _misfit(labels, outputs):
    return keras.ops.reshape(labels, (7, 7)) - outputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["IoU"]}, "There is no metric 'IoU'.* that needs no arguments"),
        ({"metrics": ["acuracy"]}, "There is no metric 'acuracy'"),
        ({"metrics": "accuracy"}, "`metrics` must be a list"),
        ({"metrics": {"mine": "accuracy"}}, "`metrics` must be a list"),
        (
            {"metrics": [keras.metrics.TopKCategoricalAccuracy(k=1), keras.metrics.TopKCategoricalAccuracy(k=2)]},
            "differ",
        ),
        (
            {"metrics": [_Several(name="several")], "objective": kdefrost.Objective("several", "max")},
            "each give one number; 'several' gives a dict of mean, total",
        ),
        (
            {"metrics": [_misfit], "objective": kdefrost.Objective("_misfit", "max")},
            r"take labels; '_misfit' got them of shape .'examples',. .*it raised ",
        ),
        ({"metrics": []}, "`metrics` must be a list"),
        ({"metrics": [3]}, "`metrics` must be Keras metrics or their names"),
        ({"metrics": [keras.metrics.F1Score()]}, r"each give one number; 'f1_score.*' gives \(3,\)"),
        ({"metrics": ["accuracy"], "objective": "auc"}, r"`objective` must be one of the metrics \(accuracy\)"),
        ({"metrics": [lambda labels, outputs: 0.0]}, r"more of the metric '<lambda>' is better is not known"),
        ({"metrics": [keras.metrics.Mean(name="odd")]}, "`metrics` must be of labels and outputs; 'odd' is of values"),
        ({"metrics": [keras.metrics.MeanIoU(5)]}, "of the 3 classes that there are; 'mean_io_u.*' has num_classes=5"),
        ({"output": 5}, "`output` must be 3, as the labels have it"),
        ({"output": "ten"}, "`output` must be a number of units, a layer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_task("classification", np.array([0, 1, 2]), **arguments)


def test_class_weights():
    labels = np.array([0, 0, 0, 1])
    assert example_weights(None, labels, "classification", 2) is None
    np.testing.assert_allclose(example_weights({0: 1.0, 1: 3.0}, labels, "classification", 2), [1, 1, 1, 3])
    # One label that holds or not is of two classes.
    column = labels[:, None].astype("float32")
    np.testing.assert_allclose(example_weights({0: 1.0, 1: 3.0}, column, "multi-label", 1), [1, 1, 1, 3])
    # Examples over classes times their share, as scikit-learn has it.
    np.testing.assert_allclose(example_weights("balanced", labels, "classification", 2), [2 / 3, 2 / 3, 2 / 3, 2])
    for bad in ({0: 1.0}, "even"):
        with pytest.raises(
            ValueError, match='`class_weight` must be "balanced" or a dict with a weight for each class'
        ):
            example_weights(bad, labels, "classification", 2)
    with pytest.raises(ValueError, match="`class_weight` is for classification alone"):
        example_weights("balanced", np.zeros((4, 1)), "regression", 1)


def test_an_output_of_logits_gets_a_loss_of_logits():
    """By default; a loss that is given is taken as it is."""
    labels, columns = np.array([0, 1, 2]), np.eye(3, dtype="float32")
    for layer in (keras.layers.Dense(3), keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])):
        assert make_task("classification", labels, output=layer).loss.from_logits
        assert make_task("multi-label", columns, output=layer).loss.from_logits
    shaped = [keras.layers.Dense(3, "softmax"), keras.layers.Reshape((3,)), keras.layers.Activation("linear")]
    for layer in (
        keras.layers.Dense(3, "softmax"),
        keras.Sequential([keras.Input((3,)), keras.layers.Softmax()]),
        keras.layers.Dense(3, tf.nn.softmax),
        keras.Sequential([keras.Input((3,)), *shaped]),
    ):
        assert make_task("classification", labels, output=layer).loss == "sparse_categorical_crossentropy"
    given = "sparse_categorical_crossentropy"
    assert make_task("classification", labels, output=keras.layers.Dense(3), loss=given).loss == given


@pytest.mark.parametrize(
    "given",
    [[1, 3], np.array([1.0, 3.0]), (np.float32(1), 3), {"1": 3, "0": 1}, pd.Series([3, 1], index=[1, 0])],
    ids=["list", "array", "tuple", "texts", "column"],
)
def test_class_weights_are_the_same_in_whichever_form(given):
    assert as_class_weight(given) == {0: 1.0, 1: 3.0}


@pytest.mark.parametrize(
    "bad", [3, True, {0: np.nan, 1: 1}, [np.inf, 1], {0: -1, 1: 2}, [0, 0], [], {"cat": 1}], ids=str
)
def test_class_weights_that_train_nothing_are_refused(bad):
    with pytest.raises(ValueError, match='`class_weight` must be "balanced" or a dict of a number for each class'):
        as_class_weight(bad)


ANSWERS = np.array([0, 1, 1, 0, 1], np.float32)
AGES = np.array([31, 18, 47, 22, 64])


@pytest.mark.parametrize(
    ("labels", "output", "loss", "kind"),
    [
        (ANSWERS, 1, None, "multi-label"),
        (ANSWERS[:, None] > 0, keras.layers.Dense(1, "sigmoid"), None, "multi-label"),
        (ANSWERS, keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "tanh")]), "hinge", "multi-label"),
        (2 * ANSWERS - 1, keras.layers.Dense(1, "tanh"), "hinge", "regression"),
        (AGES, keras.layers.Dense(1), lambda labels, outputs: abs(labels - outputs), "regression"),
        (AGES, 1, None, "regression"),
        (ANSWERS, keras.layers.Dense(2), None, "classification"),
        (ANSWERS, 1, "sparse_categorical_crossentropy", "classification"),
    ],
)
def test_an_output_of_one_unit_says_what_the_labels_are(labels, output, loss, kind):
    assert kind_of(labels, loss, output=output) == kind


def test_a_metric_has_one_name_however_many_were_made_before():
    labels = np.array([0, 1, 1])
    for _ in range(2):
        made = [keras.metrics.AUC(), keras.metrics.SparseCategoricalAccuracy]
        task = make_task("classification", labels, metrics=made, objective="auc")
        assert list(task.metrics) == ["auc", "sparse_categorical_accuracy"] and task.objective.name == "auc"
    both = [keras.metrics.AUC(name="roc"), keras.metrics.AUC(name="pr", curve="PR")]
    assert list(make_task("classification", labels, metrics=both).metrics) == ["roc", "pr"]
    several = [keras.metrics.AUC(name="auc_1"), keras.metrics.AUC(name="auc_2", curve="PR")]
    assert list(make_task("classification", labels, metrics=several).metrics) == ["auc_1", "auc_2"]
    assert make_task("classification", labels, metrics=["acc"], objective="acc").objective.name == "accuracy"


@pytest.mark.parametrize(("kind", "loss"), [("multi-label", "binary_crossentropy"), ("regression", "mse")])
def test_the_accuracy_of_one_hot_rows_is_that_of_keras(kind, loss):
    outputs = np.array([[0.2, 0.3, 0.4], [0.6, 0.7, 0.1], [0.9, 0.6, 0.7]], np.float32)
    rows = np.eye(3, dtype="float32")[[2, 0, 0]]
    task = make_task(kind, rows, loss=loss, metrics=["accuracy"])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss=loss, metrics=["accuracy"])
    assert task.scores(rows, outputs)["accuracy"] == pytest.approx(2 / 3)
    assert model.evaluate(outputs, rows, verbose=0)[1] == pytest.approx(2 / 3)


@pytest.mark.parametrize("make", [keras.metrics.BinaryAccuracy, keras.metrics.Precision])
def test_a_threshold_of_0_is_of_logits(make):
    metric = make(threshold=0.0) if make is keras.metrics.BinaryAccuracy else make(thresholds=0)
    labels, logits = ANSWERS[:, None], np.array([[-3.0], [0.2], [-0.1], [2.0], [0.3]], np.float32)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    task = make_task("multi-label", labels, loss=loss, metrics=[metric])
    # Three of five answers, and two of three that are positive, are right.
    expected = 3 / 5 if make is keras.metrics.BinaryAccuracy else 2 / 3
    assert list(task.scores(labels, logits).values()) == pytest.approx([expected])
    named = make_task("multi-label", labels, metrics=["acc"], objective=kdefrost.Objective("acc", "max"))
    assert named.objective.name == "accuracy"


def test_balanced_accuracy_of_labels_is_the_mean_of_theirs():
    labels = np.array([[1, 0], [1, 1], [1, 0], [0, 1]], np.float32)
    outputs = np.array([[0.9, 0.2], [0.8, 0.1], [0.2, 0.3], [0.1, 0.7]], np.float32)
    score = make_task("multi-label", labels, metrics=["balanced_accuracy"]).scores(labels, outputs)
    assert score == {"balanced_accuracy": pytest.approx(((2 / 3 + 1) / 2 + (1 / 2 + 1) / 2) / 2)}


@pytest.mark.parametrize("name", ["accuracy", "auc", "balanced_accuracy"])
def test_metrics_of_classes_are_none_of_numbers(name):
    with pytest.raises(ValueError, match=rf"`metrics` must be of numbers .*'{name}' is of classes"):
        make_task("regression", AGES[:, None].astype("float32"), metrics=[name])


def test_names_of_classes_are_no_labels():
    with pytest.raises(ValueError, match=r"Labels of `train` must be numbers .* number the classes from 0"):
        kind_of(["cat", "dog"])


def test_a_function_as_a_metric_has_its_name():
    partial = functools.partial(keras.metrics.categorical_accuracy)
    assert list(make_task("classification", np.array([0, 1]), metrics=["accuracy", partial]).metrics) == [
        "accuracy",
        "categorical_accuracy",
    ]


def test_an_objective_goes_by_the_name_that_a_user_gave():
    labels = np.arange(12) % 3
    metric = keras.metrics.Precision(name="precision_1", class_id=1)
    task = make_task("classification", labels, metrics=["accuracy", metric], objective="precision_1")
    assert task.metrics[task.objective.name] is metric
