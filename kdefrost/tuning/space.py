"""The space of recipes: what of a recipe may change, and how far."""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Mapping, Sequence

import keras_tuner

from kdefrost.training.recipe import Recipe

# Shares below 1, of which neighbours differ as much at the lower end as at the upper one; all else goes by factors.
_EVEN = ("momentum", "batch_norm_momentum")
_TYPES = {field.name: field.type for field in dataclasses.fields(Recipe)}
# Draws that give recipes which are there already, after which there are taken to be no more.
_MOST_REPEATS = 1000
# Of a number that is drawn: what a recipe prints is then what was trained.
_DIGITS = 3


class Space:
    """What of a `Recipe` may change, and how far; all else is as in the recipe that it starts from.

    Args:
        cut: Whether a tuner chooses the cut too: each of its trials is then at one cut.
        **choices: By the name of an argument of `Recipe`, a list of values, or a tuple `(lowest, highest)` of numbers
            between which values are drawn: evenly in their logarithm, momenta evenly. Drawn numbers are rounded
            to three digits.

    Raises:
        ValueError: If a name is no argument of `Recipe`, a list or a range is none, a value is out of the range that
            `Recipe` has for it, or there is no choice at all.

    Example:

    ```python
    space = kdefrost.tuning.Space(learning_rate=(0.001, 0.3), batch_size=[16, 32, 64])
    ```
    """

    def __init__(self, cut: bool = False, **choices: Sequence[object]):
        if not isinstance(cut, bool):
            raise ValueError(f"`cut` must be True or False; `hypermodel(cuts=)` says which. Received: cut={cut!r}")
        unknown = [name for name in choices if name not in _TYPES]
        if unknown:
            raise ValueError(
                f"`Space` takes arguments of `Recipe`: {', '.join(_TYPES)}. Received: {', '.join(unknown)}"
            )
        self.cut = cut
        self.choices = {name: _as_choice(name, value) for name, value in choices.items()}
        if not cut and self.size == 1:
            raise ValueError(
                "`Space` must leave a choice: give two values or more, or a range, of at least one argument of "
                f"`Recipe`, such as learning_rate=(0.001, 0.3). Received: {choices or 'nothing'}"
            )

    @property
    def size(self) -> float:
        """Number of different recipes, infinite where there is a range of numbers that are not whole."""
        return math.prod(map(_count, self.choices.values()))

    def declare(self, hyperparameters: keras_tuner.HyperParameters, start: Recipe) -> Recipe:
        """Enters the choices into KerasTuner's hyperparameters.

        Args:
            hyperparameters: Those of a trial, or of a tuner before its first one.
            start: The recipe of which all else is; its values are the defaults where they are among the choices.

        Returns:
            The recipe that the hyperparameters stand for.

        Raises:
            ValueError: If `Recipe` refuses it.
        """
        values = {}
        for name, choice in self.choices.items():
            value = _declare(hyperparameters, name, choice, getattr(start, name))
            values[name] = _rounded(value, choice)
        return dataclasses.replace(start, **values)

    def recipes(self, start: Recipe, count: int, seed: int) -> list[Recipe]:
        """Different recipes: all there are where these are no more than asked for, else some that are drawn.

        Args:
            start: The first of them, in the space or not.
            count: How many, with the first.
            seed: Seed of the draw; a larger number has those of a smaller one.

        Returns:
            A list of recipes.

        Raises:
            ValueError: If `Recipe` refuses one.
        """
        every = list(self.choices.values())
        if self.size < count:
            values = itertools.product(*map(_all_of, every))
            found = (dataclasses.replace(start, **dict(zip(self.choices, each, strict=True))) for each in values)
            return list(dict.fromkeys([start, *found]))
        recipes, repeats = {start: None}, 0
        for number in itertools.count():
            drawn = self._draw(start, (seed * 1_000_003 + number) * len(every))
            repeats = repeats + 1 if drawn in recipes else 0
            recipes[drawn] = None
            if len(recipes) >= count or repeats >= _MOST_REPEATS:
                return list(recipes)[:count]

    def check(self, start: Recipe) -> None:
        """Refuses a space of which `Recipe` refuses the lowest, or the highest, of all values.

        Args:
            start: The recipe of which all else is.

        Raises:
            ValueError: As `Recipe`.
        """
        for end in (min, max):
            dataclasses.replace(start, **{name: end(choice) for name, choice in self.choices.items()})

    def _draw(self, start: Recipe, seed: int) -> Recipe:
        hyperparameters = keras_tuner.HyperParameters()
        self.declare(hyperparameters, start)
        for number, each in enumerate(hyperparameters.space):
            hyperparameters.values[each.name] = each.random_sample(seed + number)
        return self.declare(hyperparameters, start)


def describe(recipe: Recipe, start: Recipe) -> str:
    """What of a recipe is otherwise than in another, in words."""
    values: Mapping = dataclasses.asdict(recipe)
    changed = {name: value for name, value in values.items() if value != getattr(start, name)}
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in changed.items())


def _text(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _as_choice(name: str, value) -> list | tuple:
    """A list of different values, or a range, in the type that the recipe has for them."""
    kind, is_range = _TYPES[name], isinstance(value, tuple)
    if not isinstance(value, (list, tuple)) or not value or (is_range and (len(value) != 2 or kind is str)):
        ways = "a list of values" if kind is str else "a list of values, or a tuple (lowest, highest)"
        raise ValueError(f"`{name}` must be {ways}. Received: {name}={value!r}")
    for each in value:
        if kind is not str and not _is_number(each, whole=kind is int):
            what = "whole numbers" if kind is int else "finite numbers"
            raise ValueError(f"`{name}` must be of {what}. Received: {name}={value!r}")
    values = [kind(each) for each in value]
    if not is_range:
        return list(dict.fromkeys(values))
    low, high = values
    if not low < high:
        raise ValueError(f"`{name}` must be a range (lowest, highest), the lowest first. Received: {name}={value!r}")
    if low <= 0 and name not in _EVEN:
        raise ValueError(
            f"`{name}` must be a range above 0, since its logarithm is drawn evenly; a list of values may have 0 in "
            f"it. Received: {name}={value!r}"
        )
    return low, high


def _is_number(value, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if whole else numbers.Real):
        return False
    return math.isfinite(value)


def _count(choice: list | tuple) -> float:
    if isinstance(choice, list):
        return len(choice)
    low, high = choice
    return high - low + 1 if isinstance(low, int) else math.inf


def _all_of(choice: list | tuple) -> list:
    return choice if isinstance(choice, list) else list(range(choice[0], choice[1] + 1))


def _declare(hyperparameters: keras_tuner.HyperParameters, name: str, choice: list | tuple, default):
    """Enters one choice, and gives the value that it has."""
    if isinstance(choice, list):
        return hyperparameters.Choice(name, choice, default=default if default in choice else None)
    low, high = choice
    number = hyperparameters.Int if isinstance(low, int) else hyperparameters.Float
    sampling = "linear" if name in _EVEN else "log"
    return number(name, low, high, sampling=sampling, default=default if low <= default <= high else None)


def _rounded(value, choice: list | tuple):
    """A drawn number with few digits, within its range."""
    if isinstance(choice, list) or isinstance(value, int):
        return value
    low, high = choice
    return min(max(float(f"{value:.{_DIGITS}g}"), low), high)
