"""MemoryStore: the store without durability, the reference for the others and the fast one for tests."""

from collections.abc import Callable, Iterable, Sequence

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.store.base import Entry, Event, FutureRevision, Op, Page, StoreUnavailable, Watch
from minikube_py.store.staging import Staging
from minikube_py.store.state import Retention, State


class MemoryStore:
    """A `Store` in memory only; history is compacted by age and size as commits are made."""

    def __init__(self, clock: Clock | None = None, retention: Retention | None = None) -> None:
        self._clock = clock or SystemClock()
        self._state = State(retention or Retention())
        self._staging = Staging(self._state)
        self._closed = False

    @property
    def revision(self) -> int:
        """The last revision."""
        return self._state.revision

    @property
    def compacted(self) -> int:
        """History up to and including this revision is gone."""
        return self._state.compacted

    def get(self, key: str) -> Entry | None:
        """See `Store.get`."""
        return self._state.get(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """See `Store.list`."""
        return self._state.list(prefix, after, limit, revision)

    async def commit(self, ops: Iterable[Op]) -> Sequence[Entry | None]:
        """See `Store.commit`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        change = self._staging.stage(tuple(ops))
        if change is None:
            raise RuntimeError("a memory store has nothing that is not settled")
        self._staging.settle(change)
        if target := max(self._state.expired(self._clock.monotonic()), self._state.excess()):
            self._state.forget(target)
        return change.results

    def watch(self, prefix: str, *, after: int | None = None, capacity: int = 1000) -> Watch:
        """See `Store.watch`."""
        return self._state.watch(prefix, after, capacity)

    def subscribe(self, prefix: str, on_event: Callable[[Event], None]) -> Callable[[], None]:
        """See `Store.subscribe`."""
        return self._state.subscribe(prefix, on_event)

    async def compact(self, revision: int) -> None:
        """See `Store.compact`. Errors: FutureRevision."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not reached yet; the last one is {self.revision}")
        self._state.forget(revision)

    async def close(self) -> None:
        """End every watch."""
        self._closed = True
        self._state.close()
