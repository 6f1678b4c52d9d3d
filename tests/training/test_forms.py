"""Forms of labels: every loss and metric of Keras gets the one that it takes, and gives the value that NumPy gives."""

import functools

import keras
import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn import metrics as exact

import kdefrost
from kdefrost.training.forms import form_of, in_form, taken_by
from kdefrost.training.labels import as_labels, check_varied, kind_of
from kdefrost.training.tasks import make_task

SIZE = 40


def _examples(units):
    """Classes, and outputs that are right more often than not."""
    rng = np.random.default_rng(units)
    labels = rng.permutation(np.arange(SIZE) % units)
    outputs = rng.dirichlet(np.ones(units), SIZE)
    outputs[np.arange(SIZE), labels] += 0.4
    return labels, (outputs / outputs.sum(axis=1, keepdims=True)).astype("float32")


def _one_hot(labels, outputs):
    return np.eye(outputs.shape[1])[labels]


def _cells(labels, outputs):
    """What is yes or no: of two classes the second one, of more each class of each example."""
    if outputs.shape[1] == 2:
        return labels == 1, outputs[:, 1]
    return _one_hot(labels, outputs).ravel() > 0, outputs.ravel()


def _of_cells(score):
    def compute(labels, outputs):
        truth, outputs = _cells(labels, outputs)
        return score(truth, outputs > 0.5)

    return compute


def _of_rows(score):
    return lambda labels, outputs: np.mean(score(_one_hot(labels, outputs), outputs.astype("float64")))


def _of_answers(score):
    return lambda labels, outputs: score(labels, outputs.argmax(axis=1))


def _top(labels, outputs, k=2):
    return np.mean([label in np.argsort(row)[-k:] for label, row in zip(labels, outputs, strict=True)])


def _best(measure, other, at_least, curve):
    """The best rate of one kind at a threshold of Keras's at which another is at least so much."""

    def compute(labels, outputs):
        truth, outputs = _cells(labels, outputs)
        inner = np.arange(1, 199) / 199
        thresholds = np.array([-1e-7, *inner, 1 + 1e-7], "float32")
        answers = outputs[None] > thresholds[:, None]
        rates = [(curve[measure](truth, answer), curve[other](truth, answer)) for answer in answers]
        return max((first for first, second in rates if second >= at_least), default=0.0)

    return compute


def _share(part, whole):
    return part.sum() / whole.sum() if whole.sum() else 0.0


_RATES = {
    "precision": lambda truth, answer: _share(truth & answer, answer),
    "recall": lambda truth, answer: _share(truth & answer, truth),
    "specificity": lambda truth, answer: _share(~truth & ~answer, ~truth),
}


def _cross_entropy(labels, outputs):
    return -np.mean(np.log(outputs[np.arange(len(labels)), labels]))


def _binary_cross_entropy(labels, outputs):
    truth, outputs = _cells(labels, outputs)
    return -np.mean(np.log(np.where(truth, outputs, 1 - outputs)))


def _concordance(truth, outputs):
    products = np.mean((truth - truth.mean(1, keepdims=True)) * (outputs - outputs.mean(1, keepdims=True)), axis=1)
    return 2 * products / (truth.var(axis=1) + outputs.var(axis=1) + (truth.mean(axis=1) - outputs.mean(axis=1)) ** 2)


def _signed(truth):
    return 2 * truth - 1


def _cosine(truth, outputs):
    return (truth * outputs).sum(axis=1) / np.linalg.norm(truth, axis=1) / np.linalg.norm(outputs, axis=1)


def _categorical_hinge(truth, outputs):
    return np.maximum((outputs * (1 - truth)).max(axis=1) - (outputs * truth).sum(axis=1) + 1, 0)


def _percent(truth, outputs):
    return 100 * np.abs(truth - outputs) / np.maximum(truth, 1e-7)


def _jaccard(labels, answers):
    return exact.jaccard_score(labels, answers, average="macro")


