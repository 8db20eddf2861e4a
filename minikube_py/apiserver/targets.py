"""Where a stream or proxy request goes: pure lookups of nodes, pods and endpoints, as URLs.

A kubelet is found by its Node object and spoken to by HTTPS with the cluster's client certificate; pods and
services at their pod addresses. Loopback and link-local addresses are never proxied to.
"""

import random
import ssl
from typing import NamedTuple
from urllib.parse import quote, urlencode

from minikube_py.apiserver.request import Query, flag
from minikube_py.apiserver.resolver import Place, ServiceResolver, proxyable
from minikube_py.errors import BadRequest, NotFound, ServiceUnavailable
from minikube_py.kinds.core.node import Node, is_simulated
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Obj, containers_of, dig
from minikube_py.registry.resource import Registry

KUBELET_PORT = 10250
_ADDRESS_ORDER = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
_LOG_OPTIONS = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes")
_LOG_FLAGS = ("follow", "previous", "timestamps")
_STREAM_OPTIONS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""The options of exec and attach as the kubelet names them."""


class Target(NamedTuple):
    """A backend and the path (with its query) to ask for. `is_kubelet`: present the client certificate."""

    scheme: str
    host: str
    port: int
    path: str
    is_kubelet: bool = False
    tls: ssl.SSLContext | None = None
    """How to speak TLS to it; None: as to a kubelet or a pod."""
    server_name: str = ""
    """The name that its certificate must have, where it is not the host."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that it is sent in place of the client's."""

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class NoHost(BadRequest):
    """The pod is on no node yet."""


class Targets:
    """Finds targets in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._resolver = ServiceResolver(registry)

    def stream(self, namespace: str, name: str, subresource: str, query: Query) -> Target:
        """The kubelet's URL for exec, attach, portforward or log. Errors: NotFound, BadRequest."""
        pod = self._registry.decoded(self._registry.get(Pod, namespace, name))
        node = dig(pod, "spec.nodeName", "")
        container = container_of(pod, _first(query, "container")) if subresource != "portforward" else ""
        if not node:
            raise NoHost(f"pod {name} does not have a host assigned")
        place = f"{quote(namespace)}/{quote(name)}"
        if subresource == "portforward":
            ports = ",".join(map(str, asked_ports(query)))
            return self.kubelet(node, f"/portForward/{place}", {"port": [ports]} if ports else None)
        if subresource == "log":
            options = {key: query[key][:1] for key in _LOG_OPTIONS if key in query}
            options |= {key: ["true"] for key in _LOG_FLAGS if flag(query, key)}
            return self.kubelet(node, f"/containerLogs/{place}/{quote(container)}", options)
        asked = {theirs: ["1"] for ours, theirs in _STREAM_OPTIONS.items() if flag(query, ours)}
        if subresource == "exec":
            asked["command"] = list(query.get("command", ()))
            if not asked["command"]:
                raise BadRequest("you must specify at least one command for the container")
        if not asked.keys() & {"input", "output", "error"}:
            raise BadRequest("you must specify at least one of stdin, stdout, stderr")
        return self.kubelet(node, f"/{subresource}/{place}/{quote(container)}", asked)

    def kubelet(self, node: str, path: str, query: Query | None = None) -> Target:
        """A path on a node's kubelet. Errors: NotFound, ServiceUnavailable."""
        found = self._registry.decoded(self._registry.get(Node, "", node))
        if is_simulated(found):
            raise ServiceUnavailable(f"node {node} is simulated: it has no kubelet to ask")
        text = urlencode(query or {}, doseq=True)
        return Target(
            "https", node_address(found), kubelet_port(found), f"{path}?{text}" if text else path, True
        )

    def proxied(self, resource: str, namespace: str, name: str, path: str) -> Target:
        """Where `<resource>/<[scheme:]name[:port]>/proxy<path>` leads. A Service leads to its pods only.
        Errors: NotFound, BadRequest, ServiceUnavailable."""
        scheme, target, port = split_name(name, resource.removesuffix("s"))
        if resource == "nodes":
            found = self.kubelet(target, path)
            proxyable(found.host)
            if not port or port == str(found.port):
                return found
            return Target(scheme or "http", found.host, _port_number(port), path)
        if resource == "pods":
            return self._pod(namespace, target, (scheme, port), path)
        return self._service(namespace, target, (scheme, port), path)

    def _pod(self, namespace: str, name: str, asked: tuple[str, str], path: str) -> Target:
        pod = self._registry.decoded(self._registry.get(Pod, namespace, name))
        scheme, port = asked
        number = _pod_port(pod, port) or (443 if scheme == "https" else 80)
        return Target(scheme or "http", proxyable(dig(pod, "status.podIP", "")), number, path)

    def _service(self, namespace: str, name: str, asked: tuple[str, str], path: str) -> Target:
        service = self._registry.decoded(self._registry.get(Service, namespace, name))
        scheme, port = asked
        port_name = _service_port(service, port)
        places = self._resolver.places(namespace, name, port_name)
        random.shuffle(places)
        for place in places:
            if self._is_pod(namespace, place):
                return Target(scheme or "http", proxyable(place.host), place.port, path)
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')

    def _is_pod(self, namespace: str, place: Place) -> bool:
        """Whether an endpoint is what it says: a pod with that address."""
        if place.pod is None:
            return False
        try:
            pod = self._registry.decoded(self._registry.get(Pod, namespace, place.pod))
        except NotFound:
            return False
        addresses = [ip.get("ip") for ip in dig(pod, "status.podIPs", [])]
        return place.host in (*addresses, dig(pod, "status.podIP"))


