"""The work queue: deduplication, exclusion, delays and backoff, in virtual time."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.workqueue import WorkQueue


async def test_a_key_is_handed_out_once_however_often_it_was_added() -> None:
    """Adds before the taking are one; order is that of the first adds."""
    async with WorkQueue[str](VirtualClock(), name="t") as queue:
        for key in "abab":
            queue.add(key)
        assert [await queue.get(), await queue.get(), len(queue)] == ["a", "b", 0]


async def test_a_key_is_never_worked_on_twice_at_once() -> None:
    """A key added while it is worked on comes again after `done`."""
    async with WorkQueue[str](VirtualClock(), name="t") as queue:
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        assert await queue.get() == "a"
        queue.done("a")
        assert queue.idle


async def test_of_several_delays_the_earliest_counts() -> None:
    """A later deadline does not put a key off, nor bring it twice."""
    clock = VirtualClock()
    async with WorkQueue[str](clock, name="t") as queue:
        for seconds in (5, 2, 9):
            queue.add_after("a", seconds)
        await clock.advance(1.9)
        assert len(queue) == 0
        await clock.advance(0.1)
        assert len(queue) == 1
        queue.done(await queue.get())
        await clock.advance(20)
        assert len(queue) == 0


async def test_retries_back_off_until_forgotten() -> None:
    """Waits double with each retry, up to the limit, and begin anew after `forget`."""
    clock = VirtualClock()
    async with WorkQueue[str](clock, name="t", base=1, limit=4) as queue:
        for wait in (1, 2, 4, 4):
            queue.retry("a")
            await clock.advance(wait - 0.01)
            assert len(queue) == 0
            await clock.advance(0.01)
            queue.done(await queue.get())
        assert queue.failures("a") == 4
        queue.forget("a")
        queue.retry("a")
        await clock.advance(1)
        assert len(queue) == 1


@given(st.lists(st.tuples(st.sampled_from(["add", "work"]), st.sampled_from("abc")), max_size=60))
def test_no_add_is_lost(steps: list[tuple[str, str]]) -> None:
    """Whatever the order of adds and work, every key is worked on after its last add."""

    async def play() -> None:
        pending: set[str] = set()
        async with WorkQueue[str](VirtualClock(), name="t") as queue:
            for step, key in steps:
                if step == "add":
                    queue.add(key)
                    pending.add(key)
                elif len(queue):
                    taken = await queue.get()
                    pending.discard(taken)
                    queue.done(taken)
            while len(queue):
                taken = await queue.get()
                pending.discard(taken)
                queue.done(taken)
        assert pending == set()

    asyncio.run(play())


async def test_work_that_never_waits_lets_others_have_their_turn() -> None:
    """A worker whose keys need no waiting does not keep the loop until its queue is empty."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with WorkQueue[int](VirtualClock(), name="q") as queue, asyncio.TaskGroup() as group:
        for key in range(300):
            queue.add(key)
        task = group.create_task(other())
        for _ in range(300):
            key = await queue.get()
            sum(range(20_000))
            queue.done(key)
        task.cancel()
    assert turns > 2
