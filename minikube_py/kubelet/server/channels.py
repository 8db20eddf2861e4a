"""Channels: a WebSocket whose messages begin with the number of a stream (KEP-4006, and the protocols before).

Version 5 can close one channel; version 4 tells by a Status how a command ended; before it the error channel
carried words, and so it is where no protocol is named.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence

import orjson
from aiohttp import WSMsgType, web

from minikube_py.kubelet.server.upgrade import UpgradeRefused

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
OLD_CHANNELS = ("channel.k8s.io", "base64.channel.k8s.io")
CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", *OLD_CHANNELS)
MAX_MESSAGE = 16 << 20  # bytes


class ChannelSocket:
    """A WebSocket whose messages begin with a channel number."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        protocol = socket.ws_protocol or ""
        self._base64 = "base64" in protocol
        self.can_close = protocol.startswith("v5.")
        self._plain_errors = protocol in ("", *OLD_CHANNELS)

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
                return data[0], data[1:]  # clients may send the channels of a binary protocol as text
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            return None


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
