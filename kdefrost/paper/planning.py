"""What figures take, by the table alone: operations, time, disk. No data set is read, nothing is trained."""

import dataclasses
import functools
import math
from collections.abc import Iterable

import keras

from kdefrost.clones.autoencoders import autoencoder
from kdefrost.clones.making import bottleneck
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import cut_points
from kdefrost.models.networks import build_model
from kdefrost.models.resnets import resnet18
from kdefrost.paper.experiments import FULL, MEDICAL, SCRATCH, SETS, Figure, SetSize, Springs
from kdefrost.paper.scales import Medical, Scale
from kdefrost.paper.work import Run, Work, work_of
from kdefrost.training.recipe import Recipe

# A number in float32.
_BYTES = 4
# Forward, and twice that backward; two operations for a multiply-add.
_TRAINING, _FORWARD = 6.0, 2.0
# What several things take more than the largest of them.
_SUMMED = ("trials", "flops", "pieces", "kept", "tails")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What something takes.

    Attributes:
        trials: Number of trainings of tails, and of networks under springs.
        flops: Floating-point operations.
        pieces: Number of tails, networks and pairs that are traced and compiled.
        kept: Bytes of sources, autoencoders and clones.
        tails: Bytes of best tails, which are kept with the trials.
        features: Bytes of the largest features of a run. What exceeds memory goes to disk where there is room, else it
            is computed again.
    """

    trials: int = 0
    flops: float = 0.0
    pieces: int = 0
    kept: int = 0
    tails: int = 0
    features: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        parts = (getattr(self, name) + getattr(other, name) for name in _SUMMED)
        return Cost(*parts, max(self.features, other.features))

    @property
    def disk(self) -> int:
        """Bytes of all that is kept."""
        return self.kept + self.tails

    def seconds(self, scale: Scale) -> float:
        """The time that it takes at the rate of a preset's machine."""
        return self.flops / scale.rate + self.pieces * scale.overhead


def cost_of(figures: Iterable[Figure], scale: Scale) -> Cost:
    """What some figures take from nothing, what they have in common once.

    Args:
        figures: Figures as the preset runs them, of `Scale.figure`.
        scale: The preset.

    Returns:
        The `Cost`.

    Raises:
        ImportError: If ResNet-18 is among the networks and KerasHub is not installed.
    """
    return Costs(scale).of(work_of(figures, scale))


