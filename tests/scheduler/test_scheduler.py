"""The scheduler over a cluster in process, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from builders import node, pod

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import STRATEGIC_PATCH
from minikube_py.client.local import LocalClient
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, condition, dig
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.testing.inprocess import local_cluster


class World:
    """A cluster with a running scheduler and a clock that stands still."""

    def __init__(self, client: LocalClient, clock: VirtualClock, scheduler: Scheduler) -> None:
        self.client, self.clock, self.scheduler = client, clock, scheduler

    async def pod(self, name: str, **spec: Any) -> None:
        body = pod(name, **spec)
        del body["metadata"]["uid"]
        await self.client.create(Pod, body)
        await self.clock.advance(0)

    async def node(self, name: str, **rest: Any) -> None:
        body = node(name, **rest)
        status = body.pop("status")
        await self.client.create(Node, body)
        await self.client.patch(Node, Key("", name), {"status": status}, subresource="status")
        await self.clock.advance(0)

    def at(self, name: str) -> str:
        return str(dig(self.client.cache.get(Pod, Key("default", name)), "spec.nodeName", ""))

    def events(self, reason: str) -> list[str]:
        found = self.client.cache.list(Event, "default")
        return [event["message"] for event in found if event["reason"] == reason]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = VirtualClock()
    client = (await local_cluster(clock=clock)).named("scheduler")
    scheduler, ready = Scheduler(client, clock), asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(scheduler.run(ready), "scheduler")
        await ready.wait()
        yield World(client, clock, scheduler)


async def test_a_pod_is_bound_and_says_so(world: World) -> None:
    """A pod gets the node, the PodScheduled condition and a Scheduled event."""
    await world.node("n1")
    await world.pod("web")
    await world.clock.advance(1)
    found = world.client.cache.get(Pod, Key("default", "web"))
    assert found is not None
    assert (world.at("web"), (condition(found, "PodScheduled") or {}).get("status")) == ("n1", "True")
    assert world.events("Scheduled") == ["Successfully assigned default/web to n1"]


async def test_a_refused_pod_says_why_and_is_woken_by_room(world: World) -> None:
    """Too large a pod waits with the reason, and is bound once another pod gives way."""
    await world.node("n1", cpu="1")
    await world.pod("first", cpu="1")
    await world.pod("second", cpu="1")
    await world.clock.advance(1)
    waiting = world.client.cache.get(Pod, Key("default", "second"))
    nobody = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    message = f"0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, {nobody}"
    scheduled = condition(waiting or {}, "PodScheduled") or {}
    assert ("Unschedulable", message) == (scheduled.get("reason"), scheduled.get("message"))
    assert [message] == world.events("FailedScheduling")
    await world.client.delete(Pod, Key("default", "first"), {"gracePeriodSeconds": 0})
    await world.clock.advance(2)
    assert world.at("second") == "n1"


async def test_a_refused_pod_sleeps_through_what_cannot_help(world: World) -> None:
    """A pod that lacks CPU is not tried again because of labels, and is for a node with more of it."""
    await world.node("n1", cpu="1")
    await world.pod("big", cpu="2")
    before = world.scheduler.metrics.refused
    await world.client.patch(Node, Key("", "n1"), {"metadata": {"labels": {"a": "b"}}})
    await world.clock.advance(30)
    assert before == world.scheduler.metrics.refused
    bigger = {"status": {"allocatable": {"cpu": "4"}}}
    await world.client.patch(Node, Key("", "n1"), bigger, type=STRATEGIC_PATCH, subresource="status")
    await world.clock.advance(1)
    assert world.at("big") == "n1"


async def test_the_first_node_wakes_everybody(world: World) -> None:
    """Pods that came before any node are bound when one comes."""
    await world.pod("early")
    await world.node("n1")
    await world.clock.advance(2)
    assert world.at("early") == "n1"


async def test_more_urgent_pods_go_first(world: World) -> None:
    """Of waiting pods the one with the higher priority gets the room."""
    await world.pod("low", cpu="1", priority=1)
    await world.pod("high", cpu="1", priority=10)
    await world.clock.advance(20)
    await world.node("n1", cpu="1")
    await world.clock.advance(5)
    assert (world.at("high"), world.at("low")) == ("n1", "")


async def test_gated_and_foreign_pods_are_left_alone(world: World) -> None:
    """Pods with scheduling gates, or of another scheduler, stay without a node."""
    await world.node("n1")
    await world.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    await world.pod("foreign", schedulerName="other")
    await world.clock.advance(1)
    assert (world.at("gated"), world.at("foreign")) == ("", "")
    await world.client.patch(Pod, Key("default", "gated"), {"spec": {"schedulingGates": None}})
    await world.clock.advance(1)
    assert world.at("gated") == "n1"


async def test_many_pods_never_exceed_a_node(world: World) -> None:
    """A burst of pods fills each node exactly, none beyond what it has."""
    for number in range(3):
        await world.node(f"n{number}", cpu="4", memory="64Gi")
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(world.pod(f"p{number:02}", cpu="1"))
    await world.clock.advance(1)
    places = [world.at(f"p{number:02}") for number in range(20)]
    assert [places.count(name) for name in ("n0", "n1", "n2", "")] == [4, 4, 4, 8]
