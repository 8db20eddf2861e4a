"""Random graphs of owners: what has no living owner left goes, all else stays, whatever is deleted and how."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from controller_world import World

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.controllers.garbagecollector import GarbageCollector
from minikube_py.controllers.manager import ControllerManager
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.secret import Secret
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, name_of, owner_references
from minikube_py.testing.inprocess import local_cluster

GRAPHS = int(os.environ.get("OWNER_GRAPHS", "300"))
PARTS = 4
KINDS: tuple[Kind, ...] = (ConfigMap, Secret)
KINDS_SERVED = (*KINDS, Event, Namespace)
POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(slots=True)
class Node:
    """An object of the graph: its kind, namespace and owners, by number. `uid` once it is made."""

    kind: Kind
    namespace: str
    owners: list[int] = field(default_factory=list)
    blocks: bool = False
    uid: str = ""


@dataclass(slots=True)
class Graph:
    """Objects, references among them that are added later (so that there are cycles), and deletions."""

    nodes: list[Node]
    later: list[tuple[int, int]]
    deletions: list[tuple[int, str]]


def random_graph(seed: int) -> Graph:
    """A graph of up to 12 objects with up to 3 owners each, some absent, some in another namespace."""
    chance = random.Random(seed)
    size = chance.randint(2, 12)
    nodes = [Node(chance.choice(KINDS), chance.choice(("a", "a", "a", "b"))) for _ in range(size)]
    for number, node in enumerate(nodes):
        possible = [*range(number), *([-1] if chance.random() < 0.1 else [])]
        node.owners = chance.sample(possible, min(len(possible), chance.choice((0, 0, 1, 1, 2, 3))))
        node.blocks = chance.random() < 0.5
    later = []
    for _ in range(chance.choice((0, 0, 1, 2))):
        child, owner = chance.randrange(size), chance.randrange(size)
        same = nodes[child].namespace == nodes[owner].namespace
        if same and child != owner and owner not in nodes[child].owners:
            later.append((child, owner))
    chosen = chance.sample(range(size), min(size, chance.randint(1, 3)))
    return Graph(nodes, later, [(number, chance.choice(POLICIES)) for number in chosen])


class Model:
    """What garbage collection means, by definition: the least that must go."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.owners = {number: set(node.owners) for number, node in enumerate(graph.nodes)}
        self.alive = set(self.owners)

    def holds(self, child: int, owner: int) -> bool:
        """Whether an owner reference is to an object that is there."""
        nodes = self.graph.nodes
        return owner in self.alive and nodes[owner].namespace == nodes[child].namespace

    def collect(self) -> None:
        """Take away what has owner references and no owner, until nothing more goes; what is held by some owner
        loses its references to others that are gone."""
        gone = True
        while gone:
            gone = {
                n
                for n in self.alive
                if self.owners[n] and not any(self.holds(n, owner) for owner in self.owners[n])
            }
            self.alive -= gone
        for number in self.alive:
            self.owners[number] = {owner for owner in self.owners[number] if self.holds(number, owner)}

    def delete(self, number: int, policy: str) -> None:
        if number not in self.alive:
            return
        self.alive.discard(number)
        if policy == "Orphan":
            for owners in self.owners.values():
                owners.discard(number)
        self.collect()


class GraphWorld:
    """The graph's objects in a cluster that has a garbage collector only."""

    def __init__(self, world: World, graph: Graph, prefix: str) -> None:
        self.world, self.graph, self.prefix = world, graph, prefix

    def name(self, number: int) -> str:
        return f"{self.prefix}-{number}"

    def reference(self, child: int, owner: int) -> Obj:
        node = self.graph.nodes[owner] if owner >= 0 else Node(ConfigMap, "a", uid="never-was")
        return {
            "apiVersion": "v1",
            "kind": node.kind.kind,
            "name": self.name(owner) if owner >= 0 else "absent",
            "uid": node.uid,
            "blockOwnerDeletion": self.graph.nodes[child].blocks,
        }

    async def make(self) -> None:
        """Create every object, owners first."""
        for number, node in enumerate(self.graph.nodes):
            refs = [self.reference(number, owner) for owner in node.owners]
            meta: Obj = {"name": self.name(number), "namespace": node.namespace}
            body = {"apiVersion": "v1", "kind": node.kind.kind, "metadata": meta | {"ownerReferences": refs}}
            made = await self.world.api.create(node.kind, body)
            node.uid = made["metadata"]["uid"]

    async def refer(self, child: int, owner: int) -> None:
        """Give an object one more owner."""
        node = self.graph.nodes[child]
        found = self.world.get(node.kind, self.name(child), node.namespace)
        if found is not None and not found["metadata"].get("deletionTimestamp"):
            refs = [*owner_references(found), self.reference(child, owner)]
            key = Key(node.namespace, self.name(child))
            await self.world.api.patch(node.kind, key, {"metadata": {"ownerReferences": refs}})

    async def delete(self, number: int, policy: str) -> None:
        node = self.graph.nodes[number]
        found = self.world.get(node.kind, self.name(number), node.namespace)
        if found is not None:
            await self.world.delete(node.kind, self.name(number), node.namespace, propagationPolicy=policy)

    def alive(self) -> set[int]:
        """The numbers of the objects that are there."""
        found = set()
        for kind in KINDS:
            for obj in self.world.cache.list(kind):
                prefix, _, number = name_of(obj).rpartition("-")
                if prefix == self.prefix:
                    found.add(int(number))
        return found


async def play(world: World, seed: int) -> None:
    """Make one graph, change it, delete from it; after each step exactly what should be there is."""
    graph = random_graph(seed)
    model, real = Model(graph), GraphWorld(world, graph, f"g{seed}")
    await real.make()
    await world.settle()
    model.collect()
    assert (seed, "made", real.alive()) == (seed, "made", model.alive)
    for child, owner in graph.later:
        if {child, owner} <= model.alive:
            await real.refer(child, owner)
            model.owners[child].add(owner)
            await world.settle()
    for number, policy in graph.deletions:
        await real.delete(number, policy)
        model.delete(number, policy)
        assert (seed, number, policy, real.alive()) == (seed, number, policy, model.alive)


@pytest.mark.timeout(20 + GRAPHS // 10)
@pytest.mark.parametrize("part", range(PARTS))
async def test_random_owner_graphs(part: int) -> None:
    """No object goes that a living owner holds, and none stays that has lost all its owners."""
    clock = VirtualClock()
    clients = await local_cluster(KINDS_SERVED, clock=clock, namespaces=("a", "b"))
    manager = ControllerManager(clients, clock, chosen=[GarbageCollector])
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        tasks.spawn(manager.run(ready), "manager")
        await ready.wait()
        world: Any = World(clients, clock, manager)
        for seed in range(part, GRAPHS, PARTS):
            await play(world, seed)
