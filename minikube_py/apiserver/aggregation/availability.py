"""Availability: whether a remote group version can be served, and the condition that says so.

`judged` is the pure part; `Availability.check` also asks the backend for its discovery document, which
serves as what clients discover. Reasons and messages are kube-aggregator's.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
import orjson

from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver import dialing
from minikube_py.apiserver.aggregation.backend import Backend, Fetched
from minikube_py.apiserver.aggregation.services import Remote
from minikube_py.apiserver.resolver import SERVICE_NAME, endpoint_places
from minikube_py.apiserver.webhook_client import WebhookFailed
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.objects import Obj, dig
from minikube_py.registry.base import ListOptions
from minikube_py.registry.resource import Registry

CHECK_SECONDS = 5.0
ATTEMPTS = 5
"""Requests that are made at once; one success is enough."""


class Finding(NamedTuple):
    """The Available condition, and the discovery document where the backend gave one."""

    status: str
    reason: str
    message: str
    resources: tuple[Obj, ...] | None = None

    def condition(self) -> Obj:
        """The condition as an APIService carries it."""
        return {"type": "Available", "status": self.status, "reason": self.reason, "message": self.message}


PASSED = Finding("True", "Passed", "all checks passed")


def judged(remote: Remote, service: Obj | None, slices: Sequence[Obj]) -> Finding | None:
    """What is wrong with a backend's Service and endpoints; None where nothing is."""
    name, namespace = remote.service, remote.namespace
    if service is None:
        return Finding("False", "ServiceNotFound", f'service/{name} in "{namespace}" is not present')
    if dig(service, "spec.type", "ClusterIP") != "ClusterIP":
        return None
    port = next((p for p in dig(service, "spec.ports", []) if p.get("port") == remote.port), None)
    if port is None:
        message = f'service/{name} in "{namespace}" is not listening on port {remote.port}'
        return Finding("False", "ServicePortError", message)
    if not slices:
        message = f'cannot find endpointslices for service/{name} in "{namespace}"'
        return Finding("False", "EndpointsNotFound", message)
    port_name = port.get("name") or ""
    if not endpoint_places(slices, port_name):
        message = (
            f'endpointslices for service/{name} in "{namespace}" have no addresses with port name "{port_name}"'
        )
        return Finding("False", "MissingEndpoints", message)
    return None


class Availability:
    """Finds out whether backends can be reached."""

    def __init__(self, registry: Registry, backend: Backend) -> None:
        self._registry = registry
        self._backend = backend

    async def check(self, remote: Remote) -> Finding:
        """Whether a remote group version can be served now."""
        service, slices = self._known(remote)
        wrong = judged(remote, service, slices)
        if wrong is not None:
            return wrong
        async with Tasks("availability") as tasks:
            asked = [tasks.spawn(self._ask(remote), f"{remote.name}/{n}") for n in range(ATTEMPTS)]
            found = PASSED
            for attempt in asyncio.as_completed(asked):
                found = await attempt
                if found.status == "True":
                    break
            return found

    def _known(self, remote: Remote) -> tuple[Obj | None, list[Obj]]:
        registry = self._registry
        try:
            service = registry.decoded(registry.get(Service, remote.namespace, remote.service))
        except NotFound:
            return None, []
        selected = ListOptions(labels=f"{SERVICE_NAME}={remote.service}")
        entries = registry.list(EndpointSlice, remote.namespace, selected).entries
        return service, [registry.decoded(entry) for entry in entries]

    async def _ask(self, remote: Remote) -> Finding:
        host, port = "", 0
        try:
            host, port = self._backend.address(remote)
            answer = await self._backend.fetch(
                remote,
                remote.path,
                timeout=CHECK_SECONDS,
                verified=False,
                headers={"Accept": "application/json"},
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ApiError, WebhookFailed) as error:
            why = error.message if isinstance(error, WebhookFailed) else dialing.words(error)
            url = f"https://{host}:{port}{remote.path}"
            message = f'failing or missing response from {url}: Get "{url}": {why}' if host else why
            return Finding("False", "FailedDiscoveryCheck", message)
        if not 200 <= answer.status < 300:
            url = f"https://{host}:{port}{remote.path}"
            message = f"failing or missing response from {url}: bad status from {url}: {answer.status}"
            return Finding("False", "FailedDiscoveryCheck", message)
        return PASSED._replace(resources=listed(answer))


def listed(answer: Fetched) -> tuple[Obj, ...] | None:
    """The resources in an APIResourceList; None where it is none."""
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    resources = found.get("resources") if isinstance(found, dict) else None
    if not isinstance(resources, list):
        return None
    return tuple(r for r in resources if isinstance(r, dict) and r.get("name") and r.get("kind"))
