"""Taint eviction controller: deletes pods from nodes with NoExecute taints that they do not tolerate, or
tolerate only for a time. One timer per such pod; after a restart the time counts on from the taint's
timeAdded, where it has one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.nodelifecycle import PODS_BY_NODE, pod_node_index
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.nodefit import NO_EXECUTE, taints_of, tolerates
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition,
    dig,
    is_deleting,
    key_of,
    name_of,
    parse_time,
    uid_of,
    with_condition,
)


def evict_in(
    tolerations: Sequence[Obj],
    taints: Sequence[Obj],
    now: datetime,
    seen: datetime | None = None,
    arrived: datetime | None = None,
) -> float | None:
    """Seconds until a pod must leave a node with these NoExecute taints: 0 for now, None for never. A taint
    counts from when it was added, or the pod `arrived` if that was later; one that does not say so from when
    it was first `seen` with the pod, or else from now. Of a taint's tolerations the first one holds."""
    waits: list[float] = []
    for taint in taints:
        covering = next((t for t in tolerations if tolerates(t, taint)), None)
        if covering is None:
            return 0.0
        if (limit := covering.get("tolerationSeconds")) is not None:
            since = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else seen or now
            ends = max(since, arrived or since) + timedelta(seconds=max(0, limit))
            waits.append(max(0.0, (ends - now).total_seconds()))
    return min(waits, default=None)


def arrival(pod: Obj) -> datetime:
    """When the pod was bound to its node, or else made."""
    bound = condition(pod, "PodScheduled") or {}
    return parse_time(bound.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


def no_execute(node: Obj) -> list[Obj]:
    return [taint for taint in taints_of(node) if taint.get("effect") == NO_EXECUTE]


class TaintEvictionController(Controller):
    """Evict each pod from a node whose taints it does not tolerate."""

    name: ClassVar[str] = "taint-eviction-controller"
    account: ClassVar[str] = "node-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._marked: dict[str, datetime] = {}  # by uid: since when it is known that the pod will be evicted

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, PODS_BY_NODE, pod_node_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Node: self._node_changed, Pod: self._pod_changed}

    def _node_changed(self, change: Change) -> Iterable[Key]:
        before = no_execute(change.old) if change.old is not None else []
        if change.type == "DELETED" or no_execute(change.object) == before:
            return ()
        return [key_of(p) for p in self.cache.indexed(Pod, PODS_BY_NODE, name_of(change.object))]

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        """A pod that comes to a tainted node."""
        pod, old = change.object, change.old
        if change.type == "DELETED":
            self._marked.pop(uid_of(pod), None)
            return ()
        same = old is not None and all(
            dig(old, p) == dig(pod, p) for p in ("spec.nodeName", "spec.tolerations")
        )
        if same or not dig(pod, "spec.nodeName"):
            return ()
        node = self.cache.get(Node, Key("", pod["spec"]["nodeName"]))
        return (key_of(pod),) if node is not None and no_execute(node) else ()

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get(Pod, key)
        if pod is None or is_deleting(pod) or not dig(pod, "spec.nodeName"):
            return None
        node = self.cache.get(Node, Key("", pod["spec"]["nodeName"]))
        taints = no_execute(node) if node is not None else []
        now = self.clock.now()
        seen = self._marked.get(uid_of(pod))
        left = evict_in(dig(pod, "spec.tolerations", []), taints, now, seen, arrival(pod)) if taints else None
        if left is None:
            if self._marked.pop(uid_of(pod), None) is not None:
                self.events.record(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        if left > 0:
            self._marked.setdefault(uid_of(pod), now)
            return left
        await self._evict(pod)
        return None

    async def _evict(self, pod: Obj) -> None:
        self._marked.pop(uid_of(pod), None)
        self.events.record(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }
        status = pod.get("status") or {}
        conditions = with_condition(status.get("conditions") or (), target, self.clock.now())
        try:
            await self.set_status(Pod, pod, {**status, "conditions": conditions})
            await self.client.delete(Pod, key_of(pod), {"preconditions": {"uid": uid_of(pod)}})
        except NotFound:
            return
