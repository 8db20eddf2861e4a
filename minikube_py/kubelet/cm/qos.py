"""Quality of service: a pod's class, its cgroup's limits, and the limits of its containers. Pure.

Facts of the Kubernetes documentation: Guaranteed where every container's limits equal its requests for CPU
and memory, BestEffort where none asks for anything, Burstable between; pod-level resources (KEP-2837) decide
alone where they are given, and are the limits of containers that have none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from minikube_py.kinds.podspec import qos
from minikube_py.kinds.podspec.totals import pod_limits, pod_requests
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import int_value, parse_quantity
from minikube_py.runtime.base import Resources

MIN_SHARES, MAX_SHARES = 2, 262_144
PERIOD = 100_000  # microseconds
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
HUGEPAGES = "hugepages-"
UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the machine's cgroups can limit: `unified` is cgroup v2, `swap` whether swap is counted,
    `page_sizes` the huge pages it has, as the kernel names them (2MB, 1GB)."""

    unified: bool = False
    swap: bool = False
    page_sizes: tuple[str, ...] = ()


def quantity(holder: Obj, side: str, resource: str) -> float:
    """The limit or request (`side`: limits, requests) of a container, or of a pod's spec; a missing request is
    the limit."""
    resources = holder.get("resources") or {}
    asked = (resources.get(side) or {}).get(resource)
    if asked is None and side == "requests":
        asked = (resources.get("limits") or {}).get(resource)
    return float(parse_quantity(asked)) if asked is not None else 0.0


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    return dig(pod, "status.qosClass") or qos.qos_class(_with_requests(pod["spec"]))


def _with_requests(spec: Obj) -> Obj:
    """The spec with limits for requests that are missing, as the API server sets them."""

    def filled(container: Obj) -> Obj:
        resources = container.get("resources") or {}
        requests = (resources.get("limits") or {}) | (resources.get("requests") or {})
        return {**container, "resources": {**resources, "requests": requests}}

    return {
        **spec,
        **{field: [filled(c) for c in spec.get(field) or ()] for field in ("initContainers", "containers")},
    }


def cpu_shares(cores: float) -> int:
    """cpu.shares for a CPU request in cores."""
    return max(MIN_SHARES, min(MAX_SHARES, int(cores * 1024)))


def cpu_quota(cores: float) -> int:
    """Microseconds per period for a CPU limit in cores; 0 for none."""
    return max(1000, int(cores * PERIOD)) if cores else 0


def page_size(resource: str) -> str:
    """The kernel's name for the pages of a resource such as hugepages-2Mi: 2MB."""
    size, unit = int_value(resource.removeprefix(HUGEPAGES)), 0
    while size >= 1024 and size % 1024 == 0 and unit < len(UNITS) - 1:
        size, unit = size // 1024, unit + 1
    return f"{size}{UNITS[unit]}"


def hugepages(limits: Mapping[str, str]) -> dict[str, int]:
    """Bytes by page size of the huge pages among `limits`."""
    return {page_size(r): int_value(amount) for r, amount in limits.items() if r.startswith(HUGEPAGES)}


def oom_score(pod: Obj, container: Obj, capacity: int) -> int:
    """How soon the kernel kills the container when the node runs out of `capacity` bytes of memory."""
    spec = pod["spec"]
    if is_critical(pod) and spec.get("priorityClassName") == "system-node-critical":
        return GUARANTEED_SCORE
    kind = qos_class(pod)
    if kind != "Burstable":
        return GUARANTEED_SCORE if kind == "Guaranteed" else BEST_EFFORT_SCORE
    spare = _spare_memory(spec)

    def score(memory: float) -> int:
        return 1000 - int(1000 * (memory + spare) / max(1, capacity))

    result = score(quantity(container, "requests", "memory"))
    if is_sidecar(container):  # never killed before the containers that it serves
        result = min(result, score(min(quantity(c, "requests", "memory") for c in spec["containers"])))
    return max(1000 + GUARANTEED_SCORE, min(BEST_EFFORT_SCORE - 1, result))


