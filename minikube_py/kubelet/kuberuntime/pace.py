"""Pace: how many sandboxes and containers a node starts at once.

Starts slow each other down in the runtime and in the kernel, which makes mounts and network namespaces one
after another: on two cores fifty at once take a sixth longer, all in all, than eight at a time. So a start
takes one of `places`. Containers come before sandboxes, so that pods that were begun get done; else who came
first is first. A start that takes longer than others (a network that is not there yet) gives its place away, so
that it keeps nobody from starting: once as many have ended since as there are places, or after LONGEST. Where
all take long it is the machine, and more at once would make it worse.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator
from enum import IntEnum

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks

PER_CORE = 4
PATIENCE, LONGEST = 2.0, 10.0
"""Seconds after which a place is looked at, again and again, and after which it is given away."""


class Start(IntEnum):
    """What is started; the lower is the more urgent."""

    CONTAINER = 0
    SANDBOX = 1


class Pace:
    """The places of one node."""

    def __init__(self, clock: Clock, places: int) -> None:
        self._clock = clock
        self._places = self._free = places
        self._ended = 0
        self._order = itertools.count()
        self._waiting: list[tuple[Start, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def place(self, what: Start, tasks: Tasks) -> AsyncIterator[None]:
        """Hold a place while the block runs, once one is free; `tasks` are those of the pod."""
        await self._take(what)
        lent = tasks.spawn(self._lend(), "place")
        lent.add_done_callback(lambda _: self._give())
        try:
            yield
        finally:
            self._ended += 1
            lent.cancel()

    async def _lend(self) -> None:
        """Wait for as long as a start may hold its place."""
        before, until = self._ended, self._clock.monotonic() + LONGEST
        while self._ended - before < self._places and self._clock.monotonic() < until:
            await self._clock.sleep(PATIENCE)

    async def _take(self, what: Start) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (what, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()  # it came in the moment in which nobody wanted it any more
            raise

    def _give(self) -> None:
        """Hand a place to the next who waits."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
