"""Upgraded connections: exec, attach, port-forward and proxied WebSockets, as bytes between client and backend.

The backend is asked first; only once it has answered 101 is the client's connection taken from the HTTP server,
and from then on bytes pass both ways unread, whichever protocol it is (SPDY/3.1 or WebSocket). Any other answer
becomes an ordinary response. Redirects are not followed, credentials of the client are not passed on.
"""

import asyncio
import ssl
from collections.abc import Iterable

from aiohttp import web

from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.dialing import dial_words
from minikube_py.apiserver.targets import Target
from minikube_py.errors import ApiError, InternalError

CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 60.0
MAX_HEAD = 64 * 1024
MAX_REFUSAL = 64 * 1024
"""Bytes of the body of an answer other than 101 that the client is shown."""
PIECE = 64 * 1024
DROPPED = frozenset(
    (
        "authorization",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
    )
)
"""Headers that are between the client and this server only."""
IDENTITY = ("impersonate-", "x-remote-user", "x-remote-group", "x-remote-uid", "x-remote-extra-")
"""How the headers begin that say who asks."""


def is_upgrade(request: web.BaseRequest) -> bool:
    """Whether the client asks for another protocol on its connection."""
    return "upgrade" in request.headers.get("Connection", "").lower() and "Upgrade" in request.headers


def passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that a backend may see: none that says who asks, which is not the client's to say."""
    return [
        (name, value)
        for name, value in headers
        if (lower := name.lower()) not in DROPPED and not lower.startswith(IDENTITY)
    ]


class _TakenOver(asyncio.StreamReaderProtocol):
    """The client's connection after the HTTP server has let go of it; tells the server of its end."""

    def __init__(self, reader: asyncio.StreamReader, server: asyncio.Protocol) -> None:
        super().__init__(reader)
        self._server = server

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.connection_lost(exc)


class Streams:
    """Opens upgraded connections to backends."""

    def __init__(self, kubelet_tls: ssl.SSLContext) -> None:
        self._kubelet_tls = kubelet_tls
        self._pod_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loads no authorities: none are asked
        self._pod_tls.check_hostname = False
        self._pod_tls.verify_mode = ssl.CERT_NONE  # pods' certificates are their own; as in Kubernetes

    def tls_for(self, target: Target) -> ssl.SSLContext | None:
        """How to speak TLS to the target, None for plain HTTP."""
        if target.scheme != "https":
            return None
        return target.tls or (self._kubelet_tls if target.is_kubelet else self._pod_tls)

    async def answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Connect the client with the target until either ends. Errors: InternalError where the backend
        does not answer; its own refusal as a response or ApiError."""
        reader, writer = await self._connect(target)
        try:
            writer.write(_request_head(request, target))
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            code = _status_code(head)
            if code != 101:
                return await _refusal(head, code, reader)
            await _tunnel(request, head, (reader, writer))
            return web.Response()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            raise InternalError(f"error dialing backend: {_words(error)}") from error
        finally:
            writer.close()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(
                    target.host,
                    target.port,
                    ssl=self.tls_for(target),
                    server_hostname=target.server_name or None,
                    limit=MAX_HEAD,
                )
        except OSError as error:
            why = dial_words(error, target.host, target.port, target.server_name)
            raise InternalError(f"error dialing backend: {why}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _request_head(request: web.BaseRequest, target: Target) -> bytes:
    lines = [f"{request.method} {target.path} HTTP/1.1", f"Host: {target.authority}"]
    own = {name.lower() for name, _ in target.headers}
    sent = [(name, value) for name, value in passed_on(request.headers.items()) if name.lower() not in own]
    lines += [f"{name}: {value}" for name, value in (*sent, *target.headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _status_code(head: bytes) -> int:
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1][:3].isdigit():
        raise InternalError("error dialing backend: it does not speak HTTP")
    return int(parts[1][:3])


async def _refusal(head: bytes, code: int, reader: asyncio.StreamReader) -> web.StreamResponse:
    """The backend's answer other than 101, as the client's answer."""
    headers = dict(_header_lines(head))
    length = headers.get("content-length", "")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if length.isdigit():
                body = await reader.readexactly(min(int(length), MAX_REFUSAL))
            else:
                body = await reader.read(MAX_REFUSAL)
    except asyncio.IncompleteReadError as error:
        body = error.partial
    if 300 <= code < 400:
        raise InternalError(f"the backend answered with a redirect ({code}), which is not followed")
    type = headers.get("content-type", "text/plain")
    return web.Response(body=body, status=code, headers={"Content-Type": type})


def _header_lines(head: bytes) -> Iterable[tuple[str, str]]:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


async def _tunnel(
    request: web.BaseRequest, head: bytes, backend: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Take the client's connection and pass bytes both ways until one side ends."""
    transport = request.transport
    if transport is None:
        return
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=PIECE, loop=loop)
    protocol = _TakenOver(reader, request.protocol)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not transport.is_reading():
        transport.resume_reading()
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(head)
    async with Tasks("stream") as tasks:
        there = tasks.spawn(_pass(reader, backend[1]), "client to backend")
        back = tasks.spawn(_pass(backend[0], writer), "backend to client")
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        if there.done() and not back.done():
            backend[1].close()
    writer.close()
    await writer.wait_closed()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(PIECE):
            sink.write(data)
            await sink.drain()
    except (OSError, ApiError):
        return
