"""SPDY/3.1, either side, as far as remote command streams use it (SPDY protocol draft 3.1).

Streams in both directions over one connection: SYN_STREAM, SYN_REPLY, DATA, RST_STREAM, PING and GOAWAY;
settings and window updates are read and passed over, as the other side (containerd's streaming server, or a
Kubernetes client) keeps no windows. The client opens the streams. Header blocks are zlib with SPDY/3's
dictionary, one compression context per direction.
"""

import asyncio
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from minikube_py.aio.tasks import Tasks

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
CANCEL = 5
MAX_DATA = 32 * 1024
HEAD = 8  # bytes of a frame before its payload
PIECE = 64 * 1024
BUFFER = 1 << 20  # bytes of one stream that may wait to be read before the connection is read no further

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from "
    "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
    "HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(name)) + name.replace("_", " ").encode() for name in _NAMES.split(" "))
    + _TEXT.encode()
)


class SpdyFailed(ConnectionError):
    """The peer has broken the protocol, refused a stream, or gone."""


class HeaderCodec:
    """Compresses and reads header blocks, each direction with its own context for the whole connection."""

    def __init__(self) -> None:
        self._out = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
        self._in = zlib.decompressobj(zlib.MAX_WBITS, DICTIONARY)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        """A header block."""
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._out.compress(block) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, data: bytes) -> dict[str, str]:
        """The headers of a block; several values of one name are joined by NUL. Errors: SpdyFailed."""
        try:
            block = self._in.decompress(data, 1 << 20)
            (count,) = struct.unpack_from(">I", block)
            position, texts = 4, []
            for _ in range(2 * count):
                (length,) = struct.unpack_from(">I", block, position)
                texts.append(block[position + 4 : position + 4 + length].decode())
                position += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyFailed(f"bad header block: {error}") from error
        return dict(zip(texts[::2], texts[1::2], strict=True))


def control_frame(type: int, flags: int, payload: bytes) -> bytes:
    """A control frame."""
    head = struct.pack(">HHI", 0x8000 | VERSION, type, flags << 24 | len(payload))
    return head + payload


def data_frame(stream: int, flags: int, payload: bytes) -> bytes:
    """A data frame."""
    return struct.pack(">II", stream, flags << 24 | len(payload)) + payload


