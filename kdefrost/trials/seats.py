"""Workers on the devices of a Ray cluster, whose machines come and go."""

import os
import time
from collections import Counter

import ray
from ray.actor import ActorHandle
from tqdm import tqdm

from kdefrost.devices import take_share
from kdefrost.trials import nodes, worker

# Seconds between looks at which nodes there are.
_LOOK_EVERY = 1.0
# Seconds without any worker after which that is said.
_TELL_AFTER = 30.0
# So many workers in a row that die before they have begun make a node of no use.
_TRIES = 3
# What of this process's environment the numbers depend on; TF_CONFIG is of another way to use several machines.
_ENVIRONMENT = ("TF_", "XLA_", "KERAS_")


class Seats:
    """Workers on the devices of a cluster, one on each: a GPU, and on nodes without any a core.

    Nodes that come are given workers, those that go are done without. A worker is an actor of Ray's.

    Args:
        most: Largest number of workers; `None` for as many as there are devices.
    """

    def __init__(self, most: int | None = None):
        self._most, self._setup = most, None
        # By worker, its node; of those that begin, by what tells when they have.
        self._nodes, self._beginning, self._idle = {}, {}, []
        # Nodes that were asked what they have, those that are of no use, and how often in a row a worker died there
        # before it had begun.
        self._checked, self._left_out, self._deaths = set(), set(), Counter()
        self._looked, self._has_told = 0.0, False
        self._empty_since = time.monotonic()

    def prepare(self, setup: ray.ObjectRef):
        """Gives all workers, those that come later too, what trials have in common; see `worker.packed`."""
        self._setup, self._beginning, self._idle = setup, {}, []
        for seat in self._nodes:
            self._begin(seat)

    def close(self):
        """Ends all workers."""
        for seat in self._nodes:
            ray.kill(seat)

    @property
    def at_once(self) -> int:
        """How many trials run side by side where all devices that are there are free, at least 1."""
        there = [_devices(about) for node, about in nodes.alive().items() if node not in self._left_out]
        devices = sum(gpus or cores for gpus, cores in there)
        return max(1, devices if self._most is None else min(self._most, devices))

    @property
    def beginning(self) -> list[ray.ObjectRef]:
        """What tells, by `ray.wait`, that a worker that begins is there."""
        return list(self._beginning)

    def has_idle(self) -> bool:
        """Whether a worker waits for a trial, after a look, once in a while, at which nodes there are."""
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._looked = time.monotonic()
            self._fill(nodes.alive())
        if beginning := self.beginning:
            for begun in ray.wait(beginning, num_returns=len(beginning), timeout=0)[0]:
                # One that is left out takes others of its node along.
                if begun in self._beginning:
                    self._take(begun)
        self._tell_if_empty()
        return bool(self._idle)

    def take(self, not_on: str | None = None) -> ActorHandle:
        """Takes a worker that waits, if there is a choice one on another node than the named."""
        elsewhere = [seat for seat in self._idle if self._nodes[seat] != not_on]
        seat = elsewhere[0] if elsewhere else self._idle[0]
        self._idle.remove(seat)
        return seat

    def give_back(self, seat: ActorHandle):
        """Takes a worker back that has ended its trial."""
        self._idle.append(seat)

    def lose(self, seat: ActorHandle) -> bool:
        """Does without a worker that has died, or is to.

        Returns:
            Whether its node is still there.
        """
        # Of an answer that is lost on the way the worker may be alive.
        ray.kill(seat)
        node = self._nodes.pop(seat)
        self._looked = 0.0
        return node in nodes.alive()

    def node_of(self, seat: ActorHandle) -> str:
        """The node of a worker."""
        return self._nodes[seat]

    def _begin(self, seat: ActorHandle):
        self._beginning[seat.prepare.remote(self._setup)] = seat

    def _fill(self, alive: dict[str, dict]):
        """Gives each node as many workers as it has devices."""
        new, is_start = alive.keys() - self._checked, not self._checked
        self._checked |= new
        for node, error in nodes.faults(new):
            # Of another version: what can be mended before anything is trained is told then.
            if is_start and isinstance(error, ValueError):
                raise error
            self._refuse(node, error)
        there = Counter(self._nodes.values())
        for node in sorted(alive.keys() - self._left_out):
            gpus, cores = _devices(alive[node])
            for _ in range(there[node], gpus or cores):
                if self._most is not None and len(self._nodes) >= self._most:
                    return
                self._start(node, {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1})

    def _start(self, node: str, device: dict[str, int]):
        names = [name for name in os.environ if name.startswith(_ENVIRONMENT) and name != "TF_CONFIG"]
        seat = _Seat.options(
            scheduling_strategy=nodes.pinned(node),
            runtime_env={"env_vars": {name: os.environ[name] for name in names}},
            **device,
        ).remote()
        self._nodes[seat] = node
        self._begin(seat)

    def _take(self, begun: ray.ObjectRef):
        """Takes a worker that has begun, or does without it."""
        seat = self._beginning.pop(begun)
        node = self._nodes[seat]
        try:
            ray.get(begun)
        except ray.exceptions.RayTaskError as error:
            self.lose(seat)
            self._refuse(node, error.cause)
        except ray.exceptions.RayError as error:
            # Where the node is gone too, that says nothing of it.
            self._deaths[node] += self.lose(seat)
            if self._deaths[node] == _TRIES:
                reason = str(error).splitlines()[0]
                self._refuse(node, ChildProcessError(f"Workers of the cluster die before they have begun: {reason}"))
        else:
            self._deaths[node] = 0
            self._idle.append(seat)

    def _refuse(self, node: str, error: Exception):
        """Does without a node; where no other that is there has devices, that is the end."""
        self._left_out.add(node)
        if not any(any(_devices(about)) for other, about in nodes.alive().items() if other not in self._left_out):
            raise error
        tqdm.write(f"A node is left out. {error}")
        for begun in [begun for begun, seat in self._beginning.items() if self._nodes[seat] == node]:
            self.lose(self._beginning.pop(begun))
        for seat in [seat for seat in self._idle if self._nodes[seat] == node]:
            self._idle.remove(seat)
            self.lose(seat)

    def _tell_if_empty(self):
        if len(self._nodes) > len(self._beginning):
            self._empty_since, self._has_told = time.monotonic(), False
        elif not self._has_told and time.monotonic() - self._empty_since > _TELL_AFTER:
            self._has_told = True
            tqdm.write("Waiting for a free device of the cluster; `ray status` tells who has them.")


def _devices(about: dict) -> tuple[int, int]:
    """How many GPUs and how many cores a node has, by what Ray says of it."""
    gpus, cores = (int(about["Resources"].get(kind, 0)) for kind in ("GPU", "CPU"))
    return gpus, cores


@ray.remote
class _Seat:
    """A worker, in a process of its own that keeps to its device."""

    def __init__(self):
        self._worker = None

    def prepare(self, setup: bytes):
        """Takes what trials have in common."""
        try:
            if self._worker is None:
                # Ray shows a process the devices that are its own.
                take_share(0)
            self._worker = worker.Worker(setup)
        except Exception as error:
            raise worker.sendable(error) from None

    def answer(self, assignment):
        """Answers a question."""
        try:
            return self._worker.answer(assignment, lambda share: None)
        except Exception as error:
            raise worker.sendable(error) from None
