"""In-place resize (KEP-1287): may a pod have the resources it now asks for, and what must be done for it. Pure.

What a pod asks for is its spec; what it was allocated is what the kubelet has agreed to; what is applied is
what the runtime was told of a container that runs. The three meet again when a resize is done.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from minikube_py.kubelet.admission.admission import Load, amount, claim_of, insufficient
from minikube_py.kubelet.cm.qos import MIN_SHARES
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import BINARY, format_quantity, milli_quantity, milli_value, parse_quantity
from minikube_py.runtime.base import Resources

MUTABLE = ("cpu", "memory")
LEAST_QUOTA = 10  # millicores: the least that the kernel's scheduler limits a container to
Allocation = Mapping[str, Obj]
"""Container name > its resources (limits, requests), of containers that can be resized."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a resize does not happen now: Deferred or Infeasible."""

    reason: str
    message: str


def resizable(pod: Obj) -> list[Obj]:
    """The containers whose resources may change: sidecars and ordinary ones."""
    spec = pod["spec"]
    return [*(c for c in spec.get("initContainers") or () if is_sidecar(c)), *spec["containers"]]


def asked(pod: Obj) -> dict[str, Obj]:
    """What the pod's spec asks for."""
    return {c["name"]: _sides(c.get("resources") or {}) for c in resizable(pod)}


def told(pod: Obj) -> dict[str, Obj]:
    """What was applied before, as the pod's status tells it; of containers that it does not show, what they ask
    for."""
    known = asked(pod)
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in dig(pod, f"status.{field}", []):
            if entry["name"] in known and "running" in (entry.get("state") or {}) and "resources" in entry:
                known[entry["name"]] = _sides(entry["resources"])
    return known


def _sides(resources: Obj) -> Obj:
    return {side: resources[side] for side in ("limits", "requests") if resources.get(side)}


def same(left: Obj, right: Obj, names: Iterable[str] = MUTABLE) -> bool:
    """Whether two resources are equal in the resources `names`, however their quantities are written."""
    for side in ("limits", "requests"):
        for name in names:
            ours, theirs = (side_of.get(side, {}).get(name) for side_of in (left, right))
            if (ours is None) != (theirs is None):
                return False
            if ours is not None and theirs is not None and parse_quantity(ours) != parse_quantity(theirs):
                return False
    return True


def with_resources(pod: Obj, allocation: Allocation) -> Obj:
    """The pod with the resources of `allocation`; the very same object where nothing differs."""
    ours = asked(pod)
    if all(same(ours[name], allocation.get(name, ours[name])) for name in ours):
        return pod
    spec = dict(pod["spec"])
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [_with(container, allocation) for container in spec[field]]
    return {**pod, "spec": spec}


def _with(container: Obj, allocation: Allocation) -> Obj:
    found = allocation.get(container["name"])
    return container if found is None else {**container, "resources": found}


def judge(pod: Obj, node: Obj, load: Load) -> Refusal | None:
    """Why the node cannot give the pod what it asks for; None where it can. `load` is without the pod."""
    claim = claim_of(pod)
    room = {name: amount(name, dig(node, "status.allocatable", {}).get(name, "0")) for name in MUTABLE}
    for name in ("memory", "cpu"):
        if claim.requests.get(name, 0) > room[name]:
            lacks = f"{name}, requested: {claim.requests[name]}, capacity: {room[name]}"
            return Refusal("Infeasible", f"Node didn't have enough capacity: {lacks}")
    for rejection in insufficient(claim, node, load):
        if rejection.resource in MUTABLE:
            return Refusal("Deferred", rejection.message)
    return None


def read_back(told: Obj, applied: Resources | None) -> Obj:
    """The resources of a container that was `told` them, as its runtime has them; what it does not tell, or
    what is too little to be told apart, stays as told."""
    if applied is None:
        return told
    found: Obj = {side: dict(told[side]) for side in ("limits", "requests") if told.get(side)}
    limits, requests = found.get("limits", {}), found.get("requests", {})
    cores = applied.cpu_quota * 1000 // applied.cpu_period if applied.cpu_period > 0 else 0
    share = math.ceil(applied.cpu_shares * 1000 / 1024)
    _put(limits, "cpu", milli_quantity(cores), LEAST_QUOTA if cores > 0 else None)
    _put(limits, "memory", format_quantity(applied.memory, BINARY), 0 if applied.memory > 0 else None)
    _put(requests, "cpu", milli_quantity(share), MIN_SHARES if share > 0 else None)
    return found


def _put(amounts: Obj, name: str, found: str, least: int | None) -> None:
    """Note what was `found` of a resource, unless it equals what is noted, or both are at most `least`
    thousandths (None: nothing was found)."""
    noted = amounts.get(name)
    if noted is None or least is None or max(milli_value(noted), milli_value(found)) <= least:
        return
    if parse_quantity(noted) != parse_quantity(found):
        amounts[name] = found


def action(container: Obj, applied: Obj, allocated: Obj) -> str:
    """What takes a running container from what is applied to what it is allocated: update, restart, or nothing.
    A resource whose policy is RestartContainer restarts it."""
    if same(applied, allocated):
        return ""
    policies = {p["resourceName"]: p.get("restartPolicy") for p in container.get("resizePolicy") or ()}
    for name in MUTABLE:
        if not same(applied, allocated, (name,)) and policies.get(name) == "RestartContainer":
            return "restart"
    return "update"


def larger(left: Allocation, right: Allocation) -> dict[str, Obj]:
    """Of each resource of each container the larger amount: what the pod's cgroup must allow meanwhile."""
    return {name: _larger(left.get(name, {}), right[name]) for name in right}


def _larger(left: Obj, right: Obj) -> Obj:
    result: Obj = {}
    for side in ("limits", "requests"):
        ours, theirs = left.get(side, {}), right.get(side, {})
        for name in theirs:
            both = [theirs[name], *([ours[name]] if name in ours else [])]
            result.setdefault(side, {})[name] = max(both, key=parse_quantity)
    return result


def memory_fault(name: str, limit: int, usage: int) -> str:
    """Why a memory limit (bytes) may not be set now; empty where it may."""
    if not limit or usage <= limit:
        return ""
    tried = f'attempting to set container "{name}" memory limit ({limit}) below current usage ({usage})'
    return f"cannot decrease memory limits: {tried}"


def conditions(pending: Refusal | None, progress: str | None, generation: tuple[int, int]) -> list[Obj]:
    """PodResizePending and PodResizeInProgress as they are now. `progress` is None, '' or an error;
    `generation` the pod's generation of either."""
    found: list[Obj] = []
    if pending is not None:
        entry = {"type": "PodResizePending", "status": "True", "observedGeneration": generation[0]}
        found.append(entry | {"reason": pending.reason, "message": pending.message})
    if progress is not None:
        entry = {"type": "PodResizeInProgress", "status": "True", "observedGeneration": generation[1]}
        found.append(entry | ({"reason": "Error", "message": progress} if progress else {}))
    return found


def message(prefix: str, pod: Obj, error: str = "") -> str:
    """An event's words: what is resized to what, as JSON."""
    summary: Obj = {}
    for field in ("initContainers", "containers"):
        if entries := [c for c in pod["spec"].get(field) or () if field == "containers" or is_sidecar(c)]:
            summary[field] = [{"name": c["name"], "resources": c.get("resources") or {}} for c in entries]
    summary["generation"] = dig(pod, "metadata.generation", 0)
    if error:
        summary["error"] = error
    return f"{prefix}: {orjson.dumps(summary).decode()}"
