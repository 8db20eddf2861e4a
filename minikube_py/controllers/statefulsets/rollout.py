"""The next steps of a StatefulSet, and its status. Pure.

OrderedReady: one step at a time, in order of the ordinals up, removals in order down, each only when all pods
before are running, ready and available. Parallel: all creations and removals at once. Rolling updates go from
the highest ordinal down to the partition, at most maxUnavailable pods at a time (StatefulSet documentation).
A pod of a template that was withdrawn before it ever became ready is replaced, so that a broken rollout heals
by taking the template back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from minikube_py.controllers.deployments.rolling import resolve
from minikube_py.controllers.history import HASH_LABEL
from minikube_py.controllers.pods import is_available, is_finished, is_ready
from minikube_py.controllers.statefulsets.identity import missing_labels, ordinal_of, ordinals
from minikube_py.meta.objects import Obj, dig, is_deleting, labels_of, name_of


@dataclass(frozen=True, slots=True)
class Revisions:
    """The names of the ControllerRevisions that pods below the partition, and updated ones, are made by."""

    current: str
    update: str


@dataclass(slots=True)
class Steps:
    """What to do now: pods to create (ordinal > revision name), to delete, to give their labels; `failed` are
    those of `delete` that have ended; `claims` are pods that wait for claims of theirs."""

    create: dict[int, str] = field(default_factory=dict)
    delete: list[Obj] = field(default_factory=list)
    failed: list[Obj] = field(default_factory=list)
    label: list[Obj] = field(default_factory=list)
    claims: list[Obj] = field(default_factory=list)

    @property
    def moves(self) -> bool:
        return bool(self.create or self.delete)


def is_rolling(stateful_set: Obj) -> bool:
    return bool(dig(stateful_set, "spec.updateStrategy.type", "RollingUpdate") == "RollingUpdate")


def is_running(pod: Obj) -> bool:
    """Whether it runs and is ready."""
    return bool(dig(pod, "status.phase") == "Running" and is_ready(pod))


def is_healthy(pod: Obj) -> bool:
    return is_running(pod) and not is_deleting(pod)


def revision_of_pod(pod: Obj) -> str:
    return labels_of(pod).get(HASH_LABEL, "")


def by_ordinal(stateful_set: Obj, pods: Sequence[Obj]) -> dict[int, Obj]:
    """The pods by number, rising."""
    numbered = {ordinal_of(name_of(pod), name_of(stateful_set)): pod for pod in pods}
    return {number: numbered[number] for number in sorted(n for n in numbered if n is not None)}


def condemned(stateful_set: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """The pods that the set wants no more, the highest number first."""
    wanted = ordinals(stateful_set)
    return [pod for number, pod in reversed(by_ordinal(stateful_set, pods).items()) if number not in wanted]


def partition(stateful_set: Obj) -> int:
    """The number of pods, from the first, that keep the current revision."""
    return int(dig(stateful_set, "spec.updateStrategy.rollingUpdate.partition", 0))


def revision_for(stateful_set: Obj, ordinal: int, revisions: Revisions) -> str:
    """The revision by which the pod number `ordinal` is created."""
    if revisions.current == revisions.update:
        return revisions.update
    if not is_rolling(stateful_set):
        return revisions.update
    rolling = dig(stateful_set, "spec.updateStrategy.rollingUpdate")
    kept = partition(stateful_set) if rolling else int(dig(stateful_set, "status.currentReplicas", 0))
    return revisions.current if ordinal < ordinals(stateful_set).start + kept else revisions.update


def plan(stateful_set: Obj, pods: Sequence[Obj], revisions: Revisions, now: datetime) -> Steps:
    """What to do now."""
    steps, known = Steps(), by_ordinal(stateful_set, pods)
    ordered = dig(stateful_set, "spec.podManagementPolicy", "OrderedReady") == "OrderedReady"
    for number in ordinals(stateful_set):
        if not _settle(stateful_set, number, known.get(number), revisions, steps, now) and ordered:
            return steps
    if not _remove(stateful_set, pods, steps, ordered, now):
        return steps
    if is_rolling(stateful_set):
        steps.delete += _outdated(stateful_set, known, revisions, steps)
    return steps


def _settle(
    stateful_set: Obj, number: int, pod: Obj | None, revisions: Revisions, steps: Steps, now: datetime
) -> bool:
    """Note what one wanted pod needs; whether it stands as it should."""
    if pod is None:
        steps.create[number] = revision_for(stateful_set, number, revisions)
        return False
    if is_deleting(pod):
        return False
    if is_finished(pod):
        steps.delete.append(pod)
        steps.failed.append(pod)
        return False
    if dig(pod, "status.phase") == "Pending":
        steps.claims.append(pod)
    if not is_running(pod):
        withdrawn = revision_of_pod(pod) not in ("", revisions.current, revisions.update)
        if withdrawn and is_rolling(stateful_set):
            steps.delete.append(pod)
        return False
    if missing_labels(stateful_set, pod):
        steps.label.append(pod)
    return is_available(pod, dig(stateful_set, "spec.minReadySeconds", 0), now)


def _remove(stateful_set: Obj, pods: Sequence[Obj], steps: Steps, ordered: bool, now: datetime) -> bool:
    """Note the next unwanted pods to delete; whether updates may follow."""
    min_ready = dig(stateful_set, "spec.minReadySeconds", 0)
    unhealthy = [pod for pod in by_ordinal(stateful_set, pods).values() if not is_healthy(pod)]
    for pod in condemned(stateful_set, pods):
        if is_deleting(pod):
            if ordered:
                return False
            continue
        usable = is_running(pod) and is_available(pod, min_ready, now)
        if ordered and not usable and not (unhealthy and pod is unhealthy[0]):
            return False  # one that cannot become available may go, if nothing else is broken
        steps.delete.append(pod)
        if ordered:
            return False
    return True


def max_unavailable(stateful_set: Obj) -> int:
    """How many pods a rolling update takes down at a time (KEP-961); at least 1."""
    value = dig(stateful_set, "spec.updateStrategy.rollingUpdate.maxUnavailable")
    return max(1, resolve(value, len(ordinals(stateful_set)), round_up=False, default=1))


def _outdated(stateful_set: Obj, known: Mapping[int, Obj], revisions: Revisions, steps: Steps) -> list[Obj]:
    """The next pods that a rolling update deletes, so that they come back by the update's revision."""
    budget, chosen = max_unavailable(stateful_set), list[Obj]()
    for number in reversed(ordinals(stateful_set)[partition(stateful_set) :]):
        if budget <= 0:
            break
        pod = known.get(number)
        if pod is None or is_deleting(pod) or pod in steps.delete:
            budget -= 1
        elif revision_of_pod(pod) != revisions.update:
            chosen.append(pod)
            budget -= 1
        elif not is_healthy(pod):
            budget -= 1
    return chosen


