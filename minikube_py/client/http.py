"""The HTTP client: the same verbs over TLS against any API server, for workers that run elsewhere.

`HttpClients` owns one connection pool and one cache. Use it as an async context manager, and `await sync(...)`
for the kinds whose cache is read before it is relied upon. Failures arrive as the ApiErrors that the server's
Status names; a server that cannot be reached is ServiceUnavailable.
"""

import ssl
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.client.base import APPLY_PATCH, MERGE_PATCH
from minikube_py.client.reflector import HttpCache
from minikube_py.errors import ApiError, InternalError, ServiceUnavailable, from_status
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, name_of, namespace_of, revision_of

TIMEOUT_SECONDS = 60.0


class Transport:
    """Requests to one API server with one set of credentials."""

    def __init__(self, server: str, ssl_context: ssl.SSLContext | None, token: str) -> None:
        self._server = server.rstrip("/")
        self._ssl = ssl_context
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the connection pool; needs the running loop."""
        connector = aiohttp.TCPConnector(ssl=self._ssl or True, limit=64, keepalive_timeout=60)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ServiceUnavailable("the client is not open")
        return self._session

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Obj:
        """The decoded answer. Errors: the ApiError that its Status says; ServiceUnavailable."""
        data = None if body is None else orjson.dumps(body)
        sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        try:
            async with self._opened().request(
                method, self._server + path, data=data, params=query, headers=sent
            ) as response:
                return decode(response.status, await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"{self._server}: {error or type(error).__name__}") from error

    async def stream(self, path: str, query: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The open response of a watch; the caller closes it. Errors: as `request`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        try:
            response = await self._opened().get(self._server + path, params=query, timeout=timeout)
            if response.status >= 400:
                async with response:
                    decode(response.status, await response.read())
            return response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"{self._server}: {error or type(error).__name__}") from error


def decode(code: int, data: bytes) -> Obj:
    """The object in an answer. Errors: the ApiError that a failure's Status says; InternalError."""
    try:
        found = orjson.loads(data)
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except ValueError as error:
        text = data[:200].decode(errors="replace").strip()
        raise InternalError(f"the server answered {code} with something else than JSON: {text}") from error
    if code >= 400:
        raise from_status({"code": code, **found})
    return found


class HttpClient:
    """A Client under one component's name; its user is that of the credentials."""

    def __init__(self, transport: Transport, cache: HttpCache, component: str) -> None:
        self._transport = transport
        self.cache = cache
        self.component = component
        self._headers = {"User-Agent": component}
        self._query = {"fieldManager": component}

    def _wrote(self, kind: Kind, obj: Obj) -> Obj:
        self.cache.expect(kind, revision_of(obj))
        return obj

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        return await self._transport.request("GET", kind.path(namespace, name), headers=self._headers)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        path, body = kind.path(namespace_of(obj)), identified(kind, obj)
        answer = await self._transport.request("POST", path, body, query=self._query, headers=self._headers)
        return self._wrote(kind, answer)

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        path = kind.path(namespace_of(obj), name_of(obj), subresource)
        body = obj if subresource == "scale" else identified(kind, obj)
        answer = await self._transport.request("PUT", path, body, query=self._query, headers=self._headers)
        return self._wrote(kind, answer)

    async def patch(
        self, kind: Kind, key: Key, body: Any, *, type: str = MERGE_PATCH, subresource: str = ""
    ) -> Obj:
        query = {**self._query, "force": "true"} if type == APPLY_PATCH else self._query
        answer = await self._transport.request(
            "PATCH",
            kind.path(*key, subresource),
            body,
            query=query,
            headers={**self._headers, "Content-Type": type},
        )
        return self._wrote(kind, answer)

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        await self._transport.request("DELETE", kind.path(*key), options, headers=self._headers)

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        path = kind.path(*key, subresource)
        return await self._transport.request("POST", path, body, query=self._query, headers=self._headers)


def identified(kind: Kind, obj: Obj) -> Obj:
    """`obj` with its apiVersion and kind, which a server requires."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}


class HttpClients:
    """Clients of one API server (`https://host:port`), sharing one connection pool and one cache.

    The credentials are a client certificate loaded into `ssl_context`, a bearer `token`, or both.
    """

    def __init__(
        self,
        server: str,
        ssl_context: ssl.SSLContext | None,
        token: str = "",
        *,
        kinds: Iterable[Kind] = (),
        clock: Clock | None = None,
    ) -> None:
        self._transport = Transport(server, ssl_context, token)
        self._kinds = tuple(kinds)
        self.cache = HttpCache(self._transport.request, self._transport.stream, clock or SystemClock())

    def named(self, component: str) -> HttpClient:
        """A client whose field manager and user agent are `component`."""
        return HttpClient(self._transport, self.cache, component)

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that this process knows of."""
        return self._kinds

    async def sync(self, *kinds: Kind) -> None:
        """Wait until the cache shows each of `kinds` as the server listed it. Errors: ApiError where the
        server refuses to list."""
        await self.cache.sync(kinds)

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cache.close()
        await self._transport.close()


__all__ = ["ApiError", "HttpClient", "HttpClients", "Transport"]
