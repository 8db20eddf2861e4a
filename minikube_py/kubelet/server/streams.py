"""port-forward of the kubelet's server.

A SPDY client is joined with the runtime's streaming server byte by byte, which also ends connections that are
idle for too long. SPDY tunnelled in WebSocket messages (current clients) is unwrapped; a WebSocket client of
the older kind is translated to SPDY streams.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import ChannelSocket, open_socket
from minikube_py.kubelet.server.spdy import SpdyFailed, SpdyStream, spdy_over
from minikube_py.kubelet.server.upgrade import PIECE, PROTOCOL_HEADER, Upgraded, both_ways, relay, upgrade_at

TUNNEL = "SPDY/3.1+portforward.k8s.io"
FORWARD_CHANNELS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
SPDY_FORWARD = "portforward.k8s.io"


async def proxy_spdy(request: web.BaseRequest, url: str) -> web.StreamResponse:
    """Join a SPDY client with a streaming URL. Errors: UpgradeRefused, OSError."""
    asked = request.headers.getall(PROTOCOL_HEADER, [])
    reader, writer, chosen = await upgrade_at(url, asked)
    headers = {"Upgrade": "SPDY/3.1"} | ({PROTOCOL_HEADER: chosen} if chosen else {})
    client = Upgraded(request)
    response = await client.begin(headers)
    await relay(client, reader, writer)
    return response


async def _pump_out(channels: ChannelSocket, number: int, stream: SpdyStream) -> None:
    """Pass a stream on to its end."""
    with contextlib.suppress(SpdyFailed):  # the runtime has dropped it: its end is all that can be told
        while data := await stream.read():
            await channels.send(number, data)


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
    async with spdy_over(reader, writer) as spdy, Tasks("port-forward") as tasks:
        socket = await open_socket(request, FORWARD_CHANNELS)
        channels = ChannelSocket(socket)
        data: dict[int, SpdyStream] = {}
        pumps: list[asyncio.Task[None]] = []
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
