"""How much CPU the controllers take: a Deployment of N pods created, updated, deleted, and a Job of N pods that
run and succeed, beside the bare writes.

Everything is in process over the memory store, so that the figures are the controllers' own. Run it as
`python benchmarks/controllers.py [N]`. It prints seconds of CPU and writes, and the same number of bare writes.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable
from typing import Any, ClassVar

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Client
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import Controller, ControllerConfig
from minikube_py.controllers.manager import ControllerManager, controllers
from minikube_py.errors import NotFound
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, Obj, condition_is, dig, is_deleting, timestamp
from minikube_py.testing.inprocess import local_cluster


class InstantNode(Controller):
    """Runs each pod as soon as it is there; a Job's ends at once."""

    name: ClassVar[str] = "instant-node"
    reconciles = Pod

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get(Pod, key)
        if pod is None:
            return None
        try:
            if is_deleting(pod):
                await self.client.delete(Pod, key, {"gracePeriodSeconds": 0})
            elif not dig(pod, "spec.nodeName"):
                await self.client.post(Pod, key, "binding", {"target": {"kind": "Node", "name": "n1"}})
            elif dig(pod, "status.phase") == "Running" and dig(pod, "spec.restartPolicy") == "Never":
                await self.set_status(Pod, pod, {**pod["status"], "phase": "Succeeded", "conditions": []})
            elif dig(pod, "status.phase") == "Pending":
                now = timestamp(self.clock.now())
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
                status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
                await self.set_status(Pod, pod, {**pod["status"], **status})
        except NotFound:
            return None
        return None


def web(count: int) -> Obj:
    """A Deployment of `count` pods."""
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": "web:1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def task(count: int) -> Obj:
    """A Job of `count` pods, all at once."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "task:1"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task", "namespace": "default"},
        "spec": {"completions": count, "parallelism": count, "template": template},
    }


async def calm(manager: ControllerManager) -> None:
    """Wait until no controller has had anything to do for 50 turns of the loop."""
    quiet = 0
    while quiet < 50:
        await asyncio.sleep(0)
        quiet = quiet + 1 if manager.idle else 0


async def completed(client: Client, made: Awaitable[Obj]) -> None:
    """Wait until a Job is complete, the only one."""
    done = asyncio.Event()
    unsubscribe = client.cache.subscribe(
        Job, lambda change: done.set() if condition_is(change.object, "Complete") else None
    )
    await made
    await done.wait()
    unsubscribe()


async def timed(name: str, clients: LocalClients, manager: ControllerManager, act: Any) -> None:
    """Run `act` until the controllers are calm and print what it cost."""
    revision, begin, wall = clients.cache.revision, time.process_time(), time.perf_counter()
    await act
    await calm(manager)
    cpu, took, writes = (
        time.process_time() - begin,
        time.perf_counter() - wall,
        clients.cache.revision - revision,
    )
    begin = time.process_time()
    await asyncio.gather(*(bare(clients, f"{name}-{number}") for number in range(writes)))
    floor = time.process_time() - begin
    cost = f"{took:6.2f} s wall {cpu:6.2f} s CPU for {writes:6} writes"
    print(f"{name:8} {cost}; as many bare writes {floor:5.2f} s CPU ({cpu / floor:.1f}x)")


async def bare(clients: LocalClients, name: str) -> None:
    """One small write."""
    meta = {"name": name, "namespace": "default"}
    await clients.named("bench").create(ConfigMap, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


async def main(count: int) -> None:
    """Measure creating, updating and deleting a Deployment of `count` pods behind a Service."""
    clock = SystemClock()
    clients = await local_cluster(clock=clock)
    config = ControllerConfig(node_startup_grace=1e9)  # nobody posts for the node
    manager = ControllerManager(clients, clock, config, [*controllers(), InstantNode])
    client = clients.named("bench")
    await client.create(Node, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    async with Tasks("bench") as tasks:
        ready = asyncio.Event()
        tasks.spawn(manager.run(ready), "manager")
        await ready.wait()
        ports = [{"port": 80, "targetPort": 80}]
        await client.create(
            Service,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": ports},
            },
        )
        await timed("create", clients, manager, client.create(Deployment, web(count)))
        change = {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}
        await timed("update", clients, manager, client.patch(Deployment, Key("default", "web"), change))
        await timed("delete", clients, manager, client.delete(Deployment, Key("default", "web")))
        await timed("job", clients, manager, completed(client, client.create(Job, task(count))))
        await client.delete(Job, Key("default", "task"), {"propagationPolicy": "Background"})
        await calm(manager)
        left = len(clients.cache.list(Pod)) + len(clients.cache.list(ReplicaSet))
        print(f"{left} objects left")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
