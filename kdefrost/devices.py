"""Devices: the distribution strategy, and work that is spread over its replicas."""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import tensorflow as tf

Strategy = tf.distribute.Strategy
# Where its authors say so.
_KERAS_THREAD = "https://github.com/keras-team/keras/issues/20585"
_OF_SEVERAL_WORKERS = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.experimental.ParameterServerStrategy,
)


def strategy_for(names: Sequence[str] | None) -> Strategy | None:
    """Makes the strategy that uses some of this machine's devices.

    Args:
        names: Their names as TensorFlow has them, such as `"GPU:0"`; or `["all"]`, for all GPUs.

    Returns:
        A strategy with a replica on each device, the same one each time; of no names `None`, which
        leaves all to TensorFlow.

    Raises:
        ValueError: If this machine does not have such a device.
    """
    if names is None:
        return None
    there = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    wanted = [name for name in there if name.startswith("GPU:")] if list(names) == ["all"] else list(names)
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(there):
        raise ValueError(
            f"The devices must be different ones of {', '.join(there)}, which this machine has, or `all` for all its "
            f"GPUs. Received: {' '.join(names)}"
        )
    return _strategy_on(tuple(wanted))


@functools.cache
def _strategy_on(devices: tuple[str, ...]) -> Strategy:
    return tf.distribute.OneDeviceStrategy(devices[0]) if len(devices) == 1 else tf.distribute.MirroredStrategy(devices)


def in_use(strategy: Strategy | None = None) -> Strategy:
    """Gives the strategy that work runs under.

    Args:
        strategy: A `tf.distribute.Strategy` of one process; by default the one in whose
            `scope()` this is called, which outside of all is that of one device.

    Returns:
        The strategy.

    Raises:
        ValueError: If `strategy` is no strategy, or one of several workers.
    """
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    # That of one device, which TensorFlow has by default, is of another class.
    if not hasattr(strategy, "num_replicas_in_sync"):
        raise ValueError(f"`strategy` must be a tf.distribute.Strategy or None. Received: strategy={strategy!r}")
    if isinstance(strategy, _OF_SEVERAL_WORKERS):
        raise ValueError(
            "`strategy` must be of one process, such as tf.distribute.MirroredStrategy, because Keras 3 does not train "
            f'under one of several workers ({_KERAS_THREAD}): `executor="ray"` (--cluster) runs trials on several '
            f"machines. Received: strategy={strategy!r}"
        )
    return strategy


def check_workers():
    """Refuses to be one of several workers of TensorFlow's, each of which would do the whole work.

    Raises:
        ValueError: If the environment variable TF_CONFIG names several.
    """
    named = os.environ.get("TF_CONFIG", "")
    try:
        workers = sum(len(addresses) for addresses in json.loads(named)["cluster"].values())
    # It names none. Nothing here reads it otherwise.
    except (ValueError, LookupError, TypeError, AttributeError):
        return
    if workers > 1:
        raise ValueError(
            "The environment variable TF_CONFIG must not name several workers, each of which would do the whole work: "
            f"Keras 3 does not share a training among them ({_KERAS_THREAD}). Unset it and give the command on one "
            f"machine; profile.py has --devices for its GPUs, and --cluster for trials on others. Received: {named}"
        )


def in_scope(strategy: Strategy | None = None) -> contextlib.AbstractContextManager:
    """Enters the scope of a strategy; of none given, stays in the present one.

    Args:
        strategy: As for `in_use`.

    Returns:
        A context manager.

    Raises:
        ValueError: As `in_use`.
    """
    used = in_use(strategy)
    return contextlib.nullcontext() if strategy is None else used.scope()


def is_scoped() -> bool:
    """Whether this is called in the `scope()` of a strategy."""
    return tf.distribute.has_strategy()


def check_training(strategy: Strategy):
    """Refuses to train under two strategies of several replicas in one process.

    Each numbers its sums over the replicas from the same number on, and TensorFlow takes those of
    one number for the same sum, which ends all training in the process
    (https://github.com/tensorflow/tensorflow/issues/62790).

    Args:
        strategy: A strategy to train under, from now on the only one of several replicas.

    Raises:
        ValueError: If there is another already, or as `in_use`.
    """
    if in_use(strategy).num_replicas_in_sync > 1 and _trained_under.setdefault("strategy", strategy) is not strategy:
        raise ValueError(
            "`strategy` must be the one of several replicas that this process trains under already, because "
            "TensorFlow mixes up the sums of two. Make it once and give the same one everywhere; if it is lost, start "
            f"Python again. Received: strategy={strategy!r}"
        )


# What of several replicas this process trains under, once it does.
_trained_under: dict[str, Strategy] = {}


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Adds up what the replicas of the present strategy have, each its own values."""
    replica = tf.distribute.get_replica_context()
    # Where a graph is made and nothing runs there is none.
    return values if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, values)


def take_share(number: int):
    """Keeps this process to one device: a GPU where there are any, else one thread, for one core.

    Args:
        number: The process's number among those that share the machine, from 0 on; where they are
            more than the GPUs, several have the same one.

    Raises:
        RuntimeError: If TensorFlow has computed something before.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        mine = gpus[number % len(gpus)]
        tf.config.set_visible_devices(mine, "GPU")
        # Others need some of its memory too.
        tf.config.experimental.set_memory_growth(mine, True)
        return
    # Several threads would take sums in another order.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def spread(function: Callable, strategy: Strategy | None = None) -> "Spread":
    """Spreads a function over the replicas of a distribution strategy; the same one is traced only once.

    Args:
        function: A function of tensors that gives tensors, in whatever structure; one that is
            there as long as the process.
        strategy: As for `in_use`.

    Returns:
        The `Spread`.

    Raises:
        ValueError: As `in_use`.
    """
    return _known(function, in_use(strategy))


class Spread:
    """A function that runs on the replicas of a distribution strategy, on a task of its own on each.

    Args:
        function: A function of tensors that gives tensors, in whatever structure.
        strategy: The strategy.
    """

    def __init__(self, function: Callable, strategy: Strategy):
        self._strategy = strategy
        # TensorFlow tells functions apart by their code when it warns of tracing one too often; a partial has none.
        self._run = tf.function(functools.partial(_on_replicas, strategy, function), reduce_retracing=True)

    def __call__(self, tasks: Iterable[tuple]) -> Iterator:
        """Runs the function on tasks, as many at a time as there are replicas.

        Args:
            tasks: Tuples of arrays or tensors, its arguments; drawn as they are needed.

        Yields:
            For each task, in their order, what the function gives, as NumPy arrays.
        """
        tasks, local = iter(tasks), self._strategy.experimental_local_results
        while group := list(islice(tasks, self._strategy.num_replicas_in_sync)):
            results = self._run(*map(self._distribute, zip(*self._filled(group), strict=True)))
            for replica in range(len(group)):
                yield tf.nest.map_structure(lambda result, r=replica: np.asarray(local(result)[r]), results)

    def _filled(self, group: list[tuple]) -> list[tuple]:
        """A group with a task for each replica: the last one again where there are too few."""
        return group + group[-1:] * (self._strategy.num_replicas_in_sync - len(group))

    def _distribute(self, values: tuple):
        """Gives each replica its own of some values."""
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(values[context.replica_id_in_sync_group])
        )


def _on_replicas(strategy: Strategy, function: Callable, *values):
    return strategy.run(function, args=values)


_known = functools.lru_cache(maxsize=64)(Spread)
