"""The bodies of lists, made of the entries' own bytes where the client asks for the objects themselves.

Whatever form is asked for, no step holds up the loop: rows are made some hundred at a time, indented JSON and
YAML in a thread, large bodies are written in pieces with turns between them. Above 128 KiB a client that
accepts gzip gets it, compressed in a thread.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from minikube_py.apiserver import responses, table
from minikube_py.apiserver.answer import BASE
from minikube_py.meta import yaml
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import Listing

GZIP_FROM = 128 * 1024
"""Bytes from which a body is compressed, as in Kubernetes."""
PIECE = 256 * 1024
"""Bytes of a large list that are joined and written at once: TLS copies larger ones several times."""
TURN = 8
"""Pieces written before the loop may turn."""
ROWS_SECONDS = 0.02
"""For how long rows are made before the loop may turn."""


class ListBody:
    """A list of encoded items between `head`, which opens the array, and `tail`, joined in pieces."""

    def __init__(self, head: bytes, items: Sequence[bytes], tail: bytes = b"]}\n", joint: bytes = b",") -> None:
        self.head, self.items, self.tail, self._joint = head, items, tail, joint
        self._parts = [*items] or [b""]
        self._parts[0] = head + self._parts[0]
        self._parts[-1] += tail
        self.size = sum(map(len, self._parts)) + len(joint) * (len(self._parts) - 1)

    def whole(self) -> bytes:
        """The list in one."""
        return self._joint.join(self._parts)

    def pieces(self) -> Iterator[bytes]:
        """The list in pieces of at least `PIECE` bytes (the last one excepted)."""
        batch: list[bytes] = []
        size = 0
        for part in self._parts:
            if size >= PIECE:
                batch.append(b"")
                yield self._joint.join(batch)
                batch, size = [], 0
            batch.append(part)
            size += len(part)
        yield self._joint.join(batch)


def metadata_of(listing: Listing) -> dict[str, Any]:
    """The ListMeta of a listing."""
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
        if listing.remaining:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


def objects(kind: Kind, listing: Listing) -> ListBody:
    """The objects themselves."""
    head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata_of(listing)}
    return ListBody(orjson.dumps(head)[:-1] + b',"items":[', [entry.data for entry in listing.entries])


async def partial(listing: Listing) -> ListBody:
    """A PartialObjectMetadataList."""
    head = {
        "kind": "PartialObjectMetadataList",
        "apiVersion": table.GROUP_VERSION,
        "metadata": metadata_of(listing),
    }
    return ListBody(
        orjson.dumps(head)[:-1] + b',"items":[', await in_turns(listing.entries, table.render_metadata)
    )


async def rows(kind: Kind, listing: Listing, now: datetime, include: str) -> ListBody:
    """A Table; `include` (None, Metadata, Object) says what each row carries."""
    made = await in_turns(listing.entries, table.rows_of(kind, now, include))
    return ListBody(table.head(kind, metadata_of(listing)), made)


async def in_turns(items: Sequence[Any], made: Callable[[Any], bytes]) -> list[bytes]:
    """What `made` makes of each item; the loop may turn meanwhile."""
    found: list[bytes] = []
    until = time.monotonic() + ROWS_SECONDS
    for item in items:
        found.append(made(item))
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + ROWS_SECONDS
    return found


def indented(body: ListBody) -> ListBody:
    """The same list as people read it, for a thread: each item alone holds up the interpreter."""
    if not body.items:
        return ListBody(responses.indented(body.whole()), (), b"")
    shell = responses.indented(body.head + body.tail)
    items = [b"\n    " + responses.indented(item).replace(b"\n", b"\n    ") for item in body.items]
    return ListBody(shell.removesuffix(b"]\n}"), items, b"\n  ]\n}")


def as_yaml(body: ListBody) -> str:
    """The same list as YAML, for a thread."""
    value = orjson.loads(body.head + body.tail)
    value[next(reversed(value))] = [orjson.loads(item) for item in body.items]
    return yaml.dump(value)


async def send(request: web.BaseRequest, body: ListBody) -> web.StreamResponse:
    """A list in JSON: compressed where it is large and the client takes it, else piece by piece."""
    if body.size > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        return await responses.compressed(body.pieces())
    if body.size <= PIECE:
        return responses.json_bytes(body.whole())
    streamed = web.StreamResponse(headers=BASE)
    streamed.content_length = body.size
    await streamed.prepare(request)
    for number, piece in enumerate(body.pieces()):
        await streamed.write(piece)
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
    return streamed
