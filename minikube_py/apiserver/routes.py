"""Routes: from a call that may proceed to the code that answers it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from minikube_py.apiserver import query, responses
from minikube_py.apiserver.aggregation.aggregator import Aggregator
from minikube_py.apiserver.aggregation.discovery import MergedDiscovery
from minikube_py.apiserver.aggregation.openapi import MergedOpenApi
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.components import COMPONENT_STATUS, Components
from minikube_py.apiserver.connect import connect_options, connect_query
from minikube_py.apiserver.document import Document
from minikube_py.apiserver.handlers import BINDING, Resources, being_removed, not_allowed, not_served
from minikube_py.apiserver.health import PATHS, Health
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.proxy import STREAMED, Proxy
from minikube_py.apiserver.resourcemetrics.api import ResourceMetrics, is_ours
from minikube_py.apiserver.reviews import Reviews
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.apiserver.watch import WatchStreams
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.version import VERSION
from minikube_py.registry.base import Attributes, Context
from minikube_py.registry.resource import Registry

_WITHOUT_NAMESPACE = frozenset(("list", "watch"))
_ON_COLLECTION = frozenset(("create", "list", "watch", "deletecollection"))


@dataclass(frozen=True, slots=True)
class Answerers:
    """Those who answer."""

    resources: Resources
    watches: WatchStreams
    reviews: Reviews
    components: Components
    resource_metrics: ResourceMetrics
    proxy: Proxy
    discovery: MergedDiscovery
    openapi: MergedOpenApi
    aggregator: Aggregator
    health: Health
    metrics: ServerMetrics
    tokens: ServiceAccountTokens


class Routes:
    """Finds who answers a call."""

    def __init__(
        self, registry: Registry, answerers: Answerers, extra: Mapping[str, Callable[[], Awaitable[bytes]]]
    ) -> None:
        self._registry = registry
        self._to = answerers
        self._extra = extra
        self._paths: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "/": self._index,
            "/version": self._version,
            "/metrics": self._metrics,
            "/metrics/slis": self._slis,
            "/openid/v1/jwks": self._key_set,
            "/.well-known/openid-configuration": self._issuer,
        }

    def answer(self, call: Call) -> Awaitable[web.StreamResponse]:
        """The response to a call, to be awaited. Errors, here or there: ApiErrors of who answers."""
        remote = self._to.aggregator.remote(call.info)
        if remote is not None:
            return self._to.aggregator.answer(call, remote)
        return self._resource(call) if call.info.is_resource else self._path(call)

    # Resources

    def _resource(self, call: Call) -> Awaitable[web.StreamResponse]:
        info = call.info
        if info.rest and info.subresource != "proxy":
            raise not_served()
        kind = self._registry.catalogue.by_resource(info.group, info.version, info.resource)
        if kind is None:
            return self._virtual(call)
        if not kind.namespaced:
            # A namespace is within itself; by the URL of another it would be judged by rights there.
            if info.namespace and (kind.resource != "namespaces" or info.namespace != info.name):
                raise not_served()
            call.info = info = info._replace(namespace="")
        elif not info.namespace and info.verb not in _WITHOUT_NAMESPACE:
            raise not_allowed() if info.verb in _ON_COLLECTION and not info.name else not_served()
        if info.subresource:
            if info.subresource not in kind.subresources:
                raise not_served()
            return self._subresource(call, kind)
        if info.verb not in kind.verbs:
            raise not_allowed()
        if kind.terminating and info.verb == "create":
            raise being_removed(kind)
        if info.name and info.verb in _WITHOUT_NAMESPACE:
            call.query = query.pinned(call.query, info.name)  # what was allowed is that name, no other
        if info.verb == "watch":
            return self._to.watches.answer(call, kind)
        answered = self._to.resources.answer(call, kind)
        return _deprecated(answered, kind) if kind.deprecation else answered

    def _virtual(self, call: Call) -> Awaitable[web.StreamResponse]:
        """The response to a call on what is stored nowhere."""
        info = call.info
        pods = self._registry.catalogue.by_resource("", info.version, "pods")
        if pods is not None and (info.group, info.resource) == ("", BINDING.plural):
            return self._to.resources.bind(call, pods)
        if is_ours(info):
            return self._to.resource_metrics.answer(call)
        if (info.group, info.version, info.resource) == ("", "v1", COMPONENT_STATUS.plural):
            return _deprecated(self._to.components.answer(call), COMPONENT_STATUS)
        review = self._to.reviews.kind_at(info.group, info.version, info.resource)
        if review is None or review.namespaced != bool(info.namespace):
            raise not_served()
        return self._to.reviews.answer(call, review)

    async def _subresource(self, call: Call, kind: Kind) -> web.StreamResponse:
        subresource = call.info.subresource
        if subresource == "log":
            if call.info.verb != "get":
                raise not_allowed()
            return await self._to.proxy.log(call)
        if subresource in STREAMED:
            if call.info.verb not in ("get", "create"):
                raise not_allowed()
            await self._admit_connect(call, kind)
            return await self._to.proxy.stream(call)
        if subresource == "proxy":
            await self._admit_connect(call, kind)
            return await self._to.proxy.proxy(call)
        return await self._to.resources.answer(call, kind)

    async def _admit_connect(self, call: Call, kind: Kind) -> None:
        info = call.info
        context = Context(call.user, audit=call.notes)
        options = connect_options(kind, info, call.query)
        asked = Attributes("CONNECT", kind, info.namespace, info.name, options, None, context, info.subresource)
        await self._registry.admission.mutate(asked)
        await self._registry.admission.validate(asked)
        call.query = connect_query(asked.object or {}, call.query)

    # Other paths

    async def _path(self, call: Call) -> web.StreamResponse:
        if call.info.verb not in ("get", "head"):
            raise not_allowed()
        path = call.info.path.rstrip("/") or "/"
        known = self._paths.get(path)
        if known is not None:
            return await known(call)
        if any(path == p or path.startswith(p + "/") for p in PATHS):
            answer = self._to.health.answer(path, call.query)
            if answer is None:
                raise not_served()
            return responses.plain(answer[1], answer[0])
        if path in self._extra:
            return responses.json_bytes(await self._extra[path]())
        headers = call.request.headers
        if path.startswith("/openapi"):
            gzip = "gzip" in headers.get("Accept-Encoding", "")
            return _document(call, await self._to.openapi.get(path, call.accept, gzip=gzip))
        return _document(call, self._to.discovery.get(path, call.accept))

    async def _index(self, call: Call) -> web.StreamResponse:
        listed = self._to.discovery.get("/apis")
        groups = orjson.loads(listed.body)["groups"] if listed is not None else []
        paths = ["/api", "/api/v1", "/apis", *(f"/apis/{group['name']}" for group in groups)]
        paths += [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]
        paths += [*self._to.health.paths(), "/openapi/v2", "/openapi/v3", *self._paths, *self._extra]
        paths.remove("/")
        return responses.json_object({"paths": sorted(paths)})

    async def _version(self, call: Call) -> web.StreamResponse:
        return responses.json_bytes(orjson.dumps(VERSION, option=orjson.OPT_INDENT_2))

    async def _metrics(self, call: Call) -> web.StreamResponse:
        return _samples(self._to.metrics.render())

    async def _slis(self, call: Call) -> web.StreamResponse:
        return _samples(self._to.health.slis())

    async def _key_set(self, call: Call) -> web.StreamResponse:
        return _published(self._to.tokens.key_set(), "application/jwk-set+json")

    async def _issuer(self, call: Call) -> web.StreamResponse:
        return _published(self._to.tokens.discovery(), "application/json")


async def _deprecated(answered: Awaitable[web.StreamResponse], kind: Kind) -> web.StreamResponse:
    """The response, with a warning that the kind is deprecated."""
    response = await answered
    if not response.prepared:
        responses.add_warnings(response, (kind.deprecation,))
    return response


def _samples(page: bytes) -> web.StreamResponse:
    """A page for Prometheus."""
    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return web.Response(body=page, headers=headers)


def _published(value: Obj, content_type: str) -> web.StreamResponse:
    """What those may keep who verify ServiceAccount tokens."""
    headers = {"Content-Type": content_type, "Cache-Control": "public, max-age=3600"}
    return web.Response(body=orjson.dumps(value), headers=headers)


def _document(call: Call, document: Document | None) -> web.StreamResponse:
    """A discovery or OpenAPI document, or 304 where the client has it already."""
    if document is None:
        raise not_served()
    etag = f'"{document.etag}"'
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
    if etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = document.content_type
    if document.encoding:
        headers["Content-Encoding"] = document.encoding
    return web.Response(body=document.body, headers=headers)
