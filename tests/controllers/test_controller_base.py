"""The controller base, the manager and the event recorder."""

import asyncio
from typing import Any, ClassVar

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change
from minikube_py.client.events import EventRecorder
from minikube_py.controllers import base
from minikube_py.controllers.base import Controller, ControllerContext, Written
from minikube_py.controllers.batches import slow_start
from minikube_py.controllers.manager import ControllerManager
from minikube_py.errors import Conflict, InternalError
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, Obj, revision_of
from minikube_py.testing.inprocess import local_cluster


def config(name: str, **more: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, **more}


class Flaky(Controller):
    """Fails as told, and notes when it ran."""

    name: ClassVar[str] = "flaky-controller"
    reconciles = ConfigMap

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.runs: list[float] = []
        self.errors: list[Exception] = []

    async def reconcile(self, key: Key) -> float | None:
        if key.name != "mine":
            return None
        self.runs.append(self.clock.monotonic())
        if self.errors:
            raise self.errors.pop(0)
        return None


class Breaking(Controller):
    """Its subscription breaks on a ConfigMap named bad."""

    name: ClassVar[str] = "breaking-controller"

    def watches(self) -> Any:
        return {ConfigMap: self.changed}

    def changed(self, change: Change) -> tuple[Key, ...]:
        if change.object["metadata"]["name"] == "bad" and change.type == "ADDED":
            raise RuntimeError("broken")
        return ()

    async def reconcile(self, key: Key) -> float | None:
        return None


async def running(
    tasks: Tasks, clock: VirtualClock, *chosen: type[Controller]
) -> tuple[Any, ControllerManager]:
    clients = await local_cluster(clock=clock)
    manager = ControllerManager(clients, clock, chosen=chosen)
    ready = asyncio.Event()
    tasks.spawn(manager.run(ready), "manager")
    await ready.wait()
    return clients, manager


async def test_errors_are_retried_with_backoff() -> None:
    """An error is retried after 5 ms, doubling; a Conflict likewise, and success ends it."""
    clock = VirtualClock()
    async with Tasks("test") as tasks:
        clients, manager = await running(tasks, clock, Flaky)
        [flaky] = manager.controllers
        assert isinstance(flaky, Flaky)
        flaky.errors = [Conflict("stale"), InternalError("down"), ValueError("bug")]
        await clients.named("test").create(ConfigMap, config("mine"))
        await clock.advance(1)
        assert [round(moment * 1000) for moment in flaky.runs] == [0, 5, 15, 35]
        assert (
            flaky.metrics.errors,
            flaky.metrics.conflicts,
            flaky.queue.failures(Key("default", "mine")),
        ) == (2, 1, 0)
        samples = dict(line.rsplit(" ", 1) for line in manager.lines())
        names = ("retries_total", "depth", "adds_total", "work_duration_seconds_count")
        queue = 'flaky-controller"}'
        told = {name: samples[f'workqueue_{name}{{name="{queue}'] for name in names}
        assert told == dict(zip(names, ("3", "0", "6", "6"), strict=True))
        runs = {
            result: samples[
                f'controller_runtime_reconcile_total{{controller="flaky-controller",result="{result}"}}'
            ]
            for result in ("success", "error", "conflict")
        }
        assert runs == {"success": "3", "error": "2", "conflict": "1"}


async def test_a_controller_that_breaks_starts_again_alone() -> None:
    """A failing subscription restarts its own controller after a second; others and the writer go on."""
    clock = VirtualClock()
    async with Tasks("test") as tasks:
        clients, manager = await running(tasks, clock, Flaky, Breaking)
        client = clients.named("test")
        await client.create(ConfigMap, config("bad"))
        await client.create(ConfigMap, config("mine"))
        await clock.advance(0)
        states = {name: (health.state, health.error) for name, health in manager.health.items()}
        assert states == {"flaky-controller": ("running", ""), "breaking-controller": ("restarting", "broken")}
        flaky = manager.controllers[0]
        assert isinstance(flaky, Flaky) and len(flaky.runs) == 1
        await client.delete(ConfigMap, Key("default", "bad"))
        await clock.advance(1)
        assert manager.health["breaking-controller"].state == "running"
        assert manager.health["breaking-controller"].restarts == 1


