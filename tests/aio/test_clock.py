"""The clocks: virtual time moves only when told, and wakes sleepers in order."""

import asyncio

import pytest

from minikube_py.aio.clock import SystemClock, VirtualClock, within
from minikube_py.aio.tasks import Tasks


async def test_virtual_time_wakes_sleepers_in_order() -> None:
    """Sleepers wake at their deadlines, the earliest first, those of one deadline in the order they came."""
    clock, woken = VirtualClock(), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with Tasks("test") as tasks:
        for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 1.0)):
            tasks.spawn(sleeper(name, seconds), name)
        await clock.advance(2)
        assert woken == [("a", 1.0), ("b", 1.0)]
        await clock.advance(2)
    assert woken[2:] == [("c", 3.0)]
    assert clock.monotonic() == 4.0


async def test_virtual_time_reaches_sleeps_begun_on_the_way() -> None:
    """A task that sleeps again while time moves is woken again within the same move."""
    clock, ticks = VirtualClock(), []

    async def ticker() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.monotonic())

    async with Tasks("test") as tasks:
        tasks.spawn(ticker(), "ticker")
        await clock.advance(3.5)
    assert ticks == [1.0, 2.0, 3.0]


async def test_within_gives_the_result_or_times_out() -> None:
    """Work that ends in time gives its result; other work is cancelled."""
    clock = VirtualClock()
    assert await within(clock, 1, asyncio.sleep(0, "done")) == "done"
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Tasks("test") as tasks:
        waiting = tasks.spawn(_expect_timeout(clock, forever()), "waiting")
        await clock.advance(5)
        assert await waiting is True
    assert cancelled.is_set()


async def _expect_timeout(clock: VirtualClock, work: object) -> bool:
    with pytest.raises(TimeoutError):
        await within(clock, 5, work)  # type: ignore[arg-type]
    return True


async def test_within_by_the_real_clock() -> None:
    """By the real clock too work gives its result, or is cancelled; its own timeout is not taken for ours."""
    clock, cancelled = SystemClock(), asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def times_out() -> None:
        raise TimeoutError("its own")

    assert await within(clock, 10, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(TimeoutError, match=r"not done within 0\.01 s"):
        await within(clock, 0.01, forever())
    assert cancelled.is_set()
    with pytest.raises(TimeoutError, match="its own"):
        await within(clock, 10, times_out())


async def test_system_time_is_utc_and_moves() -> None:
    """The real clock gives UTC, and sleeping lets time pass."""
    clock = SystemClock()
    begin = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > begin
    assert str(clock.now().tzinfo) == "UTC"
