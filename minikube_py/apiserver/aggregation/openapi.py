"""Merged OpenAPI: this server's documents with those that aggregated servers publish.

The v3 index names the remote documents, which are asked of their servers; the v2 document holds their paths and
definitions. What a backend publishes is fetched when it is checked, and only where its ETag has changed.
"""

import asyncio
import gzip as gz
import hashlib
from typing import Any, NamedTuple

import aiohttp
import orjson

from minikube_py.apiserver import openapi_wire
from minikube_py.apiserver.aggregation.backend import Backend
from minikube_py.apiserver.aggregation.services import APIServices, Remote
from minikube_py.apiserver.document import Document
from minikube_py.apiserver.openapi import OpenApi, decompressed
from minikube_py.apiserver.webhook_client import WebhookFailed
from minikube_py.errors import ApiError
from minikube_py.meta.objects import Obj

FETCH_SECONDS = 30.0
INDEX, WHOLE = "/openapi/v3", "/openapi/v2"


class Published(NamedTuple):
    """What a backend publishes at one path."""

    etag: str
    body: Obj


class MergedOpenApi:
    """OpenAPI over `local` and what backends publish."""

    def __init__(self, local: OpenApi, services: APIServices, backend: Backend) -> None:
        self._local = local
        self._services = services
        self._backend = backend
        self._published: dict[str, dict[str, Published]] = {}
        self._made: dict[tuple[str, str], tuple[str, Document]] = {}
        self._learned = 0
        self._merging = asyncio.Lock()

    async def refresh(self, remote: Remote) -> None:
        """Learn what an available backend publishes now."""
        known = self._published.setdefault(remote.name, {})
        for path in (INDEX, WHOLE):
            found = await self._fetch(remote, path, known.get(path))
            if found is None:
                changed = known.pop(path, None) is not None
            else:
                changed = known.get(path) is not found
                known[path] = found
            self._learned += changed

    def forget(self, name: str) -> None:
        """An APIService is gone."""
        if self._published.pop(name, None):
            self._learned += 1

    async def _fetch(self, remote: Remote, path: str, known: Published | None) -> Published | None:
        headers = {"Accept": "application/json"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        try:
            answer = await self._backend.fetch(remote, path, timeout=FETCH_SECONDS, headers=headers)
        except (aiohttp.ClientError, OSError, TimeoutError, ApiError, WebhookFailed):
            return known
        if answer.status == 304:
            return known
        if answer.status != 200:
            return None
        etag = answer.headers.get("ETag", "")
        try:
            body = await asyncio.to_thread(_decoded, answer.body, answer.headers.get("Content-Encoding", ""))
        except ValueError:
            return None
        if known is not None and known.body == body:
            return known
        return Published(etag, body) if isinstance(body, dict) else None

    async def get(self, path: str, accept: str = "", *, gzip: bool = False) -> Document | None:
        """The document at `path`, or None where nothing is served there. Errors: NotAcceptable."""
        path = path.rstrip("/")
        local = await self._local.get(path, accept, gzip=True)
        found = self._found(path)
        if local is None or not found:
            return local if gzip or local is None else await decompressed(local)
        key = (path, local.content_type)
        state = f"{local.etag}/{self._learned}/{self._services.generation}"
        async with self._merging:
            known = self._made.get(key)
            if known is None or known[0] != state:
                plain = await self._local.get(path, "application/json")
                if plain is None:
                    return None
                made = await asyncio.to_thread(_merged, path, plain, found, local.content_type)
                known = self._made[key] = (state, made)
        return known[1] if gzip else await decompressed(known[1])

    def _found(self, path: str) -> list[tuple[Remote, Obj]]:
        """What available backends publish at `path`."""
        found = []
        for remote in self._services.remotes.values():
            published = self._published.get(remote.name, {}).get(path)
            if remote.available and published is not None:
                found.append((remote, published.body))
        return found


def _decoded(body: bytes, encoding: str) -> Any:
    return orjson.loads(gz.decompress(body) if encoding == "gzip" else body)


def _merged(path: str, local: Document, found: list[tuple[Remote, Obj]], content_type: str) -> Document:
    body: Obj = orjson.loads(local.body)
    for remote, published in found:
        if path == INDEX:
            merge_index(body, remote, published)
        else:
            merge_whole(body, remote, published)
    data = orjson.dumps(body) if content_type == "application/json" else openapi_wire.encode(body)
    etag = hashlib.sha512(data).hexdigest().upper()
    return Document(gz.compress(data, 6, mtime=0), etag, content_type, "gzip")


def merge_index(index: Obj, remote: Remote, published: Obj) -> None:
    """Add the entry of a remote group version to the v3 index, in place."""
    root = f"apis/{remote.group}/{remote.version}"
    entry = (published.get("paths") or {}).get(root)
    if isinstance(entry, dict):
        index["paths"][root] = entry


def merge_whole(whole: Obj, remote: Remote, published: Obj) -> None:
    """Add the paths of a remote group version to the v2 document, in place, and its new definitions."""
    root = remote.path
    for path, item in (published.get("paths") or {}).items():
        if path == root or path.startswith(root + "/"):
            whole["paths"][path] = item
    for name, definition in (published.get("definitions") or {}).items():
        whole["definitions"].setdefault(name, definition)
