"""WATCH: where it begins, what selectors make of changes, bookmarks, ends, shared work; old Events go."""

import asyncio
from typing import Any

import orjson
import pytest
from registry_objects import CONTEXT, WIDGET

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.errors import BadRequest, Expired, Invalid, Timeout
from minikube_py.kinds.core.event import Event
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry import watches
from minikube_py.registry.base import DeleteOptions, WatchEvent, WatchOptions
from minikube_py.registry.recent import KEPT
from minikube_py.registry.resource import Registry
from minikube_py.registry.watches import ObjectWatch


def told(registry: Registry, events: Any) -> list[tuple[str, str]]:
    """Types and names of events."""
    return [(e.type, name_of(registry.decoded(e.entry)) if e.entry.key else "") for e in events]


async def take(registry: Registry, watch: ObjectWatch, count: int) -> list[WatchEvent]:
    """The next `count` events, in however many batches."""
    found: list[WatchEvent] = []
    while len(found) < count:
        found += await anext(watch)
    return found


async def label(registry: Registry, name: str, **labels: str) -> None:
    version = registry.decoded(registry.get(WIDGET, "default", name))["metadata"]["resourceVersion"]
    body = {"metadata": {"name": name, "labels": labels, "resourceVersion": version}}
    await registry.update(WIDGET, "default", name, body, CONTEXT)


def now(registry: Registry, **options: Any) -> WatchOptions:
    return WatchOptions(resource_version=str(registry.revision), **options)


@pytest.mark.parametrize("version", ["", "0"])
async def test_begins_with_what_is(registry: Registry, create: Any, version: str) -> None:
    """Without a resourceVersion, or from 0, the present objects come first as ADDED, then changes."""
    for name in ("a", "b"):
        await create(WIDGET, name)
    watch = registry.watch(WIDGET, "default", WatchOptions(resource_version=version))
    await label(registry, "a", x="y")
    events = await take(registry, watch, 3)
    watch.close()
    assert told(registry, events) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a")]


async def test_resumes_from_a_version(registry: Registry, create: Any) -> None:
    """From a resourceVersion every later change comes, in order, each once."""
    await create(WIDGET, "a")
    then = str(registry.revision)
    await create(WIDGET, "b")
    await registry.delete(WIDGET, "default", "a", DeleteOptions(), CONTEXT)
    watch = registry.watch(WIDGET, "default", WatchOptions(resource_version=then))
    await create(WIDGET, "c")
    events = await take(registry, watch, 3)
    watch.close()
    assert told(registry, events) == [("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c")]


async def test_other_namespaces_and_kinds_are_silent(registry: Registry, create: Any) -> None:
    """A watch of a namespace tells of that namespace only."""
    watch = registry.watch(WIDGET, "default", now(registry))
    await create(WIDGET, "elsewhere", namespace="kube-system")
    await create(WIDGET, "here")
    events = await take(registry, watch, 1)
    watch.close()
    assert told(registry, events) == [("ADDED", "here")]


async def test_selectors_turn_changes(registry: Registry, create: Any) -> None:
    """An object that begins to match is ADDED; one that ceases to is DELETED in its last matching state."""
    await create(WIDGET, "a", labels={"app": "db"})
    watch = registry.watch(WIDGET, "default", now(registry, labels="app=web"))
    await label(registry, "a", app="web")
    await label(registry, "a", app="web", more="1")
    await label(registry, "a", app="db")
    await label(registry, "a", app="cache")
    await label(registry, "a", app="web")
    await registry.delete(WIDGET, "default", "a", DeleteOptions(), CONTEXT)
    events = await take(registry, watch, 5)
    watch.close()
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    left = orjson.loads(events[2].entry.data)
    assert left["metadata"]["labels"] == {"app": "web", "more": "1"}
    assert left["metadata"]["resourceVersion"] == str(events[2].entry.revision)


