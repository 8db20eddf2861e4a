"""ReplicaSet controller: keeps as many pods as spec.replicas says."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from operator import itemgetter
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.batches import BURST, in_parts
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index, selector_of
from minikube_py.controllers.podcontrol import PodControl, namespace_terminating
from minikube_py.controllers.pods import active_by_node, is_active, pod_from_template, removal_ranks
from minikube_py.controllers.standings import Counts, Standings, standing_of
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


def missing(rs: Obj, pods: Counts) -> int:
    """How many pods `rs` must create; below zero: how many it must delete."""
    return int(dig(rs, "spec.replicas", 1)) - sum(n for standing, n in pods.items() if standing.active)


def observed(rs: Obj, pods: Counts, failure: tuple[str, str] | None, now: datetime) -> Obj:
    """The status of `rs` with its `pods`; `failure` is the reason and message of what could not be done."""
    active = {standing: n for standing, n in pods.items() if standing.active}
    template_labels = frozenset((dig(rs, "spec.template.metadata.labels") or {}).items())
    min_ready = dig(rs, "spec.minReadySeconds", 0)
    counts = {
        "fullyLabeledReplicas": sum(n for pod, n in active.items() if template_labels <= pod.labels),
        "readyReplicas": sum(n for pod, n in active.items() if pod.ready),
        "availableReplicas": sum(n for pod, n in active.items() if pod.wait(min_ready, now) == 0.0),
        "observedGeneration": dig(rs, "metadata.generation", 0),
    }
    status: Obj = {"replicas": sum(active.values())} | {field: n for field, n in counts.items() if n}
    conditions = _conditions(dig(rs, "status.conditions", []), failure, now)
    return status | ({"conditions": conditions} if conditions else {})


def until_available(rs: Obj, pods: Counts, now: datetime) -> float | None:
    """Seconds until the next of `pods` has been ready for long enough; None: all have, or are not ready."""
    min_ready = dig(rs, "spec.minReadySeconds", 0)
    waits = (pod.wait(min_ready, now) for pod in pods if pod.active)
    return min((wait for wait in waits if wait), default=None)


def _conditions(old: Sequence[Obj], failure: tuple[str, str] | None, now: datetime) -> list[Obj]:
    others = [c for c in old if c.get("type") != "ReplicaFailure"]
    if failure is None:
        return others
    if len(others) < len(old):  # it stays as it was first told
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
        self._standings = Standings(self.kind.kind)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, ORPHANS, orphan_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        self._standings = Standings(self.kind.kind)
        return {Pod: adopters(self.cache, self.kind), self.kind: self._heed}

    def _owners(self, change: Change) -> Iterable[Key]:
        """Those that control the pod, now or before, where it stands another way: most changes make no
        difference."""
        return super()._owners(change) if self._standings.note(change) else ()

    def _heed(self, change: Change) -> Iterable[Key]:
        """The labels that a ReplicaSet selects by, and those of its template, matter to it."""
        rs, labels = change.object, None
        if change.type != "DELETED" and dig(rs, "spec.selector"):
            template = dig(rs, "spec.template.metadata.labels") or {}
            labels = {*template, *(term.key for term in selector_of(rs).requirements)}
        self._standings.heed(uid_of(rs), labels, lambda: self.cache.owned(Pod, uid_of(rs)))
        return ()

    async def reconcile(self, key: Key) -> float | None:
        rs = self.cache.get(self.kind, key)
        if rs is None:
            return None
        pods = await self._claimed(rs)
        error: Exception | None = None
        failure: tuple[str, str] | None = None
        wanted = 0 if is_deleting(rs) else missing(rs, pods)
        if wanted > 0:
            template = rs["spec"]["template"]
            made = [pod_from_template(template, rs) for _ in range(min(wanted, BURST))]
            error = await self.pods.create(rs, made)
            error = None if namespace_terminating(error) else error
            failure = ("FailedCreate", str(error)) if error else None
        elif wanted < 0:
            error = await self.pods.delete(rs, await self._surplus(rs, -wanted))
            failure = ("FailedDelete", str(error)) if error else None
        if wanted:
            pods = self._standings.of(uid_of(rs))
        now = self.clock.now()
        await self.set_status(self.kind, rs, observed(rs, pods, failure, now))
        if error is not None:
            raise error
        return until_available(rs, pods, now)

    async def _claimed(self, rs: Obj) -> Counts:
        """The pods that `rs` controls by its selector, after adopting and releasing what it must."""
        pods, selector = self._standings.of(uid_of(rs)), selector_of(rs)
        if all(selector.matches(dict(pod.labels)) for pod in pods) and not any(
            selector.matches(labels_of(orphan)) for orphan in self.cache.indexed(Pod, ORPHANS, namespace_of(rs))
        ):
            return pods
        return Counter(map(standing_of, await claim(self.client, self.kind, rs, Pod)))

    async def _surplus(self, rs: Obj, count: int) -> Sequence[Obj]:
        """The `count` pods that go first; the loop may turn while many are looked at."""
        active = [pod for pod in self._controlled(rs) if is_active(pod)]
        per_node: Counter[str] = Counter()
        async for part in in_parts(self._related(rs, active)):
            per_node.update(active_by_node(part))
        now, ranked = self.clock.now(), []
        async for part in in_parts(active):
            ranked += removal_ranks(part, per_node, now)
        return [pod for _, pod in nsmallest(count, ranked, key=itemgetter(0))]

    def _controlled(self, rs: Obj) -> list[Obj]:
        """The pods that the cache shows by now, without those that are being released."""
        selector = selector_of(rs)
        return [
            pod
            for pod in self.cache.owned(Pod, uid_of(rs))
            if (controller_of(pod) or {}).get("uid") == uid_of(rs) and selector.matches(labels_of(pod))
        ]

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