m = keras.metrics
# Each metric of Keras as `f(classes)`, and what scikit-learn or NumPy makes of labels and outputs.
METRICS = {
    "Accuracy": (lambda units: m.Accuracy(), _of_answers(exact.accuracy_score)),
    "BinaryAccuracy": (lambda units: m.BinaryAccuracy(), _of_cells(exact.accuracy_score)),
    "CategoricalAccuracy": (lambda units: m.CategoricalAccuracy(), _of_answers(exact.accuracy_score)),
    "SparseCategoricalAccuracy": (lambda units: m.SparseCategoricalAccuracy(), _of_answers(exact.accuracy_score)),
    "TopKCategoricalAccuracy": (lambda units: m.TopKCategoricalAccuracy(2), _top),
    "SparseTopKCategoricalAccuracy": (lambda units: m.SparseTopKCategoricalAccuracy(2), _top),
    "F1Score": (lambda units: m.F1Score("macro"), _of_answers(functools.partial(exact.f1_score, average="macro"))),
    "FBetaScore": (
        lambda units: m.FBetaScore("weighted", beta=2.0),
        _of_answers(functools.partial(exact.fbeta_score, beta=2.0, average="weighted")),
    ),
    "IoU": (
        lambda units: m.IoU(units, [1]),
        _of_answers(functools.partial(exact.jaccard_score, average="macro", labels=[1])),
    ),
    "MeanIoU": (m.MeanIoU, _of_answers(_jaccard)),
    "OneHotIoU": (
        lambda units: m.OneHotIoU(units, [0]),
        _of_answers(functools.partial(exact.jaccard_score, average="macro", labels=[0])),
    ),
    "OneHotMeanIoU": (m.OneHotMeanIoU, _of_answers(_jaccard)),
    "BinaryIoU": (lambda units: m.BinaryIoU(), _of_cells(_jaccard)),
    "Precision": (lambda units: m.Precision(), _of_cells(exact.precision_score)),
    "Recall": (lambda units: m.Recall(), _of_cells(exact.recall_score)),
    "TruePositives": (lambda units: m.TruePositives(), _of_cells(lambda t, a: np.sum(t & a))),
    "TrueNegatives": (lambda units: m.TrueNegatives(), _of_cells(lambda t, a: np.sum(~t & ~a))),
    "FalsePositives": (lambda units: m.FalsePositives(), _of_cells(lambda t, a: np.sum(~t & a))),
    "FalseNegatives": (lambda units: m.FalseNegatives(), _of_cells(lambda t, a: np.sum(t & ~a))),
    "PrecisionAtRecall": (lambda units: m.PrecisionAtRecall(0.6), _best("precision", "recall", 0.6, _RATES)),
    "RecallAtPrecision": (lambda units: m.RecallAtPrecision(0.6), _best("recall", "precision", 0.6, _RATES)),
    "SensitivityAtSpecificity": (
        lambda units: m.SensitivityAtSpecificity(0.8),
        _best("recall", "specificity", 0.8, _RATES),
    ),
    "SpecificityAtSensitivity": (
        lambda units: m.SpecificityAtSensitivity(0.8),
        _best("specificity", "recall", 0.8, _RATES),
    ),
    "AUC": (lambda units: m.AUC(num_thresholds=5000), lambda *both: exact.roc_auc_score(*_cells(*both))),
    "CategoricalCrossentropy": (lambda units: m.CategoricalCrossentropy(), _cross_entropy),
    "SparseCategoricalCrossentropy": (lambda units: m.SparseCategoricalCrossentropy(), _cross_entropy),
    "BinaryCrossentropy": (lambda units: m.BinaryCrossentropy(), _binary_cross_entropy),
    "KLDivergence": (lambda units: m.KLDivergence(), _cross_entropy),
    "Poisson": (lambda units: m.Poisson(), _of_rows(lambda t, o: o - t * np.log(o))),
    "Hinge": (lambda units: m.Hinge(), _of_rows(lambda t, o: np.maximum(1 - _signed(t) * o, 0))),
    "SquaredHinge": (lambda units: m.SquaredHinge(), _of_rows(lambda t, o: np.maximum(1 - _signed(t) * o, 0) ** 2)),
    "CategoricalHinge": (lambda units: m.CategoricalHinge(), _of_rows(_categorical_hinge)),
    "CosineSimilarity": (lambda units: m.CosineSimilarity(), _of_rows(_cosine)),
    "MeanSquaredError": (lambda units: m.MeanSquaredError(), _of_rows(lambda t, o: (t - o) ** 2)),
    "MeanAbsoluteError": (lambda units: m.MeanAbsoluteError(), _of_rows(lambda t, o: np.abs(t - o))),
    "MeanAbsolutePercentageError": (lambda units: m.MeanAbsolutePercentageError(), _of_rows(_percent)),
    "MeanSquaredLogarithmicError": (
        lambda units: m.MeanSquaredLogarithmicError(),
        _of_rows(lambda t, o: (np.log1p(t) - np.log1p(o)) ** 2),
    ),
    "RootMeanSquaredError": (
        lambda units: m.RootMeanSquaredError(),
        lambda *both: np.sqrt(_of_rows(lambda t, o: (t - o) ** 2)(*both)),
    ),
    "LogCoshError": (lambda units: m.LogCoshError(), _of_rows(lambda t, o: np.log(np.cosh(t - o)))),
    "R2Score": (lambda units: m.R2Score(), lambda *both: exact.r2_score(_one_hot(*both), both[1])),
    "PearsonCorrelation": (
        lambda units: m.PearsonCorrelation(),
        _of_rows(lambda t, o: [pearsonr(*rows)[0] for rows in zip(t, o, strict=True)]),
    ),
    "ConcordanceCorrelation": (lambda units: m.ConcordanceCorrelation(), _of_rows(_concordance)),
}


