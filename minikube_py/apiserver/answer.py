"""Answer: a response in JSON that is there as a whole; its head and body leave in one write.

It is a `web.Response` like any other. Where nothing is peculiar about it (no header of its own, HTTP/1.1, a
connection that stays open, no HEAD) its head is put together from lines that are made already, and aiohttp's
writer is passed by.
"""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from minikube_py.apiserver.incoming import Incoming

BASE = CIMultiDict({"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
"""The headers of every answer in JSON."""
_HEAD = (
    b"HTTP/1.1 %b\r\nAudit-Id: %b\r\nCache-Control: no-cache, private\r\nContent-Type: application/json\r\n"
    b"%bDate: %b\r\nContent-Length: %d\r\n\r\n"
)
JOINED = 16 * 1024
"""Bytes up to which a body is copied behind its head: a TLS record holds as many, and two cost more."""
_PHRASES = {
    int(status): f"{status.value} {status.phrase}".encode()
    for status in HTTPStatus
    if status >= 200 and status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
}
"""The codes of answers with a body, as they are told."""


class Answer(web.Response):
    """Encoded JSON."""

    is_plain = True
    """Whether it has no headers but BASE."""
    _sent = False

    def __init__(self, body: bytes, code: int = 200) -> None:
        super().__init__(body=body, status=code, headers=BASE)

    @property
    def headers(self) -> CIMultiDict[str]:
        """Its headers, for who has to add some."""
        self.is_plain = False
        return super().headers

    @property
    def prepared(self) -> bool:
        return self._sent or super().prepared

    @property
    def keep_alive(self) -> bool | None:
        return True if self._sent else super().keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it, where nothing is peculiar about it, or the head of it. Errors: ConnectionError."""
        if self._sent:
            return None
        phrase = _PHRASES.get(self.status)
        if not (
            self.is_plain
            and phrase is not None
            and isinstance(request, Incoming)
            and request.audit_id
            and request.method != "HEAD"
            and request.version == HttpVersion11
            and request.keep_alive
            and super().keep_alive is None
        ):
            return await super().prepare(request)
        if request.begun is not None:
            request.begun(self.status)
        self._sent = True
        await _send(request, phrase, self._body)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send what is left of it. Errors: ConnectionError."""
        if not self._sent:
            await super().write_eof(data)


async def _send(request: Incoming, phrase: bytes, body: Any) -> None:
    transport, writer = request.transport, request.writer
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    audit_id, lines = request.audit_id.encode(), request.added.lines
    head = _HEAD % (phrase, audit_id, lines, _date(int(time())), len(body))
    writer.output_size += len(head) + len(body)
    if len(body) <= JOINED:
        transport.write(head + body)
    else:
        transport.writelines((head, body))
    if request.protocol.writing_paused:
        await writer.drain()


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """The value of the Date header."""
    return formatdate(second, usegmt=True).encode()
