"""Connections beyond HTTP: one that a client has upgraded here, and one that we upgrade at the runtime.

`Upgraded` takes an aiohttp request's connection over once `101 Switching Protocols` is sent; `upgrade_at`
asks a streaming URL of the runtime (plain HTTP on loopback) for an upgrade.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web

from minikube_py.aio.tasks import Tasks

PIECE = 64 * 1024
READ_AHEAD = 1 << 20  # bytes that may wait here before the client's connection is read no further
PROTOCOL_HEADER = "X-Stream-Protocol-Version"


class UpgradeRefused(Exception):
    """The runtime's streaming server did not switch protocols; status and text are its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"unable to upgrade connection: {text}")
        self.status, self.text = status, text


class Upgraded:
    """The raw bytes of a client's connection. aiohttp feeds it as it feeds a WebSocket's parser."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._response = web.StreamResponse(status=101)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._paused = False
        self._arrived = asyncio.Event()

    async def begin(self, headers: Mapping[str, str]) -> web.StreamResponse:
        """Send the 101 with `headers`; from here on the connection carries raw bytes."""
        self._response.headers.update({"Connection": "Upgrade", **headers})
        self._response.force_close()
        self._request.protocol.set_parser(cast(Any, self))
        await self._response.prepare(self._request)
        return self._response

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the client (called by aiohttp)."""
        self._chunks.append(bytes(data))
        self._size += len(data)
        if self._size > READ_AHEAD and not self._paused and self._request.transport is not None:
            self._paused = True
            self._request.transport.pause_reading()
        self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        """The client has gone (called by aiohttp)."""
        self._ended = True
        self._arrived.set()

    async def read(self) -> bytes:
        """All that has arrived; empty at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and self._request.transport is not None:
            self._paused = False
            self._request.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes. Errors: ConnectionError."""
        await self._response.write(data)


async def upgrade_at(
    url: str, protocols: Sequence[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """A SPDY connection to a streaming URL, and the stream protocol that it chose of `protocols`.
    Errors: UpgradeRefused, OSError."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "Content-Length: 0",
        *(f"{PROTOCOL_HEADER}: {protocol}" for protocol in protocols),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = {
            name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])
        }
        if status != 101:
            body = await reader.read(int(fields.get("content-length") or 4096))
            raise UpgradeRefused(status, body.decode(errors="replace").strip())
    except (asyncio.IncompleteReadError, ValueError, IndexError) as error:
        writer.close()
        raise UpgradeRefused(502, "the streaming server closed the connection") from error
    except UpgradeRefused:
        writer.close()
        raise
    return reader, writer, fields.get(PROTOCOL_HEADER.lower(), "")


async def both_ways(*directions: Callable[[], Awaitable[None]]) -> None:
    """Run the directions until one of them ends; a connection that breaks ends it too."""

    async def quietly(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    async with Tasks("relay") as tasks:
        running = [tasks.spawn(quietly(work), "direction") for work in directions]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
