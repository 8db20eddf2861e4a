"""Broadcast: bounded fan-out of items to many readers; a writer never waits for a reader.

A reader that lets `capacity` items pile up is closed: its iteration raises `Lagging`, and it must start
over (a Kubernetes watcher relists).
"""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lagging(Exception):
    """The reader was too slow and has lost items."""


class Subscription(Generic[T]):
    """One reader's queue; iterate it, and `close` it in the end."""

    def __init__(self, broadcast: "Broadcast[T]", capacity: int) -> None:
        self._broadcast = broadcast
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._wake = asyncio.Event()
        self._lagging = False
        self._closed = False

    def _push(self, item: T) -> None:
        if len(self._items) >= self._capacity:
            self._lagging = True
            self._items.clear()
            self._broadcast._drop(self)
        else:
            self._items.append(item)
        self._wake.set()

    def drain(self) -> list[T]:
        """All items at hand, without waiting; raises Lagging if some were lost."""
        if self._lagging:
            raise Lagging("the reader was too slow and lost items")
        items = list(self._items)
        self._items.clear()
        return items

    async def next(self) -> list[T]:
        """Wait for at least one item and return all at hand; an empty list once closed."""
        while not self._items and not self._lagging and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        return self.drain()

    def close(self) -> None:
        """Stop receiving; a waiting `next` returns what is at hand."""
        self._closed = True
        self._broadcast._drop(self)
        self._wake.set()


class Broadcast(Generic[T]):
    """Hands each published item to every subscription."""

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