@pytest.mark.parametrize("units", [2, 3])
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_keras_has_the_value_of_numpy(name, units):
    """Whichever form the labels came in."""
    (make, by_hand), (labels, outputs) = METRICS[name], _examples(units)
    for given in (labels, labels[:, None], np.eye(units)[labels]):
        learnt = as_labels("train", given, kind_of(given))
        metrics = ["balanced_accuracy", make(units)]
        _, score = (
            make_task("classification", learnt, metrics=metrics, given=form_of(given)).scores(learnt, outputs).values()
        )
        assert score == pytest.approx(float(by_hand(labels, outputs)), rel=2e-3)


def test_no_metric_of_keras_is_left_out():
    classes = {name for name, thing in vars(m).items() if isinstance(thing, type)}
    assert classes - METRICS.keys() == {"Metric", "Mean", "Sum", "MeanMetricWrapper"}
    for name in METRICS:
        assert taken_by(METRICS[name][0](3)).form, name


LOSSES = {
    "index": "sparse_categorical_crossentropy categorical_generalized_cross_entropy circle ctc",
    "onehot": "categorical_crossentropy categorical_focal_crossentropy categorical_hinge kl_divergence dice tversky "
    "hinge squared_hinge binary_crossentropy binary_focal_crossentropy mean_squared_error mean_absolute_error "
    "mean_absolute_percentage_error mean_squared_logarithmic_error huber log_cosh poisson cosine_similarity",
}


def test_every_loss_of_keras_takes_a_form():
    known = {name for names in LOSSES.values() for name in names.split()}
    things = {name: thing for name, thing in vars(keras.losses).items() if callable(thing)}
    functions = {name for name, thing in things.items() if not isinstance(thing, type)}
    assert known == functions - {"get", "serialize", "deserialize"}
    for form, names in LOSSES.items():
        assert {taken_by(getattr(keras.losses, name)).form for name in names.split()} == {form}
    classes = {name for name, thing in things.items() if isinstance(thing, type)} - {"Loss"}
    assert len(classes) == len(known)
    for name in classes:
        assert taken_by(getattr(keras.losses, name)()).form, name


@pytest.mark.parametrize(
    "loss",
    [
        "kl_divergence",
        "kld",
        keras.losses.KLDivergence(),
        keras.losses.Dice(),
        keras.losses.tversky,
        "categorical_hinge",
    ],
)
def test_losses_of_rows_get_rows(loss):
    """Of as many examples as classes too, where whole numbers would be taken for a row."""
    labels = np.array([2, 0, 1])
    for given in (labels, np.eye(3)[labels]):
        learnt = as_labels("train", given, kind_of(given, loss))
        task = make_task("classification", learnt, loss=loss, given=form_of(given))
        np.testing.assert_array_equal(task.targets(learnt), np.eye(3)[labels])


def _squared(labels, outputs):
    return keras.ops.mean(keras.ops.square(labels - outputs), axis=-1)


def _log_likelihood(labels, outputs):
    rows = keras.ops.one_hot(keras.ops.cast(labels, "int32"), outputs.shape[-1])
    return -keras.ops.log(keras.ops.sum(rows * outputs, axis=-1))


class _SparseOfRows(keras.losses.SparseCategoricalCrossentropy):
    """A user's, that takes what Keras's does not."""

    def call(self, y_true, y_pred):
        return super().call(keras.ops.argmax(y_true, axis=-1), y_pred)


@pytest.mark.parametrize(
    ("loss", "given", "said", "expected"),
    [
        (_squared, "onehot", None, "onehot"),
        (_squared, "index", "onehot", "onehot"),
        (_log_likelihood, "index", None, "index"),
        (_log_likelihood, "onehot", "index", "index"),
        (_SparseOfRows(), "index", "onehot", "onehot"),
        ("sparse_categorical_crossentropy", "onehot", "onehot", "index"),
        (functools.partial(keras.losses.categorical_crossentropy, label_smoothing=0.1), "index", None, "onehot"),
    ],
)
def test_a_loss_of_ones_own_gets_labels_as_they_were_given_or_as_is_said(loss, given, said, expected):
    labels = np.array([2, 0, 1, 1])
    task = make_task("classification", labels, loss=loss, given=given, said=said)
    np.testing.assert_array_equal(task.targets(labels), in_form(expected, labels, 3))