async def test_one_object_by_name(registry: Registry, create: Any) -> None:
    """A watch by metadata.name tells of that object, not of one whose name only begins so."""
    watch = registry.watch(WIDGET, "default", now(registry, fields="metadata.name=a"))
    for name in ("ab", "a"):
        await create(WIDGET, name)
    events = await take(registry, watch, 1)
    watch.close()
    assert told(registry, events) == [("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark(registry: Registry, create: Any) -> None:
    """sendInitialEvents ends the present objects with a marked bookmark at the list's revision."""
    await create(WIDGET, "a")
    options = WatchOptions(send_initial_events=True, bookmarks=True, match="NotOlderThan")
    watch = registry.watch(WIDGET, "default", options)
    first = await anext(watch)
    watch.close()
    assert told(registry, first) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert (first[1].initial_end, first[1].entry.revision) == (True, registry.revision)


async def test_bookmarks_come_now_and_then(registry: Registry, create: Any, clock: VirtualClock) -> None:
    """A quiet watcher that asked gets a bookmark a minute, at the present revision, and misses nothing."""
    watch = registry.watch(WIDGET, "default", now(registry, bookmarks=True))
    quiet = registry.watch(WIDGET, "default", now(registry))
    async with Tasks("test") as tasks:
        tasks.spawn(registry.run(asyncio.Event()), "registry")
        for name in ("a", "b"):
            await create(WIDGET, name, namespace="kube-system")
            reader = tasks.spawn(anext(watch), "reader")
            silent = tasks.spawn(anext(quiet), "silent")
            await clock.advance(61)
            (event,) = reader.result()
            assert (event.type, event.initial_end, event.entry.revision) == (
                "BOOKMARK",
                False,
                registry.revision,
            )
            assert silent.done() is False
            silent.cancel()
        await create(WIDGET, "c")
        assert told(registry, await anext(watch)) == [("ADDED", "c")]
    watch.close()
    quiet.close()


async def test_bookmark_never_overtakes_an_event(registry: Registry, create: Any) -> None:
    """A watcher that has events to read gets no bookmark before them."""
    watch = registry.watch(WIDGET, "default", now(registry, bookmarks=True))
    async with Tasks("test") as tasks:
        reader = tasks.spawn(anext(watch), "reader")
        await asyncio.sleep(0)
        await create(WIDGET, "a")
        registry.tick()
        assert told(registry, await reader) == [("ADDED", "a")]
    watch.close()


async def test_quiet_resource_is_watched_from_a_compacted_version(registry: Registry, create: Any) -> None:
    """The last changes of a resource stay at hand, however much happened elsewhere since."""
    await create(WIDGET, "a")
    then = registry.revision
    await create(WIDGET, "b", namespace="kube-system")
    await create(WIDGET, "b")
    await registry.delete(WIDGET, "default", "a", DeleteOptions(), CONTEXT)
    await registry.store.compact(registry.revision)
    watch = registry.watch(WIDGET, "default", WatchOptions(resource_version=str(then)))
    await create(WIDGET, "c")
    assert told(registry, await anext(watch)) == [("ADDED", "b"), ("DELETED", "a")]
    assert told(registry, await anext(watch)) == [("ADDED", "c")]
    watch.close()


async def test_compacted_version_is_expired(registry: Registry, create: Any) -> None:
    """A resourceVersion whose history is gone is Expired, in the words that clients look for."""
    await create(WIDGET, "a")
    then = registry.revision
    for number in range(KEPT + 1):
        await create(WIDGET, f"b{number}")
    await registry.store.compact(registry.revision)
    with pytest.raises(Expired) as refused:
        registry.watch(WIDGET, "default", WatchOptions(resource_version=str(then)))
    assert refused.value.message == f"too old resource version: {then} ({registry.revision})"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (WatchOptions(resource_version="999999", match="NotOlderThan", send_initial_events=True), Timeout),
        (WatchOptions(resource_version="x"), BadRequest),
        (WatchOptions(labels="a in"), BadRequest),
        (WatchOptions(fields="spec.x=1"), BadRequest),
        (WatchOptions(match="NotOlderThan"), Invalid),
        (WatchOptions(send_initial_events=True), Invalid),
    ],
)
def test_bad_queries_are_refused(registry: Registry, options: WatchOptions, error: type[Exception]) -> None:
    """A watch that cannot begin says why at once."""
    with pytest.raises(error):
        registry.watch(WIDGET, "default", options)


async def test_close_ends_a_waiting_reader(registry: Registry) -> None:
    """Closing a watch stops its iteration, with and without bookmarks."""
    for bookmarks in (False, True):
        watch = registry.watch(WIDGET, "default", now(registry, bookmarks=bookmarks))
        async with Tasks("test") as tasks:

            async def read(watch: ObjectWatch = watch) -> list[Any]:
                return [batch async for batch in watch]

            reader = tasks.spawn(read(), "reader")
            await asyncio.sleep(0)
            watch.close()
            assert await reader == []


async def test_lagging_watch_ends(registry: Registry, create: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that falls too far behind is ended, so that its client resumes."""
    monkeypatch.setattr(watches, "CAPACITY", 2)
    watch = registry.watch(WIDGET, "default", now(registry))
    for number in range(4):
        await create(WIDGET, f"w{number}")
    assert [batch async for batch in watch] == []


async def test_watchers_share_one_event(registry: Registry, create: Any) -> None:
    """All watchers of a change are handed the same event, selected or not: it is made once."""
    plain = [registry.watch(WIDGET, "default", now(registry)) for _ in range(3)]
    chosen = [registry.watch(WIDGET, "", now(registry, labels="app=web")) for _ in range(3)]
    await create(WIDGET, "a", labels={"app": "web"})
    first = [(await anext(watch))[0] for watch in plain + chosen]
    await label(registry, "a", app="db")
    second = [(await anext(watch))[0] for watch in chosen]
    for watch in plain + chosen:
        watch.close()
    assert len({id(event) for event in first}) == 1
    assert (len({id(event) for event in second}), second[0].type) == (1, "DELETED")


async def test_old_events_are_removed(registry: Registry, create: Any, clock: VirtualClock) -> None:
    """An Event goes an hour after it was last seen; a repeated one lives on."""

    def event(**times: str) -> Obj:
        return {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, **times}

    await create(Event, "once", event(lastTimestamp="2026-01-01T00:00:00Z"))
    await create(Event, "plain", event())
    await create(
        Event, "again", event(firstTimestamp="2026-01-01T00:00:00Z", lastTimestamp="2026-01-01T00:30:00Z")
    )
    async with Tasks("test") as tasks:
        tasks.spawn(registry.run(asyncio.Event()), "registry")
        await clock.advance(3500)
        assert len(registry.list(Event, "default").entries) == 3
        await clock.advance(200)
        left = [name_of(registry.decoded(entry)) for entry in registry.list(Event, "default").entries]
        assert left == ["again"]


async def test_stored_objects_are_decoded_at_the_start(registry: Registry, create: Any) -> None:
    """After a restart entries are bytes only; the registry is ready once it has decoded them."""
    await create(WIDGET, "a")
    entry = registry.get(WIDGET, "default", "a")
    entry.decoded = None
    ready = asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(registry.run(ready), "registry")
        await ready.wait()
    assert name_of(entry.decoded or {}) == "a"
