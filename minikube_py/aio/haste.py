"""Haste: work that is short as a rule is done on the event loop at once, in a thread where it turns out long.

    await hasten(validate, obj)         # calls `validate(obj)`
    spend(cost)                         # within it, before what costs that much
    await aside(size, validate, obj)    # the same, of an object of `size` bytes

Work that has spent more than SOON while it hurried ends in TakesLong and begins again in a thread, where
nothing hurries it: so it may be done twice, and must change nothing before it has spent what it needs.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

Params = ParamSpec("Params")
Result = TypeVar("Result")

SOON: Final = 60_000
"""What work may cost that holds up the event loop, in the units of CEL's costs: some 20 ms."""
LARGE: Final = 1 << 16
"""Bytes of an object from which work on it is done in a thread."""
_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


class TakesLong(Exception):
    """The work is not for the event loop."""


def left(most: int) -> int:
    """What may still be spent, `most` where nothing hurries."""
    found = _left.get()
    return most if found is None else min(most, found[0])


def spend(cost: int) -> None:
    """Note what a step costs. Errors: TakesLong, where that is more than is left."""
    found = _left.get()
    if found is None:
        return
    found[0] -= cost
    if found[0] < 0:
        raise TakesLong


async def hasten(work: Callable[Params, Result], *args: Params.args, **options: Params.kwargs) -> Result:
    """What `work` gives, or raises."""
    token = _left.set([SOON])
    try:
        return work(*args, **options)
    except TakesLong:
        pass
    finally:
        _left.reset(token)
    return await asyncio.to_thread(work, *args, **options)


def aside(
    size: int, work: Callable[Params, Result], *args: Params.args, **options: Params.kwargs
) -> Coroutine[Any, Any, Result]:
    """What `work`, on an object of `size` bytes, gives or raises: the loop goes on where it takes long."""
    if size > LARGE:
        return asyncio.to_thread(work, *args, **options)
    return hasten(work, *args, **options)
