"""Data sets: images with labels, train and test, from scikit-learn, TensorFlow Datasets and folders."""

import difflib
import numbers
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kdefrost.arguments import as_path
from kdefrost.data.colors import check_color_mode, in_colors
from kdefrost.data.examples import Examples, ImageData
from kdefrost.data.folders import Listing, list_folder, list_patches
from kdefrost.data.holding_out import draw
from kdefrost.data.image_files import ImageFiles, counted
from kdefrost.data.tree import printable

# Of sets whose images differ in size, and of folders and IDC, where none is asked for.
_MIXED_SIZE = (64, 64)
_FOLDER_SIZE = (224, 224)
_IDC_SIZE = (50, 50)


def load_data(
    name: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    color_mode: str | None = None,
    split: str = "patient",
    on_corrupt: str = "raise",
    test_share: float = 0.2,
    parts: Mapping[str, str] | None = None,
) -> ImageData:
    """Loads a labelled image data set.

    Args:
        name: `"digits"`, the 1,797 images of 8×8 digits that scikit-learn brings along;
            `"idc"`, patches of breast tissue with and without cancer; the path of a folder
            that has one sub-folder of images per class, or parts with such, `train` and `test`
            or `validation` or all three (see `parts`); or the name of any image classification
            set of TensorFlow Datasets, such as `"cifar10"`. An existing folder goes before a set
            of TensorFlow Datasets that has its name.
        data_dir: Folder of TensorFlow Datasets; by default `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`. What is prepared there is used without network; what is
            not is downloaded to it. For `"idc"`, the folder of the patients' folders
            (`<patient>/<0 or 1>/<patch>.png`), or one that has it as its sub-folder `idc` or
            `IDC_regular_ps50_idx5`.
        image_size: `(height, width)`, or one number for both, to which every image is
            resized (stretched). By default the set's own; where its images differ in size
            64×64, for a folder 224×224, for IDC 50×50.
        color_mode: `"rgb"` or `"grayscale"`. By default the set's own, for a folder and IDC `"rgb"`.
        split: How a part of IDC is set aside for the test: `"patient"`, whole patients, so
            that none is on both sides; or `"random"`, patches of each class at random.
        on_corrupt: What to do, in a folder and IDC, with a file that is empty, truncated or
            no image: `"raise"`, an error when it is read; or `"skip"`, read all files once
            now and leave such files out with a warning.
        test_share: Share of the images of IDC, and of a folder without parts, that is set aside for the
            test, from 0 to below 1. With 0 there is none: all images are to train on.
        parts: Which sub-folders of a folder are its parts, such as
            `{"train": "fold1", "test": "fold2"}`, and `"validation"` where there is one; `{}` where its
            sub-folders are classes. By default their names say it, of which the usual ones are
            known (`train`, `training`; `validation`, `valid`, `val`, `dev`, `eval`; `test`, `testing`).

    Returns:
        An `ImageData` with uint8 images; those of a folder and of IDC are `ImageFiles`,
        decoded when asked for. The test images are the set's own; of the digits a fixed fifth,
        of a folder without parts the same of `test_share`, balanced over the classes. A class with a
        single image keeps it in train. IDC split by patient has the patients as `groups`. A folder
        with all three parts has `validation` images; where there is no part to test on, the
        validation part is that, so that no image both chooses and reports.

    Raises:
        ValueError: If there is no such data set, it is not one of labelled images with a
            training and a test (or validation) split, an argument is out of its range, or the
            sub-folders of a folder look like parts and their names do not say which.
        FileNotFoundError: If it is not prepared and cannot be downloaded.

    Example:

    >>> kdefrost.load_data("digits").train.images.shape
    (1437, 8, 8, 1)
    """
    as_path("name", name, "the name of a data set, or the path of a folder of images")
    if data_dir is not None:
        as_path("data_dir", data_dir)
    if isinstance(test_share, bool) or not isinstance(test_share, numbers.Real) or not 0 <= test_share < 1:
        raise ValueError(f"`test_share` must be from 0 to below 1. Received: test_share={test_share!r}")
    image_size = _height_and_width(image_size)
    if color_mode is not None:
        check_color_mode(color_mode)
    files = color_mode or "rgb", on_corrupt, test_share
    is_folder = name not in ("digits", "idc") and os.path.isdir(name)
    if parts is not None and not is_folder:
        raise ValueError(f"`parts` are for a folder of images; {os.fspath(name)!r} is none. Received: parts={parts!r}")
    if name == "digits":
        return _load_digits(image_size, color_mode)
    if name == "idc":
        return _load_files("idc", _list_idc(data_dir, split), image_size or _IDC_SIZE, *files)
    if is_folder:
        folder = Path(os.path.abspath(name))
        return _load_files(printable(folder.name), list_folder(folder, parts), image_size or _FOLDER_SIZE, *files)
    return _load_tfds(os.fspath(name), data_dir, image_size, color_mode)


