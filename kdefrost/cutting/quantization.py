"""Quantised layers, whose weights are whole numbers and cannot be trained, as layers of floats."""

import keras
import numpy as np


def is_quantized(layer) -> bool:
    """Whether a layer's weights are quantised."""
    return getattr(getattr(layer, "dtype_policy", None), "quantization_mode", None) is not None


def float_config(layer) -> dict:
    """The configuration of a quantised layer as it was before.

    Args:
        layer: The layer, of mode int8.

    Returns:
        The configuration.

    Raises:
        ValueError: If it is quantised in another way.
    """
    mode = layer.dtype_policy.quantization_mode
    if mode != "int8":
        raise ValueError(f"it is quantized to {mode}, of which no float weights can be made; int8 can")
    config = {key: value for key, value in layer.get_config().items() if key != "quantization_config"}
    return {**config, "dtype": layer.dtype_policy.name.removeprefix(f"{mode}_from_")}


def float_weights(layer) -> dict[str, np.ndarray]:
    """The weights of a layer quantised to int8 as floats: each whole number over its scale.

    Args:
        layer: The layer.

    Returns:
        By the weight's name, an array.
    """
    values = {weight.name: np.asarray(weight) for weight in layer.variables}
    for name in ("kernel", "embeddings"):
        scale = values.pop(f"{name}_scale", None)
        if scale is not None:
            values[name] = values[name].astype(np.float32) / _beside(layer, scale)
    return values


def _beside(layer, scale: np.ndarray) -> np.ndarray:
    """A scale with the axes of what it is of."""
    if isinstance(layer, keras.layers.EinsumDense):
        return np.asarray(layer._adjust_scale_for_dequant(scale))
    return scale[:, None] if isinstance(layer, keras.layers.Embedding) else scale
