"""Which old pods a DaemonSet's rolling update replaces next, and its status. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from minikube_py.controllers.daemonsets.placement import (
    GENERATION_LABEL,
    REVISION_LABEL,
    placer,
    template_generation,
)
from minikube_py.controllers.deployments.rolling import resolve
from minikube_py.controllers.pods import is_available, is_finished, is_ready
from minikube_py.meta.objects import Obj, dig, is_deleting, labels_of, name_of

Placed = Mapping[str, Sequence[Obj]]


@dataclass(frozen=True, slots=True)
class Replace:
    """Nodes that get a new pod beside the old one, and old pods to delete."""

    create: list[str]
    delete: list[Obj]


def is_rolling(ds: Obj) -> bool:
    return bool(dig(ds, "spec.updateStrategy.type", "RollingUpdate") == "RollingUpdate")


def limits(ds: Obj, desired: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; one of them is at least 1. Percentages are rounded up."""
    if not is_rolling(ds):
        return 0, 0
    rolling = dig(ds, "spec.updateStrategy.rollingUpdate", {})
    surge = resolve(rolling.get("maxSurge"), desired, round_up=True)
    default = 0 if surge else 1
    unavailable = resolve(rolling.get("maxUnavailable"), desired, round_up=True, default=default)
    return surge, max(unavailable, 0 if surge else 1)


def is_updated(ds: Obj, pod: Obj, revision_hash: str) -> bool:
    """Whether the pod is of the current template (by the revision hash, or the deprecated generation)."""
    labels, generation = labels_of(pod), template_generation(ds)
    return labels.get(REVISION_LABEL) == revision_hash or (
        generation != "" and labels.get(GENERATION_LABEL) == generation
    )


def plan_update(ds: Obj, nodes: Sequence[Obj], placed: Placed, revision_hash: str, now: datetime) -> Replace:
    """The next pods to replace: at once those that are not available, others within the limits."""
    wants = placer(ds)
    wanted = [name_of(node) for node in nodes if wants(node).run]
    surge, unavailable = limits(ds, len(wanted))
    if surge:
        return _plan_surge(ds, wanted, placed, revision_hash, now, surge)
    min_ready = dig(ds, "spec.minReadySeconds", 0)
    missing = 0
    broken: list[Obj] = []
    healthy: list[Obj] = []
    for name in wanted:
        pods = [pod for pod in placed.get(name, ()) if not is_finished(pod)]
        current = [pod for pod in pods if is_updated(ds, pod, revision_hash)]
        old = [pod for pod in pods if not is_updated(ds, pod, revision_hash)]
        if not any(is_available(pod, min_ready, now) and not is_deleting(pod) for pod in pods):
            missing += 1
            broken += [] if current else [pod for pod in old if not is_deleting(pod)]
        elif not current:
            healthy += [pod for pod in old if not is_deleting(pod)]
    return Replace([], broken + healthy[: max(0, unavailable - missing)])


def _plan_surge(
    ds: Obj, wanted: Sequence[str], placed: Placed, revision_hash: str, now: datetime, surge: int
) -> Replace:
    min_ready = dig(ds, "spec.minReadySeconds", 0)
    delete: list[Obj] = []
    broken: list[str] = []
    healthy: list[str] = []
    surging = 0
    for name in wanted:
        pods = [pod for pod in placed.get(name, ()) if not is_finished(pod) and not is_deleting(pod)]
        current = [pod for pod in pods if is_updated(ds, pod, revision_hash)]
        old = [pod for pod in pods if not is_updated(ds, pod, revision_hash)]
        if current and old:
            if any(is_available(pod, min_ready, now) for pod in current) or not any(map(is_ready, old)):
                delete += old
            else:
                surging += 1
        elif old:
            usable = any(is_available(pod, min_ready, now) for pod in old)
            (healthy if usable else broken).append(name)
    create = broken + healthy[: max(0, surge - surging)]
    return Replace(create, delete)


def observed(ds: Obj, nodes: Sequence[Obj], placed: Placed, revision_hash: str, now: datetime) -> Obj:
    """The status of `ds` on `nodes`."""
    numbers = dict.fromkeys(("desired", "current", "misscheduled", "ready", "updated", "available"), 0)
    min_ready, wants = dig(ds, "spec.minReadySeconds", 0), placer(ds)
    for node in nodes:
        pods = [p for p in placed.get(name_of(node), ()) if not (is_deleting(p) and is_finished(p))]
        if not wants(node).run:
            numbers["misscheduled"] += bool(pods)
            continue
        numbers["desired"] += 1
        if not pods:
            continue
        numbers["current"] += 1
        oldest = pods[0]
        numbers["ready"] += is_ready(oldest)
        numbers["available"] += is_available(oldest, min_ready, now)
        numbers["updated"] += is_updated(ds, oldest, revision_hash)
    status: Obj = {
        "currentNumberScheduled": numbers["current"],
        "numberMisscheduled": numbers["misscheduled"],
        "desiredNumberScheduled": numbers["desired"],
        "numberReady": numbers["ready"],
        "observedGeneration": dig(ds, "metadata.generation", 0),
    }
    optional = {
        "updatedNumberScheduled": numbers["updated"],
        "numberAvailable": numbers["available"],
        "numberUnavailable": numbers["desired"] - numbers["available"],
    }
    known = ds.get("status") or {}
    kept = {field: known[field] for field in ("collisionCount", "conditions") if known.get(field)}
    return status | {field: number for field, number in optional.items() if number} | kept
