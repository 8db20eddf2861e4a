"""exec, attach and port-forward of the kubelet's server.

A SPDY client is joined with the runtime's streaming server byte by byte. A WebSocket client (channel protocols
of KEP-4006, and the older ones) is translated to SPDY streams; SPDY tunnelled in WebSocket messages
(port-forward of current clients) is unwrapped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import (
    CHANNELS,
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    ChannelSocket,
    open_socket,
)
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyFailed, SpdyStream
from minikube_py.kubelet.server.upgrade import PIECE, PROTOCOL_HEADER, Upgraded, both_ways, relay, upgrade_at

TUNNEL = "SPDY/3.1+portforward.k8s.io"
FORWARD_CHANNELS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
SPDY_FORWARD = "portforward.k8s.io"
GREETING = 0.1  # seconds
ENDING_WITHIN, ENDING_CHECKS = 2.0, 20  # seconds for the runtime to tell of an end, and looks at it meanwhile
SUCCESS = b'{"metadata":{},"status":"Success"}'


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asks for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client asks for a WebSocket rather than SPDY."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def proxy_spdy(request: web.BaseRequest, url: str) -> web.StreamResponse:
    """Join a SPDY client with a streaming URL. Errors: UpgradeRefused, OSError."""
    asked = request.headers.getall(PROTOCOL_HEADER, [])
    reader, writer, chosen = await upgrade_at(url, asked)
    headers = {"Upgrade": "SPDY/3.1"} | ({PROTOCOL_HEADER: chosen} if chosen else {})
    client = Upgraded(request)
    response = await client.begin(headers)
    await relay(client, reader, writer)
    return response


@dataclass(frozen=True, slots=True)
class Replay:
    """What a container has printed: for who attaches to one that has just started and may end before the
    runtime lets anybody attach. `ended`: whether it runs no more; `read`: its log's Stdout or Stderr."""

    ended: Callable[[], Awaitable[bool]]
    read: Callable[[str], AsyncIterator[bytes]]

    async def has_ended(self) -> bool:
        """Whether the container runs no more, which is known some moments after its streams have ended."""
        for _ in range(ENDING_CHECKS):
            if await self.ended():
                return True
            await asyncio.sleep(ENDING_WITHIN / ENDING_CHECKS)
        return False


async def serve_command(
    request: web.BaseRequest, url: str, wanted: Wanted, replay: Replay | None = None
) -> web.StreamResponse:
    """exec or attach for a WebSocket client. Errors: UpgradeRefused, OSError, SpdyFailed."""
    reader, writer, _ = await upgrade_at(url, ["v4.channel.k8s.io"])
    async with SpdyConnection(reader, writer) as spdy:
        streams = await _open_command(spdy, wanted)
        socket = await open_socket(request, CHANNELS)
        channels = ChannelSocket(socket)
        first = STDOUT if wanted.stdout else STDERR if STDERR in streams else ERROR

        async def downstream() -> None:
            await _deliver(channels, streams, replay)

        async def upstream() -> None:
            try:
                await _pump_in(channels, streams)
            except SpdyFailed:
                # the command has ended: what is still to be read goes to the client
                await asyncio.Event().wait()

        async with Tasks("greeting") as tasks:
            tasks.spawn(_greet(channels, first), "greet")
            await both_ways(downstream, upstream)
        await socket.close()
        return socket


async def serve_replay(request: web.BaseRequest, wanted: Wanted, replay: Replay) -> web.StreamResponse:
    """An attach for a WebSocket client to a container that has ended already."""
    socket = await open_socket(request, CHANNELS)
    channels = ChannelSocket(socket)
    with contextlib.suppress(ConnectionError):
        await asyncio.sleep(GREETING)  # see _greet
        await _replay(
            channels, [n for n, on in ((STDOUT, wanted.stdout), (STDERR, wanted.stderr)) if on], replay
        )
        await channels.send_status(SUCCESS)
    await socket.close()
    return socket


async def _deliver(channels: ChannelSocket, streams: dict[int, SpdyStream], replay: Replay | None) -> None:
    """Everything from the runtime to the client: the output, then how it ended."""
    outputs = [number for number in streams if number in (STDOUT, STDERR)]
    async with Tasks("output") as tasks:
        ending = tasks.spawn(_read_all(streams[ERROR]), "status")
        sent = sum(await asyncio.gather(*(_pump_out(channels, n, streams[n]) for n in outputs)))
        status = await ending
    if not sent and replay is not None and await replay.has_ended():
        await _replay(channels, outputs, replay)
        status = SUCCESS
    await channels.send_status(status)


