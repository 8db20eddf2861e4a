"""EndpointSlice: a part of the addresses behind a Service."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, UNSET, first_three
from minikube_py.kinds.core.endpoints import validate_endpoint_address
from minikube_py.kinds.podspec.containers import PROTOCOLS
from minikube_py.kinds.strategy import if_absent, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import (
    dns1123_label,
    dns1123_subdomain,
    ip_address,
    label_value,
    port_number,
    qualified_name,
)
from minikube_py.meta.objects import Obj, labels_of, namespace_of
from minikube_py.meta.violations import duplicate, immutable, invalid, not_supported, required, too_many

SERVICE_NAME = "kubernetes.io/service-name"
"""The label that names the Service a slice belongs to."""
MAX_ENDPOINTS = 1000
MAX_PORTS = 20000
MAX_ADDRESSES = 100
MAX_HINTS = 8
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def service_of_slice(slice: Obj) -> Iterable[str]:
    """`namespace/name` of the Service that a slice belongs to, as an index of caches."""
    name = labels_of(slice).get(SERVICE_NAME)
    return (f"{namespace_of(slice)}/{name}",) if name else ()


def default(slice: Obj) -> None:
    for port in slice.get("ports") or ():
        if_absent(port, "name", "")
        if_absent(port, "protocol", "TCP")
    if slice.get("endpoints") is None:
        slice["endpoints"] = []
    for endpoint in slice["endpoints"]:
        if_absent(endpoint, "conditions", {})
    if slice.get("ports") is None:
        slice["ports"] = []


def prepare(slice: Obj, old: Obj | None) -> None:
    """The generation counts changes of what the slice says."""
    metadata = section(slice, "metadata")
    if old is None:
        metadata["generation"] = 1
        return
    changed = any(slice.get(key) != old.get(key) for key in ("endpoints", "ports", "addressType"))
    changed = changed or metadata.get("labels") != old["metadata"].get("labels")
    metadata["generation"] = (old["metadata"].get("generation") or 0) + changed


def validate(slice: Obj, old: Obj | None) -> Iterable[Violation]:
    type = slice.get("addressType") or ""
    if not type:
        yield required("addressType")
    elif type not in ADDRESS_TYPES:
        yield not_supported("addressType", type, ADDRESS_TYPES)
    if len(slice["endpoints"]) > MAX_ENDPOINTS:
        yield too_many("endpoints", len(slice["endpoints"]), MAX_ENDPOINTS)
    else:
        for index, endpoint in enumerate(slice["endpoints"]):
            yield from _check_endpoint(endpoint, type, f"endpoints[{index}]")
    yield from _check_ports(slice["ports"])
    if old is not None:
        yield from immutable(slice, old, "addressType")


def _check_endpoint(endpoint: Obj, type: str, path: str) -> Iterable[Violation]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)
    for index, address in enumerate(addresses[:MAX_ADDRESSES]):
        place = f"{path}.addresses[{index}]"
        if type == "FQDN":
            for reason in dns1123_subdomain(address.removesuffix(".")):
                yield invalid(place, address, reason)
        else:
            yield from _check_address(address, type, place)
    for field, rule in (("hostname", dns1123_label), ("nodeName", dns1123_subdomain)):
        for reason in rule(endpoint[field]) if endpoint.get(field) is not None else ():
            yield invalid(f"{path}.{field}", endpoint[field], reason)
    for field in ("forZones", "forNodes"):
        hints = (endpoint.get("hints") or {}).get(field) or ()
        if len(hints) > MAX_HINTS:
            yield too_many(f"{path}.hints.{field}", len(hints), MAX_HINTS)
        names = [hint.get("name") or "" for hint in hints]
        for index, name in enumerate(names[:MAX_HINTS]):
            place = f"{path}.hints.{field}[{index}].name"
            if name in names[:index]:
                yield duplicate(place, name)
            for reason in label_value(name) if field == "forZones" else dns1123_subdomain(name):
                yield invalid(place, name, reason)


def _check_address(address: str, type: str, path: str) -> Iterable[Violation]:
    if not ip_address(address) and (":" in address) is not (type == "IPv6"):
        yield invalid(path, address, f"must be a valid {type} address")
    yield from validate_endpoint_address(address, path)


def _check_ports(ports: list[Obj]) -> Iterable[Violation]:
    if len(ports) > MAX_PORTS:
        yield too_many("ports", len(ports), MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        name, path = port["name"], f"ports[{index}]"
        for reason in dns1123_label(name) if name else ():
            yield invalid(f"{path}.name", name, reason)
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        if port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        for reason in port_number(port["port"]) if port.get("port") is not None else ():
            yield invalid(f"{path}.port", port["port"], reason)
        for reason in qualified_name(port["appProtocol"]) if port.get("appProtocol") is not None else ():
            yield invalid(f"{path}.appProtocol", port["appProtocol"], reason)


def _listed(texts: Iterable[str]) -> str:
    shown, more = first_three(texts)
    return f"{shown} + {more} more..." if more else shown or UNSET


def _ports(slice: Obj, now: datetime) -> str:
    ports = slice.get("ports") or ()
    return _listed(str(p["port"]) if p.get("port") is not None else p.get("name") or "*" for p in ports)


def _endpoints(slice: Obj, now: datetime) -> str:
    return _listed(address for e in slice.get("endpoints") or () for address in e.get("addresses") or ())


EndpointSlice = Kind(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    "endpointslices",
    default=default,
    prepare=prepare,
    validate=validate,
    columns=(
        NAME,
        Column("AddressType", "addressType", description="IPv4, IPv6 or FQDN"),
        Column("Ports", _ports, description="The ports of every endpoint"),
        Column("Endpoints", _endpoints, description="The addresses"),
        AGE,
    ),
)