def _height_and_width(image_size) -> tuple[int, int] | None:
    if image_size is None:
        return None
    pair = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
    if len(pair) != 2 or not all(_is_length(side) for side in pair):
        raise ValueError(
            "`image_size` must be a positive whole number, or two of them, (height, width). "
            f"Received: image_size={image_size!r}"
        )
    return pair


def _is_length(side) -> bool:
    return isinstance(side, numbers.Integral) and not isinstance(side, bool) and side > 0


def _load_digits(image_size, color_mode) -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # Values run from 0 to 16.
    images = np.minimum(digits.images * 16, 255).astype(np.uint8)[..., None]
    if image_size is not None:
        images = _resize(images, image_size).numpy()
    images = in_colors(images, color_mode)
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    classes = tuple(str(name) for name in digits.target_names)
    return ImageData("digits", Examples(train_x, train_y), Examples(test_x, test_y), classes)


def _load_tfds(name: str, data_dir, image_size, color_mode) -> ImageData:
    # Takes a second or two, which the digits need not wait for.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    # A name that it cannot parse or a version that there is not ends in one of the others.
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError):
        if os.path.isfile(name):
            raise ValueError(
                f"{name!r} is a file, and must be a folder of images: unpack an archive, and name the folder that has "
                "the sub-folders."
            ) from None
        near = difflib.get_close_matches(name, ["digits", "idc", *tfds.list_builders()], n=3)
        hint = f" The nearest names: {', '.join(near)}." if near else ""
        raise ValueError(
            f"There is no data set {name!r}: it must be `digits`, `idc`, the path of an existing folder of images, or "
            f"one of TensorFlow Datasets, such as `cifar10`.{hint}"
        ) from None
    _prepare(builder, name)
    features, splits = builder.info.features, builder.info.splits
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    kinds = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    labelled = isinstance(kinds.get("image"), tfds.features.Image) and isinstance(
        kinds.get("label"), tfds.features.ClassLabel
    )
    if not labelled or held_out is None or "train" not in splits:
        raise ValueError(
            f"The data set {name!r} must have images with one label each, and a split `train` and one of `test` and "
            f"`validation`. It has the features {sorted(kinds)} and the splits {sorted(splits)}."
        )
    parts = [_read(builder, name, split, image_size, color_mode) for split in ("train", held_out)]
    return ImageData(name, *parts, classes=tuple(features["label"].names))


def _prepare(builder, name: str):
    """Downloads and prepares a data set, unless it is prepared already."""
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    # A download ends in whatever the network library, the host or the file system raises.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(
            f"The data set {name!r} is not in {builder.data_dir}, and downloading it failed ({reason}): name the "
            "folder where it is prepared by --data-dir or TFDS_DATA_DIR, or use the embedded --tgt digits."
        ) from error


