"""What a `Defroster` takes in the place of a recipe that is to be tuned."""

import dataclasses
import numbers

from kdefrost.training.recipe import Recipe
from kdefrost.tuning.space import Space

# Of the draw of recipes, which are the same in every run.
_SEED = 1
# By how much the learning rate may be below and above that of the recipe to start from.
_LOWER, _HIGHER = 30, 3


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A recipe that is chosen among several by the scores on the examples that choose the cut.

    The recipes are drawn before any score is known, so that all can be asked at once; `Defroster.hypermodel` is for
    tuners that learn from one recipe's scores which to try next.

    Args:
        start: The recipe to start from, which is one of those that are tried; by default 60 epochs of the paper's.
        space: What of it may change. By default the learning rate, from a 30th of its own to 3 times that, the weight
            decay, from 1e-5 to 1e-2, and the batch size, 16, 32, 64 or 128: with as many epochs, each costs as many
            operations.
        recipes: How many are tried, the first among them, at least 2.

    Raises:
        ValueError: If an argument is none of these, or `space` has the cut, which a profile finds itself.

    Example:

    ```python
    space = kdefrost.tuning.Space(learning_rate=(0.001, 0.3), epochs=[20, 60])
    defroster = kdefrost.Defroster(source, recipe=kdefrost.tuning.Tuned(space=space, recipes=8))
    profile = defroster.profile((x, y))
    print(profile.tuning.recipe, profile.summary())
    ```
    """

    start: Recipe | None = None
    space: Space | None = None
    recipes: int = 12

    def __post_init__(self):
        start = Recipe(epochs=60) if self.start is None else self.start
        if not isinstance(start, Recipe):
            raise ValueError(f"`start` must be a kdefrost.Recipe or None. Received: start={self.start!r}")
        space = default_space(start) if self.space is None else self.space
        if not isinstance(space, Space):
            raise ValueError(f"`space` must be a kdefrost.tuning.Space or None. Received: space={self.space!r}")
        if space.cut:
            raise ValueError("`space` must leave the cut out: a profile tries the cuts by the recipe that was chosen.")
        if isinstance(self.recipes, bool) or not isinstance(self.recipes, numbers.Integral) or self.recipes < 2:
            raise ValueError(f"`recipes` must be a whole number, at least 2. Received: recipes={self.recipes!r}")
        space.check(start)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "space", space)

    def draw(self) -> list[Recipe]:
        """The recipes, that to start from first; the same at each call."""
        return self.space.recipes(self.start, self.recipes, _SEED)


def default_space(start: Recipe) -> Space:
    """The space of a recipe where none is given; see `Tuned`."""
    rate = start.learning_rate
    # What the cosine ends in is at most what it begins with.
    lowest = max(rate / _LOWER, start.final_learning_rate)
    return Space(learning_rate=(lowest, rate * _HIGHER), weight_decay=(1e-5, 1e-2), batch_size=[16, 32, 64, 128])
