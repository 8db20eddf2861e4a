"""WorkQueue: keys to work on, each at most once at a time.

Guarantees, after client-go's workqueue: a key added several times before it is taken is taken once; a key
added while it is worked on is handed out again after `done`, never concurrently; order is fair (first added,
first out). `add_after` delays, keeping the earliest deadline; `retry` delays by exponential backoff per key
(5 ms doubling to 1000 s), until `forget`. `QueueMetrics` tells of many queues, named as Kubernetes names them.
"""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

from minikube_py.aio.clock import Clock
from minikube_py.aio.metrics import Counter, Histogram
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.turns import TURN_SECONDS

K = TypeVar("K", bound=Hashable)
BUCKETS = tuple(10.0**power for power in range(-8, 4))
"""Seconds: the buckets of a work queue's histograms."""


class QueueMetrics:
    """What is measured of the queues that were made with it; itself one Metric, to be registered."""

    def __init__(self) -> None:
        self.adds = Counter("workqueue_adds_total", "Keys added to the work queue.", ("name",))
        self.retries = Counter("workqueue_retries_total", "Keys of the work queue tried again.", ("name",))
        self.waited = Histogram(
            "workqueue_queue_duration_seconds", "Seconds that keys wait in the queue.", ("name",), BUCKETS
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds", "Seconds that the work on a key takes.", ("name",), BUCKETS
        )
        self._queues: dict[str, WorkQueue[Any]] = {}

    def measure(self, queue: "WorkQueue[Any]") -> None:
        """Tell of `queue` under its name, in the place of an earlier one of that name."""
        self._queues[queue.name] = queue

    def lines(self) -> Iterator[str]:
        for metric in (self.adds, self.retries, self.waited, self.worked):
            yield from metric.lines()
        depth = Counter("workqueue_depth", "Keys that wait now.", ("name",), type="gauge")
        unfinished = Counter(
            "workqueue_unfinished_work_seconds",
            "Seconds of work under way that no duration counts yet; large values tell of stuck workers.",
            ("name",),
            type="gauge",
        )
        longest = Counter(
            "workqueue_longest_running_processor_seconds",
            "Seconds that the longest work under way has taken.",
            ("name",),
            type="gauge",
        )
        for name, queue in self._queues.items():
            ages = queue.ages()
            depth.add((name,), len(queue))
            unfinished.add((name,), sum(ages))
            longest.add((name,), max(ages, default=0.0))
        for metric in (depth, unfinished, longest):
            yield from metric.lines()


class WorkQueue(Generic[K]):
    """A deduplicating queue of keys with delays and backoff; use as an async context manager."""

    def __init__(
        self,
        clock: Clock,
        *,
        name: str,
        base: float = 0.005,
        limit: float = 1000.0,
        metrics: QueueMetrics | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._base, self._limit = base, limit
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # waiting to be handed out
        self._active: dict[K, float] = {}  # handed out, not yet done > since when
        self._added: dict[K, float] = {}  # waiting > since when
        self._failures: dict[K, int] = {}
        self._deadlines: dict[K, float] = {}
        self._wake = asyncio.Event()
        self._held: float | None = None  # since when (the loop's time) the loop has not turned
        self._tasks = Tasks(f"workqueue/{name}")
        self._metrics = metrics = metrics or QueueMetrics()
        self._adds, self._retries = metrics.adds.series((name,)), metrics.retries.series((name,))
        self._waited, self._worked = metrics.waited.series((name,)), metrics.worked.series((name,))
        metrics.measure(self)

    def __len__(self) -> int:
        return len(self._ready)

    def ages(self) -> list[float]:
        """Seconds since each key that is worked on was handed out."""
        now = self._clock.monotonic()
        return [now - since for since in self._active.values()]

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on (delayed keys do not count)."""
        return not self._dirty and not self._active

    def add(self, key: K) -> None:
        """Hand out `key` as soon as its turn comes."""
        if key in self._dirty:
            return
        self._adds[0] += 1
        self._added[key] = self._clock.monotonic()
        self._dirty.add(key)
        if key not in self._active:
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` once `seconds` have passed; of several deadlines the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        deadline = self._clock.monotonic() + seconds
        if self._deadlines.get(key, deadline + 1) <= deadline:
            return
        self._deadlines[key] = deadline
        self._tasks.spawn(self._add_at(key, deadline, seconds), f"{key}@{deadline:.3f}")

    async def _add_at(self, key: K, deadline: float, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if self._deadlines.get(key) == deadline:
            del self._deadlines[key]
            self.add(key)

    def retry(self, key: K) -> None:
        """Add `key` after its backoff, which doubles with every call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._retries[0] += 1
        self.add_after(key, min(self._limit, self._base * 2.0 ** min(failures, 60)))

    def forget(self, key: K) -> None:
        """Reset the backoff of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `retry` was called for `key` since `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Wait for the next key; every `get` is paired with a `done`."""
        loop = asyncio.get_running_loop()
        if self._held is not None and loop.time() - self._held > TURN_SECONDS:
            await asyncio.sleep(0)
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        if self._held is None:
            self._held = loop.time()
            loop.call_soon(self._turned)
        key = self._ready.popleft()
        self._dirty.discard(key)
        now = self._active[key] = self._clock.monotonic()
        self._metrics.waited.count(self._waited, now - self._added.pop(key))
        return key

    def _turned(self) -> None:
        self._held = None

    def done(self, key: K) -> None:
        """The work on `key` has ended; it is handed out again if it was added meanwhile."""
        since = self._active.pop(key, None)
        if since is not None:
            self._metrics.worked.count(self._worked, self._clock.monotonic() - since)
        if key in self._dirty:
            self._ready.append(key)
            self._wake.set()

    async def __aenter__(self) -> "WorkQueue[K]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
