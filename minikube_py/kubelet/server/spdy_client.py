"""The CommandClient that speaks SPDY: the client opens a stream for each of the things it wants.

The protocols that remote command clients name: in version 4 the error stream tells by a Status how the command
ended; before it the stream carried words.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiohttp import web

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import (
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    Wanted,
    failure_of,
)
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyStream
from minikube_py.kubelet.server.upgrade import PROTOCOL_HEADER, Upgraded, UpgradeRefused

V4, V3 = "v4.channel.k8s.io", "v3.channel.k8s.io"
PROTOCOLS = (V4, V3, "v2.channel.k8s.io", "channel.k8s.io")
TYPES = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}
CREATION = 30.0  # seconds in which the client opens its streams
LEAVING = 10.0  # seconds in which the client leaves once it has been told the end


def agreed(offered: Sequence[str]) -> str:
    """The first of the client's protocols that is known here, or '' where it names none.
    Errors: UpgradeRefused."""
    names = [name.strip() for text in offered for name in text.split(",") if name.strip()]
    if not names:
        return ""
    for name in names:
        if name in PROTOCOLS:
            return name
    known = " ".join(PROTOCOLS)
    raise UpgradeRefused(
        403,
        f"unable to upgrade: unable to negotiate protocol: client supports {names}, server accepts [{known}]",
    )


class SpdyClient:
    """The CommandClient of a SPDY connection; use as an async context manager."""

    def __init__(self, request: web.BaseRequest, wanted: Wanted) -> None:
        if request.headers.get("Upgrade", "").upper() != "SPDY/3.1":
            raise UpgradeRefused(400, "unable to upgrade: missing upgrade headers in request")
        self._protocol = agreed(request.headers.getall(PROTOCOL_HEADER, []))
        self._client = Upgraded(request)
        self._spdy = SpdyConnection(self._client.read, self._client.write, self._accept)
        self._missing = _types(wanted, self._protocol)
        self._streams: dict[int, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._received: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(1)
        self._tasks = Tasks("spdy-client")
        self.response = web.StreamResponse()

    def _accept(self, stream: SpdyStream) -> None:
        number = TYPES.get(stream.headers.get("streamtype", ""))
        if number is None or number in self._streams:
            return
        self._streams[number] = stream
        self._missing.discard(number)
        if not self._missing:
            self._complete.set()

    async def __aenter__(self) -> "SpdyClient":
        headers = {"Upgrade": "SPDY/3.1"} | ({PROTOCOL_HEADER: self._protocol} if self._protocol else {})
        self.response = await self._client.begin(headers)
        await self._spdy.__aenter__()
        return self

    async def has_streams(self) -> bool:
        """Whether the client has opened its streams within the time for it."""
        gone = self._tasks.spawn(self._spdy.ended(), "ended")
        complete = self._tasks.spawn(self._complete.wait(), "streams")
        await asyncio.wait((gone, complete), timeout=CREATION, return_when=asyncio.FIRST_COMPLETED)
        for number in (STDIN, RESIZE):
            if number in self._streams:
                self._tasks.spawn(self._pass_on(number), "input")
        self._tasks.spawn(self._tell_the_end(), "end")
        return self._complete.is_set()

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        await self._spdy.__aexit__()

    async def _pass_on(self, number: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._streams[number].read():
                await self._received.put((number, data))
        await self._received.put((CLOSE, bytes((number,))))

    async def _tell_the_end(self) -> None:
        await self._spdy.ended()
        await self._received.put(None)

    async def greet(self) -> None:
        """Nothing: the client's streams have been answered."""

    async def receive(self) -> tuple[int, bytes] | None:
        """What the client sends next."""
        return await self._received.get()

    async def send(self, channel: int, data: bytes) -> None:
        """Send data on a stream that the client has opened. Errors: ConnectionError."""
        if channel in self._streams:
            await self._streams[channel].write(data)

    async def end(self, channel: int) -> None:
        """Close this side of a stream. Errors: ConnectionError."""
        if channel in self._streams:
            await self._streams[channel].close()

    async def send_status(self, status: bytes) -> None:
        """How the command ended: the Status, or before version 4 what is wrong in words."""
        await self.send(ERROR, status if self._protocol == V4 else failure_of(status).encode())

    async def close(self) -> None:
        """Close every stream, and let the client close the connection: what is on its way arrives."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for number in self._streams:
                await self.end(number)
            async with asyncio.timeout(LEAVING), Tasks("leaving") as tasks:
                tasks.spawn(self._discard(), "discard")
                await self._spdy.ended()

    async def _discard(self) -> None:
        """Read what the client still sends, so that its goodbye is seen."""
        while await self._received.get():
            pass


def _types(wanted: Wanted, protocol: str) -> set[int]:
    """The streams that the client is going to open."""
    asked: Mapping[int, bool] = {
        ERROR: True,
        STDIN: wanted.stdin,
        STDOUT: wanted.stdout,
        STDERR: wanted.stderr and not wanted.tty,
        RESIZE: wanted.tty and protocol in (V4, V3),
    }
    return {number for number, on in asked.items() if on}
