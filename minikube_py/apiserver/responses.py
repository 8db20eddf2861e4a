"""Responses over bytes that are stored already: nothing is decoded or encoded to be passed on."""

import asyncio
import re
import zlib
from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web

from minikube_py.apiserver import status
from minikube_py.apiserver.answer import BASE, Answer
from minikube_py.errors import ApiError
from minikube_py.meta import yaml


def json_bytes(body: bytes, code: int = 200) -> web.Response:
    """A response of encoded JSON."""
    return Answer(body, code)


def json_object(value: Any, code: int = 200) -> web.Response:
    """A response of an object that is not stored."""
    return json_bytes(orjson.dumps(value), code)


def indented(body: bytes) -> bytes:
    """Encoded JSON as people read it."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)


def yaml_bytes(body: bytes, code: int = 200) -> web.Response:
    """A response of encoded JSON, given as YAML."""
    return yaml_text(yaml.dump(orjson.loads(body)), code)


def yaml_text(text: str, code: int = 200) -> web.Response:
    """A response of YAML."""
    headers = {**BASE, "Content-Type": "application/yaml"}
    return web.Response(body=text.encode(), status=code, headers=headers)


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
    """Show `warnings` to the client, once each, as RFC 7234 Warning headers. Where they are long all are cut;
    one with control characters, a line break say, is not shown, as in Kubernetes."""
    found = [text for text in dict.fromkeys(warnings) if text and not _CONTROL.search(text)]
    if sum(map(len, found)) > WARNINGS_LENGTH:
        found = [text[:WARNING_LENGTH] for text in found][: -(-WARNINGS_LENGTH // WARNING_LENGTH)]
    for text in found:
        quoted = text.encode(errors="replace").decode().replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


WARNINGS_LENGTH, WARNING_LENGTH = 4096, 256
"""Characters of all warnings together from which each has no more than ..."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


async def compressed(pieces: Iterable[bytes]) -> web.StreamResponse:
    """A JSON body, given in pieces, that is compressed in a thread."""
    response = json_bytes(await asyncio.to_thread(gzip, pieces))
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def gzip(pieces: Iterable[bytes]) -> bytes:
    """The pieces as one gzip member, at the fastest level."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])
