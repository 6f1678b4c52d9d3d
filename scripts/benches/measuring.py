"""What the measurements share: rates, times and memory of a process, and how they are printed."""

import time
from pathlib import Path

import numpy as np
import tensorflow as tf


def matmul_rate(dtype: str, size: int = 2048, repeats: int = 5) -> float:
    """The best rate of products of square matrices, of TensorFlow and in float32 of NumPy too, in GFLOP/s."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    tensor, seconds = tf.cast(matrix, dtype.removeprefix("mixed_")), []
    products = [lambda: tf.linalg.matmul(tensor, tensor).numpy()]
    if dtype == "float32":
        products.append(lambda: matrix @ matrix)
    for product in products * repeats:
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


def measured(run) -> tuple[float, int]:
    """Seconds that something takes, and the bytes that this process has at its peak."""
    # Linux keeps the peak of a process; this sets it back to what there is now.
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    run()
    return time.perf_counter() - start, memory("VmHWM")


def memory(field: str) -> int:
    """A figure of this process's memory, in bytes, as Linux has it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def random_images(count: int):
    images = np.random.default_rng(0).standard_normal((count, 32, 32, 3), np.float32)
    return images, np.arange(count) % 10


def spread(values, form: str) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"median {middle:{form}}, from {low:{form}} to {high:{form}}"
