"""ServiceResolver: from a Service and one of its ports to the address of a pod that serves it.

Webhooks, aggregated API servers and the proxy subresource reach Services this way: in this process, through
EndpointSlices, not through the node's packet filter. Loopback and link-local addresses are refused, so that a
Service never leads to what only this machine may reach.
"""

import ipaddress
import random
from collections.abc import Sequence
from typing import NamedTuple

from minikube_py.errors import BadRequest, NotFound, ServiceUnavailable
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.objects import Obj, dig
from minikube_py.registry.base import ListOptions
from minikube_py.registry.resource import Registry


class Place(NamedTuple):
    """An endpoint: where it is, and the pod's name where it is one."""

    host: str
    port: int
    pod: str | None = None


BROADCAST = ipaddress.IPv4Address("255.255.255.255")
SERVICE_NAME = "kubernetes.io/service-name"


class ServiceResolver:
    """Finds the endpoints of Services in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def service(self, namespace: str, name: str) -> Obj:
        """The Service, shared and read-only. Errors: NotFound (`service "x" not found`)."""
        try:
            return self._registry.decoded(self._registry.get(Service, namespace, name))
        except NotFound as error:
            details = {"name": name, "kind": "service"}
            raise NotFound(f'service "{name}" not found', details=details) from error

    def places(self, namespace: str, name: str, port_name: str) -> list[Place]:
        """Address and port of every ready endpoint of a Service's named port."""
        selected = ListOptions(labels=f"{SERVICE_NAME}={name}")
        listing = self._registry.list(EndpointSlice, namespace, selected)
        return endpoint_places([self._registry.decoded(entry) for entry in listing.entries], port_name)

    def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Where to reach a Service's port: any one of its endpoints.
        Errors: NotFound, ServiceUnavailable, BadRequest (an address that is not a pod's)."""
        service = self.service(namespace, name)
        type = dig(service, "spec.type", "ClusterIP")
        if type == "ExternalName":
            raise ServiceUnavailable(f'unsupported service type "{type}"')
        found = next((p for p in dig(service, "spec.ports", []) if p.get("port") == port), None)
        if found is None:
            raise ServiceUnavailable(f'no service port {port} found for service "{name}"')
        places = self.places(namespace, name, found.get("name") or "")
        if not places:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        place = random.choice(places)
        return proxyable(place.host), place.port


def proxyable(address: str) -> str:
    """`address`, refused where it is not one of a pod. Errors: BadRequest."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError as error:
        raise BadRequest("address not allowed") from error
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip == BROADCAST:
        raise BadRequest("address not allowed")
    return address


def endpoint_places(slices: Sequence[Obj], port_name: str) -> list[Place]:
    """Address and port of every ready endpoint that serves a named port."""
    return [
        Place(endpoint["addresses"][0], int(port["port"]), _pod_of(endpoint))
        for slice in slices
        for port in slice.get("ports") or ()
        if (port.get("name") or "") == port_name and port.get("port")
        for endpoint in slice.get("endpoints") or ()
        if dig(endpoint, "conditions.ready", True) and endpoint.get("addresses")
    ]


def _pod_of(endpoint: Obj) -> str | None:
    target = endpoint.get("targetRef") or {}
    return target.get("name") if target.get("kind") == "Pod" else None
