"""SimulatedKubelets: one service that is the kubelet of every simulated node.

A Node with the annotation `minikube-py.io/simulated: "true"` is kept Ready (its status, its Lease), and the
pods bound to it take their course by their rules (see rules and course) without machine and runtime.
Guarantees: a key is worked on by one worker at a time, an error is retried with backoff, nothing is scanned:
each pod and node has at most one timer. Nodes have a queue of their own, so that their Leases are renewed in
time however many pods wait. The node that has a real kubelet is never simulated.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.workqueue import WorkQueue
from minikube_py.client.base import Change, Client
from minikube_py.client.events import EventRecorder
from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.core.node import Node, is_simulated
from minikube_py.kinds.core.pod import BY_NODE, Pod, node_of
from minikube_py.kubelet.node.lease import renew
from minikube_py.kubelet.simulated.addresses import Addresses
from minikube_py.kubelet.simulated.course import Place, restarts_of, stage_of, stay, step
from minikube_py.kubelet.simulated.nodes import RANGE, completed, internal_ip, machine_of
from minikube_py.kubelet.simulated.rules import BadRules, Rules, rules_of
from minikube_py.meta.objects import Key, Obj, condition_is, dig, key_of, name_of, uid_of

log = logging.getLogger(__name__)

WORKERS, NODE_WORKERS = 16, 64
LEASE_SECONDS, RENEW_SECONDS = 40, 20.0
"""How long a Lease holds, and after how long it is renewed: half as often as by a kubelet."""
TOGETHER = 1.0
"""Leases due within the same so many seconds are renewed at once, so that the store commits them together."""


class SimulatedKubelets:
    """See the module. `real` is the name of the node that has a kubelet of its own."""

    name = "simulated-nodes"

    def __init__(self, client: Client, clock: Clock, real: str = "") -> None:
        self._client, self._clock, self._real = client, clock, real
        self._architecture = platform.machine()
        self._begin()

    def _begin(self) -> None:
        self._pods: WorkQueue[Key] = WorkQueue(self._clock, name=self.name)
        self._heartbeats: WorkQueue[Key] = WorkQueue(self._clock, name=f"{self.name}/heartbeats")
        self._nodes: set[str] = set()
        self._leased: dict[str, float] = {}
        self._complete: dict[str, Obj] = {}  # nodes that lack nothing, as they are now
        self._stages: dict[str, tuple[tuple[str, int], float]] = {}
        self._told: set[str] = set()
        self._written: dict[str, str] = {}  # by pod: the resourceVersion of its last status
        self._addresses = Addresses(RANGE)

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done now (what waits for its time does not count)."""
        return self._pods.idle and self._heartbeats.idle

    async def run(self, ready: asyncio.Event) -> None:
        """Drive nodes and pods until cancelled."""
        self._begin()
        stops: list[Callable[[], None]] = []
        async with (
            self._pods,
            self._heartbeats,
            EventRecorder(self._client, self._clock, "kubelet") as self._events,
            Tasks(self.name) as tasks,
        ):
            try:
                await self._client.cache.file(Pod, BY_NODE, node_of)
                stops.append(await self._client.cache.follow(Node, self._node_changed))
                stops.append(await self._client.cache.follow(Pod, self._pod_changed))
                for number in range(WORKERS):
                    tasks.spawn(self._work(self._pods, self._pod), f"pods-{number}")
                for number in range(NODE_WORKERS):
                    tasks.spawn(self._work(self._heartbeats, self._node), f"nodes-{number}")
                ready.set()
                await asyncio.get_running_loop().create_future()
            finally:
                for stop in stops:
                    stop()

    def _node_changed(self, change: Change) -> None:
        name = name_of(change.object)
        if change.type == "DELETED" or name == self._real or not is_simulated(change.object):
            self._nodes.discard(name)
            self._leased.pop(name, None)
            self._complete.pop(name, None)
            self._addresses.release(uid_of(change.object))
            return
        if name not in self._nodes:
            self._nodes.add(name)
            self._addresses.claim(uid_of(change.object), internal_ip(change.object))
            for pod in self._client.cache.indexed(Pod, BY_NODE, name):
                self._pods.add(key_of(pod))
        self._heartbeats.add(Key("", name))

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        uid = uid_of(pod)
        if change.type == "DELETED":
            self._stages.pop(uid, None)
            self._written.pop(uid, None)
            self._told.discard(uid)
            self._addresses.release(uid)
            return
        if dig(pod, "spec.nodeName") not in self._nodes:
            return
        if change.type == "ADDED":
            self._addresses.claim(uid, dig(pod, "status.podIP", ""))
            if self._stands(pod):
                self._written[uid] = pod["metadata"]["resourceVersion"]
        self._pods.add(key_of(pod))

    def _stands(self, pod: Obj) -> bool:
        """Whether a pod that is new here, as all are after a restart, is as it was: ready, at its address."""
        if not condition_is(pod, "Ready"):
            return False
        shared = bool(dig(pod, "spec.hostNetwork"))
        return shared or dig(pod, "status.podIP") == self._addresses.of(uid_of(pod))

    async def _work(self, queue: WorkQueue[Key], act: Callable[[Key], Awaitable[float | None]]) -> None:
        while True:
            key = await queue.get()
            try:
                again = await act(key)
            except NotFound:
                queue.forget(key)
            except ApiError as error:
                log.log(logging.DEBUG if isinstance(error, Conflict) else logging.INFO, "%s: %s", key, error)
                queue.retry(key)
            except Exception:
                log.exception("simulating %s failed", key)
                queue.retry(key)
            else:
                queue.forget(key)
                if again is not None:
                    queue.add_after(key, again)
            finally:
                queue.done(key)

    async def _node(self, key: Key) -> float | None:
        """Keep a node Ready; the seconds until its Lease is to be renewed."""
        node = self._client.cache.get(Node, key)
        if node is None or key.name not in self._nodes:
            return None
        if node is not self._complete.get(key.name):
            await self._keep_complete(key, node)
        due = self._leased.get(key.name, 0.0) - self._clock.monotonic()
        if key.name not in self._leased or due <= 0:
            await renew(self._client, key.name, self._clock.now(), LEASE_SECONDS, node)
            now = self._clock.monotonic()
            due = RENEW_SECONDS - now % TOGETHER
            self._leased[key.name] = now + due
        return due

    async def _keep_complete(self, key: Key, node: Obj) -> None:
        """Give the node the labels and the status that it lacks."""
        address = internal_ip(node) or self._addresses.of(uid_of(node))
        labels, status = completed(node, address, machine_of(node, self._architecture), self._clock.now())
        if labels:
            await self._client.patch(Node, key, {"metadata": {"labels": labels}})
        if status is not None:
            await self._client.patch(Node, key, {"status": status}, subresource="status")
        if not labels and status is None:
            self._complete[key.name] = node

    async def _pod(self, key: Key) -> float | None:
        """One step of a pod's course; the seconds until the next."""
        cache = self._client.cache
        pod = cache.get(Pod, key)
        node = cache.get(Node, Key("", dig(pod, "spec.nodeName", ""))) if pod is not None else None
        if pod is None or node is None or name_of(node) not in self._nodes:
            return None
        uid = uid_of(pod)
        host_ip = internal_ip(node)
        own = host_ip if dig(pod, "spec.hostNetwork") else self._addresses.of(uid)
        rules, version = self._rules(pod, node), pod["metadata"]["resourceVersion"]
        if self._written.get(uid) == version and stay(pod, stage_of(pod), rules) is None:
            return None  # it is as it was left
        found = step(pod, rules, self._elapsed(pod), Place(own, host_ip), self._clock.now())
        if found.status is not None:
            pod = await self._client.update(Pod, {**pod, "status": found.status}, subresource="status")
            self._written[uid] = pod["metadata"]["resourceVersion"]
        if found.gone:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            await self._client.delete(Pod, key, options)
        return found.again

    def _elapsed(self, pod: Obj) -> float:
        """Seconds since this pod was first seen in its stage."""
        uid, stage, now = uid_of(pod), (stage_of(pod), restarts_of(pod)), self._clock.monotonic()
        known = self._stages.get(uid)
        if known is None or known[0] != stage:
            known = self._stages[uid] = (stage, now)
        return now - known[1]

    def _rules(self, pod: Obj, node: Obj) -> Rules:
        """The pod's rules; where they cannot be read, an event tells so, once, and it has none."""
        try:
            return rules_of(pod, node)
        except BadRules as error:
            if uid_of(pod) not in self._told:
                self._told.add(uid_of(pod))
                self._events.record(pod, "Warning", "InvalidSimulation", str(error))
            return Rules()
