"""The machines of a Ray cluster: joined, and held to have the same code as this one."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# The cluster of which this machine is a part.
AUTO = "auto"
# Seconds for a cluster to answer, and for a node to say what it has installed.
_PATIENCE = 15
_PATIENCE_WITH_NODE = 60


def check_reachable(address: str):
    """Checks that something answers at the address of a cluster.

    Ray itself, where nothing does, ends the process after a minute.

    Args:
        address: `"auto"`, which is what `RAY_ADDRESS` names or the last `ray start` on this machine recorded, and where
            there is neither `connected` tells; or `HOST:PORT`.

    Raises:
        ValueError: If the address is of another form.
        ConnectionError: If nothing answers.
    """
    import grpc

    if ray.is_initialized():
        return
    found = _recorded() if address == AUTO else address
    if found is None:
        return
    address, origin = found, ", the cluster of this machine by RAY_ADDRESS or `ray start`," if address == AUTO else ""
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdigit():
        raise ValueError(
            f'`executor` must name a cluster by the HOST:PORT that `ray start --head` prints, as in "ray:10.0.0.1:6379"'
            f", or be None. Received: {address}"
        )
    # Ray's own options, by which it goes past a proxy.
    with grpc.insecure_channel(address, ray._private.ray_constants.GLOBAL_GRPC_OPTIONS) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_PATIENCE)
        except grpc.FutureTimeoutError as error:
            raise ConnectionError(
                f"No Ray cluster answers at {address}{origin} within {_PATIENCE} s. Give the HOST:PORT that "
                "`ray start --head` printed, whose port must be open to this machine; "
                f"`ray status --address {address}` tells too."
            ) from error


def _recorded() -> str | None:
    """The address that `"auto"` stands for, as Ray finds it, be it alive or not; `None` where there is none."""
    try:
        # Not in Ray's public API, but what `ray.init` itself calls.
        return ray._private.services.get_ray_address_from_environment(AUTO, None)
    except ConnectionError:
        return None


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connects this process to a cluster, unless it is already, and lets it go at the end of `with`.

    Args:
        address: As for `check_reachable`.

    Raises:
        ConnectionError: If there is no cluster, this machine is no node of it, or it is of another version of Ray.
    """
    if ray.is_initialized():
        yield
        return
    check_reachable(address)
    try:
        ray.init(address=address, logging_level="ERROR")
    # Ray raises whatever, a bare Exception where this machine is no node.
    except Exception as error:
        raise ConnectionError(
            f"This process could not join the Ray cluster ({str(error).strip().splitlines()[0]}). Start kdefrost on a "
            "machine of the cluster: one on which `ray start --head`, or `ray start --address HOST:PORT`, was called "
            "with the same versions of Ray and Python."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def alive() -> dict[str, dict]:
    """The nodes that are there, by their number what Ray says of them."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def pinned(node: str) -> NodeAffinitySchedulingStrategy:
    """What has Ray run something on a node or not at all."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def faults(nodes: Iterable[str]) -> Iterator[tuple[str, Exception]]:
    """Asks nodes what they have installed.

    Args:
        nodes: Their numbers.

    Yields:
        The number of each that would train by other code, and an error that says why.
    """
    installed = _what_tells_what_is_installed()
    here, told = installed(), ray.remote(num_cpus=0)(installed)
    asked = {node: told.options(scheduling_strategy=pinned(node)).remote() for node in nodes}
    for node, answer in asked.items():
        try:
            there = ray.get(answer, timeout=_PATIENCE_WITH_NODE)
        except ray.exceptions.RayError as error:
            # One that is gone again needs no word.
            if node in alive():
                reason = str(error).splitlines()[0]
                yield node, ChildProcessError(f"A node of the cluster, {_name(node)}, does not answer: {reason}")
            continue
        differs = [f"{what} {there[what]}, here {version}" for what, version in here.items() if there[what] != version]
        if differs:
            message = f"A node of the cluster, {_name(node)}, has {'; '.join(differs)}: its trials would give other "
            message += "numbers. Install the same versions on all machines, where the Python of their `ray start` is."
            yield node, ValueError(message)


def _name(node: str) -> str:
    return alive()[node]["NodeName"] if node in alive() else node


def _what_tells_what_is_installed() -> Callable[[], dict[str, str]]:
    """A function that is made here, because such are sent as they are: where it runs there need be no kdefrost."""

    def installed() -> dict[str, str]:
        import hashlib
        from importlib import metadata, util
        from pathlib import Path

        found = {}
        for name in ("kdefrost", "tensorflow", "keras", "numpy"):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = "not installed"
        # It runs without being installed too, and is developed under one version.
        there, code = util.find_spec("kdefrost"), hashlib.sha256()
        if there is None or there.origin is None:
            return {**found, "kdefrost": "not installed"}
        for path in sorted(Path(there.origin).parent.rglob("*.py")):
            code.update(path.read_bytes())
        return {**found, "kdefrost": f"{found['kdefrost']} (code {code.hexdigest()[:8]})"}

    return installed
