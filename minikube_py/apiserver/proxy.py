"""Plain HTTP to backends: container logs from kubelets, and the proxy subresource of nodes, pods and services.

Bodies are streamed both ways, but for HTML pages, whose links are rewritten; redirects are given to the client,
rewritten, and never followed. What a client learns of other sites (CORS headers) is not the backend's to say.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from minikube_py.apiserver import dialing, log_streams, stream_refusals
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.rewriting import Rewriting
from minikube_py.apiserver.streams import Streams, is_upgrade, passed_on
from minikube_py.apiserver.targets import NoHost, Target, Targets
from minikube_py.errors import ApiError, BadRequest, InternalError, NotFound, ServiceUnavailable

STREAMED = frozenset(("exec", "attach", "portforward"))
_REQUEST_DROPPED = frozenset(("connection", "upgrade", "expect", "host"))
_RESPONSE_DROPPED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "date", "content-length")
)
_CORS = "access-control-allow-"
MAX_PAGE = 8 * 1024 * 1024
"""Bytes of an HTML page up to which its links are rewritten."""
SMALL_PAGE = 32 * 1024
"""Bytes of an HTML page that is rewritten on the loop, not in a thread."""


class Proxy:
    """Answers log, exec, attach, portforward and proxy requests."""

    def __init__(self, targets: Targets, streams: Streams) -> None:
        self._targets = targets
        self._streams = streams
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = dialing.passing_session()
        return self._session

    async def close(self) -> None:
        """Close idle connections to backends."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def log(self, call: Call) -> web.StreamResponse:
        """A container's log as the kubelet gives it; nothing where the pod is on no node yet.
        Errors: NotFound, BadRequest, Invalid, InternalError."""
        log_streams.check_options(call.query, call.info.name)
        try:
            target = self._targets.stream(call.info.namespace, call.info.name, "log", call.query)
        except NoHost:
            return web.Response(status=204)
        try:
            answer = await self._ask(target, "GET", CIMultiDict(), None)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise InternalError(f'Get "{target.url}": {dialing.words(error)}') from error
        async with answer:
            if answer.status >= 400:
                raise await _kubelet_refusal(answer, call.info.name)
            if log_streams.is_websocket(call.request):
                return await log_streams.as_messages(call.request, answer)
            headers = passed_back(answer)
            headers["Content-Type"] = "text/plain"
            return await relay(call.request, answer, headers)

    async def stream(self, call: Call) -> web.StreamResponse:
        """exec, attach or portforward. Errors: NotFound, BadRequest, InternalError."""
        info = call.info
        target = self._targets.stream(info.namespace, info.name, info.subresource, call.query)
        if not is_upgrade(call.request):
            raise BadRequest("Upgrade request required")
        if info.subresource == "portforward" or not stream_refusals.takes_status(call.request):
            return await self._streams.answer(call.request, target)
        try:
            answer = await self._streams.answer(call.request, target)
        except InternalError as error:
            why = error.message.replace("error dialing backend", f'error sending request: Post "{target.url}"')
            return await stream_refusals.tell(call.request, stream_refusals.internal_error(why))
        if isinstance(answer, web.Response) and answer.status >= 400:
            status = stream_refusals.refusal_of(answer.body if isinstance(answer.body, bytes) else b"")
            return await stream_refusals.tell(call.request, status)
        return answer

    async def proxy(self, call: Call) -> web.StreamResponse:
        """The proxy subresource. Errors: NotFound, BadRequest, ServiceUnavailable."""
        info, request = call.info, call.request
        raw, mark, query = request.raw_path.partition("?")
        rest = info.rest or ("/" if raw.endswith("/") else "")
        target = self._targets.proxied(info.resource, info.namespace, info.name, (rest or "/") + mark + query)
        if is_upgrade(request):
            return await self._streams.answer(request, target)
        if not rest and request.method in ("GET", "HEAD"):
            return web.Response(status=301, headers={"Location": f"{raw}/{mark}{query}"})
        headers = CIMultiDict(
            h for h in passed_on(request.headers.items()) if h[0].lower() not in _REQUEST_DROPPED
        )
        headers["Host"] = request.headers.get("Host", target.authority)
        headers["X-Forwarded-Uri"] = raw
        forward_for(headers, request)
        try:
            answer = await self._ask(target, request.method, headers, request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {dialing.words(error)}") from error
        prefix = raw.removesuffix(rest).rstrip("/")
        async with answer:
            return await _rewritten(request, answer, Rewriting(prefix, (target.authority, headers["Host"])))

    async def kubelet_text(self, node: str, path: str, timeout: float) -> str:
        """What a node's kubelet answers at `path`. Errors: ApiError, aiohttp.ClientError, OSError."""
        async with asyncio.timeout(timeout):
            answer = await self._ask(self._targets.kubelet(node, path), "GET", CIMultiDict(), None)
            async with answer:
                answer.raise_for_status()
                return (await answer.read()).decode(errors="replace")

    async def _ask(
        self, target: Target, method: str, headers: CIMultiDict[str], request: web.BaseRequest | None
    ) -> aiohttp.ClientResponse:
        return await self._client().request(
            method,
            URL(target.url, encoded=True),
            headers=headers,
            data=sent_body(request) if request is not None and request.body_exists else None,
            ssl=self._streams.tls_for(target) or True,
            allow_redirects=False,
        )


def forward_for(headers: CIMultiDict[str], request: web.BaseRequest) -> None:
    """Add the client's address to X-Forwarded-For."""
    known = headers.getall("X-Forwarded-For", [])
    if request.remote:
        headers["X-Forwarded-For"] = ", ".join((*known, request.remote))


async def sent_body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The client's body as it arrives; a client that waits to be asked for it is asked."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    async for piece in request.content.iter_any():
        yield piece


async def _kubelet_refusal(answer: aiohttp.ClientResponse, name: str) -> ApiError:
    """The kubelet's refusal of a pod's log: its text is the message, unless it says that nothing is there."""
    text = (await answer.content.read(4096)).decode(errors="replace").strip()
    if answer.status == 400:
        return BadRequest(text)
    if answer.status == 404:
        return NotFound(f"the server could not find the requested resource ( pods/log {name})")
    return InternalError(f"Internal error occurred: {text}")


def passed_back(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    """The headers of a backend's answer that the client may see."""
    return CIMultiDict((n, v) for n, v in answer.headers.items() if n.lower() not in _RESPONSE_DROPPED)


async def _rewritten(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, rewriting: Rewriting
) -> web.StreamResponse:
    headers = CIMultiDict((n, v) for n, v in passed_back(answer).items() if not n.lower().startswith(_CORS))
    if location := headers.get("Location"):
        headers["Location"] = rewriting.link(location)
        return await relay(request, answer, headers)
    encoding = headers.get("Content-Encoding", "")
    is_page = headers.get("Content-Type", "").partition(";")[0].strip() == "text/html"
    if not is_page or request.method == "HEAD" or encoding not in ("", "gzip", "deflate"):
        return await relay(request, answer, headers)
    page = await _page(answer)
    if page is None:
        raise ServiceUnavailable(f"error trying to reach service: the page is larger than {MAX_PAGE} bytes")
    try:
        if len(page) <= SMALL_PAGE and not encoding:
            made = rewriting.page(page)
        else:
            made = await asyncio.to_thread(rewriting.page, page, encoding)
    except ValueError as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from error
    return web.Response(body=made, status=answer.status, reason=answer.reason, headers=headers)


async def _page(answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None where it is too large."""
    parts, size = list[bytes](), 0
    try:
        async for part in answer.content.iter_any():
            size += len(part)
            if size > MAX_PAGE:
                return None
            parts.append(part)
    except (aiohttp.ClientError, OSError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {dialing.words(error)}") from error
    return b"".join(parts)


async def relay(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """A backend's answer, with `headers`, as it arrives; the client's connection breaks where it breaks off."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    length = answer.headers.get("Content-Length", "")
    if length.isdigit():
        response.content_length = int(length)
    elif request.version >= aiohttp.HttpVersion11 and request.method != "HEAD" and _has_body(answer.status):
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


def _has_body(status: int) -> bool:
    return status not in (204, 304)
