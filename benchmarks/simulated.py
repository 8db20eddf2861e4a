"""The cluster at size, on simulated nodes: API server, controllers, scheduler and simulated kubelets.

    .venv/bin/python benchmarks/simulated.py [--only SECTION ...] [--nodes 1000] [--pods 5000] [--owned 10000]

They run in one process over a durable SQLite store, as in a cluster that `start --nodes N --simulate` makes,
but for the machine's own node. The sections:

- deployment: a Deployment of P pods until all are Ready, and deleted until none is left, 30 s each;
- gc: garbage collection of so many dependents of one owner, 30 s;
- idle: what the process does over 20 s with nothing to do but to renew the nodes' Leases;
- hold: 50,000 pods: memory of at most 2 GB, and the p99 of requests from another process over HTTPS, at most
  200 ms, while 20 changes and 20 reads are made each second.

Beside the wall time stand the CPU seconds of that process and the machine's load average: on a machine that has
other work, wall time is theirs too. A limit that is missed makes the exit code 1, once all is measured.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing as mp
import os
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "apiserver"))
sys.path.insert(0, str(Path(__file__).parent))

from api_certificates import Authority, new_key
from apiserver import request, tls_context
from controllers import web
from watchers import resident

from minikube_py import collect
from minikube_py.aio.clock import SystemClock
from minikube_py.aio.collection import Settled
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.server import ApiServer
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.client.base import Change
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import ControllerConfig
from minikube_py.controllers.manager import ControllerManager
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.simulated.agent import SimulatedKubelets
from minikube_py.kubelet.simulated.nodes import add_nodes
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, condition_is, dig, owner_reference
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.store.sqlite import SqliteStore

LIMIT, MEMORY_LIMIT, LATENCY_LIMIT = 30.0, 2000.0, 200.0
"""Seconds, MB (10^6 bytes), milliseconds."""
HELD, EACH = 50_000, 5000
"""Pods that are held, and pods of one Deployment of them."""
IDLE_SECONDS, LOAD_SECONDS, CHANGES = 20.0, 30.0, 20
SECTIONS = ("deployment", "gc", "idle", "hold")


# The cluster's process


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


class AtSize:
    """What the cluster's process does when it is told."""

    def __init__(self, clients: LocalClients, manager: ControllerManager, settled: Settled) -> None:
        self._clients, self._client, self._manager = clients, clients.named("bench"), manager
        self._settled = settled

    async def nodes(self, count: int) -> None:
        """Make the nodes; wait until all are Ready and take pods."""
        up = Count(
            self._clients, Node, lambda node: condition_is(node, "Ready") and not dig(node, "spec.taints")
        )
        await add_nodes(self._client, count)
        await up.reaches(count)

    async def ready(self, count: int, name: str = "web") -> None:
        """Make a Deployment of so many pods; wait until all are Ready."""
        labels = {"app": name}
        made = web(count)
        made["metadata"]["name"] = name
        made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
        have = len(self._clients.cache.list(Pod))
        await self._client.create(Deployment, made)
        await Count(self._clients, Pod, lambda pod: condition_is(pod, "Ready")).reaches(have + count)

    async def deleted(self, name: str = "web") -> None:
        """Delete the Deployment; wait until no pod is left."""
        await self._client.delete(Deployment, Key("default", name), {"propagationPolicy": "Background"})
        await Count(self._clients, Pod, lambda _: True).reaches(0)

    async def owned(self, count: int) -> None:
        """Make an owner and so many dependents."""
        owner = await self._client.create(ConfigMap, config("owner"))
        reference = owner_reference({"apiVersion": "v1", "kind": "ConfigMap", **owner})
        for first in range(0, count, 500):
            made = (config(f"d{n}", reference) for n in range(first, min(count, first + 500)))
            await asyncio.gather(*(self._client.create(ConfigMap, one) for one in made))

    async def collected(self, _: int) -> None:
        """Delete the owner; wait until no dependent is left."""
        await self._client.delete(ConfigMap, Key("default", "owner"), {"propagationPolicy": "Background"})
        await Count(self._clients, ConfigMap, lambda obj: "ownerReferences" in obj["metadata"]).reaches(0)

    async def hold(self, count: int) -> None:
        """Have so many pods, in Deployments."""
        size = each(count)
        for number in range(0, count, size):
            await self.ready(min(size, count - number), f"web-{number // size}")

    async def idle(self, seconds: float) -> None:
        """Do nothing; `runs` has what the controllers did meanwhile."""
        before = Counter({one.name: one.metrics.runs for one in self._manager.controllers})
        await asyncio.sleep(seconds)
        self.runs = Counter({one.name: one.metrics.runs for one in self._manager.controllers}) - before

    runs: Counter[str] = Counter()
    """How often each controller has reconciled while there was nothing to do."""

    def counts(self) -> str:
        """How many objects there are, and how many changes were ever made."""
        kinds = (Node, Pod, Event, Lease, ConfigMap)
        told = (f"{len(self._clients.cache.list(kind))} {kind.plural}" for kind in kinds)
        runs = f"; reconciles {dict(self.runs)}" if self.runs else ""
        stopped = f"; longest garbage collection {self._settled.longest * 1000:.0f} ms"
        return f"{', '.join(told)}; revision {self._clients.cache.revision}{runs}{stopped}"


