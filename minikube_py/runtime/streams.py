"""Commands in containers, connections into pods, and the URLs of containerd's own streaming server for attach.

The URLs are plain HTTP on loopback with a one-time token; whoever holds one speaks SPDY/3.1 to it.
"""

import math
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from minikube_py.aio.tasks import Tasks
from minikube_py.runtime.base import ExecResult, Process, RuntimeUnavailable
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.namespaces import connect_in
from minikube_py.runtime.processes import Wanted, container_spec, start_process
from minikube_py.runtime.proto import cri_pb2 as cri

SERVICE = "/runtime.v1.RuntimeService/"
SLACK = 10.0  # seconds that the runtime may take beyond the command's own timeout


class CriStreams:
    """The contract's Streams on containerd; `fifos` is a folder that it sees under the same name."""

    def __init__(self, calls: Calls, fifos: Path) -> None:
        self._calls, self._fifos = calls, fifos
        self._left = Tasks("streams")

    async def close(self) -> None:
        """Leave what runs to itself."""
        await self._left.cancel()

    async def exec_sync(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run `command` to its end; `timeout` in seconds (0: none), rounded up. Errors: TimeoutError where the
        runtime says that it took too long; one that says nothing is RuntimeUnavailable."""
        seconds = max(0, math.ceil(timeout))
        request = cri.ExecSyncRequest(container_id=id, cmd=command, timeout=seconds)
        deadline, begun = seconds + SLACK if seconds else None, time.monotonic()
        try:
            answer = await self._calls.unary(
                SERVICE + "ExecSync", request, cri.ExecSyncResponse, deadline=deadline
            )
        except TimeoutError as error:
            if deadline is None or time.monotonic() - begun < deadline - 1.0:
                raise  # the runtime's own words
            raise RuntimeUnavailable("the container runtime does not answer") from error
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec(
        self, id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> Process:
        """Start `command` with FIFOs in a folder of its own."""
        wanted = Wanted(id, command, stdin, stdout, stderr, tty)
        return await start_process(self._calls, wanted, self._left, self._fifos)

    async def attach(self, id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        """The URL of the streams of the container's own process."""
        request = cri.AttachRequest(
            container_id=id, stdin=stdin, tty=tty, stdout=stdout, stderr=stderr and not tty
        )
        return await self._url("Attach", request)

    async def connect(self, sandbox_id: str, port: int) -> socket.socket:
        """A connection to a port of the sandbox's own localhost. Errors: OSError in containerd's words for it,
        RuntimeFailed."""
        spec = orjson.loads(await container_spec(self._calls, sandbox_id))
        spaces = {space["type"]: space.get("path", "") for space in spec["linux"]["namespaces"]}
        namespace = spaces.get("network", "")
        try:
            return await connect_in(namespace, port)
        except OSError as error:
            where = f'network namespace "{namespace or "host"}"'
            told = f'failed to connect to localhost:{port} inside namespace "{sandbox_id}", {error}'
            raise OSError(f"failed to execute portforward in {where}: {told}") from error

    async def _url(self, method: str, request: object) -> str:
        answer = await self._calls.unary(SERVICE + method, request, cri.StreamResponse)
        return str(answer.url)
