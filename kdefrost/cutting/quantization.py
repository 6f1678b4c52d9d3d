"""Quantised layers, whose weights are whole numbers and cannot be trained, as layers of floats."""

import keras
import numpy as np


def is_quantized(layer) -> bool:
    """Whether a layer's weights are quantised."""
    return getattr(getattr(layer, "dtype_policy", None), "quantization_mode", None) is not None


def check_mode(layer):
    """Refuses a quantised layer of which no floats can be made.

    Args:
        layer: The layer.

    Raises:
        ValueError: If its mode is not int8.
    """
    mode = layer.dtype_policy.quantization_mode
    if mode != "int8":
        raise ValueError(f"it is quantized to {mode}, of which no float weights can be made; int8 can")


def as_floats(config):
    """A configuration, or a part of one, in which layers are as they were before they were quantised.

    Args:
        config: The configuration of a layer, which may have others inside it.

    Returns:
        The same without quantisation.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(map(as_floats, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "QuantizedDTypePolicy":
        return config["config"]["source_name"]
    return {key: as_floats(value) for key, value in config.items() if key != "quantization_config"}


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
