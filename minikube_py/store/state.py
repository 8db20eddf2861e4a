"""State: what a store knows in memory: current entries, bounded history, readers. Shared by every store.

Everything here is synchronous and belongs to the event loop's thread, so that subscribing and replaying
history is one step and a watch needs no search for duplicates. Only durable changes come here.
"""

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from minikube_py.aio.broadcast import Pace, Subscription
from minikube_py.store.base import Compacted, Entry, Event, FutureRevision, Page, Watch
from minikube_py.store.bucket import Bucket, bucket_of, revision_of

log = logging.getLogger(__name__)

OnEvent = Callable[[Event], None]

KEEP_DECODED = 512
"""Superseded states that stay decoded, for watchers that are about to see what came after them."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept; whatever is exceeded first is compacted away. `size` is in bytes of values."""

    seconds: float = 300.0
    events: int = 50_000
    size: int = 64 << 20


class State:
    """Current entries, history and readers; `revision` and `compacted` as in `Store`."""

    def __init__(self, retention: Retention) -> None:
        self.revision = 0
        self.compacted = 0
        self.retention = retention
        self.buckets: dict[str, Bucket] = {}
        self._history: list[Event] = []
        self._size = 0
        self._past: deque[Entry] = deque()  # superseded states that are still decoded
        self._marks: deque[tuple[float, int]] = deque()  # (monotonic time, revision reached by then)
        # by bucket ("" reads every bucket), in the order of their subscribing
        self._readers: dict[str, dict[int, tuple[str, OnEvent]]] = {}
        self._watches: set[StateWatch] = set()
        self.pace = Pace(self._watches)

    def get(self, key: str) -> Entry | None:
        """The current entry, or None."""
        bucket = self.buckets.get(bucket_of(key))
        return None if bucket is None else bucket.entries.get(key)

    def list(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """See `Store.list`."""
        if revision:
            self._check(revision)
        bucket = self._under(prefix)
        return bucket.page(prefix, after, limit, revision or self.revision)

    def watch(self, prefix: str, after: int | None, capacity: int) -> "StateWatch":
        """See `Store.watch`."""
        replay: Sequence[Event] = ()
        if after is not None:
            self._check(after)
            if after < self.revision:
                replay = self._since(prefix, after)
        watch = StateWatch(self, prefix, replay, capacity)
        self._watches.add(watch)
        return watch

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not reached yet; the last one is {self.revision}")
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)

    def _since(self, prefix: str, after: int) -> Sequence[Event]:
        if bucket_of(prefix):
            return self._under(prefix).events(prefix, after)
        start = bisect_right(self._history, after, key=revision_of)
        return [event for event in self._history[start:] if event.entry.key.startswith(prefix)]

    def _under(self, prefix: str) -> Bucket:
        if name := bucket_of(prefix):
            return self.buckets.get(name) or Bucket()
        return Bucket.merged(b for name, b in self.buckets.items() if not name or name.startswith(prefix))

    def subscribe(self, prefix: str, on_event: OnEvent) -> Callable[[], None]:
        """See `Store.subscribe`."""
        name, reader = bucket_of(prefix), (prefix, on_event)
        self._readers.setdefault(name, {})[id(reader)] = reader

        def unsubscribe() -> None:
            readers = self._readers.get(name, {})
            readers.pop(id(reader), None)
            if not readers:
                self._readers.pop(name, None)

        return unsubscribe

    def bucket(self, key: str) -> Bucket:
        """The bucket of `key`, made where there is none."""
        name = bucket_of(key)
        bucket = self.buckets.get(name)
        if bucket is None:
            bucket = self.buckets[name] = Bucket()
        return bucket

    def apply(self, events: Sequence[Event]) -> None:
        """Make one commit's `events` visible and tell every reader."""
        self.record(events)
        if self._readers:
            self._tell(events)
        for event in events:
            self._retire(event)

    def _tell(self, events: Sequence[Event]) -> None:
        none: dict[int, tuple[str, OnEvent]] = {}
        for event in events:
            key = event.entry.key
            readers, wide = self._readers.get(bucket_of(key), none), self._readers.get("", none)
            for prefix, on_event in (
                (*readers.values(), *wide.values()) if readers is not wide else (*wide.values(),)
            ):
                if key.startswith(prefix):
                    try:
                        on_event(event)
                    except Exception:
                        log.exception("a subscriber of %s failed on %s", prefix, key)

    def _retire(self, event: Event) -> None:
        """History keeps bytes; the decoded object of a state that is past goes once watchers at hand have seen
        what came after it (one that looks further back decodes it again)."""
        if event.previous is not None:
            self._past.append(event.previous)
        if event.deleted:
            self._past.append(event.entry)
        while len(self._past) > KEEP_DECODED:
            self._past.popleft().decoded = None

    def record(self, events: Sequence[Event]) -> None:
        """Make one commit's `events` visible, telling nobody."""
        self.revision = events[0].entry.revision
        for event in events:
            self.bucket(event.entry.key).apply(event)
            self._size += len(event.entry.data)
        self._history.extend(events)

    @property
    def oversized(self) -> bool:
        """Whether history is larger than allowed."""
        return len(self._history) > self.retention.events or self._size > self.retention.size

    def excess(self) -> int:
        """The revision to compact to so that history is 3/4 of what is allowed; 0 where it is not oversized."""
        if not self.oversized:
            return 0
        events, size, keep = len(self._history), self._size, self.retention
        for event in self._history:
            if events <= keep.events * 3 // 4 and size <= keep.size * 3 // 4:
                return event.entry.revision - 1
            events -= 1
            size -= len(event.entry.data)
        return self.revision

    def expired(self, now: float) -> int:
        """The revision to compact to by age at `now` (monotonic seconds), else 0; call it now and then."""
        reached = 0
        while self._marks and now - self._marks[0][0] >= self.retention.seconds:
            reached = self._marks.popleft()[1]
        if not self._marks or now - self._marks[-1][0] >= self.retention.seconds / 10:
            self._marks.append((now, self.revision))
        return reached if reached > self.compacted else 0

    def forget(self, revision: int, limit: int = 0) -> Sequence[Event]:
        """Drop history up to and including `revision`; what was dropped. With a `limit` it stops after about
        as many events (whole commits), and `compacted` tells how far it came."""
        end = bisect_right(self._history, revision, key=revision_of)
        if limit and end > limit:
            revision = self._history[limit - 1].revision
            end = bisect_right(self._history, revision, key=revision_of)
        dropped = self._history[:end]
        del self._history[:end]
        self._size -= sum(len(event.entry.data) for event in dropped)
        for name in {bucket_of(event.entry.key) for event in dropped}:
            self.buckets[name].forget(revision)
        self.compacted = max(self.compacted, revision)
        return dropped

    def close(self) -> None:
        """End every watch."""
        for watch in tuple(self._watches):
            watch.close()

    def discard(self, watch: "StateWatch") -> None:
        """Forget a watch that was closed."""
        self._watches.discard(watch)


