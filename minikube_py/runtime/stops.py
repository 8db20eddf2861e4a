"""Stops: the containers and sandboxes that are just being stopped by calls of this process.

Whoever hears that one of them has ended need not ask the runtime whether it knows of that: the call returns
once it does.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class Stops:
    """The ids under way; a call is under way for the time of its `under_way` block."""

    def __init__(self) -> None:
        self._ends: dict[str, set[asyncio.Future[bool]]] = {}

    @contextlib.contextmanager
    def under_way(self, id: str) -> Iterator[None]:
        """A call that stops `id`."""
        end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        ends = self._ends.setdefault(id, set())
        ends.add(end)
        well = False
        try:
            yield
            well = True
        finally:
            end.set_result(well)
            ends.discard(end)
            if not ends:
                self._ends.pop(id, None)

    async def over(self, id: str) -> bool:
        """Wait until a call that stops `id` has ended; whether there was one, and it ended well."""
        ends = self._ends.get(id)
        if not ends:
            return False
        done, _ = await asyncio.wait(set(ends), return_when=asyncio.FIRST_COMPLETED)
        return any(end.result() for end in done)
