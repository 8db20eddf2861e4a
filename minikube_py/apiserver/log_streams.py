"""The log subresource: what its options may be, and the log as WebSocket messages for who asks for those."""

from base64 import b64encode
from collections.abc import Iterator

import aiohttp
from aiohttp import web

from minikube_py.apiserver.request import Query
from minikube_py.errors import BadRequest
from minikube_py.meta.decoding import query_time
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.violations import forbidden, invalid, invalid_error

OPTIONS = Kind("PodLogOptions", "v1", plural="pods")
"""What a refusal names; it is no stored kind."""
PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")
_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}


def check_options(query: Query, name: str) -> None:
    """Errors: Invalid where an option has a value that makes no sense, BadRequest where it cannot be read."""
    if violations := list(_violations(query)):
        raise invalid_error(OPTIONS, name, violations)


def _violations(query: Query) -> Iterator[Violation]:
    numbers = {key: _number(key, query[key][0]) for key in _LEAST if query.get(key) and query[key][0]}
    since = _since(query)
    both = "sinceSeconds" in numbers and bool(since)
    for key, value in numbers.items():
        if value < _LEAST[key] and not (both and key == "sinceSeconds"):
            yield invalid(key, value, f"must be greater than {'' if _LEAST[key] else 'or equal to '}0")
    if both:
        yield forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    if "stream" in query:  # its feature is off in v1.34
        yield forbidden("stream", "may not be specified")


def _since(query: Query) -> str:
    text = (query.get("sinceTime") or ("",))[0]
    try:
        return query_time(text) if text else ""
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client asks for WebSocket messages."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def as_messages(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """A backend's answer as messages: bytes, or base64 text; an empty one comes first."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, compress=False)
    await socket.prepare(request)
    is_text = "base64" in (socket.ws_protocol or "")
    try:
        await (socket.send_str("") if is_text else socket.send_bytes(b""))
        async for piece in answer.content.iter_any():
            await (socket.send_str(b64encode(piece).decode()) if is_text else socket.send_bytes(piece))
        await socket.close()
    except (ConnectionError, aiohttp.ClientError):
        return socket  # the client, or the kubelet, is gone
    return socket