def _spare_memory(spec: Obj) -> int:
    """What each container gets of the memory that the pod asks for and no container does."""
    asked = dig(spec, "resources.requests.memory")
    if asked is None:
        return 0
    containers = {**spec, "resources": {}, "overhead": {}}
    rest = int_value(asked) - int_value(pod_requests(containers).get("memory", "0"))
    return max(0, rest) // (len(spec["containers"]) + len(spec.get("initContainers") or ()))


def is_critical(pod: Obj) -> bool:
    """Whether the kubelet makes room for the pod and spares it: static pods and system priority classes."""
    source = dig(pod, "metadata.annotations", {}).get("kubernetes.io/config.source", "api")
    return source != "api" or (pod["spec"].get("priority") or 0) >= 2_000_000_000


def limit_of(pod: Obj, container: Obj, resource: str) -> float:
    """A container's limit of cpu or memory; where it has none, its pod's."""
    own = quantity(container, "limits", resource)
    return own or quantity(pod["spec"], "limits", resource)


def container_resources(pod: Obj, container: Obj, capacity: int, host: HostLimits = HostLimits()) -> Resources:
    """What the runtime is told of one container on a node of `capacity` bytes of memory."""
    memory = int(limit_of(pod, container, "memory"))
    unified = {}
    if host.unified:
        unified = {"memory.oom.group": "1"} | ({"memory.swap.max": "0"} if host.swap else {})
    return Resources(
        cpu_shares=cpu_shares(quantity(container, "requests", "cpu")),
        cpu_quota=cpu_quota(limit_of(pod, container, "cpu")),
        memory=memory,
        memory_swap=memory if host.swap and not host.unified else 0,
        oom_score_adj=oom_score(pod, container, capacity),
        hugepages=dict.fromkeys(host.page_sizes, 0) | hugepages(dig(container, "resources.limits", {})),
        unified=unified,
    )


def pod_resources(pod: Obj, pids: int = 0) -> Resources:
    """The limits of the pod's own cgroup, overhead included: one of its own level, else where every container
    has one their sum. `pids`: how many processes it may have (0: any number)."""
    spec = _with_requests(pod["spec"])
    if qos_class(pod) == "BestEffort":
        return Resources(pids=pids)
    requests, limits = pod_requests(spec), pod_limits(spec)
    return Resources(
        cpu_shares=cpu_shares(float(parse_quantity(requests.get("cpu", "0")))),
        cpu_quota=cpu_quota(_limit(spec, limits, "cpu")),
        memory=math.ceil(_limit(spec, limits, "memory")),
        hugepages=hugepages(requests),
        pids=pids,
    )


def _limit(spec: Obj, limits: Mapping[str, str], resource: str) -> float:
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    limited = quantity(spec, "limits", resource) or all(quantity(c, "limits", resource) for c in every)
    return float(parse_quantity(limits[resource])) if limited else 0.0


def sandbox_resources(pod: Obj) -> tuple[Resources, Resources | None]:
    """What the pod's containers have together, and the overhead of its runtime class (None: none)."""
    spec = pod["spec"]
    whole = pod_resources({**pod, "spec": {**spec, "overhead": {}}})
    overhead = spec.get("overhead")
    if not overhead:
        return whole, None
    cores, memory = (float(parse_quantity(overhead.get(name, "0"))) for name in ("cpu", "memory"))
    return whole, Resources(cpu_shares=cpu_shares(cores), cpu_quota=cpu_quota(cores), memory=int(memory))


def cpu_requested(pod: Obj) -> float:
    """The cores that the pod asks for."""
    return float(parse_quantity(pod_requests(_with_requests(pod["spec"])).get("cpu", "0")))


def cgroup_path(root: str, pod: Obj) -> str:
    """The cgroup of a pod, such as /kubepods/burstable/pod<uid>."""
    tier = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}[qos_class(pod)]
    return f"{root}{tier}/pod{pod['metadata']['uid']}"
