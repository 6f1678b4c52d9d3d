"""What some figures need to be run, each thing once, whichever figures have it in common."""

import dataclasses
from collections.abc import Iterable, Iterator

from kdefrost.clones.making import is_clone
from kdefrost.paper.experiments import FULL, IMAGENET, MEDICAL, SCRATCH, Figure, Springs, Transfer
from kdefrost.paper.scales import Scale
from kdefrost.training.recipe import Recipe

# So much is added to the seed of a target's network, so that the two of a pair start from different weights.
TARGET_SEED = 1000


@dataclasses.dataclass(frozen=True)
class Run:
    """Trials that share a run folder: one source, one target, one network, one recipe.

    Attributes:
        source: What the source was trained on; `SCRATCH` for training from scratch, which all sources share.
        target: The target.
        recipe: How tails are trained.
        repeats: By size, the number of seeds, as pairs.
    """

    source: str
    target: str
    recipe: Recipe
    repeats: tuple[tuple[int | None, int], ...]

    @property
    def is_medical(self) -> bool:
        """Whether it is the transfer from ImageNet, of another network and with cut 0 of its own."""
        return self.target == MEDICAL

    def folder(self, scale: Scale) -> str:
        """The name of its folder, in which nothing else is but what has all of this in common."""
        return folder_of(self.source, self.target, self.recipe, scale)

    def calls(self) -> Iterator[tuple[list[int | None], int]]:
        """Sizes that have as many seeds, and how many: what one call of `Defroster.profile` runs."""
        for repeats in dict.fromkeys(count for size, count in self.repeats if size is not FULL):
            yield [size for size, count in self.repeats if size is not FULL and count == repeats], repeats
        yield from (([FULL], count) for size, count in self.repeats if size is FULL)


def folder_of(source: str, target: str, recipe: Recipe, scale: Scale) -> str:
    """The name of a run folder."""
    model = scale.medical.network.replace(":", "-") if target == MEDICAL else scale.model
    return f"{source}-{target}-{model}-{recipe.epochs}epochs"


@dataclasses.dataclass(frozen=True)
class Work:
    """All that some figures need.

    Attributes:
        runs: Trials of profiles.
        networks: What networks are trained on, and their seeds.
        pairs: Source, target and number of each pair of networks that is compared.
        springs: Trainings under springs.
    """

    runs: tuple[Run, ...]
    networks: tuple[tuple[str, int], ...]
    pairs: tuple[tuple[str, str, int], ...]
    springs: tuple[Springs, ...]

    @property
    def clones(self) -> list[str]:
        """The clones that networks are trained on, and that are targets, each once."""
        names = [*(name for name, _ in self.networks), *(run.target for run in self.runs)]
        return [name for name in dict.fromkeys(names) if is_clone(name)]


def recipe_for(size: int | None, target: str, scale: Scale) -> Recipe:
    """How a tail is trained on so many images per class of a target."""
    if target == MEDICAL:
        return scale.medical.recipe
    return scale.full if size is FULL else scale.tails


def work_of(figures: Iterable[Figure], scale: Scale) -> Work:
    """Puts together what figures need.

    Args:
        figures: Figures as the preset runs them, of `Scale.figure`.
        scale: The preset.

    Returns:
        The `Work`, everything once.
    """
    figures = list(figures)
    transfers = [transfer for figure in figures for transfer in figure.transfers]
    pairs = dict.fromkeys(
        (pair.source, pair.target, number)
        for figure in figures
        for pair in figure.pairs
        for number in range(pair.repeats)
    )
    springs = dict.fromkeys(figure.springs for figure in figures if figure.springs)
    networks = {}
    for source in [*(each.source for each in transfers), *(each.source for each in springs)]:
        if source != IMAGENET:
            networks[source_network(source, scale)] = None
    for source, target, number in pairs:
        networks |= dict.fromkeys([(source, number), (target, TARGET_SEED + number)])
    return Work(_runs(transfers, scale), tuple(networks), tuple(pairs), tuple(springs))


def source_network(source: str, scale: Scale) -> tuple[str, int]:
    """What a transfer's network is trained on, and its seed: one that pairs of networks have too."""
    return source, TARGET_SEED if source == scale.names.get("cifar10", "cifar10") else 0


def _runs(transfers: Iterable[Transfer], scale: Scale) -> tuple[Run, ...]:
    repeats = {}
    for transfer in transfers:
        sources = [transfer.source] if transfer.target == MEDICAL else [SCRATCH, transfer.source]
        for size in transfer.per_class:
            recipe = recipe_for(size, transfer.target, scale)
            for source in sources:
                sizes = repeats.setdefault((source, transfer.target, recipe), {})
                sizes[size] = max(sizes.get(size, 0), transfer.repeats)
    return tuple(Run(*key, tuple(sizes.items())) for key, sizes in repeats.items())
