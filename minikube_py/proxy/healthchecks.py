"""What a load balancer asks a node: whether pods of a Service run here, at its healthCheckNodePort.

A Service of type LoadBalancer whose traffic stays on the node (externalTrafficPolicy: Local) has a port on
every node that answers any HTTP request with 200 while ready endpoints of it are here, else with 503; the body
and the headers are those of kube-proxy. A port that somebody else holds is logged and tried again when the
Service changes; forwarding does not depend on it.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from minikube_py.aio.tasks import Tasks
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.proxy import onerequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What the port of one Service tells: how many of its ready endpoints are on this node."""

    port: int
    endpoints: int


def health_of(service: Obj, slices: Iterable[Obj], node: str) -> Health | None:
    """What the health check of a Service says on `node`; None where it has none."""
    spec = service.get("spec") or {}
    port = spec.get("healthCheckNodePort")
    if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local" or not port:
        return None
    here = {
        address
        for slice in slices
        if slice.get("addressType", "IPv4") == "IPv4"
        for endpoint in slice.get("endpoints") or ()
        if endpoint.get("nodeName") == node and dig(endpoint, "conditions.ready", True)
        for address in endpoint.get("addresses") or ()
    }
    return Health(int(port), len(here))


def response(key: Key, health: Health, method: str) -> bytes:
    """The whole HTTP response to any path."""
    told = {
        "service": {"namespace": key.namespace, "name": key.name},
        "localEndpoints": health.endpoints,
        "serviceProxyHealthy": True,
    }
    body = json.dumps(told, indent="\t") + "\n"
    headers = (
        "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {health.endpoints}\r\n"
    )
    return onerequest.response(200 if health.endpoints else 503, body, method, headers)


class HealthChecks:
    """Serves the ports of the Services that have one; use as an async context manager."""

    def __init__(self) -> None:
        self._shown: dict[Key, Health] = {}
        self._servers: dict[Key, tuple[int, asyncio.Server]] = {}
        self._tasks = Tasks("health-checks")

    async def show(self, key: Key, health: Health | None) -> None:
        """From now on a Service's port tells this; None closes it."""
        served = self._servers.get(key)
        if served and (health is None or served[0] != health.port):
            del self._servers[key]
            served[1].close()
        if health is None:
            self._shown.pop(key, None)
            return
        self._shown[key] = health
        if key not in self._servers:
            await self._listen(key, health.port)

    async def _listen(self, key: Key, port: int) -> None:
        try:
            server = await asyncio.start_server(partial(self._connected, key), "0.0.0.0", port)
        except OSError as error:
            log.warning("the health check of %s/%s is not served: %s", key.namespace, key.name, error)
            return
        self._servers[key] = (port, server)

    def _connected(self, key: Key, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def respond(method: str, _: str) -> bytes:
            health = self._shown.get(key)
            return response(key, health, method) if health else b""

        answer = onerequest.answer_one(reader, writer, respond)
        self._tasks.spawn(answer, f"{key.namespace}/{key.name}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, server in self._servers.values():
            server.close()
        self._servers.clear()
        self._shown.clear()
        await self._tasks.cancel()
