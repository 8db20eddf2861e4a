"""Validation of a Service's spec: ports, types, balancers and traffic."""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.core.endpoints import validate_endpoint_address
from minikube_py.kinds.core.serviceaddresses import is_headless, validate_addresses
from minikube_py.kinds.podspec.containers import PROTOCOLS
from minikube_py.kinds.podspec.probes import validate_port
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import cidr, dns1123_label, dns1123_subdomain, port_number, qualified_name
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj, annotations_of
from minikube_py.meta.violations import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXPOSED = ("NodePort", "LoadBalancer")
_AFFINITIES = ("ClientIP", "None")
_TRAFFIC = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_PORT = {"Name": "", "Protocol": "", "AppProtocol": None, "Port": 0, "TargetPort": 0, "NodePort": 0}
"""A port as messages show one: by the names of the API server's own fields."""
_MAX_AFFINITY = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def validate_service(service: Obj) -> Iterable[Violation]:
    """The refusals of a Service, after defaulting and allocation."""
    spec = service["spec"]
    type, ports = spec["type"], spec.get("ports") or ()
    if not ports and type != "ExternalName" and not is_headless(spec):
        yield required("spec.ports")
    if type in _EXPOSED and is_headless(spec):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {type} services")
    if type == "ExternalName":
        yield from _external_name(spec)
    for index, port in enumerate(ports):
        yield from _port(port, ports[:index], len(ports) > 1, f"spec.ports[{index}]")
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    yield from _affinity(spec)
    if type != "ExternalName":
        yield from validate_addresses(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from validate_endpoint_address(address, f"spec.externalIPs[{index}]")
    if type not in TYPES:
        yield not_supported("spec.type", type, TYPES)
    yield from _repeated(ports, type)
    yield from _balancer(spec, annotations_of(service).get(_SOURCE_RANGES))
    yield from _traffic(spec)


def _external_name(spec: Obj) -> Iterable[Violation]:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    for reason in dns1123_subdomain(name) if name else ():
        yield invalid("spec.externalName", name, reason)


def _port(port: Obj, before: Sequence[Obj], need_name: bool, path: str) -> Iterable[Violation]:
    name = port.get("name") or ""
    if need_name and not name:
        yield required(f"{path}.name")
    for reason in dns1123_label(name) if name else ():
        yield invalid(f"{path}.name", name, reason)
    if name and any(other.get("name") == name for other in before):
        yield duplicate(f"{path}.name", name)
    for reason in port_number(port.get("port") or 0):
        yield invalid(f"{path}.port", port.get("port") or 0, reason)
    if not port.get("protocol"):
        yield required(f"{path}.protocol")
    elif port["protocol"] not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    yield from validate_port(port.get("targetPort"), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        for reason in qualified_name(port["appProtocol"]):
            yield invalid(f"{path}.appProtocol", port["appProtocol"], reason)


def _repeated(ports: Sequence[Obj], type: str) -> Iterable[Violation]:
    """Ports that are there twice by the same protocol, and node ports where there may be none."""
    taken: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path, protocol, number = f"spec.ports[{index}]", port.get("protocol") or "", port.get("port") or 0
        if node_port := port.get("nodePort"):
            if type == "ClusterIP":
                yield forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")
            if (protocol, node_port) in node_ports:
                yield duplicate(f"{path}.nodePort", node_port)
            node_ports.add((protocol, node_port))
        if (protocol, number) in taken:
            yield duplicate(path, {**_PORT, "Protocol": protocol, "Port": number})
        taken.add((protocol, number))


def _affinity(spec: Obj) -> Iterable[Violation]:
    affinity = spec["sessionAffinity"]
    if affinity not in _AFFINITIES:
        yield not_supported("spec.sessionAffinity", affinity, _AFFINITIES)
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= _MAX_AFFINITY:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            yield invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}")


def _balancer(spec: Obj, annotation: str | None) -> Iterable[Violation]:
    """What only a Service of type LoadBalancer may have."""
    is_balancer, only = spec["type"] == "LoadBalancer", "may only be used when `type` is 'LoadBalancer'"
    ranges = [(f"spec.LoadBalancerSourceRanges[{i}]", one) for i, one in enumerate(_ranges(spec))]
    place = "spec.LoadBalancerSourceRanges"
    if not ranges and annotation is not None:
        place = f"metadata.annotations[{_SOURCE_RANGES}]"
        ranges = [(place, one) for one in annotation.split(",") if annotation.strip()]
    if (ranges or annotation is not None) and not is_balancer:
        yield forbidden(place, only)
    for path, text in ranges:
        for reason in cidr(text.strip()):
            yield invalid(path, text.strip(), reason)
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_balancer:
        yield forbidden("spec.allocateLoadBalancerNodePorts", only)
    balancer = spec.get("loadBalancerClass")
    if balancer is not None and not is_balancer:
        yield forbidden("spec.loadBalancerClass", only)
    for reason in qualified_name(balancer) if balancer is not None and is_balancer else ():
        yield invalid("spec.loadBalancerClass", balancer, reason)


def _ranges(spec: Obj) -> Sequence[str]:
    return spec.get("loadBalancerSourceRanges") or ()


def _traffic(spec: Obj) -> Iterable[Violation]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    type, path = spec["type"], "spec.externalTrafficPolicy"
    exposed = type in _EXPOSED or (type == "ClusterIP" and bool(spec.get("externalIPs")))
    if external and not exposed:
        yield invalid(path, external, "may only be set for externally-accessible services")
    elif exposed and not external:
        yield required(path)
    elif external and external not in _TRAFFIC:
        yield not_supported(path, external, _TRAFFIC)
    health = spec.get("healthCheckNodePort") or 0
    if health and not needs_health_check(spec):
        told = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid("spec.healthCheckNodePort", health, told)
    for reason in port_number(health) if health and needs_health_check(spec) else ():
        yield invalid("spec.healthCheckNodePort", health, reason)
    if internal is not None and internal not in _TRAFFIC:
        yield not_supported("spec.internalTrafficPolicy", internal, _TRAFFIC)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def needs_health_check(spec: Obj) -> bool:
    """Whether a balancer must ask each node if it has pods of the Service."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate_service_update(spec: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change of a balancer's class and health port."""
    if spec["type"] == old.get("type") == "LoadBalancer":
        balancer = spec.get("loadBalancerClass")
        if balancer != old.get("loadBalancerClass"):
            yield invalid("spec.loadBalancerClass", balancer, "may not change once set")
    port, before = spec.get("healthCheckNodePort") or 0, old.get("healthCheckNodePort") or 0
    if needs_health_check(spec) and needs_health_check(old) and port != before:
        yield forbidden("spec.healthCheckNodePort", IMMUTABLE)
