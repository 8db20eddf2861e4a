"""The claims on devices of a pod, and how a node serves them. Pure: claims, classes and slices are read from
`Objects`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minikube_py.kinds.resource.claimspec import asked_for
from minikube_py.kinds.resource.deviceclass import DeviceClass
from minikube_py.kinds.resource.podclaims import claims_of
from minikube_py.kinds.resource.resourceclaim import MAX_RESERVED, ResourceClaim
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, name_of, owner_references
from minikube_py.scheduler.devices.allocator import DevicePlan, Search, requests_of
from minikube_py.scheduler.devices.pools import DeviceId, admits, allocated_ids, pools_of
from minikube_py.scheduler.devices.selectors import SelectorFault
from minikube_py.scheduler.framework import Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import Objects

NOT_ALLOCATED = "cannot allocate all claims"
ELSEWHERE = "resourceclaim not available on the node"
IN_USE = "resourceclaim in use"
UNMADE = "ResourceClaim not created yet"


@dataclass(frozen=True, slots=True)
class PodDevices:
    """A pod's claims: those that have their devices, and those that need some, with all that is known of
    devices: the slices by node (an empty name: those of several), and the devices of others."""

    allocated: tuple[Obj, ...]
    needy: tuple[Obj, ...]
    classes: Mapping[str, Obj]
    slices: Mapping[str, Sequence[Obj]]
    taken: frozenset[DeviceId]


def read_devices(pod: PodInfo, objects: Objects, allocating: Mapping[Key, Obj]) -> PodDevices | Reject:
    """The pod's claims, or why no node can take the pod: it is not even tried while one is missing."""
    claims = []
    for entry, name, made in claims_of(pod.pod):
        if name == "":
            continue
        claim = objects.get(ResourceClaim, Key(pod.key.namespace, name)) if name else None
        if why := _missing(pod, entry, name, claim, made):
            return Reject((why,), resolvable=False, silent=True)
        if claim is not None:
            claims.append(claim)
    classes: dict[str, Obj] = {}
    for claim in claims:
        if why := _unusable(claim, pod, allocating) or _without_class(claim, objects, classes):
            return reject(why, resolvable=False)
    allocated = tuple(claim for claim in claims if dig(claim, "status.allocation") is not None)
    needy = tuple(claim for claim in claims if dig(claim, "status.allocation") is None)
    if not needy:
        return PodDevices(allocated, (), {}, {}, frozenset())
    return PodDevices(allocated, needy, classes, _by_node(objects), _taken(objects, allocating))


def _missing(pod: PodInfo, entry: str, name: str | None, claim: Obj | None, made: bool) -> str:
    if name is None:
        return f'pod "{pod.key}": {entry}: {UNMADE}'
    if claim is None:
        return f'resourceclaim.resource.k8s.io "{name}" not found'
    if is_deleting(claim):
        return f'resourceclaim "{name}" is being deleted'
    if made and not any(ref.get("uid") == pod.uid for ref in owner_references(claim)):
        return f"ResourceClaim {key_of(claim)} was not created for pod {pod.key} (pod is not owner)"
    return ""


def _unusable(claim: Obj, pod: PodInfo, allocating: Mapping[Key, Obj]) -> str:
    if dig(claim, "status.allocation") is None:
        busy = key_of(claim) in allocating
        return f"resource claim {key_of(claim)} is in the process of being allocated" if busy else ""
    users = [one.get("uid") for one in dig(claim, "status.reservedFor") or ()]
    return IN_USE if len(users) >= MAX_RESERVED and pod.uid not in users else ""


def _without_class(claim: Obj, objects: Objects, classes: dict[str, Obj]) -> str:
    if dig(claim, "status.allocation") is not None:
        return ""
    for request in dig(claim, "spec.devices.requests") or ():
        for asked in asked_for({"devices": {"requests": [request]}}):
            name = asked.get("deviceClassName") or ""
            found = objects.get(DeviceClass, Key("", name))
            if found is None:
                return f"request {request['name']}: device class {name} does not exist"
            classes[name] = found
    return ""


def _by_node(objects: Objects) -> dict[str, list[Obj]]:
    found: dict[str, list[Obj]] = {}
    for one in objects.list(ResourceSlice):
        found.setdefault(dig(one, "spec.nodeName") or "", []).append(one)
    return {name: sorted(ones, key=name_of) for name, ones in found.items()}


def _taken(objects: Objects, allocating: Mapping[Key, Obj]) -> frozenset[DeviceId]:
    stored = (dig(claim, "status.allocation") for claim in objects.list(ResourceClaim))
    return frozenset(id for one in (*stored, *allocating.values()) for id in allocated_ids(one))


def serve(devices: PodDevices, node: Obj) -> dict[Key, Obj] | Reject:
    """The allocations that the pod's claims get on the node, or why they get none."""
    fresh: dict[Key, Obj] = {}
    if devices.needy:
        slices = (*devices.slices.get(name_of(node), ()), *devices.slices.get("", ()))
        requests = [one for n, c in enumerate(devices.needy) for one in requests_of(n, c, devices.classes)]
        search = Search(devices.needy, requests, pools_of(node, slices), devices.taken)
        try:
            found = search.allocate()
        except SelectorFault as fault:
            return reject(str(fault), resolvable=False)
        if found is None:
            return reject(NOT_ALLOCATED, resolvable=False)
        fresh = {key_of(claim): one for claim, one in zip(devices.needy, found, strict=True)}
    if not all(admits(dig(claim, "status.allocation.nodeSelector"), node) for claim in devices.allocated):
        return reject(ELSEWHERE, resolvable=False)
    return fresh


def plan_devices(pod: PodInfo, node: Obj, objects: Objects, allocating: Mapping[Key, Obj]) -> DevicePlan:
    """What is to be written for the pod's claims on the node that it gets."""
    devices = read_devices(pod, objects, allocating)
    if isinstance(devices, Reject):
        return DevicePlan()
    fresh = serve(devices, node)
    if isinstance(fresh, Reject):
        return DevicePlan()
    return DevicePlan(fresh, tuple(key_of(claim) for claim in (*devices.allocated, *devices.needy)))
