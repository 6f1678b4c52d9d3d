"""The paper's experiments as a table: which sources, targets, sizes and repeats each of its figures is drawn from.

The numbers are those of Gerace, Doimo, Sarao Mannelli, Saglietti and Laio, "Optimal transfer protocol by incremental
layer defrosting" (2023). A preset says what stands for them where less is run; see `scales`.
"""

import dataclasses
from collections.abc import Iterable

# In the place of a size: all training images there are.
FULL = None
# In the place of a source: nothing is transferred. Training from scratch is the same whatever the source.
SCRATCH = "scratch"
IMAGENET, MEDICAL = "imagenet", "idc"


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Defrosting profiles from a source to a target.

    Attributes:
        source: What the source network was trained on: a clone of CIFAR-10, CIFAR-10 itself, or ImageNet.
        target: A data set, or a clone of CIFAR-10.
        per_class: Sizes of the training sets, in images per class; `FULL` for all images.
        repeats: Number of seeds.
    """

    source: str
    target: str
    per_class: tuple[int | None, ...]
    repeats: int = 5

    @property
    def name(self) -> str:
        """What it is called, in folders and files."""
        return f"{self.source}-{self.target}"


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of networks that are compared layer by layer on the target's test images, each trained from scratch.

    Attributes:
        source: What the first network of a pair was trained on.
        target: What the second one was trained on.
        repeats: Number of pairs.
    """

    source: str
    target: str
    repeats: int = 5


@dataclasses.dataclass(frozen=True)
class Springs:
    """Trainings on all images of a target whose first layers are held near a source's, for several strengths.

    Attributes:
        source: What the source network was trained on.
        target: What is trained on.
        layers: How many layers with kernels are held.
        repeats: Number of seeds.
    """

    source: str
    target: str
    layers: int
    repeats: int = 5


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure of the paper is drawn from.

    Attributes:
        number: Its number in the paper.
        title: What it shows.
        transfers: Its profiles, one for each panel.
        pairs: Its pairs of networks, one for each line.
        springs: Its trainings under springs.
    """

    number: int
    title: str
    transfers: tuple[Transfer, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    springs: Springs | None = None


def _pairs(*sources: str) -> tuple[Pairs, ...]:
    return tuple(Pairs(source, "cifar10") for source in sources)


def _transfers(*sources: str, per_class: int | None) -> tuple[Transfer, ...]:
    return tuple(Transfer(source, "cifar10", (per_class,)) for source in sources)


_ALL = (
    Figure(
        1,
        "Diverse effectiveness of freezing protocols",
        (
            Transfer("ae256", "cifar10", (128,)),
            Transfer(IMAGENET, MEDICAL, (10_000,)),
            Transfer("cifar10", "gm", (32,)),
            Transfer("ae256", "cifar10", (FULL,)),
        ),
    ),
    Figure(
        3,
        "Effect of the size of the target set",
        (
            Transfer("gm", "cifar10", (16, 64, 256, 1024, FULL), repeats=20),
            Transfer(IMAGENET, MEDICAL, (500, 5000, 10_000, 50_000)),
        ),
    ),
    Figure(4, "Profiles from clones of CIFAR-10", _transfers("isogm", "gm", "ae256", per_class=384)),
    Figure(5, "Compliant learning", springs=Springs("gm", "cifar10", layers=10)),
    Figure(
        6,
        "Similarity of representations, and profiles",
        _transfers("isogm", "gm", "ae1024", per_class=FULL),
        _pairs("isogm", "gm", "ae1024"),
    ),
    Figure(
        7,
        "Size of the target set and relatedness of the source",
        (
            Transfer("isogm", "cifar10", (8, 64, 256, 1024, FULL)),
            Transfer("ae4", "cifar10", (4, 16, 64, 256, 512)),
            Transfer("ae32", "cifar10", (64, 128, 256, 384, 512)),
            Transfer("ae256", "cifar10", (128, 256, 512, 2048, FULL)),
        ),
    ),
    Figure(8, "Information Imbalance of ever better clones", pairs=_pairs("isogm", "ae4", "ae32", "ae256")),
    Figure(9, "Other measures of similarity", pairs=_pairs("isogm", "gm", "ae256")),
)
FIGURES = {figure.number: figure for figure in _ALL}


def numbers_of(words: Iterable[str]) -> list[int]:
    """The figures that are asked for.

    Args:
        words: Their numbers, or `all`.

    Returns:
        The numbers, in order, each once.

    Raises:
        ValueError: If there is none of that number.
    """
    words = list(words)
    if "all" in words:
        return list(FIGURES)
    known = {str(number): number for number in FIGURES}
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        there = ", ".join(f"{number} ({figure.title})" for number, figure in FIGURES.items())
        raise ValueError(
            f"`figure` (--figure) must be numbers of these, or all: {there}. The paper's Figure 2 is a drawing of the "
            f"procedure. Received: {' '.join(unknown) or 'none'}"
        )
    return sorted({known[word] for word in words})


@dataclasses.dataclass(frozen=True)
class SetSize:
    """How large a data set is, for plans that load none.

    Attributes:
        classes: Number of classes.
        train: Number of training images.
        smallest: Number of training images of the smallest class.
        test: Number of test images.
        shape: Height, width and channels of an image.
    """

    classes: int
    train: int
    smallest: int
    test: int
    shape: tuple[int, int, int]


SETS = {
    "digits": SetSize(10, 1437, 139, 360, (8, 8, 1)),
    "cifar10": SetSize(10, 50_000, 5_000, 10_000, (32, 32, 3)),
    # 277,524 patches of 50×50, of which 78,786 are positive; four fifths are to train on.
    MEDICAL: SetSize(2, 222_019, 63_029, 55_505, (50, 50, 3)),
}
