"""Pods that wait for a node: ready ones by priority and age, refused ones until something may help them.

A refused pod sleeps until a change that one of the plugins that refused it waits for (or five minutes, as a
safety net), then waits out its backoff: 1 s, doubling with each attempt up to 10 s. The queue is used by one
task and never loses a change: a decision and the parking that follows are one step.
"""

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.meta.objects import Key
from minikube_py.scheduler.framework import Change, Plugin
from minikube_py.scheduler.snapshot import PodInfo

INITIAL_BACKOFF, MAX_BACKOFF = 1.0, 10.0
SAFETY_NET = 300.0
"""Seconds after which a refused pod is tried again whatever happened."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod in the queue. `state` is active, backoff, parked or taken."""

    info: PodInfo
    since: float
    attempts: int = 0
    last_attempt: float = 0.0
    state: str = "active"
    refused_by: frozenset[Plugin] = frozenset()

    def backoff(self) -> float:
        """Seconds to wait after the last attempt."""
        if not self.attempts:
            return 0.0
        return min(MAX_BACKOFF, INITIAL_BACKOFF * 2.0 ** min(self.attempts - 1, 10))


class SchedulingQueue:
    """Use as an async context manager, which owns the timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Key, Waiting] = {}
        self._active: list[tuple[int, float, int, Waiting]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._tasks = Tasks("scheduling-queue")

    def __len__(self) -> int:
        return len(self._waiting)

    def counts(self) -> dict[str, int]:
        """How many pods are in each state."""
        states = [waiting.state for waiting in self._waiting.values()]
        return {state: states.count(state) for state in ("active", "backoff", "parked")}

    def put(self, info: PodInfo) -> None:
        """A pod without a node was added or changed; a refused one that changed is tried again."""
        known = self._waiting.get(info.key)
        if known is None or known.info.uid != info.uid:
            waiting = Waiting(info, self._clock.monotonic())
            self._waiting[info.key] = waiting
            self._activate(waiting)
            return
        changed = known.info.pod.get("spec") != info.pod.get("spec") or known.info.pod["metadata"].get(
            "labels"
        ) != info.pod["metadata"].get("labels")
        known.info = info
        if changed and known.state == "parked":
            self._release(known)

    def remove(self, key: Key) -> None:
        """The pod needs no node any more."""
        waiting = self._waiting.pop(key, None)
        if waiting:
            waiting.state = "gone"

    async def take(self) -> Waiting:
        """Wait for the most urgent pod; it must be parked, retried or removed afterwards."""
        while True:
            while self._active:
                waiting = heapq.heappop(self._active)[3]
                if waiting.state == "active" and self._waiting.get(waiting.info.key) is waiting:
                    waiting.state = "taken"
                    waiting.attempts += 1
                    waiting.last_attempt = self._clock.monotonic()
                    return waiting
            self._wake.clear()
            await self._wake.wait()

    def park(self, waiting: Waiting, refused_by: Iterable[Plugin]) -> None:
        """No node takes the pod now: sleep until a change that may help."""
        waiting.refused_by = frozenset(refused_by)
        waiting.state = "parked"
        marker = waiting.attempts
        self._tasks.spawn(self._safety_net(waiting, marker), f"{waiting.info.key}/safety-net")

    def retry(self, waiting: Waiting) -> None:
        """The attempt failed for another reason than the nodes: try again after the backoff."""
        if self._waiting.setdefault(waiting.info.key, waiting) is waiting:
            self._release(waiting)

    def changed(self, change: Change) -> None:
        """Something happened in the cluster: wake those whom it may help."""
        for waiting in self._waiting.values():
            if waiting.state == "parked" and _may_help(change, waiting.refused_by):
                self._release(waiting)

    def _release(self, waiting: Waiting) -> None:
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


def _may_help(change: Change, refused_by: frozenset[Plugin]) -> bool:
    return not refused_by or any(change in plugin.wakes_on for plugin in refused_by)
