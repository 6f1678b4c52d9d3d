"""Numbers that are none: NaN and infinity among examples, of which a ReLU and an argmax make numbers."""

import keras
import numpy as np

# So many examples are looked through at a time.
_BLOCK = 256


def check_finite(name: str, x, before: int = 0):
    """Refuses NaN, infinity, and what is infinite in the numbers that Keras computes in, a block at a time.

    Args:
        name: The argument's name.
        x: Examples `(examples, …)`, an array that gives arrays for slices.
        before: So many examples came before these.

    Raises:
        ValueError: If some are not finite.
    """
    # Those of other kinds need not be read.
    if x.dtype.kind not in "fV":
        return
    for start in range(0, len(x), _BLOCK):
        fine = are_finite(np.asarray(x[start : start + _BLOCK]))
        if not fine.all():
            raise ValueError(
                f"The examples of `{name}` must be finite numbers. Received NaN or infinity in example "
                f"{before + start + int(fine.argmin())}, counted from 0, and maybe in later ones: mend them or leave "
                "them out."
            )


def are_finite(block: np.ndarray) -> np.ndarray:
    """Whether each of some examples `(examples, …)` is finite in the numbers that Keras computes in, a mask."""
    # Other kinds are whole numbers or none; bfloat16 is of a kind of its own ("V").
    if block.dtype.kind not in "fV":
        return np.ones(len(block), bool)
    computed = np.float64 if keras.config.floatx() == "float64" else np.float32
    with np.errstate(over="ignore"):
        return np.isfinite(block.astype(computed, copy=False)).reshape(len(block), -1).all(axis=1)
