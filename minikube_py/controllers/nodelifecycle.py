"""Node lifecycle controller: notices nodes that have stopped posting, and turns conditions into taints.

A heartbeat is a renewal of the node's Lease (kube-node-lease) or of its Ready condition, dated by this
process' clock when it is seen, so that clocks need not agree. Nothing is scanned: a node is looked at again
when its grace is over. NoExecute taints come at the rate of the node's zone, and
not at all while every node is lost (then it is rather this process that is). Evicting the pods is the taint
eviction controller's.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Index
from minikube_py.client.events import EventRecorder
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.nodes.silence import Silence
from minikube_py.controllers.nodes.zones import ALL_LOST, Zones, zone_of
from minikube_py.errors import Conflict, NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.nodefit import (
    NETWORK_UNAVAILABLE,
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    taints_of,
)
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    timestamp,
    uid_of,
)

LEASES = "kube-node-lease"
PODS_BY_NODE = "controllers/pod-node"
LOST_NODES, LOST = "controllers/lost-node", "lost"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": NETWORK_UNAVAILABLE,
}
OWN_TAINTS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()})


def pod_node_index(pod: Obj) -> Iterable[str]:
    """Files pods under the node they run on."""
    node = dig(pod, "spec.nodeName")
    return (node,) if node else ()


def wanted_taints(node: Obj, now: datetime, *, evict: bool = True) -> list[Obj]:
    """The node's taints as its conditions ask; those of others stay. A NoExecute taint keeps the time since
    when it is there; without `evict` there is none."""
    ready = (condition(node, "Ready") or {}).get("status")
    trouble = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready or "")
    keys = [trouble] if trouble else []
    wanted = [(key, NO_SCHEDULE) for key in keys]
    wanted += [
        (key, NO_SCHEDULE)
        for type, key in PRESSURES.items()
        if (condition(node, type) or {}).get("status") == "True"
    ]
    if dig(node, "spec.unschedulable"):
        wanted.append((UNSCHEDULABLE, NO_SCHEDULE))
    wanted += [(key, NO_EXECUTE) for key in keys if evict]
    known = {(taint.get("key"), taint.get("effect")): taint for taint in taints_of(node)}
    kept = [t for t in taints_of(node) if t.get("key") not in OWN_TAINTS or _keeps(t, ready)]
    have = {(taint.get("key"), taint.get("effect")) for taint in kept}
    for key, effect in wanted:
        if (key, effect) in have:
            continue
        new = {"key": key, "effect": effect, "timeAdded": timestamp(now)}
        kept.append(known.get((key, effect), new))
    return kept


def _is_lost(node: Obj) -> bool:
    """Whether the node says, or silence says for it, that it is not ready."""
    return (condition(node, "Ready") or {}).get("status") in ("False", "Unknown")


def _lost_index(node: Obj) -> Iterable[str]:
    """Files the nodes that are lost together."""
    return (LOST,) if _is_lost(node) else ()


def _keeps(taint: Obj, ready: str | None) -> bool:
    """A node that has not posted yet keeps the not-ready taint that it registered with."""
    return ready is None and taint.get("key") == NOT_READY


def silent_conditions(node: Obj, now: datetime) -> list[Obj]:
    """The conditions of a node that has stopped posting: what it posted is unknown now."""
    known: list[Obj] = dig(node, "status.conditions", [])
    result, moment = [], timestamp(now)
    for old in known:
        if old.get("type") not in WATCHED or old.get("status") == "Unknown":
            result.append(old)
            continue
        new = {
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
        }
        result.append({**old, **new, "lastTransitionTime": moment})
    posted = {old.get("type") for old in known}
    created = dig(node, "metadata.creationTimestamp", moment)
    never = {
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": created,
        "lastTransitionTime": moment,
    }
    return result + [{"type": type, **never} for type in WATCHED if type not in posted]


@dataclass(slots=True)
class Heartbeat:
    """The last sign of life: what it was, and when it was seen (seconds of the clock)."""

    sign: tuple[Any, Any]
    seen: float


class NodeLifecycleController(Controller):
    """Watch over each node's heartbeat, conditions and taints."""

    name: ClassVar[str] = "node-lifecycle-controller"
    account: ClassVar[str] = "node-controller"
    reconciles = Node

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._heartbeats: dict[str, Heartbeat] = {}
        self._registered: dict[str, Obj] = {}  # by name: the node as it was when it was first seen
        self._zones = Zones()
        self._silence = self._new_silence()
        client = context.clients.named(self.account)
        self.events = EventRecorder(client, context.clock, self.account)

    def _new_silence(self) -> Silence:
        return Silence(self.clock, self.config.node_grace, lambda name: self.queue.add(Key("", name)))

    async def run(self, ready: asyncio.Event) -> None:
        self._heartbeats.clear()
        self._silence = self._new_silence()
        async with Tasks(f"{self.name}/silence") as tasks:
            tasks.spawn(self._silence.run(), "watch")
            await super().run(ready)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, PODS_BY_NODE, pod_node_index), (Node, LOST_NODES, _lost_index))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Lease: self._renewed, Pod: self._pod_ready, Node: self._zone_changed}

    def _zone_changed(self, change: Change) -> Iterable[Key]:
        """The lost nodes, where a node's gain or loss may change how fast they are given up."""
        if not self._zones.note(change.object, gone=change.type == "DELETED"):
            return ()
        return [key_of(node) for node in self.cache.indexed(Node, LOST_NODES, LOST)]

    def _renewed(self, change: Change) -> Iterable[Key]:
        """A renewal is noted when it comes; only a node that was given up is looked at for it."""
        if namespace_of(change.object) != LEASES or change.type == "DELETED":
            return ()
        key = Key("", name_of(change.object))
        node = self.cache.get(Node, key)
        if node is None:
            return ()
        self._note(node)
        ready = condition(node, "Ready")
        return (key,) if ready is not None and ready.get("status") == "Unknown" else ()

    def _pod_ready(self, change: Change) -> Iterable[Key]:
        """A pod that says it is ready on a node that is not."""
        node_name = dig(change.object, "spec.nodeName", "")
        if (
            change.type == "DELETED"
            or not node_name
            or (condition(change.object, "Ready") or {}).get("status") != "True"
        ):
            return ()
        node = self.cache.get(Node, Key("", node_name))
        ready = condition(node, "Ready") if node is not None else None
        return (Key("", node_name),) if ready is not None and ready.get("status") == "Unknown" else ()

    def _note(self, node: Obj) -> Heartbeat:
        """The node's heartbeat, with now as its time if it has moved."""
        lease = self.cache.get(Lease, Key(LEASES, name_of(node)))
        ready = condition(node, "Ready") or {}
        posted = ready.get("lastHeartbeatTime") if ready.get("reason") != "NodeStatusNeverUpdated" else None
        sign = (dig(lease, "spec.renewTime"), posted)
        known = self._heartbeats.get(name_of(node))
        if known is None or known.sign != sign:
            known = self._heartbeats[name_of(node)] = Heartbeat(sign, self.clock.monotonic())
            self._silence.heard(name_of(node))
        return known

    async def reconcile(self, key: Key) -> float | None:
        node = self.cache.get(Node, key)
        self._note_registered(key.name, node)
        if node is None:
            self._heartbeats.pop(key.name, None)
            self._silence.forget(key.name)
            return None
        if is_deleting(node):
            return None
        left = self._grace_left(node)
        if left <= 0:
            node = await self._give_up(node)
        again = await self._taint(node)
        if _is_lost(node):
            await self._mark_pods(node)
        if self._silence.awaits(key.name):
            left = 0.0  # it tells when the node is to be looked at
        return min((wait for wait in (left, again) if wait > 0), default=None)

    def _note_registered(self, name: str, node: Obj | None) -> None:
        """Tell of a node that has come, and of one that is gone."""
        known = self._registered.get(name)
        if known is not None and (node is None or uid_of(node) != uid_of(known)):
            del self._registered[name]
            told = f"Node {name} event: Removing Node {name} from Controller"
            self.events.record(known, "Normal", "RemovingNode", told)
        if node is not None and name not in self._registered:
            self._registered[name] = node
            told = f"Node {name} event: Registered Node {name} in Controller"
            self.events.record(node, "Normal", "RegisteredNode", told)

    def _grace_left(self, node: Obj) -> float:
        heartbeat = self._note(node)
        ready = condition(node, "Ready")
        config = self.config
        if ready is None and heartbeat.sign == (None, None):
            age = (self.clock.now() - parse_time(dig(node, "metadata.creationTimestamp"))).total_seconds()
            return config.node_startup_grace - max(age, self.clock.monotonic() - heartbeat.seen)
        return config.node_grace - (self.clock.monotonic() - heartbeat.seen)

    async def _give_up(self, node: Obj) -> Obj:
        """Say that the node's state is unknown."""
        now = self.clock.now()
        status = {**(node.get("status") or {}), "conditions": silent_conditions(node, now)}
        changed = (condition(node, "Ready") or {}).get("status") != "Unknown"
        stored = await self.set_status(Node, node, status)
        if changed:
            message = f"Node {name_of(node)} status is now: NodeNotReady"
            self.events.record(node, "Normal", "NodeNotReady", message)
        return stored

    async def _taint(self, node: Obj) -> float:
        """Set the taints; the seconds until the node's zone has a turn for it, 0 where it needs none."""
        zone, now = zone_of(node), self.clock.monotonic()
        wanted = wanted_taints(node, self.clock.now())
        has = {(taint["key"], taint["effect"]) for taint in taints_of(node)}
        new = any(t["effect"] == NO_EXECUTE and (t["key"], NO_EXECUTE) not in has for t in wanted)
        wait = self._zones.wait(zone, now) if new else 0.0
        if self._zones.state(zone) == ALL_LOST or wait != 0.0:
            wanted = wanted_taints(node, self.clock.now(), evict=False)
        elif new:
            self._zones.spend(zone, now)
        if wanted != taints_of(node):
            meta = {"resourceVersion": node["metadata"]["resourceVersion"]}
            body = {"metadata": meta, "spec": {"taints": wanted or None}}
            await self.client.patch(Node, key_of(node), body)
        return wait or 0.0

    async def _mark_pods(self, node: Obj) -> None:
        """Take the pods of a node that is not ready out of service."""
        for pod in self._pods(node):
            ready = condition(pod, "Ready")
            if ready is None or ready.get("status") != "True":
                continue
            now = timestamp(self.clock.now())
            conditions = [
                {**c, "status": "False", "lastTransitionTime": now} if c.get("type") == "Ready" else c
                for c in dig(pod, "status.conditions", [])
            ]
            try:
                await self.set_status(Pod, pod, {**pod["status"], "conditions": conditions})
            except (NotFound, Conflict):  # it changed or went: its change brings us back
                continue
            self.events.record(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _pods(self, node: Obj) -> Sequence[Obj]:
        return self.cache.indexed(Pod, PODS_BY_NODE, name_of(node))
