"""Batches: many equal things are begun slowly, and many objects are looked at in parts.

`slow_start` does things at once in batches that double, so that a common error costs few tries. Between the
parts of `in_parts` others have their turn.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
FIRST_BATCH, BURST = 1, 500
PART = 500
"""Objects that are looked at without a pause."""


async def in_parts(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """`items` in their order, so many at a time as may be looked at without a pause."""
    for start in range(0, len(items), PART):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + PART]


async def slow_start(count: int, work: Callable[[int], Awaitable[None]]) -> tuple[int, Exception | None]:
    """Run work(0) ... work(count - 1) in batches of 1, 2, 4, ...; the batch in which one fails is the last.
    How many succeeded, and the first error."""
    done, size = 0, FIRST_BATCH
    started = 0
    while started < count:
        batch = range(started, min(count, started + size))
        results = await asyncio.gather(*(work(number) for number in batch), return_exceptions=True)
        started = batch.stop
        failures = [result for result in results if isinstance(result, BaseException)]
        done += len(results) - len(failures)
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure
            return done, failure
        size *= 2
    return done, None
