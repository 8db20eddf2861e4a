"""kube-controller-manager: runs every controller found in this folder.

Guarantees: each controller acts under its own client name; one that crashes is started again with backoff
and does not stop the others; `health` tells of each, `lines` of their metrics. Where several managers run,
client.election leads them, so that one works and the others wait.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from minikube_py import collect
from minikube_py.aio.clock import Clock
from minikube_py.aio.metrics import Counter
from minikube_py.aio.service import RESTART_BACKOFF, Health
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.workqueue import QueueMetrics
from minikube_py.client.base import Clients
from minikube_py.controllers.base import Controller, ControllerConfig, ControllerContext

log = logging.getLogger(__name__)


def controllers() -> list[type[Controller]]:
    """Every controller in this folder."""
    return collect.classes("minikube_py.controllers", Controller)  # type: ignore[type-abstract]


class ControllerManager:
    """A Service that runs `chosen` controllers (default: all)."""

    name = "kube-controller-manager"

    def __init__(
        self,
        clients: Clients,
        clock: Clock,
        config: ControllerConfig | None = None,
        chosen: Sequence[type[Controller]] | None = None,
    ) -> None:
        self._queues = QueueMetrics()
        context = ControllerContext(clients, clock, config or ControllerConfig(), self._queues)
        self._clock = clock
        self.controllers = tuple(cls(context) for cls in (controllers() if chosen is None else chosen))
        now = clock.now()
        self.health: dict[str, Health] = {c.name: Health(c.name, "stopped", now) for c in self.controllers}

    async def run(self, ready: asyncio.Event) -> None:
        """Run until cancelled; ready once every controller has begun, or failed to begin once."""
        async with Tasks(self.name) as tasks:
            begun = []
            for controller in self.controllers:
                event = asyncio.Event()
                tasks.spawn(self._keep_running(controller, event), controller.name)
                begun.append(event)
            for event in begun:
                await event.wait()
            ready.set()
            await asyncio.get_running_loop().create_future()

    async def _keep_running(self, controller: Controller, begun: asyncio.Event) -> None:
        restarts = 0
        while True:
            ready = asyncio.Event()
            self._note(controller.name, "restarting" if restarts else "starting", restarts)
            try:
                async with Tasks(f"{self.name}/{controller.name}") as tasks:
                    tasks.spawn(self._note_ready(controller.name, ready, begun, restarts), "health")
                    await controller.run(ready)
            except Exception as error:
                begun.set()
                wait = RESTART_BACKOFF[min(restarts, len(RESTART_BACKOFF) - 1)]
                restarts += 1
                self._note(controller.name, "restarting", restarts, str(error) or repr(error))
                log.exception("%s crashed; it is started again in %g s", controller.name, wait)
                await self._clock.sleep(wait)

    async def _note_ready(self, name: str, ready: asyncio.Event, begun: asyncio.Event, restarts: int) -> None:
        await ready.wait()
        self._note(name, "running", restarts)
        begun.set()

    def _note(self, name: str, state: str, restarts: int, error: str = "") -> None:
        known = self.health[name]
        self.health[name] = replace(
            known,
            state=state,
            since=self._clock.now(),
            restarts=restarts,
            error=error or (known.error if state == "restarting" else ""),
        )

    @property
    def idle(self) -> bool:
        """Whether no controller has anything to do now (delayed keys do not count)."""
        return all(controller.queue.idle for controller in self.controllers)

    def lines(self) -> Iterator[str]:
        """The metrics of queues and reconciles, named as Kubernetes and its controllers' library name them."""
        yield from self._queues.lines()
        runs = Counter("controller_runtime_reconcile_total", "Reconciles.", ("controller", "result"))
        for controller in self.controllers:
            told, name = controller.metrics, controller.name
            runs.add((name, "success"), told.runs - told.errors - told.conflicts)
            runs.add((name, "error"), told.errors)
            runs.add((name, "conflict"), told.conflicts)
        yield from runs.lines()
