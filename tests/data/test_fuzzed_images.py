"""Image files and folders that are damaged or foreign: images of the right form, or the stated error."""

import copy
import io
import os
import shutil
import warnings

import numpy as np
import pytest
from conftest import FUZZED, damaged
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kdefrost
from kdefrost.data.image_files import ImageFiles

FORMATS = {"png": "RGB", "jpg": "RGB", "gif": "P", "bmp": "RGB", "webp": "RGB", "tif": "L", "ppm": "RGB"}
WORDS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF", "ppm": "PPM"}


def _file(ending: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(FORMATS[ending]).save(file, WORDS[ending])
    return file.getvalue()


FILES = {ending: _file(ending) for ending in FORMATS}


def test_an_image_with_any_damage_has_the_right_form_or_is_refused(tmp_path):
    outcomes = {"read": 0, "refused": 0}
    contents = st.sampled_from(sorted(FILES)).flatmap(lambda e: st.tuples(st.just(e), damaged(FILES[e])))

    @FUZZED
    @given(contents)
    def read(file):
        ending, content = file
        path = tmp_path / f"image.{ending}"
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                # Pillow's, of what is odd in a file.
                warnings.simplefilter("ignore")
                image = ImageFiles(tmp_path, [path.name], (6, 6))[0]
            assert image.shape == (6, 6, 3) and image.dtype == np.uint8
            outcomes["read"] += 1
        except ValueError as error:
            assert f"The image file {path} cannot be read (" in str(error), error
            outcomes["refused"] += 1

    read()
    print(outcomes)
    assert min(outcomes.values()) > 50


def test_an_image_whose_parts_are_said_to_be_nowhere_is_damaged(tmp_path):
    """For it the system's error has a number and no name."""
    content = bytearray(FILES["tif"])
    content[2] ^= 1
    (tmp_path / "image.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"The image file .*image\.tif cannot be read \("):
        ImageFiles(tmp_path, ["image.tif"], (6, 6))[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="This system has no named pipes.")
def test_a_pipe_among_the_images_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "image.png")
    with pytest.raises(ValueError, match=r"image\.png cannot be read \(it is no regular file\)"):
        ImageFiles(tmp_path, ["image.png"], (6, 6))[0]


NAMES = st.sampled_from(["a", "b", "train", "Test", "val", "c d", "é", ".hidden", "x.png", "y.png", "fold1", "fold2"])
# What a name in a folder stands for.
LEAVES = st.sampled_from(["png", "jpg", "empty", "text", "link to nothing", "link to the root", "pipe", "no text"])
OTHERS = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), LEAVES), max_size=4)
CLASSES = {
    "a": {"x.png": "png", "y.png": "jpg"},
    "b": {"x.png": "png", "y.png": "text"},
    "c d": {"é": {"x.png": "png"}},
}
WHOLE = [CLASSES, {"train": CLASSES, "Test": CLASSES}, {"train": CLASSES, "val": CLASSES, "Test": CLASSES}, {}]
CONTENTS = {"png": FILES["png"], "jpg": FILES["jpg"], "empty": b"", "text": b"no image"}


def _with(tree, others):
    """A tree with more leaves in it, each at the end of a path of names, in the place of what is there."""
    tree = copy.deepcopy(tree)
    for (*path, name), leaf in others:
        inside = tree
        for each in path:
            if not isinstance(inside.get(each), dict):
                inside[each] = {}
            inside = inside[each]
        inside[name] = leaf
    return tree


def _lay_out(tree, place, root):
    if isinstance(tree, dict):
        place.mkdir()
        for name, inside in tree.items():
            _lay_out(inside, place / name, root)
    elif tree in CONTENTS:
        place.write_bytes(CONTENTS[tree])
    elif tree == "pipe":
        os.mkfifo(place)
    elif tree == "no text":
        with open(os.fsencode(place) + b"\xff.png", "wb") as file:
            file.write(CONTENTS["png"])
    else:
        place.symlink_to(root if tree == "link to the root" else "nothing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="This system has no named pipes.")
def test_any_folder_is_a_labelled_set_or_refused(tmp_path):
    root, outcomes = tmp_path / "photos", {"read": 0, "refused": 0}

    @FUZZED
    @given(st.sampled_from(WHOLE), OTHERS, st.sampled_from(["raise", "skip"]))
    def read(whole, others, on_corrupt):
        _lay_out(_with(whole, others), root, root)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = kdefrost.load_data(root, image_size=4, on_corrupt=on_corrupt, test_share=0)
                images, labels = data.train
                assert np.asarray(images).shape == (len(labels), 4, 4, 3)
            assert len(data.classes) > 1 and set(labels) == set(range(len(data.classes)))
            outcomes["read"] += 1
        except (ValueError, OSError) as error:
            assert str(tmp_path) in str(error), error
            outcomes["refused"] += 1
        finally:
            shutil.rmtree(root)

    read()
    print(outcomes)
    assert min(outcomes.values()) > 50
