"""Incoming: aiohttp's request, with what its connection is known for and what is added to its response.

What does not change from one request of a connection to the next is found out once: who its certificate names,
and what its headers say, since most clients send the same ones each time.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict, CIMultiDictProxy

if TYPE_CHECKING:  # it tells of users, and so of requests
    from minikube_py.apiserver.authn import Peer

Fields = tuple[tuple[bytes, bytes], ...]
"""The header fields of a request as they were sent."""


class Heading(NamedTuple):
    """The headers of a request, and what every request is asked of them."""

    fields: Fields
    headers: CIMultiDictProxy[str]
    is_text: bool
    """Whether `headers` are as they were sent, and not freed of what is no text."""
    impersonates: bool
    accept: str
    agent: str
    audit_id: str
    """The one that the client chose; empty where it chose none."""


def heading_of(fields: Fields, sent: CIMultiDictProxy[str]) -> Heading:
    """What the header fields say, which aiohttp has read as `sent`."""
    is_text = all(value.isascii() for _, value in fields)
    headers = sent if is_text else readable(sent)
    return Heading(
        fields,
        headers,
        is_text,
        any(name[:12].lower() == b"impersonate-" for name, _ in fields),
        headers.get("Accept", ""),
        headers.get("User-Agent", ""),
        headers.get("Audit-ID", ""),
    )


def readable(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """The headers with what is no UTF-8 replaced, as in Kubernetes: it could be neither stored nor logged."""
    raw = ((name, value.encode("utf-8", "surrogateescape")) for name, value in headers.items())
    return CIMultiDictProxy(CIMultiDict((name, value.decode("utf-8", "replace")) for name, value in raw))


_NO_HEADING = heading_of((), CIMultiDictProxy(CIMultiDict()))


@dataclass(slots=True, eq=False)
class Known:
    """What is known of a connection."""

    heading: Heading = _NO_HEADING
    """That of its last request."""
    peer: "Peer | None" = None
    """What its client certificate stands for, once that was looked at."""
    is_bare: bool = False
    """Whether it was looked for a client certificate in vain."""


class Added(NamedTuple):
    """Headers that many responses share, with the lines that they are."""

    headers: Mapping[str, str]
    lines: bytes


def added(headers: Mapping[str, str]) -> Added:
    """Headers to be shared."""
    return Added(headers, "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode())


NONE_ADDED = added({})


class Incoming(web.BaseRequest):
    """A request on its way. Its response, whoever makes it, is given `audit_id` and the headers `added`;
    `received` is its body once it was read; `begun` is called before the response's first byte is sent, with
    its code."""

    heading: Heading
    known: Known
    audit_id: str = ""
    added: Added = NONE_ADDED
    received: bytes = b""
    begun: Callable[[int], None] | None = None

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        headers = response.headers
        if headers.get("Server") == SERVER_SOFTWARE:
            del headers["Server"]  # Kubernetes names no software
        if self.audit_id:
            headers["Audit-Id"] = self.audit_id
            headers.update(self.added.headers)
        if self.begun is not None:
            self.begun(response.status)


def incoming(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Incoming:
    """aiohttp's parts of a request as one, on a connection that has something `known`."""
    known: Known = protocol.known
    heading = known.heading
    if heading.fields != message.raw_headers:
        heading = known.heading = heading_of(message.raw_headers, message.headers)
    if not heading.is_text:
        message = message._replace(headers=heading.headers)
    made = Incoming(message, payload, protocol, writer, task, asyncio.get_running_loop())
    made.heading, made.known = heading, known
    return made