def test_a_column_stays_one():
    given, seen = np.array([[2], [0], [1]]), []
    labels = as_labels("train", given, "classification")
    task = make_task(
        "classification",
        labels,
        loss=lambda y, outputs: (seen.append(y.shape), _log_likelihood(y[:, 0], outputs))[1],
        given=form_of(given),
    )
    np.testing.assert_array_equal(task.targets(labels), given)
    assert seen[0][1:] == (1,)


def test_a_metric_of_ones_own_gets_labels_as_they_were_given():
    labels, outputs = _examples(3)

    def brier(rows, outputs):
        return keras.ops.sum(keras.ops.square(rows - outputs), axis=-1)

    best = kdefrost.Objective("accuracy", "max")
    by_hand = np.mean(np.sum((np.eye(3)[labels] - outputs) ** 2, axis=1))
    for given, said in (("onehot", None), ("index", "onehot")):
        arguments = {"objective": best, "given": given, "said": said}
        task = make_task(
            "classification", labels, metrics=["accuracy", m.MeanMetricWrapper(brier, "brier")], **arguments
        )
        assert task.scores(labels, outputs)["brier"] == pytest.approx(by_hand, rel=1e-5)


def test_a_loss_that_does_not_take_the_labels_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"`loss` must take labels of shape \('examples',\).*`labels=\"onehot\"`"):
        make_task("classification", np.array([0, 1, 2]), loss=_squared)


def test_logits_go_to_metrics_of_logits_as_they_are():
    labels, outputs = _examples(3)
    logits = np.log(outputs) + 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = [m.SparseCategoricalCrossentropy(from_logits=True, name="of_logits"), "sparse_categorical_crossentropy"]
    scores = make_task("classification", labels, loss=loss, metrics=metrics).scores(labels, logits)
    assert list(scores.values()) == pytest.approx([_cross_entropy(labels, outputs)] * 2, rel=1e-4)
    labels, outputs = _examples(2)
    of_two = [m.BinaryCrossentropy(from_logits=True, name="two")]
    scores = make_task("classification", labels, loss=loss, metrics=of_two).scores(labels, np.log(outputs) + 3)
    assert scores["two"] == pytest.approx(_binary_cross_entropy(labels, outputs), rel=1e-4)


SOFT = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.0, 0.0, 1.0], [0.3, 0.3, 0.4]], "float32")


def test_soft_labels_are_classes_with_shares():
    assert kind_of(SOFT) == "classification"
    labels = as_labels("train", SOFT, "classification")
    task = make_task("classification", labels, metrics=["accuracy", "kl_divergence", "f1_score"], given="onehot")
    assert task.loss == "categorical_crossentropy" and task.units == 3
    np.testing.assert_array_equal(task.targets(labels), SOFT)
    outputs = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.2, 0.2, 0.6], [0.6, 0.2, 0.2]], "float32")
    scores = task.scores(labels, outputs)
    assert scores["accuracy"] == 0.75
    assert scores["f1_score"] == pytest.approx(exact.f1_score([0, 1, 2, 2], [0, 1, 2, 0], average="macro"))
    clipped = np.maximum(SOFT, 1e-7)
    assert scores["kl_divergence"] == pytest.approx(
        np.mean(np.sum(clipped * np.log(clipped / outputs), axis=1)), rel=1e-4
    )


def test_soft_labels_are_refused_by_losses_of_whole_numbers():
    for arguments in ({"loss": "sparse_categorical_crossentropy"}, {"loss": _log_likelihood, "said": "index"}):
        with pytest.raises(
            ValueError, match=r"`loss` takes whole-number labels, .*soft labels.*categorical_crossentropy"
        ):
            make_task("classification", SOFT, given="onehot", **arguments)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.zeros(4), "classification"),
        (np.ones((4, 1)), "classification"),
        (np.eye(3)[[1, 1]], "classification"),
        (np.zeros((4, 1)), "multi-label"),
        (np.tile([1, 0], (4, 1)), "multi-label"),
    ],
)
def test_labels_of_one_class_alone_are_refused(labels, kind):
    with pytest.raises(ValueError, match="Labels of `train` must be of two classes at least"):
        check_varied(as_labels("train", labels, kind), kind)
    check_varied(np.zeros((4, 1)), "regression")


def test_metrics_of_answers_get_those_of_labels_too():
    labels = np.array([[1, 0], [1, 1], [0, 1]], "float32")
    outputs = np.array([[0.9, 0.4], [0.6, 0.3], [0.2, 0.8]], "float32")
    task = make_task("multi-label", labels, metrics=[m.Accuracy(name="right"), m.MeanIoU(2, name="iou")])
    assert task.scores(labels, outputs) == pytest.approx({"right": 5 / 6, "iou": (2 / 3 + 3 / 4) / 2})
