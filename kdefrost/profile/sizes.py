"""Sizes of training sets: in words, and in examples."""

from kdefrost.profile.result import DefrostProfile
from kdefrost.tables import listed


def size_text(profile: DefrostProfile, per_class: int | None) -> str:
    """A size in words: so many per class, so many examples where there are no classes, or all that there are."""
    if per_class is None:
        return f"all {profile.configuration.get('examples', '')} examples".replace("  ", " ")
    return f"{per_class} per class" if profile.has_classes else f"{per_class} examples"


def with_sizes(profile: DefrostProfile, *sizes: int | None) -> str:
    """Sizes inside a sentence, such as "with 32 and 64 images per class"."""
    numbers = [size for size in sizes if size is not None]
    said = []
    if numbers:
        images = "image" if numbers == [1] else "images"
        said.append(f"with {listed(numbers)} {images}{' per class' if profile.has_classes else ''}")
    if None in sizes:
        said.append(f"with all {profile.configuration.get('examples', '')} images".replace("  ", " "))
    return listed(said)


def trained_on(profile: DefrostProfile, per_class: int | None) -> int | None:
    """Number of examples of a training set of some size; `None` where the profile does not tell."""
    if per_class is None:
        return profile.configuration.get("examples")
    if not profile.has_classes:
        return per_class
    units = profile.task.get("units")
    # One unit stands for a label that holds or not.
    return units and per_class * max(2, units)
