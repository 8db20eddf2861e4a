"""Controllers whose cache is six minutes late do all that is asked, and make no extra pod."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from controller_world import NodeAgent, World

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change
from minikube_py.client.cache import Table, Tables
from minikube_py.client.local import LocalClient, LocalClients
from minikube_py.controllers import base
from minikube_py.controllers.daemonset import DaemonSetController
from minikube_py.controllers.job import JobController
from minikube_py.controllers.manager import ControllerManager
from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.controllers.statefulset import StatefulSetController
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, is_deleting
from minikube_py.testing.inprocess import local_cluster

DELAY, TICK = 360.0, 15.0
CHOSEN = (DaemonSetController, JobController, ReplicaSetController, StatefulSetController)


class LateCache(Tables):
    """Shows what another cache showed DELAY seconds ago, of the kinds asked for."""

    def __init__(self, inner: Tables, clock: VirtualClock) -> None:
        self._inner, self._clock = inner, clock
        self.revision = int(inner.revision)  # type: ignore[attr-defined]
        self._kinds: dict[str, Table] = {}
        self._waiting: deque[tuple[float, Change | None, int]] = deque()

    def _table(self, kind: Kind) -> Table:
        known = self._kinds.get(kind.resource)
        if known is None:
            known = self._kinds[kind.resource] = Table(kind)
            self._inner.subscribe(kind, self._note)
        return known

    def _note(self, change: Change) -> None:
        self._waiting.append((self._clock.monotonic() + DELAY, change, 0))

    async def run(self) -> None:
        """Follow, until cancelled."""
        while True:
            revision = int(self._inner.revision)  # type: ignore[attr-defined]
            self._waiting.append((self._clock.monotonic() + DELAY, None, revision))
            while self._waiting and self._waiting[0][0] <= self._clock.monotonic():
                self._show(*self._waiting.popleft()[1:])
            await self._clock.sleep(TICK)

    def _show(self, change: Change | None, revision: int) -> None:
        if change is None:
            self.revision = revision
        elif change.type == "DELETED":
            self._kinds[change.kind.resource].remove(change.object)
        else:
            self._kinds[change.kind.resource].put(change.object)


class LateClients:
    """Clients that read from a late cache."""

    def __init__(self, inner: LocalClients, cache: LateCache) -> None:
        self._inner, self._cache = inner, cache

    def named(self, component: str) -> LocalClient:
        client = self._inner.named(component)
        client.cache = self._cache  # type: ignore[assignment]
        return client

    def kinds(self) -> tuple[Kind, ...]:
        return self._inner.kinds()


def workload(image: str = "ok", **spec: Any) -> Obj:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    wanted = {"template": template, "selector": {"matchLabels": labels}, **spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": wanted}


def job() -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "succeed"}]}
    spec = {"template": {"spec": pod}, "completions": 3, "parallelism": 2}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


class Live:
    """How many pods there are that are not being deleted, at most, and how many there ever were."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self.most = self.made = 0

    def note(self, change: Change) -> None:
        uid = change.object["metadata"]["uid"]
        self.made += change.type == "ADDED"
        if change.type == "DELETED" or is_deleting(change.object):
            self._names.discard(uid)
        else:
            self._names.add(uid)
        self.most = max(self.most, len(self._names))


async def shrink(world: World) -> None:
    await world.patch(ReplicaSet, "web", {"spec": {"replicas": 1}})


async def nothing(world: World) -> None:
    await world.settle()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("kind", "wanted", "change", "made", "left"),
    [
        (ReplicaSet, workload(replicas=3), shrink, 3, 1),
        (StatefulSet, workload(replicas=2, podManagementPolicy="Parallel"), nothing, 2, 2),
        (DaemonSet, workload(), nothing, 1, 1),
        (Job, job(), nothing, 3, 3),
    ],
)
async def test_a_late_cache_makes_no_extra_pod(
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    wanted: Obj,
    change: Callable[[World], Awaitable[None]],
    made: int,
    left: int,
) -> None:
    """With a cache that is six minutes late the workload has its pods in the end, and never one too many."""
    monkeypatch.setattr(base, "CACHE_WAIT", TICK)  # nothing changes in between
    clock, live = VirtualClock(), Live()
    clients = await local_cluster(clock=clock, namespaces=("default", "kube-node-lease"))
    cache = LateCache(clients.cache, clock)
    node = ControllerManager(clients, clock, chosen=[NodeAgent])
    manager = ControllerManager(LateClients(clients, cache), clock, chosen=CHOSEN)  # type: ignore[arg-type]
    async with Tasks("test") as tasks:
        for number, one in enumerate((node, manager)):
            ready = asyncio.Event()
            tasks.spawn(one.run(ready), f"manager-{number}")
            await ready.wait()
        tasks.spawn(cache.run(), "cache")
        unsubscribe = clients.cache.subscribe(Pod, live.note)
        world = World(clients, clock, manager)
        await world.add_node("n1")
        await clock.advance(DELAY + TICK)
        await world.create(kind, wanted)
        await clock.advance(8 * (DELAY + 2 * TICK))
        await change(world)
        await clock.advance(8 * (DELAY + 2 * TICK))
        unsubscribe()
        assert (live.made, live.most <= made, len(world.pods())) == (made, True, left)
