"""Plain HTTP to backends: container logs from kubelets, and the proxy subresource of nodes, pods and services.

Bodies are streamed both ways; redirects are given to the client as they are, never followed.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

from minikube_py.apiserver.call import Call
from minikube_py.apiserver.streams import Streams, is_upgrade, passed_on
from minikube_py.apiserver.targets import Target, Targets
from minikube_py.errors import ApiError, BadRequest, InternalError, NotFound

STREAMED = frozenset(("exec", "attach", "portforward"))
_RESPONSE_DROPPED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "date", "server", "content-length")
)
PIECE = 64 * 1024


class Proxy:
    """Answers log, exec, attach, portforward and proxy requests."""

    def __init__(self, targets: Targets, streams: Streams) -> None:
        self._targets = targets
        self._streams = streams
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session

    async def close(self) -> None:
        """Close idle connections to backends."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def log(self, call: Call) -> web.StreamResponse:
        """A container's log as the kubelet gives it. Errors: NotFound, BadRequest, InternalError."""
        target = self._targets.stream(call.info.namespace, call.info.name, "log", call.query)
        return await self._pass(call.request, target, "GET")

    async def stream(self, call: Call) -> web.StreamResponse:
        """exec, attach or portforward. Errors: NotFound, BadRequest, InternalError."""
        info = call.info
        target = self._targets.stream(info.namespace, info.name, info.subresource, call.query)
        if not is_upgrade(call.request):
            raise BadRequest("Upgrade request required")
        return await self._streams.answer(call.request, target)

    async def proxy(self, call: Call) -> web.StreamResponse:
        """The proxy subresource. Errors: NotFound, BadRequest, ServiceUnavailable."""
        info = call.info
        _, mark, query = call.request.raw_path.partition("?")
        path = (info.rest or "/") + mark + query
        target = self._targets.proxied(info.resource, info.namespace, info.name, path)
        if is_upgrade(call.request):
            return await self._streams.answer(call.request, target)
        return await self._pass(call.request, target, call.request.method)

    async def _pass(self, request: web.BaseRequest, target: Target, method: str) -> web.StreamResponse:
        is_log = target.is_kubelet and target.path.startswith("/containerLogs/")
        headers = [] if is_log else passed_on(request.headers.items())
        headers = [(name, value) for name, value in headers if name.lower() not in ("connection", "upgrade")]
        try:
            answer = await self._client().request(
                method,
                URL(target.url, encoded=True),
                headers=headers,
                data=_body(request) if request.body_exists and not is_log else None,
                ssl=self._streams.tls_for(target) or True,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise InternalError(f"error trying to reach service: {error}") from error
        async with answer:
            if is_log and answer.status >= 400:
                raise await _kubelet_refusal(answer)
            return await _relay(request, answer, is_log=is_log)


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_any():
        yield piece


async def _kubelet_refusal(answer: aiohttp.ClientResponse) -> ApiError:
    """The kubelet's refusal of a log: its text is the message."""
    text = (await answer.content.read(4096)).decode(errors="replace").strip()
    if answer.status == 400:
        return BadRequest(text)
    if answer.status == 404:
        return NotFound(text or "the server could not find the requested resource")
    return InternalError(f"an error on the server ({text!r}) has prevented the request from succeeding")


async def _relay(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, *, is_log: bool
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _RESPONSE_DROPPED:
            response.headers.add(name, value)
    if is_log:
        response.headers["Content-Type"] = "text/plain"
    length = answer.headers.get("Content-Length", "")
    if length.isdigit():
        response.content_length = int(length)
    elif request.version >= aiohttp.HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except ConnectionError:
        return response  # the client is gone
    except (aiohttp.ClientError, asyncio.IncompleteReadError):
        response.force_close()
        if request.transport is not None:
            request.transport.abort()  # half an answer must not look like a whole one
    return response