class StateWatch:
    """A `Watch` over a State: the replayed history first, then what is applied."""

    __slots__ = ("_live", "_replay", "_state", "_unsubscribe")

    def __init__(self, state: State, prefix: str, replay: Sequence[Event], capacity: int) -> None:
        self._state = state
        self._replay = replay
        self._live: Subscription[Event] = Subscription(capacity, self._gone, state.pace)
        self._unsubscribe = state.subscribe(prefix, self._live.push)

    def _gone(self, _: Subscription[Event]) -> None:
        self._unsubscribe()

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        """The next events, at least one. Errors: Lagging."""
        if self._replay:
            replay, self._replay = self._replay, ()
            return replay
        events = await self._live.next()
        if not events:
            raise StopAsyncIteration
        return events

    @property
    def ready(self) -> bool:
        """See `Watch.ready`."""
        return bool(self._replay) or self._live.ready

    def close(self) -> None:
        """End the watch."""
        self._state.discard(self)
        self._live.close()


class StateReads:
    """The reads of a `Store`, which every implementation answers from its state."""

    _state: State

    @property
    def revision(self) -> int:
        """The last durable revision."""
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

    def watch(self, prefix: str, *, after: int | None = None, capacity: int = 1000) -> Watch:
        """See `Store.watch`."""
        return self._state.watch(prefix, after, capacity)

    def subscribe(self, prefix: str, on_event: Callable[[Event], None]) -> Callable[[], None]:
        """See `Store.subscribe`."""
        return self._state.subscribe(prefix, on_event)
