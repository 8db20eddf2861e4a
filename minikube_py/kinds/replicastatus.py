"""Validation of the status of workloads that count replicas."""

from collections.abc import Callable, Iterable, Sequence

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, non_negative

Rule = Callable[[Obj, Obj | None], Iterable[Violation]]


def counts_of(fields: Sequence[str], *, within: Sequence[str] = (), ready: str = "") -> Rule:
    """A rule of statuses: `fields` are counts, those `within` are no more than the replicas, available ones no
    more than the `ready` ones (the words for that field; empty: not checked). Collisions never become fewer."""

    def rule(obj: Obj, old: Obj | None) -> Iterable[Violation]:
        status = obj.get("status") or {}
        for field in (*fields, "observedGeneration", "collisionCount"):
            yield from non_negative(obj, f"status.{field}")
        replicas = status.get("replicas") or 0
        for field in within:
            if (status.get(field) or 0) > replicas:
                yield invalid(f"status.{field}", status[field], "cannot be greater than status.replicas")
        available = status.get("availableReplicas") or 0
        if ready and available > (status.get("readyReplicas") or 0):
            yield invalid("status.availableReplicas", available, f"cannot be greater than {ready}")
        before = ((old or {}).get("status") or {}).get("collisionCount")
        collisions = status.get("collisionCount")
        if before is not None and (collisions is None or collisions < before):
            yield invalid("status.collisionCount", collisions or 0, "cannot be decremented")

    return rule


_REPLICAS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")

validate_replica_status = counts_of(_REPLICAS, within=_REPLICAS[1:], ready="readyReplicas")
"""The rule of ReplicaSets and ReplicationControllers."""
