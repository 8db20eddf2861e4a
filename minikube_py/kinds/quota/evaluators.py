"""Evaluators: what one object of a resource uses of a quota, and what a quota makes it say.

Pods count with their requests and limits while they are not over, claims with their storage, by class too,
Services with their ports; everything else with its number. Source: "Resource Quotas" of the documentation.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.podspec.totals import pod_limits, pod_requests
from minikube_py.kinds.quota.names import (
    ALIASES,
    BY_CLASS,
    CLAIMS,
    COMPUTE,
    HUGE_PAGES,
    PODS,
    SERVICES,
    count_name,
)
from minikube_py.kinds.quota.scopes import Scope, claim_in_scope, in_no_scope, pod_in_scope
from minikube_py.kinds.resourcenames import is_extended
from minikube_py.meta.amounts import Amounts, Given, largest
from minikube_py.meta.objects import Obj, dig, parse_time
from minikube_py.meta.quantity import format_quantity, int_value, parse_quantity

REQUIRED = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
"""What each container must say where a quota limits it; a mistake that Kubernetes keeps for these alone."""
OVER = ("Succeeded", "Failed")


def _demands_nothing(names: Collection[str], obj: Obj) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """How objects of one resource are measured."""

    resource: str
    usage: Callable[[Obj, datetime], Amounts]
    """What an object uses at a moment."""
    in_scope: Callable[[Scope, Obj], bool] = in_no_scope
    demands: Callable[[Collection[str], Obj], str] = _demands_nothing
    """Why a quota on those names refuses an object that does not say enough; empty where it does."""


def evaluator_of(resource: str) -> Evaluator:
    """The evaluator of a resource, such as `pods` or `deployments.apps`."""
    return _SPECIAL.get(resource) or _counted(resource)


@lru_cache(maxsize=1024)
def _counted(resource: str) -> Evaluator:
    usage = {count_name(resource): "1"} | ({resource: "1"} if resource in ALIASES else {})
    return Evaluator(resource, lambda obj, now: usage)


def is_over(pod: Obj, now: datetime) -> bool:
    """Whether a pod uses nothing more: it has ended, or its time to end is over."""
    if dig(pod, "status.phase") in OVER:
        return True
    meta = pod.get("metadata") or {}
    deadline, grace = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
    if not deadline or grace is None:
        return False
    return now > parse_time(deadline) + timedelta(seconds=int(grace))


def pod_usage(pod: Obj, now: datetime) -> Amounts:
    """What a pod uses: it always counts as an object, and for the rest while it is not over."""
    counted = {count_name(PODS): "1"}
    if is_over(pod, now):
        return counted
    spec = pod.get("spec") or {}
    return counted | {PODS: "1"} | _compute(pod_requests(spec), pod_limits(spec))


def _compute(requests: Given, limits: Given) -> Amounts:
    usage: Amounts = {}
    for name, amount in requests.items():
        if name in COMPUTE or name.startswith(HUGE_PAGES):
            usage[name] = usage[f"requests.{name}"] = str(amount)
        elif is_extended(name):
            usage[f"requests.{name}"] = str(amount)
    for name in COMPUTE:
        if name in limits:
            usage[f"limits.{name}"] = str(limits[name])
    return usage


def pod_demands(names: Collection[str], pod: Obj) -> str:
    """`must specify limits.cpu for: c1,c2; requests.cpu for: c1`, or empty."""
    wanted = REQUIRED.intersection(names)
    if not wanted:
        return ""
    spec = pod.get("spec") or {}
    own = spec.get("resources") or {}
    wanted = wanted.difference(_compute(own.get("requests") or {}, own.get("limits") or {}))
    missing: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        said = _compute(resources.get("requests") or {}, resources.get("limits") or {})
        for name in wanted.difference(said):
            missing.setdefault(name, set()).add(container.get("name", ""))
    if not missing:
        return ""
    told = (f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
    return f"must specify {'; '.join(told)}"


def service_usage(service: Obj, now: datetime) -> Amounts:
    """What a Service uses: node ports are counted by what it asks for, before they are allocated."""
    spec = service.get("spec") or {}
    ports, kind = spec.get("ports") or (), spec.get("type")
    node_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(1 for port in ports if port.get("nodePort"))
    return {
        count_name(SERVICES): "1",
        SERVICES: "1",
        "services.loadbalancers": "1" if kind == "LoadBalancer" else "0",
        "services.nodeports": str(node_ports),
    }


def claim_usage(claim: Obj, now: datetime) -> Amounts:
    """What a PersistentVolumeClaim uses: itself and its storage, in all and of its class."""
    usage = {CLAIMS: "1", count_name(CLAIMS): "1"}
    wanted = (dig(claim, "spec.resources.requests") or {}).get("storage")
    if wanted is not None:
        allocated = (dig(claim, "status.allocatedResources") or {}).get("storage", "0")
        larger = largest({"storage": wanted}, {"storage": allocated})["storage"]
        is_whole = parse_quantity(larger).denominator == 1
        usage["requests.storage"] = larger if is_whole else format_quantity(int_value(larger))
    if chosen := storage_class_of(claim):
        of_class = (CLAIMS, "requests.storage")
        usage |= {f"{chosen}{BY_CLASS}{name}": usage[name] for name in of_class if name in usage}
    return usage


_SPECIAL = {
    PODS: Evaluator(PODS, pod_usage, pod_in_scope, pod_demands),
    SERVICES: Evaluator(SERVICES, service_usage),
    CLAIMS: Evaluator(CLAIMS, claim_usage, claim_in_scope),
}
