"""Pod garbage collector: removes pods that no kubelet will ever end: those of nodes that are gone, those
being deleted before they had a node, those stuck on a node marked out of service, and ended ones beyond a
threshold."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.nodelifecycle import PODS_BY_NODE, pod_node_index
from minikube_py.controllers.pods import created_at, is_finished
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.nodefit import taints_of
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition_is,
    dig,
    is_deleting,
    key_of,
    name_of,
    uid_of,
    with_condition,
)

QUARANTINE = 40.0
"""Seconds that a node must be gone before its pods are removed."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
FINISHED = "controllers/pod-finished"
THRESHOLD = Key("", "")
"""The key under which ended pods are counted."""


def _finished_index(pod: Obj) -> Iterable[str]:
    return ("yes",) if is_finished(pod) and not is_deleting(pod) else ()


def excess(pods: Sequence[Obj], threshold: int) -> list[Obj]:
    """The oldest ended pods beyond the threshold; 0 or less: no limit."""
    if threshold <= 0 or len(pods) <= threshold:
        return []
    return sorted(pods, key=created_at)[: len(pods) - threshold]


def is_out_of_service(node: Obj) -> bool:
    """Whether an administrator has given the node up and it is not ready."""
    return not condition_is(node, "Ready") and any(t.get("key") == OUT_OF_SERVICE for t in taints_of(node))


class PodGarbageCollector(Controller):
    """Force the deletion of pods that nobody runs any more."""

    name: ClassVar[str] = "pod-garbage-collector-controller"
    account: ClassVar[str] = "pod-garbage-collector"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._gone: dict[str, float] = {}  # node > since when it is missing

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, PODS_BY_NODE, pod_node_index), (Pod, FINISHED, _finished_index))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._pod_changed, Node: self._node_changed}

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        pod = change.object
        if change.type == "DELETED":
            return
        node = dig(pod, "spec.nodeName")
        if not node:
            if is_deleting(pod):
                yield key_of(pod)
        else:
            known = self.cache.get(Node, Key("", node))
            if known is None or (is_deleting(pod) and is_out_of_service(known)):
                yield key_of(pod)
        was = change.old is not None and is_finished(change.old)
        if is_finished(pod) and not was:
            yield THRESHOLD

    def _node_changed(self, change: Change) -> Iterable[Key]:
        if change.type == "DELETED" or is_out_of_service(change.object):
            pods = self.cache.indexed(Pod, PODS_BY_NODE, name_of(change.object))
            return [key_of(pod) for pod in pods]
        self._gone.pop(name_of(change.object), None)
        return ()

    async def reconcile(self, key: Key) -> float | None:
        if key == THRESHOLD:
            ended = self.cache.indexed(Pod, FINISHED, "yes")
            for old in excess(ended, self.config.terminated_pod_threshold):
                await self._remove(old, None)
            return None
        pod = self.cache.get(Pod, key)
        if pod is None:
            return None
        name = dig(pod, "spec.nodeName", "")
        node = self.cache.get(Node, Key("", name)) if name else None
        if not name or node is not None:
            if is_deleting(pod) and (not name or (node is not None and is_out_of_service(node))):
                await self._remove(pod, None)
            return None
        missing = self.clock.monotonic() - self._gone.setdefault(name, self.clock.monotonic())
        if missing < QUARANTINE:
            return QUARANTINE - missing
        if not await self._exists(name):
            await self._remove(pod, "PodGC: node no longer exists")
        return None

    async def _exists(self, node: str) -> bool:
        try:
            await self.client.get(Node, node)
        except NotFound:
            return False
        return True

    async def _remove(self, pod: Obj, why: str | None) -> None:
        """Delete the pod at once; one that had not ended is marked as failed, with the reason."""
        try:
            if not is_finished(pod):
                await self.set_status(Pod, pod, self._failed_status(pod, why))
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(pod)}}
            await self.client.delete(Pod, key_of(pod), options)
        except NotFound:
            return

    def _failed_status(self, pod: Obj, why: str | None) -> Obj:
        status = {**(pod.get("status") or {}), "phase": "Failed"}
        if why is None:
            return status
        target = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": why}
        conditions = with_condition(status.get("conditions") or (), target, self.clock.now())
        return {**status, "conditions": conditions}
