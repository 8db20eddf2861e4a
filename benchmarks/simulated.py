"""The controllers at size, on simulated nodes: controllers, scheduler and simulated kubelets in one process.

A Deployment of P pods on N nodes until all are Ready, and deleted until none is left; garbage collection of D
dependents of one owner. Run it as `python benchmarks/simulated.py [N P D]` (1000 5000 10000). Everything is
over the memory store, so that the figures are the components' own. The limits are 30 s each.
"""

import asyncio
import cProfile
import os
import pstats
import resource
import sys
import time
from collections.abc import Callable

from controllers import web

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import ControllerConfig
from minikube_py.controllers.manager import ControllerManager
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.simulated.agent import SimulatedKubelets
from minikube_py.kubelet.simulated.nodes import add_nodes
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, condition_is, dig, owner_reference
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.testing.inprocess import local_cluster

LIMIT = 30.0
SPACES = ("default", "kube-system", "kube-node-lease")


class Count:
    """Waits until so many objects of a kind are as asked."""

    def __init__(self, clients: LocalClients, kind: Kind, holds: Callable[[Obj], bool]) -> None:
        self._holds, self._names, self._changed = holds, set[str](), asyncio.Event()
        self.stop = clients.cache.subscribe(kind, self._see)

    def _see(self, change: Change) -> None:
        name = change.object["metadata"]["uid"]
        if change.type != "DELETED" and self._holds(change.object):
            self._names.add(name)
        else:
            self._names.discard(name)
        self._changed.set()

    async def reaches(self, wanted: int) -> None:
        """Wait until exactly `wanted` objects are."""
        while len(self._names) != wanted:
            self._changed.clear()
            await self._changed.wait()
        self.stop()


async def timed(what: str, begin: float, waiting: Count, wanted: int) -> None:
    """Print how long it took until `waiting` has come to `wanted`."""
    await waiting.reaches(wanted)
    took = time.perf_counter() - begin
    verdict = "" if took <= LIMIT else "  TOO SLOW"
    print(f"{what:45} {took:6.1f} s of {LIMIT:.0f} s{verdict}; {memory():.0f} MB", flush=True)


def memory() -> float:
    """MB resident at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


async def deployment(clients: LocalClients, nodes: int, pods: int) -> None:
    """Make `pods` pods and delete them."""
    client, begin = clients.named("bench"), time.perf_counter()
    made = web(pods)
    await client.create(Deployment, made)
    ready = Count(clients, Pod, lambda pod: condition_is(pod, "Ready"))
    await timed(f"Deployment of {pods} pods on {nodes} nodes Ready", begin, ready, pods)
    begin = time.perf_counter()
    await client.delete(Deployment, Key("default", "web"), {"propagationPolicy": "Background"})
    await timed(f"Deployment of {pods} pods deleted", begin, Count(clients, Pod, lambda _: True), 0)


async def garbage(clients: LocalClients, dependents: int) -> None:
    """Delete an owner of `dependents` objects."""
    client = clients.named("bench")
    owner = await client.create(ConfigMap, config("owner"))
    reference = owner_reference({"apiVersion": "v1", "kind": "ConfigMap", **owner})
    for first in range(0, dependents, 500):
        numbers = range(first, min(dependents, first + 500))
        await asyncio.gather(*(client.create(ConfigMap, config(f"d{number}", reference)) for number in numbers))
    begin = time.perf_counter()
    await client.delete(ConfigMap, Key("default", "owner"), {"propagationPolicy": "Background"})
    left = Count(clients, ConfigMap, lambda obj: "ownerReferences" in obj["metadata"])
    await timed(f"{dependents} dependents collected", begin, left, 0)


def config(name: str, owner: Obj | None = None) -> Obj:
    """A small object, with an owner or none."""
    meta: Obj = {"name": name, "namespace": "default"}
    if owner is not None:
        meta["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def main(nodes: int, pods: int, dependents: int) -> None:
    """Measure everything once."""
    clock = SystemClock()
    clients = await local_cluster(clock=clock, namespaces=SPACES)
    services = [
        ControllerManager(clients, clock, ControllerConfig()),
        Scheduler(clients.named("kube-scheduler"), clock),
        SimulatedKubelets(clients.named("kubelet"), clock),
    ]
    async with Tasks("bench") as tasks:
        for service in services:
            ready = asyncio.Event()
            tasks.spawn(service.run(ready), service.name)
            await ready.wait()
        begin = time.perf_counter()
        await add_nodes(clients.named("bench"), nodes)
        up = Count(clients, Node, lambda node: condition_is(node, "Ready") and not dig(node, "spec.taints"))
        await timed(f"{nodes} nodes Ready", begin, up, nodes)
        await deployment(clients, nodes, pods)
        await garbage(clients, dependents)


def run() -> None:
    """Run with the sizes of the command line; PROFILE=1 shows where the time goes."""
    sizes = [int(text) for text in sys.argv[1:4]] or [1000, 5000, 10_000]
    if not os.environ.get("PROFILE"):
        asyncio.run(main(*sizes))
        return
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, main(*sizes))
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    run()
