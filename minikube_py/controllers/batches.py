"""Slow start: do many equal things at once, in batches that double, so that a common error costs few tries."""

import asyncio
from collections.abc import Awaitable, Callable

FIRST_BATCH, BURST = 1, 500


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
