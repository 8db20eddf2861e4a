"""What controllers must know of pods: predicates, ordering for removal, and building one from a template."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    condition,
    condition_is,
    copy,
    dig,
    is_deleting,
    namespace_of,
    owner_reference,
    parse_time,
)

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_finished(pod: Obj) -> bool:
    """Whether all containers have ended for good."""
    return dig(pod, "status.phase") in ("Succeeded", "Failed")


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
    return max((c.get("restartCount", 0) for c in dig(pod, "status.containerStatuses", [])), default=0)


def deletion_cost(pod: Obj) -> int:
    """The annotation's value; 0 where it is missing or no 32-bit number."""
    text = annotations_of(pod).get(DELETION_COST, "0")
    digits = text.removeprefix("-")
    value = int(text) if digits.isdecimal() and digits.isascii() else 0
    return value if -(2**31) <= value < 2**31 else 0


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


def removal_order(pods: Iterable[Obj], related: Iterable[Obj], now: datetime) -> list[Obj]:
    """`pods`, the one to remove first in front: unassigned, pending, not ready, cheap, doubled on a node,
    young, often restarted (as the ReplicaSet controller documents). `related` are all pods of the owner."""
    per_node: dict[str, int] = {}
    for pod in related:
        if is_active(pod):
            node = dig(pod, "spec.nodeName", "")
            per_node[node] = per_node.get(node, 0) + 1

    def rank(pod: Obj) -> tuple[Any, ...]:
        node = dig(pod, "spec.nodeName", "")
        return (
            bool(node),
            PHASE_ORDER.get(dig(pod, "status.phase", "Pending"), 0),
            is_ready(pod),
            deletion_cost(pod),
            -per_node.get(node, 0),
            _age_bucket(ready_since(pod), now),
            -restarts(pod),
            _age_bucket(parse_time(created_at(pod)) if created_at(pod) else None, now),
            dig(pod, "metadata.uid", ""),
        )

    return sorted(pods, key=rank)


def _age_bucket(since: datetime | None, now: datetime) -> int:
    """Ages on a logarithmic scale, so that similar ones are equal; an unknown age is the youngest."""
    if since is None:
        return -1
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
