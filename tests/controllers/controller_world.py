"""A cluster in virtual time: every controller, and one stand-in for scheduler and kubelet."""

import asyncio
from typing import Any, ClassVar

from minikube_py.aio.clock import VirtualClock
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import Controller, ControllerContext
from minikube_py.controllers.manager import ControllerManager
from minikube_py.errors import ApiError, Cause, Forbidden, NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, name_of, timestamp
from minikube_py.registry.base import Attributes

CONDITIONS = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}


class NodeAgent(Controller):
    """Binds pods and runs them: what becomes of a pod is said by its first image (ok, stuck, fail, succeed)."""

    name: ClassVar[str] = "node-agent"
    reconciles = Pod

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.silent: set[str] = set()
        self.images: dict[str, str] = {}
        self.addresses = 0

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get(Pod, key)
        if pod is None or dig(pod, "spec.nodeName") in self.silent:
            return None
        try:
            await self._act(key, pod)
        except NotFound:
            return None
        return None

    async def _act(self, key: Key, pod: Obj) -> None:
        if is_deleting(pod):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
            await self.client.delete(Pod, key, options)
        elif not dig(pod, "spec.nodeName"):
            if node := self._node_for(pod):
                await self.client.post(Pod, key, "binding", {"target": {"kind": "Node", "name": node}})
        elif dig(pod, "status.phase") == "Pending" and not dig(pod, "status.podIP"):
            await self.set_status(Pod, pod, {**pod["status"], **self._status(pod)})

    def _node_for(self, pod: Obj) -> str:
        path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        for term in dig(pod, path, []):
            return str(term["matchFields"][0]["values"][0])
        nodes = [
            n for n in self.cache.list(Node) if not dig(n, "spec.taints") and name_of(n) not in self.silent
        ]
        return min(map(name_of, nodes), default="")

    def _status(self, pod: Obj) -> Obj:
        image = dig(pod, "spec.containers")[0]["image"]
        behaviour = self.images.get(image, image)
        self.addresses += 1
        now = timestamp(self.clock.now())
        phase = {"fail": "Failed", "succeed": "Succeeded", "stuck": "Pending"}.get(behaviour, "Running")
        ready = "True" if phase == "Running" else "False"
        status: Obj = {
            "phase": phase,
            "startTime": now,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
            "podIP": f"10.244.0.{self.addresses}",
            "podIPs": [{"ip": f"10.244.0.{self.addresses}"}],
        }
        if phase in ("Failed", "Succeeded"):
            ended = {"exitCode": 42 if phase == "Failed" else 0, "finishedAt": now, "startedAt": now}
            container = {"name": "main", "image": image, "imageID": "", "ready": False, "restartCount": 0}
            status["containerStatuses"] = [container | {"state": {"terminated": ended}}]
        return status


class World:
    """The cluster, and what tests do to it."""

    def __init__(self, clients: LocalClients, clock: VirtualClock, manager: ControllerManager) -> None:
        self.clients, self.clock, self.manager = clients, clock, manager
        self.api = clients.named("test")
        self.cache = clients.cache
        self.beating: set[str] = set()

    def controller(self, cls: type[Any]) -> Any:
        return next(c for c in self.manager.controllers if isinstance(c, cls))

    @property
    def agent(self) -> NodeAgent:
        found: NodeAgent = self.controller(NodeAgent)
        return found

    async def settle(self) -> None:
        """Let the controllers work until none has anything to do."""
        calm = 0
        for _ in range(20_000):
            await asyncio.sleep(0)
            calm = calm + 1 if self.manager.idle else 0
            if calm > 40:
                for controller in self.manager.controllers:
                    await controller.events.flush()
                if self.manager.idle:
                    return
        runs = {c.name: c.metrics.runs for c in self.manager.controllers}
        raise AssertionError(f"still busy: {runs}")

    async def pass_time(self, seconds: int) -> None:
        """Let time pass second by second, nodes beating every ten."""
        for second in range(seconds):
            await self.clock.advance(1, settle=5)
            if second % 10 == 9:
                for node in tuple(self.beating):
                    await self.beat(node)
            await self.settle()

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        made = await self.api.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **obj})
        await self.settle()
        return made

    async def patch(self, kind: Kind, name: str, body: Obj, namespace: str = "default") -> Obj:
        changed = await self.api.patch(kind, Key(namespace if kind.namespaced else "", name), body)
        await self.settle()
        return changed

    async def delete(self, kind: Kind, name: str, namespace: str = "default", **options: Any) -> None:
        await self.api.delete(kind, Key(namespace if kind.namespaced else "", name), options)
        await self.settle()

    def get(self, kind: Kind, name: str, namespace: str = "default") -> Obj | None:
        return self.cache.get(kind, Key(namespace if kind.namespaced else "", name))

    def the(self, kind: Kind, name: str, namespace: str = "default") -> Obj:
        found = self.get(kind, name, namespace)
        assert found is not None, f"{kind.kind} {name} is missing"
        return found

    def names(self, kind: Kind, namespace: str = "default") -> list[str]:
        return sorted(name_of(obj) for obj in self.cache.list(kind, namespace))

    def pods(self, namespace: str = "default") -> list[Obj]:
        return list(self.cache.list(Pod, namespace))

    def events(self, reason: str) -> list[str]:
        """The messages of the events of that reason, in order of their writing."""
        found = [e for e in self.cache.list(Event) if e["reason"] == reason]
        return [e["message"] for e in sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))]

    async def add_node(self, name: str, **spec: Any) -> Obj:
        node = await self.create(Node, {"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
        self.beating.add(name)
        await self.beat(name)
        await self.settle()
        return node

    async def beat(self, name: str) -> None:
        """Renew the node's lease and its conditions, as a kubelet does."""
        now = timestamp(self.clock.now())
        renewed = {"spec": {"renewTime": now.replace("Z", ".000000Z"), "holderIdentity": name}}
        try:
            await self.api.patch(Lease, Key("kube-node-lease", name), renewed)
        except NotFound:
            meta = {"name": name, "namespace": "kube-node-lease"}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, **renewed}
            await self.api.create(Lease, lease)
        node = await self.api.get(Node, name)
        known = {c["type"]: c for c in dig(node, "status.conditions", [])}
        conditions = []
        for type, status in CONDITIONS.items():
            same = known.get(type, {}).get("status") == status
            since = known[type]["lastTransitionTime"] if same else now
            conditions.append(
                {"type": type, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": since}
            )
        await self.api.update(Node, {**node, "status": {"conditions": conditions}}, subresource="status")

    async def try_delete(self, kind: Kind, obj: Obj) -> None:
        try:
            await self.api.delete(kind, key_of(obj))
        except ApiError:
            return


class Lifecycle:
    """Admission that refuses what is created in a namespace that is being deleted."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    async def mutate(self, request: Attributes) -> None:
        return

    async def validate(self, request: Attributes) -> None:
        namespace = self.cache.get(Namespace, Key("", request.namespace))
        if request.operation == "CREATE" and not request.subresource and namespace and is_deleting(namespace):
            cause = Cause("NamespaceTerminating", f"namespace {request.namespace} is being terminated")
            raise Forbidden("the namespace is being terminated", causes=[cause])


class TextSigner:
    """Signs by writing the subject down."""

    def sign(self, claims: Any) -> str:
        return f"token of {claims['sub']}"
