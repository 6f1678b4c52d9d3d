"""Says what an exported model makes of photographs: a line for each, with the five best classes, best first.

  IMG_0412.jpg: cat 93.1 %, dog 5.2 %, fox 1.7 %

Classes are those that the model was exported with, without names their numbers from 0. Probabilities are in %; of a
model that gives none the outputs are printed as they are.

The function `predict` of the module kdefrost_commands.predict needs TensorFlow, NumPy and Pillow alone: copy it to
wherever the model is used.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from kdefrost_commands import command

EXAMPLES = """examples:
  python scripts/profile.py --src imagenet:MobileNetV2 --tgt photos/ --export saved_models/mine
      writes a model
  python scripts/predict.py saved_models/mine new.jpg
      what it makes of a photograph
  python scripts/predict.py saved_models/mine new/*.jpg > answers.txt
      what it makes of many

Photographs are read as those of the folder that was trained on: upright, as phones note in them, in the colours that
the model takes, and stretched to its size."""
# As many classes fit a line.
BEST = 5


def parse_arguments() -> argparse.Namespace:
    parser = command.parser(__doc__, EXAMPLES)
    parser.add_argument("folder", metavar="MODEL", help="folder that --export or kdefrost.export has written")
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="image files")
    return parser.parse_args()


def main():
    command.main(lambda: run(parse_arguments()), "The lines that were printed stand.")


def run(arguments: argparse.Namespace) -> Callable[[], None]:
    """Checks the arguments, and gives the work that they ask for."""
    folder = Path(arguments.folder)
    if not (folder / "saved_model.pb").is_file():
        raise ValueError(f"MODEL must be a folder that --export or kdefrost.export has written. Received: {folder}")
    gone = [photo for photo in arguments.photos if not Path(photo).is_file()]
    if gone:
        raise ValueError(f"PHOTO must be image files. Received: {gone[0]}, which is none")
    # After parsing, so that --help and a mistyped option answer at once.
    with command.without_notes():
        kind, answers = predict(str(folder), arguments.photos)
    return lambda: print_answers(kind, arguments.photos, answers)


def predict(folder: str, photos: list[str]) -> tuple[str, Iterator[list[tuple[str, float]]]]:
    """Asks an exported model about photographs.

    Args:
        folder: Folder of the model, which takes images of one size, grey or in colour.
        photos: Paths of image files.

    Returns:
        What the model gives, `"probabilities"` or `"outputs"`, and for each photograph, in turn, the names and
        probabilities of all classes, best first; of a model without classes its outputs, in order.
    """
    import contextlib

    import numpy as np
    import tensorflow as tf
    from PIL import Image, ImageOps

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    ((argument, taken),) = signature.structured_input_signature[1].items()
    kind = next(name for name in signature.structured_outputs if name != "class_names")
    given = signature.structured_outputs[kind].shape
    takes_photos = taken.shape.rank == 4 and None not in taken.shape[1:] and taken.shape[3] in (1, 3)
    if not takes_photos or taken.shape[0] not in (None, 1) or given.rank != 2:
        raise ValueError(
            f"MODEL must take single images of one size, with 1 or 3 channels, and give a row of numbers for each. "
            f"That in {folder} takes {taken.shape} and gives {given}"
        )

    def read(photo):
        with Image.open(photo) as file:
            file.load()
            file.info.pop("transparency", None)
            # Phones store an upright photograph lying on its side, and note that in the file.
            with contextlib.suppress(Exception):
                ImageOps.exif_transpose(file, in_place=True)
            image = file
            # Pillow would clip deeper grey at 255.
            if file.mode.startswith("I;16") or (file.mode == "I" and file.format == "PNG"):
                image = Image.fromarray(np.rint(np.asarray(file) / 257).astype(np.uint8))
            elif file.mode in ("I", "F"):
                raise ValueError("it has 32 bits per pixel, whose range is not known")
            image = image.convert("L" if taken.shape[3] == 1 else "RGB")
        return image.resize((taken.shape[2], taken.shape[1]), Image.Resampling.BILINEAR)

    def ask(photo):
        try:
            pixels = np.asarray(read(photo)).reshape(1, *taken.shape[1:])
        # A broken file ends in whatever the decoder of its format stumbles over.
        except Exception as error:
            raise ValueError(f"The image file {photo} cannot be read: {error}") from error
        # Asked for here, because a signature works only as long as the model is there.
        outputs = loaded.signatures["serving_default"](**{argument: tf.cast(pixels, taken.dtype)})
        values = outputs[kind].numpy()[0].tolist()
        if "class_names" not in outputs:
            answers = [(str(number), value) for number, value in enumerate(values)]
            return sorted(answers, key=lambda answer: -answer[1]) if kind == "probabilities" else answers
        names = [name.decode() for name in outputs["class_names"].numpy()[0]]
        return sorted(zip(names, values, strict=True), key=lambda answer: -answer[1])

    return kind, map(ask, photos)


def print_answers(kind: str, photos: list[str], answers: Iterator[list[tuple[str, float]]]):
    """Prints a line for each photograph as it is answered."""
    for photo, answer in zip(photos, answers, strict=True):
        print(f"{photo}: {', '.join(in_words(kind, *each) for each in answer[:BEST])}", flush=True)


def in_words(kind: str, name: str, value: float) -> str:
    # Names of folders may have several lines.
    name = " ".join(name.split())
    return f"{name} {100 * value:.1f} %" if kind == "probabilities" else f"{name} {value:.4g}"
