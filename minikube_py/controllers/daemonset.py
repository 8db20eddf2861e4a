"""DaemonSet controller: one pod on every node that the template allows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers import history
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.daemonsets import placement, rollout
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index
from minikube_py.controllers.podcontrol import PodControl, namespace_terminating
from minikube_py.controllers.pods import is_finished, seconds_until_available
from minikube_py.controllers.standings import standing_of
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.nodefit import taints_of
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

FAILED_BASE, FAILED_LIMIT = 1.0, 900.0
"""Seconds between replacements of pods that end at once on the same node."""


def _told(pod: Obj) -> tuple[object, ...]:
    """All of a pod that a DaemonSet depends on."""
    owner = controller_of(pod) or {}
    return standing_of(pod), is_finished(pod), dig(pod, "spec.nodeName"), owner.get("uid"), uid_of(pod)


class DaemonSetController(Controller):
    """Drive each DaemonSet towards one pod per eligible node."""

    name: ClassVar[str] = "daemonset-controller"
    account: ClassVar[str] = "daemon-set-controller"
    reconciles, owns = DaemonSet, (Pod,)

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.pods = PodControl(self.client, self.events)
        self._failures: dict[tuple[str, str], tuple[float, float]] = {}  # ds uid, node > (wait, not before)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, ORPHANS, orphan_index), (ControllerRevision, ORPHANS, orphan_index))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            Pod: adopters(self.cache, DaemonSet),
            Node: self._node_changed,
            ControllerRevision: self._revision_changed,
        }

    def _owners(self, change: Change) -> Iterable[Key]:
        """Those that control the pod, now or before, where it makes a difference to them: each looks at every
        node."""
        return () if change.keeps(_told) else super()._owners(change)

    def _revision_changed(self, change: Change) -> Iterable[Key]:
        """The DaemonSet of a revision that was changed or deleted. One that is new says nothing: it is our own,
        or a client's, which is left alone until there is something to do."""
        ref = controller_of(change.object) or {}
        if change.type == "ADDED" or ref.get("kind") != "DaemonSet":
            return ()
        return (Key(namespace_of(change.object), ref["name"]),)

    def _node_changed(self, change: Change) -> Iterable[Key]:
        """The DaemonSets for which the node's labels or taints may make a difference."""
        node, old = change.object, change.old
        same = (
            change.type == "MODIFIED"
            and old is not None
            and (labels_of(old), taints_of(old)) == (labels_of(node), taints_of(node))
        )
        return () if same else [key_of(ds) for ds in self.cache.list(DaemonSet)]

    async def reconcile(self, key: Key) -> float | None:
        ds = self.cache.get(DaemonSet, key)
        if ds is None:
            return None
        pods = await claim(self.client, DaemonSet, ds, Pod)
        nodes = self.cache.list(Node)
        if is_deleting(ds):
            return None
        current = await history.current_revision(self.client, DaemonSet, ds)
        if history.HASH_LABEL not in labels_of(current):  # a client made it
            labels = {"labels": {history.HASH_LABEL: name_of(current)}}
            current = await self.client.patch(ControllerRevision, key_of(current), {"metadata": labels})
        digest = labels_of(current)[history.HASH_LABEL]
        placed = placement.by_node(pods)
        wait, error = await self._act(ds, nodes, placed, digest)
        placed = placement.by_node(self._current(ds))
        now = self.clock.now()
        await self.set_status(DaemonSet, ds, rollout.observed(ds, nodes, placed, digest, now))
        if error is not None and not namespace_terminating(error):
            raise error
        live = {labels_of(pod).get(history.HASH_LABEL, "") for pod in pods} | {digest}
        await history.truncate(self.client, ds, live)
        return self._soonest(ds, pods, wait)

    async def _act(
        self, ds: Obj, nodes: Sequence[Obj], placed: Mapping[str, Sequence[Obj]], digest: str
    ) -> tuple[float | None, Exception | None]:
        """Place and update pods: the seconds until ended pods may be replaced, and the first error."""
        surge, _ = rollout.limits(ds, len(nodes))
        moves = placement.plan_placement(ds, nodes, placed, surge > 0)
        waits = {uid_of(pod): self._failure_wait(ds, pod) for pod in moves.failed}
        due = [pod for pod in moves.delete if not waits.get(uid_of(pod))]
        made = [placement.new_pod(ds, node, digest) for node in moves.create]
        error = await self.pods.create(ds, made) or await self.pods.delete(ds, due)
        if error is None and not made and not due and rollout.is_rolling(ds):
            replace = rollout.plan_update(ds, nodes, placed, digest, self.clock.now())
            surging = [placement.new_pod(ds, node, digest) for node in replace.create]
            error = await self.pods.delete(ds, replace.delete) or await self.pods.create(ds, surging)
        return min((wait for wait in waits.values() if wait), default=None), error

    def _failure_wait(self, ds: Obj, pod: Obj) -> float:
        """Seconds until the ended pod may be deleted, 0 for now; it is told of. After a failure the next wait
        is longer."""
        node, now = placement.node_of(pod), self.clock.monotonic()
        if dig(pod, "status.phase") == "Succeeded":
            message = f"Found succeeded daemon pod {key_of(pod)} on node {node}, will try to delete it"
            self.events.record(ds, "Normal", "SucceededDaemonPod", message)
            return 0.0
        slot = (uid_of(ds), node)
        backoff, earliest = self._failures.get(slot, (FAILED_BASE, now))
        if earliest > now:
            return earliest - now
        if now - earliest > 2 * FAILED_LIMIT:
            backoff = FAILED_BASE
        self._failures[slot] = (min(FAILED_LIMIT, backoff * 2), now + backoff)
        message = f"Found failed daemon pod {key_of(pod)} on node {node}, will try to kill it"
        self.events.record(ds, "Warning", "FailedDaemonPod", message)
        return 0.0

    def _current(self, ds: Obj) -> list[Obj]:
        owned = self.cache.owned(Pod, uid_of(ds))
        return [pod for pod in owned if (controller_of(pod) or {}).get("uid") == uid_of(ds)]

    def _soonest(self, ds: Obj, pods: Sequence[Obj], wait: float | None) -> float | None:
        """Seconds until a pod becomes available by age, or an ended one may be replaced."""
        min_ready, now = dig(ds, "spec.minReadySeconds", 0), self.clock.now()
        waits = [seconds_until_available(pod, min_ready, now) for pod in pods] if min_ready else []
        return min((seconds for seconds in [*waits, wait] if seconds), default=None)
