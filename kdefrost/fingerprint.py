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
    """Hash of a model's weights."""
    return of_arrays(*model.get_weights())


def of_settings(settings: dict) -> str:
    """Hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:_LENGTH]
