"""ResourceClaim: a claim on devices, and what was allocated to it."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.podspec.placement import validate_node_selector
from minikube_py.kinds.resource import claimspec
from minikube_py.kinds.resource.devices import validate_list
from minikube_py.kinds.strategy import section
from minikube_py.kinds.volumesources import validate_driver_name
from minikube_py.meta.kind import USER_METADATA, Column, Kind, Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig, is_deleting
from minikube_py.meta.violations import IMMUTABLE, duplicate, forbidden, invalid, required

MAX_RESERVED = 256


def default(claim: Obj) -> None:
    claimspec.default(section(claim, "spec"))


def prepare(claim: Obj, old: Obj | None) -> None:
    """Nobody sets the status of what he creates."""
    claimspec.prepare(section(claim, "spec"))
    if old is None:
        claim["status"] = {}


def validate(claim: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = claim.get("spec") or {}
    if old is not None:
        if spec != (old.get("spec") or {}):
            yield invalid("spec", spec, IMMUTABLE)
        return
    yield from claimspec.validate(spec, "spec")


def validate_status(claim: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a claim's new status: an allocation stays as it is, and only what is allocated is
    reserved."""
    status, before = claim.get("status") or {}, (old or {}).get("status") or {}
    allocation, had = status.get("allocation"), before.get("allocation")
    reserved = status.get("reservedFor") or []
    yield from validate_list(reserved, _consumer, "status.reservedFor", MAX_RESERVED)
    seen: set[str] = set()
    for index, one in enumerate(reserved):
        if (uid := one.get("uid") or "") in seen:
            yield duplicate(f"status.reservedFor[{index}].uid", uid)
        seen.add(uid)
    if reserved and allocation is None:
        yield forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif is_deleting(claim) and seen - {one.get("uid") for one in before.get("reservedFor") or ()}:
        told = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield forbidden("status.reservedFor", told)
    if had is not None and allocation is not None:
        if allocation != had:
            yield invalid("status.allocation", allocation, IMMUTABLE)
    elif allocation is not None:
        yield from _allocation(allocation, "status.allocation")
    yield from _devices(status, allocation or {})


def _consumer(consumer: Obj, path: str) -> Iterable[Violation]:
    for field in ("resource", "name", "uid"):
        if not consumer.get(field):
            yield required(f"{path}.{field}")


def _allocation(allocation: Obj, path: str) -> Iterable[Violation]:
    for index, result in enumerate(dig(allocation, "devices.results") or ()):
        place = f"{path}.devices.results[{index}]"
        yield from validate_driver_name(result.get("driver") or "", f"{place}.driver")
        yield from validate_pool_name(result.get("pool") or "", f"{place}.pool")
        for reason in dns1123_label(result.get("device") or ""):
            yield invalid(f"{place}.device", result.get("device") or "", reason)
    if (selector := allocation.get("nodeSelector")) is not None:
        yield from validate_node_selector(selector, f"{path}.nodeSelector")


def _devices(status: Obj, allocation: Obj) -> Iterable[Violation]:
    """What drivers tell of devices is about allocated ones."""
    fields = ("driver", "pool", "device")
    known = {tuple(one.get(f) for f in fields) for one in dig(allocation, "devices.results") or ()}
    for index, device in enumerate(status.get("devices") or ()):
        named = tuple(device.get(field) or "" for field in fields)
        if named not in known:
            yield invalid(
                f"status.devices[{index}]", "/".join(named), "must be an allocated device in the claim"
            )


def validate_pool_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a pool of devices: DNS subdomains with slashes between them."""
    if not name:
        yield required(path)
    for segment in name.split("/") if name else ():
        for reason in dns1123_subdomain(segment):
            yield invalid(path, segment, reason)


def _state(claim: Obj, now: datetime) -> str:
    states = ["deleted"] if is_deleting(claim) else []
    if dig(claim, "status.allocation") is not None:
        states.append("allocated")
        if dig(claim, "status.reservedFor"):
            states.append("reserved")
    elif not states:
        states.append("pending")
    return ",".join(states)


ResourceClaim = Kind(
    "ResourceClaim",
    "resource.k8s.io/v1",
    "resourceclaims",
    subresources=("status",),
    status_keeps=USER_METADATA,
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    returns_deleted=True,
    columns=(NAME, Column("State", _state, description="Whether devices are allocated, and reserved"), AGE),
)
