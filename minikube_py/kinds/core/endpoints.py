"""Endpoints: the addresses behind a Service, in their first form."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE, first_three
from minikube_py.kinds.podspec.containers import PROTOCOLS
from minikube_py.kinds.strategy import if_empty
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, ip_address, port_number, qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, not_supported, required

_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def default(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if_empty(port, "protocol", "TCP")


def validate(endpoints: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and endpoints.get("subsets") == old.get("subsets"):
        return
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                yield from _address(address, f"{path}.{field}[{number}]")
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            yield from _port(port, len(ports) > 1, f"{path}.ports[{number}]")


def _address(address: Obj, path: str) -> Iterable[Violation]:
    yield from validate_endpoint_address(address.get("ip") or "", f"{path}.ip")
    for field, rule in (("hostname", dns1123_label), ("nodeName", dns1123_subdomain)):
        for reason in rule(address[field]) if address.get(field) else ():
            yield invalid(f"{path}.{field}", address[field], reason)


def validate_endpoint_address(address: str, path: str) -> Iterable[Violation]:
    """The refusals of an address behind a Service: it must be reachable from other nodes."""
    reasons = ip_address(address)
    for reason in reasons:
        yield invalid(path, address, reason)
    if reasons:
        return
    parsed = ipaddress.ip_address(address)
    for wrong, told in (
        (parsed.is_unspecified, f"may not be unspecified ({address})"),
        (parsed.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (parsed.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (
            any(parsed in network for network in _LOCAL_MULTICAST),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ):
        if wrong:
            yield invalid(path, address, told)


def _port(port: Obj, need_name: bool, path: str) -> Iterable[Violation]:
    if need_name and not port.get("name"):
        yield required(f"{path}.name")
    for reason in dns1123_label(port["name"]) if port.get("name") else ():
        yield invalid(f"{path}.name", port["name"], reason)
    for reason in port_number(port.get("port") or 0):
        yield invalid(f"{path}.port", port.get("port") or 0, reason)
    if port.get("protocol") not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    for reason in qualified_name(port["appProtocol"]) if port.get("appProtocol") is not None else ():
        yield invalid(f"{path}.appProtocol", port["appProtocol"], reason)


def _addresses(endpoints: Obj, now: datetime) -> str:
    subsets = endpoints.get("subsets") or ()
    if not subsets:
        return NONE
    shown, more = first_three(text for subset in subsets for text in _of_subset(subset))
    return f"{shown} + {more} more..." if more else shown


def _of_subset(subset: Obj) -> Iterable[str]:
    addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
    if not subset.get("ports"):
        return addresses
    return [f"{_host(address)}:{port.get('port')}" for port in subset["ports"] for address in addresses]


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


Endpoints = Kind(
    "Endpoints",
    "v1",
    "endpoints",
    short_names=("ep",),
    default=default,
    validate=validate,
    create_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints", _addresses, description="Addresses and ports"), AGE),
)
