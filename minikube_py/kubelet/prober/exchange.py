"""One HTTP/1.1 request over a connection of its own, of whose answer only the beginning is read.

No library, no stream objects: a probe is asked for every second in every pod, and this costs half of what a
reader and a writer do.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import cast

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 10 * 1024
SWITCHING, NOT_MODIFIED = 101, 304


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response: its status, the target of a redirect, and the beginning of its body."""

    status: int
    location: str = ""
    body: str = ""


def endpoint(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def exchange(request: bytes, host: str, port: int, tls: ssl.SSLContext | None = None) -> HttpAnswer:
    """The answer to a request. Errors: OSError, ValueError where what came is no HTTP."""
    call = _Exchange(request)
    await asyncio.get_running_loop().create_connection(lambda: call, host, port, ssl=tls)
    try:
        return await call.answer
    finally:
        call.close()


def read_answer(data: bytes, *, ended: bool) -> HttpAnswer | None:
    """What the beginning of an answer says; None where more must come. Only one that leads elsewhere is worth
    the beginning of its body. Errors: ValueError."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        if ended or len(data) > HEAD_LIMIT:
            raise ValueError("EOF")
        return None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        broken = "net/http: HTTP/1.x transport connection broken"
        raise ValueError(f'{broken}: malformed HTTP response "{lines[0][:80]}"')
    status = int(words[1])
    if 100 <= status < 200 and status != SWITCHING:
        return read_answer(body, ended=ended)
    if not 300 <= status < 400:
        return HttpAnswer(status)
    fields = {name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in lines[1:])}
    length = fields.get("content-length", "")
    wanted = min(int(length), BODY_LIMIT) if length.isdigit() else status != NOT_MODIFIED
    if len(body) < wanted and not ended:
        return None
    return HttpAnswer(status, fields.get("location", ""), body[:BODY_LIMIT].decode(errors="replace"))


class _Exchange(asyncio.Protocol):
    """A connection that sends `request`; `answer` is its answer, or the error."""

    def __init__(self, request: bytes) -> None:
        self._request, self._data = request, b""
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
            self.answer.set_exception(self._in_words(exc))
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
            answer = read_answer(self._data, ended=ended)
        except ValueError as error:
            self.answer.set_exception(error)
            return
        if answer is not None:
            self.answer.set_result(answer)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
        self.answer.cancel()
