"""Validation of a Service's spec: ports, addresses, types, and what may change."""

from collections.abc import Iterable

from minikube_py.kinds.podspec.containers import PROTOCOLS
from minikube_py.kinds.podspec.probes import validate_port
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, ip_address, port_number
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_TRAFFIC = ("Cluster", "Local")
_MAX_AFFINITY = 86400


def validate_service(spec: Obj) -> Iterable[Violation]:
    """The refusals of a Service's spec, after defaulting and allocation."""
    type, ports = spec["type"], spec.get("ports") or ()
    if type not in TYPES:
        yield not_supported("spec.type", type, TYPES)
    if not ports and type != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    yield from _ports(ports, type)
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    yield from _affinity(spec)
    yield from _addresses(spec)
    yield from _traffic(spec)


def _ports(ports: Iterable[Obj], type: str) -> Iterable[Violation]:
    ports = list(ports)
    names: set[str] = set()
    taken: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path, name, protocol = f"spec.ports[{index}]", port.get("name") or "", port.get("protocol") or ""
        if len(ports) > 1 and not name:
            yield required(f"{path}.name")
        for reason in dns1123_label(name) if name else ():
            yield invalid(f"{path}.name", name, reason)
        if name and name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from _port(port, type, path)
        if (protocol, port.get("port", 0)) in taken:
            yield duplicate(path, {"port": port.get("port"), "protocol": protocol})
        taken.add((protocol, port.get("port", 0)))
        if port.get("nodePort"):
            if (protocol, port["nodePort"]) in node_ports:
                yield duplicate(f"{path}.nodePort", port["nodePort"])
            node_ports.add((protocol, port["nodePort"]))


def _port(port: Obj, type: str, path: str) -> Iterable[Violation]:
    for reason in port_number(port.get("port") or 0):
        yield invalid(f"{path}.port", port.get("port") or 0, reason)
    if port.get("protocol") not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    yield from validate_port(port.get("targetPort"), f"{path}.targetPort")
    if port.get("nodePort") and type in ("ClusterIP", "ExternalName"):
        yield forbidden(f"{path}.nodePort", f"may not be used when `type` is '{type}'")


def _affinity(spec: Obj) -> Iterable[Violation]:
    affinity = spec["sessionAffinity"]
    if affinity not in _AFFINITIES:
        yield not_supported("spec.sessionAffinity", affinity, _AFFINITIES)
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= _MAX_AFFINITY:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            yield invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}")


def _addresses(spec: Obj) -> Iterable[Violation]:
    type, address = spec["type"], spec.get("clusterIP") or ""
    if type == "ExternalName":
        if address:
            yield forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'")
        name = spec.get("externalName") or ""
        if not name:
            yield required("spec.externalName")
        for reason in dns1123_subdomain(name.removesuffix(".")) if name else ():
            yield invalid("spec.externalName", name, reason)
        return
    if address == "None":
        if type in ("NodePort", "LoadBalancer"):
            yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {type} services")
    elif address:
        for reason in ip_address(address):
            yield invalid("spec.clusterIPs", spec.get("clusterIPs"), reason)
    addresses = spec.get("clusterIPs") or []
    if addresses and addresses[0] != address:
        yield invalid("spec.clusterIPs[0]", addresses[0], "primary clusterIP must match clusterIP")
    for index, external in enumerate(spec.get("externalIPs") or ()):
        for reason in ip_address(external):
            yield invalid(f"spec.externalIPs[{index}]", external, reason)


def _traffic(spec: Obj) -> Iterable[Violation]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    exposed = spec["type"] in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    if external and not exposed:
        told = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", external, told)
    elif external and external not in _TRAFFIC:
        yield not_supported("spec.externalTrafficPolicy", external, _TRAFFIC)
    if internal is not None and internal not in _TRAFFIC:
        yield not_supported("spec.internalTrafficPolicy", internal, _TRAFFIC)


def validate_service_update(spec: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change: the address stays for as long as the Service has one."""
    if "ExternalName" in (spec["type"], old.get("type")) or not old.get("clusterIP"):
        return
    if spec.get("clusterIP") != old["clusterIP"]:
        yield invalid("spec.clusterIPs[0]", spec.get("clusterIPs") or [], "may not change once set")
