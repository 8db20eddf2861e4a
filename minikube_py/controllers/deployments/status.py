"""A Deployment's status: counts, and the conditions Available, Progressing and ReplicaFailure. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from minikube_py.controllers.deployments.rolling import max_unavailable, replicas_of
from minikube_py.meta.objects import Obj, condition, dig, name_of, parse_time, timestamp

NO_DEADLINE = 2**31 - 1
AVAILABLE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def set_condition(conditions: Sequence[Obj], new: Obj, now: datetime) -> list[Obj]:
    """`conditions` with `new` as the last one, unless its status and reason are known already."""
    known = next((c for c in conditions if c["type"] == new["type"]), None)
    if known is not None and (known["status"], known.get("reason")) == (new["status"], new["reason"]):
        return list(conditions)
    same = known is not None and known["status"] == new["status"]
    changed = known.get("lastTransitionTime") if known is not None and same else None
    times = {"lastUpdateTime": timestamp(now), "lastTransitionTime": changed or timestamp(now)}
    return [c for c in conditions if c["type"] != new["type"]] + [new | times]


def make_condition(type: str, status: str, reason: str, message: str) -> Obj:
    """A condition without its times."""
    return {"type": type, "status": status, "reason": reason, "message": message}


def progressing(status: str, reason: str, message: str) -> Obj:
    return make_condition("Progressing", status, reason, message)


def deadline(deployment: Obj) -> int | None:
    """spec.progressDeadlineSeconds, or None where there is none."""
    seconds = dig(deployment, "spec.progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)


def paused_conditions(deployment: Obj, now: datetime) -> list[Obj]:
    """The conditions with what pausing or resuming means for them: the deadline's time starts anew."""
    conditions: list[Obj] = dig(deployment, "status.conditions", [])
    known = condition(deployment, "Progressing")
    reason = known.get("reason") if known else None
    if deadline(deployment) is None or reason == TIMED_OUT:
        return conditions
    if dig(deployment, "spec.paused") and reason != PAUSED:
        return set_condition(conditions, progressing("Unknown", PAUSED, "Deployment is paused"), now)
    if not dig(deployment, "spec.paused") and reason == PAUSED:
        return set_condition(conditions, progressing("Unknown", RESUMED, "Deployment is resumed"), now)
    return conditions


def counts(deployment: Obj, new: Obj | None, sets: Sequence[Obj]) -> Obj:
    """The status without conditions, as the ReplicaSets report."""
    available = sum(dig(rs, "status.availableReplicas", 0) for rs in sets)
    found = {
        "observedGeneration": dig(deployment, "metadata.generation", 0),
        "replicas": sum(dig(rs, "status.replicas", 0) for rs in sets),
        "updatedReplicas": dig(new, "status.replicas", 0),
        "readyReplicas": sum(dig(rs, "status.readyReplicas", 0) for rs in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(map(replicas_of, sets)) - available),
    }
    status = {field: number for field, number in found.items() if number}
    collisions = dig(deployment, "status.collisionCount")
    return status if collisions is None else {**status, "collisionCount": collisions}


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether every replica is of the new template and available, and no old one is left."""
    desired = replicas_of(deployment)
    numbers = (status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas"))
    return all(number == desired for number in numbers)


def observed(
    deployment: Obj, new: Obj | None, sets: Sequence[Obj], conditions: Sequence[Obj], now: datetime
) -> Obj:
    """The status of `deployment`; `conditions` are those known by now. A paused one makes no progress."""
    status = counts(deployment, new, sets)
    enough = status.get("availableReplicas", 0) >= replicas_of(deployment) - max_unavailable(deployment)
    available = make_condition(
        "Available",
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    conditions = set_condition(conditions, available, now)
    if not dig(deployment, "spec.paused"):
        conditions = _with_progress(deployment, new, status, conditions, now)
    failures = [c for rs in sets for c in dig(rs, "status.conditions", []) if c["type"] == "ReplicaFailure"]
    if failures:
        first = {field: failures[0].get(field, "") for field in ("type", "status", "reason", "message")}
        conditions = set_condition(conditions, first, now)
    else:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    return {**status, "conditions": list(conditions)}


def _with_progress(
    deployment: Obj, new: Obj | None, status: Obj, conditions: Sequence[Obj], now: datetime
) -> Sequence[Obj]:
    known = next((c for c in conditions if c["type"] == "Progressing"), None)
    finished = known is not None and known.get("reason") == AVAILABLE
    if deadline(deployment) is None:
        return [c for c in conditions if c["type"] != "Progressing"]
    if finished and status.get("replicas", 0) == status.get("updatedReplicas", 0):
        return conditions
    subject = f'ReplicaSet "{name_of(new)}"' if new is not None else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        done = progressing("True", AVAILABLE, f"{subject} has successfully progressed.")
        return set_condition(conditions, done, now)
    if has_progressed(dig(deployment, "status", {}), status):
        moved = progressing("True", "ReplicaSetUpdated", f"{subject} is progressing.")
        was_true = known is not None and known["status"] == "True"
        since = (known or {}).get("lastTransitionTime") if was_true else None
        times = {"lastUpdateTime": timestamp(now), "lastTransitionTime": since or timestamp(now)}
        return [*(c for c in conditions if c["type"] != "Progressing"), moved | times]
    if known is not None and timed_out(deployment, known, now):
        late = progressing("False", TIMED_OUT, f"{subject} has timed out progressing.")
        return set_condition(conditions, late, now)
    return conditions


def has_progressed(before: Obj, now: Obj) -> bool:
    """Whether there are more new or ready or available pods, or fewer old ones, than before."""

    def more(field: str) -> bool:
        return bool(now.get(field, 0) > before.get(field, 0))

    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = now.get("replicas", 0) - now.get("updatedReplicas", 0)
    fewer_old = old_now < old_before
    return more("updatedReplicas") or fewer_old or more("readyReplicas") or more("availableReplicas")


def timed_out(deployment: Obj, known: Obj, now: datetime) -> bool:
    """Whether the rollout, whose Progressing condition is `known`, has not moved for the deadline's time."""
    if known.get("reason") == TIMED_OUT:
        return True
    left = seconds_left(deployment, known, now)
    return left is not None and left < 0


def seconds_left(deployment: Obj, known: Obj | None, now: datetime) -> float | None:
    """Seconds until the deadline; None where none runs."""
    limit = deadline(deployment)
    if limit is None or known is None or known.get("reason") in (AVAILABLE, TIMED_OUT, PAUSED):
        return None
    updated = known.get("lastUpdateTime") or known.get("lastTransitionTime")
    return (parse_time(updated) + timedelta(seconds=limit) - now).total_seconds() if updated else None
