"""MemoryStore: the store without durability, the reference for the others and the fast one for tests."""

from collections.abc import Iterable, Sequence

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.store.base import Entry, FutureRevision, Op, StoreUnavailable
from minikube_py.store.staging import Staging
from minikube_py.store.state import Retention, State, StateReads


class MemoryStore(StateReads):
    """A `Store` in memory only; history is compacted by age and size as commits are made."""

    def __init__(self, clock: Clock | None = None, retention: Retention | None = None) -> None:
        self._clock = clock or SystemClock()
        self._state = State(retention or Retention())
        self._staging = Staging(self._state)
        self._closed = False

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

    async def compact(self, revision: int) -> None:
        """See `Store.compact`. Errors: FutureRevision."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not reached yet; the last one is {self.revision}")
        self._state.forget(revision)

    async def close(self) -> None:
        """End every watch."""
        self._closed = True
        self._state.close()
