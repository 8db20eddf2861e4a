"""port-forward of the kubelet's server: each connection of a client is one to a port in the pod's network.

Clients speak SPDY, bare or tunnelled in WebSocket messages (current ones), with a pair of streams for each
connection: data, and an error stream that tells why there is none. A WebSocket client of the older kind has
two channels for each port. Either side may end its own direction: an answer that comes long after the client's
last word still arrives. Where the pod's side has ended, the client has a moment to end its own.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import ChannelSocket, open_socket
from minikube_py.kubelet.server.commands import Idle
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyStream
from minikube_py.kubelet.server.upgrade import PIECE, PROTOCOL_HEADER, Upgraded, UpgradeRefused, both_ways

TUNNEL = "SPDY/3.1+portforward.k8s.io"
FORWARD_CHANNELS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
SPDY_FORWARD = "portforward.k8s.io"
LINGER = 0.5  # seconds that a client has to end its direction once the pod has ended the other
REFUSED = "error forwarding port {port} to pod {pod}, uid : {why}"

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""A connection to a port of the pod. Errors: OSError, in words that end up with the client."""


class Forwarder:
    """Joins a client's streams with connections to the pod; `pod` is how errors call it."""

    def __init__(self, dial: Dial, pod: str, idle: Idle) -> None:
        self._dial, self._pod, self._idle = dial, pod, idle
        self._tasks = Tasks("port-forward")
        self._waiting: dict[str, SpdyStream] = {}
        self._connection: SpdyConnection | None = None

    async def serve(
        self, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Serve a SPDY client until it goes, or nothing passes for too long."""
        async with SpdyConnection(read, write, self._accept) as connection, self._tasks:
            self._connection = connection
            await both_ways(connection.ended, self._idle.over)
            await self._tasks.cancel()

    def _accept(self, stream: SpdyStream) -> None:
        """A stream that the client has opened; the two of one connection have the same request id."""
        kind = stream.headers.get("streamtype", "")
        of = stream.headers.get("requestid") or str(stream.id if kind == "error" else stream.id - 2)
        other = self._waiting.pop(of, None)
        if other is None:
            self._waiting[of] = stream
            return
        data, error = (other, stream) if kind == "error" else (stream, other)
        self._tasks.spawn(self._forward(data, error), f"connection/{of}")

    async def _forward(self, data: SpdyStream, error: SpdyStream) -> None:
        port = int(data.headers.get("port") or "0")
        with contextlib.suppress(ConnectionError):
            try:
                reader, writer = await self._dial(port)
                await self._join(data, reader, writer)
            except OSError as fault:
                await error.write(REFUSED.format(port=port, pod=self._pod, why=fault).encode())
            await data.close()
            await error.close()
        if self._connection is not None:
            self._connection.forget(data, error)

    async def _join(self, data: SpdyStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def upstream() -> None:
            try:
                while piece := await data.read():
                    self._idle.touch()
                    writer.write(piece)
                    await writer.drain()
                writer.write_eof()
            except OSError:  # the client has dropped it, or the pod hears no more
                writer.transport.abort()

        async def downstream() -> None:
            with contextlib.suppress(OSError):
                while piece := await reader.read(PIECE):
                    self._idle.touch()
                    await data.write(piece)
                await data.close()

        try:
            async with Tasks("connection") as tasks:
                up = tasks.spawn(upstream(), "up")
                await tasks.spawn(downstream(), "down")
                await asyncio.wait((up,), timeout=LINGER)
                up.cancel()
        finally:
            writer.close()


async def serve_spdy(request: web.BaseRequest, forwarder: Forwarder) -> web.StreamResponse:
    """Port-forward for a client that speaks SPDY. Errors: UpgradeRefused."""
    asked = [name.strip() for text in request.headers.getall(PROTOCOL_HEADER, []) for name in text.split(",")]
    if request.headers.get("Upgrade", "").upper() != "SPDY/3.1":
        raise UpgradeRefused(400, "unable to upgrade: missing upgrade headers in request")
    if any(asked) and SPDY_FORWARD not in asked:
        told = f"client supports {asked}, server accepts [{SPDY_FORWARD}]"
        raise UpgradeRefused(403, f"unable to upgrade: unable to negotiate protocol: {told}")
    client = Upgraded(request)
    response = await client.begin({"Upgrade": "SPDY/3.1", PROTOCOL_HEADER: SPDY_FORWARD})
    await forwarder.serve(client.read, client.write)
    return response


async def serve_tunnel(request: web.BaseRequest, forwarder: Forwarder) -> web.StreamResponse:
    """Port-forward for a client that tunnels SPDY in WebSocket messages. Errors: UpgradeRefused."""
    socket = await open_socket(request, (TUNNEL,))

    async def read() -> bytes:
        while True:
            message = await socket.receive()
            if message.type == WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return b""

    await forwarder.serve(read, socket.send_bytes)
    await socket.close()
    return socket


async def serve_channels(
    request: web.BaseRequest, dial: Dial, pod: str, ports: Sequence[int]
) -> web.StreamResponse:
    """Port-forward for a WebSocket client of the older kind: two channels per port, data then error, each begun
    by the port's number in two bytes. Errors: UpgradeRefused."""
    socket = await open_socket(request, FORWARD_CHANNELS)
    channels = ChannelSocket(socket)
    writers: dict[int, asyncio.StreamWriter] = {}

    async def served(place: int, port: int) -> None:
        """One port to its end."""
        for number in (2 * place, 2 * place + 1):
            await channels.send(number, port.to_bytes(2, "little"))
        try:
            reader, writers[2 * place] = await dial(port)
        except OSError as fault:
            await channels.send(2 * place + 1, REFUSED.format(port=port, pod=pod, why=fault).encode())
            return
        finally:
            tried[place].set()
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await channels.send(2 * place, piece)

    async def downstream() -> None:
        async with Tasks("ports") as tasks:
            running = [tasks.spawn(served(place, port), str(port)) for place, port in enumerate(ports)]
            await asyncio.gather(*running)

    async def upstream() -> None:
        while message := await channels.receive():
            number, chunk = message
            if number % 2 == 0 and number // 2 < len(ports) and chunk:
                await tried[number // 2].wait()
                if number in writers:
                    writers[number].write(chunk)
                    await writers[number].drain()

    tried = [asyncio.Event() for _ in ports]
    try:
        await both_ways(downstream, upstream)  # it ends when every port has, or the client leaves
    finally:
        for writer in writers.values():
            writer.close()
    await socket.close()
    return socket


def tunnels(request: web.BaseRequest) -> bool:
    """Whether a WebSocket client offers to tunnel SPDY."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return TUNNEL in (name.strip() for name in offered.split(","))
