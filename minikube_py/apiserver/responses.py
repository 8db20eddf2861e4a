"""Responses over bytes that are stored already: nothing is decoded or encoded to be passed on.

Large lists are written in pieces, so that the loop turns between them; above 128 KiB a client that accepts gzip
gets it, compressed in a thread.
"""

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from minikube_py.apiserver import status
from minikube_py.errors import ApiError
from minikube_py.meta import yaml
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import Listing

GZIP_FROM = 128 * 1024
"""Bytes from which a body is compressed, as in Kubernetes."""
PIECE = 256 * 1024
"""Bytes of a large list that are joined and written at once: TLS copies larger ones several times."""
TURN = 16
"""Pieces written before the loop may turn."""
_BASE = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


def json_bytes(body: bytes, code: int = 200) -> web.Response:
    """A response of encoded JSON."""
    return web.Response(body=body, status=code, headers=CIMultiDict(_BASE))


def json_object(value: Any, code: int = 200) -> web.Response:
    """A response of an object that is not stored."""
    return json_bytes(orjson.dumps(value), code)


def indented(body: bytes) -> bytes:
    """Encoded JSON as people read it."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)


def yaml_bytes(body: bytes, code: int = 200) -> web.Response:
    """A response of encoded JSON, given as YAML."""
    headers = _BASE | {"Content-Type": "application/yaml"}
    return web.Response(body=yaml.dump(orjson.loads(body)).encode(), status=code, headers=headers)


def plain(text: str, code: int = 200) -> web.Response:
    """A response of plain text."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}
    return web.Response(text=text, status=code, headers=headers)


def failure(error: ApiError) -> web.Response:
    """The `Status` of an error as a response."""
    response = json_bytes(status.body(error), error.code)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes-master"'
    if error.code == 413:
        response.force_close()  # the rest of the body is not waited for
    return response


def add_warnings(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Show `warnings` to the client, once each, as RFC 7234 Warning headers."""
    for text in dict.fromkeys(warnings):
        quoted = "".join(c for c in text if c.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


def list_head(kind: Kind, listing: Listing) -> bytes:
    """A list's JSON up to and including the bracket that opens `items`."""
    head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": list_metadata(listing)}
    return orjson.dumps(head)[:-1] + b',"items":['


def list_metadata(listing: Listing) -> dict[str, Any]:
    """The ListMeta of a listing."""
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
        if listing.remaining:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


class ListBody:
    """A list made of the entries' own bytes, given as pieces that are joined when their turn comes."""

    def __init__(self, kind: Kind, listing: Listing) -> None:
        head = list_head(kind, listing)
        self._items = [entry.data for entry in listing.entries] or [b""]
        self._items[0] = head + self._items[0]
        self._items[-1] += b"]}\n"
        self.size = sum(map(len, self._items)) + len(self._items) - 1

    def whole(self) -> bytes:
        """The list in one."""
        return b",".join(self._items)

    def pieces(self) -> Iterator[bytes]:
        """The list in pieces of at least `PIECE` bytes (the last one excepted)."""
        batch: list[bytes] = []
        size = 0
        for item in self._items:
            if size >= PIECE:
                batch.append(b"")
                yield b",".join(batch)
                batch, size = [], 0
            batch.append(item)
            size += len(item)
        yield b",".join(batch)


async def send_list(request: web.BaseRequest, body: ListBody) -> web.StreamResponse:
    """A list: compressed where it is large and the client takes it, else piece by piece."""
    if body.size > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        return await _compressed(body.pieces())
    if body.size <= PIECE:
        return json_bytes(body.whole())
    streamed = web.StreamResponse(headers=_BASE)
    streamed.content_length = body.size
    await streamed.prepare(request)
    for number, piece in enumerate(body.pieces()):
        await streamed.write(piece)
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
    return streamed


async def send(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """A JSON body: compressed where it is large and the client takes it."""
    if len(body) > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        return await _compressed([body])
    return json_bytes(body)


async def _compressed(pieces: Iterable[bytes]) -> web.StreamResponse:
    response = json_bytes(await asyncio.to_thread(gzip, pieces))
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def gzip(pieces: Iterable[bytes]) -> bytes:
    """The pieces as one gzip member, at the fastest level."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])
