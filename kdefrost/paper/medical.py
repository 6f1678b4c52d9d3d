"""The transfer from ImageNet to patches of breast tissue, whose network and patches not everyone has."""

import functools
import os

import keras

from kdefrost.data.examples import ImageData
from kdefrost.data.images import load_data
from kdefrost.models.imagenet import imagenet_source
from kdefrost.paper.experiments import MEDICAL
from kdefrost.paper.scales import Medical

_UNPACKED = (
    "the breast cancer patches (Kaggle's `paultimothymooney/breast-histopathology-images`), unpacked as "
    "<patient>/<0 or 1>/<patch>.png"
)
_PATCHES = f"{_UNPACKED}; name that folder by --idc or KDEFROST_IDC_DIR"
_FOLDER = f"the folder of {_UNPACKED}"
_WEIGHTS = {
    "ResNet18": "config.json and model.safetensors of timm/resnet18.tv_in1k from huggingface.co, in a folder of their "
    "own; name it by --weights. The preset laptop takes MobileNetV2 of width 0.35 instead"
}
_OTHER_WEIGHTS = "the weights without top of {} as Keras has them; name the file by --weights"


class MedicalSource:
    """The network and the patches, as far as they are there.

    Args:
        medical: How the transfer is run.
        idc: Folder of the patches; `None` where none is named.
        weights: Where ImageNet's weights are; `None` has them downloaded.
    """

    def __init__(
        self, medical: Medical, idc: str | os.PathLike | None = None, weights: str | os.PathLike | None = None
    ):
        self._medical, self._idc, self._weights = medical, idc, weights

    def check(self):
        """Refuses what was named and cannot be had. What was not named is neither looked for nor downloaded.

        Raises:
            ValueError: If what was named is not what it should be.
            FileNotFoundError: If it is not there.
            ImportError: If the network is ResNet-18, weights are named, and KerasHub is not installed.
        """
        if self._idc is not None:
            if not os.path.isdir(self._idc):
                raise FileNotFoundError(f"There is no folder {os.fspath(self._idc)}; `idc` (--idc) must be {_FOLDER}.")
            try:
                self.data  # noqa: B018 - to see whether they are there
            except ValueError as error:
                raise ValueError(f"`idc` (--idc) must be {_FOLDER}: {error}") from error
        if self._weights is not None:
            try:
                self.network  # noqa: B018 - to see whether it takes them
            except (ValueError, OSError, ImportError) as error:
                raise type(error)(f"{error} It takes {self._needed}.") from error

    @functools.cached_property
    def missing(self) -> str | None:
        """What is missing, in a sentence that says what to do; `None` where nothing is.

        Raises:
            ValueError: As `check`.
            FileNotFoundError: As `check`.
            ImportError: As `check`.
        """
        self.check()
        what = "ImageNet → IDC is left out: it needs {}; what was run stays, and the same command adds it then."
        if self._idc is None:
            return what.format(_PATCHES)
        try:
            self.network  # noqa: B018 - to see whether it can be downloaded
        except (ValueError, OSError, ImportError) as error:
            return what.format(f"{self._needed} ({error})")
        return None

    @property
    def _needed(self) -> str:
        """The weights that the network takes, in words."""
        return _WEIGHTS.get(self._medical.network, _OTHER_WEIGHTS.format(self._medical.network))

    @functools.cached_property
    def network(self) -> keras.Model:
        """The network, from raw images to features."""
        return imagenet_source(self._medical.network, self._weights, self._medical.image_size)

    @functools.cached_property
    def data(self) -> ImageData:
        """The patches, a fifth of them to test on, drawn as the paper says: whoever the patients are."""
        return load_data(MEDICAL, self._idc, image_size=self._medical.image_size, split="random")
