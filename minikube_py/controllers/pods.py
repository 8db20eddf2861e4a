"""What controllers must know of pods: predicates, ordering for removal, and building one from a template."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from minikube_py.kinds.podspec.deletioncost import deletion_cost
from minikube_py.meta.objects import (
    Obj,
    condition,
    condition_is,
    copy,
    dig,
    is_deleting,
    namespace_of,
    owner_reference,
    parse_time,
)

PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_finished(pod: Obj) -> bool:
    """Whether all containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether the pod runs or will run: not finished and not being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    return condition_is(pod, "Ready")


def ready_since(pod: Obj) -> datetime | None:
    """When the pod became ready; None where it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return parse_time(ready["lastTransitionTime"])


def seconds_until_available(pod: Obj, min_ready: float, now: datetime) -> float | None:
    """0 where the pod has been ready for `min_ready` seconds, what is missing of it, or None: not ready."""
    return seconds_until_ready_for(ready_since(pod), min_ready, now) if is_ready(pod) else None


def seconds_until_ready_for(since: datetime | None, min_ready: float, now: datetime) -> float:
    """What is missing until a pod that is ready `since` then (None: nobody knows) has been for `min_ready`."""
    if not min_ready or since is None:
        return 0.0
    return max(0.0, (since + timedelta(seconds=min_ready) - now).total_seconds())


def is_available(pod: Obj, min_ready: float, now: datetime) -> bool:
    """Whether the pod has been ready for `min_ready` seconds."""
    return seconds_until_available(pod, min_ready, now) == 0.0


def created_at(obj: Obj) -> str:
    """The creation time; metav1.Time sorts as text."""
    return str(dig(obj, "metadata.creationTimestamp", ""))


def restarts(pod: Obj) -> int:
    """The highest restart count of its containers."""
    states = (pod.get("status") or {}).get("containerStatuses")
    return max([state.get("restartCount", 0) for state in states]) if states else 0


def ended_at(pod: Obj) -> datetime | None:
    """When the last container ended, or the deletion began; None where it is not known."""
    ends = [
        str(ended)
        for status in dig(pod, "status.containerStatuses", [])
        if (ended := dig(status, "state.terminated.finishedAt"))
    ]
    if ends:
        return parse_time(max(ends))
    deadline = dig(pod, "metadata.deletionTimestamp")
    grace = timedelta(seconds=dig(pod, "metadata.deletionGracePeriodSeconds", 0))
    return parse_time(deadline) - grace if deadline else None


Rank = tuple[Any, ...]
"""Where a pod stands among those that may be removed: the least goes first."""


def removal_order(pods: Iterable[Obj], related: Iterable[Obj], now: datetime) -> list[Obj]:
    """`pods`, the one to remove first in front: unassigned, pending, not ready, cheap, doubled on a node,
    young, often restarted (as the ReplicaSet controller documents). `related` are all pods of the owner."""
    ranked = removal_ranks(pods, active_by_node(related), now)
    return [pod for _, pod in sorted(ranked, key=itemgetter(0))]


def active_by_node(pods: Iterable[Obj]) -> Counter[str]:
    """How many of `pods` are active on each node."""
    return Counter((pod.get("spec") or {}).get("nodeName") or "" for pod in pods if is_active(pod))


def removal_ranks(pods: Iterable[Obj], per_node: Mapping[str, int], now: datetime) -> list[tuple[Rank, Obj]]:
    """`pods` with their ranks; `per_node` counts the active pods of the owner on each node."""
    ages: dict[str, int] = {"": -1}  # by the time as text, which many pods have in common

    def age(since: str) -> int:
        known = ages.get(since)
        if known is None:
            known = ages[since] = _age_bucket(parse_time(since), now)
        return known

    def rank(pod: Obj) -> Rank:
        node = (pod.get("spec") or {}).get("nodeName") or ""
        status, meta = pod.get("status") or {}, pod["metadata"]
        ready = condition(pod, "Ready") or {}
        is_up = ready.get("status") == "True"
        return (
            bool(node),
            PHASE_ORDER.get(status.get("phase") or "Pending", 0),
            is_up,
            deletion_cost(pod) or 0,
            -per_node.get(node, 0),
            age((is_up and ready.get("lastTransitionTime")) or ""),
            -restarts(pod),
            age(meta.get("creationTimestamp") or ""),
            meta.get("uid") or "",
        )

    return [(rank(pod), pod) for pod in pods]


def _age_bucket(since: datetime, now: datetime) -> int:
    """Ages on a logarithmic scale, so that similar ones are equal; an unknown age is the youngest, -1."""
    return int(math.log2(max(1.0, (now - since).total_seconds())))


def pod_from_template(template: Obj, owner: Obj, prefix: str = "") -> Obj:
    """A new pod of `owner` by its template; the registry appends a suffix to `prefix` (default: the owner's
    name and a dash)."""
    meta = template.get("metadata") or {}
    kept = {field: meta[field] for field in ("labels", "annotations", "finalizers") if meta.get(field)}
    pod: Obj = copy(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **kept,
                "namespace": namespace_of(owner),
                "generateName": prefix or f"{owner['metadata']['name']}-",
                "ownerReferences": [owner_reference(owner)],
            },
            "spec": template.get("spec") or {},
        }
    )
    return pod
