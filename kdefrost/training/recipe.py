"""How a network is trained: recipes, and the table of presets."""

import dataclasses
import math
import numbers

from kdefrost.arguments import as_whole, check_number


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a source or a tail is trained.

    The defaults are those of the paper (Gerace et al., 2023) except for the number of
    epochs.

    Args:
        epochs: Number of times that every training example is seen.
        batch_size: Number of examples per step; an epoch's last batch holds what is left.
        learning_rate: The highest learning rate: that of the first step, or of the first
            after the warm-up.
        momentum: Momentum β, from 0 to below 1; Adam's decay of its first moment. It is that of PyTorch,
            in which the paper's networks were trained: v ← β v + gradient, w ← w − rate · v. Keras
            keeps rate · v instead, each gradient with the rate of its own step, which where the rate
            falls within some 20 steps is another training.
        weight_decay: Factor of the weights that is added to their gradient (L2
            regularisation, which is what PyTorch's SGD calls weight decay).
        batch_norm_momentum: Momentum of batch normalisation's moving statistics in tails. A
            small set has few steps: with Keras's 0.99, or the 0.999 of some networks, the
            statistics would stay near their start.
        schedule: `"cosine"` lets the learning rate fall to the final one along half a
            cosine, step by step; `"constant"` keeps it.
        optimizer: `"sgd"`, stochastic gradient descent with momentum; or `"adam"` (Kingma &
            Ba, 2015, arXiv:1412.6980).
        warmup_epochs: Number of epochs, fewer than `epochs`, in which the learning rate rises
            from 0 to the highest along a straight line, step by step.
        final_learning_rate: Learning rate in which the cosine ends, at most the highest.

    Raises:
        ValueError: If a number is out of its range, or the schedule is unknown.

    Example:

    >>> kdefrost.Recipe(epochs=60).steps(640)
    300
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_norm_momentum: float = 0.9
    schedule: str = "cosine"
    optimizer: str = "sgd"
    warmup_epochs: int = 0
    final_learning_rate: float = 0.0

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            as_whole(name, getattr(self, name), least=1)
        for field in dataclasses.fields(Recipe):
            if field.type is float:
                check_number(field.name, getattr(self, field.name))
        if not self.learning_rate > 0 or not math.isfinite(self.learning_rate):
            raise ValueError(f"`learning_rate` must be positive. Received: learning_rate={self.learning_rate}")
        for name in ("momentum", "batch_norm_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"`weight_decay` must be at least 0. Received: weight_decay={self.weight_decay}")
        for name, known in {"schedule": SCHEDULES, "optimizer": OPTIMIZERS}.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}"
                )
        warmup = self.warmup_epochs
        if isinstance(warmup, bool) or not isinstance(warmup, numbers.Integral) or not 0 <= warmup < self.epochs:
            raise ValueError(
                f"`warmup_epochs` must be a whole number from 0 to below `epochs`. Received: warmup_epochs={warmup!r}, "
                f"epochs={self.epochs}"
            )
        if not 0 <= self.final_learning_rate <= self.learning_rate:
            raise ValueError(
                "`final_learning_rate` must be from 0 to `learning_rate`. Received: "
                f"final_learning_rate={self.final_learning_rate}, learning_rate={self.learning_rate}"
            )
        # The same recipe is the same question, whether its numbers are Python's or NumPy's, 0 or 0.0.
        for field in dataclasses.fields(Recipe):
            if field.type in (int, float):
                object.__setattr__(self, field.name, field.type(getattr(self, field.name)))

    def steps(self, examples: int) -> int:
        """Number of gradient steps of a training on so many examples."""
        return self.epochs * math.ceil(examples / self.batch_size)


SCHEDULES = ("cosine", "constant")
OPTIMIZERS = ("sgd", "adam")


@dataclasses.dataclass(frozen=True)
class AutoencoderRecipe(Recipe):
    """How an autoencoder is trained; the defaults are the paper's.

    Args:
        dtype: `"float32"`; or `"mixed_bfloat16"`, to multiply in half precision where the
            processor does that faster, with weights and sums in float32.
        **others: Those of `Recipe`.

    Raises:
        ValueError: As `Recipe`, or if `dtype` is another.

    Example:

    >>> kdefrost.AutoencoderRecipe(epochs=20, warmup_epochs=1).steps(50000)
    3920
    """

    epochs: int = 500
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    optimizer: str = "adam"
    warmup_epochs: int = 100
    final_learning_rate: float = 1e-5
    dtype: str = "float32"

    def __post_init__(self):
        super().__post_init__()
        if self.dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}. Received: dtype={self.dtype!r}")


DTYPES = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Preset:
    """All that makes the size of an experiment.

    Attributes:
        model: Name of the network, for `build_model`.
        source: Recipe of the source, trained on its whole data set.
        target: Recipe of the tails.
        autoencoder: Recipe of the autoencoders, of which a source can be a clone.
        per_class: Sizes of the target's training sets, in examples per class.
        seeds: Number of repeats.
    """

    model: str
    source: Recipe
    target: Recipe
    autoencoder: AutoencoderRecipe
    per_class: tuple[int, ...]
    seeds: int


PRESETS = {
    "smoke": Preset(
        "wide_resnet_10_1",
        source=Recipe(epochs=2),
        target=Recipe(epochs=4),
        autoencoder=AutoencoderRecipe(epochs=2, warmup_epochs=1),
        per_class=(4, 16),
        seeds=2,
    ),
    "laptop": Preset(
        "wide_resnet_16_1",
        source=Recipe(epochs=8),
        target=Recipe(epochs=60),
        # Small batches: for the same time more steps. Chosen on held-out training images of CIFAR-10.
        autoencoder=AutoencoderRecipe(
            epochs=15, batch_size=64, learning_rate=2e-3, warmup_epochs=1, dtype="mixed_bfloat16"
        ),
        per_class=(4, 32, 256),
        seeds=3,
    ),
    "paper": Preset(
        "wide_resnet_28_4",
        source=Recipe(epochs=200),
        target=Recipe(epochs=200),
        autoencoder=AutoencoderRecipe(),
        per_class=(16, 64, 256, 1024, 5000),
        seeds=20,
    ),
}
