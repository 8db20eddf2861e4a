"""Broadcast: every reader gets every item, and a slow one is let go."""

import asyncio
import weakref

import pytest

from minikube_py.aio.broadcast import CROWD, PACE_SECONDS, Broadcast, Lagging, Pace, Subscription


async def test_readers_get_what_is_published_after_they_came() -> None:
    """Items come to each reader in order, all at hand at once."""
    broadcast: Broadcast[int] = Broadcast()
    early = broadcast.subscribe(10)
    broadcast.publish(1)
    late = broadcast.subscribe(10)
    broadcast.publish(2)
    assert [await early.next(), await late.next()] == [[1, 2], [2]]


async def test_a_slow_reader_is_closed_and_told() -> None:
    """A reader that lets its queue fill loses its place; the writer and the others go on."""
    broadcast: Broadcast[int] = Broadcast()
    slow, quick = broadcast.subscribe(2), broadcast.subscribe(10)
    for item in range(3):
        broadcast.publish(item)
    with pytest.raises(Lagging):
        await slow.next()
    assert await quick.next() == [0, 1, 2]
    assert len(broadcast) == 1


async def test_closing_wakes_a_waiting_reader() -> None:
    """A reader that waits ends with nothing when the broadcast closes."""
    broadcast: Broadcast[int] = Broadcast()
    reader = broadcast.subscribe(1)
    waiting = asyncio.ensure_future(reader.next())
    await asyncio.sleep(0)
    broadcast.close()
    assert await waiting == []


async def test_a_closed_reader_goes_without_the_collector() -> None:
    """A reader that has ended holds nobody who holds it: both go at once, without the collector."""

    class Owner:
        """Has a reader, and wants to hear when it ends."""

        def __init__(self) -> None:
            self.ended = 0
            self.reader: Subscription[int] = Subscription(1, self.end)

        def end(self, _: Subscription[int]) -> None:
            """The reader takes no more."""
            self.ended += 1

    owner = Owner()
    owner.reader.close()
    owner.reader.close()
    gone, ended = weakref.ref(owner), owner.ended
    del owner
    assert (ended, gone()) == (1, None)


async def test_a_crowd_is_woken_now_and_then() -> None:
    """In a crowd a reader is handed the first item at once, and those that follow in a moment, together."""
    members: list[int] = []
    pace, counts = Pace(members), {}
    for count in (CROWD - 1, CROWD):
        members[:] = range(count)
        reader: Subscription[int] = Subscription(100, lambda _: None, pace)
        batches: list[list[int]] = []

        async def read(reader: Subscription[int] = reader, batches: list[list[int]] = batches) -> None:
            while batch := await reader.next():
                batches.append(batch)

        reading = asyncio.create_task(read())
        for item in range(3):
            await asyncio.sleep(0)
            reader.push(item)
            await asyncio.sleep(0)
        await asyncio.sleep(2 * PACE_SECONDS)
        reader.close()
        await reading
        counts[count] = batches
    assert counts == {CROWD - 1: [[0], [1], [2]], CROWD: [[0], [1, 2]]}
