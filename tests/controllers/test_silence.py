"""Silence: who is not heard of in time is told, and nothing is done for those that are."""

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.controllers.nodes.silence import Silence


class Counting(VirtualClock):
    """A clock that counts how often somebody sleeps."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


async def test_the_silent_ones_are_told_once() -> None:
    """A node is told when its grace is over, unless it was heard of since, or forgotten; then no more."""
    clock, told = VirtualClock(), list[tuple[str, float]]()
    silence = Silence(clock, 40, lambda name: told.append((name, clock.monotonic())))
    async with Tasks("test") as tasks:
        tasks.spawn(silence.run(), "silence")
        for name in ("a", "b", "c"):
            silence.heard(name)
        await clock.advance(10)
        silence.heard("b")
        silence.heard("d")
        silence.forget("c")
        assert [silence.awaits(name) for name in "abcd"] == [True, True, False, True]
        await clock.advance(200)
        silence.heard("a")
        await clock.advance(200)
    assert told == [("a", 40.0), ("b", 50.0), ("d", 50.0), ("a", 250.0)]


async def test_many_that_beat_cost_one_timer() -> None:
    """However many nodes are heard of in time, there is one timer, once in a while."""
    clock, told = Counting(), list[str]()
    silence = Silence(clock, 40, told.append)
    async with Tasks("test") as tasks:
        tasks.spawn(silence.run(), "silence")
        for _ in range(60):
            for number in range(100):
                silence.heard(f"n{number}")
            await clock.advance(10, settle=3)
    assert told == []
    assert clock.sleeps <= 600 / 30
