"""Image files as an array, and what folders are refused: on files that each test writes."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

import kdefrost
from kdefrost.data import image_files
from kdefrost.data.folders import list_folder, list_patches
from kdefrost.data.image_files import ImageFiles


def write(path, pixels, **options):
    """Writes an image, of one number all over or of an array, in a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((4, 6, 3), pixels, np.uint8) if np.isscalar(pixels) else pixels
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def six(tmp_path):
    """Six images of random pixels, and their pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        write(tmp_path / f"{number}.png", image)
    return ImageFiles(tmp_path, [f"{number}.png" for number in range(6)], (4, 5)), pixels


@pytest.fixture
def opened(monkeypatch):
    """Paths of the image files that are opened."""
    paths = []
    original = Image.open

    def counting(path, *args, **kwargs):
        paths.append(os.path.basename(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(image_files.Image, "open", counting)
    return paths


ROWS = [
    3,
    -1,
    slice(1, 5, 2),
    slice(None, None, -1),
    [4, 0, 4],
    np.array([], int),
    np.arange(6) % 2 == 0,
    slice(9, 12),
    ...,
]


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_files_are_indexed_and_taken_as_their_array_is(six, rows):
    images, pixels = six
    np.testing.assert_array_equal(images[rows], pixels[rows])
    np.testing.assert_array_equal(images.take(rows)[:], np.atleast_1d(pixels[rows]).reshape(-1, 4, 5, 3))


def test_files_have_the_shape_of_their_array(six):
    images, pixels = six
    assert (images.shape, images.dtype, images.ndim, len(images)) == (pixels.shape, pixels.dtype, pixels.ndim, 6)
    np.testing.assert_array_equal(np.asarray(images), pixels)
    assert np.asarray(images, dtype="float32").dtype == np.float32 and np.array(images, copy=True).dtype == np.uint8
    np.testing.assert_array_equal(np.stack(list(images)), pixels)
    with pytest.raises(ValueError, match=r"must be read into a new array.*copy=False"):
        images.__array__(copy=False)


@pytest.mark.parametrize("rows", [(..., 0), (0, 0), np.zeros((2, 2), int), None], ids=str)
def test_pixels_cannot_be_indexed_in_files(six, rows):
    with pytest.raises(IndexError, match=r"indexed by a whole number, a slice, or a list.*np.asarray"):
        six[0][rows]


def test_rows_out_of_range_are_refused_as_by_an_array(six):
    with pytest.raises(IndexError, match="out of bounds"):
        six[0][6]


def test_only_the_files_asked_for_are_opened(six, opened):
    images, _ = six
    part = images.take([5, 2, 3])
    assert len(images) == 6 and images.fingerprint and part.shape == (3, 4, 5, 3) and opened == []
    assert part[1:].shape == (2, 4, 5, 3) and sorted(opened) == ["2.png", "3.png"]


def test_files_are_found_after_the_working_folder_changed(tmp_path, six, monkeypatch):
    _, pixels = six
    monkeypatch.chdir(tmp_path)
    images = ImageFiles(".", ["1.png"], (4, 5))
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(images[0], pixels[1])


def test_every_kind_of_image_gives_the_colours_it_shows(tmp_path):
    grey = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    color = np.stack([grey, 255 - grey, np.full_like(grey, 7)], axis=-1)
    clear = Image.fromarray(grey).convert("P")
    clear.info["transparency"] = bytes(range(256))
    write(tmp_path / "grey.png", grey)
    # 257 = 65535 / 255, and 128 more round up to no other value.
    write(tmp_path / "deep.png", grey.astype(np.uint16) * 257 + 128)
    write(tmp_path / "deep.tif", grey.astype(np.uint16) * 257)
    write(tmp_path / "alpha.png", np.dstack([color, grey]))
    write(tmp_path / "grey_alpha.png", np.dstack([grey, 255 - grey]))
    write(tmp_path / "black_white.png", grey > 100)
    clear.save(tmp_path / "palette.PNG")
    Image.fromarray(grey).save(tmp_path / "first.gif", save_all=True, append_images=[Image.fromarray(255 - grey)])
    Image.fromarray(color).convert("CMYK").save(tmp_path / "print.tiff")
    shown = {"alpha.png": color, "print.tiff": color, "black_white.png": 255 * (grey > 100)}
    names = sorted(path.name for path in tmp_path.iterdir())
    for name, image in zip(names, ImageFiles(tmp_path, names, (4, 6)), strict=True):
        expected = shown.get(name, grey)
        expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=-1)
        np.testing.assert_array_equal(image, expected, err_msg=name)
    greys = ImageFiles(tmp_path, ["grey.png", "deep.png", "palette.PNG"], (4, 6), "grayscale")
    np.testing.assert_array_equal(greys[:], np.tile(grey[None, ..., None], (3, 1, 1, 1)))


def test_images_whose_transparency_hid_colours_are_known_once_they_are_decoded(tmp_path):
    color, opaque = np.full((10, 10, 3), 90, np.uint8), np.full((10, 10), 255, np.uint8)
    corner, half = opaque.copy(), opaque.copy()
    # A hundredth of the pixels, and all of them less than half transparent.
    corner[0, 0], half[:] = 0, 128
    for name, alpha in {"opaque": opaque, "corner": corner, "half": half, "all": 0 * opaque}.items():
        write(tmp_path / f"{name}.png", np.dstack([color, alpha]))
    write(tmp_path / "plain.png", color)
    write(tmp_path / "grey.png", np.dstack([color[..., 0], corner]))
    keyed = Image.fromarray(np.uint8([[0, 1], [1, 1]])).convert("P")
    keyed.save(tmp_path / "keyed.gif", transparency=0)
    keyed.save(tmp_path / "unused.gif", transparency=7)
    names = sorted(path.name for path in tmp_path.iterdir())
    images = ImageFiles(tmp_path, names, (10, 10))
    assert not images.transparent.any()
    images[:3], images[3:]
    assert {name for name, hid in zip(names, images.transparent, strict=True) if hid} == {
        "corner.png",
        "all.png",
        "grey.png",
        "keyed.gif",
    }


# As the EXIF standard numbers them: how an upright image is stored, which PIL undoes.
_STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
def test_photographs_stand_upright_however_they_are_stored(tmp_path, ending):
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:12, :20], upright[12:, :20], upright[:12, 20:] = 250, 120, 60
    for orientation, stored in _STORED.items():
        notes = Image.Exif()
        notes[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(stored(upright)))
        image.save(tmp_path / f"{orientation}.{ending}", exif=notes, quality=95)
    images = ImageFiles(tmp_path, [f"{orientation}.{ending}" for orientation in _STORED], (24, 40))
    for orientation, image in zip(_STORED, images, strict=True):
        np.testing.assert_allclose(image.astype(int), upright, atol=12, err_msg=f"orientation {orientation}")


def test_deep_grey_stands_upright_too(tmp_path):
    upright, notes = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10, Image.Exif()
    notes[0x0112] = 6
    Image.fromarray(np.rot90(upright).astype(np.uint16) * 257).save(tmp_path / "deep.png", exif=notes)
    image = ImageFiles(tmp_path, ["deep.png"], (4, 6), "grayscale")[0]
    np.testing.assert_array_equal(image, upright[..., None])


@pytest.mark.parametrize("notes", [b"", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_an_image_with_broken_notes_is_read_as_it_is_stored(tmp_path, notes):
    write(tmp_path / "plain.png", np.arange(24, dtype=np.uint8).reshape(4, 6))
    with Image.open(tmp_path / "plain.png") as image:
        image.save(tmp_path / "noted.png", exif=notes)
    images = ImageFiles(tmp_path, ["plain.png", "noted.png"], (4, 6))
    np.testing.assert_array_equal(images[0], images[1])


def test_a_broken_link_is_a_sentence_and_skipped_with_the_corrupt(tmp_path):
    write(tmp_path / "good.png", 10)
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    images = ImageFiles(tmp_path, ["good.png", "link.png"], (4, 6))
    for read in (lambda: images[:], lambda: images.fingerprint, lambda: images.content_fingerprint):
        with pytest.raises(ValueError, match=r"link\.png cannot be read \(it is a link to .*gone\.png, which is not"):
            read()
    assert images.readable().tolist() == [True, False]


def test_images_of_another_size_are_stretched_and_averaged(tmp_path):
    write(tmp_path / "even.jpg", 90)
    checks = np.indices((40, 60)).sum(axis=0) % 2 * np.uint8(255)
    write(tmp_path / "checks.bmp", checks.astype(np.uint8))
    write(tmp_path / "ramp.png", np.tile(np.arange(60, dtype=np.uint8), (40, 1)))
    images = ImageFiles(tmp_path, ["even.jpg", "checks.bmp", "ramp.png"], (8, 5))[:]
    np.testing.assert_array_equal(images[0], 90)
    # Without antialiasing, single pixels of 0 or 255 would be picked.
    np.testing.assert_allclose(images[1, 1:-1, 1:-1], 127.5, atol=6)
    # Brighter to the right, and alike from top to bottom.
    np.testing.assert_array_equal(images[2], np.broadcast_to(images[2, :1], (8, 5, 3)))
    np.testing.assert_allclose(images[2, 0, 1:-1, 0], [17.5, 29.5, 41.5], atol=1)


def test_the_fingerprint_tells_names_sizes_and_shape_apart_and_not_the_place(tmp_path):
    for root in (tmp_path / "a", tmp_path / "b"):
        for number in range(2):
            write(root / f"{number}.bmp", 50 * number)
    files = ["0.bmp", "1.bmp"]
    same = ImageFiles(tmp_path / "a", files, (4, 6)).fingerprint
    assert len(same) == 16 and int(same, 16) >= 0 and same == ImageFiles(tmp_path / "b", files, (4, 6)).fingerprint
    others = [
        ImageFiles(tmp_path / "a", files[::-1], (4, 6)),
        ImageFiles(tmp_path / "a", files, (6, 4)),
        ImageFiles(tmp_path / "a", files, (4, 6), "grayscale"),
        ImageFiles(tmp_path / "a", files, (4, 6)).take([0]),
    ]
    write(tmp_path / "b" / "0.bmp", np.zeros((5, 6, 3), np.uint8))
    others.append(ImageFiles(tmp_path / "b", files, (4, 6)))
    assert len({same, *(images.fingerprint for images in others)}) == 6


@pytest.fixture
def broken(tmp_path):
    """One good image, and files that are none: by name, what is said of each."""
    write(tmp_path / "good.png", 10)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    write(tmp_path / "cut.png", noise)
    write(tmp_path / "cut.jpg", noise)
    for name in ("cut.png", "cut.jpg"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not an image")
    Image.fromarray(np.ones((4, 6), np.float32)).save(tmp_path / "float.tif")
    return {
        "cut.png": "truncated",
        "cut.jpg": "truncated",
        "empty.jpg": "empty",
        "text.jpg": "no image",
        "float.tif": "32",
    }


def test_a_file_that_cannot_be_read_is_named(tmp_path, broken):
    for name, reason in broken.items():
        images = ImageFiles(tmp_path, ["good.png", name], (4, 6))
        np.testing.assert_array_equal(images[0], 10)
        with pytest.raises(
            ValueError, match=rf"{name} cannot be read \(.*{reason}.*\): remove it.*on_corrupt=\"skip\""
        ):
            images[:]
    names = ["good.png", *broken, "good.png"]
    np.testing.assert_array_equal(ImageFiles(tmp_path, names, (4, 6)).readable(), [True] + 5 * [False] + [True])


def test_a_missing_file_is_not_called_corrupt(tmp_path):
    images = ImageFiles(tmp_path, ["gone.png"], (4, 6))
    for read in (lambda: images[0], images.readable, lambda: images.fingerprint):
        with pytest.raises(FileNotFoundError, match=r"gone\.png"):
            read()


def test_a_fault_of_the_disk_is_not_called_corrupt(six, monkeypatch):
    def fault(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(image_files.Image, "open", fault)
    for read in (lambda: six[0][0], six[0].readable):
        with pytest.raises(OSError, match=r"Input/output error: .*0\.png"):
            read()


def test_an_unknown_color_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`color_mode` must be 'rgb' or 'grayscale'.*color_mode='bgr'"):
        ImageFiles(tmp_path, [], (4, 6), "bgr")


def test_classes_are_the_sorted_folders_and_hidden_files_are_none(tmp_path):
    for file in ("żaba/ż.png", "cat/b.PNG", "cat/a/deep.Jpg", "Dog/1.webp", "cat/.hidden.png", ".git/1.png"):
        write(tmp_path / file, 0)
    write(tmp_path / "cat" / ".thumbs" / "1.png", 0)
    write(tmp_path / "__MACOSX" / "cat" / "._a.png", 0)
    write(tmp_path / "cat" / "__MACOSX" / "1.png", 0)
    write(tmp_path / "beside.png", 0)
    (tmp_path / "cat" / "notes.txt").touch()
    listing = list_folder(tmp_path)
    assert listing.classes == ("Dog", "cat", "żaba") and listing.test is None and listing.groups is None
    assert listing.files.tolist() == ["Dog/1.webp", "cat/a/deep.Jpg", "cat/b.PNG", "żaba/ż.png"]
    assert listing.labels.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("test_part", ["test", "validation", "val", "valid", "eval", "dev", "tst", "Test"])
def test_train_and_test_folders_are_the_parts(tmp_path, test_part):
    train = "Train" if test_part == "Test" else "train"
    files = [f"{train}/a/1.png", f"{train}/a/2.png", f"{train}/b/1.png", f"{test_part}/b/1.png"]
    for file in [*files, "unlabelled/x/1.png"]:
        write(tmp_path / file, 0)
    listing = list_folder(tmp_path)
    assert listing.classes == ("a", "b") and listing.files.tolist() == files
    assert listing.labels.tolist() == [0, 0, 1, 1] and listing.test.tolist() == [False, False, False, True]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "plane"):
        write(tmp_path / "vehicles" / name / "1.png", 0)
    assert list_folder(tmp_path / "vehicles").classes == ("plane", "train")


def test_folders_without_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"two or more sub-folders of images.*sub-folders are \(\), with 0 images"):
        list_folder(tmp_path)
    write(tmp_path / "1.png", 0)
    write(tmp_path / "2.JPG", 0)
    with pytest.raises(ValueError, match=r"sub-folders are \(\), with 2 images beside them: sort the images"):
        list_folder(tmp_path)
    write(tmp_path / "train" / "a" / "1.png", 0)
    with pytest.raises(ValueError, match=r"sub-folders are \(train\).*or name the folder that has them"):
        list_folder(tmp_path)


def test_a_class_without_images_is_refused(tmp_path):
    write(tmp_path / "train" / "a" / "1.png", 0)
    (tmp_path / "train" / "b").mkdir()
    write(tmp_path / "test" / "a" / "1.png", 0)
    with pytest.raises(ValueError, match=r"class folder .*train/b must hold images \(.jpg, .*holds none: add some"):
        list_folder(tmp_path)
    write(tmp_path / "train" / "b" / "1.png", 0)
    assert list_folder(tmp_path).labels.tolist() == [0, 1, 0]


def test_a_class_that_is_only_tested_on_is_refused(tmp_path):
    for file in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/ćma/1.png"):
        write(tmp_path / file, 0)
    with pytest.raises(ValueError, match=r"classes in .*test must be among those in .*train; only to test on is ćma"):
        list_folder(tmp_path)


@pytest.mark.parametrize("below", ["", "idc", "IDC_regular_ps50_idx5"])
def test_patches_have_the_class_of_their_folder_and_the_group_of_their_patient(tmp_path, below):
    files = ["10/1/10_idx5_x1_y1_class0.png", "8/0/8_idx5_x1_y1_class0.png", "8/1/8_idx5_x1_y2_class1.png"]
    for file in files:
        write(tmp_path / below / file, 0)
    # As in Kaggle's archive, which holds all patches twice.
    write(tmp_path / below / "IDC_regular_ps50_idx5" / "8" / "0" / "1.png", 0)
    listing = list_patches(tmp_path)
    assert listing.root == tmp_path / below and listing.classes == ("negative", "positive")
    assert listing.files.tolist() == files and listing.labels.tolist() == [1, 0, 1]
    assert listing.groups.tolist() == ["10", "8", "8"] and listing.test is None


@pytest.mark.parametrize("folder", [None, "missing", "empty"])
def test_a_folder_without_patients_is_told_how_it_must_look(tmp_path, folder):
    (tmp_path / "empty" / "8" / "other").mkdir(parents=True)
    data_dir = folder and tmp_path / folder
    with pytest.raises(ValueError, match=rf"`data_dir`.*<patient>/<0 or 1>/<patch>.png.*data_dir=.*{folder}"):
        list_patches(data_dir)


def test_without_a_test_share_all_images_are_to_train_on(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    whole, split = (kdefrost.load_data(tmp_path, image_size=4, test_share=share) for share in (0, 0.4))
    assert whole.test is None and len(whole.train.labels) == 10
    assert len(split.test.labels) == 4 and len(split.train.labels) == 6
    for share in (1, -0.1, True, "half"):
        with pytest.raises(ValueError, match="`test_share` must be from 0 to below 1"):
            kdefrost.load_data(tmp_path, test_share=share)
    with pytest.raises(ValueError, match="`data` must have test images"):
        kdefrost.make_clone("gm", whole)
