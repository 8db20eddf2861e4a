"""Sandboxes over CRI: a pod's namespaces, its network by CNI, and its pause process."""

import contextlib
from collections.abc import Sequence

from minikube_py.runtime import convert
from minikube_py.runtime.base import RuntimeNotFound, Sandbox, SandboxConfig
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.proto import cri_pb2 as cri
from minikube_py.runtime.stops import Stops

SERVICE = "/runtime.v1.RuntimeService/"
RUN_DEADLINE = 240.0  # seconds; CNI may wait for addresses, the sandbox image may be pulled


class CriSandboxes:
    """The contract's Sandboxes on a CRI runtime."""

    def __init__(self, calls: Calls, stops: Stops) -> None:
        self._calls, self._stops = calls, stops

    async def run(self, config: SandboxConfig) -> str:
        """Make and start a sandbox; its id. It is ready, with its addresses, when this returns."""
        request = cri.RunPodSandboxRequest(
            config=convert.sandbox_config(config), runtime_handler=config.runtime_handler
        )
        answer = await self._calls.unary(
            SERVICE + "RunPodSandbox", request, cri.PodSandboxId, deadline=RUN_DEADLINE
        )
        return str(answer.pod_sandbox_id)

    async def stop(self, id: str) -> None:
        """Kill what runs in it and take down its network; one that is stopped or gone already is fine."""
        request = cri.PodSandboxId(pod_sandbox_id=id)
        with self._stops.under_way(id), contextlib.suppress(RuntimeNotFound):
            await self._calls.repeated(SERVICE + "StopPodSandbox", request, cri.Empty)

    async def remove(self, id: str) -> None:
        """Remove it with all its containers (stopped first); one that is gone already is fine."""
        await self._calls.repeated(SERVICE + "RemovePodSandbox", cri.PodSandboxId(pod_sandbox_id=id), cri.Empty)

    async def list(self) -> Sequence[Sandbox]:
        """All sandboxes, without their addresses (`status` tells those)."""
        answer = await self._calls.unary(
            SERVICE + "ListPodSandbox", cri.ListPodSandboxRequest(), cri.ListPodSandboxResponse
        )
        return tuple(convert.sandbox(item) for item in answer.items)

    async def status(self, id: str) -> Sandbox:
        """One sandbox with its addresses. Errors: RuntimeNotFound."""
        answer = await self._calls.unary(
            SERVICE + "PodSandboxStatus",
            cri.PodSandboxStatusRequest(pod_sandbox_id=id),
            cri.PodSandboxStatusResponse,
        )
        return convert.sandbox(answer.status)
