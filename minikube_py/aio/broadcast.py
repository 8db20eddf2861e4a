"""Broadcast: bounded fan-out of items to many readers; a writer never waits for a reader.

A reader that lets `capacity` items pile up is closed: its iteration raises `Lagging`, and it must start
over (a Kubernetes watcher relists). A crowd of readers may have a `Pace`: under a flood each is woken now and
then, for all that came meanwhile, since waking one costs more than an item.
"""

import asyncio
from collections.abc import Callable, Sized
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
PACE_SECONDS: Final = 0.01
"""The least time between two wakes of a reader of a crowd."""
CROWD: Final = 32
"""Readers from which they are one."""


def _nobody(_: object) -> None:
    """Whom a subscription tells that has ended."""


class Lagging(Exception):
    """The reader was too slow and has lost items."""


class Subscription(Generic[T]):
    """One reader's queue: `push` fills it, `next` waits for items, `close` ends it. `gone` is called once it
    takes no more. Thousands wait at a time: it is kept small."""

    __slots__ = ("_capacity", "_closed", "_gone", "_items", "_lagging", "_pace", "_waiting", "woken")

    def __init__(
        self, capacity: int, gone: "Callable[[Subscription[T]], Any]", pace: "Pace | None" = None
    ) -> None:
        self._gone = gone
        self._pace = pace
        self.woken = 0.0
        """When it was woken, by the loop's clock, as its pace notes it."""
        self._capacity = capacity
        self._items: list[T] = []
        self._waiting: asyncio.Future[None] | None = None
        self._lagging = False
        self._closed = False

    def push(self, item: T) -> None:
        """Hand over an item; one too many ends the subscription."""
        if len(self._items) >= self._capacity:
            self._lagging = True
            self._items.clear()
            self._leave()
        else:
            self._items.append(item)
        if not self.waits:
            return
        if self._pace is None or self._lagging:
            self.wake()
        else:
            self._pace.wake(self)

    @property
    def ready(self) -> bool:
        """Whether `next` returns, or raises, at once."""
        return bool(self._items) or self._lagging or self._closed

    @property
    def waits(self) -> bool:
        """Whether a `next` waits to be woken."""
        return self._waiting is not None and not self._waiting.done()

    def wake(self) -> None:
        """Have a waiting `next` look for items."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def drain(self) -> list[T]:
        """All items at hand, without waiting; raises Lagging if some were lost."""
        if self._lagging:
            raise Lagging("the reader was too slow and lost items")
        items, self._items = self._items, []
        return items

    async def next(self) -> list[T]:
        """Wait for at least one item and return all at hand; an empty list once closed."""
        while not self._items and not self._lagging and not self._closed:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self.drain()

    def close(self) -> None:
        """Stop receiving; a waiting `next` returns what is at hand."""
        self._closed = True
        self._leave()
        self.wake()

    def _leave(self) -> None:
        """Tell that it takes no more, once, and let go of whom it told: what is closed goes at once, without
        the garbage collector."""
        gone, self._gone = self._gone, _nobody
        gone(self)


class Pace:
    """Wakes the readers of a crowd, whose number is that of `members`: at once where there are few or one was
    not woken lately, else with the others a moment later."""

    __slots__ = ("_late", "_members")

    def __init__(self, members: Sized) -> None:
        self._members = members
        self._late: dict[Subscription[Any], None] = {}

    def wake(self, reader: Subscription[Any]) -> None:
        """Wake a waiting reader, in time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if len(self._members) < CROWD or now - reader.woken >= PACE_SECONDS:
            reader.woken = now
            reader.wake()
            return
        if not self._late:
            loop.call_later(PACE_SECONDS, self._wake_late, loop)
        self._late[reader] = None

    def _wake_late(self, loop: asyncio.AbstractEventLoop) -> None:
        late, self._late, now = self._late, {}, loop.time()
        for reader in late:
            reader.woken = now
            reader.wake()


class Broadcast(Generic[T]):
    """Hands each published item to every subscription."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: dict[int, Subscription[T]] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def subscribe(self, capacity: int) -> Subscription[T]:
        """A subscription that receives what is published from now on."""
        reader = Subscription(capacity, self._drop)
        self._readers[id(reader)] = reader
        return reader

    def publish(self, item: T) -> None:
        """Hand `item` to every reader; never waits."""
        for reader in tuple(self._readers.values()):
            reader.push(item)

    def close(self) -> None:
        """Close every subscription."""
        for reader in tuple(self._readers.values()):
            reader.close()

    def _drop(self, reader: Subscription[T]) -> None:
        self._readers.pop(id(reader), None)