def _read(builder, name: str, split: str, image_size, color_mode) -> Examples:
    examples = builder.as_dataset(split=split, shuffle_files=False)
    count = builder.info.splits[split].num_examples
    if image_size is None and None in builder.info.features["image"].shape:
        image_size = _MIXED_SIZE

    def pair(example):
        image = example["image"]
        return image if image_size is None else _resize(image, image_size), example["label"]

    batches = []
    with tqdm(total=count, desc=f"Reading {name} ({split})", unit="image", delay=2) as bar:
        for batch in examples.map(pair).batch(1000).as_numpy_iterator():
            batches.append(batch)
            bar.update(len(batch[1]))
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return Examples(in_colors(images, color_mode), labels.astype(np.int64))


def _resize(images, image_size: tuple[int, int]):
    import tensorflow as tf

    return tf.cast(tf.round(tf.image.resize(images, image_size, antialias=True)), tf.uint8)


def _list_idc(data_dir, split: str) -> Listing:
    if split not in ("patient", "random"):
        raise ValueError(f"`split` must be 'patient' or 'random'. Received: split={split!r}")
    listing = list_patches(data_dir)
    return listing if split == "patient" else listing._replace(groups=None)


def _load_files(
    name: str, listing: Listing, image_size, color_mode: str, on_corrupt: str, test_share: float
) -> ImageData:
    """The data set of some files, of which a fixed share is the test set unless the listing says which."""
    if on_corrupt not in ("raise", "skip"):
        raise ValueError(f"`on_corrupt` must be 'raise' or 'skip'. Received: on_corrupt={on_corrupt!r}")
    _warn_of_left_out(listing)
    images = ImageFiles(listing.root, listing.files, image_size, color_mode)
    if on_corrupt == "skip":
        readable = images.readable()
        _warn_of_corrupt(listing, readable)
        images, listing = images.take(readable), listing.take(readable)
    _check_classes(listing)
    if listing.test is None and test_share:
        listing = listing._replace(test=draw(listing.labels, test_share, 0, listing.groups))
    _check_parts(listing)
    examples, train = Examples(images, listing.labels), _is_to_train(listing)
    aside = {part: examples.take(mask) for part, mask in _masks(listing).items()}
    groups = None if listing.groups is None else listing.groups[train]
    return ImageData(name, examples.take(train), aside.get("test"), listing.classes, groups, aside.get("validation"))


def _masks(listing: Listing) -> dict[str, np.ndarray]:
    """Masks of the parts that are not to train on, as far as there are such."""
    masks = {"test": listing.test, "validation": listing.validation}
    return {part: mask for part, mask in masks.items() if mask is not None}


def _is_to_train(listing: Listing) -> np.ndarray:
    return ~np.any([np.zeros(len(listing.files), bool), *_masks(listing).values()], axis=0)


def _check_parts(listing: Listing):
    for part, mask in _masks(listing).items():
        if not mask.any():
            use = {"test": "test", "validation": "validate"}[part]
            raise ValueError(
                f"There is no image to {use} on in {listing.root}: add images, at least two of some class, or a folder "
                f"`{part}` with a sub-folder of images per class beside `train`."
            )


def _warn_of_left_out(listing: Listing):
    if listing.left_out:
        warnings.warn(
            f"{sum(listing.left_out.values())} image files in {listing.root} are left out, because Pillow does not "
            f"read them here ({counted(listing.left_out)}): convert them, to JPEG or PNG.",
            # Points at the caller of `load_data`.
            stacklevel=4,
        )


def _warn_of_corrupt(listing: Listing, readable: np.ndarray):
    corrupt = listing.files[~readable]
    if len(corrupt):
        named = ", ".join(corrupt[:3]) + (", …" if len(corrupt) > 3 else "")
        warnings.warn(
            f"{len(corrupt)} of {len(readable)} image files in {listing.root} cannot be read and are left out: {named}",
            # Points at the caller of `load_data`.
            stacklevel=4,
        )


def _check_classes(listing: Listing):
    labels = listing.labels[_is_to_train(listing)]
    counts = np.bincount(labels, minlength=len(listing.classes))
    if not counts.all():
        raise ValueError(
            f"There is no readable image of class {listing.classes[counts.argmin()]!r} to train on in {listing.root}: "
            "add some, or remove the class."
        )
