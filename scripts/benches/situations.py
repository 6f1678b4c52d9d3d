"""The situations on which ways of choosing a cut are judged: a user with a network and so many images in all.

Tables alone, so that the command knows what there is before anything is imported.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Situation:
    """A source, a target, and how many of its images a user has.

    Attributes:
        source: `imagenet:…`, or a clone of the target.
        target: Name of the target, for `kdefrost.load_data`.
        images: Number of images that the user has in all, as many of each class.
        cuts: Which cuts are tried, for `kdefrost.cut_points`.
        image_size: Height and width to which the images are resized.
        aside: Whether it is kept aside until the way of choosing is fixed.
    """

    source: str
    target: str
    images: int
    cuts: str | tuple[int, ...] = "blocks"
    image_size: int | None = None
    aside: bool = False

    @property
    def name(self) -> str:
        """What it is called in files and tables."""
        source = self.source.removeprefix("imagenet:").replace(":", "-")
        return f"{source}-{self.target}-{self.images}".lower()


# Late cuts, where tails are small, lie closer.
MOBILENET, MOBILENET_V2 = (0, 14, 17, 19, 22, 23, 25, 27), (0, 12, 22, 24, 26, 28, 31, 32)
_V1 = {"source": "imagenet:MobileNet:0.75", "cuts": MOBILENET}
_V2 = {"source": "imagenet:MobileNetV2:0.35", "cuts": MOBILENET_V2, "image_size": 64}

SITUATIONS = {
    situation.name: situation
    for situation in (
        Situation(target="cifar10", images=100, **_V2),
        Situation(target="idc", images=200, **_V2),
        Situation("gm", "digits", 100, "layers"),
        Situation(target="cifar10", images=200, aside=True, **_V2),
        Situation("gm", "cifar10", 160),
        Situation("ae4", "digits", 200, "layers", aside=True),
        Situation(target="idc", images=80, aside=True, **_V2),
        Situation("ae4", "digits", 80, "layers"),
        Situation("gm", "digits", 500, "layers"),
        Situation(target="cifar10", images=160, image_size=48, **_V1),
        Situation("gm", "digits", 1000, "layers", aside=True),
    )
}

# Sources that are ranked for a target, by `bench.py ranking`.
RANKINGS = ("digits", "laptop")
