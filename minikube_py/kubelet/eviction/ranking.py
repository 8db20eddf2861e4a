"""Eviction decided: which thresholds count now, which pod goes first, and in which words. Pure.

Pods that use more than they asked for go first, then those of lower priority, then those that use most above
their request; critical pods stay. Source: the Kubernetes documentation, Node-pressure Eviction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.kinds.podspec.nodefit import tolerates
from minikube_py.kinds.podspec.totals import pod_requests
from minikube_py.kubelet.cm.qos import is_critical
from minikube_py.kubelet.eviction.thresholds import (
    SIGNALS,
    EvictionConfig,
    Observations,
    Threshold,
    conditions,
    shown,
    thresholds,
)
from minikube_py.meta.objects import Obj, dig, uid_of
from minikube_py.meta.quantity import canonical, int_value

MEMORY, STORAGE = "memory", "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class PodUse:
    """What a pod uses by resource (bytes; numbers of inodes and processes), and each of its containers of
    memory and ephemeral-storage."""

    pod: Obj
    used: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look says: the node's conditions, and the thresholds that are to be acted on, the first one
    first."""

    pressures: frozenset[str] = frozenset()
    due: tuple[Threshold, ...] = ()


class Thresholds:
    """The thresholds over time: since when each is met, and when each condition was last seen."""

    def __init__(self, config: EvictionConfig) -> None:
        self._all = thresholds(config)
        self._transition = config.transition
        self._since: dict[Threshold, float] = {}
        self._last: dict[str, float] = {}

    def look(self, seen: Observations, now: float) -> Look:
        """What `seen` means at `now` (seconds)."""
        met = [t for t in self._all if t.signal in seen and self._is_met(t, seen)]
        self._since = {t: self._since.get(t, now) for t in met}
        self._last |= dict.fromkeys(conditions(met), now)
        pressures = {name for name, last in self._last.items() if now - last < self._transition}
        due = [t for t in met if now - self._since[t] >= t.grace]
        return Look(frozenset(pressures), tuple(due))

    def _is_met(self, threshold: Threshold, seen: Observations) -> bool:
        return threshold.is_met(seen[threshold.signal], known=threshold in self._since)


def rank(resource: str, uses: Sequence[PodUse]) -> list[PodUse]:
    """The pods that may be evicted for `resource`, the first one to go first. What a pod asked for counts for
    memory and disk only."""
    able = [use for use in uses if not is_critical(use.pod)]

    def place(use: PodUse) -> tuple[bool, int, int, str]:
        used, asked = use.used.get(resource, 0), _asked(use.pod, resource)
        priority = use.pod["spec"].get("priority") or 0
        exceeds = resource in (MEMORY, STORAGE) and used > asked
        return not exceeds, priority, asked - used, uid_of(use.pod)

    return sorted(able, key=place)


def _asked(pod: Obj, resource: str) -> int:
    return int_value(pod_requests(pod["spec"]).get(resource, "0")) if resource in (MEMORY, STORAGE) else 0


def message(threshold: Threshold, seen: Observations, use: PodUse) -> str:
    """Why the pod is evicted, in the kubelet's words."""
    resource = threshold.meaning.resource
    observed = seen[threshold.signal]
    text = f"The node was low on resource: {resource}. Threshold quantity: "
    text += f"{threshold.quantity(observed.capacity)}, available: {shown(resource, observed.available)}. "
    spec = use.pod["spec"]
    holders = [*spec["containers"], *(c for c in spec.get("initContainers") or () if c.get("restartPolicy"))]
    for name, used in use.containers.items():
        container = next((c for c in holders if c["name"] == name), None)
        if container is None or resource not in used:
            continue
        request = str(dig(container, f"resources.requests.{resource}") or "0")
        if used[resource] > int_value(request):
            text += (
                f"Container {name} was using {shown(resource, used[resource])}, request is "
                f"{canonical(request)}, has larger consumption of {resource}. "
            )
    return text


def grace_for(threshold: Threshold, config: EvictionConfig) -> float:
    """Seconds that the evicted pod has: one, unless a soft threshold gives it more."""
    return 1.0 if threshold.hard else float(config.max_pod_grace)


def refusal(pod: Obj, pressures: Sequence[str], qos: str) -> str:
    """Why a node under these pressures does not take the pod, empty where it does: critical pods run anywhere;
    under memory pressure alone only those that asked for nothing are refused, unless they tolerate it."""
    if not pressures or is_critical(pod):
        return ""
    if set(pressures) == {"MemoryPressure"} and (qos != "BestEffort" or _tolerates_memory(pod)):
        return ""
    order = [meaning.condition for meaning in SIGNALS.values()]
    return f"The node had condition: [{' '.join(sorted(pressures, key=order.index))}]. "


def _tolerates_memory(pod: Obj) -> bool:
    taint = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
    return any(tolerates(toleration, taint) for toleration in pod["spec"].get("tolerations") or ())
