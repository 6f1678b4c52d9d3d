"""Source models from files."""

import json
import os
import zipfile

import h5py
import keras

from kdefrost.arguments import as_path
from kdefrost.models.archive import check_archive
from kdefrost.models.imagenet import imagenet_source


def load_source(
    name_or_path: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    trust: bool = False,
) -> keras.Model:
    """Loads a trained model: one trained on ImageNet by its name, any other from a `.keras` file.

    Args:
        name_or_path: `imagenet:` with a name that `imagenet_source` takes, such as
            `imagenet:ResNet50` or `imagenet:MobileNetV2:0.35`; or the file.
        weights: File of the ImageNet weights; `None` downloads them.
        image_size: Height and width of the images that an ImageNet model is to take, or one
            number for both; `None` for those that it was trained on.
        trust: Whether Python code that a file holds, as in a Lambda layer, may run. By default no file runs any.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read as a Keras model or holds code that is not trusted,
            `weights` or `image_size` is given with it, or `imagenet_source` refuses.
        ImportError: If `imagenet:ResNet18` is asked for and KerasHub is not installed.

    Example:

    >>> kdefrost.load_source("imagenet:MobileNetV2:0.35", weights="notop.weights.h5", image_size=96).input.shape
    (None, 96, 96, 3)
    """
    as_path("name_or_path", name_or_path, "a name such as imagenet:ResNet50, or the path of a file")
    if str(name_or_path).startswith("imagenet:"):
        return imagenet_source(str(name_or_path).removeprefix("imagenet:"), weights, image_size)
    given = [key for key, value in {"weights": weights, "image_size": image_size}.items() if value is not None]
    if given:
        raise ValueError(
            f"`{'` and `'.join(given)}` belong to a source such as imagenet:ResNet50; the file {name_or_path} brings "
            "its own."
        )
    return _read_model(name_or_path, trust)


def _read_model(path: str | os.PathLike, trust: bool) -> keras.Model:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no source file {path}.")
    try:
        if str(path).endswith(".keras"):
            check_archive(path)
        model = keras.models.load_model(path, compile=False, safe_mode=not trust)
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds a {type(model).__name__}, which is no model")
        return model
    # A damaged file ends in whatever zipfile, h5py, json or a layer raises.
    except Exception as error:
        # Keras's words where it refuses to run code.
        if not trust and "safe_mode" in str(error):
            where = " and ".join(map(repr, _lambdas(path))) or "some layer"
            raise ValueError(
                f"The source file {path} holds Python code of a Lambda layer ({where}), which would run here, with all "
                "that you may do. If you trust whoever made it, give `trust=True` (--trust)."
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"The source file {path} cannot be read as a .keras model: {reason}") from error


def _lambdas(path: str | os.PathLike) -> list[str]:
    """The names of the layers in a file that hold code, read without running any."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            return _lambdas_in(json.loads(file.read("config.json")))
    with h5py.File(path) as file:
        return _lambdas_in(json.loads(file.attrs["model_config"]))


def _lambdas_in(config) -> list[str]:
    if not isinstance(config, (dict, list)):
        return []
    is_layer = isinstance(config, dict) and "name" in config and "__lambda__" in json.dumps(config.get("function"))
    inside = config.values() if isinstance(config, dict) else config
    return [config["name"]] if is_layer else [name for each in inside for name in _lambdas_in(each)]
