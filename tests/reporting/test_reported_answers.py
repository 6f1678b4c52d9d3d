"""What a model answers: models whose outputs are their inputs, so that every count is known."""

import base64
import io
import re

import keras
import numpy as np
import pytest
from PIL import Image

import kdefrost
from kdefrost.data.sets import LabelledSet
from kdefrost.reporting.answers import answers_of
from kdefrost.reporting.page import page
from kdefrost.reporting.pictures import first_of_each, pictures

CUT = kdefrost.Cut(0, "image", (("image", 0, 0),), ((1, 1, 1),), 0, 1, 0, 1, 1, 1)


def passing_on(units: int, activation: str | None = None):
    """A model whose outputs are the channels of one pixel."""
    layers = [keras.Input((1, 1, units)), keras.layers.Flatten()]
    return keras.Sequential([*layers, *([keras.layers.Activation(activation)] if activation else [])])


def ask(outputs, labels, kind="classification", activation="softmax", names=None, data=None, **more):
    outputs, labels = np.asarray(outputs, np.float32), np.asarray(labels)
    units = outputs.shape[1]
    trials = (kdefrost.Trial(0, 4, 0, {"accuracy": 0.5}, {"accuracy": 0.5}, 1.0),)
    configuration = {"task": {"kind": kind, "units": units, "loss": "any"}, "data": data or {}}
    profile = kdefrost.DefrostProfile((CUT,), trials, kdefrost.Objective("accuracy", "max"), configuration)
    examples = LabelledSet(outputs[:, None, None, :], labels)
    return answers_of(passing_on(units, activation), examples, profile, 4, names)


# The logits of three classes, and what they are of: 1 is taken for 2 twice, by the second the surer.
LOGITS, CLASSES = [[3, 0, 0], [0, 1, 2], [0, 0, 9], [0, 5, 0], [0, 0, 4]], [0, 1, 1, 1, 2]


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_confusion_matrix_counts_answers(activation):
    found = ask(LOGITS, CLASSES, activation=activation, names=["ant", "bee", "wasp"])
    assert found.matrix == (("ant", "bee", "wasp"), ((1, 0, 0), (0, 1, 2), (0, 0, 1)))
    assert found.summary.startswith("60.0 % right, of 5 examples of those given")
    assert "cut 0, trained on 4 per class" in found.summary
    assert found.table is None


@pytest.mark.parametrize("labels", [np.eye(3)[CLASSES], 0.8 * np.eye(3)[CLASSES] + 0.2 / 3], ids=["one-hot", "shares"])
def test_labels_may_have_other_forms(labels):
    assert ask(LOGITS, labels).matrix == ask(LOGITS, CLASSES).matrix


def test_wrong_answers_are_shown_surest_first_and_right_ones_of_each_class():
    channels = [[200, 1, 0], [0, 201, 202], [0, 0, 209], [0, 205, 0], [0, 0, 204], [199, 0, 0]]
    found = ask(channels, [*CLASSES, 0], names=["ant", "bee", "wasp"])
    wrong, right = found.samples.values()
    assert list(found.samples) == ["Wrong, the surest first", "Right, of each class in turn"]
    assert [(sample.truth, sample.answer) for sample in wrong] == [("bee", "wasp, 100 %"), ("bee", "wasp, 73 %")]
    assert [sample.truth for sample in right] == ["ant", "bee", "wasp", "ant"]


def test_one_unit_makes_two_classes():
    found = ask([[-2], [3], [1], [-1]], [0, 1, 0, 0], "multi-label", "sigmoid", ["benign", "malignant"])
    assert found.matrix == (("benign", "malignant"), ((2, 1), (0, 1)))
    assert (
        found.matrix == ask([[-2], [3], [1], [-1]], [0, 1, 0, 0], "multi-label", None, ["benign", "malignant"]).matrix
    )
    assert ask([[-2], [3]], [0, 1], "multi-label", "sigmoid", ["tumour"]).matrix.names == ("not tumour", "tumour")


def test_labels_of_which_any_hold_are_counted_each():
    held = [[1, 1], [0, 1], [0, 0], [1, 0]]
    found = ask([[2, 2], [2, 2], [-1, -1], [-3, -1]], held, "multi-label", "sigmoid", ["fur", "tail"])
    counts = [[cell.text for cell in row] for row in found.table.rows]
    assert counts == [["fur", "1", "1", "1", "1"], ["tail", "2", "0", "0", "2"]]
    assert found.summary.startswith("All labels right: 50.0 % right") and found.matrix is None


