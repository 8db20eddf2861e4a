"""Pace: a node starts so many at once, containers first, and nobody waits for what hangs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.kuberuntime.pace import LONGEST, PATIENCE, Pace, Start


class Starts:
    """Starts that take until they are let go; `begun` names those that have their place, in order."""

    def __init__(self, places: int, tasks: Tasks) -> None:
        self.clock = VirtualClock()
        self.begun: list[str] = []
        self._pace, self._tasks = Pace(self.clock, places), tasks
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, what: Start = Start.SANDBOX) -> asyncio.Task[None]:
        """A start that has got as far as it can."""
        task = self._tasks.spawn(self._start(name, what), name)
        await self.clock.advance(0)
        return task

    async def end(self, name: str) -> None:
        """Let a start go, and the next ones begin."""
        self._ends[name].set()
        await self.clock.advance(0)

    async def _start(self, name: str, what: Start) -> None:
        self._ends[name] = asyncio.Event()
        async with self._pace.place(what, self._tasks):
            self.begun.append(name)
            await self._ends[name].wait()


@contextlib.asynccontextmanager
async def starts(places: int) -> AsyncIterator[Starts]:
    """Starts on a node with so many places."""
    async with Tasks("test") as tasks:
        yield Starts(places, tasks)


async def test_no_more_start_than_there_are_places() -> None:
    """The third start begins when one of two has ended, in the order of coming."""
    async with starts(2) as node:
        for name in "abcd":
            await node.begin(name)
        assert node.begun == ["a", "b"]
        await node.end("b")
        assert node.begun == ["a", "b", "c"]
        await node.end("a")
        assert node.begun == ["a", "b", "c", "d"]


async def test_containers_come_before_sandboxes() -> None:
    """A pod that was begun gets done before the next one is begun."""
    async with starts(1) as node:
        await node.begin("first")
        await node.begin("sandbox")
        await node.begin("container", Start.CONTAINER)
        await node.end("first")
        await node.end("container")
        assert node.begun == ["first", "container", "sandbox"]


async def test_a_start_that_hangs_keeps_nobody_waiting() -> None:
    """After a while its place goes to the next one, once only."""
    async with starts(1) as node:
        for name in "abc":
            await node.begin(name)
        await node.clock.advance(LONGEST - PATIENCE)
        assert node.begun == ["a"]  # where nobody gets done, it may be the machine
        await node.clock.advance(PATIENCE)
        assert node.begun == ["a", "b"]
        await node.end("a")
        assert node.begun == ["a", "b"]
        await node.end("b")
        assert node.begun == ["a", "b", "c"]


async def test_a_start_that_others_overtake_gives_its_place_away() -> None:
    """It is soon known to hang where others that came with it and after it get done."""
    async with starts(2) as node:
        for name in "abcdef":
            await node.begin(name)
        await node.end("b")
        await node.end("c")
        assert node.begun == ["a", "b", "c", "d"]
        await node.clock.advance(PATIENCE)
        assert node.begun == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("turns", range(6))
async def test_one_that_waits_no_more_keeps_no_place(turns: int) -> None:
    """A pod that is deleted while it waits, or in the moment in which its turn comes, leaves it to the next."""
    async with starts(1) as node:
        first = await node.begin("a")
        waiting = await node.begin("b")
        await node.begin("c")
        first.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await node.clock.advance(0)
        assert node.begun[-1] == "c"
