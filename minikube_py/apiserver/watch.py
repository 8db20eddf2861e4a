"""WATCH: events as lines of JSON, read and encoded once for all watchers of a selection and form.

A watcher is told first what it is behind with, then becomes one of its feed. One that cannot keep up is closed
(it relists), so is one whose connection takes no bytes for 30 s. Expired revisions are told as an ERROR event
of code 410 within the stream, as clients expect.
"""

import asyncio
import random
from collections.abc import Sequence

from aiohttp import web

from minikube_py.aio.clock import Clock
from minikube_py.aio.haste import hasten
from minikube_py.apiserver import query, responses, status
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.negotiate import negotiate
from minikube_py.apiserver.request import NO_QUERY
from minikube_py.apiserver.watch_feeds import Feeds, Watcher
from minikube_py.apiserver.watch_lines import SLICE, UNSENT_BYTES, EventLines, Shape, slices
from minikube_py.errors import ApiError, Expired
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import WatchEvent
from minikube_py.registry.resource import Registry
from minikube_py.registry.selection import Selection
from minikube_py.registry.watches import ObjectWatch

MIN_SECONDS = 1800
"""A watch without timeoutSeconds ends after a random time between this and its double."""
STALLED_SECONDS = 30.0
"""For so long a connection may take no bytes that has more than UNSENT_BYTES to take."""
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class WatchStreams:
    """Serves watches; `close` ends them all, so that the server can stop."""

    def __init__(self, registry: Registry, clock: Clock, metrics: ServerMetrics) -> None:
        self._registry = registry
        self._lines = EventLines(clock)
        self._feeds = Feeds(self._lines)
        self._metrics = metrics
        self._open: dict[Watcher, Kind] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def close(self) -> None:
        """End every watch."""
        for watcher in tuple(self._open):
            watcher.close()
        await self._feeds.close()

    def end(self, kind: Kind) -> None:
        """End the watches of a kind that is served no longer, once they were told what happened until now."""
        for watcher, watched in tuple(self._open.items()):
            if (watched.api_version, watched.kind) == (kind.api_version, kind.kind):
                watcher.finish()

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Stream the changes that a call asks for. Errors before the first byte: BadRequest, Invalid, ..."""
        form = negotiate(call.accept)
        options = query.watch_options(call.query)
        seconds = query.number(call.query, "timeoutSeconds") or random.uniform(MIN_SECONDS, 2 * MIN_SECONDS)
        response = web.StreamResponse(headers=_HEADERS)
        response.enable_chunked_encoding()
        if kind.deprecation:
            responses.add_warnings(response, (kind.deprecation,))
        try:
            selection = await hasten(Selection.of, kind, options.labels, options.fields)
            watch = self._registry.watch(kind, call.info.namespace, options, selection)
        except Expired as error:
            return await _refuse(call.request, response, error)
        include = query.include_object(call.query)
        shape = Shape(form.shape, include if form.shape == "table" else "", options.bookmarks)
        call.query = NO_QUERY
        if call.request.transport is None:
            watch.close()
            raise ConnectionResetError("the watcher is gone")
        watcher = Watcher(call.request.transport, shape, watch)
        self._open[watcher] = kind
        del watch, selection, options, form, include
        return await self._serve(call.request, response, watcher, seconds)

    async def _serve(
        self, request: web.BaseRequest, response: web.StreamResponse, watcher: Watcher, seconds: float
    ) -> web.StreamResponse:
        """Thousands stay here at a time: what was parsed to begin with is not kept."""
        end = asyncio.get_running_loop().call_later(seconds, watcher.close)
        try:
            await response.prepare(request)
            while watch := await self._caught_up(request, watcher):
                self._feeds.join(watch, watcher, self._counted(watch.kind), self._registry.revision)
                watch.close()
                del watch
                watcher.woken = asyncio.get_running_loop().create_future()
                await watcher.woken
            if watcher.error is not None:
                await response.write(status.error_event(watcher.error))
        except ApiError as error:
            await response.write(status.error_event(error))
        except ConnectionError:
            pass  # its client is gone
        finally:
            end.cancel()
            self._open.pop(watcher, None)
            watcher.close()
        return response

    async def _caught_up(self, request: web.BaseRequest, watcher: Watcher) -> ObjectWatch | None:
        """Tell a watcher what it is behind with; the watch that has seen all there is, None where it is over.
        Errors: InternalError, ConnectionError."""
        watch = watcher.rest
        if watch is None:
            return None
        for missed in watcher.missed:
            await self._tell(request, watcher, watch.kind, missed)
        while watch.ready and not watcher.closed:
            try:
                events = await watch.take()
            except StopAsyncIteration:
                return None
            for part in slices(events):
                await self._tell(request, watcher, watch.kind, part)
                if len(events) > SLICE:
                    await asyncio.sleep(0)
            if watch.ready:
                await asyncio.sleep(0)
        watcher.missed, watcher.rest = (), None
        return None if watcher.closed else watch

    async def _tell(
        self, request: web.BaseRequest, watcher: Watcher, kind: Kind, events: Sequence[WatchEvent]
    ) -> None:
        self._counted(kind)[0] += len(events)
        if _write(watcher.transport, self._lines.once(kind, events, watcher.shape)) > UNSENT_BYTES:
            await _taken(request)

    def _counted(self, kind: Kind) -> list[float]:
        return self._metrics.watch_events.series((kind.group, kind.version, kind.plural))


async def _refuse(
    request: web.BaseRequest, response: web.StreamResponse, error: ApiError
) -> web.StreamResponse:
    await response.prepare(request)
    await response.write(status.error_event(error))
    return response


def _write(transport: asyncio.WriteTransport, chunks: bytes) -> int:
    """Hand chunks to the connection as they are; the bytes that it has not taken yet."""
    if transport.is_closing():
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
