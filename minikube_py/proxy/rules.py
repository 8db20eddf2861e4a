"""What the kernel must know of Services: pure functions from Services and EndpointSlices to map elements.

`table` has the maps and the rules that read them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import NamedTuple

from minikube_py.meta.objects import Obj, annotations_of, dig

RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MARK = 0x6D6B0000
"""The upper half of the connection marks that session affinity uses; the lower half counts service ports."""


class Place(NamedTuple):
    """Where an element stands: its map or set, and its key in nft's syntax."""

    map: str
    key: str


Elements = Mapping[Place, str]
"""Elements with their data in nft's syntax; a set's have none ("")."""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """This node: its name, its pods' range and bridge, and the name of the nft table that is ours."""

    node: str
    table: str = "minikube-py"
    pod_cidr: str = "10.244.0.0/24"
    cluster_cidr: str = "10.244.0.0/16"
    bridge: str = "mkpy0"
    tells: bool = False
    """Whether it tells of itself on the ports of every kube-proxy, of which one can be on a machine."""


class Where(NamedTuple):
    """Where the proxy is: the node's name, and the zone that its label names."""

    node: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port that a service port leads to."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address} . {self.port}"


def service_elements(service: Obj, slices: Sequence[Obj], here: Where, mark: int) -> dict[Place, str]:
    """The elements of one Service. `mark` is the first of its marks, one per port (used if it has affinity)."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return {}
    elements: dict[Place, str] = {}
    for number, port in enumerate(spec.get("ports") or ()):
        backends = list(_endpoints(port, slices))
        internal = _near(backends, here, spec.get("internalTrafficPolicy") == "Local")
        external = _near(backends, here, spec.get("externalTrafficPolicy") == "Local")
        affinity = _affinity(spec, MARK | (mark + number))
        protocol = f"{port.get('protocol', 'TCP').lower()} . {port['port']}"
        for address in _cluster_ips(spec):
            elements |= _way("", f"{address} . {protocol}", internal, affinity)
            elements[Place("cluster-ips", address)] = ""
        for address in _external_ips(service):
            elements |= _way("", f"{address} . {protocol}", external, affinity)
        for address in _balanced_ips(service):
            elements |= _way("", f"{address} . {protocol}", external, affinity)
            elements |= _firewall(service, f"{address} . {protocol}")
        if port.get("nodePort"):
            key = f"{port.get('protocol', 'TCP').lower()} . {port['nodePort']}"
            elements |= _way("node-", key, external, affinity)
        for endpoint in {*internal, *external}:
            elements[Place("hairpin", f"{endpoint.address} . {endpoint.address}")] = ""
    return elements


def _way(prefix: str, key: str, endpoints: Sequence[Endpoint], affinity: "Affinity | None") -> dict[Place, str]:
    if not endpoints:
        return {Place(f"{prefix}refused", key): "goto refuse"}
    chain = f"{prefix}{'affine' if affinity else 'pick'}-{len(endpoints)}"
    elements = {Place(f"{prefix}services", key): f"goto {chain}"}
    for number, endpoint in enumerate(endpoints):
        elements[Place(f"{prefix}endpoints", f"{key} . {number}")] = str(endpoint)
    if affinity:
        elements[Place(f"{prefix}affine", key)] = f"{affinity.mark:#x}"
        elements[Place("learners", f"{affinity.mark:#x}")] = f"goto learn-{affinity.seconds}"
    return elements


@dataclass(frozen=True, slots=True)
class Affinity:
    """ClientIP affinity of one service port: its connection mark, and for how many seconds it is kept."""

    mark: int
    seconds: int


def _affinity(spec: Obj, mark: int) -> Affinity | None:
    if spec.get("sessionAffinity") != "ClientIP":
        return None
    return Affinity(mark, int(dig(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", 10800)))


def _cluster_ips(spec: Obj) -> Iterator[str]:
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        if ":" not in address:
            yield address


def _firewall(service: Obj, key: str) -> dict[Place, str]:
    """Whose packets may come to a load balancer's address; nothing where everyone's may."""
    given = dig(service, "spec.loadBalancerSourceRanges") or _words(annotations_of(service).get(RANGES, ""))
    networks = [IPv4Network(text.strip(), strict=False) for text in given if ":" not in text]
    if not given or any(network.prefixlen == 0 for network in networks):
        return {}
    allowed = {Place("allowed", f"{key} . {network}"): "" for network in collapse_addresses(networks)}
    return {Place("firewalled", key): "", **allowed}


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word.strip()]


def _external_ips(service: Obj) -> Iterator[str]:
    yield from (ip for ip in dig(service, "spec.externalIPs", []) if ":" not in ip)


def _balanced_ips(service: Obj) -> Iterator[str]:
    for ingress in dig(service, "status.loadBalancer.ingress", []):
        if ingress.get("ip") and ":" not in ingress["ip"] and ingress.get("ipMode", "VIP") == "VIP":
            yield ingress["ip"]


class _Backend(NamedTuple):
    endpoint: Endpoint
    node: str
    ready: bool
    hints: Obj


def _endpoints(port: Obj, slices: Iterable[Obj]) -> Iterator[_Backend]:
    """The backends of one service port: ready ones, and those that still serve while terminating."""
    wanted = (port.get("name") or "", port.get("protocol") or "TCP")
    for slice in slices:
        if slice.get("addressType", "IPv4") != "IPv4":
            continue
        numbers = [
            int(p["port"])
            for p in slice.get("ports") or ()
            if p.get("port") and (p.get("name") or "", p.get("protocol") or "TCP") == wanted
        ]
        for endpoint in slice.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready", True) is not False
            serving = conditions.get("serving", ready) is not False
            if not ready and not (serving and conditions.get("terminating")):
                continue
            hints = endpoint.get("hints") or {}
            for number in numbers:
                for address in endpoint.get("addresses") or ():
                    yield _Backend(Endpoint(address, number), endpoint.get("nodeName") or "", ready, hints)


def _near(backends: Iterable[_Backend], here: Where, local: bool) -> list[Endpoint]:
    """Backends that may be used, in a stable order: terminating ones only where no other is left (KEP-1669),
    and, where traffic may leave the node, of the ready ones those that are meant for here."""
    usable = [backend for backend in backends if not local or backend.node == here.node]
    ready = [backend for backend in usable if backend.ready]
    chosen = {backend.endpoint for backend in (ready if local else _meant(ready, here)) or usable}
    return sorted(chosen, key=lambda endpoint: (endpoint.address, endpoint.port))


def _meant(ready: list[_Backend], here: Where) -> list[_Backend]:
    """The backends whose hints name this node, or else this zone, where all have such hints and one does; all
    of them otherwise (KEP-3015, KEP-2433)."""
    for field, name in (("forNodes", here.node), ("forZones", here.zone)):
        hinted = [{hint.get("name") for hint in backend.hints.get(field) or ()} for backend in ready]
        if all(hinted) and any(name in names for names in hinted):
            return [backend for backend, names in zip(ready, hinted, strict=True) if name in names]
    return ready


def pod_elements(pod: Obj) -> dict[Place, str]:
    """The hostPort elements of a pod of this node; none once it has ended or before it has an address."""
    status = pod.get("status") or {}
    address = status.get("podIP")
    if not address or ":" in address or status.get("phase") in ("Succeeded", "Failed"):
        return {}
    if dig(pod, "spec.hostNetwork", False) or annotations_of(pod).get("kubernetes.io/config.mirror"):
        return {}
    elements = {}
    for container in dig(pod, "spec.containers", []):
        for port in container.get("ports") or ():
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', 'TCP').lower()} . {port['hostPort']}"
            target = f"{address} . {port['containerPort']}"
            host = port.get("hostIP") or ""
            if host in ("", "0.0.0.0"):
                elements[Place("hostports", key)] = target
            elif ":" not in host:
                elements[Place("hostports-at", f"{host} . {key}")] = target
            elements[Place("hairpin", f"{address} . {address}")] = ""
    return elements