def observed(stateful_set: Obj, pods: Sequence[Obj], revisions: Revisions, now: datetime) -> Obj:
    """The status of the set with its `pods`."""
    min_ready = dig(stateful_set, "spec.minReadySeconds", 0)
    running = [pod for pod in pods if is_running(pod)]
    alive = [pod for pod in pods if not is_deleting(pod)]
    current = sum(revision_of_pod(pod) == revisions.current for pod in alive)
    updated = sum(revision_of_pod(pod) == revisions.update for pod in alive)
    counts = {"readyReplicas": len(running), "currentReplicas": current, "updatedReplicas": updated}
    wanted = len(ordinals(stateful_set))
    name = revisions.current
    if is_rolling(stateful_set) and updated == len(pods) == wanted and len(running) == wanted:
        name, counts["currentReplicas"] = revisions.update, updated
    status: Obj = {
        "observedGeneration": dig(stateful_set, "metadata.generation", 0),
        "replicas": len(pods),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in running),
        "currentRevision": name,
        "updateRevision": revisions.update,
        "collisionCount": int(dig(stateful_set, "status.collisionCount", 0)),
    }
    known = dig(stateful_set, "status.conditions")
    kept = {"conditions": known} if known else {}
    return status | {field: number for field, number in counts.items() if number} | kept
