"""Layer by layer: raw numbers of the similarity of networks, and what follows from them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdefrost.cutting.cut import Cut, check_cuts
from kdefrost.results import Result
from kdefrost.statistics import error_over_seeds, mean_over_seeds
from kdefrost.tables import align

if TYPE_CHECKING:
    from kdefrost.similarity import figures

# The numbers in words.
LABELS = {
    "information_imbalance_xy": "information imbalance X→Y",
    "information_imbalance_yx": "information imbalance Y→X",
    "cka": "linear CKA",
    "cka_unbiased": "linear CKA, unbiased",
    "neighborhood_overlap": "neighbourhood overlap",
    "neighbor_spearman_xy": "neighbour Spearman ρ X→Y",
    "neighbor_spearman_yx": "neighbour Spearman ρ Y→X",
}
_SHORT = {"information imbalance": "imbalance", "linear ": "", "neighbourhood ": "", "neighbour Spearman ρ": "Spearman"}


@dataclasses.dataclass(frozen=True)
class LayerComparison:
    """What a layer of one network has in common with a layer of another.

    Attributes:
        pair: Number of the pair of networks, from 0.
        a: Index of the cut in the first network.
        b: Index of the cut in the second network.
        numbers: By name, as `kdefrost.similarity.compare` gives them; `_xy` is from the first
            network to the second.
    """

    pair: int
    a: int
    b: int
    numbers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class LayerwiseSimilarity(Result):
    """Similarity of the layers of two networks, over pairs of networks that differ in their seeds.

    Attributes:
        layers_a: The cuts of the first network at which it was compared.
        layers_b: Those of the second.
        comparisons: The raw numbers, NaN where a layer tells nothing.
        configuration: What they depend on.
    """

    KIND = "similarity"
    FORMAT = 1

    layers_a: tuple[Cut, ...]
    layers_b: tuple[Cut, ...]
    comparisons: tuple[LayerComparison, ...]
    configuration: dict = dataclasses.field(default_factory=dict)

    if TYPE_CHECKING:
        # Bound where the package is put together.
        plot = figures.plot

    @property
    def pairs(self) -> list[int]:
        """The numbers of the pairs of networks, in order."""
        return sorted({comparison.pair for comparison in self.comparisons})

    @property
    def names(self) -> list[str]:
        """The names of the numbers."""
        return list(self.comparisons[0].numbers)

    @property
    def is_matrix(self) -> bool:
        """Whether all layers were compared with all."""
        return self.configuration.get("pairs") == "all"

    def matrix(self, name: str) -> np.ndarray:
        """A number between all layers of the one and all layers of the other network.

        Args:
            name: Name of the number, such as `"cka"` or `"information_imbalance_xy"`.

        Returns:
            Array `(pairs, layers of a, layers of b)`, NaN where they were not compared.

        Raises:
            ValueError: If there is no such number.
        """
        if name not in self.names:
            raise ValueError(f"`name` must be one of {', '.join(self.names)}. Received: name={name!r}")
        rows, columns = (_places([cut.index for cut in cuts]) for cuts in (self.layers_a, self.layers_b))
        places = _places(self.pairs)
        matrix = np.full((len(places), len(rows), len(columns)), np.nan)
        for comparison in self.comparisons:
            place = places[comparison.pair], rows[comparison.a], columns[comparison.b]
            matrix[place] = comparison.numbers[name]
        return matrix

    def values(self, name: str) -> np.ndarray:
        """A number between each layer of the one network and the layer in its place in the other.

        Args:
            name: Name of the number.

        Returns:
            Array `(pairs, layers)`.

        Raises:
            ValueError: If there is no such number, or the networks have not as many layers.
        """
        matrix = self.matrix(name)
        if matrix.shape[1] != matrix.shape[2]:
            raise ValueError(
                f"Layers have a counterpart only in a network of as many: {matrix.shape[1]} and {matrix.shape[2]} were "
                "compared. Take `matrix`."
            )
        return np.diagonal(matrix, axis1=1, axis2=2)

    def mean(self, name: str) -> np.ndarray:
        """The mean of `values` over pairs, an array `(layers,)`: over those that have a number, else NaN."""
        return mean_over_seeds(self.values(name))

    def standard_error(self, name: str) -> np.ndarray:
        """The standard error of `mean`, an array `(layers,)`, NaN with fewer than two numbers.

        It covers what differs between the pairs, such as initialisation and order, and not the
        sampling of the images, the same for all.
        """
        return error_over_seeds(self.values(name))

    def table(self) -> str:
        """The numbers of layers and their counterparts as text: a row per layer, mean ± standard error."""
        head = ["cut", "after layer", "features", *map(_heading, self.names)]
        columns = [self.cells(name) for name in self.names]
        rows = [
            [str(cut.index), cut.name, cut.shape_text, *(column[place] for column in columns)]
            for place, cut in enumerate(self.layers_a)
        ]
        return align([head, *rows], left=(1,))

    def cells(self, name: str) -> list[str]:
        """A number as it is in `table`, one text for each layer: mean ± standard error, `nan` where there is none."""
        return [
            f"{mean:.3f} ± {error:.3f}" if np.isfinite(error) else f"{mean:.3f}"
            for mean, error in zip(self.mean(name), self.standard_error(name), strict=True)
        ]

    def rows(self) -> list[list]:
        """The comparisons, one a row, in order; the first row names the columns."""
        names_a, names_b = ({cut.index: cut.name for cut in cuts} for cuts in (self.layers_a, self.layers_b))
        rows = [["pair", "cut_a", "layer_a", "cut_b", "layer_b", *self.names]]
        for c in sorted(self.comparisons, key=lambda c: (c.pair, c.a, c.b)):
            rows.append([c.pair, c.a, names_a[c.a], c.b, names_b[c.b], *(c.numbers[name] for name in self.names)])
        return rows

    def check(self) -> None:
        """Refuses parts that do not fit together, by a `ValueError`."""
        check_cuts(self.layers_a)
        check_cuts(self.layers_b)
        rows, columns = ({cut.index for cut in cuts} for cuts in (self.layers_a, self.layers_b))
        keys = [(each.pair, each.a, each.b) for each in self.comparisons]
        if not keys or len(set(keys)) < len(keys):
            raise ValueError("it has no comparison, or one twice")
        if not all(0 <= pair < 2**63 and a in rows and b in columns for pair, a, b in keys):
            raise ValueError("its comparisons are not of its layers")
        if len({frozenset(each.numbers) for each in self.comparisons}) > 1 or not set(self.names) <= set(LABELS):
            raise ValueError("its comparisons have not all the same numbers")

    @classmethod
    def joined(cls, results: "Sequence[LayerwiseSimilarity]") -> "LayerwiseSimilarity":
        """Puts together what several pairs of networks gave one by one.

        Args:
            results: Results with the same layers, numbers and configuration, in the order of the pairs.

        Returns:
            One with the pairs of all, numbered anew.

        Raises:
            ValueError: If there are none, or they differ in more than the pairs.
        """
        if not results:
            raise ValueError("`results` must hold one or more results. Received: none")
        first, comparisons, number = results[0], [], 0
        for result in results:
            for part, value in result._facts().items():
                if value != first._facts()[part]:
                    raise ValueError(
                        f"`results` must have the same {part}. Received: {first._facts()[part]} and {value}"
                    )
            numbers = {pair: number + place for place, pair in enumerate(result.pairs)}
            comparisons += [dataclasses.replace(c, pair=numbers[c.pair]) for c in result.comparisons]
            number += len(numbers)
        return dataclasses.replace(first, comparisons=tuple(comparisons))

    def _facts(self) -> dict:
        """What results must have alike; names that Keras gives by itself differ from model to model."""
        layers = {"layers_a": self.layers_a, "layers_b": self.layers_b}
        places = {name: [(cut.index, cut.shape_text) for cut in cuts] for name, cuts in layers.items()}
        return {**places, "configuration": self.configuration, "names": self.names}


def _places(keys: list[int]) -> dict[int, int]:
    return {key: place for place, key in enumerate(keys)}


def _heading(name: str) -> str:
    """A number's label, as short as the head of a column."""
    label = LABELS[name]
    for long, short in _SHORT.items():
        label = label.replace(long, short)
    return label
