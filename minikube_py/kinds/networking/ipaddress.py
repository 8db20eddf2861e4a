"""IPAddress: one address of a Service range, and the Service that holds it."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import NAME, NONE
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, path_segment_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import IMMUTABLE, invalid, required


def canonical_address(name: str) -> list[str]:
    """The faults of a name that must be an IP address in its canonical form."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if str(address) != name:
        return [f'must be in canonical form ("{address}")']
    return []


def validate(address: Obj, old: Obj | None) -> Iterable[Violation]:
    parent = dig(address, "spec.parentRef")
    if old is not None:
        if parent != dig(old, "spec.parentRef"):
            yield invalid("spec.parentRef", parent, IMMUTABLE)
        return
    path = "spec.parentRef"
    if parent is None:
        yield required(path)
        return
    for reason in dns1123_subdomain(parent["group"]) if parent.get("group") else ():
        yield invalid(f"{path}.group", parent["group"], reason)
    for field in ("resource", "name"):
        value = parent.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        for reason in path_segment_name(value):
            yield invalid(f"{path}.{field}", value, reason)
    for reason in dns1123_label(parent["namespace"]) if parent.get("namespace") else ():
        yield invalid(f"{path}.namespace", parent["namespace"], reason)


def _parent(address: Obj, now: datetime) -> str:
    parent = dig(address, "spec.parentRef")
    if parent is None:
        return NONE
    group = f".{parent['group']}" if parent.get("group") else ""
    resource = f"{parent.get('resource', '')}{group}".lower()
    return "/".join(part for part in (resource, parent.get("namespace"), parent.get("name", "")) if part)


IPAddress = Kind(
    "IPAddress",
    "networking.k8s.io/v1",
    "ipaddresses",
    short_names=("ip",),
    namespaced=False,
    name_rule=canonical_address,
    validate=validate,
    columns=(NAME, Column("ParentRef", _parent, description="What holds the address")),
)
