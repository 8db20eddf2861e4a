"""One HTTP/1.1 request over a connection of its own, of whose answer's body only the beginning is read.

No library, no stream objects: a probe is asked for every second in every pod, and this costs half of what a
reader and a writer do.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import cast

from minikube_py.kubelet.kuberuntime.environment import quoted

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 10 * 1024
SWITCHING = 101
WITHOUT_BODY = frozenset((SWITCHING, 204, 304))
BROKEN = "net/http: HTTP/1.x transport connection broken"
HEADERS = re.compile(rb"\r\n(content-length|transfer-encoding|location):[ \t]*([^\r]*)", re.I)
VERSION = re.compile(r"HTTP/\d\.\d")
CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response: its status, the target of a redirect, and the beginning of its body."""

    status: int
    location: str = ""
    body: str = ""


class BodyLost(Exception):
    """An answer had begun, and its body did not come to its end; in Go's words."""


@dataclass(slots=True)
class Progress:
    """How far a request has come: whether the head of its answer is there."""

    has_head: bool = False


def endpoint(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def exchange(
    request: bytes, host: str, port: int, tls: ssl.SSLContext | None, progress: Progress
) -> HttpAnswer:
    """The answer to a request. Errors: OSError, ValueError where what came is no HTTP, BodyLost."""
    call = _Exchange(request, progress)
    await asyncio.get_running_loop().create_connection(lambda: call, host, port, ssl=tls)
    try:
        return await call.answer
    finally:
        call.close()


def read_answer(data: bytes, *, ended: bool, progress: Progress | None = None) -> HttpAnswer | None:
    """What the beginning of an answer says; None where more must come. Errors: ValueError, BodyLost."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        if b"\n" in head:
            _status_of(head)
        if ended or len(data) > HEAD_LIMIT:
            raise ValueError(f"{BROKEN}: unexpected EOF" if data else "EOF")
        return None
    status = _status_of(head)
    if 100 <= status < 200 and status != SWITCHING:
        return read_answer(body, ended=ended, progress=progress)
    if progress is not None:
        progress.has_head = True
    fields = {name.lower(): value.strip() for name, value in HEADERS.findall(head)}
    content = b"" if status in WITHOUT_BODY else _body_of(fields, body, ended=ended)
    if content is None:
        return None
    target = fields.get(b"location", b"").decode("latin-1")
    return HttpAnswer(status, target, content.decode(errors="replace") if 300 <= status < 400 else "")


def _status_of(head: bytes) -> int:
    """The status in the first line of an answer. Errors: ValueError in Go's words."""
    line = head.partition(b"\n")[0].rstrip(b"\r").decode("latin-1")
    version, separator, rest = line.partition(" ")
    code = rest.lstrip(" ").partition(" ")[0]
    if not separator:
        raise ValueError(f"{BROKEN}: malformed HTTP response {quoted(line)}")
    if len(code) != 3 or not code.isdecimal():
        raise ValueError(f"{BROKEN}: malformed HTTP status code {quoted(code)}")
    if not VERSION.fullmatch(version):
        raise ValueError(f"{BROKEN}: malformed HTTP version {quoted(version)}")
    return int(code)


def _body_of(fields: dict[bytes, bytes], body: bytes, *, ended: bool) -> bytes | None:
    """The beginning of a body that is there to its end or limit, else None. Errors: BodyLost."""
    length = fields.get(b"content-length", b"")
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        content, is_whole = _unchunked(body)
    elif length.isdigit():
        content, is_whole = body[: int(length)], len(body) >= int(length)
    else:
        content, is_whole = body, ended
    if is_whole or len(content) >= BODY_LIMIT:
        return content[:BODY_LIMIT]
    if ended:
        raise BodyLost("unexpected EOF")
    return None


def _unchunked(body: bytes) -> tuple[bytes, bool]:
    """What came of a body in chunks, and whether that is all of it."""
    content, position = b"", 0
    while len(content) < BODY_LIMIT and (size := CHUNK.match(body, position)):
        length, begin = int(size[1], 16), size.end()
        if length == 0:
            return content, True
        content += body[begin : begin + length]
        position = begin + length + 2
    return content, False


class _Exchange(asyncio.Protocol):
    """A connection that sends `request`; `answer` is its answer, or the error."""

    def __init__(self, request: bytes, progress: Progress) -> None:
        self._request, self._data, self._progress = request, b"", progress
        self.answer: asyncio.Future[HttpAnswer] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._look(ended=False)

    def eof_received(self) -> None:
        self._look(ended=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.answer.done():
            error = self._in_words(exc)
            self.answer.set_exception(BodyLost(str(error)) if self._progress.has_head else error)
        self._look(ended=True)

    def _in_words(self, error: Exception) -> Exception:
        """A connection that broke off after it had come about, in Go's words."""
        if self._transport is None or not isinstance(error, ConnectionResetError) or not error.errno:
            return error
        ends = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        between = "->".join(endpoint(*end[:2]) for end in ends if end)
        return ValueError(f"read tcp {between}: read: connection reset by peer")

    def _look(self, *, ended: bool) -> None:
        if self.answer.done():
            return
        try:
            answer = read_answer(self._data, ended=ended, progress=self._progress)
        except (ValueError, BodyLost) as error:
            self.answer.set_exception(error)
            return
        if answer is not None:
            self.answer.set_result(answer)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
        self.answer.cancel()
