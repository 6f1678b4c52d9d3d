"""Compliance: the first layers of a network held near a source's by springs, and how far they strayed."""

import dataclasses
import difflib
import math
import numbers
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kdefrost.cutting.costs import NORMALIZATIONS
from kdefrost.cutting.cut import Cut
from kdefrost.cutting.cuts import calls_before
from kdefrost.cutting.graph import Graph, has_graph
from kdefrost.cutting.initialization import adapted_weights
from kdefrost.cutting.quantization import is_quantized

# Beyond, products with a learning rate leave the range of float32.
_STRONGEST = 1e30


@dataclasses.dataclass(frozen=True, eq=False)
class LayerPair:
    """A layer of a model and its counterpart in a source.

    Attributes:
        name: The layer's name, unique in the model's graph.
        weights: Those of its weights that are compared, variables of the model.
        source: The source's values of the same, in the same order.
    """

    name: str
    weights: tuple[keras.Variable, ...]
    source: tuple[np.ndarray, ...]

    def cosine_distance(self) -> float:
        """1 − cos of the angle between the layer's weights and the source's, all in one vector; 0 to 2.

        NaN where one of the two is zero.
        """
        ours, theirs = self._vectors()
        with np.errstate(invalid="ignore"):
            # As half the squared chord, which is exact where 1 − cos would round to 0.
            chord = ours / np.linalg.norm(ours) - theirs / np.linalg.norm(theirs)
        return float(chord @ chord / 2)

    def relative_distance(self) -> float:
        """‖w − w_source‖ / ‖w_source‖, all weights of the layer in one vector; NaN or infinite where w_source is 0."""
        ours, theirs = self._vectors()
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        ours = [ops.convert_to_numpy(weight) for weight in self.weights]
        return tuple(np.concatenate([part.ravel().astype("float64") for part in side]) for side in (ours, self.source))


def pair_layers(
    model: keras.Model, source: keras.Model, layers: int | Cut | Sequence[str], normalization: bool = False
) -> tuple[LayerPair, ...]:
    """Pairs the first layers with weights of a model with those of a source, in the order of their calls.

    Args:
        model: A functional or sequential model.
        source: Another; its layers must match those that are paired, whatever comes after them.
        layers: How many layers with kernels, as `Cut.frozen_layers` counts them; a cut of `model`,
            for the layers before it; or names of layers, which have their counterparts in
            the same places.
        normalization: Whether scale and offset of normalisation layers belong to it.

    Returns:
        The pairs. Layers that a model calls several times are in one pair.

    Raises:
        ValueError: If there are not as many layers, a name is none of a layer with weights, or two
            layers do not match; the message names the first pair that does not.
    """
    if not has_graph(source):
        raise ValueError(
            f"`source` must be a functional or sequential Keras model that has been built. Received: {source!r}"
        )
    graph = Graph(model)
    ours, theirs = (_weighted(g, normalization) for g in (graph, Graph(source)))
    pairs = []
    for place in _places(model, graph, ours, layers, normalization):
        name, layer = ours[place]
        if place >= len(theirs):
            raise ValueError(
                f"`source` must have the layers of `model` that are paired: it has {len(theirs)} with weights, and "
                f"no counterpart of layer {place + 1} of `model`, {_describe(name, layer, normalization)}."
            )
        other = theirs[place][1]
        if not _match(layer, other, normalization):
            described = (_describe(*each, normalization) for each in (ours[place], theirs[place]))
            quantized = (
                " Springs hold no quantized weights: take the source as it was before." if is_quantized(other) else ""
            )
            raise ValueError(
                f"`source` must have the layers of `model` that are paired. Layer {place + 1} with weights is "
                f"{' in `model`, and '.join(described)} in `source`.{quantized}"
            )
        values = tuple(np.array(weight) for weight in _weights(other, normalization))
        pairs.append(LayerPair(name, tuple(_weights(layer, normalization)), values))
    return tuple(pairs)


