"""What exec and attach cannot do, told to clients of WebSocket protocol v5 on the stream itself.

kube-apiserver accepts such a client before it asks the kubelet, by SPDY, so that a refusal comes as a Status on
the error channel. Clients of other protocols are answered by the kubelet, before any stream is there.
"""

import asyncio
import contextlib

import orjson
from aiohttp import web

PROTOCOL = "v5.channel.k8s.io"
ERROR = b"\x03"
READY = 0.1  # seconds that clients take to make their side of the error channel; what comes before is lost


def takes_status(request: web.BaseRequest) -> bool:
    """Whether the client is a WebSocket that knows version 5."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
    return is_socket and PROTOCOL in (name.strip() for name in offered)


def refusal_of(body: bytes) -> bytes:
    """The Status of a kubelet's answer: its own, or its words in one."""
    with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
        if orjson.loads(body).get("kind") == "Status":
            return body
    return internal_error(f"unable to upgrade connection: {body.decode(errors='replace').strip()}")


def internal_error(why: str) -> bytes:
    """The Status of an error that no API object is to blame for."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {why}",
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    }
    return orjson.dumps(status)


async def tell(request: web.BaseRequest, status: bytes) -> web.StreamResponse:
    """Accept the client, tell it the Status, and say goodbye."""
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), compress=False)
    await socket.prepare(request)
    await asyncio.sleep(READY)
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(ERROR + status)
        await socket.close()
    return socket
