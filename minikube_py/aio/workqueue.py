"""WorkQueue: keys to work on, each at most once at a time.

Guarantees, after client-go's workqueue: a key added several times before it is taken is taken once; a key
added while it is worked on is handed out again after `done`, never concurrently; order is fair (first added,
first out). `add_after` delays, keeping the earliest deadline; `retry` delays by exponential backoff per key
(5 ms doubling to 1000 s), until `forget`.
"""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A deduplicating queue of keys with delays and backoff; use as an async context manager."""

    def __init__(self, clock: Clock, *, name: str, base: float = 0.005, limit: float = 1000.0) -> None:
        self._clock = clock
        self._base, self._limit = base, limit
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # waiting to be handed out
        self._active: set[K] = set()  # handed out, not yet done
        self._failures: dict[K, int] = {}
        self._deadlines: dict[K, float] = {}
        self._wake = asyncio.Event()
        self._tasks = Tasks(f"workqueue/{name}")
        self.adds = 0
        self.retries = 0

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on (delayed keys do not count)."""
        return not self._dirty and not self._active

    def add(self, key: K) -> None:
        """Hand out `key` as soon as its turn comes."""
        if key in self._dirty:
            return
        self.adds += 1
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
        self.retries += 1
        self.add_after(key, min(self._limit, self._base * 2.0 ** min(failures, 60)))

    def forget(self, key: K) -> None:
        """Reset the backoff of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `retry` was called for `key` since `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Wait for the next key; every `get` is paired with a `done`."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The work on `key` has ended; it is handed out again if it was added meanwhile."""
        self._active.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake.set()

    async def __aenter__(self) -> "WorkQueue[K]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