def each(count: int) -> int:
    """The size of each Deployment, of two at least."""
    return min(EACH, count // 2)


def config(name: str, owner: Obj | None = None) -> Obj:
    """A small object, with an owner or none."""
    meta: Obj = {"name": name, "namespace": "default"}
    if owner is not None:
        meta["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def serve(folder: Path, pipe: Any) -> None:
    """The cluster, until the pipe says stop; the other messages are a method of AtSize and its argument."""
    authority, clock = Authority(folder), SystemClock()
    pair, key = authority.issue("kube-apiserver", addresses=("127.0.0.1",)), folder / "sa.key"
    authority.issue("admin", "system:masters")
    key.write_bytes(new_key())
    tokens, facts = (
        ServiceAccountTokens.load(key, clock=clock),
        ClusterFacts(root_ca=authority.path.read_text()),
    )
    store = await SqliteStore.open(folder / "state.db", clock)
    registry = Registry(store, Catalogue(collect.values("minikube_py.kinds", Kind)), facts, clock, tokens)
    clients = LocalClients(registry)
    listen = (("127.0.0.1", 0),)
    api = ApiServer(
        registry,
        ApiServerConfig(
            listen, pair.certificate, pair.key, authority.path, key, facts=facts, advertise=("10.244.0.1", 8443)
        ),
        clock,
    )
    config = ControllerConfig(
        root_ca=facts.root_ca, signer=api.tokens, allows=api.allows, cluster_cidr="10.0.0.0/8"
    )
    manager = ControllerManager(clients, clock, config)
    services = [
        registry,
        api,
        manager,
        Scheduler(clients.named("kube-scheduler"), clock),
        SimulatedKubelets(clients.named("kubelet"), clock),
    ]
    settled = Settled()
    async with Tasks("bench") as tasks:
        for service in services:
            ready = asyncio.Event()
            tasks.spawn(service.run(ready), service.name)
            await ready.wait()
        settled.begin()
        pipe.send(api.addresses[0][1])
        await obey(AtSize(clients, manager, settled), pipe)
    await store.close()


async def obey(cluster: AtSize, pipe: Any) -> None:
    """Do what the pipe says; answer with seconds by the clock and of CPU, and the counts of objects."""
    loop = asyncio.get_running_loop()
    while (told := await loop.run_in_executor(None, pipe.recv)) != "stop":
        method, *arguments = told
        wall, cpu = time.perf_counter(), time.process_time()
        await getattr(cluster, method)(*arguments)
        pipe.send((time.perf_counter() - wall, time.process_time() - cpu, cluster.counts()))


def cluster_process(folder: str, pipe: Any) -> None:
    """Run the cluster on the loop that it has in use."""
    gc.disable()  # until the cluster runs
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(folder), pipe))


# The other side


