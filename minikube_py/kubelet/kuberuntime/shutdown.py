"""The end of a node's pods when the cluster is stopped: every container, then every sandbox."""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.kuberuntime.sandbox import GRACE
from minikube_py.runtime.base import Container, Runtime, RuntimeFailed

log = logging.getLogger(__name__)

STOP_GRACE = 10.0
"""Seconds that containers have to end when the cluster is stopped."""


async def end_pods(runtime: Runtime, hurry: asyncio.Event, deaf: Collection[str]) -> None:
    """Stop and remove every pod sandbox of this runtime, all at once. Containers have their grace period, at
    most STOP_GRACE, to end by themselves, until `hurry` is set; those in `deaf` have none."""
    running = [c for c in await runtime.containers.list() if c.state == "running"]
    async with Tasks("stop") as tasks:
        stops = _all(runtime.containers.stop(c.id, 0.0 if c.id in deaf else _grace(c)) for c in running)
        waiting = [tasks.spawn(stops, "containers"), tasks.spawn(hurry.wait(), "hurry")]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    sandboxes = await runtime.sandboxes.list()
    await _all(runtime.sandboxes.stop(sandbox.id) for sandbox in sandboxes)
    await _all(runtime.sandboxes.remove(sandbox.id) for sandbox in sandboxes)


def _grace(container: Container) -> float:
    asked = container.annotations.get(GRACE, "")
    return min(STOP_GRACE, float(asked)) if asked.isdigit() else STOP_GRACE


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, (RuntimeFailed, TimeoutError)):
            log.warning("a container was not ended cleanly: %s", result)
        elif isinstance(result, BaseException):
            raise result
