"""Service: a component with a beginning and an end; `Services` runs them in order.

A service starts once the previous one is ready, and they stop in reverse. One that crashes after it was
ready is restarted with backoff (1 s doubling to 4 s, from the start again once it has run for 10 s), and says
so in its log and health; one that cannot become ready the first time ends the start with its error.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks

log = logging.getLogger(__name__)

RESTART_BACKOFF = (1.0, 2.0, 4.0)
"""Seconds before a crashed service runs again, by the number of crashes in a row: what keeps it from running
may have been mended meanwhile, and the whole cluster waits for it."""
STEADY = 10.0
"""Seconds after which a service runs so well that its next crash is the first in a row again."""


class Service(Protocol):
    """A component that runs until it is cancelled."""

    name: str

    async def run(self, ready: asyncio.Event) -> None:
        """Serve until cancelled; set `ready` once others may rely on it. Returning early counts as a crash."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one service: state is starting, running, restarting, or stopped."""

    name: str
    state: str
    since: datetime
    restarts: int = 0
    error: str = ""


class Services:
    """Runs services in the order given; `health` tells of each."""

    def __init__(self, services: Sequence[Service], clock: Clock) -> None:
        self._services = tuple(services)
        self._clock = clock
        self._tasks = Tasks("services")
        self._running: list[asyncio.Task[None]] = []
        now = clock.now()
        self.health: dict[str, Health] = {s.name: Health(s.name, "stopped", now) for s in self._services}

    async def start(self) -> None:
        """Start each service once the one before is ready; the error of one that fails stops the others."""
        try:
            for service in self._services:
                await self._start_one(service)
        except BaseException:
            await self.stop()
            raise

    async def _start_one(self, service: Service) -> None:
        ready = asyncio.Event()
        task = self._tasks.spawn(self._keep_running(service, ready), service.name)
        self._running.append(task)
        became_ready = self._tasks.spawn(ready.wait(), f"{service.name}/ready")
        await asyncio.wait((task, became_ready), return_when=asyncio.FIRST_COMPLETED)
        became_ready.cancel()
        if task.done():
            task.result()

    async def _keep_running(self, service: Service, ready: asyncio.Event) -> None:
        restarts = in_a_row = 0
        while True:
            self._note(service.name, "starting" if not restarts else "restarting", restarts=restarts)
            marker = self._tasks.spawn(self._note_when_ready(service.name, ready), f"{service.name}/health")
            try:
                await service.run(ready)
                raise RuntimeError(f"{service.name} ended by itself")
            except Exception as error:
                if not ready.is_set() and not restarts:
                    self._note(service.name, "stopped", error=str(error))
                    raise
                in_a_row = 0 if self._ran_well(service.name) else in_a_row
                wait = RESTART_BACKOFF[min(in_a_row, len(RESTART_BACKOFF) - 1)]
                restarts, in_a_row = restarts + 1, in_a_row + 1
                self._note(service.name, "restarting", restarts=restarts, error=str(error) or repr(error))
                log.exception("%s crashed; it is started again in %g s", service.name, wait)
                ready.clear()
                ready = asyncio.Event()
                await self._clock.sleep(wait)
            finally:
                marker.cancel()

    def _ran_well(self, name: str) -> bool:
        health = self.health[name]
        return health.state == "running" and (self._clock.now() - health.since).total_seconds() >= STEADY

    async def _note_when_ready(self, name: str, ready: asyncio.Event) -> None:
        await ready.wait()
        self._note(name, "running")

    def _note(self, name: str, state: str, *, restarts: int | None = None, error: str | None = None) -> None:
        known = self.health[name]
        self.health[name] = replace(
            known,
            state=state,
            since=self._clock.now(),
            restarts=known.restarts if restarts is None else restarts,
            error=known.error if error is None else error,
        )

    async def stop(self) -> None:
        """Stop the services in reverse order, each one ended before the next is asked."""
        for service, task in reversed(list(zip(self._services, self._running, strict=False))):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._note(service.name, "stopped")
        self._running.clear()
        await self._tasks.cancel()
