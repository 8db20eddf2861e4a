"""Leader election in virtual time: one works, others wait; the silent one is followed, who lost it stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.election import Elected, ElectionConfig, LeadershipLost
from minikube_py.client.local import LocalClients
from minikube_py.errors import ServiceUnavailable
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.event import Event
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj
from minikube_py.testing.inprocess import local_cluster


class Work:
    """What is led: says whether it works."""

    name = "work"

    def __init__(self) -> None:
        self.works = False

    async def run(self, ready: asyncio.Event) -> None:
        self.works = True
        ready.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.works = False


class Refusing:
    """A client whose updates fail while it is told so."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.cache, self.fails = inner, inner.cache, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        if self.fails:
            raise ServiceUnavailable("away")
        updated: Obj = await self._inner.update(kind, obj, subresource=subresource)
        return updated


class Stage:
    """Candidates for one Lease in one cluster."""

    def __init__(self, clients: LocalClients, clock: VirtualClock, tasks: Tasks) -> None:
        self.clients, self.clock, self.tasks = clients, clock, tasks

    async def stand(self, identity: str) -> tuple[Work, "asyncio.Task[None]", Refusing]:
        """A further candidate, its task and its client."""
        work, client = Work(), Refusing(self.clients.named("test"))
        elected = Elected(work, client, self.clock, ElectionConfig("work", identity))
        ready = asyncio.Event()
        task = self.tasks.spawn(elected.run(ready), identity)
        await ready.wait()
        return work, task, client

    def lease(self) -> tuple[str, int, str]:
        """Its holder, how often that changed, and when it was renewed."""
        found = self.clients.cache.get(Lease, Key("kube-system", "work"))
        assert found is not None
        spec = found["spec"]
        return spec["holderIdentity"], spec["leaseTransitions"], spec["renewTime"][17:19]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    clock = VirtualClock()
    clients = await local_cluster(clock=clock)
    async with Tasks("test") as tasks:
        yield Stage(clients, clock, tasks)


async def test_one_works_the_other_waits(stage: Stage) -> None:
    """The first candidate works and renews every two seconds; a second one is ready, and waits."""
    first, _, _ = await stage.stand("one")
    second, _, _ = await stage.stand("two")
    await stage.clock.advance(31)
    assert (first.works, second.works) == (True, False)
    assert stage.lease() == ("one", 0, "30")
    told = [(e["reason"], e["message"]) for e in stage.clients.cache.list(Event)]
    assert told == [("LeaderElection", "one became leader")]


async def test_a_silent_leader_is_followed(stage: Stage) -> None:
    """Once the leader has been silent for the length of its lease, the other takes over."""
    _, task, _ = await stage.stand("one")
    second, _, _ = await stage.stand("two")
    await stage.clock.advance(10)
    task.cancel()
    await stage.clock.advance(14)
    assert second.works is False
    await stage.clock.advance(4)
    assert (second.works, stage.lease()[:2]) == (True, ("two", 1))


async def test_who_comes_back_goes_on(stage: Stage) -> None:
    """A leader that is started again under its own identity has nobody to wait for."""
    _, task, _ = await stage.stand("one")
    task.cancel()
    await stage.clock.advance(1)
    again, _, _ = await stage.stand("one")
    assert (again.works, stage.lease()) == (True, ("one", 0, "01"))


async def test_who_cannot_renew_stops(stage: Stage) -> None:
    """A leader whose renewals fail stops after ten seconds with an error, before another may take over."""
    first, task, client = await stage.stand("one")
    second, _, _ = await stage.stand("two")
    await stage.clock.advance(5)
    client.fails = True
    await stage.clock.advance(6)
    assert first.works
    client.fails = False
    await stage.clock.advance(2)
    client.fails = True
    await stage.clock.advance(12)
    assert (first.works, second.works) == (False, False)
    with pytest.raises(LeadershipLost, match="one lost the lease work"):
        await task
    await stage.clock.advance(10)
    assert second.works


async def test_a_lease_taken_away_ends_the_work(stage: Stage) -> None:
    """A leader that finds another's name in the Lease stops at its next renewal."""
    first, task, _ = await stage.stand("one")
    taken = {"spec": {"holderIdentity": "intruder"}}
    await stage.clients.named("test").patch(Lease, Key("kube-system", "work"), taken)
    await stage.clock.advance(3)
    assert first.works is False
    with pytest.raises(LeadershipLost):
        await task
