"""Parts of a folder by their names, and what is refused or left out with a word: on files that each test writes."""

import os

import numpy as np
import pytest
from PIL import Image, features

import kdefrost
from kdefrost.data.folders import list_folder
from kdefrost.data.parts import look_like_parts, named_parts


def write(root, *files, value=0):
    """Writes images, or files of another kind, in folders that need not exist."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (value, value, value)).save(root / file, "PNG")


def write_parts(root, *parts, classes=("cat", "dog")):
    """Writes two images of each class in each part, whose value says which part it is."""
    for number, part in enumerate(parts):
        for name in classes:
            write(root, f"{part}/{name}/1.png", f"{part}/{name}/2.png", value=50 * number)


def values(examples):
    """What values the images of a part have."""
    return None if examples is None else set(np.unique(examples.images))


PAIRS = [
    ("train", "valid"),
    ("train", "eval"),
    ("train", "dev"),
    ("training", "testing"),
    ("Training", "Validation"),
    ("TRAIN", "TEST"),
    ("training_set", "test-set"),
    ("train_images", "val_images"),
    ("train2017", "val2017"),
    ("trn", "tst"),
]


@pytest.mark.parametrize(("train", "other"), PAIRS, ids="-".join)
def test_two_parts_are_to_train_and_to_test_on_whatever_they_are_called(tmp_path, train, other):
    write_parts(tmp_path, train, other)
    data = kdefrost.load_data(tmp_path, image_size=4)
    assert data.classes == ("cat", "dog") and data.validation is None
    assert (values(data.train), values(data.test)) == ({0}, {50})


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "Dev", "Testing")], ids="-".join)
def test_of_three_parts_the_validation_part_is_to_choose_on(tmp_path, names):
    write_parts(tmp_path, *names)
    data = kdefrost.load_data(tmp_path, image_size=4)
    assert [values(part) for part in (data.train, data.validation, data.test)] == [{0}, {50}, {100}]
    assert data.validation.labels.tolist() == [0, 0, 1, 1] and len(data.train.labels) == 4
    assert kdefrost.make_clone("gm", data, directory=None, verbose=False).validation is None


def test_parts_of_any_name_are_those_that_are_said(tmp_path):
    write_parts(tmp_path, "fold1", "fold2", "deep/fold3")
    said = {"test": "fold1", "validation": "deep/fold3", "train": "fold2"}
    data = kdefrost.load_data(tmp_path, image_size=4, parts=said)
    assert [values(part) for part in (data.train, data.validation, data.test)] == [{50}, {100}, {0}]
    two = kdefrost.load_data(tmp_path, image_size=4, parts={"train": "fold2", "validation": "fold1"})
    assert two.validation is None and values(two.test) == {0}
    classes = kdefrost.load_data(tmp_path, image_size=4, parts={}, test_share=0)
    assert classes.classes == ("deep", "fold1", "fold2") and np.bincount(classes.train.labels).tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": "a"}, r"`parts` must be sub-folders by \"train\" and \"test\""),
        ({"test": "a", "validation": "b"}, r"`parts` must be sub-folders by"),
        ({"train": "a", "exam": "b"}, r"`parts` must be sub-folders by"),
        ("none", r"`parts` must be sub-folders by .* parts='none'"),
        ({"train": "a", "test": "a/"}, r"`parts` must be different sub-folders.*'test': 'a/'"),
        ({"train": "a", "test": "gone"}, r"`parts` must name sub-folders of .*test='gone'"),
    ],
)
def test_parts_that_are_none_are_refused(tmp_path, parts, message):
    write_parts(tmp_path, "a", "b")
    with pytest.raises(ValueError, match=message):
        kdefrost.load_data(tmp_path, parts=parts)


def test_parts_are_for_folders():
    with pytest.raises(ValueError, match=r"`parts` are for a folder of images; 'digits' is none"):
        kdefrost.load_data("digits", parts={})


LOOK_LIKE_PARTS = {
    "folds": {"fold1": "cat dog", "fold2": "cat dog"},
    "letters": {"set_a": "cat dog", "set_b": "cat dog bird"},
    "patients": {"10253": "0 1", "8863": "0", "9022": "0 1"},
    "places": {"amazon": "bike mug", "webcam": "bike mug"},
    "no part to train on": {"valid": "cat dog", "test": "cat dog"},
    "words of parts": {"seg_train": "seg_train", "seg_test": "seg_test"},
    "words with letters": {"testA": "cat dog", "trainA": "cat dog"},
    "plurals": {"tests": "cat dog", "trains": "cat dog"},
    "words and others": {"extra": "cat dog", "train": "cat dog"},
    "several to test on": {"PrivateTest": "cat dog", "PublicTest": "cat dog", "Training": "cat dog"},
    "parts in classes": {"cat": "train test", "dog": "train test"},
}
# Which is to train on and which to test on, where the names say it.
GUESSED = {
    ("valid", "test"): ("valid", "test"),
    ("seg_train", "seg_test"): ("seg_train", "seg_test"),
    ("testA", "trainA"): ("trainA", "testA"),
    ("tests", "trains"): ("trains", "tests"),
    ("extra", "train"): ("train", "extra"),
    ("PrivateTest", "PublicTest", "Training"): ("Training", "PrivateTest"),
    ("cat", "dog"): ("cat", "dog"),
}
CLASSES = {
    "years": {"cat": "2019 2020", "dog": "2019 2020"},
    "cameras": {"cat": "cam1 cam2", "dog": "cam1 cam2"},
    "kinds": {"cat": "siam tabby", "dog": "pug collie"},
    "one folder each": {"cat": "images", "dog": "images"},
    "one is flat": {"fold1": "cat dog", "fold2": "cat dog", "dog": ""},
    "train stations": {"train_station": "", "test_tube": ""},
}


@pytest.mark.parametrize("folders", LOOK_LIKE_PARTS.values(), ids=LOOK_LIKE_PARTS)
def test_what_looks_like_parts_is_asked_about(tmp_path, folders):
    for name, below in folders.items():
        write(tmp_path, *(f"{name}/{inner}/1.png" for inner in below.split()))
    train, test = GUESSED.get(tuple(folders), sorted(folders)[:2])
    message = (
        rf"look like parts or folds.*train={train} test={test}; or, if they are classes, by parts={{}}, --parts none"
    )
    with pytest.raises(ValueError, match=message):
        kdefrost.load_data(tmp_path)
    assert kdefrost.load_data(tmp_path, parts={}, test_share=0).classes == tuple(sorted(folders))


@pytest.mark.parametrize("folders", CLASSES.values(), ids=CLASSES)
def test_folders_of_classes_are_not_asked_about(tmp_path, folders):
    for name, below in folders.items():
        write(tmp_path, *(f"{name}/{inner}/1.png" for inner in below.split()), *([] if below else [f"{name}/1.png"]))
    assert kdefrost.load_data(tmp_path, test_share=0).classes == tuple(sorted(folders))


def test_patients_in_the_place_of_classes_are_asked_about_in_a_part_too(tmp_path):
    for part in ("train", "test"):
        write_parts(tmp_path / part, "p1", "p2", classes=("0", "1"))
    with pytest.raises(ValueError, match=r"sub-folders of .*train, p1, p2, look like parts.*--parts train=train test="):
        kdefrost.load_data(tmp_path)
    said = {"train": "train", "test": "test"}
    assert kdefrost.load_data(tmp_path, image_size=4, parts=said).classes == ("p1", "p2")


def test_two_parts_for_one_use_are_refused():
    with pytest.raises(ValueError, match=r"one part each .*here are train, val, valid: remove or rename"):
        named_parts(("cat", "train", "val", "valid"))
    assert named_parts(("val", "test")) == named_parts(("train", "plane")) == {}
    assert not look_like_parts({"only": (False, ("a", "b"))})


def test_a_part_without_images_is_refused(tmp_path):
    write_parts(tmp_path, "train", "test")
    (tmp_path / "valid").mkdir()
    with pytest.raises(ValueError, match=r"no image to validate on in .*a folder `validation` with"):
        kdefrost.load_data(tmp_path)
    write(tmp_path, "valid/cat/1.png", "valid/eel/1.png")
    with pytest.raises(ValueError, match=r"classes in .*valid must be among .*train; only to validate on is eel"):
        kdefrost.load_data(tmp_path)


def test_a_part_whose_images_are_of_no_class_is_a_sentence(tmp_path):
    write_parts(tmp_path, "train", "valid")
    write(tmp_path, "test/1.png", "test/2.png")
    with pytest.raises(ValueError, match=r"The folder .*test must have a sub-folder .* per class.*; 2 images lie"):
        kdefrost.load_data(tmp_path)
    said = {"train": "train", "test": "valid"}
    assert values(kdefrost.load_data(tmp_path, image_size=4, parts=said).test) == {50}


def test_classes_with_the_names_of_parts_are_told_of_the_way_to_say_so(tmp_path):
    write(tmp_path, "train/1.png", "bus/1.png", "test/1.png")
    with pytest.raises(ValueError, match=r"with 1 images beside.* If train and test are classes, say so by parts={}"):
        kdefrost.load_data(tmp_path)
    assert kdefrost.load_data(tmp_path, parts={}, test_share=0).classes == ("bus", "test", "train")


def test_images_that_pillow_reads_are_read_whatever_their_ending(tmp_path):
    write(tmp_path, "a/1.jfif", "a/2.JFIF", "a/3.jpe", "a/4.ppm", "b/1.png")
    if features.check("avif"):
        Image.new("RGB", (4, 4), (90, 90, 90)).save(tmp_path / "b" / "2.avif")
    data = kdefrost.load_data(tmp_path, image_size=4, test_share=0)
    assert np.bincount(data.train.labels).tolist() == [4, 1 + features.check("avif")]
    assert np.asarray(data.train.images).shape == (len(data.train.labels), 4, 4, 3)


def test_images_that_are_left_out_are_counted(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png")
    for file in ("train/a/1.HEIC", "train/a/2.heic", "test/b/1.dng", "train/b/notes.txt", "train/b/.hidden.heic"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("no image to Pillow")
    message = r"3 image files in .* are left out, because Pillow does not read them here \(1 of .dng, 2 of .heic\)"
    with pytest.warns(UserWarning, match=message) as caught:
        data = kdefrost.load_data(tmp_path, image_size=4)
    assert len(caught) == 1 and caught[0].filename == __file__ and len(data.train.labels) == 2


def test_a_class_of_other_files_alone_says_what_they_are(tmp_path):
    write(tmp_path, "a/1.png", "b/1.heic", "b/2.heic", "b/3")
    with pytest.raises(ValueError, match=r"b must hold images.*holds none but 2 of .heic, 1 of no ending: add some"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("link", "target"), [("a/loop", "."), ("a/loop", ".."), ("a/loop", "../.."), ("a/deep/loop", "..")]
)
def test_a_link_to_a_folder_above_is_a_sentence(tmp_path, link, target):
    write(tmp_path, "photos/a/1.png", "photos/a/deep/1.png", "photos/b/1.png")
    os.symlink(target, tmp_path / "photos" / link)
    with pytest.raises(ValueError, match=r"loop leads by a link to .*of which it is a part.*remove the link"):
        list_folder(tmp_path / "photos")


def test_links_to_each_other_and_to_nothing_are_sentences(tmp_path):
    write(tmp_path, "a/1.png", "b/1.png")
    os.symlink(tmp_path / "b", tmp_path / "a" / "b")
    assert list_folder(tmp_path).files.tolist() == ["a/1.png", "a/b/1.png", "b/1.png"]
    os.symlink(tmp_path / "a", tmp_path / "b" / "a")
    with pytest.raises(ValueError, match=r"leads by a link to"):
        list_folder(tmp_path)
    (tmp_path / "b" / "a").unlink()
    for target in ("itself", "gone"):
        os.symlink(target, tmp_path / "b" / "itself")
        with pytest.raises(ValueError, match=rf"itself is a link to {target}, which is not there or the link itself"):
            list_folder(tmp_path)
        (tmp_path / "b" / "itself").unlink()


def test_a_folder_that_cannot_be_listed_is_a_sentence(tmp_path, monkeypatch):
    write(tmp_path, "a/1.png", "b/1.png")
    scan = os.scandir

    def refusing(folder):
        if str(folder).endswith("b"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match=r"b cannot be looked into \(Permission denied\): allow it"):
        list_folder(tmp_path)


def test_names_of_any_bytes_are_read_and_can_be_written(tmp_path):
    try:
        root = tmp_path / os.fsdecode(b"caf\xe9")
        write(root, os.fsdecode(b"h\xe9/1\xe9.png"), "b/1.png")
    except OSError:
        pytest.skip("The file system takes no such names.")
    data = kdefrost.load_data(root, image_size=4, test_share=0)
    assert data.name == r"caf\xe9" and data.classes == ("b", r"h\xe9") and data.train.images[:].shape == (2, 4, 4, 3)
    assert all(text.encode() for text in (data.name, *data.classes)) and data.train.images.content_fingerprint


def test_a_file_in_the_place_of_a_folder_is_told_to_be_unpacked(tmp_path):
    (tmp_path / "photos.zip").touch()
    with pytest.raises(ValueError, match=r"photos.zip' is a file, and must be a folder.*unpack an archive"):
        kdefrost.load_data(tmp_path / "photos.zip")


def test_a_set_comes_in_the_colours_that_are_asked_for(tmp_path):
    own = kdefrost.load_data("digits")
    color = kdefrost.load_data("digits", color_mode="rgb")
    assert color.train.images.shape == (1437, 8, 8, 3) and color.train.images.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(color.train.images[..., channel], own.train.images[..., 0])
    with pytest.raises(ValueError, match=r"`color_mode` must be 'rgb' or 'grayscale'.*'bgr'"):
        kdefrost.load_data("digits", color_mode="bgr")


def test_colours_become_grey_as_pillow_has_it():
    from kdefrost.data.colors import in_colors

    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]
    np.testing.assert_array_equal(in_colors(images, "grayscale"), grey)
    assert in_colors(images, "rgb") is images is in_colors(images, None)
