"""The HTTP client's cache: a list and a watch per kind, kept up whatever happens to the connection.

A watch that ends is taken up at the last revision that was seen; one whose history is gone (410) begins again
with a list, whose differences readers are told as changes. Between failures the reflector waits, 0.1 s doubling
to 30 s. Limit: right after a kind is first asked for, its table is empty; `sync` waits for the first list.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import aiohttp
import orjson

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.cache import Table, Tables
from minikube_py.errors import ApiError, Expired, from_status
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, key_of, revision_of

log = logging.getLogger(__name__)

PAGE = 500
FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
WATCH_SECONDS = 300
"""A watch is renewed this often, so that one whose peer is gone does not go unnoticed for ever."""


class Request(Protocol):
    """Asks the server for one answer."""

    async def __call__(self, method: str, path: str, *, query: Mapping[str, str]) -> Obj: ...


Stream = Callable[[str, Mapping[str, str]], Awaitable[aiohttp.ClientResponse]]


class Reflector:
    """Keeps one kind's table as the server has it."""

    def __init__(self, kind: Kind, request: Request, stream: Stream, clock: Clock) -> None:
        self.table = Table(kind)
        self.revision = 0
        self.listed: asyncio.Event = asyncio.Event()
        self.failure: ApiError | None = None  # why the last attempt to list failed
        self.tried = asyncio.Event()
        self._kind, self._request, self._stream, self._clock = kind, request, stream, clock

    async def run(self) -> None:
        """List and watch until cancelled."""
        wait = FIRST_WAIT
        while True:
            try:
                if not self.revision:
                    await self._list()
                await self._watch()
                wait = FIRST_WAIT
                await self._clock.sleep(wait)
            except Expired:
                self.revision = 0
            except (ApiError, aiohttp.ClientError, OSError, ValueError) as error:
                log.debug("%s: %s; trying again in %g s", self._kind.resource, error, wait)
                self.failure = error if isinstance(error, ApiError) else None
                self.tried.set()
                await self._clock.sleep(wait)
                wait = min(LONGEST_WAIT, wait * 2)

    async def _list(self) -> None:
        found: dict[Key, Obj] = {}
        query = {"limit": str(PAGE)}
        while True:
            page = await self._request("GET", self._kind.path(), query=query)
            for obj in page.get("items") or ():
                obj.setdefault("apiVersion", self._kind.api_version)
                obj.setdefault("kind", self._kind.kind)
                found[key_of(obj)] = obj
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                break
            query = {"limit": str(PAGE), "continue": following}
        self.revision = revision_of(page)
        self.table.replace(found)
        self.failure = None
        self.listed.set()
        self.tried.set()

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self.revision),
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = await self._stream(self._kind.path(), query)
        async with response:
            async for line in lines(response.content.iter_any()):
                self._take(orjson.loads(line))

    def _take(self, event: Obj) -> None:
        type, obj = event["type"], event["object"]
        if type == "ERROR":
            raise from_status(obj)
        self.revision = revision_of(obj)
        if type == "DELETED":
            self.table.remove(obj)
        elif type != "BOOKMARK":
            self.table.put(obj)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The non-empty lines of a stream, of any length."""
    parts: list[bytes] = []
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            joined = b"".join((*parts, line))
            parts.clear()
            if joined:
                yield joined
        if rest:
            parts.append(rest)


class HttpCache(Tables):
    """A Cache over reflectors; one starts when its kind is first asked for."""

    def __init__(self, request: Any, stream: Stream, clock: Clock) -> None:
        self._request, self._stream, self._clock = request, stream, clock
        self._reflectors: dict[tuple[str, str], Reflector] = {}
        self._expected: dict[tuple[str, str], int] = {}
        self._tasks = Tasks("reflector")

    @property
    def revision(self) -> int:
        """The revision up to which every kind that was written through these clients is known: a kind that lags
        behind a write holds it back, one that is merely quiet does not."""
        known, lagging = 0, []
        for identity, reflector in self._reflectors.items():
            known = max(known, reflector.revision)
            if self._expected.get(identity, 0) > reflector.revision:
                lagging.append(reflector.revision)
        return min(lagging, default=max(known, *self._expected.values(), 0))

    def expect(self, kind: Kind, revision: int) -> None:
        """A write of `kind` was answered with `revision`."""
        identity = (kind.api_version, kind.kind)
        if identity in self._reflectors:
            self._expected[identity] = max(self._expected.get(identity, 0), revision)

    def _table(self, kind: Kind) -> Table:
        return self._reflector(kind).table

    def _reflector(self, kind: Kind) -> Reflector:
        identity = (kind.api_version, kind.kind)
        found = self._reflectors.get(identity)
        if found is None:
            found = Reflector(kind, self._request, self._stream, self._clock)
            self._reflectors[identity] = found
            self._tasks.spawn(found.run(), kind.resource)
        return found

    async def sync(self, kinds: Iterable[Kind]) -> None:
        """Wait for the first list of each of `kinds`. Errors: the ApiError that refuses it."""
        for kind in kinds:
            reflector = self._reflector(kind)
            await reflector.tried.wait()
            if reflector.failure is not None and not reflector.listed.is_set():
                raise reflector.failure
            await reflector.listed.wait()

    async def close(self) -> None:
        """End every reflector."""
        await self._tasks.cancel()