class LateCache:
    """A cache that shows what it is told to."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[Key, Obj] = {}

    def get(self, kind: Any, key: Key) -> Obj | None:
        return self.objects.get(key)


def test_what_was_written_must_be_shown() -> None:
    """A run's writes are shown once the cache has their revision and the deleted objects are gone or going."""
    cache: Any = LateCache()
    key = Key("default", "p")
    written = Written(7, [(Pod, key, 5)])
    cache.objects[key] = {"metadata": {"resourceVersion": "5"}}
    cache.revision = 6
    assert written.shown_by(cache) is False
    cache.revision = 7
    assert written.shown_by(cache) is False
    cache.objects[key] = {"metadata": {"resourceVersion": "6", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert written.shown_by(cache) is True
    del cache.objects[key]
    assert written.shown_by(cache) is True


class Writing(Controller):
    """Counts its runs in the object."""

    name: ClassVar[str] = "writing-controller"
    reconciles = ConfigMap

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.written: list[int] = []

    async def reconcile(self, key: Key) -> float | None:
        if key.name == "mine":
            stored = await self.client.patch(ConfigMap, key, {"data": {"runs": str(len(self.written))}})
            self.written.append(revision_of(stored))
        return None


async def test_a_key_waits_for_the_cache() -> None:
    """A key whose writes the cache does not show yet is not run, until the cache has caught up."""
    clock = VirtualClock()
    async with Tasks("test") as tasks:
        clients, manager = await running(tasks, clock, Writing)
        [writing] = manager.controllers
        assert isinstance(writing, Writing)
        late: Any = LateCache()
        writing.cache = late
        await clients.named("test").create(ConfigMap, config("mine"))
        await clock.advance(5 * base.CACHE_WAIT)
        assert len(writing.written) == 1
        late.revision = writing.written[0]
        await clock.advance(2 * base.CACHE_WAIT)
        assert len(writing.written) == 2


async def test_slow_start_stops_at_the_first_failure() -> None:
    """Batches double, and the batch in which one fails is the last."""
    tried: list[int] = []

    async def work(number: int) -> None:
        tried.append(number)
        if number == 4:
            raise ValueError("no")

    done, error = await slow_start(20, work)
    assert (done, str(error), tried) == (6, "no", [0, 1, 2, 3, 4, 5, 6])
    assert await slow_start(0, work) == (0, None)


async def recorder(clock: VirtualClock) -> tuple[Any, EventRecorder]:
    clients = await local_cluster(clock=clock)
    return clients, EventRecorder(clients.named("test-controller"), clock, "test-controller", host="n1")


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "7"},
}


def shown(clients: Any) -> list[tuple[str, int]]:
    return sorted((e["message"], e["count"]) for e in clients.cache.list(Event))


async def test_an_event_says_who_and_what() -> None:
    """An Event has the shape that kubectl describes."""
    clock = VirtualClock()
    clients, events = await recorder(clock)
    async with events:
        events.record(POD, "Warning", "Failed", "it failed", field_path="spec.containers{main}")
        await events.flush()
    [event] = clients.cache.list(Event)
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "p",
        "uid": "u",
        "apiVersion": "v1",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{main}",
    }
    fields = (
        "type",
        "reason",
        "message",
        "count",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "reportingComponent",
    )
    assert [event[field] for field in fields] == [
        "Warning",
        "Failed",
        "it failed",
        1,
        {"component": "test-controller", "host": "n1"},
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "test-controller",
    ]


async def test_equal_events_are_counted() -> None:
    """The same event again raises the count and the last time of the one that is there."""
    clock = VirtualClock()
    clients, events = await recorder(clock)
    async with events:
        for _ in range(3):
            events.record(POD, "Normal", "Pulled", "again")
            await events.flush()
            await clock.advance(10)
    [event] = clients.cache.list(Event)
    assert (event["count"], event["lastTimestamp"]) == (3, "2026-01-01T00:00:20Z")


async def test_a_counted_event_that_expired_starts_anew() -> None:
    """When the Event object is gone, its series goes on in a new one."""
    clock = VirtualClock()
    clients, events = await recorder(clock)
    async with events:
        events.record(POD, "Normal", "Pulled", "again")
        await events.flush()
        [event] = clients.cache.list(Event)
        await clients.named("test").delete(Event, Key("default", event["metadata"]["name"]))
        events.record(POD, "Normal", "Pulled", "again")
        await events.flush()
    assert shown(clients) == [("again", 1)]


async def test_similar_events_are_combined_and_limited() -> None:
    """Beyond ten messages of one reason they share one Event, and beyond 25 events an object is silenced."""
    clock = VirtualClock()
    clients, events = await recorder(clock)
    async with events:
        for number in range(40):
            events.record(POD, "Normal", "Moved", f"step {number:02}")
            await events.flush()
    assert shown(clients) == [
        ("(combined from similar events): step 24", 15),
        *((f"step {number:02}", 1) for number in range(10)),
    ]
    assert events.dropped == 15


async def test_events_of_one_object_keep_their_order() -> None:
    """Events about several objects are written at the same time, those about one in their order."""
    clock = VirtualClock()
    clients, events = await recorder(clock)
    reasons = ["Pulled", "Created", "Started"]
    async with events:
        for reason in reasons:
            for name in ("a", "b", "c"):
                metadata = {**POD["metadata"], "name": name, "uid": name}
                events.record({**POD, "metadata": metadata}, "Normal", reason, reason)
        await events.flush()
    stored = sorted(clients.cache.list(Event), key=revision_of)
    seen = {name: [e["reason"] for e in stored if e["involvedObject"]["uid"] == name] for name in "abc"}
    assert seen == dict.fromkeys("abc", reasons)


async def test_events_are_gathered_in_a_pause() -> None:
    """The first event is written at once, what follows within the pause after it."""
    clock = VirtualClock()
    clients = await local_cluster(clock=clock)
    async with EventRecorder(clients.named("test"), clock, "test", pause=lambda: 0.2) as events:
        events.record(POD, "Normal", "Pulled", "first")
        await clock.advance(0.1)
        assert shown(clients) == [("first", 1)]
        events.record(POD, "Normal", "Created", "second")
        events.record(POD, "Normal", "Started", "third")
        await clock.advance(0.05)
        assert shown(clients) == [("first", 1)]
        await clock.advance(0.1)
        assert shown(clients) == [("first", 1), ("second", 1), ("third", 1)]
