"""kube-scheduler: gives each pod without a node the node that suits it best.

Decisions are made one after the other on a snapshot that already counts what was decided before; bindings
are written concurrently. A binding that fails gives the node's room back, and the pod is tried again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from minikube_py import collect
from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import STRATEGIC_PATCH, Client
from minikube_py.client.base import Change as ObjectChange
from minikube_py.client.events import EventRecorder
from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, name_of, timestamp, uid_of
from minikube_py.scheduler.cycle import Cycle, Placement, Unschedulable
from minikube_py.scheduler.framework import Change, Plugin
from minikube_py.scheduler.queue import SchedulingQueue, Waiting
from minikube_py.scheduler.snapshot import PodInfo, Snapshot, amounts

log = logging.getLogger(__name__)

NAME = "default-scheduler"
MAX_BINDINGS = 256
"""Bindings that are written at once; the store makes one commit of many."""


def default_plugins() -> list[Plugin]:
    """Every plugin of the plugins folder, those that refuse cheapest first."""
    found = collect.classes("minikube_py.scheduler.plugins", Plugin)
    return [plugin() for plugin in sorted(found, key=lambda plugin: (plugin.order, plugin.__name__))]


class Scheduler:
    """Schedules until cancelled."""

    name = "kube-scheduler"

    def __init__(self, client: Client, clock: Clock, plugins: Sequence[Plugin] | None = None) -> None:
        self._client = client
        self._clock = clock
        self._plugins = list(plugins) if plugins is not None else default_plugins()
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(clock)
        self._room = asyncio.Semaphore(MAX_BINDINGS)
        self.scheduled = 0
        self.unschedulable = 0

    async def run(self, ready: asyncio.Event) -> None:
        self._snapshot = Snapshot()
        cycle = Cycle(self._plugins)
        async with (
            SchedulingQueue(self._clock) as self._queue,
            EventRecorder(self._client, self._clock, NAME) as self._events,
            Tasks("scheduler") as self._tasks,
        ):
            stops = [
                self._client.cache.subscribe(Node, self._node_changed),
                self._client.cache.subscribe(Pod, self._pod_changed),
            ]
            ready.set()
            try:
                while True:
                    waiting = await self._queue.take()
                    await self._room.acquire()
                    self._schedule(cycle, waiting)
            finally:
                for stop in stops:
                    stop()

    def _schedule(self, cycle: Cycle, waiting: Waiting) -> None:
        decision = cycle.decide(waiting.info, self._snapshot)
        if isinstance(decision, Placement):
            self._snapshot.put_pod(waiting.info, decision.node)
            self._tasks.spawn(self._bind(waiting, decision.node), f"bind/{waiting.info.key}")
        else:
            self._queue.park(waiting, decision.plugins)
            self._tasks.spawn(self._report(waiting, decision), f"report/{waiting.info.key}")

    async def _bind(self, waiting: Waiting, node: str) -> None:
        info = waiting.info
        try:
            await self._client.post(Pod, info.key, "binding", binding(info, node))
            self.scheduled += 1
            message = f"Successfully assigned {info.key} to {node}"
            self._events.record(info.pod, "Normal", "Scheduled", message)
        except (NotFound, Conflict) as error:
            log.info("pod %s was not bound to %s: %s", info.key, node, error.message)
            self._give_back(waiting)
        except ApiError as error:
            self._events.record(info.pod, "Warning", "FailedScheduling", f"binding rejected: {error.message}")
            self._give_back(waiting)
        finally:
            self._room.release()

    def _give_back(self, waiting: Waiting) -> None:
        """A failed binding: the node's room is free again; the pod is retried unless it is gone or assigned."""
        current = self._client.cache.get(Pod, waiting.info.key)
        if current is not None and uid_of(current) == waiting.info.uid and dig(current, "spec.nodeName"):
            return
        self._snapshot.remove_pod(waiting.info.uid)
        if current is not None and uid_of(current) == waiting.info.uid and needs_node(current):
            self._queue.retry(waiting)

    async def _report(self, waiting: Waiting, refusal: Unschedulable) -> None:
        self.unschedulable += 1
        pod, key, message = waiting.info.pod, waiting.info.key, refusal.message
        try:
            self._events.record(pod, "Warning", "FailedScheduling", message)
            known = condition(pod, "PodScheduled")
            if known and known.get("reason") == "Unschedulable" and known.get("message") == message:
                return
            body = {
                "status": {"conditions": [unschedulable_condition(pod, message, timestamp(self._clock.now()))]}
            }
            await self._client.patch(Pod, key, body, type=STRATEGIC_PATCH, subresource="status")
        except ApiError as error:
            log.info("pod %s: its condition was not written: %s", key, error.message)
        finally:
            self._room.release()

    def _node_changed(self, change: ObjectChange) -> None:
        node = change.object
        if change.type == "DELETED":
            self._snapshot.remove_node(name_of(node))
            return
        self._snapshot.put_node(node)
        for kind in node_changes(change.old, node):
            self._queue.changed(kind)

    def _pod_changed(self, change: ObjectChange) -> None:
        pod = change.object
        uid, node = uid_of(pod), dig(pod, "spec.nodeName", "")
        if change.type == "DELETED" or dig(pod, "status.phase") in ("Succeeded", "Failed"):
            self._queue.remove(PodInfo.of(pod).key)
            if self._snapshot.remove_pod(uid):
                self._queue.changed(Change.POD_FREED)
        elif node:
            self._assigned(change, pod, node)
        elif needs_node(pod):
            self._queue.put(PodInfo.of(pod))
        else:
            self._queue.remove(PodInfo.of(pod).key)

    def _assigned(self, change: ObjectChange, pod: Obj, node: str) -> None:
        old = change.old
        if old is not None and dig(old, "spec.nodeName") == node and old["spec"] == pod["spec"]:
            return  # only its status or metadata moved
        info = PodInfo.of(pod)
        self._queue.remove(info.key)
        self._snapshot.put_pod(info, node)
        self._queue.changed(Change.POD_ASSIGNED)


def needs_node(pod: Obj) -> bool:
    """Whether this scheduler must find a node for the pod."""
    spec = pod.get("spec") or {}
    return (
        not spec.get("nodeName")
        and spec.get("schedulerName", NAME) == NAME
        and not spec.get("schedulingGates")
        and not is_deleting(pod)
    )


def binding(info: PodInfo, node: str) -> Obj:
    """The Binding that assigns a pod to a node."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": info.key.name, "namespace": info.key.namespace, "uid": info.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def unschedulable_condition(pod: Obj, message: str, now: str) -> Obj:
    """The PodScheduled condition of a pod that no node takes; the transition time is kept while it stays so."""
    known = condition(pod, "PodScheduled") or {}
    since = known.get("lastTransitionTime") if known.get("status") == "False" else None
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": since or now,
    }


def node_changes(old: Obj | None, new: Obj) -> list[Change]:
    """What about a node changed that may let pods onto it."""
    if old is None:
        return [Change.NODE_ADDED]

    def differs(path: str) -> Any:
        return dig(old, path) != dig(new, path)

    changes = []
    if dig(old, "status.allocatable") != dig(new, "status.allocatable") and amounts(
        dig(old, "status.allocatable")
    ) != amounts(dig(new, "status.allocatable")):
        changes.append(Change.NODE_ALLOCATABLE)
    if differs("metadata.labels"):
        changes.append(Change.NODE_LABELS)
    if differs("spec.taints") or differs("spec.unschedulable"):
        changes.append(Change.NODE_TAINTS)
    return changes