def asked_ports(query: Query) -> list[int]:
    """The ports that a port-forward names, one by one or with commas. Errors: BadRequest."""
    ports = []
    for text in (part for value in query.get("ports", ()) for part in value.split(",")):
        told = f'cannot convert to []int32: strconv.ParseUint: parsing "{text}"'
        if not (text.isascii() and text.isdigit()):
            raise BadRequest(f"{told}: invalid syntax")
        if int(text) > 0xFFFF:
            raise BadRequest(f"{told}: value out of range")
        ports.append(int(text))
    return ports


def container_of(pod: Obj, asked: str) -> str:
    """The container meant by a request on `pod`. Errors: BadRequest where it is unknown or unclear."""
    name = dig(pod, "metadata.name", "")
    if asked:
        if asked not in {container["name"] for container in containers_of(pod.get("spec") or {})}:
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    names = [container["name"] for container in dig(pod, "spec.containers", [])]
    if len(names) == 1:
        return str(names[0])
    message = f"a container name must be specified for pod {name}"
    if names:
        message += f", choose one of: [{' '.join(names)}]"
    if inits := [container["name"] for container in dig(pod, "spec.initContainers", [])]:
        message += f" or one of the init containers: [{' '.join(inits)}]"
    raise BadRequest(message)


def node_address(node: Obj) -> str:
    """The address at which a node's kubelet is reached. Errors: ServiceUnavailable."""
    addresses = {a.get("type"): a.get("address") for a in dig(node, "status.addresses", [])}
    for type in _ADDRESS_ORDER:
        if addresses.get(type):
            return str(addresses[type])
    raise ServiceUnavailable(f"no preferred addresses found for node {dig(node, 'metadata.name')}")


def kubelet_port(node: Obj) -> int:
    """The port of a node's kubelet."""
    return int(dig(node, "status.daemonEndpoints.kubeletEndpoint.Port", 0) or KUBELET_PORT)


def split_name(text: str, kind: str = "service") -> tuple[str, str, str]:
    """Scheme, name and port of `[scheme:]name[:port]`. Errors: BadRequest."""
    parts = text.split(":")
    if len(parts) == 1 and parts[0]:
        return "", parts[0], ""
    if len(parts) == 2 and parts[0]:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", "") and parts[1]:
        return parts[0], parts[1], parts[2]
    raise BadRequest(f'invalid {kind} request "{text}"')


def _service_port(service: Obj, asked: str) -> str:
    ports = dig(service, "spec.ports", [])
    if not asked and len(ports) == 1:
        return str(ports[0].get("name") or "")
    for port in ports:
        if asked and asked in (port.get("name"), str(port.get("port"))):
            return str(port.get("name") or "")
    raise ServiceUnavailable(f'no service port "{asked}" found for service "{dig(service, "metadata.name")}"')


def _pod_port(pod: Obj, asked: str) -> int:
    """The port that is asked for by number or name, else the first that the pod declares; 0 for none."""
    ports = [port for c in dig(pod, "spec.containers", []) for port in c.get("ports") or ()]
    if not asked:
        return int(ports[0]["containerPort"]) if ports else 0
    named = (int(port["containerPort"]) for port in ports if port.get("name") == asked)
    return next(named, 0) or _port_number(asked)


def _port_number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadRequest(f"invalid port {text!r}")
    return int(text)


def _first(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""
