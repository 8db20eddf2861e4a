"""WebhookClient: posts reviews to the webhooks of admission and of custom resource conversion.

    answer = await client.call(client_config, review, timeout)      # client_config: url or service, caBundle

A webhook is at a URL (https only; any host, since it may run beside the cluster while it is developed) or at a
Service, which is resolved here through EndpointSlices; its certificate must then be for
`<service>.<namespace>.svc`. TLS is verified by `caBundle`, or by the machine's roots where there is none.
Connections are kept and used again, redirects are not followed, answers are bounded, and what fails is told in
the words of Kubernetes' own client.
"""

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from yarl import URL

from minikube_py.aio.clock import Clock, within
from minikube_py.apiserver import dialing
from minikube_py.apiserver.resolver import ServiceResolver
from minikube_py.errors import ApiError
from minikube_py.meta.objects import Obj
from minikube_py.registry.resource import Registry

DEFAULT_PORT = 443
MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of an answer."""
KEPT_CONTEXTS = 64
"""TLS contexts that are kept, by CA bundle."""
KEEP_ALIVE = 60.0
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}


class WebhookFailed(Exception):
    """A webhook could not be asked, or gave no usable answer; `message` says why."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """The HTTP code of its answer; 0 where there was none."""


class Endpoint(NamedTuple):
    """A webhook's URL as people know it, and the Service behind it (empty for a plain URL)."""

    url: str
    server_name: str = ""
    namespace: str = ""
    service: str = ""
    port: int = DEFAULT_PORT


class WebhookClient:
    """Calls webhooks. `close` it in the end."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._resolver = ServiceResolver(registry)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._loading = asyncio.Lock()

    async def call(self, client_config: Obj, review: Obj, timeout: float) -> Obj:
        """The object that the webhook answers to `review`, within `timeout` seconds. Errors: WebhookFailed."""
        endpoint = endpoint_of(client_config)
        shown = f"{endpoint.url}?timeout={duration(timeout)}"
        try:
            context = await self._context(client_config.get("caBundle") or "")
            posting = self._post(endpoint, shown, context, orjson.dumps(review))
            code, body = await within(self._clock, timeout, posting)
        except TimeoutError as error:
            raise WebhookFailed(f'Post "{shown}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError, ApiError) as error:
            raise WebhookFailed(f'Post "{shown}": {dialing.words(error, endpoint.server_name)}') from error
        if not 200 <= code <= 206:
            raise WebhookFailed(refused(code, body), code)
        return decoded(body)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(
        self, endpoint: Endpoint, shown: str, context: ssl.SSLContext, data: bytes
    ) -> tuple[int, bytes]:
        url, more = shown, dict[str, Any]()
        if endpoint.service:
            host, port = self._resolver.resolve(endpoint.namespace, endpoint.service, endpoint.port)
            own = f"{endpoint.server_name}:{endpoint.port}"
            url = url.replace(own, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", 1)
            more = {"headers": {"Host": own}, "server_hostname": endpoint.server_name}
        try:
            return await self._once(url, context, data, more)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            # A kept connection had been closed by the other end.
            return await self._once(url, context, data, more)

    async def _once(self, url: str, context: ssl.SSLContext, data: bytes, more: Any) -> tuple[int, bytes]:
        async with self._opened().post(
            URL(url, encoded=True), data=data, ssl=context, allow_redirects=False, **more
        ) as response:
            parts, size = list[bytes](), 0
            async for part in response.content.iter_any():
                size += len(part)
                if size > MAX_ANSWER:
                    raise aiohttp.ClientPayloadError(f"the answer is larger than {MAX_ANSWER} bytes")
                parts.append(part)
            return response.status, b"".join(parts)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            )
        return self._session

    async def _context(self, bundle: str) -> ssl.SSLContext:
        known = self._contexts.get(bundle)
        if known is not None:
            return known
        async with self._loading:  # one context for all, since connections are kept by it
            if bundle not in self._contexts:
                # The machine's roots take long to load.
                self._contexts[bundle] = await asyncio.to_thread(tls_context, bundle)
                if len(self._contexts) > KEPT_CONTEXTS:
                    self._contexts.popitem(last=False)
            return self._contexts[bundle]


def endpoint_of(client_config: Obj) -> Endpoint:
    """Where a client config leads. Errors: WebhookFailed."""
    if url := client_config.get("url"):
        if urlsplit(url).scheme != "https":
            raise WebhookFailed(f'Post "{url}": only https is allowed for webhooks')
        return Endpoint(url)
    service = client_config.get("service") or {}
    namespace, name = service.get("namespace") or "", service.get("name") or ""
    if not name:
        raise WebhookFailed("webhook configuration must have either service or URL")
    port = int(service.get("port") or DEFAULT_PORT)
    server_name = f"{name}.{namespace}.svc"
    path = "/" + (service.get("path") or "").lstrip("/")
    return Endpoint(f"https://{server_name}:{port}{path}", server_name, namespace, name, port)


def tls_context(bundle: str) -> ssl.SSLContext:
    """TLS as a client that trusts `bundle` (base64 of PEM; empty: the machine's roots).
    Errors: WebhookFailed where it holds no certificate."""
    try:
        pem = base64.b64decode(bundle, validate=True).decode("ascii")
        context = ssl.create_default_context(cadata=pem or None)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
        raise WebhookFailed("unable to load root certificates: unable to parse bytes as PEM block") from error
    context.hostname_checks_common_name = False  # only subjectAltName counts, as in Kubernetes
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


def duration(seconds: float) -> str:
    """Seconds as Go shows a duration: `10s`, `1m30s`, `500ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


_REFUSALS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the "
    "request",
}


def refused(code: int, body: bytes) -> str:
    """What Kubernetes' client says of an HTTP answer that is no success."""
    try:
        status = orjson.loads(body)
        if isinstance(status, dict) and status.get("kind") == "Status" and status.get("message"):
            return str(status["message"])
    except orjson.JSONDecodeError:
        pass
    if known := _REFUSALS.get(code):
        return known
    text = body[:2048].decode(errors="replace").strip() or "unknown"
    if code in (403, 406, 415):
        return text
    if code >= 500:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'an error on the server ("{quoted}") has prevented the request from succeeding'
    return f"the server responded with the status code {code} but did not return more information"


def decoded(body: bytes) -> Obj:
    """The object in an answer. Errors: WebhookFailed."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WebhookFailed(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(found, dict):
        raise WebhookFailed("couldn't get version/kind; json parse error: the answer is no object")
    return found