class Costs:
    """Costs under a preset, whose networks are built once.

    Args:
        scale: The preset.
    """

    def __init__(self, scale: Scale):
        self._scale, self._set = scale, SETS[scale.names.get("cifar10", "cifar10")]
        self._autoencoders: dict[int, Cut] = {}

    def of(self, work: Work) -> Cost:
        """What some work takes from nothing."""
        parts = [self.network for _ in work.networks]
        parts += [self.clone(name) + self.autoencoder(name) for name in work.clones]
        parts += [self._run(run) for run in work.runs]
        parts += [self._pair for _ in work.pairs]
        parts += [self._springs(springs) for springs in work.springs]
        return sum(parts, Cost())

    @functools.cached_property
    def network(self) -> Cost:
        """Training a source network."""
        start = self._cuts[0]
        flops = _TRAINING * start.multiply_adds * self._scale.source.epochs * self._set.train
        return Cost(flops=flops, pieces=1, kept=_BYTES * start.params)

    def clone(self, name: str) -> Cost:
        """Making a clone, of an autoencoder by one that is trained."""
        images = self._set.train + self._set.test
        whole = self._whole(name)
        flops = 0.0 if whole is None else _FORWARD * whole.multiply_adds * images
        return Cost(flops=flops, kept=_BYTES * images * math.prod(self._set.shape))

    def autoencoder(self, name: str) -> Cost:
        """Training the autoencoder of a clone; nothing for clones that are sampled."""
        whole = self._whole(name)
        if whole is None:
            return Cost()
        flops = _TRAINING * whole.multiply_adds * self._scale.autoencoder.epochs * self._set.train
        return Cost(flops=flops, pieces=1, kept=_BYTES * whole.params)

    def _whole(self, name: str) -> Cut | None:
        """The whole of a clone's autoencoder."""
        numbers = bottleneck(name)
        if numbers is not None and numbers not in self._autoencoders:
            self._autoencoders[numbers] = cut_points(autoencoder(numbers, self._set.shape))[0]
        return self._autoencoders.get(numbers)

    def tail(self, run: Run) -> int:
        """Bytes of the best tail of one size of a run, at most."""
        return _BYTES * max(cut.params for cut in self._cuts_of(run))

    def _run(self, run: Run) -> Cost:
        """The trials of a run folder, and the pass that makes their features."""
        medical, data = run.is_medical, SETS[MEDICAL] if run.is_medical else self._set
        cuts = self._cuts_of(run)
        tested = self._tested(data, medical)
        total = Cost(pieces=len(cuts) * len(list(run.calls())))
        for size, repeats in run.repeats:
            examples = self._examples(size, data)
            total += Cost(repeats * len(cuts), tails=self.tail(run))
            for cut in cuts:
                seen = _TRAINING * examples * run.recipe.epochs + _FORWARD * tested
                total += Cost(flops=repeats * cut.tail_multiply_adds * seen)
        used = self._used(run, data) + tested
        last = max(cut.multiply_adds - cut.tail_multiply_adds for cut in cuts)
        features = max((used * cut.feature_bytes for cut in cuts if cut.index), default=0)
        return total + Cost(flops=_FORWARD * last * used, features=features)

    def _cuts_of(self, run: Run) -> list[Cut]:
        """The cuts of a run: cut 0 of the source's has a run of its own, of training from scratch."""
        if run.is_medical:
            return self._medical_cuts
        return [cut for cut in self._cuts if (cut.index == 0) == (run.source == SCRATCH)]

    @functools.cached_property
    def _pair(self) -> Cost:
        """Comparing two networks layer by layer: distances between all points, of each network."""
        images = min(self._scale.compared_images, self._set.test)
        cuts = [cut for cut in cut_points(self._network_built) if cut.index]
        numbers = sum(cut.feature_bytes // _BYTES for cut in cuts)
        forward = 2 * _FORWARD * self._cuts[0].multiply_adds * images
        return Cost(flops=2.0 * images**2 * numbers + forward, pieces=1)

    def _springs(self, springs: Springs) -> Cost:
        """Trainings of the whole network under springs."""
        examples = self._examples(self._scale.held_per_class or FULL, self._set)
        trials = springs.repeats * len(self._scale.strengths)
        seen = _TRAINING * examples * self._scale.full.epochs + _FORWARD * self._tested(self._set, False)
        return Cost(trials, trials * self._cuts[0].multiply_adds * seen, len(self._scale.strengths))

    def _examples(self, size: int | None, data: SetSize) -> int:
        """Number of images that a trial is trained on."""
        there = data.train - self._held_out(data)
        return there if size is FULL else min(there, size * data.classes)

    def _tested(self, data: SetSize, medical: bool) -> int:
        """Number of images that a trial is evaluated on."""
        test = min(data.test, data.classes * self._scale.medical.test_per_class) if medical else data.test
        return test + self._held_out(data)

    def _held_out(self, data: SetSize) -> int:
        """Number of training images that choose the cut."""
        return round(self._scale.share_held_out(data is SETS[MEDICAL], data.classes, data.train) * data.train)

    def _used(self, run: Run, data: SetSize) -> int:
        """Number of different images that some trial is trained on, at most."""
        drawn = [repeats * self._examples(size, data) for size, repeats in run.repeats]
        return min(self._examples(FULL, data), max(drawn))

    @functools.cached_property
    def _network_built(self) -> keras.Model:
        return build_model(self._scale.model, self._set.classes, self._set.shape)

    @functools.cached_property
    def _cuts(self) -> list[Cut]:
        cuts = self._scale.cuts
        return cut_points(self._network_built, cuts if isinstance(cuts, str) else list(cuts))

    @functools.cached_property
    def _medical_cuts(self) -> list[Cut]:
        return cut_points(_untrained(self._scale.medical), self._scale.medical.cuts)


def _untrained(medical: Medical) -> keras.Model:
    """The network of the medical transfer, without ImageNet's weights."""
    name, _, alpha = medical.network.partition(":")
    if name == "ResNet18":
        return resnet18(image_size=medical.image_size)
    shape = (medical.image_size, medical.image_size, 3)
    width = {"alpha": float(alpha)} if alpha else {}
    build = getattr(keras.applications, name)
    return build(input_shape=shape, weights=None, include_top=False, pooling="avg", **width)


def reductions(scale: Scale, paper: Scale) -> list[tuple[str, str, str]]:
    """What a preset reduces: what, in the paper, here.

    Args:
        scale: The preset.
        paper: That of the paper.

    Returns:
        Rows of a table, those that are alike left out.
    """
    rows = [("what", "paper", scale.name)]
    for what, told in _FACTS.items():
        theirs, ours = told(paper), told(scale)
        if theirs != ours:
            rows.append((what, theirs, ours))
    return rows


def _epochs(recipe: Recipe) -> str:
    return f"{recipe.epochs} epochs"


def _list(values: Iterable) -> str:
    return " ".join("frozen" if value == math.inf else f"{value:g}" for value in values)


_FACTS = {
    "CIFAR-10": lambda scale: scale.names.get("cifar10", "cifar10"),
    "network": lambda scale: scale.model,
    "sources": lambda scale: _epochs(scale.source),
    "tails, sizes per class": lambda scale: _epochs(scale.tails),
    "tails, all images": lambda scale: _epochs(scale.full),
    "autoencoders": lambda scale: f"{_epochs(scale.autoencoder)}, batch {scale.autoencoder.batch_size}",
    "cuts": lambda scale: scale.cuts if isinstance(scale.cuts, str) else _list(scale.cuts),
    "repeats": lambda scale: "5, of Figure 3's first panel 20" if scale.repeats is None else str(scale.repeats),
    "sizes": lambda scale: "as they are" if not scale.sizes else "; ".join(_sizes(scale)),
    "clones": lambda scale: (
        "as they are"
        if not scale.names
        else ", ".join(f"{ours} for {theirs}" for theirs, ours in scale.names.items() if theirs != "cifar10")
    ),
    "medical network": lambda scale: (
        f"{scale.medical.network} at {scale.medical.image_size}×{scale.medical.image_size}"
    ),
    "medical tails": lambda scale: f"{_epochs(scale.medical.recipe)}, cuts {scale.medical.cuts}",
    "under springs": lambda scale: (
        "all images" if scale.held_per_class is None else f"{scale.held_per_class} per class"
    ),
    "strengths": lambda scale: _list(scale.strengths),
    "images compared": lambda scale: str(scale.compared_images),
    "the cut is chosen on": lambda scale: (
        f"{100 * scale.holds_out:.0f} % held out" if scale.holds_out else "test images"
    ),
}


def _sizes(scale: Scale) -> list[str]:
    """Each size of a preset, and for which of the paper's it stands."""
    stood = {}
    for theirs, ours in scale.sizes.items():
        stood.setdefault(ours, []).append(theirs)
    return [f"{ours} for {_list(theirs)}" for ours, theirs in stood.items()]
