"""The client's end of a remote command, and the WebSocket kind of it: messages begin with the number of a
stream (KEP-4006, and the protocols before).

Version 5 can close one channel; version 4 tells by a Status how a command ended; before it the error channel
carried words, and so it is where no protocol is named.
"""

import asyncio
import contextlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from aiohttp import WSMsgType, web

from minikube_py.kubelet.server.upgrade import UpgradeRefused

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
OLD_CHANNELS = ("channel.k8s.io", "base64.channel.k8s.io")
CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", *OLD_CHANNELS)
MAX_MESSAGE = 16 << 20  # bytes
GREETING = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asks for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:
        """The numbers of the output streams."""
        return tuple(n for n, on in ((STDOUT, self.stdout), (STDERR, self.stderr and not self.tty)) if on)


class CommandClient(Protocol):
    """A client of exec or attach, by whichever protocol. Errors of all: ConnectionError."""

    async def greet(self) -> None:
        """Tell the client that its streams are there."""

    async def receive(self) -> tuple[int, bytes] | None:
        """What the client sends: a channel and its data, or CLOSE and the number of the channel that it has
        ended; None once the client has gone."""

    async def send(self, channel: int, data: bytes) -> None: ...
    async def end(self, channel: int) -> None:
        """Nothing more comes on a channel."""

    async def send_status(self, status: bytes) -> None:
        """Tell how the command ended: a Status in JSON."""

    async def close(self) -> None: ...


class ChannelSocket:
    """The CommandClient of a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        protocol = socket.ws_protocol or ""
        self._base64 = "base64" in protocol
        self._can_close = protocol.startswith("v5.")
        self._plain_errors = protocol in ("", *OLD_CHANNELS)

    async def greet(self) -> None:
        """An empty message. Not at once: kubectl up to 1.32 complains of one that comes before it has made its
        side of the stream."""
        await asyncio.sleep(GREETING)
        with contextlib.suppress(ConnectionError):
            await self.send(STDOUT, b"")

    async def end(self, channel: int) -> None:
        """Nothing: the client awaits the Status."""

    async def close(self) -> None:
        """Say goodbye, and wait until the client has, too."""
        await self._socket.close()

    async def send_status(self, status: bytes) -> None:
        """Tell how a command ended: a Status in JSON, or what is wrong in words. Errors: ConnectionError."""
        if self._plain_errors:
            status = failure_of(status).encode()
        if status:
            await self.send(ERROR, status)

    async def send(self, channel: int, data: bytes) -> None:
        """Send data on a channel. Errors: ConnectionError."""
        if self._base64:
            await self._socket.send_str(str(channel) + b64encode(data).decode())
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message; None once the client has closed."""
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT) and message.data:
                data = message.data.encode() if message.type == WSMsgType.TEXT else message.data
                if self._base64:
                    return int(data[:1]), b64decode(data[1:])
                if data[0] != CLOSE or self._can_close:
                    return data[0], data[1:]  # clients may send the channels of a binary protocol as text
            elif message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return None


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client asks for a WebSocket rather than SPDY."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def open_socket(request: web.BaseRequest, protocols: Sequence[str]) -> web.WebSocketResponse:
    """The client's WebSocket. Errors: UpgradeRefused where the client knows none of the protocols."""
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    offered = [name for name in offered if name]
    if offered and not set(offered) & set(protocols):
        raise UpgradeRefused(403, f"requested protocol(s) are not supported: {offered}; supports {protocols}")
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=MAX_MESSAGE, autoclose=True)
    await socket.prepare(request)
    return socket


def failure_of(status: bytes) -> str:
    """What a Status in JSON says is wrong; '' for a success."""
    try:
        told = orjson.loads(status)
        return "" if told.get("status") == "Success" else str(told.get("message", ""))
    except (ValueError, AttributeError):
        return status.decode(errors="replace")
