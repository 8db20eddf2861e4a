"""Backend: HTTPS to aggregated API servers, as the front proxy that they trust.

A backend is reached through its Service's EndpointSlices; its certificate must be for
`<service>.<namespace>.svc`, by the APIService's CA bundle. Who asks is told in X-Remote-* headers, which count
because of this server's front-proxy client certificate; what a client says in such headers is dropped.
Redirects are never followed.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from minikube_py.apiserver import dialing, webhook_client
from minikube_py.apiserver.aggregation.services import AGGREGATOR, Remote
from minikube_py.apiserver.resolver import ServiceResolver
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

KEPT_CONTEXTS = 64
MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a discovery or OpenAPI document."""
_UNESCAPED = "!#$&'*+-.^_`|~"


Identity = tuple[Path, Path]
"""The front proxy's client certificate and key (PEM files)."""


class Fetched(NamedTuple):
    """A document that was fetched."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Backend:
    """Opens requests to backends. `close` it in the end."""

    def __init__(self, registry: Registry, identity: Identity | None) -> None:
        self._resolver = ServiceResolver(registry)
        self._identity = identity
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[str, bool], ssl.SSLContext] = OrderedDict()
        self._loading = asyncio.Lock()

    def address(self, remote: Remote) -> tuple[str, int]:
        """Where a backend is now. Errors: NotFound, ServiceUnavailable, BadRequest."""
        return self._resolver.resolve(remote.namespace, remote.service, remote.port)

    async def context(self, remote: Remote, *, verified: bool = True) -> ssl.SSLContext:
        """How to speak TLS to a backend. Errors: WebhookFailed where its CA bundle is none."""
        key = (remote.bundle, verified and not remote.insecure)
        known = self._contexts.get(key)
        if known is not None:
            return known
        async with self._loading:  # one context for all, since connections are kept by it
            if key not in self._contexts:
                self._contexts[key] = await asyncio.to_thread(self._make, *key)
                if len(self._contexts) > KEPT_CONTEXTS:
                    self._contexts.popitem(last=False)
            return self._contexts[key]

    def _make(self, bundle: str, verified: bool) -> ssl.SSLContext:
        if verified:
            context = webhook_client.tls_context(bundle)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._identity is not None:
            context.load_cert_chain(*self._identity)
        return context

    async def open(
        self, remote: Remote, method: str, target: str, headers: CIMultiDict[str], **more: Any
    ) -> aiohttp.ClientResponse:
        """The open response to a request for `target` (path and query), to be closed by the caller.
        Errors: aiohttp.ClientError, OSError, ApiError, WebhookFailed."""
        context = more.pop("context", None) or await self.context(remote)
        host, port = self.address(remote)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return await self._opened().request(
            method,
            URL(f"https://{authority}{target}", encoded=True),
            headers=headers,
            ssl=context,
            server_hostname=remote.server_name,
            allow_redirects=False,
            **more,
        )

    async def fetch(
        self,
        remote: Remote,
        path: str,
        *,
        timeout: float,
        verified: bool = True,
        headers: Mapping[str, str],
        user: User = AGGREGATOR,
    ) -> Fetched:
        """A document of a backend, as it shows it to the aggregator, or to `user`. Errors: as `open`,
        TimeoutError."""
        sent = CIMultiDict(headers)
        sent.extend(identity_headers(user))
        async with asyncio.timeout(timeout):
            context = await self.context(remote, verified=verified)
            async with await self.open(remote, "GET", path, sent, context=context) as answer:
                parts, size = list[bytes](), 0
                async for part in answer.content.iter_any():
                    size += len(part)
                    if size > MAX_DOCUMENT:
                        raise aiohttp.ClientPayloadError("the document is too large")
                    parts.append(part)
                return Fetched(answer.status, answer.headers, b"".join(parts))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = dialing.passing_session()
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def identity_headers(user: User) -> CIMultiDict[str]:
    """The headers that tell a backend who asks."""
    headers: CIMultiDict[str] = CIMultiDict()
    headers.add("X-Remote-User", user.name)
    if user.uid:
        headers.add("X-Remote-Uid", user.uid)
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{quote(key, safe=_UNESCAPED)}", value)
    return headers
