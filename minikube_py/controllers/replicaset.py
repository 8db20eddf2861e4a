"""ReplicaSet controller: keeps as many pods as spec.replicas says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index
from minikube_py.controllers.podcontrol import PodControl, namespace_terminating
from minikube_py.controllers.pods import (
    is_active,
    is_available,
    is_ready,
    pod_from_template,
    removal_order,
    seconds_until_available,
)
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    labels_of,
    namespace_of,
    timestamp,
    uid_of,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to create, and which to delete (at most one of the two)."""

    create: int = 0
    delete: Sequence[Obj] = ()


def plan(rs: Obj, pods: Sequence[Obj], related: Sequence[Obj], now: datetime) -> Plan:
    """What must change for `pods` to satisfy `rs`; `related` are the pods of all ReplicaSets of its owner."""
    active = [pod for pod in pods if is_active(pod)]
    missing = int(dig(rs, "spec.replicas", 1)) - len(active)
    if missing >= 0:
        return Plan(create=missing)
    return Plan(delete=removal_order(active, related, now)[:-missing])


def observed(rs: Obj, pods: Sequence[Obj], failure: tuple[str, str] | None, now: datetime) -> Obj:
    """The status of `rs` with its `pods`; `failure` is the reason and message of what could not be done."""
    active = [pod for pod in pods if is_active(pod)]
    template_labels = (dig(rs, "spec.template.metadata.labels") or {}).items()
    min_ready = dig(rs, "spec.minReadySeconds", 0)
    counts = {
        "fullyLabeledReplicas": sum(template_labels <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": dig(rs, "metadata.generation", 0),
    }
    status: Obj = {"replicas": len(active)} | {field: n for field, n in counts.items() if n}
    conditions = _conditions(dig(rs, "status.conditions", []), failure, now)
    return status | ({"conditions": conditions} if conditions else {})


def _conditions(old: Sequence[Obj], failure: tuple[str, str] | None, now: datetime) -> list[Obj]:
    others = [c for c in old if c.get("type") != "ReplicaFailure"]
    if failure is None:
        return others
    known = next((c for c in old if c.get("type") == "ReplicaFailure"), None)
    if known is not None and known.get("reason") == failure[0]:
        return list(old)
    reason, message = failure
    return [
        *others,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": timestamp(now),
        },
    ]


class ReplicaSetController(Controller):
    """Drive each ReplicaSet's pods towards spec.replicas."""

    name: ClassVar[str] = "replicaset-controller"
    kind: ClassVar[Kind] = ReplicaSet
    reconciles, owns = ReplicaSet, (Pod,)

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.pods = PodControl(self.client, self.events)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, ORPHANS, orphan_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: adopters(self.cache, self.kind)}

    async def reconcile(self, key: Key) -> float | None:
        rs = self.cache.get(self.kind, key)
        if rs is None:
            return None
        pods = await claim(self.client, self.kind, rs, Pod)
        error: Exception | None = None
        failure: tuple[str, str] | None = None
        if not is_deleting(rs):
            wanted = plan(rs, pods, self._related(rs, pods), self.clock.now())
            if wanted.create:
                made = [pod_from_template(rs["spec"]["template"], rs) for _ in range(wanted.create)]
                error = await self.pods.create(rs, made)
                error = None if namespace_terminating(error) else error
                failure = ("FailedCreate", str(error)) if error else None
            elif wanted.delete:
                error = await self.pods.delete(rs, wanted.delete)
                failure = ("FailedDelete", str(error)) if error else None
            if wanted.create or wanted.delete:
                pods = self._current(rs)
        now = self.clock.now()
        await self.set_status(self.kind, rs, observed(rs, pods, failure, now))
        if error is not None:
            raise error
        return self._until_available(rs, pods, now)

    def _current(self, rs: Obj) -> list[Obj]:
        """The pods that the cache shows by now."""
        owned = self.cache.owned(Pod, uid_of(rs))
        return [pod for pod in owned if (controller_of(pod) or {}).get("uid") == uid_of(rs)]

    def _related(self, rs: Obj, pods: Sequence[Obj]) -> Sequence[Obj]:
        """The pods of every ReplicaSet that has the same controller: those that may share a node with ours."""
        ref = controller_of(rs)
        if ref is None:
            return pods
        siblings = self.cache.owned(self.kind, ref["uid"])
        return [
            pod
            for sibling in siblings
            if namespace_of(sibling) == namespace_of(rs)
            for pod in self.cache.owned(Pod, uid_of(sibling))
        ]

    def _until_available(self, rs: Obj, pods: Sequence[Obj], now: datetime) -> float | None:
        min_ready = dig(rs, "spec.minReadySeconds", 0)
        if not min_ready:
            return None
        waits = (seconds_until_available(pod, min_ready, now) for pod in pods if is_active(pod))
        return min((wait for wait in waits if wait), default=None)
