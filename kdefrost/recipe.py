"""How a network is trained: recipes, and the table of presets."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a source or a tail is trained, by stochastic gradient descent with momentum.

    The defaults are those of the paper (Gerace et al., 2023) except for the number of
    epochs.

    Args:
        epochs: Number of times that every training example is seen.
        batch_size: Number of examples per step; an epoch's last batch holds what is left.
        learning_rate: Learning rate of the first step.
        momentum: Momentum, from 0 to below 1.
        weight_decay: Factor of the weights that is added to their gradient (L2
            regularisation, which is what PyTorch's SGD calls weight decay).
        batch_norm_momentum: Momentum of batch normalisation's moving statistics in tails. A
            small set has few steps: with Keras's 0.99, or the 0.999 of some networks, the
            statistics would stay near their start.
        schedule: `"cosine"` lets the learning rate fall to zero along half a cosine, step
            by step; `"constant"` keeps it.

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

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a whole number, at least 1. Received: {name}={value!r}")
        if not self.learning_rate > 0 or not math.isfinite(self.learning_rate):
            raise ValueError(f"`learning_rate` must be positive. Received: learning_rate={self.learning_rate}")
        for name in ("momentum", "batch_norm_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"`weight_decay` must be at least 0. Received: weight_decay={self.weight_decay}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: schedule={self.schedule!r}")

    def steps(self, examples: int) -> int:
        """Number of gradient steps of a training on so many examples."""
        return self.epochs * math.ceil(examples / self.batch_size)


SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True)
class Preset:
    """All that makes the size of an experiment.

    Attributes:
        model: Name of the network, for `build_model`.
        source: Recipe of the source, trained on its whole data set.
        target: Recipe of the tails.
        per_class: Sizes of the target's training sets, in examples per class.
        seeds: Number of repeats.
    """

    model: str
    source: Recipe
    target: Recipe
    per_class: tuple[int, ...]
    seeds: int


PRESETS = {
    "smoke": Preset("wide_resnet_10_1", Recipe(epochs=2), Recipe(epochs=4), per_class=(4, 16), seeds=2),
    "laptop": Preset("wide_resnet_16_1", Recipe(epochs=8), Recipe(epochs=60), per_class=(4, 32, 256), seeds=3),
    "paper": Preset(
        "wide_resnet_28_4", Recipe(epochs=200), Recipe(epochs=200), per_class=(16, 64, 256, 1024, 5000), seeds=20
    ),
}
