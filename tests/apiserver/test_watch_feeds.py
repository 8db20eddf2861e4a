"""Watchers of one selection: what is read once for all of them comes to each whole, in order, in its form."""

import asyncio
import json
import ssl
from typing import Any

import pytest
from aiohttp import web
from api_cluster import Cluster

from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver import watch
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.registry.base import Context

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MINE = f"{CONFIG_MAPS}?watch=1&labelSelector=mine"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
Json = dict[str, Any]


async def create(cluster: Cluster, name: str, size: int = 10) -> None:
    """Store a ConfigMap of about `size` bytes."""
    body = {"metadata": {"name": name, "labels": {"mine": "1"}}, "data": {"text": "x" * size}}
    await cluster.registry.create(ConfigMap, "default", body, Context())


class Stream:
    """A watch by a client that reads nothing unless it is told to."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def open(self, query: str = "", **headers: str) -> "Stream":
        """Ask, and read the head of the answer."""
        tls: ssl.SSLContext = self._cluster.tls(self._cluster.authority.issue("admin", "system:masters"))
        host, port = self._cluster.url.removeprefix("https://").split(":")
        self.reader, self.writer = await asyncio.open_connection(
            host, int(port), ssl=tls, server_hostname=host, limit=1 << 12
        )
        lines = [
            f"GET {MINE}{query} HTTP/1.1",
            "Host: x",
            *(f"{key}: {value}" for key, value in headers.items()),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.reader.readuntil(b"\r\n\r\n")
        return self

    async def event(self) -> Json:
        """The next event."""
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        line = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        found: Json = json.loads(line)
        return found

    async def names(self, last: str) -> list[str]:
        """The names of the objects up to `last`."""
        found: list[str] = []
        while not found or found[-1] != last:
            found.append((await self.event())["object"]["metadata"]["name"])
        return found


async def test_watchers_that_begin_at_different_times(cluster: Cluster) -> None:
    """Whenever a watcher comes, amid changes or after them, it is told each change after its revision once."""
    names = [f"c{number:03}" for number in range(120)]
    begun = str(cluster.registry.revision)
    streams: dict[int, Stream] = {}

    async def write() -> None:
        for name in names:
            await create(cluster, name)
            await asyncio.sleep(0.001)

    async with Tasks("test") as tasks:
        writing = tasks.spawn(write(), "write")
        for number in range(12):
            streams[number] = await Stream(cluster).open(f"&resourceVersion={begun}")
        await writing
    await create(cluster, "last")
    seen = {number: await stream.names("last") for number, stream in streams.items()}
    assert seen == {number: [*names, "last"] for number in streams}
    for stream in streams.values():
        stream.writer.close()


async def test_forms_of_one_selection(cluster: Cluster) -> None:
    """Objects, metadata and rows of one change, to watchers of one feed; bookmarks to who asked only."""
    forms = {"object": {}, "metadata": {"Accept": METADATA}, "table": {"Accept": TABLE}, "bookmarks": {}}
    now = f"&resourceVersion={cluster.registry.revision}"
    streams = {}
    for form, headers in forms.items():
        query = f"{now}&allowWatchBookmarks=true" if form == "bookmarks" else now
        streams[form] = await Stream(cluster).open(query, **headers)
    await create(cluster, "one")
    first = {form: await stream.event() for form, stream in streams.items()}
    cluster.registry.tick()
    marked = await streams["bookmarks"].event()
    await create(cluster, "two")
    second = {form: await stream.event() for form, stream in streams.items()}
    kinds = {form: event["object"]["kind"] for form, event in first.items()}
    assert kinds == {
        "object": "ConfigMap",
        "metadata": "PartialObjectMetadata",
        "table": "Table",
        "bookmarks": "ConfigMap",
    }
    assert (marked["type"], {event["type"] for event in (first | second).values()}) == ("BOOKMARK", {"ADDED"})
    assert second["table"]["object"]["rows"][0]["cells"][0] == "two"
    assert len(cluster.server._watches._feeds) == 1
    for stream in streams.values():
        stream.writer.close()


async def test_a_slow_watcher_holds_up_nobody_and_misses_nothing(cluster: Cluster) -> None:
    """One that reads nothing while megabytes come leaves the feed; once it reads, it is told all of it."""
    now = f"&resourceVersion={cluster.registry.revision}"
    slow, quick = await Stream(cluster).open(now), await Stream(cluster).open(now)
    names = [f"c{number:02}" for number in range(40)]
    async with Tasks("test") as tasks:
        reading = tasks.spawn(quick.names("c39"), "quick")
        for name in names:
            await create(cluster, name, 500_000)
            await asyncio.sleep(0)
        assert await reading == names
    held = [watcher.feed for watcher in cluster.server._watches._open]
    assert held.count(None) == 1  # the slow one
    assert await slow.names("c39") == names
    await create(cluster, "last")
    assert (await slow.names("last"), await quick.names("last")) == (["last"], ["last"])
    assert None not in [watcher.feed for watcher in cluster.server._watches._open]
    slow.writer.close()
    quick.writer.close()


async def test_a_stalled_watcher_is_hung_up_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no bytes for too long is closed, whatever it has asked for."""
    monkeypatch.setattr(watch, "STALLED_SECONDS", 0.1)
    gone, taken = asyncio.Event(), watch._taken

    async def told(request: web.BaseRequest) -> None:
        try:
            await taken(request)
        except ConnectionError:
            gone.set()
            raise

    monkeypatch.setattr(watch, "_taken", told)
    stream = await Stream(cluster).open(f"&resourceVersion={cluster.registry.revision}")
    for number in range(40):
        await create(cluster, f"c{number:02}", 500_000)
        await asyncio.sleep(0)
    await asyncio.wait_for(gone.wait(), 10)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await stream.names("c39")
    stream.writer.close()


async def test_a_feed_that_falls_behind_goes_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more happens than a feed can keep, it reads on from the history: no watcher is closed for it."""
    monkeypatch.setattr("minikube_py.registry.watches.CAPACITY", 5)
    stream = await Stream(cluster).open(f"&resourceVersion={cluster.registry.revision}")
    names = [f"c{number:02}" for number in range(30)]
    await asyncio.gather(*(create(cluster, name) for name in names))
    assert await stream.names("c29") == names
    stream.writer.close()


async def test_the_end_of_a_kind_is_told_last(cluster: Cluster) -> None:
    """Watches of a kind that is served no longer end, after what happened before."""
    stream = await Stream(cluster).open(f"&resourceVersion={cluster.registry.revision}")
    for name in ("a", "b"):
        await create(cluster, name)
    cluster.server._watches.end(ConfigMap)
    await create(cluster, "c")
    assert await stream.names("b") == ["a", "b"]
    assert await stream.reader.readuntil(b"\r\n\r\n") == b"0\r\n\r\n"
    stream.writer.close()
