"""Content addresses: short hashes by which data, models and settings are told apart."""

import hashlib
import json

import keras
import numpy as np

_LENGTH = 16


def of_arrays(*arrays: np.ndarray) -> str:
    """Hash of the shapes, dtypes and bytes of some arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:_LENGTH]


def of_model(model: keras.Model) -> str:
    """Hash of a model's weights and of its layers' settings, whatever the layers' names."""
    layers = [
        (type(layer).__name__, str({key: value for key, value in layer.get_config().items() if key != "name"}))
        for layer in model.layers
    ]
    return of_settings({"weights": of_arrays(*model.get_weights()), "layers": layers})


def of_settings(settings: dict) -> str:
    """Hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:_LENGTH]
