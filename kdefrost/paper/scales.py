"""The presets: what stands for the paper's networks, epochs, sizes, repeats and cuts where less is run."""

import dataclasses
import math
from collections.abc import Mapping

from kdefrost.compliance.strengths import STRENGTHS
from kdefrost.paper.experiments import FIGURES, Figure, Pairs, Springs, Transfer
from kdefrost.training.recipe import PRESETS, AutoencoderRecipe, Recipe


@dataclasses.dataclass(frozen=True)
class Medical:
    """How the transfer from ImageNet to the patches of breast tissue is run.

    Attributes:
        network: The network with ImageNet's weights, as `imagenet_source` takes it.
        image_size: Height and width to which patches are resized.
        recipe: How tails are trained.
        cuts: As `Defroster` takes them.
        test_per_class: Most patches of each class that a seed is scored on.
    """

    network: str
    image_size: int
    recipe: Recipe
    cuts: str | int
    test_per_class: int


@dataclasses.dataclass(frozen=True)
class Scale:
    """A preset: how much of the paper's experiments is run.

    Attributes:
        name: Its name.
        model: The network of all experiments but the medical one.
        source: How source networks, and the target's in pairs, are trained.
        tails: How tails are trained on a number of images per class.
        full: How they are trained on all images.
        autoencoder: How autoencoders are trained.
        cuts: As `Defroster` takes them.
        medical: The medical experiment.
        names: What stands for the paper's sources and targets, of those that differ.
        sizes: What stands for the paper's sizes, of those that differ. Sizes that become equal are run once.
        repeats: Number of repeats in the place of the paper's, `None` for these.
        held_layers: Number of layers that springs hold, `None` for the paper's.
        held_per_class: Images per class that networks under springs are trained on, `None` for all.
        strengths: Strengths of springs.
        compared_images: Number of test images that pairs of networks are compared on.
        holds_out: Share of the training images that is held out to choose the cut. With 0 the test images choose, as
            in the paper.
        rate: Floating-point operations per second that plans count on, and `machine` what that is.
        machine: The machine in words.
        overhead: Seconds that plans count for each tail, network or pair, for tracing, compilation, reading.
    """

    name: str
    model: str
    source: Recipe
    tails: Recipe
    full: Recipe
    autoencoder: AutoencoderRecipe
    cuts: str | tuple[int, ...]
    medical: Medical
    names: Mapping[str, str]
    sizes: Mapping[int, int]
    repeats: int | None
    held_layers: int | None
    held_per_class: int | None
    strengths: tuple[float, ...]
    compared_images: int
    holds_out: float
    rate: float
    machine: str
    overhead: float

    def share_held_out(self, medical: bool, classes: int, train: int) -> float:
        """Share of the training images that is held out: of very many patches as many as a seed is tested on.

        Args:
            medical: Whether they are patches.
            classes: Number of classes.
            train: Number of training images.
        """
        return min(self.holds_out, classes * self.medical.test_per_class / train) if medical else self.holds_out

    def figure(self, number: int) -> Figure:
        """A figure's experiments as this preset runs them."""
        paper = FIGURES[number]
        return dataclasses.replace(
            paper,
            transfers=tuple(self._transfer(each) for each in paper.transfers),
            pairs=tuple(Pairs(*self._names(each), self._repeats(each.repeats)) for each in paper.pairs),
            springs=paper.springs and self._springs(paper.springs),
        )

    def _transfer(self, transfer: Transfer) -> Transfer:
        sizes = dict.fromkeys(self.sizes.get(size, size) for size in transfer.per_class)
        return Transfer(*self._names(transfer), tuple(sizes), self._repeats(transfer.repeats))

    def _springs(self, springs: Springs) -> Springs:
        layers = springs.layers if self.held_layers is None else self.held_layers
        return Springs(*self._names(springs), layers, self._repeats(springs.repeats))

    def _names(self, experiment: Transfer | Pairs | Springs) -> tuple[str, str]:
        return tuple(self.names.get(name, name) for name in (experiment.source, experiment.target))

    def _repeats(self, repeats: int) -> int:
        return repeats if self.repeats is None else self.repeats


_MOBILE = "MobileNetV2:0.35"
_PAPER = PRESETS["paper"]
SCALES = {
    "smoke": Scale(
        "smoke",
        model="wide_resnet_10_1",
        source=Recipe(epochs=2),
        tails=Recipe(epochs=4),
        full=Recipe(epochs=2),
        autoencoder=AutoencoderRecipe(epochs=20, batch_size=64, learning_rate=2e-3, warmup_epochs=1),
        cuts=(0, 2, 3, 4),
        medical=Medical(_MOBILE, 96, Recipe(epochs=4), cuts=3, test_per_class=100),
        names={"cifar10": "digits", "ae4": "ae2", "ae32": "ae8", "ae256": "ae32", "ae1024": "ae32"},
        sizes={
            **dict.fromkeys((8, 16, 32), 4),
            **dict.fromkeys((64, 128, 256, 384, 512, 1024, 2048), 16),
            **{500: 4, 5000: 8, 10_000: 8, 50_000: 16},
        },
        repeats=2,
        held_layers=6,
        held_per_class=16,
        strengths=(0.0, 0.01, 1.0, math.inf),
        compared_images=360,
        holds_out=0.1,
        rate=5e9,
        machine="two cores, on which images of 8×8 leave most of the time to what is beside arithmetic",
        overhead=2.0,
    ),
    "laptop": Scale(
        "laptop",
        model="wide_resnet_16_1",
        source=Recipe(epochs=5),
        tails=Recipe(epochs=30),
        full=Recipe(epochs=5),
        autoencoder=AutoencoderRecipe(
            epochs=8, batch_size=64, learning_rate=2e-3, warmup_epochs=1, dtype="mixed_bfloat16"
        ),
        cuts=(0, 3, 4, 5, 6, 7),
        medical=Medical(_MOBILE, 96, Recipe(epochs=30), cuts=6, test_per_class=1000),
        names={"ae1024": "ae256"},
        sizes={
            **dict.fromkeys((4, 8), 16),
            **{128: 64},
            **dict.fromkeys((384, 512, 1024, 2048), 256),
            **{500: 50, 5000: 200, 10_000: 500, 50_000: 1500},
        },
        repeats=3,
        held_layers=None,
        held_per_class=1000,
        strengths=(0.0, 1e-3, 1e-2, 1e-1, 1.0, math.inf),
        compared_images=4000,
        holds_out=0.1,
        rate=80e9,
        machine="two cores without AVX-512 and without other work (docs/speed.md)",
        overhead=4.0,
    ),
    "paper": Scale(
        "paper",
        model=_PAPER.model,
        source=_PAPER.source,
        tails=_PAPER.target,
        full=_PAPER.target,
        autoencoder=_PAPER.autoencoder,
        cuts="blocks",
        medical=Medical("ResNet18", 224, _PAPER.target, cuts="blocks", test_per_class=5000),
        names={},
        sizes={},
        repeats=None,
        held_layers=None,
        held_per_class=None,
        strengths=STRENGTHS,
        compared_images=10_000,
        holds_out=0.0,
        # A tenth of 495 TFLOP/s, which an H100's TF32 is said to reach: an assumption, not a measurement.
        rate=49.5e12,
        machine="one H100 at a tenth of the 495 TFLOP/s of its TF32 products, which is assumed, not measured",
        overhead=20.0,
    ),
}
