"""What the scheduler writes: preemption and volumes over a cluster in process, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from builders import affinity, node, pod, pod_term

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClient
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.objects import Key, Obj, condition, dig, is_deleting
from minikube_py.scheduler.configuration import Profile
from minikube_py.scheduler.plugins.node_resources_fit import MOST, Scoring
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.testing.inprocess import local_cluster

PROFILES = (Profile(), Profile("packing", Scoring(MOST), disabled=frozenset(["DefaultPreemption"])))


class Room:
    """A cluster with a running scheduler and a clock that stands still."""

    def __init__(self, client: LocalClient, clock: VirtualClock, scheduler: Scheduler) -> None:
        self.client, self.clock, self.scheduler = client, clock, scheduler

    async def node(self, name: str, **rest: Any) -> None:
        body = node(name, **rest)
        status = body.pop("status")
        await self.client.create(Node, body)
        await self.client.patch(Node, Key("", name), {"status": status}, subresource="status")
        await self.clock.advance(0)

    async def pod(self, name: str, labels: Any = None, **spec: Any) -> None:
        body = pod(name, **spec)
        del body["metadata"]["uid"]
        body["metadata"]["labels"] = labels or {"app": name}
        await self.client.create(Pod, body)
        await self.clock.advance(0)

    def get(self, name: str) -> Obj:
        return self.client.cache.get(Pod, Key("default", name)) or {}

    def at(self, name: str) -> str:
        return str(dig(self.get(name), "spec.nodeName", ""))

    def events(self, reason: str) -> list[str]:
        found = self.client.cache.list(Event, "default")
        return [event["message"] for event in found if event["reason"] == reason]

    async def end(self, name: str) -> None:
        await self.client.delete(Pod, Key("default", name), {"gracePeriodSeconds": 0})
        await self.clock.advance(0)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    clock = VirtualClock()
    client = (await local_cluster(clock=clock)).named("scheduler")
    scheduler, ready = Scheduler(client, clock, PROFILES), asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(scheduler.run(ready), "scheduler")
        await ready.wait()
        yield Room(client, clock, scheduler)


async def test_an_urgent_pod_gets_the_room_of_others(room: Room) -> None:
    """The victim is told and deleted with its grace, its node is kept for the pod, which gets it in the end."""
    await room.node("n1", cpu="2")
    await room.pod("low", cpu="1", priority=1)
    await room.pod("lower", cpu="1")
    await room.pod("high", cpu="1", priority=10)
    await room.clock.advance(1)
    target = condition(room.get("lower"), "DisruptionTarget") or {}
    told = "default-scheduler: preempting to accommodate a higher priority pod"
    assert ("PreemptionByScheduler", told) == (target.get("reason"), target.get("message"))
    assert (is_deleting(room.get("lower")), is_deleting(room.get("low"))) == (True, False)
    assert dig(room.get("high"), "status.nominatedNodeName") == "n1"
    uid = room.get("high")["metadata"]["uid"]
    assert room.events("Preempted") == [f"Preempted by pod {uid} on node n1"]
    assert room.events("FailedScheduling") == ["0/1 nodes are available: 1 Insufficient cpu."]
    await room.pod("another", cpu="1", priority=5)
    await room.end("lower")
    await room.clock.advance(5)
    assert (room.at("high"), room.at("another")) == ("n1", "")


async def test_pods_that_never_preempt_wait(room: Room) -> None:
    """preemptionPolicy Never, or a profile without preemption, leaves others in peace."""
    await room.node("n1", cpu="1")
    await room.pod("low", cpu="1")
    await room.pod("polite", cpu="1", priority=10, preemptionPolicy="Never")
    await room.pod("packed", cpu="1", priority=10, schedulerName="packing")
    await room.clock.advance(5)
    assert not is_deleting(room.get("low"))
    message = "0/1 nodes are available: 1 Insufficient cpu."
    never = "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."
    assert sorted(room.events("FailedScheduling")) == [message, f"{message} {never}"]


async def test_profiles_score_each_in_their_way(room: Room) -> None:
    """The default spreads pods over nodes, a profile with MostAllocated packs them."""
    for name in ("n1", "n2"):
        await room.node(name)
    for number in range(4):
        await room.pod(f"p{number}", cpu="100m", memory="100Mi", schedulerName="packing")
    await room.clock.advance(1)
    assert len({room.at(f"p{number}") for number in range(4)}) == 1


async def test_events_come_from_the_profile(room: Room) -> None:
    """A pod's events name the scheduler that it asked for as their source."""
    await room.node("n1")
    await room.pod("plain")
    await room.pod("packed", schedulerName="packing")
    await room.clock.advance(1)
    found = room.client.cache.list(Event, "default")
    sources = {e["involvedObject"]["name"]: (e["source"]["component"], e["reason"]) for e in found}
    assert sources == {"plain": ("default-scheduler", "Scheduled"), "packed": ("packing", "Scheduled")}


