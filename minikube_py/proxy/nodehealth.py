"""What kube-proxy tells of itself: its health on a port of every address, its mode on a port of loopback.

Load balancers ask /healthz whether this node should get traffic (a node that is being removed should not),
others /livez whether the proxy works. The bodies and headers are those of kube-proxy. A port that somebody else
holds, as another cluster on the machine does, is logged and not served; forwarding does not depend on it.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

from minikube_py.aio.tasks import Tasks
from minikube_py.meta.objects import Obj, dig, is_deleting
from minikube_py.proxy.onerequest import answer_one, response

log = logging.getLogger(__name__)

HEALTH_PORT, MODE_PORT = 10256, 10249
LEAVING = "ToBeDeletedByClusterAutoscaler"
Answer = tuple[int, str, str]
"""A status code, the type of the body, and the body."""


def is_eligible(node: Obj | None) -> bool:
    """Whether a node should get traffic from outside."""
    if node is None or is_deleting(node):
        return False
    return not any(taint.get("key") == LEAVING for taint in dig(node, "spec.taints") or ())


def node_health(path: str, now: datetime, eligible: bool) -> Answer:
    """The answer on the port of health checks."""
    moment = f"{now:%Y-%m-%d %H:%M:%S.%f}000 +0000 UTC"
    told = f'{{"lastUpdated": "{moment}","currentTime": "{moment}"'
    if path == "/healthz":
        shown = f'{told}, "nodeEligible": {str(eligible).lower()}}}'
        return 200 if eligible else 503, "application/json", shown
    return (200, "application/json", f"{told}}}") if path == "/livez" else _not_found()


def mode(path: str) -> Answer:
    """The answer on loopback's port."""
    told = {"/proxyMode": "nftables", "/healthz": "ok"}.get(path)
    return (200, "text/plain; charset=utf-8", told) if told is not None else _not_found()


def _not_found() -> Answer:
    return 404, "text/plain; charset=utf-8", "404 page not found\n"


def _response(answer: Callable[[str], Answer], method: str, path: str) -> bytes:
    code, type, body = answer(path)
    return response(code, body, method, f"Content-Type: {type}\r\nX-Content-Type-Options: nosniff\r\n")


class NodeHealth:
    """Serves `answers`: what to say to a path, by address and port; use as an async context manager."""

    def __init__(self, answers: dict[tuple[str, int], Callable[[str], Answer]]) -> None:
        self._answers = answers
        self._servers: list[asyncio.Server] = []
        self._tasks = Tasks("node-health")

    @property
    def ports(self) -> list[int]:
        """The ports that are served."""
        return [int(socket.getsockname()[1]) for server in self._servers for socket in server.sockets]

    def _connected(
        self, answer: Callable[[str], Answer], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._tasks.spawn(answer_one(reader, writer, partial(_response, answer)), "request")

    async def __aenter__(self) -> Self:
        for (address, port), answer in self._answers.items():
            try:
                server = await asyncio.start_server(partial(self._connected, answer), address, port)
            except OSError as error:
                log.info("port %d of kube-proxy is not served: %s", port, error)
                continue
            self._servers.append(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._tasks.cancel()