class ElasticCoupling:
    """Springs between the first layers of a model and those of a source: λ Σ ‖w − w_source‖².

    An optimiser that knows of it, `ElasticSGD` or `ElasticAdam`, trains a model under any Keras
    loss and this penalty together. The penalty acts through the optimiser's step and is not in the loss
    that `fit` reports; `penalty` gives it. The model itself stays as it is and is saved as it is; a file
    of a compiled model names its optimiser, and loads where kdefrost is imported, or with
    `compile=False`. With the source's values as the start this is L2-SP (Li, Grandvalet & Davoine, 2018,
    arXiv:1802.01483), with a start of its own compliant learning (Gerace et al., 2023).

    A spring that pulls with the force at the beginning of a step overshoots, and diverges when
    2 × learning rate × λ exceeds 2 (with momentum, another such number). Here it pulls with the force at
    the step's end, which no λ makes unstable; see `ElasticSGD`. Where w = w_source the penalty's gradient
    is zero: it is a sum of squares, not a norm, which has no gradient there.

    Args:
        model: The model that is trained, functional or sequential. Under a distribution strategy make
            the coupling in its scope, as the model.
        source: A model with the same first layers; `model` itself holds it near its present
            weights. The values are copied.
        layers: How many layers with kernels, from the first on, as `Cut.frozen_layers` counts them;
            a `Cut` of `model`, for those before it; or a list of names of layers.
        strength: λ, from 0 to 1e30. It can be set at any time, and nothing is traced anew. For the limit of
            frozen weights there is `freeze`.
        normalization: Whether to hold scale and offset of normalisation layers among these too. Their
            moving statistics are never held.

    Attributes:
        layers: The `LayerPair`s that are held.
        is_frozen: Whether `freeze` took the weights out of training.

    Raises:
        ValueError: If λ is negative or not a number, there are not as many layers, or the source's do
            not match; the message names the first pair that does not.

    Example:

    ```python
    coupling = kdefrost.ElasticCoupling(model, source, layers=10, strength=0.01)
    model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss="sparse_categorical_crossentropy")
    model.fit(x, y, epochs=20)
    print([pair.cosine_distance() for pair in coupling.layers])
    coupling.strength = 1.0
    model.fit(x, y, epochs=20)
    ```
    """

    def __init__(
        self,
        model: keras.Model,
        source: keras.Model,
        layers: int | Cut | Sequence[str],
        strength: float = 0.0,
        normalization: bool = False,
    ):
        self.layers = pair_layers(model, source, layers, normalization)
        self._anchors = {
            id(weight): keras.Variable(value, dtype=weight.dtype, trainable=False, name="anchor")
            for pair in self.layers
            for weight, value in zip(pair.weights, pair.source, strict=True)
        }
        self.is_frozen = False
        self.strength_variable = keras.Variable(0.0, dtype="float32", trainable=False, name="strength")
        self.strength = strength

    @property
    def strength(self) -> float:
        """λ."""
        return float(ops.convert_to_numpy(self.strength_variable))

    @strength.setter
    def strength(self, strength: float):
        check_strength(strength)
        self.strength_variable.assign(strength)

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights that are held."""
        return [weight for pair in self.layers for weight in pair.weights]

    def anchor_of(self, weight: keras.Variable) -> keras.Variable | None:
        """The source's value of a weight, `None` if the weight is not held."""
        return self._anchors.get(id(weight))

    def penalty(self) -> tf.Tensor:
        """λ Σ ‖w − w_source‖², a scalar tensor that can be differentiated with respect to the weights."""
        strayed = [ops.cast(weight - self.anchor_of(weight), "float32") for weight in self.weights]
        return self.strength_variable * sum((ops.sum(ops.square(part)) for part in strayed), ops.zeros(()))

    def freeze(self) -> None:
        """Gives the held weights the source's values and takes them out of training: the limit of λ → ∞.

        Call it before the model is compiled, and again after its weights were re-initialised.
        """
        self.is_frozen = True
        for weight in self.weights:
            weight.assign(self.anchor_of(weight))
            weight.trainable = False


def check_strength(strength: float, name: str = "strength"):
    """Checks that something can be a λ.

    Args:
        strength: What is to be λ.
        name: The argument's name.

    Raises:
        ValueError: If it cannot.
    """
    known = isinstance(strength, numbers.Real) and not isinstance(strength, bool)
    if not known or math.isnan(strength) or not 0 <= strength <= _STRONGEST:
        raise ValueError(f"`{name}` must be a number from 0 to {_STRONGEST:.0e}. Received: {name}={strength!r}")


def _weighted(graph: Graph, normalization: bool) -> list[tuple[str, keras.layers.Layer]]:
    """Layers with weights by name in the order of their first calls, normalisations among them if wanted."""
    found = {}
    for call in graph.calls:
        is_layer, is_normalization = (isinstance(call.operation, c) for c in (keras.layers.Layer, NORMALIZATIONS))
        if is_layer and (normalization or not is_normalization):
            found.setdefault(call.name, call.operation)
    return [(name, layer) for name, layer in found.items() if _weights(layer, normalization)]


def _weights(layer, normalization: bool) -> list[keras.Variable]:
    """The weights of a layer, and of layers inside it, that training changes or would but for `trainable`."""
    inner = [part for part in layer._flatten_layers() if isinstance(part, NORMALIZATIONS)]
    apart = {id(variable) for part in inner for variable in part.variables} if not normalization else set()
    statistics = {id(variable) for part in layer._flatten_layers() for variable in part._non_trainable_variables}
    # What adapters are added to stays; springs hold those.
    adapted = {id(variable) for part in layer._flatten_layers() for variable in adapted_weights(part)}
    return [weight for weight in layer.weights if id(weight) not in apart | statistics | adapted]


def _places(model, graph: Graph, ours: list, layers, normalization: bool) -> list[int]:
    """Which of the layers with weights are meant."""
    names = [name for name, _ in ours]
    if isinstance(layers, Sequence) and len(layers) and not isinstance(layers, str):
        return [_place(name, names, normalization) for name in dict.fromkeys(layers)]
    if isinstance(layers, bool) or not isinstance(layers, (int, np.integer, Cut)):
        raise ValueError(
            f"`layers` must be a number of layers, a `Cut`, or a list of layer names. Received: layers={layers!r}"
        )
    before = calls_before(model, layers)
    # Slopes of a PReLU and the like are held by name alone.
    chosen = {call.name for call in before if call.kernels or isinstance(call.operation, NORMALIZATIONS)}
    return [place for place, name in enumerate(names) if name in chosen]


def _place(name: str, names: list[str], normalization: bool) -> int:
    if name in names:
        return names.index(name)
    nearest = ", ".join(f"`{near}`" for near in difflib.get_close_matches(str(name), names, n=3, cutoff=0.0))
    hint = "" if normalization else " Normalisations take part with normalization=True."
    raise ValueError(f"`layers` names {name!r}, which is no layer with weights of `model`; near: {nearest}.{hint}")


def _match(layer, other, normalization: bool) -> bool:
    """Whether two layers have weights that mean the same."""
    kin = isinstance(layer, type(other)) or isinstance(other, type(layer))
    shapes = [[weight.shape for weight in _weights(each, normalization)] for each in (layer, other)]
    return kin and shapes[0] == shapes[1]


def _describe(name: str, layer, normalization: bool) -> str:
    shapes = " and ".join("×".join(map(str, weight.shape)) for weight in _weights(layer, normalization))
    return f"`{name}` ({type(layer).__name__}, {shapes})"
