"""Broadcast: bounded fan-out of items to many readers; a writer never waits for a reader.

A reader that lets `capacity` items pile up is closed: its iteration raises `Lagging`, and it must start
over (a Kubernetes watcher relists).
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Lagging(Exception):
    """The reader was too slow and has lost items."""


class Subscription(Generic[T]):
    """One reader's queue; iterate it, and `close` it in the end. Thousands wait at a time: it is kept small."""

    __slots__ = ("_broadcast", "_capacity", "_closed", "_items", "_lagging", "_waiting")

    def __init__(self, broadcast: "Broadcast[T]", capacity: int) -> None:
        self._broadcast = broadcast
        self._capacity = capacity
        self._items: list[T] = []
        self._waiting: asyncio.Future[None] | None = None
        self._lagging = False
        self._closed = False

    def _push(self, item: T) -> None:
        if len(self._items) >= self._capacity:
            self._lagging = True
            self._items.clear()
            self._broadcast._drop(self)
        else:
            self._items.append(item)
        self._wake()

    def _wake(self) -> None:
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
        self._broadcast._drop(self)
        self._wake()


class Broadcast(Generic[T]):
    """Hands each published item to every subscription."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: dict[int, Subscription[T]] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def subscribe(self, capacity: int) -> Subscription[T]:
        """A subscription that receives what is published from now on."""
        reader = Subscription(self, capacity)
        self._readers[id(reader)] = reader
        return reader

    def publish(self, item: T) -> None:
        """Hand `item` to every reader; never waits."""
        for reader in tuple(self._readers.values()):
            reader._push(item)

    def close(self) -> None:
        """Close every subscription."""
        for reader in tuple(self._readers.values()):
            reader.close()

    def _drop(self, reader: Subscription[T]) -> None:
        self._readers.pop(id(reader), None)
