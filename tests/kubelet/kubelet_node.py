"""A kubelet on a simulated runtime and an in-process API, in virtual time: what tests ask of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Client
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.simulated import SimulatedRuntime

NODE = "node-1"


def pod_object(name: str = "web", **spec: object) -> Obj:
    """A pod on the node with one container that runs for ever, unless `spec` says otherwise."""
    containers = spec.pop("containers", [{"name": "main", "image": "app:1"}])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": NODE,
            "containers": containers,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            **spec,
        },
    }


@dataclass
class Node:
    """One kubelet with its surroundings."""

    clock: VirtualClock
    client: Client
    runtime: SimulatedRuntime
    config: KubeletConfig
    kubelet: Kubelet

    async def pod(self, name: str = "web") -> Obj:
        return await self.client.get(Pod, name, "default")

    async def until(self, check: Callable[[Obj], object], name: str = "web") -> Obj:
        """The pod's state once `check` holds, as the cache shows it; time stands still meanwhile."""
        found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

        def see(change: Change) -> None:
            obj = change.object
            if obj["metadata"]["name"] == name and change.type != "DELETED" and not found.done() and check(obj):
                found.set_result(obj)

        unsubscribe = self.client.cache.subscribe(Pod, see)
        try:
            return await asyncio.wait_for(found, 10)
        finally:
            unsubscribe()

    async def running(self, name: str = "web") -> Obj:
        return await self.until(lambda pod: dig(pod, "status.phase") == "Running", name)

    async def gone(self, name: str = "web") -> None:
        """Wait until the pod is no longer in the API."""
        event = asyncio.Event()

        def see(change: Change) -> None:
            if change.object["metadata"]["name"] == name and change.type == "DELETED":
                event.set()

        unsubscribe = self.client.cache.subscribe(Pod, see)
        try:
            if self.client.cache.get(Pod, Key("default", name)) is not None:
                await asyncio.wait_for(event.wait(), 10)
        finally:
            unsubscribe()

    async def told(self, reason: str) -> list[tuple[str, str]]:
        """(reason, message) of the pods' events of one reason, once there are any."""
        written = asyncio.Event()
        unsubscribe = self.client.cache.subscribe(Event, lambda change: written.set())
        try:
            while not (found := self.events(reason)):
                written.clear()
                await asyncio.wait_for(written.wait(), 10)
            return found
        finally:
            unsubscribe()

    def events(self, reason: str = "", *, about: str = "Pod") -> list[tuple[str, str]]:
        """(reason, message) of the events stored about pods (or nodes), or those of one reason."""
        found = sorted(self.client.cache.list(Event), key=lambda e: int(e["metadata"]["resourceVersion"]))
        found = [event for event in found if event["involvedObject"]["kind"] == about]
        return [(e["reason"], e["message"]) for e in found if not reason or e["reason"] == reason]

    def container_id(self, pod: Obj) -> str:
        return dig(pod, "status.containerStatuses")[0]["containerID"].removeprefix("containerd://")


async def settle() -> None:
    """Let everything act that can, real threads included."""
    for _ in range(20):
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def kubelet_running(node: Node) -> AsyncIterator[None]:
    """The node's kubelet, ready."""
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        task = tasks.spawn(node.kubelet.run(ready), "kubelet")
        waiter = tasks.spawn(ready.wait(), "ready")
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