class Told:
    """The cluster's process, as it is told what to do and measured."""

    def __init__(self, pipe: Any, pid: int) -> None:
        self._pipe, self.pid = pipe, pid
        self.missed = 0
        """How many limits were missed."""

    def do(self, *what: Any) -> tuple[float, float, str]:
        """Seconds by the clock and of CPU that it took, and the counts of objects then."""
        self._pipe.send(what)
        return self._pipe.recv()

    def timed(self, title: str, *what: Any, limit: float = LIMIT) -> None:
        """Do it and print how long it took."""
        wall, cpu, counts = self.do(*what)
        slow = self.verdict(wall, limit, "TOO SLOW")
        taken = f"{wall:6.1f} s, {cpu:6.1f} s of CPU, of {limit:g} s{slow}"
        print(f"{title:44} {taken}; load {os.getloadavg()[0]:.1f}; {self.memory:.0f} MB; {counts}", flush=True)

    def verdict(self, found: float, limit: float, told: str) -> str:
        """What is told of a figure: nothing where it is within its limit."""
        if found <= limit:
            return ""
        self.missed += 1
        return f"  {told}"

    @property
    def memory(self) -> float:
        """MB resident now."""
        return resident(self.pid) / 1e6


class Caller:
    """One HTTPS connection that asks, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=1 << 26))

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body. Errors: RuntimeError where it is none of success."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        self._writer.write(request(method, path, body, kind))
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"chunked" in head:
            body = b""
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += await self._reader.readexactly(size)
                await self._reader.readexactly(2)
            await self._reader.readexactly(2)
        else:
            body = await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        if not head.startswith((b"http/1.1 200", b"http/1.1 201")):
            raise RuntimeError(f"{method} {path}: {head.decode()}{body[:300].decode()}")
        return json.loads(body)

    def close(self) -> None:
        self._writer.close()


def changes(number: int, pods: list[str], size: int) -> list[tuple[str, str, Any]]:
    """The requests of one change: a pod's label, a ConfigMap's life, or the size of a Deployment of `size`."""
    core, name = "/api/v1/namespaces/default", f"made-{number}"
    if number % 40 == 39:
        scale = {"spec": {"replicas": size - (number // 40 + 1) % 2 * 5}}
        return [("PATCH", "/apis/apps/v1/namespaces/default/deployments/web-0/scale", scale)]
    if number % 4 == 3:
        return [
            ("POST", f"{core}/configmaps", {"metadata": {"name": name}, "data": {"a": "x" * 500}}),
            ("DELETE", f"{core}/configmaps/{name}", None),
        ]
    pod = pods[number * 7919 % len(pods)]
    return [("PATCH", f"{core}/pods/{pod}", {"metadata": {"labels": {"n": str(number)}}})]


def reads(number: int, pods: list[str]) -> list[tuple[str, str, Any]]:
    """The requests of one read: a pod, a node, a page; once a second the pods of a node, or of a label."""
    core, node = "/api/v1/namespaces/default", f"node-{number % 90 + 1:04}"
    if number % 20 == 19:
        among = (f"fieldSelector=spec.nodeName%3D{node}", f"labelSelector=n%3D{number}")
        return [("GET", f"{core}/pods?{among[number // 20 % 2]}", None)]
    pod = pods[number * 104729 % len(pods)]
    paths = (f"{core}/pods/{pod}", f"/api/v1/nodes/{node}", f"{core}/pods?limit=100")
    return [("GET", paths[number % len(paths)], None)]


async def at_rate(
    caller: Callable[[], Awaitable[Caller]], make: Callable[[int], list[tuple[str, str, Any]]]
) -> list[tuple[float, str]]:
    """CHANGES times a second for LOAD_SECONDS, whether or not the last one is answered: how long each request
    took, and what it was."""
    taken: list[tuple[float, str]] = []
    free: list[Caller] = []

    async def one(number: int) -> None:
        used = free.pop() if free else await caller()
        for method, path, body in make(number):
            begin = time.perf_counter()
            await used.ask(method, path, body)
            taken.append((time.perf_counter() - begin, f"{method} {path}"))
        free.append(used)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(LOAD_SECONDS * CHANGES)):
            await asyncio.sleep(max(0.0, begin + number / CHANGES - time.perf_counter()))
            group.create_task(one(number))
    for used in free:
        used.close()
    return taken


async def load(folder: Path, port: int, size: int) -> list[tuple[float, str]]:
    """Changes and reads at once; how long each took."""
    tls = tls_context(folder)

    async def caller() -> Caller:
        return await Caller.connect(port, tls)

    first = await caller()
    page = await first.ask("GET", "/api/v1/namespaces/default/pods?limit=1000&labelSelector=app%3Dweb-1")
    pods = [item["metadata"]["name"] for item in page["items"]]
    first.close()
    both = (at_rate(caller, lambda n: changes(n, pods, size)), at_rate(caller, lambda n: reads(n, pods)))
    return sorted(one for taken in await asyncio.gather(*both) for one in taken)


def hold(cluster: Told, folder: Path, port: int, pods: int, nodes: int) -> None:
    """Measure memory and latency with `pods` pods."""
    cluster.timed(f"{pods} pods on {nodes} nodes Ready", "hold", pods, limit=LIMIT * pods / EACH)
    cluster.do("idle", 5.0)
    memory = cluster.memory
    verdict = cluster.verdict(memory, MEMORY_LIMIT, "TOO MUCH")
    print(f"{pods} pods held: {memory:.0f} MB of {MEMORY_LIMIT:g} MB{verdict}", flush=True)
    before = time.process_time()
    used = cpu_of(cluster.pid)
    taken = uvloop.run(load(folder, port, each(pods)))
    used, own = cpu_of(cluster.pid) - used, time.process_time() - before
    middle, last = (taken[int(len(taken) * part)][0] * 1000 for part in (0.5, 0.99))
    verdict = cluster.verdict(last, LATENCY_LIMIT, "TOO SLOW")
    print(
        f"{len(taken)} requests in {LOAD_SECONDS:g} s: p50 {middle:.0f} ms, p99 {last:.0f} ms of "
        f"{LATENCY_LIMIT:g} ms{verdict}; {used:.1f} s of CPU ({own:.1f} s of the caller); "
        f"load {os.getloadavg()[0]:.1f}; {cluster.memory:.0f} MB; {cluster.do('idle', 0.0)[2]}",
        flush=True,
    )
    for seconds, what in taken[:-6:-1]:
        print(f"  slowest: {seconds * 1000:6.0f} ms {what}")


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(cluster: Told, chosen: argparse.Namespace, folder: Path, port: int) -> None:
    """Run the chosen sections, one after the other."""
    nodes, pods, owned = chosen.nodes, chosen.pods, chosen.owned
    cluster.timed(f"{nodes} nodes Ready", "nodes", nodes)
    if "deployment" in chosen.only:
        cluster.timed(f"Deployment of {pods} pods on {nodes} nodes Ready", "ready", pods)
        cluster.timed(f"Deployment of {pods} pods deleted", "deleted")
    if "gc" in chosen.only:
        cluster.do("owned", owned)
        cluster.timed(f"{owned} dependents collected", "collected", owned)
    if "idle" in chosen.only:
        cluster.do("idle", 5.0)
        _, cpu, counts = cluster.do("idle", IDLE_SECONDS)
        print(f"{nodes} nodes idle: {100 * cpu / IDLE_SECONDS:.1f}% of a core; {counts}", flush=True)
    if "hold" in chosen.only:
        hold(cluster, folder, port, chosen.held, nodes)


def main() -> int:
    """Start the cluster's process, measure, end it; 1 where a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    for name, size in (("nodes", 1000), ("pods", 5000), ("owned", 10_000), ("held", HELD)):
        parser.add_argument(f"--{name}", type=int, default=size)
    chosen = parser.parse_args()
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = context.Pipe()
        process = context.Process(target=cluster_process, args=(folder, theirs))
        process.start()
        port, cluster = ours.recv(), Told(ours, process.pid or 0)
        try:
            measure(cluster, chosen, Path(folder), port)
        finally:
            ours.send("stop")
            process.join(30)
    return min(cluster.missed, 1)


if __name__ == "__main__":
    sys.exit(main())
