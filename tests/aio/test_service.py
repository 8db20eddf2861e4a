"""Services: started in order, stopped in reverse, restarted with backoff."""

import asyncio
from collections.abc import Callable

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.service import Services

Log = list[str]


class Recorded:
    """A service that notes when it starts and ends; `crash` ends it with an error."""

    def __init__(self, name: str, log: Log, before_ready: Callable[[], None] = lambda: None) -> None:
        self.name, self._log, self._before_ready = name, log, before_ready
        self.crash = asyncio.Event()

    async def run(self, ready: asyncio.Event) -> None:
        self._log.append(f"+{self.name}")
        self._before_ready()
        ready.set()
        try:
            await self.crash.wait()
            self.crash.clear()
            raise RuntimeError(f"{self.name} broke")
        finally:
            self._log.append(f"-{self.name}")


async def test_order_of_start_and_stop() -> None:
    """Each starts once the one before is ready; they end the other way round."""
    log: Log = []
    services = Services([Recorded(name, log) for name in "abc"], VirtualClock())
    await services.start()
    assert log == ["+a", "+b", "+c"]
    assert {health.state for health in services.health.values()} == {"running"}
    await services.stop()
    assert log[3:] == ["-c", "-b", "-a"]
    assert {health.state for health in services.health.values()} == {"stopped"}


async def test_a_crash_is_restarted_with_backoff() -> None:
    """A service that crashed waits longer each time, and its health tells how often and why."""
    log: Log = []
    clock, service = VirtualClock(), Recorded("a", log)
    services = Services([service], clock)
    await services.start()
    for wait in (1, 2, 4):
        service.crash.set()
        await clock.advance(wait - 0.5)
        assert services.health["a"].state == "restarting"
        await clock.advance(0.5)
        assert services.health["a"].state == "running"
    assert (services.health["a"].restarts, services.health["a"].error) == (3, "a broke")
    await services.stop()


async def test_a_restart_that_fails_is_tried_again() -> None:
    """A service that was ready once is never given up: it may find at its next start what it now lacks."""
    clock, lacking = VirtualClock(), [False]

    def start() -> None:
        if lacking[0]:
            raise OSError("disk full")

    service = Recorded("a", [], start)
    services = Services([service], clock)
    await services.start()
    lacking[0] = True
    service.crash.set()
    await clock.advance(20.0)
    assert (services.health["a"].state, services.health["a"].error) == ("restarting", "disk full")
    lacking[0] = False
    await clock.advance(16.0)
    assert services.health["a"].state == "running"
    await services.stop()


async def test_a_crash_after_a_while_is_the_first_again() -> None:
    """A service that ran well for a while waits as little as at its first crash."""
    clock, service = VirtualClock(), Recorded("a", [])
    services = Services([service], clock)
    await services.start()
    for crash in range(5):
        service.crash.set()
        await clock.advance(1.0)
        assert (services.health["a"].state, services.health["a"].restarts) == ("running", crash + 1)
        await clock.advance(10.0)
    await services.stop()


async def test_one_that_cannot_start_ends_the_start() -> None:
    """The first failure is the start's error, and what already ran is ended."""
    log: Log = []

    def fail() -> None:
        raise OSError("port taken")

    services = Services([Recorded("a", log), Recorded("b", log, fail)], VirtualClock())
    with pytest.raises(OSError, match="port taken"):
        await services.start()
    assert log == ["+a", "+b", "-a"]
    assert services.health["b"].error == "port taken"
