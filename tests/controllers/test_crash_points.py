"""A controller manager that dies right after any of its writes: its successor reaches the state of an uncrashed
run, and makes no pod that an uncrashed run would not make."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from controller_world import NodeAgent, World

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import MERGE_PATCH, Change, Client
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import Controller, ControllerConfig
from minikube_py.controllers.cronjob import CronJobController
from minikube_py.controllers.daemonset import DaemonSetController
from minikube_py.controllers.deployment import DeploymentController
from minikube_py.controllers.garbagecollector import GarbageCollector
from minikube_py.controllers.job import JobController
from minikube_py.controllers.manager import ControllerManager
from minikube_py.controllers.persistentvolumebinder import PersistentVolumeBinder
from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.controllers.statefulset import StatefulSetController
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, controller_of, dig, name_of
from minikube_py.testing.inprocess import local_cluster

CONTROLLERS: tuple[type[Controller], ...] = (
    CronJobController,
    DaemonSetController,
    DeploymentController,
    GarbageCollector,
    JobController,
    PersistentVolumeBinder,
    ReplicaSetController,
    StatefulSetController,
)
STATES = (
    ControllerRevision,
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    PersistentVolume,
    PersistentVolumeClaim,
    ReplicaSet,
    StatefulSet,
)
PARTS = 3
NEVER = 10**9
Scenario = Callable[[World], Awaitable[None]]


class MortalClient:
    """A client whose process ends once its n-th write is stored, before the answer is seen. Events are not
    counted."""

    def __init__(self, inner: Client, process: "MortalClients") -> None:
        self._inner, self._process = inner, process
        self.cache = inner.cache

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        return await self._inner.get(kind, name, namespace)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        return await self._write(kind, self._inner.create, kind, obj)

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        return await self._write(kind, self._inner.update, kind, obj, subresource=subresource)

    async def patch(
        self, kind: Kind, key: Key, body: Any, *, type: str = MERGE_PATCH, subresource: str = ""
    ) -> Obj:
        return await self._write(kind, self._inner.patch, kind, key, body, type=type, subresource=subresource)

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        await self._write(kind, self._inner.delete, kind, key, options)

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        return await self._write(kind, self._inner.post, kind, key, subresource, body)

    async def _write(self, kind: Kind, verb: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        if not self._process.dead.is_set():
            result = await verb(*args, **more)
            self._process.writes += kind != Event
            if self._process.writes < self._process.limit:
                return result
            self._process.dead.set()
        return await asyncio.get_running_loop().create_future()


class MortalClients:
    """The clients of one process."""

    def __init__(self, inner: LocalClients, limit: int) -> None:
        self._inner, self.limit, self.writes = inner, limit, 0
        self.cache = inner.cache
        self.dead = asyncio.Event()

    def named(self, component: str) -> MortalClient:
        return MortalClient(self._inner.named(component), self)

    def kinds(self) -> tuple[Kind, ...]:
        return self._inner.kinds()


class Succession:
    """A controller manager, the one that follows it when it dies, and a node that lives on."""

    def __init__(self, clients: LocalClients, clock: VirtualClock, limit: int) -> None:
        self._clients, self._clock, config = clients, clock, ControllerConfig(root_ca="PEM")
        self.mortal = MortalClients(clients, limit)
        self._node = ControllerManager(clients, clock, config, [NodeAgent])
        self._leader = ControllerManager(self.mortal, clock, config, CONTROLLERS)
        self._over = False

    @property
    def controllers(self) -> tuple[Controller, ...]:
        return (*self._leader.controllers, *self._node.controllers)

    @property
    def idle(self) -> bool:
        return self._leader.idle and self._node.idle and (self._over or not self.mortal.dead.is_set())

    async def run(self, ready: asyncio.Event) -> None:
        async with Tasks("succession") as tasks:
            begun = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
            tasks.spawn(self._node.run(begun[0]), "node")
            leader = tasks.spawn(self._leader.run(begun[1]), "first")
            for event in begun[:2]:
                await event.wait()
            ready.set()
            await self.mortal.dead.wait()
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)
            self._leader = ControllerManager(self._clients, self._clock, ControllerConfig(), CONTROLLERS)
            tasks.spawn(self._leader.run(begun[2]), "second")
            await begun[2].wait()
            self._over = True
            await asyncio.get_running_loop().create_future()


def workload(name: str, image: str, **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    wanted = {"template": template, "selector": {"matchLabels": labels}, **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": wanted}


def images(image: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}


def job(image: str, **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    return {
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": {"spec": pod}, **spec},
    }


async def deployment(world: World) -> None:
    await world.create(Deployment, workload("web", "ok:1", replicas=2))
    await world.patch(Deployment, "web", images("ok:2"))
    await world.patch(Deployment, "web", {"spec": {"replicas": 3}})


async def stateful_set(world: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1"}},
        },
    }
    wanted = workload("db", "ok:1", replicas=2, serviceName="db", volumeClaimTemplates=[claim])
    await world.create(StatefulSet, wanted)
    await world.patch(StatefulSet, "db", images("ok:2"))
    await world.patch(StatefulSet, "db", {"spec": {"replicas": 1}})


async def daemon_set(world: World) -> None:
    await world.add_node("n2")
    await world.create(DaemonSet, workload("agent", "ok:1"))
    await world.patch(DaemonSet, "agent", images("ok:2"))


async def indexed_job(world: World) -> None:
    await world.create(Job, job("succeed", completions=3, parallelism=2, completionMode="Indexed"))


async def failing_job(world: World) -> None:
    await world.create(Job, job("fail", backoffLimit=1))
    await world.pass_time(25)


async def cron_job(world: World) -> None:
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": job("succeed")["spec"]}}
    await world.create(CronJob, {"metadata": {"name": "tick", "namespace": "default"}, "spec": spec})
    await world.pass_time(65)
    await world.patch(CronJob, "tick", {"spec": {"suspend": True}})


async def claims(world: World) -> None:
    for name in ("one", "two"):
        volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
        await world.create(PersistentVolume, {"metadata": {"name": f"disk-{name}"}, "spec": volume})
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
        meta = {"name": name, "namespace": "default"}
        await world.create(PersistentVolumeClaim, {"metadata": meta, "spec": {**asked, "storageClassName": ""}})


async def deletions(world: World) -> None:
    await world.create(Deployment, workload("web", "ok:1", replicas=2))
    await world.delete(Deployment, "web", propagationPolicy="Foreground")
    await world.create(Deployment, workload("api", "ok:1", replicas=1))
    await world.delete(Deployment, "api", propagationPolicy="Orphan")


SCENARIOS: tuple[Scenario, ...] = (
    deployment,
    stateful_set,
    daemon_set,
    indexed_job,
    failing_job,
    cron_job,
    claims,
    deletions,
)


def state(world: World) -> Counter[tuple[Any, ...]]:
    """All that is there, but for random names, uids and times."""
    found: Counter[tuple[Any, ...]] = Counter()
    for kind in STATES:
        for obj in world.cache.list(kind):
            numbers = {k: v for k, v in (obj.get("status") or {}).items() if isinstance(v, int)}
            numbers.pop("observedGeneration", None)
            ends = [(c["type"], c["status"], c.get("reason")) for c in dig(obj, "status.conditions", [])]
            progress = [end for end in ends if end[0] != "Progressing"]
            told = (dig(obj, "status.phase"), dig(obj, "spec.replicas"), dig(obj, "spec.volumeName"))
            found[(kind.kind, name_of(obj), *told, *sorted(numbers.items()), *sorted(progress))] += 1
    for pod in world.cache.list(Pod):
        owner = (controller_of(pod) or {}).get("name")
        held = tuple(dig(pod, "metadata.finalizers", []))
        found[("Pod", owner, dig(pod, "status.phase"), dig(pod, "spec.containers")[0]["image"], held)] += 1
    return found


class Outcome:
    """What a run came to: the state, how many pods there ever were and at most at once, and the writes."""

    def __init__(self) -> None:
        self.state: Counter[tuple[Any, ...]] = Counter()
        self.writes = self.pods = self.most = self._now = 0

    def note(self, change: Change) -> None:
        self.pods += change.type == "ADDED"
        self._now += {"ADDED": 1, "DELETED": -1}.get(change.type, 0)
        self.most = max(self.most, self._now)


async def outcome(scenario: Scenario, limit: int) -> Outcome:
    """Play the scenario with a controller manager that dies after `limit` writes."""
    clock, found = VirtualClock(), Outcome()
    clients = await local_cluster(clock=clock, namespaces=("default", "kube-system", "kube-node-lease"))
    succession = Succession(clients, clock, limit)
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        tasks.spawn(succession.run(ready), "succession")
        await ready.wait()
        unsubscribe = clients.cache.subscribe(Pod, found.note)
        world = World(clients, clock, succession)  # type: ignore[arg-type]
        await world.add_node("n1")
        await scenario(world)
        await world.pass_time(2)
        unsubscribe()
        found.state, found.writes = state(world), succession.mortal.writes
    return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_crash_after_each_write(scenario: Scenario, part: int) -> None:
    """Whatever was the last write of the first controller manager, the second one completes the work."""
    expected = await outcome(scenario, NEVER)
    assert expected.writes > 0
    for limit in range(part + 1, expected.writes + 1, PARTS):
        found = await outcome(scenario, limit)
        assert (limit, found.pods, found.state) == (limit, expected.pods, expected.state)
        assert found.most <= expected.most, limit
