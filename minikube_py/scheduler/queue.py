"""Pods that wait for a node: ready ones by priority and age, refused ones until something may help them.

A refused pod sleeps until a change of which one of the plugins that refused it says that it may help (or five
minutes, as a safety net), then waits out its backoff: 1 s, doubling with each attempt up to 10 s. The queue is
used by one task and never loses a change: what happens while a pod is tried is looked at when it is parked.
"""

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.meta.objects import Key
from minikube_py.scheduler.framework import Happening, Plugin
from minikube_py.scheduler.podinfo import PodInfo

INITIAL_BACKOFF, MAX_BACKOFF = 1.0, 10.0
SAFETY_NET = 300.0
"""Seconds after which a refused pod is tried again whatever happened."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod in the queue. `state` is active, backoff, parked, taken or gone."""

    info: PodInfo
    since: float
    attempts: int = 0
    last_attempt: float = 0.0
    state: str = "active"
    refused_by: frozenset[Plugin] = frozenset()
    missed: list[Happening] = field(default_factory=list)
    """What happened while it was taken."""
    changed: bool = False
    """Whether the pod itself changed while it was taken."""

    def backoff(self) -> float:
        """Seconds to wait after the last attempt."""
        if not self.attempts:
            return 0.0
        return min(MAX_BACKOFF, INITIAL_BACKOFF * 2.0 ** min(self.attempts - 1, 10))

    def may_use(self, happening: Happening) -> bool:
        """Whether a change may help the pod, by what those who refused it say."""
        return not self.refused_by or any(
            happening.change in plugin.wakes_on and plugin.may_help(self.info, happening)
            for plugin in self.refused_by
        )


class SchedulingQueue:
    """Use as an async context manager, which owns the timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Key, Waiting] = {}
        self._active: list[tuple[int, float, int, Waiting]] = []
        self._parked: dict[Plugin | None, set[Waiting]] = {}
        self._taken: set[Waiting] = set()
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._tasks = Tasks("scheduling-queue")

    def __len__(self) -> int:
        return len(self._waiting)

    def counts(self) -> dict[str, int]:
        """How many pods are in each state."""
        states = [waiting.state for waiting in self._waiting.values()]
        return {state: states.count(state) for state in ("active", "backoff", "parked")}

    def holds(self, waiting: Waiting) -> bool:
        """Whether the pod still needs a node."""
        return self._waiting.get(waiting.info.key) is waiting

    def put(self, info: PodInfo) -> None:
        """A pod without a node was added or changed; a refused one that changed is tried again."""
        known = self._waiting.get(info.key)
        if known is None or known.info.uid != info.uid:
            if known is not None:
                self.remove(info.key)
            waiting = Waiting(info, self._clock.monotonic())
            self._waiting[info.key] = waiting
            self._activate(waiting)
            return
        changed = known.info.group != info.group or _asks(known.info) != _asks(info)
        known.info = info
        if changed and known.state == "parked":
            self._release(known)
        elif changed and known.state == "taken":
            known.changed = True

    def remove(self, key: Key) -> None:
        """The pod needs no node any more."""
        waiting = self._waiting.pop(key, None)
        if waiting:
            self._leave(waiting)
            waiting.state = "gone"

    async def take(self) -> Waiting:
        """Wait for the most urgent pod; it must be placed, parked, retried or removed afterwards."""
        while True:
            while self._active:
                waiting = heapq.heappop(self._active)[3]
                if waiting.state == "active" and self._waiting.get(waiting.info.key) is waiting:
                    waiting.state = "taken"
                    waiting.attempts += 1
                    waiting.last_attempt = self._clock.monotonic()
                    waiting.missed.clear()
                    waiting.changed = False
                    self._taken.add(waiting)
                    return waiting
            self._wake.clear()
            await self._wake.wait()

    def place(self, waiting: Waiting) -> None:
        """The pod has a node in mind; what happens does not concern it, unless it is retried."""
        self._taken.discard(waiting)

    def park(self, waiting: Waiting, refused_by: Iterable[Plugin]) -> None:
        """No node takes the pod: sleep until a change that may help, which may have been already."""
        self._taken.discard(waiting)
        if not self.holds(waiting):
            return
        waiting.refused_by = frozenset(refused_by)
        if waiting.changed or any(waiting.may_use(happening) for happening in waiting.missed):
            self._release(waiting)
            return
        waiting.state = "parked"
        for plugin in waiting.refused_by or (None,):
            self._parked.setdefault(plugin, set()).add(waiting)
        self._tasks.spawn(self._safety_net(waiting, waiting.attempts), f"{waiting.info.key}/safety-net")

    def retry(self, waiting: Waiting) -> None:
        """The attempt failed for another reason than the nodes: try again after the backoff."""
        self._taken.discard(waiting)
        if self._waiting.setdefault(waiting.info.key, waiting) is waiting:
            self._release(waiting)

    def changed(self, happening: Happening) -> None:
        """Something happened in the cluster: wake those whom it may help."""
        for waiting in self._taken:
            waiting.missed.append(happening)
        for plugin, parked in tuple(self._parked.items()):
            if plugin is not None and happening.change not in plugin.wakes_on:
                continue
            for waiting in tuple(parked):
                if plugin is None or plugin.may_help(waiting.info, happening):
                    self._release(waiting)

    def _leave(self, waiting: Waiting) -> None:
        self._taken.discard(waiting)
        if waiting.state == "parked":
            for plugin in waiting.refused_by or (None,):
                parked = self._parked[plugin]
                parked.discard(waiting)
                if not parked:
                    del self._parked[plugin]

    def _release(self, waiting: Waiting) -> None:
        self._leave(waiting)
        wait = waiting.last_attempt + waiting.backoff() - self._clock.monotonic()
        if wait <= 0:
            self._activate(waiting)
            return
        waiting.state = "backoff"
        self._tasks.spawn(self._after(waiting, wait), f"{waiting.info.key}/backoff")

    async def _after(self, waiting: Waiting, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if waiting.state == "backoff":
            self._activate(waiting)

    async def _safety_net(self, waiting: Waiting, attempts: int) -> None:
        await self._clock.sleep(SAFETY_NET)
        if waiting.state == "parked" and waiting.attempts == attempts:
            self._release(waiting)

    def _activate(self, waiting: Waiting) -> None:
        waiting.state = "active"
        urgency = (-waiting.info.priority, waiting.since, next(self._order), waiting)
        heapq.heappush(self._active, urgency)
        self._wake.set()

    async def __aenter__(self) -> "SchedulingQueue":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()


def _asks(info: PodInfo) -> tuple[object, object]:
    """All of a pod that a scheduler looks at, labels apart: the claims made for it are told in its status."""
    return info.pod.get("spec"), (info.pod.get("status") or {}).get("resourceClaimStatuses")
