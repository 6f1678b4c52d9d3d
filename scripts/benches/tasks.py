"""The tasks on which whole profiles are timed, and the ways in which they are run.

Tables alone, so that the command knows what there is before anything is imported.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Task:
    """A source, a target and the size of a profile.

    Attributes:
        network: Name of the source, for `kdefrost.build_model`, or `imagenet:…` for `kdefrost.load_source`.
        data: Name of the target, for `kdefrost.load_data`.
        per_class: Number of training images per class.
        drawn_from: Number of images per class that these are drawn from: the user's small set.
        test_per_class: Number of test images per class.
        cuts: Which cuts, for `kdefrost.cut_points`.
        epochs: Number of epochs of a trial.
        seeds: Number of trials at each cut.
        clone_per_class: Number of images per class of the clone that a source is trained on here.
        clone_epochs: Number of its epochs.
        image_size: Height and width to which the images are resized.
    """

    network: str
    data: str
    per_class: int
    drawn_from: int
    test_per_class: int
    cuts: str | int
    epochs: int
    seeds: int
    clone_per_class: int = 0
    clone_epochs: int = 0
    image_size: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether the source comes with its weights and takes raw images."""
        return self.network.startswith("imagenet:")


TASKS = {
    "wide_resnet_16_1": Task(
        "wide_resnet_16_1",
        "cifar10",
        per_class=64,
        drawn_from=500,
        test_per_class=200,
        cuts="blocks",
        epochs=10,
        seeds=2,
        clone_per_class=500,
        clone_epochs=2,
    ),
    "wide_resnet_28_4": Task(
        "wide_resnet_28_4",
        "cifar10",
        per_class=64,
        drawn_from=500,
        test_per_class=50,
        cuts=5,
        epochs=1,
        seeds=1,
        clone_per_class=128,
        clone_epochs=1,
    ),
    "mobilenet_v2": Task(
        "imagenet:MobileNetV2:0.35",
        "idc",
        per_class=256,
        drawn_from=512,
        test_per_class=500,
        cuts=6,
        epochs=10,
        seeds=2,
        image_size=96,
    ),
}


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to run all trials of a profile.

    Attributes:
        label: How it is called in tables.
        module: Module of this folder that has it.
        function: Its function, which takes a `Work` and gives what `cut_by_cut` gives.
        options: Arguments of the function beside the work.
        needs: Package that must be installed for it.
    """

    label: str
    module: str
    function: str
    options: dict = dataclasses.field(default_factory=dict)
    needs: str = "kdefrost"


WAYS = {
    "keras": Way("Keras, whole model", "in_keras", "whole_model"),
    "predict": Way("Keras, features by predict", "in_keras", "cached_features"),
    "torch": Way("PyTorch, cached features", "in_torch", "cached_features", needs="torch"),
    "kdefrost": Way("kdefrost", "in_kdefrost", "profiles"),
    "jobs": Way("kdefrost, 2 jobs", "in_kdefrost", "profiles", {"jobs": 2}),
}
