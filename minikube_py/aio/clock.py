"""Clock: every wait, timeout, backoff and timestamp of controllers, scheduler and kubelet goes through it.

`SystemClock` is the real one; `VirtualClock` lets tests run hours in microseconds: time moves only by
`advance`, which wakes sleepers in the order of their deadlines.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now(self) -> datetime:
        """The wall time, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock; 0 or less yields once."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), wake))
        await wake

    async def advance(self, seconds: float, *, settle: int = 50) -> None:
        """Move time by `seconds`; between two deadlines the loop turns `settle` times, so woken tasks act."""
        target = self._elapsed + seconds
        await _turn(settle)
        while self._sleepers and self._sleepers[0][0] <= target:
            deadline, _, wake = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, deadline)
            if not wake.done():
                wake.set_result(None)
                await _turn(settle)
        self._elapsed = target
        await _turn(settle)


async def _turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """The result of `work`, or TimeoutError once `seconds` of `clock` have passed (work is then cancelled)."""
    if isinstance(clock, SystemClock):  # without the two tasks that another clock takes
        try:
            async with asyncio.timeout(seconds) as limit:
                return await work
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"not done within {seconds:g} s") from error
            raise
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {seconds:g} s")
    finally:
        for pending in (task, timer):
            if not pending.done():
                pending.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)
