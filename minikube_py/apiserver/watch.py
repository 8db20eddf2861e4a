"""WATCH: events as lines of JSON, each encoded once for all watchers of a form.

A watcher that cannot keep up is closed (it relists), so is one whose connection takes no bytes for 30 s.
Expired revisions are told as an ERROR event of code 410 within the stream, as clients expect.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import orjson
from aiohttp import web

from minikube_py.aio.clock import Clock
from minikube_py.apiserver import query, responses, status, table
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.negotiate import Form, negotiate
from minikube_py.apiserver.request import NO_QUERY
from minikube_py.errors import ApiError, Expired
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import WatchEvent
from minikube_py.registry.resource import Registry
from minikube_py.registry.watches import ObjectWatch

MIN_SECONDS = 1800
"""A watch without timeoutSeconds ends after a random time between this and its double."""
STALLED_SECONDS = 30.0
UNSENT_BYTES = 256 * 1024
"""Bytes not yet taken by the connection from which the next write is given only STALLED_SECONDS."""
SLICE = 200
"""Events encoded before the loop may turn: the first batch holds every object there is."""
REMEMBERED = 512
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class EventLines:
    """Encodes events; the lines of the last ones are kept for the other watchers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[int, str], tuple[WatchEvent, bytes]] = OrderedDict()
        self._last: tuple[Sequence[object], Sequence[WatchEvent], bytes] = ((), (), b"")

    def lines(self, kind: Kind, events: Sequence[WatchEvent], form: Form, include: str) -> bytes:
        """The lines of some events; those of the last batch are kept as a whole."""
        if len(events) == 1:
            return self.line(kind, events[0], form, include)
        key = [kind.api_version, form.shape, include, *map(id, events)]
        if key != self._last[0]:  # holding the events keeps their ids from being used again
            made = b"".join([self.line(kind, event, form, include) for event in events])
            self._last = key, events, made
        return self._last[2]

    def line(self, kind: Kind, event: WatchEvent, form: Form, include: str) -> bytes:
        """The event's line as a chunk of the stream; `include` is what rows of tables carry."""
        if event.type == "BOOKMARK":
            return chunk(_bookmark(kind, event, form))
        key = (id(event), f"{form.shape}/{include}" if form.shape == "table" else form.shape)
        known = self._known.get(key)
        if known is not None:
            return known[1]
        encoded = self._object(kind, event, form, include)
        line = chunk(b'{"type":"%s","object":%s}\n' % (event.type.encode(), encoded))
        if len(line) <= UNSENT_BYTES:
            self._known[key] = (event, line)  # holding the event keeps its id from being used again
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return line

    def _object(self, kind: Kind, event: WatchEvent, form: Form, include: str) -> bytes:
        if form.shape == "table":
            return table.render_table(kind, [event.entry], now=self._clock.now(), include=include)
        if form.shape == "metadata":
            return table.render_metadata(event.entry)
        return event.entry.data


def chunk(line: bytes) -> bytes:
    """A line as HTTP/1.1 sends it in a body of unknown length."""
    return b"%x\r\n%s\r\n" % (len(line), line)


def _bookmark(kind: Kind, event: WatchEvent, form: Form) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(event.entry.revision), "creationTimestamp": None}
    if event.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    made: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    if form.shape == "metadata":
        made |= {"kind": "PartialObjectMetadata", "apiVersion": table.GROUP_VERSION}
    elif form.shape == "table":
        rows = [
            {
                "cells": [],
                "object": {**made, "kind": "PartialObjectMetadata", "apiVersion": table.GROUP_VERSION},
            }
        ]
        made = {
            "kind": "Table",
            "apiVersion": table.GROUP_VERSION,
            "metadata": {"resourceVersion": str(event.entry.revision)},
            "columnDefinitions": [],
            "rows": rows,
        }
    return b'{"type":"BOOKMARK","object":' + orjson.dumps(made) + b"}\n"


class WatchStreams:
    """Serves watches; `close` ends them all, so that the server can stop."""

    def __init__(self, registry: Registry, clock: Clock, metrics: ServerMetrics) -> None:
        self._registry = registry
        self._lines = EventLines(clock)
        self._metrics = metrics
        self._open: dict[ObjectWatch, Kind] = {}

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End every watch."""
        for watch in tuple(self._open):
            watch.close()

    def end(self, kind: Kind) -> None:
        """End the watches of a kind that is served no longer."""
        for watch, watched in tuple(self._open.items()):
            if (watched.api_version, watched.kind) == (kind.api_version, kind.kind):
                watch.close()

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Stream the changes that a call asks for. Errors before the first byte: BadRequest, Invalid, ...

        Thousands stay here at a time: what was parsed to begin with is not kept.
        """
        form = negotiate(call.accept)
        options = query.watch_options(call.query)
        seconds = query.number(call.query, "timeoutSeconds") or random.uniform(MIN_SECONDS, 2 * MIN_SECONDS)
        response = web.StreamResponse(headers=_HEADERS)
        response.enable_chunked_encoding()
        if kind.deprecation:
            responses.add_warnings(response, (kind.deprecation,))
        try:
            watch = self._registry.watch(kind, call.info.namespace, options)
        except Expired as error:
            await response.prepare(call.request)
            await response.write(status.error_event(error))
            return response
        del options
        include = query.text(call.query, "includeObject") or "Metadata"
        call.query = NO_QUERY
        counted = self._metrics.watch_events.series((kind.group, kind.version, kind.plural))
        end = asyncio.get_running_loop().call_later(seconds, watch.close)
        self._open[watch] = kind
        try:
            await response.prepare(call.request)
            async for batch in watch:
                counted[0] += len(batch)
                for part in _slices(batch) if len(batch) > 1 else (batch,):
                    lines = self._lines.lines(kind, part, form, include)
                    if _write(call.request, lines) > UNSENT_BYTES:
                        await _taken(call.request)
                    if len(batch) > SLICE:
                        await asyncio.sleep(0)
        except ApiError as error:
            await response.write(status.error_event(error))
        except ConnectionError:
            pass  # its client is gone
        finally:
            end.cancel()
            self._open.pop(watch, None)
            watch.close()
        return response


def _slices(batch: Sequence[WatchEvent]) -> Iterator[Sequence[WatchEvent]]:
    """A batch in parts of at most SLICE events and little more than UNSENT_BYTES: a reader who takes no bytes
    is not handed more."""
    start = size = 0
    for end, event in enumerate(batch, 1):
        size += len(event.entry.data)
        if size > UNSENT_BYTES or end - start == SLICE or end == len(batch):
            yield batch[start:end]
            start, size = end, 0


def _write(request: web.BaseRequest, chunks: bytes) -> int:
    """Hand chunks to the connection as they are; the bytes that it has not taken yet."""
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the watcher is gone")
    transport.write(chunks)
    return transport.get_write_buffer_size()


async def _taken(request: web.BaseRequest) -> None:
    """Wait until the connection has taken most of what it was given. Errors: ConnectionError."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await request.writer.drain()
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the watcher takes no bytes") from error
