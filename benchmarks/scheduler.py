"""Pods per second from created to bound, on nodes that are objects only, with the API's registry in process.

Run it as `python benchmarks/scheduler.py [CASE ...] [--pods N] [--nodes N]`; the cases are plain, spread,
affinity, anti and preempt. It prints pods/s by the clock and by this process' CPU time, with the counts of
objects and the figure that is asked for.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from typing import Any

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClients
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, Obj, dig, is_deleting
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.testing.inprocess import local_cluster

ZONES = 10
CASES = {
    "plain": [(500, 10_000, 600), (1000, 10_000, 500), (5000, 10_000, 300)],
    "spread": [(1000, 10_000, 150)],
    "affinity": [(1000, 10_000, 100)],
    "anti": [(1000, 1_000, 100)],
    "preempt": [(500, 500, 50)],
}
"""By case (nodes, pods, pods/s asked for)."""


def node(number: int) -> tuple[Obj, Obj]:
    """A node of 4 CPUs and its status."""
    name = f"node-{number:04}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % ZONES}"}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
    return body, {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}


def pod(number: int, prefix: str = "pod", cpu: str = "100m", **spec: Any) -> Obj:
    """A small pod."""
    requests = {"requests": {"cpu": cpu, "memory": "100Mi"}}
    container = {"name": "main", "image": "web:1", "resources": requests}
    meta = {"name": f"{prefix}-{number:05}", "namespace": "default", "labels": {"app": prefix}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def spread(number: int) -> Obj:
    """A pod that is spread over zones, and rather over nodes."""
    selector = {"labelSelector": {"matchLabels": {"app": "pod"}}, "maxSkew": 5}
    zones = {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", **selector}
    hosts = {"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", **selector}
    return pod(number, topologySpreadConstraints=[zones, hosts])


def near(number: int) -> Obj:
    """A pod that wants to be in the zone of its like."""
    return pod(number, cpu="10m", affinity={"podAffinity": required("topology.kubernetes.io/zone")})


def away(number: int) -> Obj:
    """A pod that wants a node without its like."""
    return pod(number, affinity={"podAntiAffinity": required("kubernetes.io/hostname")})


def required(key: str) -> Obj:
    """One required term about pods of the same label."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "pod"}}}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def urgent(number: int) -> Obj:
    """A pod that others must give way to."""
    return pod(number, "urgent", "3", priority=1000)


MAKERS: dict[str, Callable[[int], Obj]] = {
    "plain": pod,
    "spread": spread,
    "affinity": near,
    "anti": away,
    "preempt": urgent,
}


class Bound:
    """Counts pods as they are bound; pods that begin to be deleted end at once, as no node holds them."""

    def __init__(self, clients: LocalClients, prefix: str, tasks: Tasks) -> None:
        self._clients, self._prefix, self._tasks = clients, prefix, tasks
        self._names: set[str] = set()
        self._wanted, self._reached = 0, asyncio.Event()
        clients.cache.subscribe(Pod, self._changed)

    def _changed(self, change: Any) -> None:
        found, name = change.object, change.object["metadata"]["name"]
        if change.type == "MODIFIED" and is_deleting(found) and not is_deleting(change.old or {}):
            self._tasks.spawn(self._end(name), f"end/{name}")
        if dig(found, "spec.nodeName") and name.startswith(self._prefix):
            self._names.add(name)
            if len(self._names) >= self._wanted > 0:
                self._reached.set()

    async def _end(self, name: str) -> None:
        client = self._clients.named("bench")
        await client.delete(Pod, Key("default", name), {"gracePeriodSeconds": 0})

    async def wait(self, count: int) -> None:
        """Until `count` pods are bound."""
        self._wanted = count
        if len(self._names) < count:
            await self._reached.wait()


async def run(case: str, nodes: int, pods: int, limit: int) -> None:
    """Measure one case and print it."""
    clock = SystemClock()
    clients = await local_cluster(clock=clock)
    client = clients.named("bench")
    for number in range(nodes):
        body, status = node(number)
        await client.create(Node, body)
        await client.patch(Node, Key("", body["metadata"]["name"]), {"status": status}, subresource="status")
    async with Tasks("bench") as tasks:
        if case == "preempt":
            await fill(clients, nodes)
        bound = Bound(clients, "urgent" if case == "preempt" else "pod", tasks)
        for number in range(pods):
            await client.create(Pod, MAKERS[case](number))
        scheduler, ready = Scheduler(clients.named("kube-scheduler"), clock), asyncio.Event()
        wall, cpu = time.perf_counter(), time.process_time()
        tasks.spawn(scheduler.run(ready), "scheduler")
        await bound.wait(pods)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        counts = f"{nodes} nodes, {len(clients.cache.list(Pod))} pods, {len(clients.cache.list(Event))} events"
        speed = f"{pods / wall:7.0f} pods/s, {pods / cpu:7.0f} pods/s of CPU"
        gave_way = scheduler.metrics.preempted
        print(f"{case:9} {speed} (asked: {limit}); {counts}; preempted {gave_way}", flush=True)


async def fill(clients: LocalClients, nodes: int) -> None:
    """Four pods of little urgency on each node, which is then full."""
    client = clients.named("bench")
    for number in range(nodes * 4):
        name = f"node-{number % nodes:04}"
        body = pod(number, "low", "900m", nodeName=name, terminationGracePeriodSeconds=0)
        await client.create(Pod, body)


async def main(cases: list[str], nodes: int, pods: int) -> None:
    """Measure the chosen cases at the sizes asked for, or at one of one's own."""
    for case in cases or list(CASES):
        for many, several, limit in CASES[case]:
            await run(case, nodes or many, pods or several, limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", choices=[[], *CASES])
    parser.add_argument("--pods", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(main(given.cases, given.nodes, given.pods))
