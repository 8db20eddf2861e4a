"""Service: one stable address for a set of pods."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE, UNKNOWN, format_labels
from minikube_py.kinds.core.serviceaddresses import validate_address_update
from minikube_py.kinds.core.serviceports import validate_service, validate_service_update
from minikube_py.kinds.strategy import if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1035_label, dns1123_subdomain, ip_address
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, not_supported

EXPOSED = ("NodePort", "LoadBalancer")


def default(service: Obj) -> None:
    spec = section(service, "spec")
    if_empty(spec, "type", "ClusterIP")
    if_empty(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    else:
        if_absent(section(section(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", 10800)
    for port in spec.get("ports") or ():
        if_empty(port, "protocol", "TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    external = spec["type"] in EXPOSED or (spec["type"] == "ClusterIP" and bool(spec.get("externalIPs")))
    if external:
        if_empty(spec, "externalTrafficPolicy", "Cluster")
    for one in dig(service, "status.loadBalancer.ingress", ()):
        if one.get("ip"):
            if_absent(one, "ipMode", "VIP")
    if spec["type"] == "ExternalName":
        return
    if_absent(spec, "internalTrafficPolicy", "Cluster")
    if_absent(spec, "ipFamilyPolicy", "SingleStack")
    if spec["type"] == "LoadBalancer":
        if_absent(spec, "allocateLoadBalancerNodePorts", True)


def _pair_addresses(spec: Obj, before: Obj | None) -> None:
    """clusterIPs follows clusterIP where a client knows only the latter; never the other way."""
    address, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if before is None:
        if address and not addresses:
            spec["clusterIPs"] = [address]
        return
    known, all_known = before.get("clusterIP") or "", before.get("clusterIPs") or []
    if address == known:
        if all_known and not addresses:
            spec["clusterIPs"] = list(all_known)
    elif known and not address:
        if addresses == all_known:
            spec.pop("clusterIPs", None)
    elif addresses == all_known or not addresses:
        spec["clusterIPs"] = [address]


def prepare(service: Obj, old: Obj | None) -> None:
    """On an update, keep what was allocated where the client leaves it out (as `kubectl replace` does)."""
    spec, before = service["spec"], None if old is None else old.get("spec") or {}
    _pair_addresses(spec, before)
    if before is None:
        service["status"] = {"loadBalancer": {}}
        return
    _drop_fields_of_old_type(spec, before)
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        for field in ("clusterIP", "clusterIPs"):
            if before.get(field):
                spec[field] = before[field]
    if_empty(spec, "ipFamilies", before.get("ipFamilies") or [])
    if spec["type"] in EXPOSED and before.get("type") in EXPOSED:
        _keep_node_ports(spec, before)
    if spec["type"] == "LoadBalancer" and before.get("healthCheckNodePort"):
        if_empty(spec, "healthCheckNodePort", before["healthCheckNodePort"])


def _drop_fields_of_old_type(spec: Obj, before: Obj) -> None:
    """A change of type takes along what only the old type has, unless the client set it to something else."""
    if spec["type"] == before.get("type"):
        return
    fields = (
        ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] if spec["type"] == "ExternalName" else []
    )
    if before.get("type") == "LoadBalancer":
        fields += ["healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"]
    if spec["type"] not in EXPOSED:
        if not spec.get("externalIPs"):
            fields.append("externalTrafficPolicy")
        allocated = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in allocated:
                port.pop("nodePort", None)
    for field in fields:
        if field in spec and spec[field] == before.get(field):
            del spec[field]


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    allocated = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
    taken = {p.get("nodePort") for p in spec.get("ports") or ()}
    for port in spec.get("ports") or ():
        known = allocated.get((port.get("protocol"), port.get("port")))
        if known and known not in taken:
            if_empty(port, "nodePort", known)


def validate(service: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None:
        yield from validate_address_update(service["spec"], old.get("spec") or {})
        yield from validate_service_update(service["spec"], old.get("spec") or {})
    yield from validate_service(service)


def validate_status(service: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a Service's new status: where a balancer answers."""
    ingress = dig(service, "status.loadBalancer.ingress", ())
    if ingress and dig(service, "spec.type") != "LoadBalancer":
        told = "may only be used when `spec.type` is 'LoadBalancer'"
        yield forbidden("status.loadBalancer.ingress", told)
        return
    for index, one in enumerate(ingress):
        path, address, mode = f"status.loadBalancer.ingress[{index}]", one.get("ip") or "", one.get("ipMode")
        for reason in ip_address(address) if address else ():
            yield invalid(f"{path}.ip", address, reason)
        if mode is not None and not address:
            yield forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None and mode not in ("Proxy", "VIP"):
            yield not_supported(f"{path}.ipMode", mode, ("Proxy", "VIP"))
        name = one.get("hostname") or ""
        for reason in dns1123_subdomain(name) if name else ():
            yield invalid(f"{path}.hostname", name, reason)
        if name and not ip_address(name):
            yield invalid(f"{path}.hostname", name, "must be a DNS name, not an IP address")


def _type(service: Obj, now: datetime) -> str:
    return dig(service, "spec.type", "")


def _cluster_ip(service: Obj, now: datetime) -> str:
    addresses = dig(service, "spec.clusterIPs", ())
    return addresses[0] if addresses else dig(service, "spec.clusterIP") or NONE


def _external_ip(service: Obj, now: datetime) -> str:
    type, given = dig(service, "spec.type"), dig(service, "spec.externalIPs", [])
    if type in ("ClusterIP", "NodePort"):
        return ",".join(given) or NONE
    if type == "LoadBalancer":
        ingress = dig(service, "status.loadBalancer.ingress", ())
        balanced = sorted({a for i in ingress if (a := i.get("ip") or i.get("hostname"))})
        return ",".join([*balanced, *given]) or "<pending>"
    return dig(service, "spec.externalName", "") if type == "ExternalName" else UNKNOWN


def _port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol')}"


def _ports(service: Obj, now: datetime) -> str:
    return ",".join(map(_port, dig(service, "spec.ports", ()))) or NONE


def _selector(service: Obj, now: datetime) -> str:
    return format_labels(dig(service, "spec.selector"))


Service = Kind(
    "Service",
    "v1",
    "services",
    short_names=("svc",),
    categories=("all",),
    subresources=("status", "proxy"),
    name_rule=dns1035_label,
    returns_deleted=True,
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    create_on_update=True,
    fields={"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"},
    columns=(
        NAME,
        Column("Type", _type, description="How the Service is reached"),
        Column("Cluster-IP", _cluster_ip, description="Address within the cluster"),
        Column("External-IP", _external_ip, description="Addresses from outside"),
        Column("Port(s)", _ports, description="Ports, with node ports"),
        AGE,
        Column("Selector", _selector, priority=1, description="Labels of the pods behind it"),
    ),
)
