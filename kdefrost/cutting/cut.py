"""A cut: a place between the layers of a model."""

import dataclasses
import html
import itertools
import math
from collections.abc import Sequence

from kdefrost.tables import align, as_html


@dataclasses.dataclass(frozen=True)
class Cut:
    """A place between the layers of a model.

    Attributes:
        index: Position among all cuts of the model; 0 freezes nothing, the last leaves only
            the output layer to train.
        name: Name of the layer after which the cut lies.
        tensors: The tensors that cross, each as `(layer name, call, output)`: the layer
            that makes it, which of that layer's calls in the model, and which of the
            call's outputs.
        shapes: Their shapes, without the batch axis.
        frozen_layers: Number of layers with kernels before the cut, each as often as it is called.
        layers: Number of layers with kernels in the model, counted likewise, the output
            layer that a model without one is given included.
        frozen_params: Number of weights before the cut.
        params: Number of weights in the model.
        tail_multiply_adds: Multiply-adds of one example's forward pass after the cut.
        multiply_adds: Multiply-adds of one example's forward pass through the model.
        features: Whether the model is taken to end in features, so that a new output layer comes
            after them and not in the place of an old one; `None` of a cut that an earlier version saved.
    """

    index: int
    name: str
    tensors: tuple[tuple[str, int, int], ...]
    shapes: tuple[tuple[int, ...], ...]
    frozen_layers: int
    layers: int
    frozen_params: int
    params: int
    tail_multiply_adds: int
    multiply_adds: int
    features: bool | None = None

    @property
    def feature_bytes(self) -> int:
        """Bytes of one example's features in float32."""
        return 4 * sum(math.prod(shape) for shape in self.shapes)

    @property
    def tail_share(self) -> float:
        """Share of the whole model's training cost that is left after the cut."""
        # Looking up in a table costs nothing.
        return self.tail_multiply_adds / (self.multiply_adds or 1)

    @property
    def shape_text(self) -> str:
        """The shapes as text, such as `32×32×16` or, where two tensors cross, `8×8×4 + 8×8×4`."""
        return " + ".join("×".join(map(str, shape)) for shape in self.shapes)


def check_cuts(cuts: Sequence[Cut]):
    """Refuses cuts that are of no model.

    Args:
        cuts: Cuts as a file has them.

    Raises:
        ValueError: If they are not in order, or a number is below 0 or beyond what memory can count.
    """
    indices = [cut.index for cut in cuts]
    if indices != sorted(set(indices)):
        raise ValueError(f"its cuts are not in order: {indices}")
    for cut in cuts:
        numbers = [value for value in vars(cut).values() if isinstance(value, int)]
        numbers += itertools.chain.from_iterable(cut.shapes)
        if not all(0 <= number < 2**63 for number in numbers) or cut.frozen_layers > cut.layers:
            raise ValueError(f"cut {cut.index} has numbers that no cut has")


class CutList(list[Cut]):
    """A list of `Cut` that prints as a table, in a notebook as one of HTML.

    Per cut: its index, the layer after which it lies, the shapes of what crosses it, layers
    with kernels frozen of all, weights frozen and trained, the share of the whole model's
    training cost that is left in the tail, and the bytes of one example's features. The
    last line says where a new output layer goes.
    """

    def __str__(self) -> str:
        return align(self._rows(), left=(1,)) + "".join(f"\n{line}" for line in self._last_line())

    def _repr_html_(self) -> str:
        """The table where a notebook shows it."""
        lines = (f"<p>{html.escape(line)}</p>" for line in self._last_line())
        return "\n".join([as_html(self._rows(), left=(1,)), *lines])

    def _rows(self) -> list[list[str]]:
        """The cells of the table, the first row its head."""
        head = ["cut", "after layer", "features", "frozen", "frozen params", "trained params", "cost left", "bytes"]
        rows = [
            [
                str(cut.index),
                cut.name,
                cut.shape_text,
                f"{cut.frozen_layers}/{cut.layers}",
                f"{cut.frozen_params:,}",
                f"{cut.params - cut.frozen_params:,}",
                f"{100 * cut.tail_share:.1f} %",
                f"{cut.feature_bytes:,}",
            ]
            for cut in self
        ]
        return [head, *rows]

    def _last_line(self) -> list[str]:
        """Where a new output layer goes; nothing of an empty list."""
        return [output_line(cut) for cut in self[-1:]]


def output_line(cut: Cut) -> str:
    """Says where a new output layer goes, and how to have it elsewhere."""
    if cut.features:
        return "The model is taken to end in features; features=False makes its last layer the output layer."
    return "The last layer is taken for the output layer; features=True keeps it, as features."