async def test_only_what_may_help_wakes_a_pod(room: Room) -> None:
    """A pod that must be near another sleeps through strangers, and is tried when that one is placed."""
    await room.node("n1")
    near = affinity("podAffinity", pod_term("kubernetes.io/hostname", app="friend"))
    await room.pod("lonely", affinity=near)
    await room.clock.advance(1)
    before = room.scheduler.metrics.refused
    await room.pod("stranger")
    await room.clock.advance(30)
    assert (room.at("stranger"), room.scheduler.metrics.refused) == ("n1", before)
    await room.pod("friend")
    await room.clock.advance(1)
    assert room.at("lonely") == "n1"


async def test_what_cannot_be_helped_by_eviction_says_so(room: Room) -> None:
    """A pod larger than any node gets no victims."""
    await room.node("n1", cpu="1")
    await room.pod("low", cpu="1")
    await room.pod("huge", cpu="2", priority=10)
    await room.clock.advance(1)
    helpless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    expected = f"0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, {helpless}"
    assert room.events("FailedScheduling") == [expected]
    assert not is_deleting(room.get("low"))


async def test_a_pod_without_its_claim_says_so(room: Room) -> None:
    """A claim that is missing holds for every node; nobody is looked for who might give way."""
    await room.node("n1")
    await room.pod("lost", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "gone"}}])
    await room.clock.advance(1)
    told = 'persistentvolumeclaim "gone" not found. not found'
    assert room.events("FailedScheduling") == [f"0/1 nodes are available: {told}"]
    counted = {
        'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1',
        'scheduler_pending_pods{queue="unschedulable"} 1',
    }
    assert counted <= set(room.scheduler.lines())


async def storage(room: Room, provisioner: str) -> None:
    """A class that waits for a consumer, a claim of it, and a node."""
    waits = {"metadata": {"name": "later"}, "provisioner": provisioner}
    waits["volumeBindingMode"] = "WaitForFirstConsumer"
    await room.client.create(StorageClass, {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **waits})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "data", "namespace": "default"}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    await room.client.create(PersistentVolumeClaim, {**claim, "spec": {**spec, "storageClassName": "later"}})
    await room.node("n1")


async def bound(room: Room, volume: str) -> None:
    """What the binder does once a claim has its volume."""
    annotations = {"pv.kubernetes.io/bind-completed": "yes"}
    body = {"metadata": {"annotations": annotations}, "spec": {"volumeName": volume}}
    await room.client.patch(PersistentVolumeClaim, Key("default", "data"), body)
    await room.clock.advance(1)


USES = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]


async def test_a_claim_is_told_its_node_and_awaited(room: Room) -> None:
    """A pod whose claim is to be provisioned is bound only once the volume is."""
    await storage(room, "example.com/disk")
    await room.pod("web", volumes=USES)
    await room.clock.advance(60)
    claim = room.client.cache.get(PersistentVolumeClaim, Key("default", "data")) or {}
    assert dig(claim, "metadata.annotations") == {"volume.kubernetes.io/selected-node": "n1"}
    assert room.at("web") == ""
    await bound(room, "made")
    assert room.at("web") == "n1"


async def test_volumes_that_are_never_bound_are_given_up(room: Room) -> None:
    """After ten minutes the pod says so and is tried again."""
    await storage(room, "example.com/disk")
    await room.pod("web", volumes=USES)
    await room.clock.advance(601)
    expected = 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
    assert room.events("FailedScheduling") == [expected]
    await room.clock.advance(2)
    await bound(room, "made")
    assert room.at("web") == "n1"


async def test_a_volume_is_set_aside_for_its_claim(room: Room) -> None:
    """A claim that an existing volume suits gets it, with a reference that the binder completes."""
    await storage(room, "kubernetes.io/no-provisioner")
    spec: Obj = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "later"}
    spec["hostPath"] = {"path": "/data"}
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": spec}
    await room.client.create(PersistentVolume, body)
    status = {"status": {"phase": "Available"}}
    await room.client.patch(PersistentVolume, Key("", "disk"), status, subresource="status")
    await room.pod("web", volumes=USES)
    await room.clock.advance(1)
    volume = room.client.cache.get(PersistentVolume, Key("", "disk")) or {}
    claim = room.client.cache.get(PersistentVolumeClaim, Key("default", "data")) or {}
    ref = dig(volume, "spec.claimRef", {})
    assert (ref.get("name"), ref.get("uid")) == ("data", claim["metadata"]["uid"])
    assert room.at("web") == ""
    await bound(room, "disk")
    assert room.at("web") == "n1"
