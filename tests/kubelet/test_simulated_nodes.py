"""Simulated nodes in virtual time: they stay Ready, their pods take their course, others are left alone."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest_asyncio

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClients
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import SIMULATED, Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.simulated.agent import SimulatedKubelets
from minikube_py.kubelet.simulated.nodes import add_nodes, until_ready
from minikube_py.kubelet.simulated.rules import RULES
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, condition_is, dig, name_of
from minikube_py.testing.inprocess import local_cluster

SPACE = "kube-node-lease"


class Machines:
    """A cluster with simulated kubelets beside a real node called `real`."""

    def __init__(self, clients: LocalClients, clock: VirtualClock) -> None:
        self.clients, self.clock = clients, clock
        self.api = clients.named("test")
        self.agent = SimulatedKubelets(clients.named("kubelet"), clock, "real")

    async def start(self, tasks: Tasks) -> asyncio.Task[None]:
        ready = asyncio.Event()
        task = tasks.spawn(self.agent.run(ready), "agent")
        await ready.wait()
        return task

    async def pass_time(self, seconds: float = 0.0) -> None:
        """Let time pass, and everybody come to rest."""
        await self.clock.advance(seconds)
        while not self.agent.idle:
            await self.clock.advance(0)

    async def node(self, name: str, simulated: bool = True) -> None:
        marks = {SIMULATED: "true"} if simulated else {}
        await self.api.create(Node, {"metadata": {"name": name, "annotations": marks}})
        await self.pass_time()

    async def pod(self, name: str, node: str, rules: object = None, **spec: object) -> None:
        notes = {RULES: rules if isinstance(rules, str) else orjson.dumps(rules).decode()} if rules else {}
        meta = {"name": name, "namespace": "default", "annotations": notes}
        whole = {"nodeName": node, "containers": [{"name": "main", "image": "web:1"}], **spec}
        await self.api.create(Pod, {"metadata": meta, "spec": whole})
        await self.pass_time()

    def the(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        found = self.clients.cache.get(kind, Key(namespace, name))
        assert found is not None
        return found

    def phases(self) -> dict[str, str]:
        return {name_of(pod): pod["status"]["phase"] for pod in self.clients.cache.list(Pod)}


@pytest_asyncio.fixture
async def machines() -> AsyncIterator[Machines]:
    clock = VirtualClock()
    clients = await local_cluster(clock=clock, namespaces=("default", "kube-system", SPACE))
    made = Machines(clients, clock)
    async with Tasks("test") as tasks:
        await made.start(tasks)
        yield made


async def test_a_node_is_ready_and_stays_so(machines: Machines) -> None:
    """A simulated node gets a status, labels and a Lease, which is renewed every 20 s; one that was given up is
    Ready again, and nothing else is written."""
    await machines.node("n1")
    node = machines.the(Node, "n1")
    assert (condition_is(node, "Ready"), node["status"]["capacity"]["pods"]) == (True, "110")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
    first = machines.the(Lease, "n1", SPACE)["spec"]
    assert (first["holderIdentity"], first["leaseDurationSeconds"]) == ("n1", 40)
    revision = machines.clients.cache.revision
    await machines.pass_time(100)
    assert machines.clients.cache.revision - revision == 5
    assert machines.the(Lease, "n1", SPACE)["spec"]["renewTime"] == "2026-01-01T00:01:40.000000Z"
    conditions = [{**c, "status": "Unknown"} for c in node["status"]["conditions"]]
    await machines.api.patch(Node, Key("", "n1"), {"status": {"conditions": conditions}}, subresource="status")
    await machines.pass_time()
    assert condition_is(machines.the(Node, "n1"), "Ready")


async def test_pods_run_get_ready_and_end(machines: Machines) -> None:
    """Pods follow their rules; each has an address of its own, and a deleted one is gone."""
    await machines.node("n1")
    await machines.pod("plain", "n1")
    await machines.pod("slow", "n1", {"delay": "3s", "ready": "2s"})
    await machines.pod("task", "n1", {"succeed": "4s"}, restartPolicy="Never")
    await machines.pod("bad", "n1", {"succeed": "4s", "fail": 1}, restartPolicy="Never")
    assert machines.phases() == {"plain": "Running", "slow": "Pending", "task": "Running", "bad": "Running"}
    await machines.pass_time(3)
    assert (machines.phases()["slow"], condition_is(machines.the(Pod, "slow", "default"), "Ready")) == (
        "Running",
        False,
    )
    await machines.pass_time(2)
    assert condition_is(machines.the(Pod, "slow", "default"), "Ready")
    assert machines.phases() == {"plain": "Running", "slow": "Running", "task": "Succeeded", "bad": "Failed"}
    addresses = {dig(pod, "status.podIP") for pod in machines.clients.cache.list(Pod)}
    assert len(addresses) == 4
    for name in ("plain", "slow", "task", "bad"):
        await machines.api.delete(Pod, Key("default", name))
    await machines.pass_time()
    assert machines.phases() == {}


async def test_other_nodes_are_left_alone(machines: Machines) -> None:
    """Neither a node without the annotation nor the one with a real kubelet is simulated; a node that gets the
    annotation later takes its pods up, and one that loses it lets them be."""
    await machines.node("other", simulated=False)
    await machines.node("real")
    for name in ("other", "real"):
        await machines.pod(f"on-{name}", name)
    assert machines.phases() == {"on-other": "Pending", "on-real": "Pending"}
    assert "conditions" not in machines.the(Node, "real")["status"]
    await machines.api.patch(Node, Key("", "other"), {"metadata": {"annotations": {SIMULATED: "true"}}})
    await machines.pass_time()
    assert machines.phases() == {"on-other": "Running", "on-real": "Pending"}
    await machines.api.patch(Node, Key("", "other"), {"metadata": {"annotations": {SIMULATED: None}}})
    await machines.pod("late", "other")
    assert machines.phases()["late"] == "Pending"


async def test_rules_that_cannot_be_read_are_told(machines: Machines) -> None:
    """A pod with an annotation that is no set of rules runs at once, and one event says why."""
    await machines.node("n1")
    await machines.pod("p", "n1", '{"delay":"soon"}')
    assert machines.phases() == {"p": "Running"}
    found = [(e["reason"], e["message"], e["count"]) for e in machines.clients.cache.list(Event)]
    assert found == [("InvalidSimulation", "delay: 'soon' is no duration such as \"1.5s\"", 1)]


async def test_a_restart_goes_on_where_it_was(machines: Machines) -> None:
    """After a restart of the process pods keep their addresses, and the next pod gets another one."""
    await machines.node("n1")
    await machines.pod("a", "n1")
    before = dig(machines.the(Pod, "a", "default"), "status.podIP")
    again = Machines(machines.clients, machines.clock)
    again.agent = SimulatedKubelets(machines.clients.named("kubelet"), machines.clock)
    async with Tasks("again") as tasks:
        await again.start(tasks)
        await again.pass_time()
        assert dig(again.the(Pod, "a", "default"), "status.podIP") == before
        await machines.pod("b", "n1")
        assert dig(machines.the(Pod, "b", "default"), "status.podIP") != before


async def test_nodes_are_made_once(machines: Machines) -> None:
    """`start --nodes 3` makes three nodes; a second start with more makes only those that are missing."""
    await add_nodes(machines.api, 3)
    await machines.pass_time()
    uids = {name_of(node): node["metadata"]["uid"] for node in machines.clients.cache.list(Node)}
    assert sorted(uids) == ["node-0001", "node-0002", "node-0003"]
    await add_nodes(machines.api, 4)
    await machines.pass_time()
    after = {name_of(node): node["metadata"]["uid"] for node in machines.clients.cache.list(Node)}
    assert uids.items() < after.items()
    assert all(condition_is(node, "Ready") for node in machines.clients.cache.list(Node))


async def test_nodes_are_waited_for(machines: Machines) -> None:
    """Those who wait learn that all nodes are Ready, or after their time how many are."""
    await add_nodes(machines.api, 3)
    waiting = asyncio.create_task(until_ready(machines.api, machines.clock, 3, 5))
    await machines.pass_time()
    assert await waiting == 3
    waiting = asyncio.create_task(until_ready(machines.api, machines.clock, 4, 5))
    await machines.pass_time(6)
    assert await waiting == 3
