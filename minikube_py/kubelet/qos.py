"""Quality of service: a pod's class, its cgroup's limits, and the limits of its containers. Pure.

Facts of the Kubernetes documentation: Guaranteed where every container's limits equal its requests for CPU
and memory, BestEffort where none asks for anything, Burstable between.
"""

import math
from collections.abc import Iterator

from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import parse_quantity
from minikube_py.runtime.base import Resources

MIN_SHARES, MAX_SHARES = 2, 262_144
PERIOD = 100_000  # microseconds


def quantity(container: Obj, side: str, resource: str) -> float:
    """The limit or request (`side`: limits, requests) of a container; a missing request is the limit."""
    resources = container.get("resources") or {}
    asked = (resources.get(side) or {}).get(resource)
    if asked is None and side == "requests":
        asked = (resources.get("limits") or {}).get(resource)
    return float(parse_quantity(asked)) if asked is not None else 0.0


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    known = dig(pod, "status.qosClass")
    if known:
        return known
    spec = pod["spec"]
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    pairs = [
        (quantity(c, "requests", resource), quantity(c, "limits", resource))
        for c in every
        for resource in ("cpu", "memory")
    ]
    if not any(request or limit for request, limit in pairs):
        return "BestEffort"
    return "Guaranteed" if all(limit and request == limit for request, limit in pairs) else "Burstable"


def cpu_shares(cores: float) -> int:
    """cpu.shares for a CPU request in cores."""
    return max(MIN_SHARES, min(MAX_SHARES, int(cores * 1024)))


def cpu_quota(cores: float) -> int:
    """Microseconds per period for a CPU limit in cores; 0 for none."""
    return max(1000, int(cores * PERIOD)) if cores else 0


def oom_score(pod: Obj, container: Obj, capacity: int) -> int:
    """How soon the kernel kills the container when the node runs out of `capacity` bytes of memory."""
    if pod["spec"].get("priority", 0) >= 2_000_000_000:
        return -997
    kind = qos_class(pod)
    if kind != "Burstable":
        return -997 if kind == "Guaranteed" else 1000
    share = 1000 * quantity(container, "requests", "memory") / max(1, capacity)
    return int(max(3, min(999, 1000 - share)))


def container_resources(pod: Obj, container: Obj, capacity: int) -> Resources:
    """What the runtime is told of one container."""
    limits = dig(container, "resources.limits", {})
    return Resources(
        cpu_shares=cpu_shares(quantity(container, "requests", "cpu")),
        cpu_quota=cpu_quota(quantity(container, "limits", "cpu")),
        memory=int(quantity(container, "limits", "memory")),
        oom_score_adj=oom_score(pod, container, capacity),
        hugepages={
            name.removeprefix("hugepages-"): int(parse_quantity(value))
            for name, value in limits.items()
            if name.startswith("hugepages-")
        },
    )


def _sums(pod: Obj, side: str, resource: str) -> Iterator[float]:
    """What the containers need together, then what each init container needs beside earlier sidecars."""
    spec = pod["spec"]
    sidecars = 0.0
    for container in spec.get("initContainers") or ():
        amount = quantity(container, side, resource)
        if is_sidecar(container):
            sidecars += amount
            yield sidecars
        else:
            yield sidecars + amount
    yield sidecars + sum(quantity(container, side, resource) for container in spec["containers"])


def pod_total(pod: Obj, side: str, resource: str) -> float:
    """What the pod as a whole may use or asks for: the greatest need at any time of its life."""
    overhead = float(parse_quantity(dig(pod, f"spec.overhead.{resource}", "0")))
    return max(_sums(pod, side, resource)) + overhead


def pod_resources(pod: Obj) -> Resources:
    """The limits of the pod's own cgroup: a limit holds only where every container has one."""
    spec = pod["spec"]
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    capped = {r: all(quantity(c, "limits", r) for c in every) for r in ("cpu", "memory")}
    return Resources(
        cpu_shares=cpu_shares(pod_total(pod, "requests", "cpu")),
        cpu_quota=cpu_quota(pod_total(pod, "limits", "cpu")) if capped["cpu"] else 0,
        memory=math.ceil(pod_total(pod, "limits", "memory")) if capped["memory"] else 0,
    )


def cgroup_path(root: str, pod: Obj) -> str:
    """The cgroup of a pod, such as /kubepods/burstable/pod<uid>."""
    tier = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}[qos_class(pod)]
    return f"{root}{tier}/pod{pod['metadata']['uid']}"
