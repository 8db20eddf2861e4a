"""Containers over CRI: created in a sandbox, started, stopped with a grace, removed."""

import asyncio
import contextlib
import math
from collections.abc import Sequence

import orjson

from minikube_py.runtime import cdi, convert
from minikube_py.runtime.base import Container, ContainerConfig, RuntimeNotFound, SandboxConfig
from minikube_py.runtime.calls import DEADLINE, Calls
from minikube_py.runtime.proto import cri_pb2 as cri
from minikube_py.runtime.stops import Stops

SERVICE = "/runtime.v1.RuntimeService/"


class CriContainers:
    """The contract's Containers on a CRI runtime.

    `oom_score_floor` is the lowest oom_score_adj that this machine lets us give.
    """

    def __init__(self, calls: Calls, stops: Stops, *, oom_score_floor: int = -1000) -> None:
        self._calls, self._stops = calls, stops
        self._oom_score_floor = oom_score_floor
        self._sandboxes: dict[str, str] = {}  # container id > sandbox id, which ContainerStatus does not tell

    async def create(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        """Make a container in the sandbox that `sandbox` describes; its id. It does not run yet. CDI devices
        are looked up here where the runtime does not do that. Errors: RuntimeFailed."""
        if config.cdi_devices and await self._lacks_cdi():
            config = await asyncio.to_thread(cdi.applied, config)
        request = cri.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=convert.container_config(config, self._oom_score_floor),
            sandbox_config=convert.sandbox_config(sandbox),
        )
        answer = await self._calls.unary(SERVICE + "CreateContainer", request, cri.ContainerId)
        self._sandboxes[answer.container_id] = sandbox_id
        return str(answer.container_id)

    async def _lacks_cdi(self) -> bool:
        asked = cri.VersionRequest(version="v1")
        told = await self._calls.unary(SERVICE + "Version", asked, cri.VersionResponse)
        return cdi.is_needed(told.runtime_name, told.runtime_version)

    async def start(self, id: str) -> None:
        """Start a created container. Errors: RuntimeFailed with runc's words where it cannot run."""
        await self._calls.unary(SERVICE + "StartContainer", cri.ContainerId(container_id=id), cri.Empty)

    async def stop(self, id: str, grace: float) -> None:
        """Send the stop signal and, `grace` seconds later, SIGKILL (0: at once); returns once it has ended."""
        seconds = max(0, math.ceil(grace))
        request = cri.StopContainerRequest(container_id=id, timeout=seconds)
        with self._stops.under_way(id), contextlib.suppress(RuntimeNotFound):
            await self._calls.repeated(
                SERVICE + "StopContainer", request, cri.Empty, deadline=seconds + DEADLINE
            )

    async def remove(self, id: str) -> None:
        """Remove it (killed first if it runs); one that is gone already is fine."""
        await self._calls.repeated(SERVICE + "RemoveContainer", cri.ContainerId(container_id=id), cri.Empty)
        self._sandboxes.pop(id, None)

    async def list(self) -> Sequence[Container]:
        """All containers; exit codes and start and finish times only by `status`."""
        answer = await self._calls.unary(
            SERVICE + "ListContainers", cri.ListContainersRequest(), cri.ListContainersResponse
        )
        self._sandboxes = {item.id: item.pod_sandbox_id for item in answer.containers}
        return tuple(convert.listed_container(item) for item in answer.containers)

    async def status(self, id: str) -> Container:
        """All that is known of one container. Errors: RuntimeNotFound."""
        sandbox_id = self._sandboxes.get(id)
        request = cri.ContainerStatusRequest(container_id=id, verbose=sandbox_id is None)
        answer = await self._calls.unary(SERVICE + "ContainerStatus", request, cri.ContainerStatusResponse)
        if sandbox_id is None:
            sandbox_id = str(orjson.loads(answer.info.get("info") or b"{}").get("sandboxID", ""))
        return convert.container(answer.status, sandbox_id)
