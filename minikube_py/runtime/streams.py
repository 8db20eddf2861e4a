"""Commands in containers, and the URLs of containerd's own streaming server.

The URLs are plain HTTP on loopback with a one-time token; whoever holds one speaks SPDY/3.1 to it.
"""

import math
from collections.abc import Sequence

from minikube_py.runtime.base import ExecResult
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.proto import cri_pb2 as cri

SERVICE = "/runtime.v1.RuntimeService/"
SLACK = 10.0  # seconds that the runtime may take beyond the command's own timeout


class CriStreams:
    """The contract's Streams on a CRI runtime."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def exec_sync(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run `command` to its end; `timeout` in seconds (0: none), rounded up. Errors: TimeoutError."""
        seconds = max(0, math.ceil(timeout))
        answer = await self._calls.unary(
            SERVICE + "ExecSync",
            cri.ExecSyncRequest(container_id=id, cmd=command, timeout=seconds),
            cri.ExecSyncResponse,
            deadline=seconds + SLACK if seconds else None,
        )
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec(
        self, id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """The URL where `command` runs once somebody connects."""
        request = cri.ExecRequest(
            container_id=id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr and not tty
        )
        return await self._url("Exec", request)

    async def attach(self, id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        """The URL of the streams of the container's own process."""
        request = cri.AttachRequest(
            container_id=id, stdin=stdin, tty=tty, stdout=stdout, stderr=stderr and not tty
        )
        return await self._url("Attach", request)

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        """The URL that forwards to ports in the sandbox's network namespace."""
        return await self._url("PortForward", cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports))

    async def _url(self, method: str, request: object) -> str:
        answer = await self._calls.unary(SERVICE + method, request, cri.StreamResponse)
        return str(answer.url)
