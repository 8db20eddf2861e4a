"""ServiceCIDR: a range that addresses of Services are taken from."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, with_condition
from minikube_py.meta.violations import IMMUTABLE, invalid, required, too_many

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
"""Holds a range for as long as addresses are taken from it."""
CIDR_EXAMPLE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def is_available(cidr: Obj) -> bool:
    """Whether addresses may be taken from the range: it is not on its way out, and nothing says that it is not
    ready."""
    return not is_deleting(cidr) and (condition(cidr, "Ready") or {}).get("status", "True") == "True"


def ready(status: Obj, told: str, now: datetime) -> Obj:
    """`status` with the condition that addresses may be taken from the range."""
    verdict = {"type": "Ready", "status": "True", "reason": "", "message": told}
    return {**status, "conditions": with_condition(status.get("conditions") or (), verdict, now)}


def prepare(cidr: Obj, old: Obj | None) -> None:
    """Nobody sets the status of what he creates."""
    if old is None:
        cidr["status"] = {}


def validate(cidr: Obj, old: Obj | None) -> Iterable[Violation]:
    ranges = dig(cidr, "spec.cidrs", [])
    if old is not None:
        if ranges != dig(old, "spec.cidrs", []):
            yield invalid("spec.cidrs", ranges, IMMUTABLE)
        return
    if not ranges:
        yield required("spec.cidrs", "at least one CIDR required")
        return
    if len(ranges) > 2:
        yield too_many("spec.cidrs", len(ranges), 2)
        return
    families = []
    for index, text in enumerate(ranges):
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield invalid(f"spec.cidrs[{index}]", text, CIDR_EXAMPLE)
            continue
        families.append(network.version)
        if str(network) != text:
            yield invalid(f"spec.cidrs[{index}]", text, f'must be in canonical form ("{network}")')
    if len(families) == 2 and families[0] == families[1]:
        told = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield invalid("spec.cidrs", ranges, told)


def _ranges(cidr: Obj, now: datetime) -> str:
    return ",".join(dig(cidr, "spec.cidrs", ()))


ServiceCIDR = Kind(
    "ServiceCIDR",
    "networking.k8s.io/v1",
    "servicecidrs",
    namespaced=False,
    subresources=("status",),
    prepare=prepare,
    validate=validate,
    columns=(NAME, Column("CIDRs", _ranges, description="The ranges, one of each family"), AGE),
)