async def _replay(channels: ChannelSocket, outputs: Sequence[int], replay: Replay) -> None:
    for number in outputs:
        async for piece in replay.read("Stdout" if number == STDOUT else "Stderr"):
            await channels.send(number, piece)


async def _read_all(stream: SpdyStream) -> bytes:
    data = b""
    with contextlib.suppress(SpdyFailed):
        while piece := await stream.read():
            data += piece
    return data


async def _greet(channels: ChannelSocket, number: int) -> None:
    """An empty message tells the client that the streams are there. Not at once: kubectl up to 1.32 complains
    of a message that comes before it has made its side of the stream."""
    await asyncio.sleep(GREETING)
    with contextlib.suppress(ConnectionError):
        await channels.send(number, b"")


async def _open_command(spdy: SpdyConnection, wanted: Wanted) -> dict[int, SpdyStream]:
    """The streams of a command, in the order in which remote command clients open them."""
    streams = {ERROR: await spdy.open({"streamtype": "error"})}
    if wanted.stdin:
        streams[STDIN] = await spdy.open({"streamtype": "stdin"})
    if wanted.stdout:
        streams[STDOUT] = await spdy.open({"streamtype": "stdout"})
    if wanted.stderr and not wanted.tty:
        streams[STDERR] = await spdy.open({"streamtype": "stderr"})
    if wanted.tty:
        streams[RESIZE] = await spdy.open({"streamtype": "resize"})
    return streams


async def _pump_out(channels: ChannelSocket, number: int, stream: SpdyStream) -> int:
    """Pass a stream on to its end; how many bytes it had."""
    sent = 0
    with contextlib.suppress(SpdyFailed):  # the runtime has dropped it: its end is all that can be told
        while data := await stream.read():
            await channels.send(number, data)
            sent += len(data)
    return sent


async def _pump_in(channels: ChannelSocket, streams: dict[int, SpdyStream]) -> None:
    while message := await channels.receive():
        number, data = message
        if number == CLOSE and channels.can_close:
            closing = streams.get(data[0]) if data else None
            if closing is not None:
                await closing.close()
        elif number in (STDIN, RESIZE) and number in streams and data:
            await streams[number].write(data)


async def serve_tunnel(request: web.BaseRequest, url: str) -> web.StreamResponse:
    """Port-forward for a client that tunnels SPDY in WebSocket messages. Errors: UpgradeRefused, OSError."""
    reader, writer, _ = await upgrade_at(url, [SPDY_FORWARD])
    socket = await open_socket(request, (TUNNEL,))

    async def upstream() -> None:
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                writer.write(message.data)
                await writer.drain()

    async def downstream() -> None:
        while data := await reader.read(PIECE):
            await socket.send_bytes(data)

    await both_ways(upstream, downstream)
    writer.close()
    await socket.close()
    return socket


async def serve_forward(request: web.BaseRequest, url: str, ports: Sequence[int]) -> web.StreamResponse:
    """Port-forward for a WebSocket client of the older kind: two channels per port, data then error, each begun
    by the port's number in two bytes. Errors: UpgradeRefused, OSError, SpdyFailed."""
    reader, writer, _ = await upgrade_at(url, [SPDY_FORWARD])
    async with SpdyConnection(reader, writer) as spdy, Tasks("port-forward") as tasks:
        socket = await open_socket(request, FORWARD_CHANNELS)
        channels = ChannelSocket(socket)
        data: dict[int, SpdyStream] = {}
        pumps: list[asyncio.Task[int]] = []
        for place, port in enumerate(ports):
            names = {"port": str(port), "requestid": str(place)}
            error = await spdy.open({"streamtype": "error", **names})
            data[2 * place] = await spdy.open({"streamtype": "data", **names})
            for number, stream in ((2 * place, data[2 * place]), (2 * place + 1, error)):
                await channels.send(number, port.to_bytes(2, "little"))
                pumps.append(tasks.spawn(_pump_out(channels, number, stream), f"{port}/{number}"))

        async def downstream() -> None:
            await asyncio.wait(pumps)

        async def upstream() -> None:
            while message := await channels.receive():
                number, chunk = message
                if number in data and chunk:
                    await data[number].write(chunk)

        await both_ways(downstream, upstream)  # it ends when every port has, or the client leaves
        await socket.close()
        return socket


def tunnels(request: web.BaseRequest) -> bool:
    """Whether a WebSocket client offers to tunnel SPDY."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return TUNNEL in (name.strip() for name in offered.split(","))
