"""The target's images: as the source takes them, and which of them train, choose the cut and test."""

import argparse
import dataclasses
import math
from pathlib import Path

from kdefrost_commands import command

# The paper scores on up to 10,000 patches, as many of each class.
IDC_TEST_PER_CLASS = 5000
# Standard error of an accuracy, in percentage points, above which a tenth held out is too little to choose on.
MOST_ERROR = 1.5
# As for `Defroster.profile`.
FOLDS = 3
# Cuts in a row that are worse, after which earlier ones are left out where folds choose.
PATIENCE = 1


def folds_or_none(text: str) -> int | str:
    """What `--folds` takes."""
    return _number_or_none(text, least=2)


def patience_or_none(text: str) -> int | str:
    """What `--patience` takes."""
    return _number_or_none(text, least=1)


def _number_or_none(text: str, least: int) -> int | str:
    if text == "none":
        return text
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least {least}, or none, not {text}")
    return int(text)


def load_target(arguments, network):
    """The target's images, in the size and the colours that a trained source takes."""
    import kdefrost
    from kdefrost.data.colors import mode_of

    size, color_mode = arguments.image_size, None
    if network is not None:
        from kdefrost.cutting.channels import CHANNELS_FIRST, input_format_of
        from kdefrost.cutting.graph import Graph

        kdefrost.cut_points(network)
        shape = network.inputs[0].shape[1:]
        if len(shape) != 3:
            raise ValueError(f"{arguments.src} must take images (height, width, channels); it takes {shape}.")
        if input_format_of(Graph(network)) == CHANNELS_FIRST:
            raise ValueError(
                f"{arguments.src} must take images with channels last; it takes {shape}, channels first. Put a layer "
                "before it: inputs = keras.Input((height, width, channels)); keras.Model(inputs, "
                "model(keras.layers.Permute((3, 1, 2))(inputs)))."
            )
        color_mode = mode_of(shape[2])
        size = shape[:2] if size is None else size
    return kdefrost.load_data(
        arguments.tgt,
        arguments.data_dir,
        image_size=size,
        color_mode=color_mode,
        split=arguments.split,
        on_corrupt=arguments.on_corrupt,
        # Whether some are set aside depends on how the cut is chosen; a clone needs images to test on as well.
        test_share=0.0 if network is not None and is_folder(arguments.tgt) else 0.2,
        parts=as_parts(arguments.parts),
    )


def as_parts(words: list[str] | None) -> dict[str, str] | None:
    """What `load_data` takes for `parts`, of words such as `train=fold1`; `none` says that there are none."""
    if words in (None, ["none"]):
        return None if words is None else {}
    if not all("=" in word for word in words):
        raise ValueError(f"--parts must be such as train=fold1 test=fold2, or none. Received: {' '.join(words)}")
    return dict(word.split("=", 1) for word in words)


def is_folder(target: str) -> bool:
    """Whether `load_data` takes a target for a folder of images, whatever lies beside it."""
    return target not in ("digits", "idc") and Path(target).is_dir()


def choose_trials(data, preset, arguments) -> dict:
    """Arguments of `Defroster.profile`: the target's examples, sizes, seeds and folds.

    A folder's own validation images choose the cut. Of a folder without such, all images are trained on unless
    sizes are given, and they choose the cut by folds where a tenth held out would be too few. Else a tenth of the
    training images is held out to choose on, unless a size asks for more than the rest has; of a preset's own sizes,
    those that the data cannot give are left out.
    """
    available, own = data.train.smallest_class, is_folder(arguments.tgt)
    sizes = arguments.per_class
    if sizes is None and not own and arguments.folds in (None, "none"):
        sizes = [size for size in preset.per_class if size <= available] or [max(1, available)]
    folds = choose_folds(data, sizes, arguments.folds, own)
    common = {
        "per_class": sizes,
        "classes": len(data.classes),
        "test_per_class": IDC_TEST_PER_CLASS if arguments.tgt == "idc" else None,
        "jobs": arguments.jobs,
    }
    if folds is not None:
        divided = {"groups": data.groups, "seeds": 1 if arguments.seeds is None else arguments.seeds}
        divided["patience"] = choose_patience(arguments.patience, PATIENCE)
        return {"train": data.train, "test": data.test, "validation": None, "folds": folds, **divided, **common}
    data = with_test(data)
    patience = choose_patience(arguments.patience, None)
    return {**held_out(data, sizes), "test": data.test, "seeds": preset.seeds, "patience": patience, **common}


def choose_patience(wanted: int | str | None, default: int | None) -> int | None:
    """After how many cuts that are worse earlier ones are left out; `None` where all are tried."""
    return default if wanted is None else None if wanted == "none" else wanted


def choose_folds(data, sizes: list[int] | None, wanted: int | str | None, own: bool) -> int | None:
    """Number of folds that choose the cut, of a user's own folder or as wanted; `None` where a tenth is held out."""
    if wanted not in (None, "none"):
        if data.validation is not None:
            command.say(f"Folds choose the cut: the {len(data.validation.labels)} validation images are left out.")
        return wanted
    if data.validation is not None:
        command.say(f"The {len(data.validation.labels)} validation images choose the cut.")
    if wanted == "none" or data.validation is not None:
        return None
    aside = len(data.train.labels) // 10
    error = 100 * 0.5 / math.sqrt(max(1, aside))
    folds = min(FOLDS, data.train.smallest_class, *(sizes or ()))
    if not own or error <= MOST_ERROR or folds < 2:
        return None
    command.say(
        f"A tenth held out, {aside} images, would tell an accuracy to ± {error:.0f} points: all images serve to train "
        f"and to choose, by {folds} folds (--folds N, or none)."
    )
    return folds


def with_test(data):
    """The data with a fifth set aside for the test, as `load_data` does it, where they have none."""
    import kdefrost

    if data.test is not None:
        return data
    train, test = kdefrost.hold_out(data.train, share=0.2)
    return dataclasses.replace(data, train=train, test=test)


def held_out(data, sizes: list[int] | None) -> dict:
    """The images to train and to choose on: a part of the former, unless there are some for that."""
    import kdefrost

    if data.validation is not None:
        return {"train": data.train, "validation": data.validation}
    train, validation = kdefrost.hold_out(data.train, share=0.1, groups=data.groups)
    if max(sizes or [0]) > train.smallest_class:
        train, validation = data.train, None
    return {"train": train, "validation": validation}
