"""Records: what containerd has in its database, apart from what CRI tells: containers and leases.

For finding what a killed containerd has forgotten, and what it remembers in vain.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from minikube_py.runtime.base import RuntimeNotFound
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.proto import containerd_pb2 as containerd

CONTAINERS = "/containerd.services.containers.v1.Containers/"
LEASES = "/containerd.services.leases.v1.Leases/"


class Records:
    """A connection to the containerd at `socket`; use as an async context manager."""

    def __init__(self, socket: Path) -> None:
        self._calls = Calls(f"unix:{socket}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._calls.close()

    async def unknown(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that are no container's. Errors: RuntimeFailed, TimeoutError."""
        return {id for id in ids if not await self._knows(id)}

    async def _knows(self, id: str) -> bool:
        request = containerd.GetContainerRequest(id=id)
        try:
            await self._calls.unary(CONTAINERS + "Get", request, containerd.GetContainerResponse)
        except RuntimeNotFound:
            return False
        return True

    async def drop_leases(self, before: float) -> int:
        """Delete the leases made before a moment (seconds since the epoch), and with the last of them what
        nothing else holds (snapshots, content); how many. Errors: RuntimeFailed, TimeoutError."""
        answer = await self._calls.unary(
            LEASES + "List", containerd.ListLeasesRequest(), containerd.ListLeasesResponse, wait_for_ready=True
        )
        old = [lease.id for lease in answer.leases if lease.created_at.ToMicroseconds() / 1e6 < before]
        for id in old:
            request = containerd.DeleteLeaseRequest(id=id, sync=id == old[-1])
            await self._calls.unary(LEASES + "Delete", request, containerd.Empty)
        return len(old)
