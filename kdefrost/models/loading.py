"""Source models from files."""

import os

import keras

from kdefrost.models.archive import check_archive
from kdefrost.models.imagenet import imagenet_source


def load_source(
    name_or_path: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> keras.Model:
    """Loads a trained model: one trained on ImageNet by its name, any other from a `.keras` file.

    Args:
        name_or_path: `imagenet:` with a name that `imagenet_source` takes, such as
            `imagenet:ResNet50` or `imagenet:MobileNetV2:0.35`; or the file.
        weights: File of the ImageNet weights; `None` downloads them.
        image_size: Height and width of the images that an ImageNet model is to take, or one
            number for both; `None` for those that it was trained on.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read as a Keras model, `weights` or `image_size` is
            given with it, or `imagenet_source` refuses.
        ImportError: If `imagenet:ResNet18` is asked for and KerasHub is not installed.

    Example:

    >>> kdefrost.load_source("imagenet:MobileNetV2:0.35", weights="notop.weights.h5", image_size=96).input.shape
    (None, 96, 96, 3)
    """
    if str(name_or_path).startswith("imagenet:"):
        return imagenet_source(str(name_or_path).removeprefix("imagenet:"), weights, image_size)
    given = [key for key, value in {"weights": weights, "image_size": image_size}.items() if value is not None]
    if given:
        raise ValueError(
            f"`{'` and `'.join(given)}` belong to a source such as imagenet:ResNet50; the file {name_or_path} brings "
            "its own."
        )
    return _read_model(name_or_path)


def _read_model(path: str | os.PathLike) -> keras.Model:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no source file {path}.")
    try:
        if str(path).endswith(".keras"):
            check_archive(path)
        model = keras.models.load_model(path, compile=False)
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds a {type(model).__name__}, which is no model")
        return model
    # A damaged file ends in whatever zipfile, h5py, json or a layer raises.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"The source file {path} cannot be read as a .keras model: {reason}") from error
