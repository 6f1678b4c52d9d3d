"""Masks of padded sequences, which go along with tensors: Keras hands them on beside its graph of calls.

What counts is which masks there are when a model runs. Keras's symbolic tensors have others where a nested model is
called on masked ones, and after `MultiHeadAttention`, which takes the masks off the tensors that it is called on.
"""

import functools
from collections.abc import Callable

import keras

from kdefrost.cutting.objects import is_own


class Masks:
    """Which tensors of a graph have a mask, while that is read.

    Args:
        read_node: Reads a node of a Keras graph, with the known tensors and the path, and gives its outputs.
    """

    def __init__(self, read_node: Callable):
        self._read_node, self._masks = read_node, {}

    def _of(self, tensor):
        """The mask of a tensor, for which calls are read only once it is needed."""
        mask = self._masks.get(tensor)
        if isinstance(mask, functools.partial):
            mask = self._masks[tensor] = mask()
        return mask

    def hand_on(self, masks, tensors: list):
        """Gives tensors that enter a nested model the masks that it is called with.

        Args:
            masks: As Keras has them; `None` for none.
            tensors: The tensors.
        """
        given = keras.tree.flatten(masks)
        if len(given) == len(tensors):
            self._masks.update({tensor: mask for tensor, mask in zip(tensors, given, strict=True) if mask is not None})

    def copy(self, old, new):
        """Gives what is made of a tensor, number by number, its mask."""
        if old in self._masks:
            self._masks[new] = self._masks[old]

    def read_by(self, call) -> dict:
        """The masks that a call reads from the tensors themselves, which no argument says.

        Args:
            call: The call.

        Returns:
            By the tensor, its mask.
        """
        layer = call.operation
        if not self._masks or not isinstance(layer, keras.layers.Layer):
            return {}
        arguments = layer.call_signature_parameters
        is_unsaid = "mask" in arguments and call.kwargs.get("mask") is None
        if not (is_unsaid or "query_mask" in arguments or is_own(layer)):
            return {}
        found = {tensor: self._of(tensor) for tensor in call.inputs}
        return {tensor: mask for tensor, mask in found.items() if mask is not None}

    def follow(self, node, call, path: str):
        """Takes note of the masks of what a call gives.

        Args:
            node: The call as Keras has it.
            call: The call.
            path: Names of the models around it.
        """
        layer = call.operation
        if not isinstance(layer, keras.layers.Layer):
            return
        concerns = any(tensor in self._masks for tensor in call.inputs) or any(map(_has_mask, node.output_tensors))
        if concerns and layer.supports_masking:
            masks, known = self._computed(call)
            for output, mask in zip(call.outputs, masks, strict=False):
                if mask is not None:
                    self._masks[output] = functools.partial(self._resolve, mask, known, path, f"{call.name}_mask")
        if isinstance(layer, keras.layers.MultiHeadAttention):
            for tensor in call.inputs:
                self._masks.pop(tensor, None)

    def _computed(self, call) -> tuple[list, dict]:
        """What masks a layer makes of those before it, as Keras has them, and by address what they are made of."""
        known: dict = {}

        def stand_in(tensor):
            symbol = keras.KerasTensor(tensor.shape, tensor.dtype)
            known[id(symbol)] = tensor
            return symbol

        def mask_before(tensor):
            mask = self._masks.get(tensor)
            if isinstance(mask, functools.partial):
                known[id(mask.args[0])] = mask
                return mask.args[0]
            return None if mask is None else stand_in(mask)

        first = call.args[0] if call.args else next(iter(call.kwargs.values()))
        said = call.kwargs.get("mask")
        before = keras.tree.map_structure(mask_before, first) if said is None else stand_in(said)
        made = call.operation.compute_mask(keras.tree.map_structure(stand_in, first), before)
        return keras.tree.flatten(made), known

    def _resolve(self, mask, known: dict, path: str, name: str):
        """The tensor of the graph for a mask of Keras's, whose calls are read where they were not."""
        if isinstance(known.get(id(mask)), functools.partial):
            return known[id(mask)]()
        if id(mask) not in known:
            history = mask._keras_history
            # Made a moment ago, with a number in its name that is another each time and in every process.
            history.operation.name = name
            node = history.operation._inbound_nodes[history.node_index]
            for taken in node.input_tensors:
                known[id(taken)] = self._resolve(taken, known, path, name)
            made = self._read_node(node, known, path)
            known.update({id(old): new for old, new in zip(node.output_tensors, made, strict=True)})
        return known[id(mask)]


def _has_mask(tensor) -> bool:
    return getattr(tensor, "_keras_mask", None) is not None


@keras.saving.register_keras_serializable(package="kdefrost")
class WithMask(keras.layers.Layer):
    """Gives a tensor the mask that it had where it crossed a cut."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """The tensor, a new one, so that the old one stays without; Keras gives it the mask."""
        return keras.ops.copy(inputs)


def masked(call, known: dict, is_whole: bool) -> dict:
    """What stands for tensors, with the masks that a call reads from them.

    Args:
        call: The call.
        known: By the tensor, what stands for it, masks among them.
        is_whole: Whether all is there that comes before, so that masks which tensors have are the right ones; after
            a cut what is made of several tensors lacks the masks of those that crossed.

    Returns:
        The same, with tensors that have masks in the place of those that the call takes.
    """
    has_own = [tensor for tensor in call.masks if is_whole and _has_mask(known[tensor])]
    bare = {tensor: mask for tensor, mask in call.masks.items() if tensor not in has_own}
    return {**known, **{tensor: WithMask()(known[tensor], mask=known[mask]) for tensor, mask in bare.items()}}


def is_masked_already(call, given: tuple[tuple, dict]) -> bool:
    """Whether a call would give a tensor a mask that has one, as where both sides of a cut are joined."""
    return isinstance(call.operation, WithMask) and _has_mask(given[0][0])
