"""What the runtime tells of itself: version, condition, events, statistics.

Events come from containerd's own event service (its CRI service had none before 1.7). The exits of exec'd
processes are left out: an event names a container or sandbox whose own process started or ended. An exit is
told once CRI knows of it, so that `status` asked in answer to the event tells the exit code. That takes it some
40 ms more than containerd's own records, so what ended by itself is told to have ended as soon as those have
let go of it: its output has been read by then. What was killed waits, since CRI alone tells of what.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio

from minikube_py.aio.tasks import Tasks
from minikube_py.runtime import convert
from minikube_py.runtime.base import (
    ContainerStats,
    Resources,
    RuntimeEvent,
    RuntimeFailed,
    RuntimeInfo,
    RuntimeNotFound,
    RuntimeUnavailable,
)
from minikube_py.runtime.calls import NAMESPACE, Calls, translate
from minikube_py.runtime.proto import containerd_pb2 as containerd
from minikube_py.runtime.proto import cri_pb2 as cri
from minikube_py.runtime.stops import Stops

SERVICE = "/runtime.v1.RuntimeService/"
SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
TOPICS = ("/tasks/start", "/tasks/exit", "/tasks/delete", "/tasks/oom")
EXIT_KNOWN_WITHIN = 5.0  # seconds after which an exit is told all the same
DELETED_WITHIN = 0.25  # seconds in which CRI deletes the task of what has ended; it knows of the exit then
FIRST_LOOK, TOLD_LOOK, LAST_LOOK = 0.001, 0.02, 0.1
"""Seconds until CRI is asked again whether it knows of an exit: at first, at first where the end was told
already, and at most."""
KILLED = 137  # the exit code of what SIGKILL ended, maybe for want of memory

log = logging.getLogger(__name__)
Queue = asyncio.Queue[RuntimeEvent | Exception]


class CriMonitor:
    """The contract's Monitor on containerd."""

    def __init__(
        self, calls: Calls, stops: Stops, *, oom_score_floor: int = -1000, shut: Path | None = None
    ) -> None:
        self._calls, self._stops, self._shut = calls, stops, shut
        self._told = False
        self._oom_score_floor = oom_score_floor
        self._deleted: dict[str, asyncio.Event] = {}

    async def info(self) -> RuntimeInfo:
        """Name, version, condition and abilities: no user namespaces where their users cannot reach the
        bundles."""
        version = await self._calls.unary(
            SERVICE + "Version", cri.VersionRequest(version="v1"), cri.VersionResponse
        )
        answer = await self._calls.unary(SERVICE + "Status", cri.StatusRequest(), cri.StatusResponse)
        info = convert.runtime_info(version, answer)
        if self._shut is None or not any(can.user_namespaces for can in info.handlers.values()):
            return info
        if not self._told:
            self._told = True
            log.warning(
                "no pod can have users of its own (hostUsers: false): others may not pass through %s",
                self._shut,
            )
        return convert.without_users(info)

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Events from the moment of this call on; ends with RuntimeUnavailable when the runtime goes."""
        filters = [f'namespace=={NAMESPACE},topic=="{topic}"' for topic in TOPICS]
        call = self._calls.server_stream(
            SUBSCRIBE, containerd.SubscribeRequest(filters=filters), containerd.Envelope
        )
        return self._read(call)

    async def _read(self, call: Any) -> AsyncIterator[RuntimeEvent]:
        arrived: Queue = asyncio.Queue()
        async with Tasks("runtime-events") as tasks:
            tasks.spawn(self._receive(call, arrived, tasks), "receive")
            try:
                while not isinstance(item := await arrived.get(), Exception):
                    yield item
                raise item
            finally:
                call.cancel()

    async def _receive(self, call: Any, arrived: Queue, tasks: Tasks) -> None:
        end: Exception = RuntimeUnavailable("the container runtime ended the event stream")
        try:
            async for envelope in call:
                event = event_from(envelope.topic, envelope.event.value)
                if event and event.type == "deleted":
                    if deleted := self._deleted.get(event.container_id):
                        deleted.set()
                elif event and event.type == "exited":
                    self._deleted[event.container_id] = asyncio.Event()
                    tasks.spawn(self._confirm(event, arrived), f"exit/{event.container_id[:12]}")
                elif event:
                    arrived.put_nowait(event)
        except grpc.aio.AioRpcError as error:
            end = translate(error)
            end.__cause__ = error
        finally:  # closing the channel cancels the call, and with it this task
            arrived.put_nowait(end)

    async def _confirm(self, event: RuntimeEvent, arrived: Queue) -> None:
        """Tell of an exit as soon as CRI's own record has it, and before that of the end, where it is whole."""
        wait, id = FIRST_LOOK, event.container_id
        try:
            async with asyncio.timeout(EXIT_KNOWN_WITHIN):
                known = await self._stops.over(id)
                while not known and not await self._deletion(id):
                    known = not await self._runs(id)
                if not known and event.exit_code != KILLED:
                    arrived.put_nowait(replace(event, type="ended"))
                    wait = TOLD_LOOK
                    await asyncio.sleep(wait)
                while not known and await self._runs(id):
                    await asyncio.sleep(wait)
                    wait = min(LAST_LOOK, wait * 2)
        except (RuntimeFailed, TimeoutError):
            log.debug("the state of %s is unknown", id)
        finally:
            self._deleted.pop(id, None)
        arrived.put_nowait(event)

    async def _deletion(self, id: str) -> bool:
        """Wait a little until the task of what has ended is deleted; whether it is. All its output was read
        then, and CRI notes the exit next."""
        deleted = self._deleted[id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELETED_WITHIN):
                await deleted.wait()
        return deleted.is_set()

    async def _runs(self, id: str) -> bool:
        """Whether CRI still takes the container, or else the sandbox, for running."""
        try:
            request = cri.ContainerStatusRequest(container_id=id)
            answer = await self._calls.unary(SERVICE + "ContainerStatus", request, cri.ContainerStatusResponse)
            return bool(answer.status.state == cri.CONTAINER_RUNNING)
        except RuntimeNotFound:
            pass
        try:
            asked = cri.PodSandboxStatusRequest(pod_sandbox_id=id)
            told = await self._calls.unary(SERVICE + "PodSandboxStatus", asked, cri.PodSandboxStatusResponse)
            return bool(told.status.state == cri.SANDBOX_READY)
        except RuntimeNotFound:
            return False

    async def stats(self) -> Sequence[ContainerStats]:
        """Usage of every running container, as the runtime measured it just now."""
        answer = await self._calls.unary(
            SERVICE + "ListContainerStats", cri.ListContainerStatsRequest(), cri.ListContainerStatsResponse
        )
        return tuple(convert.container_stats(item) for item in answer.stats)

    async def reopen_log(self, id: str) -> None:
        """Open the container's log file anew, after it was renamed (log rotation)."""
        await self._calls.unary(SERVICE + "ReopenContainerLog", cri.ContainerId(container_id=id), cri.Empty)

    async def update_resources(self, id: str, resources: Resources) -> None:
        """Change the limits of a container that runs."""
        request = cri.UpdateContainerResourcesRequest(
            container_id=id, linux=convert.linux_resources(resources, self._oom_score_floor)
        )
        await self._calls.unary(SERVICE + "UpdateContainerResources", request, cri.Empty)


def event_from(topic: str, data: bytes) -> RuntimeEvent | None:
    """The event that containerd published under `topic`; None where it is about an exec'd process."""
    match topic:
        case "/tasks/start":
            return RuntimeEvent("started", containerd.TaskStart.FromString(data).container_id)
        case "/tasks/exit":
            ended = containerd.TaskExit.FromString(data)
            if ended.id != ended.container_id:
                return None
            moment = ended.exited_at.seconds + ended.exited_at.nanos / 1e9
            return RuntimeEvent("exited", ended.container_id, ended.exit_status, moment)
        case "/tasks/delete":
            return RuntimeEvent("deleted", containerd.TaskDelete.FromString(data).container_id)
        case "/tasks/oom":
            return RuntimeEvent("oom", containerd.TaskOOM.FromString(data).container_id)
        case _:
            return None