def test_numbers_are_shown_by_how_far_they_are_off():
    found = ask([[1.0], [2.0], [7.0]], [1.0, 2.5, 3.0], "regression", None)
    assert found.summary.startswith("Off by 1.5 in the mean") and found.matrix is found.table is None


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([0, 3], "classification", "the 3 classes that are answered. Received: 4 classes"),
        ([[1], [0]], "multi-label", "the 3 columns that are answered. Received: 1 columns"),
        ([[0.5, 1.5], [1, 2]], "regression", "the 3 columns that are answered. Received: 2 columns"),
    ],
)
def test_labels_that_are_not_answered_are_refused(labels, kind, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ask([[0, 0, 1], [0, 1, 0]], labels, kind)


def test_of_many_classes_the_pairs_that_are_confused_are_listed():
    labels = np.arange(30)
    said = np.where(labels == 7, 3, labels)
    found = ask(50 * np.eye(30)[[*said, 3, 5]], [*labels, 7, 7])
    rows = [tuple(cell.text for cell in row) for row in found.table.rows]
    assert rows == [("7", "3", "2", "3"), ("7", "5", "1", "3")] and found.matrix is None


def test_of_many_examples_some_are_drawn():
    labels = np.arange(4_200) % 3
    found = ask(9 * np.eye(3)[labels], labels)
    assert sum(map(sum, found.matrix.counts)) == 2_000
    assert found.summary.startswith("100.0 % right, of 2,000 of the 4,200 examples, drawn at random,")


def test_a_diverged_model_answers_as_a_guess_does():
    assert ask([[np.nan, np.nan], [0, 1]], [0, 1]).matrix.counts == ((1, 0), (0, 1))


def test_whose_examples_they_are_is_known_by_their_content(run_profile, small, easy, tmp_path):
    profile = run_profile(
        cuts=(2,), validation=(easy["test"][0][:30], easy["test"][1][:30]), seeds=1, directory=tmp_path
    )
    said = {
        "test": "the test set, which has chosen nothing",
        "train": "the training set, which the model knows: it is worse on others",
    }
    for name, words in said.items():
        path = kdefrost.report(profile, tmp_path / "report.html", small, easy[name])
        assert words in path.read_text(encoding="utf-8")
    images, labels = easy["test"]
    path = kdefrost.report(profile, tmp_path / "report.html", small, (images[:9], labels[:9]))
    assert "9 examples of those given for this report" in path.read_text(encoding="utf-8")


def test_folds_answer_for_examples_that_they_have_not_seen():
    """Of two examples nobody has answered: they are in no fold."""
    labels = np.array([0, 1, 1, 0])
    outputs = np.array([[0.9, 0.1], [0.6, 0.4], [np.nan, np.nan], [np.nan, np.nan]])
    trials = (kdefrost.Trial(0, 4, 0, None, {"accuracy": 0.5}, 1.0, 0, 0),)
    profile = kdefrost.DefrostProfile((CUT,), trials, kdefrost.Objective("accuracy", "max"))
    found = answers_of(outputs, LabelledSet(np.zeros((4, 1, 1, 1)), labels), profile, 4)
    assert found.matrix.counts == ((1, 0), (1, 0))
    assert found.summary.startswith("50.0 % right, of 2 examples that the folds held out in turn")


def test_names_of_classes_stay_text():
    found = ask(LOGITS, CLASSES, names=["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "wasp"])
    trials = (kdefrost.Trial(0, 4, 0, {"accuracy": 0.5}, None, 1.0),)
    html = page(kdefrost.DefrostProfile((CUT,), trials, kdefrost.Objective("accuracy", "max")), found)
    assert "<script>alert" not in html and "<img src=x" not in html and "&lt;script&gt;alert" in html


def test_small_images_are_kept_pixel_by_pixel_and_large_ones_made_smaller():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3)).astype(np.uint8)
    for image, address in zip(images, pictures(images), strict=True):
        np.testing.assert_array_equal(np.asarray(opened(address)), image)
    (address,) = pictures(np.zeros((1, 400, 200, 3), np.uint8))
    assert opened(address).size == (80, 160) and address.startswith("data:image/jpeg")


def test_other_numbers_are_stretched_from_black_to_white():
    images = np.array([-1.0, 0.0, 1.0, 0.5]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(np.asarray(opened(pictures(images)[0])), [[0, 128], [255, 191]])
    np.testing.assert_array_equal(np.asarray(opened(pictures(np.ones((1, 2, 2, 1)))[0])), 0)


def test_what_is_no_image_has_no_picture():
    assert pictures(np.zeros((3, 5))) is pictures(np.zeros((3, 8, 8, 2))) is None


def test_one_of_each_group_in_turn():
    assert first_of_each([2, 2, 0, 1, 0, 2], 5) == [2, 3, 0, 4, 1]


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))