class SpdyStream:
    """One stream: read until an empty result, write, close one's own side. `headers` are what it was opened
    with."""

    def __init__(self, connection: "SpdyConnection", id: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.id, self.headers = id, headers
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._failure: SpdyFailed | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.replied = asyncio.Event()
        self._closed = False

    async def read(self) -> bytes:
        """All that has arrived, at least a byte; empty at the end. Errors: SpdyFailed after a reset."""
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send data. Errors: SpdyFailed once the connection is gone."""
        for start in range(0, len(data), MAX_DATA):
            await self._connection.send(data_frame(self.id, 0, data[start : start + MAX_DATA]))

    async def close(self) -> None:
        """End one's own side; the peer may still send."""
        if not self._closed:
            self._closed = True
            await self._connection.send(data_frame(self.id, FIN, b""))

    async def feed(self, data: bytes) -> None:
        """Data from the peer; waits while too much of it is unread."""
        if data:
            self._chunks.append(data)
            self._buffered += len(data)
            self._arrived.set()
            if self._buffered > BUFFER:
                self._room.clear()
                await self._room.wait()

    def end(self, failure: SpdyFailed | None = None) -> None:
        """The peer has ended its side, or failed."""
        self._ended = True
        self._failure = self._failure or failure
        self.replied.set()
        self._arrived.set()
        self._room.set()


class SpdyConnection:
    """One side of a connection that has been upgraded; use as an async context manager. `read` gives what has
    arrived (empty at the end), `write` sends. `accept` is called with each stream that a client opens: this is
    the server's side."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[None]],
        accept: Callable[[SpdyStream], None] | None = None,
    ) -> None:
        self._read, self._write, self._accept = read, write, accept
        self._codec = HeaderCodec()
        self._streams: dict[int, SpdyStream] = {}
        self._next = 1
        self._over: SpdyFailed | None = None
        self._ended = asyncio.Event()
        self._sending = asyncio.Lock()
        self._tasks = Tasks("spdy")

    async def ended(self) -> None:
        """Wait until the peer has gone."""
        await self._ended.wait()

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """A new stream, once the peer has accepted it. Errors: SpdyFailed."""
        stream = SpdyStream(self, self._next, headers)
        self._next += 2
        self._streams[stream.id] = stream
        # nothing may come between: the codec's context follows the order on the wire
        payload = struct.pack(">IIBB", stream.id, 0, 0, 0) + self._codec.encode(headers)
        await self.send(control_frame(SYN_STREAM, 0, payload))
        await stream.replied.wait()
        if self._over is not None:
            raise self._over
        return stream

    def forget(self, *streams: SpdyStream) -> None:
        """Streams that nobody uses any more; what the peer still sends on them is dropped."""
        for stream in streams:
            self._streams.pop(stream.id, None)
            stream.end()  # else the connection may wait for room on it, and nobody is served any more

    async def send(self, frame: bytes) -> None:
        """Write one frame. Errors: SpdyFailed once the connection is gone."""
        if self._over is not None:
            raise self._over
        try:
            async with self._sending:
                await self._write(frame)
        except ConnectionError as error:
            raise SpdyFailed(str(error)) from error

    async def _receive(self) -> None:
        failure = SpdyFailed("the connection was closed by the peer")
        waiting = bytearray()
        try:
            while data := await self._read():
                waiting += data
                position = 0
                while len(waiting) - position >= HEAD:
                    first, second = struct.unpack_from(">II", waiting, position)
                    start, end = position + HEAD, position + HEAD + (second & 0xFFFFFF)
                    if len(waiting) < end:
                        break
                    await self._frame(first, second >> 24, bytes(waiting[start:end]))
                    position = end
                del waiting[:position]
        except SpdyFailed as error:
            failure = error
        except (ConnectionError, struct.error) as error:
            failure = SpdyFailed(str(error))
        finally:
            self._over = failure
            for stream in self._streams.values():
                stream.end()
            self._ended.set()

    async def _frame(self, first: int, flags: int, payload: bytes) -> None:
        if first & 0x80000000:
            await self._control(first & 0xFFFF, flags, payload)
        elif stream := self._streams.get(first):
            await stream.feed(payload)
            if flags & FIN:
                stream.end()

    async def _control(self, type: int, flags: int, payload: bytes) -> None:
        if type == PING:
            (number,) = struct.unpack(">I", payload)
            if bool(number % 2) == bool(self._accept):  # the peer's own; another one would answer ours
                await self.send(control_frame(PING, 0, payload))
            return
        if type not in (SYN_REPLY, HEADERS, RST_STREAM, SYN_STREAM):
            return
        id = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        stream = self._streams.get(id)
        if type == SYN_STREAM:
            await self._opened(id, flags, self._codec.decode(payload[10:]))
        elif type == RST_STREAM:
            if stream is not None:
                stream.end(SpdyFailed(f"the peer has reset stream {id}"))
        else:
            self._codec.decode(payload[4:])
            if stream is not None:
                stream.replied.set()
                if flags & FIN:
                    stream.end()

    async def _opened(self, id: int, flags: int, headers: Mapping[str, str]) -> None:
        """The peer opens a stream, which is a client's to do."""
        if self._accept is None or id in self._streams:
            await self.send(control_frame(RST_STREAM, 0, struct.pack(">II", id, CANCEL)))
            return
        stream = self._streams[id] = SpdyStream(self, id, headers)
        await self.send(control_frame(SYN_REPLY, 0, struct.pack(">I", id) + self._codec.encode({})))
        if flags & FIN:
            stream.end()
        self._accept(stream)

    async def __aenter__(self) -> "SpdyConnection":
        self._tasks.spawn(self._receive(), "receive")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = self._over or SpdyFailed("the connection is closed")
        await self._tasks.cancel()


@contextlib.asynccontextmanager
async def spdy_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[SpdyConnection]:
    """The client's side on a connection of asyncio's, which is closed in the end."""

    async def write(data: bytes) -> None:
        if writer.is_closing():
            raise SpdyFailed("the connection is closed")
        writer.write(data)
        await writer.drain()

    try:
        async with SpdyConnection(lambda: reader.read(PIECE), write) as connection:
            yield connection
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the peer has gone, or sends on
            await writer.wait_closed()
